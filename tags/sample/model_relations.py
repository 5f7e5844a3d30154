"""The models of a compilation as relations of one desk, without dbt: each is made when something first reads it.

What people of a sample do not need is not read: generated models see of every model with a ``one_id`` the sample's rows, and the
product's own models see of a fact table the rows of the sample's profiles and accounts. The site's own models, and what they read,
see everything, since nobody knows what they do with it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jinja2 import StrictUndefined, TemplateError
from jinja2.sandbox import SandboxedEnvironment

from lakehouse.contracts.contract import DBT_DATABASE
from lakehouse.contracts.reading import contract, contract_names
from lakehouse.errors import SettingsInvalid
from lakehouse.query.words import literal
from tags.build.dialect import duckdb_model_of
from tags.compile.places import PROJECT
from vocabulary.buckets import bucket_duckdb_sql
from vocabulary.relations import RELATED, attribution_of

if TYPE_CHECKING:
    from lakehouse.query.desk import Relation
    from lakehouse.query.published import Published
    from tags.compile.compilation import Compilation

SALT = "sample of people"
PEOPLE_MODEL = "int_people"
# Macros that dbt's own words need: a sample has its own `source`, and tests no rows.
_OF_DBT = ("source.sql", "tests.sql")


class NotPublished(SettingsInvalid):
    """A model reads a table that the night did not publish."""


@dataclass(frozen=True)
class _Model:
    """The text of a model, where it stands, and how it sees what it reads."""

    file: str
    text: str
    is_generated: bool = False
    is_site: bool = False


@dataclass
class ModelRelations:
    """Relations over a publication by the name of their model, for about ``size`` people."""

    desk: Published
    compilation: Compilation
    size: int
    _relations: dict[tuple[str, bool], Relation] = field(default_factory=dict)
    _parts: dict[tuple[str, bool], Relation] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Read the texts of the models; none is parsed before it is needed."""
        self._models = _models(self.compilation)
        self._environment = SandboxedEnvironment(undefined=StrictUndefined)
        self._macros = "".join(
            file.read_text(encoding="utf-8")
            for file in sorted((PROJECT / "macros").glob("*.sql"))
            if file.name not in _OF_DBT
        )
        day = self.desk.publication.business_date
        self._variables = {"business_date": day.isoformat()}
        self._people: Relation | None = None

    @property
    def people(self) -> Relation:
        """The people of the sample, one_id: those with the smallest buckets, so that a larger sample holds a smaller one."""
        if self._people is None:
            everybody = self.relation(PEOPLE_MODEL, whole=True)
            self._people = self.desk.keep(
                "sample",
                f"SELECT one_id FROM {everybody} ORDER BY {bucket_duckdb_sql(SALT)}, one_id LIMIT {int(self.size)}",
            )
        return self._people

    def relation(self, name: str, *, whole: bool = False) -> Relation:
        """Give the rows of a model; ``whole`` of a model whose reader may want other people than the sample's."""
        model = self._models.get(name)
        if model is None:
            raise SettingsInvalid(f"no model is called '{name}'")
        whole = whole or model.is_site
        key = (name, whole)
        if key not in self._relations:
            is_table, sql = self._sql(model, whole)
            make = self.desk.keep if is_table or model.is_generated else self.desk.define
            self._relations[key] = make(name, sql)
        return self._relations[key]

    def _sql(self, model: _Model, whole: bool) -> tuple[bool, str]:
        """Give whether a model is stored as a table, and its statement."""
        options: dict[str, Any] = {}

        def config(**values: Any) -> str:
            options.update(values)
            return ""

        def ref(name: str) -> str:
            relation = self.relation(name, whole=whole)
            if model.is_generated and "one_id" in relation.columns and not name.startswith("tag_"):
                return f"(SELECT * FROM {relation} WHERE one_id IN (SELECT one_id FROM {self.people}))"
            return str(relation)

        def source(database: str, table: str) -> str:
            return self._source(f"{database}.{table}", whole)

        text = duckdb_model_of(model.file, model.text)
        words: dict[str, Callable[..., Any] | Mapping[str, Any]] = {
            "config": config,
            "ref": ref,
            "source": source,
            "var": lambda name, default=None: self._variables.get(name, default),
            "target": {"type": "duckdb", "name": "duckdb", "schema": DBT_DATABASE},
        }
        try:
            sql = self._environment.from_string(self._macros + text).render(words)
        except TemplateError as wrong:
            raise SettingsInvalid(
                f"the model needs dbt itself, and a sample is computed without it ({wrong.message})",
                file=model.file,
            ) from None
        return options.get("materialized", "view") in ("table", "incremental"), sql

    def _source(self, table: str, whole: bool) -> str:
        publication = self.desk.publication
        if table not in publication.tables:
            raise NotPublished(f"the night of {publication.business_date} published no table {table}")
        condition = None if whole else self._condition(table)
        key = (table, condition is not None)
        if key not in self._parts:
            where = f" WHERE {condition}" if condition else ""
            self._parts[key] = self.desk.define(table, f"SELECT * FROM {table} facts{where}")
        return str(self._parts[key])

    def _condition(self, table: str) -> str | None:
        """Give what is true of a fact's row that may belong to the sample; None where every row is needed."""
        if table not in contract_names("trusted") or contract(table).shape != "fact":
            return None
        columns = contract(table).columns
        attribution = attribution_of(columns)
        parts = []
        if attribution == "profile":
            parts.append(
                f"(facts.source, facts.source_key) IN (SELECT (source, source_key) FROM {self._profiles()})"
            )
        if attribution is not None and "account_id" in columns:
            parts.append(
                f"(facts.source, facts.account_id) IN (SELECT (source, account_id) FROM {self._accounts()})"
            )
        return " OR ".join(parts) or None

    def _profiles(self) -> Relation:
        if ("profiles", False) not in self._parts:
            self._parts["profiles", False] = self.desk.keep(
                "profiles of the sample",
                "SELECT DISTINCT source, source_key FROM identity.memberships WHERE valid_to IS NULL"
                f" AND one_id IN (SELECT one_id FROM {self.people})",
            )
        return self._parts["profiles", False]

    def _accounts(self) -> Relation:
        """Give every account that a profile of the sample may own; who owns it is said by the models."""
        if ("accounts", False) not in self._parts:
            if RELATED not in self.desk.publication.tables:
                raise NotPublished(
                    f"the night of {self.desk.publication.business_date} published no table {RELATED}"
                )
            self._parts["accounts", False] = self.desk.keep(
                "accounts of the sample",
                f"SELECT DISTINCT to_source AS source, to_key AS account_id FROM {RELATED}"
                f" WHERE relationship_type = {literal('person_account')}"
                f" AND (from_source, from_key) IN (SELECT (source, source_key) FROM {self._profiles()})",
            )
        return self._parts["accounts", False]


def _models(compilation: Compilation) -> dict[str, _Model]:
    models: dict[str, _Model] = {}
    for folder in compilation.model_folders:
        is_site = not folder.is_relative_to(PROJECT)
        for file in sorted(folder.rglob("*.sql")):
            models[file.stem] = _Model(str(file), _text(file), is_site=is_site)
    models |= {name: _Model(f"{name}.sql", text) for name, text in compilation.shared.items()}
    for writer in compilation.writers:
        wide_model = writer.entity.wide_model
        for scan in writer.plan.scans:
            if scan.aggregated:
                models[scan.model] = _Model(f"{scan.model}.sql", writer.scan_sql(scan), is_generated=True)
        models[wide_model] = _Model(f"{wide_model}.sql", writer.wide_sql(), is_generated=True)
    return models


def _text(file: Path) -> str:
    return file.read_text(encoding="utf-8")
