"""Which columns of contracted tables a dbt model's column comes from, by parsing; so its personal level is computed.

A value counts as coming from every column that its expression names, in conditions too. Joins and filters do not count as that: they are
given apart, as what decides the rows of a model.
Models are rendered with the product's own macros, parsed by sqlglot and followed through every select, so a column is what
it is made of, whatever it is called. A site's model whose SQL cannot be followed counts as made of all that it reads.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache, lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

from lakehouse.contracts.reading import contract, contract_names
from lakehouse.errors import SettingsInvalid
from tags.compile.places import PROJECT
from tags.compile.row_conditions import counts_rows, inner_selects, own_columns, parts_rows, row_conditions

Sources = frozenset[str]
Values = Mapping[str, str]
MODELS = "models"
STAGING = "stg_trusted__"
_NO_VALUES: Values = MappingProxyType({})
# Macros that say how tests are made or how dbt finds a table; the others are text of SQL.
_NO_SQL = ("tests.sql", "source.sql")
_ANY_DAY = "2026-01-01"
PIPELINE = frozenset({"source", "_feed", "_file", "_row", "_arrived_on", "valid_from", "valid_to"})
"""The columns of every table that say where a row comes from and when; they are no input of anything."""


@dataclass(frozen=True)
class DecidingColumns:
    """The contracted columns that decide which rows a value is taken from, without those of the pipeline.

    ``filters`` say something of the rows that count; ``presences`` are of such that ask only whether there is a value; ``keys`` bring
    rows together.
    """

    filters: Sources = frozenset()
    presences: Sources = frozenset()
    keys: Sources = frozenset()

    @property
    def with_meaning(self) -> Sources:
        """Those that say something of whom they keep: filters, but for whether there is a key."""
        return self.filters | (self.presences - self.keys)

    @property
    def all(self) -> Sources:
        """All of them."""
        return self.filters | self.presences | self.keys

    def __or__(self, other: DecidingColumns) -> DecidingColumns:
        """Give both."""
        return DecidingColumns(
            self.filters | other.filters, self.presences | other.presences, self.keys | other.keys
        )


class Lineage:
    """The columns (``database.table.column``) of contracted tables that the columns of dbt models come from."""

    def __init__(self, folders: Iterable[Path], texts: Mapping[str, str] | None = None) -> None:
        """Follow the models of ``folders`` and the generated ones, ``texts`` by their names."""
        self._texts = {
            file.stem: file.read_text(encoding="utf-8")
            for folder in folders
            for file in sorted(folder.rglob("*.sql"))
        } | dict(texts or {})
        self._models = _models_known(tuple(self._texts.items()))

    def sources(self, relation: str, column: str, values: Values = _NO_VALUES) -> Sources:
        """Give what a column of a trusted table or of a model comes from.

        ``values`` are texts that other columns of the rows have: the branches of a union that say something else do not count.
        """
        model = self._model(relation)
        if model is None:
            return frozenset([f"{relation}.{column}"])
        if values and model.scope is not None and column in model.columns:
            return _sources(model.scope, column, model, values)
        return model.columns.get(column, frozenset())

    def tables(self, relation: str) -> frozenset[str]:
        """Give the contracted tables that a trusted table or a model reads, by itself and through models, joins and filters too."""
        model = self._model(relation)
        return frozenset([relation]) if model is None else model.tables

    def deciding(
        self,
        relation: str,
        names: Collection[str],
        values: Values = _NO_VALUES,
        *,
        are_counted: bool = False,
    ) -> DecidingColumns:
        """Give the columns that decide which rows a model has where these columns of it are read; of a table that is no model none.

        Left joins of which none of them takes anything do not count, unless rows ``are_counted``. Where a model cannot be followed
        nothing is known beside ``sources``. ``values`` are as there.
        """
        model = self._model(relation)
        if model is None or model.scope is None:
            return DecidingColumns()
        key = (frozenset(names), tuple(sorted(values.items())), are_counted)
        if key not in model.deciding:
            columns = _deciding(model.scope, key[0], model, self, are_counted, values)
            # That a row counts from its own day on says nothing of whom it is about.
            model.deciding[key] = (
                DecidingColumns(keys=columns.all) if relation.startswith(STAGING) else columns
            )
        return model.deciding[key]

    def columns_held(self, relation: str, column: str) -> Sources:
        """Give the contracted columns whose values a column holds as they are; none where it may hold anything else."""
        model = self._model(relation)
        if model is None:
            return frozenset([f"{relation}.{column}"])
        if model.scope is None or column not in model.columns:
            return frozenset()
        return _columns_held(model.scope, column, self) or frozenset()

    def type_of(self, relation: str, column: str) -> str | None:
        """Give the Spark SQL type of a column of a trusted table or of a model; None where it is not plain."""
        model = self._model(relation)
        if model is None:
            columns = contract(relation).columns if relation in contract_names() else {}
            return columns[column].type if column in columns else None
        if column not in model.types:
            is_followed = model.scope is not None and column in model.columns
            model.types[column] = _type_of(model.scope, column, self) if is_followed else None
        return model.types[column]

    def _model(self, name: str) -> _Model | None:
        """Give what is known of a model; None for what is no model."""
        if name not in self._texts:
            return None
        self._visit(name, ())
        return self._models[name]

    def _visit(self, name: str, path: tuple[str, ...]) -> None:
        if name in self._models or name not in self._texts or name in path:
            return
        tree = _tree_of(name, self._texts[name])
        for other in tree.find_all(_exp().Table):
            if other.db == MODELS:
                self._visit(other.name, (*path, name))
        self._models[name] = _model_of(tree, self._models)


@dataclass(frozen=True)
class _Model:
    """A model that was followed: by output column where it comes from, and the tables that it reads.

    ``scope`` is its outermost select, None where it cannot be followed; ``relations`` are by relation the columns that it reads from,
    ``types`` those of its columns, and ``deciding`` what decides its rows, by the columns of it that are read; both as far as somebody has asked.
    """

    columns: Mapping[str, Sources]
    tables: frozenset[str]
    everything: Sources
    scope: Any = field(default=None, repr=False)
    relations: Mapping[tuple[str, str], Mapping[str, Sources]] = field(default_factory=dict, repr=False)
    types: dict[str, str | None] = field(default_factory=dict, repr=False)
    deciding: dict[tuple[frozenset[str], tuple[tuple[str, str], ...], bool], DecidingColumns] = field(
        default_factory=dict, repr=False
    )


def _exp() -> Any:
    from sqlglot import exp

    return exp


@lru_cache(maxsize=8)
def _models_known(texts: tuple[tuple[str, str], ...]) -> dict[str, _Model]:
    """Give the models of these texts that were followed, as far as somebody has asked."""
    return {}


def _tree_of(name: str, text: str) -> Any:
    import jinja2
    from sqlglot.errors import SqlglotError

    try:
        return _tree(text)
    except SqlglotError as wrong:
        fault = str(wrong).splitlines()[0]
        raise SettingsInvalid(
            f"the model '{name}' is no Spark SQL whose columns can be followed: {fault}"
        ) from None
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


def _model_of(tree: Any, models: Mapping[str, _Model]) -> _Model:
    from sqlglot.errors import SqlglotError
    from sqlglot.optimizer.qualify import qualify
    from sqlglot.optimizer.scope import build_scope

    names = {(table.db, table.name) for table in tree.find_all(_exp().Table) if table.db}
    relations = {(database, table): _known_columns(database, table, models) for database, table in names}
    schema: dict[str, Any] = {}
    for (database, table), sources in relations.items():
        schema.setdefault(database, {})[table] = dict.fromkeys(sources, "string")
    everything = frozenset().union(*(source for columns in relations.values() for source in columns.values()))
    tables = {f"{database}.{table}" for database, table in names if database != MODELS} & set(
        contract_names()
    )
    for database, table in names:
        if database == MODELS and table in models:
            tables |= models[table].tables
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
        model = _Model({}, frozenset(tables), everything, scope, relations)
        columns = {name: _sources(scope, name, model) for name in scope.expression.named_selects}
        return replace(model, columns=columns)
    except SqlglotError:
        columns = {select.alias_or_name: everything for select in tree.selects}
        return _Model(columns, frozenset(tables), everything)


def _known_columns(database: str, table: str, models: Mapping[str, _Model]) -> dict[str, Sources]:
    if database == MODELS:
        return dict(models[table].columns) if table in models else {}
    name = f"{database}.{table}"
    if name not in contract_names():
        return {}
    return {column: frozenset([f"{name}.{column}"]) for column in contract(name).columns}


def _sources(
    scope: Any, name: str, model: _Model, values: Values = _NO_VALUES, *, has_partitions: bool = True
) -> Sources:
    """Give what an output column of a select comes from; where a step is lost, it comes from everything.

    Without ``has_partitions`` the columns by which windows part rows do not count.
    """
    if scope.set_operation_scopes:
        return frozenset().union(
            *(
                _sources(branch, column, model, values_of_branch, has_partitions=has_partitions)
                for branch, column, values_of_branch in _branches(scope, name, values)
            )
        )
    select = _select(scope, name)
    if select is None:
        return model.everything
    columns = [
        column for part in (select, *_named_windows(scope, select)) for column in part.find_all(_exp().Column)
    ]
    return frozenset().union(
        *(
            _sources_of_column(scope, column, model, values, has_partitions=has_partitions)
            for column in columns
            if has_partitions or not parts_rows(column)
        )
    )


def _sources_of_column(
    scope: Any, column: Any, model: _Model, values: Values = _NO_VALUES, *, has_partitions: bool = True
) -> Sources:
    source = scope.sources.get(column.table)
    if source is None:
        return model.everything if not _is_lambda_variable(column) else frozenset()
    if isinstance(source, _exp().Table):
        return model.relations.get((source.db, source.name), {}).get(column.name, model.everything)
    values_below = _values_below(scope, column.table, values)
    return _sources(source, column.name, model, values_below, has_partitions=has_partitions)


def _named_windows(scope: Any, select: Any) -> list[Any]:
    """Give the windows of a select that an expression names, as ``over w`` does."""
    names = {window.alias for window in select.find_all(_exp().Window) if window.alias}
    return [window for window in scope.expression.args.get("windows") or [] if window.name in names]


def _deciding(
    scope: Any,
    names: Collection[str],
    model: _Model,
    lineage: Lineage,
    are_counted: bool,
    values: Values = _NO_VALUES,
) -> DecidingColumns:
    """Give the columns that decide the rows of a select where some of its output columns are read."""
    columns = DecidingColumns()
    if scope.set_operation_scopes:
        for name in sorted(names) or [scope.expression.named_selects[0]]:
            for branch, own_name, own_values in _branches(scope, name, values):
                own_names = [own_name] if names else []
                columns |= _deciding(branch, own_names, model, lineage, are_counted, own_values)
        return columns
    selects = [select for name in names if (select := _select(scope, name)) is not None]
    answers = [part for select in selects for part in (select, *_named_windows(scope, select))]
    is_grouped = any(scope.expression.args.get(part) for part in ("group", "distinct"))
    are_counted = counts_rows(answers) or (are_counted and not is_grouped)
    inner = {
        alias: source.expression
        for alias, source in scope.sources.items()
        if not isinstance(source, _exp().Table)
    }
    conditions = row_conditions(scope.expression, answers, inner, are_counted=are_counted)
    filters = _sources_of_parts(scope, conditions.filters, model, lineage, has_partitions=False)
    columns |= DecidingColumns(
        filters,
        _sources_of_parts(scope, conditions.presences, model, lineage),
        _sources_of_parts(scope, conditions.keys, model, lineage)
        | (_sources_of_parts(scope, conditions.filters, model, lineage) - filters),
    )
    parts = (*answers, *conditions.filters, *conditions.presences, *conditions.keys)
    for alias in conditions.relations:
        source = scope.sources.get(alias)
        names_read = {column.name for part in parts for column in own_columns(part) if column.table == alias}
        if isinstance(source, _exp().Table):
            columns |= lineage.deciding(
                _name_of(source), names_read, _values_below(scope, alias, values), are_counted=are_counted
            )
        elif source is not None:
            values_below = _values_below(scope, alias, values)
            columns |= _deciding(source, names_read, model, lineage, are_counted, values_below)
    return columns


def _sources_of_parts(
    scope: Any, parts: Iterable[Any], model: _Model, lineage: Lineage, *, has_partitions: bool = True
) -> Sources:
    """Give what the expressions of a condition come from, selects inside them with all that decides their rows."""
    sources: set[str] = set()
    for part in parts:
        for column in own_columns(part):
            if column.name not in PIPELINE and (has_partitions or not parts_rows(column)):
                sources |= _sources_of_column(
                    _scope_of(column, scope), column, model, has_partitions=has_partitions
                )
        queries = {id(query) for query in inner_selects(part)}
        for inner in scope.subquery_scopes:
            if id(inner.expression) in queries:
                names = inner.expression.named_selects
                sources |= _sources_of_parts(inner, inner.expression.selects, model, lineage)
                below = _deciding(inner, names, model, lineage, False)
                sources |= below.all
    return frozenset(source for source in sources if source.rpartition(".")[2] not in PIPELINE)


def _scope_of(column: Any, scope: Any) -> Any:
    """Give the scope whose relation a column is of: a select inside a condition may name those around it."""
    around = scope
    while around is not None and column.table not in around.sources:
        around = around.parent
    return scope if around is None else around


def _select(scope: Any, name: str) -> Any | None:
    return next((select for select in scope.expression.selects if select.alias_or_name == name), None)


def _branches(scope: Any, name: str, values: Values = _NO_VALUES) -> list[tuple[Any, str, Values]]:
    """Give the branches of a union, each with its name of a column and with the values of its columns; those that say another value are left out."""
    places = list(scope.expression.named_selects)
    branches: list[tuple[Any, str, Values]] = []
    for branch in scope.set_operation_scopes:
        own = list(branch.expression.named_selects)
        values_of_branch = {own[places.index(one)]: text for one, text in values.items() if one in places}
        branches.append((branch, own[places.index(name)], values_of_branch))
    fitting = [one for one in branches if not _says_another_value(one[0], one[2])]
    return fitting or branches


def _says_another_value(branch: Any, values: Values) -> bool:
    if branch.set_operation_scopes:
        return False
    selects = [(_select(branch, name), text) for name, text in values.items()]
    literals = [
        (select.unalias(), text)
        for select, text in selects
        if select is not None and isinstance(select.unalias(), _exp().Literal)
    ]
    return any(literal.name != text for literal, text in literals)


def _values_below(scope: Any, source: str, values: Values) -> Values:
    """Give the values that the columns of a source have, where those of a select have these."""
    below = {}
    for name, text in values.items():
        select = _select(scope, name)
        column = None if select is None else select.unalias()
        if isinstance(column, _exp().Column) and column.table == source:
            below[column.name] = text
    return below


def _columns_held(scope: Any, name: str, lineage: Lineage) -> Sources | None:
    """Give the contracted columns that an output column of a select is, none for a null; None where it is something else."""
    if scope.set_operation_scopes:
        parts = [_columns_held(branch, column, lineage) for branch, column, _ in _branches(scope, name)]
        return None if None in parts else frozenset().union(*(part for part in parts if part))
    select = _select(scope, name)
    column = None if select is None else select.unalias()
    if isinstance(column, _exp().Cast):
        column = column.this if isinstance(column.this, _exp().Null) else column
    if isinstance(column, _exp().Null):
        return frozenset()
    source = scope.sources.get(column.table) if isinstance(column, _exp().Column) else None
    if source is None or column is None:
        return None
    if isinstance(source, _exp().Table):
        return lineage.columns_held(_name_of(source), column.name) or None
    return _columns_held(source, column.name, lineage)


def _type_of(scope: Any, name: str, lineage: Lineage) -> str | None:
    """Give the type of an output column of a select, of a union that of all its branches; None where it is not plain."""
    if scope.set_operation_scopes:
        types = {_type_of(branch, column, lineage) for branch, column, _ in _branches(scope, name)}
        return types.pop() if len(types) == 1 else None
    select = _select(scope, name)
    if select is None or select.find(_exp().Query):
        return None
    return _type_of_expression(select.unalias(), scope, lineage)


def _type_of_expression(expression: Any, scope: Any, lineage: Lineage) -> str | None:
    from sqlglot.errors import SqlglotError
    from sqlglot.optimizer.annotate_types import annotate_types

    def type_of_column(column: Any) -> str | None:
        source = scope.sources.get(column.table)
        if source is None:
            return None
        if isinstance(source, _exp().Table):
            return lineage.type_of(_name_of(source), column.name)
        return _type_of(source, column.name, lineage)

    def null_of_type(node: Any) -> Any:
        kind = type_of_column(node) if isinstance(node, _exp().Column) else None
        return node if kind is None else _exp().cast(_exp().null(), kind, dialect="spark")

    if isinstance(expression, _exp().Column):
        return type_of_column(expression)
    try:
        kind = annotate_types(expression.copy().transform(null_of_type), dialect="spark").type
    except SqlglotError:
        return None
    types = _exp().DataType.Type
    if kind is None or kind.this in (types.UNKNOWN, types.NULL):
        return None
    return str(kind.sql("spark")).lower()


def _name_of(table: Any) -> str:
    """Give a relation by its name: a model by its own, a table with its database."""
    return str(table.name if table.db == MODELS else f"{table.db}.{table.name}")


def _is_lambda_variable(column: Any) -> bool:
    scope = column.find_ancestor(_exp().Lambda)
    return scope is not None and any(variable.name == column.name for variable in scope.expressions)
