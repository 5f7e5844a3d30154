"""What a workspace's tags come to for a sample of people, over the newest publication and before any night.

Everything is computed in this process from published versions; nothing is written. The measures are those of a night, and so is the
verdict on them: a value outside its domain, a null nobody can explain, a number too large for its type, a look-up that finds two rows.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lakehouse.errors import CdpError, GateStopped, SettingsInvalid, UsageError
from lakehouse.expressions.duckdb import duckdb_query, function_statements
from lakehouse.query.published import open_publication
from tags.build.causes import cause_of
from tags.compile.compilation import Compilation, compile_tags
from tags.quality.measures import OTHER, measure_tags
from tags.sample.model_relations import ModelRelations, NotPublished

if TYPE_CHECKING:
    import datetime as dt

    from lakehouse.query.published import Published
    from lakehouse.settings.settings import Settings
    from vocabulary.registry import Entry

SIZE = 5_000
MOST_VALUES = 3
MOST_NAMED = 5


@dataclass(frozen=True)
class SampleTag:
    """One tag over the people of a sample: counts, what its values are like, and why a night would refuse it."""

    entry: Entry
    people: int
    present: int
    nulls: dict[str, int]
    outside: int
    unexplained: int
    overflow: int
    values: str
    faults: tuple[str, ...]


@dataclass(frozen=True)
class TagSample:
    """The tags of a sample of a night's people."""

    business_date: dt.date
    people: int
    tags: tuple[SampleTag, ...]
    compilation: Compilation

    def judge(self) -> None:
        """Raise ``GateStopped`` where a night would refuse what the sample shows; each tag is named with file and line."""
        bad = [tag for tag in self.tags if tag.faults]
        if not bad:
            return
        registry = self.compilation.registry
        sentences = [
            str(registry.fault(tag.entry.code, f"'{tag.entry.code}' has {', '.join(tag.faults)}", "compute"))
            for tag in bad[:MOST_NAMED]
        ]
        more = f"; and {len(bad) - MOST_NAMED} more tags" if len(bad) > MOST_NAMED else ""
        raise GateStopped(f"a night would refuse {len(bad)} tags: {'; '.join(sentences)}{more}")


def sample_tags(settings: Settings, *, size: int = SIZE, every: bool = False) -> TagSample:
    """Compute the tags that the workspace adds or changes, or ``every`` computed one, for ``size`` people of the newest publication.

    ``UsageError`` before the first publication and where there are no such tags; ``SettingsInvalid`` with the tag's file and line where
    a tag cannot be computed, as one whose source is not published.
    """
    compilation = compile_tags(settings.workspace)
    with open_publication(settings) as desk:
        codes = [
            entry.code for entry in compilation.entries if every or entry.code in compilation.registry.site
        ]
        if not codes:
            raise UsageError(
                f"no computed tag of {settings.workspace} is its own; --all computes the shipped ones"
            )
        for statement in function_statements():
            desk.run(statement)
        try:
            people, rows = _rows(desk, compilation, codes, size)
        except CdpError as wrong:
            raise _fault_of_tag(settings, compilation, codes, size) or wrong from None
        doubles = _doubles(desk, compilation, codes)
        tags = [
            _sample_tag(compilation, row, doubles.get(row["tag"], ()))
            for row in rows
            if row["tag"] in set(codes)
        ]
        if not people:
            raise UsageError(
                f"the night of {desk.publication.business_date} knows no people to take a sample of"
            )
        return TagSample(desk.publication.business_date, people, tuple(tags), compilation)


def _rows(
    desk: Published, compilation: Compilation, codes: Collection[str], size: int
) -> tuple[int, list[dict[str, Any]]]:
    """Give how many people the sample has, and the measures of some tags and of those that they read.

    Products, branches and employees are all there; what is counted for them is of the people of the sample.
    """
    import duckdb

    part = compilation.part(codes)
    day = desk.publication.business_date
    relations = ModelRelations(desk, part, size)
    rows: list[dict[str, Any]] = []
    for plan in part.plans:
        if not plan.entries:
            continue
        try:
            wide = relations.relation(plan.entity.wide_model)
        except duckdb.Error as wrong:
            raise SettingsInvalid(f"DuckDB cannot compute it: {cause_of(str(wrong))}") from None
        rows += measure_tags(desk, wide, plan, day)
    return desk.value(f"SELECT count(*) FROM {relations.people}"), rows


def _fault_of_tag(
    settings: Settings, compilation: Compilation, codes: Sequence[str], size: int
) -> SettingsInvalid | None:
    """Give the fault of the first tag that cannot be computed by itself, with its file and line."""
    for code in codes:
        with open_publication(settings) as desk:
            for statement in function_statements():
                desk.run(statement)
            try:
                _rows(desk, compilation, [code], size)
            except NotPublished as wrong:
                return compilation.registry.fault(
                    code, f"'{code}' reads what is not there: {wrong.message}", "compute"
                )
            except CdpError as wrong:
                return compilation.registry.fault(code, f"'{code}' cannot be computed: {wrong}", "compute")
    return None


def _doubles(desk: Published, compilation: Compilation, codes: Collection[str]) -> dict[str, tuple[str, ...]]:
    """Give by tag what its look-ups find beyond one row, over all rows: a sample of them would hide it."""
    counts: dict[str, int] = {}
    faults: dict[str, list[str]] = {}
    for code in codes:
        writer = compilation.writer_of(compilation.registry.entries[code])
        for step in writer.lookups(code):
            name = step.bound.name
            if name not in counts:
                measure = duckdb_query(f"select {step.bound.measure} as doubles from measured_rows")
                counts[name] = int(desk.value(f"WITH measured_rows AS (SELECT * FROM {step.to}) {measure}"))
            if counts[name]:
                faults.setdefault(code, []).append(
                    f"the look-up '{step.code}' from {step.from_}, which finds {counts[name]} rows beyond one"
                )
    return {code: tuple(sentences) for code, sentences in faults.items()}


def _sample_tag(compilation: Compilation, row: dict[str, Any], doubles: tuple[str, ...]) -> SampleTag:
    entry = compilation.registry.entries[row["tag"]]
    unexplained, overflow = row["unexplained_count"], 0
    # Of what is read, a null nobody can explain is an answer that is no value of the tag's type.
    if entry.compute is not None and entry.compute.relation:
        unexplained, overflow = 0, unexplained
    outside = row["outside_domain_count"]
    faults = [
        *([f"{outside} values outside its domain"] if outside else []),
        *([f"{unexplained} nulls that nothing explains"] if unexplained else []),
        *([f"{overflow} answers that are no {entry.value.spark_type}"] if overflow else []),
        *doubles,
    ]
    reasons = ("unknown", "not_applicable", "late", "expired")
    nulls = {name: row[f"{name}_count"] for name in reasons if row[f"{name}_count"]}
    return SampleTag(
        entry, row["people_count"], row["value_count"], nulls, outside, unexplained, overflow, _values(entry, row), tuple(faults)
    )  # fmt: skip


def _values(entry: Entry, row: dict[str, Any]) -> str:
    """Say where the values lie: of numbers three quantiles, of others the most frequent ones; a value of few people is not said."""
    if row["quantiles"]:
        low, middle, high = (row["quantiles"][at] for at in (1, 3, -2))
        unit = " days from the date" if entry.value.type == "date" else ""
        return f"{low:g} … {middle:g} … {high:g}{unit}"
    if entry.value.type not in ("string", "boolean"):
        return ""
    bins = [one for one in row["bins"] or [] if one["bin"] != OTHER]
    return ", ".join(f"{one['bin'] or 'empty'} {one['people']}" for one in bins[:MOST_VALUES])
