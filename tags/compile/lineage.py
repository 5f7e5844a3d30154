"""Which columns of contracted tables a dbt model's column comes from, by parsing; so its personal level is computed.

A value counts as coming from every column that its expression names, in conditions too; joins and filters do not count.
Models are rendered with the product's own macros, parsed by sqlglot and followed through every select, so a column is what
it is made of, whatever it is called. A site's model whose SQL cannot be followed counts as made of all that it reads.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

from lakehouse.contracts.reading import contract, contract_names
from lakehouse.errors import SettingsInvalid
from tags.compile.places import PROJECT

Sources = frozenset[str]
MODELS = "models"
# Macros that say how tests are made or how dbt finds a table; the others are text of SQL.
_NO_SQL = ("tests.sql", "source.sql")
_ANY_DAY = "2026-01-01"


class Lineage:
    """The columns (``database.table.column``) of contracted tables that the columns of dbt models come from."""

    def __init__(self, folders: Iterable[Path], texts: Mapping[str, str] | None = None) -> None:
        """Follow the models of ``folders`` and the generated ones, ``texts`` by their names."""
        self._texts = {
            file.stem: file.read_text(encoding="utf-8")
            for folder in folders
            for file in sorted(folder.rglob("*.sql"))
        } | dict(texts or {})
        self._columns = _columns_known(tuple(self._texts.items()))

    def sources(self, relation: str, column: str) -> Sources:
        """Give what a column of a trusted table or of a model comes from."""
        if relation not in self._texts:
            return frozenset([f"{relation}.{column}"])
        self._visit(relation, ())
        return self._columns[relation].get(column, frozenset())

    def _visit(self, name: str, path: tuple[str, ...]) -> None:
        if name in self._columns or name not in self._texts or name in path:
            return
        tree = _tree_of(name, self._texts[name])
        for other in tree.find_all(_exp().Table):
            if other.db == MODELS:
                self._visit(other.name, (*path, name))
        self._columns[name] = _columns_of(tree, self._columns)


def _exp() -> Any:
    from sqlglot import exp

    return exp


@lru_cache(maxsize=8)
def _columns_known(texts: tuple[tuple[str, str], ...]) -> dict[str, dict[str, Sources]]:
    """Give where the columns of models of these texts come from, as far as somebody has asked."""
    return {}


def _tree_of(name: str, text: str) -> Any:
    import jinja2

    try:
        return _tree(text)
    except jinja2.TemplateError as wrong:
        raise SettingsInvalid(
            f"the model '{name}' needs dbt itself, and its columns are followed without it ({wrong.message})"
        ) from None


@cache
def _tree(text: str) -> Any:
    import sqlglot

    return sqlglot.parse_one(_sql_of(text), dialect="spark")


def _sql_of(text: str) -> str:
    import jinja2

    macros = [
        file.read_text(encoding="utf-8")
        for file in sorted((PROJECT / "macros").glob("*.sql"))
        if file.name not in _NO_SQL
    ]
    template = jinja2.Environment(autoescape=False).from_string("\n".join([*macros, text]))
    return template.render(
        ref=lambda *names: f"{MODELS}.{names[-1]}",
        source=lambda database, table: f"{database}.{table}",
        config=lambda **settings: "",
        var=lambda name, default=None: _ANY_DAY if name == "business_date" else default,
    )


def _columns_of(tree: Any, models: Mapping[str, Mapping[str, Sources]]) -> dict[str, Sources]:
    from sqlglot.errors import SqlglotError
    from sqlglot.optimizer.qualify import qualify
    from sqlglot.optimizer.scope import build_scope

    names = {(table.db, table.name) for table in tree.find_all(_exp().Table) if table.db}
    columns_of = {(database, table): _known_columns(database, table, models) for database, table in names}
    schema: dict[str, Any] = {}
    for (database, table), sources in columns_of.items():
        schema.setdefault(database, {})[table] = dict.fromkeys(sources, "string")
    everything = frozenset().union(
        *(source for columns in columns_of.values() for source in columns.values())
    )
    try:
        scope: Any = build_scope(
            qualify(
                tree.copy(),
                dialect="spark",
                schema=schema,
                validate_qualify_columns=False,
                quote_identifiers=False,
            )
        )
        outputs = list(scope.expression.named_selects)
        return {name: _sources(scope, name, columns_of, everything) for name in outputs}
    except SqlglotError:
        return {select.alias_or_name: everything for select in tree.selects}


def _known_columns(
    database: str, table: str, models: Mapping[str, Mapping[str, Sources]]
) -> dict[str, Sources]:
    if database == MODELS:
        return dict(models.get(table, {}))
    name = f"{database}.{table}"
    if name not in contract_names():
        return {}
    return {column: frozenset([f"{name}.{column}"]) for column in contract(name).columns}


def _sources(
    scope: Any, name: str, columns_of: Mapping[tuple[str, str], Mapping[str, Sources]], everything: Sources
) -> Sources:
    """Give what an output column of a select comes from; where a step is lost, it comes from everything."""
    if scope.set_operation_scopes:
        at = list(scope.expression.named_selects).index(name)
        branches = [
            (branch, list(branch.expression.named_selects)[at]) for branch in scope.set_operation_scopes
        ]
        return frozenset().union(
            *(_sources(branch, column, columns_of, everything) for branch, column in branches)
        )
    selects = [select for select in scope.expression.selects if select.alias_or_name == name]
    if not selects:
        return everything
    sources: set[str] = set()
    for column in selects[0].find_all(_exp().Column):
        source = scope.sources.get(column.table)
        if source is None:
            sources |= everything if not _is_lambda_variable(column) else frozenset()
        elif isinstance(source, _exp().Table):
            sources |= columns_of.get((source.db, source.name), {}).get(column.name, everything)
        else:
            sources |= _sources(source, column.name, columns_of, everything)
    return frozenset(sources)


def _is_lambda_variable(column: Any) -> bool:
    scope = column.find_ancestor(_exp().Lambda)
    return scope is not None and any(variable.name == column.name for variable in scope.expressions)
