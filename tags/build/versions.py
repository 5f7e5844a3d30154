"""What another definition of a tag would answer: both are computed by the models of the night, over what is published.

Nothing of the lake is written. A definition is computed by today's models and by today's tags that it reads.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lakehouse.contracts.contract import DBT_DATABASE
from lakehouse.errors import SettingsInvalid, UsageError
from lakehouse.expressions.duckdb import function_statements
from lakehouse.query.database import open_database, write_database
from lakehouse.query.desk import Desk, Relation
from lakehouse.query.published import Publication, require_publication
from lakehouse.query.words import identifier, literal
from lakehouse.settings.file_rights import closed_files
from tags.build.computation import dbt_on_duckdb, dbt_options, results_of
from tags.build.project import DATABASE, reason_for_spark, source_tables, write_project
from tags.compile.compilation import Compilation, compile_registry
from tags.compile.places import REGISTRY
from tags.definitions import DefinitionPlace, TagDefinition, changes_between
from vocabulary.buckets import bucket_duckdb_sql
from vocabulary.entities import PERSON, Entity
from vocabulary.registry import Entry, Registry, load_registry
from vocabulary.tag_facts import tag_facts

if TYPE_CHECKING:
    from lakehouse.settings.settings import Settings

# Up to so many different values of both versions are told one by one; of more, only which way they moved.
MOST_VALUES = 30
MOST_MOVES = 60
# Keys that name tags which have no part in what a tag answers, and which are not there when two versions are computed.
_OF_OTHERS = {"replaces": None, "population": None}


@dataclass(frozen=True)
class DefinitionChange:
    """Two definitions of a tag on one publication: people by the value of each, where the two differ.

    ``moves`` have ``before``, ``after`` and ``people``. Where the values are too many to tell one by one (``is_by_value`` is
    false) they are ``null``, ``value``, and, of a value that became another, ``lower``, ``higher`` or ``other``.
    ``people`` are examples: ``one_id``, ``before`` and ``after``; of a tag that is never shown there are none.
    """

    first: str
    second: str
    business_date: date
    changes: dict[str, list[str]]
    people_count: int
    moved_count: int
    first_null_count: int
    second_null_count: int
    is_by_value: bool
    moves: list[dict[str, Any]]
    people: list[dict[str, Any]]

    def summary(self) -> dict[str, Any]:
        """Give all of it as plain values."""
        return asdict(self)


def compare_definitions(
    settings: Settings,
    first: TagDefinition,
    second: TagDefinition,
    business_date: date | None = None,
    *,
    people: int = 10,
) -> DefinitionChange:
    """Compute two definitions on the newest publication, or on that of ``business_date``, and count who moves; no JVM.

    One that cannot be computed any more, as its column is gone, raises ``SettingsInvalid`` with its name.
    """
    publication = require_publication(settings, business_date)
    with computed_versions(settings, publication, first, second) as (desk, rows):
        entries = (_entry(first), _entry(second))
        texts = desk.define("version texts", _texts_sql(rows, *entries))
        ((count, mover_count, null_before, null_after, distinct),) = desk.rows(
            f"SELECT count(*), count(*) FILTER (WHERE is_moved), count(*) - count(before), count(*) - count(after),"
            f" (SELECT count(DISTINCT v) FROM (SELECT before AS v FROM {texts} UNION ALL SELECT after FROM {texts}))"
            f" FROM {texts}"
        )
        is_shown = not any(tag_facts(entry.model_dump(by_alias=True)).is_restricted for entry in entries)
        is_named = not entries[1].about.is_personal
        is_by_value = is_shown and distinct <= MOST_VALUES
        classes = ("before", "after") if is_by_value else _ways(is_ordered=_is_ordered(*entries))
        order = bucket_duckdb_sql(f"tags diff:{first.code}")
        return DefinitionChange(
            first=first.name,
            second=second.name,
            business_date=publication.business_date,
            changes={str(part): keys for part, keys in changes_between(first, second).items()},
            people_count=count,
            moved_count=mover_count,
            first_null_count=null_before,
            second_null_count=null_after,
            is_by_value=is_by_value,
            moves=desk.records(
                f"SELECT {classes[0]} AS before, {classes[1]} AS after, count(*) AS people FROM {texts} WHERE is_moved"
                f" GROUP BY ALL ORDER BY people DESC, before, after LIMIT {MOST_MOVES}"
            ),
            people=desk.records(
                f"SELECT one_id, before, after FROM {texts} WHERE is_moved ORDER BY {order}, one_id LIMIT {people if is_shown and is_named else 0}"
            ),
        )


@contextmanager
def computed_versions(
    settings: Settings, publication: Publication, first: TagDefinition, second: TagDefinition
) -> Iterator[tuple[Desk, Relation]]:
    """Give a desk with one row per person: one_id, and what each definition answers, ``first`` and ``second``.

    Of another entity ``one_id`` is its source and key as one text. Two definitions of two entities raise ``UsageError``.
    """
    if _entry(first).about != _entry(second).about:
        raise UsageError(
            f"{first.name} is a tag of the {_entry(first).entity} and {second.name} one of the {_entry(second).entity}, so nobody moves"
        )
    compilation, codes = _compile(settings, first, second)
    settings.generated.mkdir(exist_ok=True)
    with (
        closed_files(settings),
        tempfile.TemporaryDirectory(prefix="versions-", dir=settings.generated) as name,
    ):
        folder = Path(name).resolve()
        _build(settings, publication, compilation, folder)
        with open_database(settings, folder / DATABASE) as desk:
            entity = _entry(second).about
            columns = f"{_key_sql(entity)} AS one_id, {identifier(codes[0])} AS first, {identifier(codes[1])} AS second"
            yield desk, desk.keep("versions", f"SELECT {columns} FROM {DBT_DATABASE}.{entity.wide_model}")


def _key_sql(entity: Entity) -> str:
    return "one_id" if entity == PERSON else f"concat_ws('/', {', '.join(entity.key)})"


def _compile(
    settings: Settings, first: TagDefinition, second: TagDefinition
) -> tuple[Compilation, tuple[str, str]]:
    """Compile both definitions beside one another, with the tags that they read; each is checked alone."""
    registry = load_registry(settings.workspace, shipped=REGISTRY)
    codes = (_free_code(registry, first, "first"), _free_code(registry, second, "second"))
    entries = [
        _entry(one).model_copy(update={"code": code, **_OF_OTHERS})
        for one, code in zip((first, second), codes, strict=True)
    ]
    places = {
        code: DefinitionPlace(Path(one.name), 0) for code, one in zip(codes, (first, second), strict=True)
    }
    for entry in entries:
        compile_registry(_with_inputs(registry, [entry], places), settings.workspace)
    compilation = compile_registry(
        _with_inputs(registry, entries, places), settings.workspace, is_checked=False
    )
    reason = reason_for_spark(compilation)
    if reason is not None:
        raise UsageError(f"versions are compared by DuckDB, and it cannot compute them: {reason}")
    return compilation, codes


def _with_inputs(registry: Registry, entries: list[Entry], places: dict[str, DefinitionPlace]) -> Registry:
    """Give a registry of some entries and of all tags that they read, directly or not; those stand before them."""
    inputs: dict[str, Entry] = {}
    waiting = [code for entry in entries for code in entry.tag_inputs]
    while waiting:
        code = waiting.pop()
        if code in registry.entries and code not in inputs:
            inputs[code] = registry.entries[code].model_copy(update=_OF_OTHERS)
            waiting += inputs[code].tag_inputs
    own = {entry.code: entry for entry in entries}
    return Registry(
        {code: inputs[code] for code in registry.entries if code in inputs} | own,
        {**registry.places, **{code: places[code] for code in own}},
        registry.site | own.keys(),
    )


def _free_code(registry: Registry, definition: TagDefinition, word: str) -> str:
    code = f"{definition.code}__{word}"
    while code in registry.entries:
        code += "_"
    return code


def _entry(definition: TagDefinition) -> Entry:
    if definition.entry is None:
        raise SettingsInvalid(
            "the registry has no words for this version any more, so it cannot be computed",
            file=definition.name,
        )
    return definition.entry


def _build(settings: Settings, publication: Publication, compilation: Compilation, folder: Path) -> None:
    """Run the wide model and what it reads, in a project of its own."""
    from dbt.cli.main import dbtRunner

    names = source_tables(compilation)
    if unknown := next((name for name in names if name not in publication.tables), None):
        raise UsageError(
            f"the night of {publication.business_date} published no table {unknown}, which the models read"
        )
    write_project(compilation, folder, settings)
    write_database(
        settings,
        folder / DATABASE,
        names,
        function_statements(),
        schema=DBT_DATABASE,
        anew=True,
        versions=publication.tables,
    )
    variables = {"business_date": publication.business_date.isoformat()}
    options = dbt_options(settings, folder, "duckdb", variables)
    with dbt_on_duckdb(folder):
        models = [f"+{writer.entity.wide_model}" for writer in compilation.writers if writer.plan.entries]
        outcome = dbtRunner().invoke(["run", "--select", *models, *options])
    results_of(outcome, settings)


def _texts_sql(rows: Relation, first: Entry, second: Entry) -> str:
    """Give SQL of one_id, both values and both as texts, and whether they differ."""
    is_one_type = first.value.spark_type == second.value.spark_type
    values = (
        ("first", "second")
        if is_one_type or _is_ordered(first, second)
        else ("first::VARCHAR", "second::VARCHAR")
    )
    return (
        "SELECT one_id, first, second, first::VARCHAR AS before, second::VARCHAR AS after,"
        f" {values[0]} IS DISTINCT FROM {values[1]} AS is_moved FROM {rows}"
    )


def _is_ordered(first: Entry, second: Entry) -> bool:
    """Tell whether of two values that differ one is the lower."""
    kinds = {entry.value.type for entry in (first, second)}
    is_single = {entry.value.cardinality for entry in (first, second)} == {"single"}
    return is_single and (kinds <= {"int", "decimal", "ratio"} or kinds == {"date"})


def _ways(*, is_ordered: bool) -> tuple[str, str]:
    """Give SQL of the class of each value where values are too many, or are not told."""
    way = "CASE WHEN second < first THEN 'lower' ELSE 'higher' END" if is_ordered else literal("other")
    return (
        "CASE WHEN before IS NULL THEN NULL ELSE 'value' END",
        f"CASE WHEN after IS NULL THEN NULL WHEN before IS NULL THEN 'value' ELSE {way} END",
    )
