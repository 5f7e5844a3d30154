"""A question: a statement of somebody else, read by DuckDB's own parser before it may run.

It is one ``SELECT``, ``DESCRIBE``, ``SUMMARIZE`` or ``SHOW``. It reads published tables by ``database.table``, the
three relations of ``information_schema`` that list them, and what it makes itself (``WITH``, ``VALUES``, ``range``).
Its functions compute from their arguments: a function that knows more, or reads anything else, is refused. Nothing here
relies on how the text is written.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from lakehouse.errors import UsageError
from lakehouse.query.desk import Desk, open_scratch
from lakehouse.query.words import literals

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

CATALOGUE: Final = "information_schema"
_CATALOGUE_RELATIONS = ("tables", "columns", "schemata")
_ONE = "cdp sql runs one SELECT, DESCRIBE, SUMMARIZE or SHOW"
_QUERY_NODES = {"SELECT_NODE", "SET_OPERATION_NODE", "RECURSIVE_CTE_NODE", "CTE_NODE"}
_RELATIONS = {
    "BASE_TABLE", "SUBQUERY", "JOIN", "TABLE_FUNCTION", "EXPRESSION_LIST", "EMPTY", "PIVOT", "SHOW_REF",
}  # fmt: skip
_TABLE_FUNCTIONS = {"range", "generate_series", "unnest", "json_each", "json_tree", "repeat"}
# DuckDB calls a function consistent when it depends on its arguments alone, and consistent within a query when on a
# setting too. Of the latter the desk admits those that take or give a time with a zone: the setting is the time zone,
# and it is locked. These depend on the moment or on chance.
_ZONED = ("TIMESTAMP WITH TIME ZONE", "TIMESTAMPTZ_NS", "TIME WITH TIME ZONE")
_MOMENT_AND_CHANCE = {
    "current_date", "get_current_time", "get_current_timestamp", "now", "today", "transaction_timestamp",
    "current_localtime", "current_localtimestamp", "gen_random_uuid", "random", "uuid", "uuidv4", "uuidv7",
}  # fmt: skip
# Functions of their arguments alone that run or show SQL text.
_OF_SQL_TEXT = {"json_deserialize_sql", "json_serialize_sql", "json_serialize_plan"}
_SHOW_TABLES = {'"tables"', "__show_tables_expanded"}
SHOW_TABLES_SQL: Final = (
    f'SELECT table_schema AS "database", table_name AS "table" FROM {CATALOGUE}.tables ORDER BY ALL'
)


@dataclass(frozen=True)
class Question:
    """A statement that may run; ``tables`` are those it names, in order, ``columns`` every name it may mean a column by.

    ``has_star`` says that it names columns without writing them: by a star, a place, names of its own, or a row as a whole;
    ``reads_catalogue`` that it asks which tables there are.
    """

    text: str
    tables: tuple[str, ...]
    columns: frozenset[str]
    has_star: bool
    reads_catalogue: bool

    @property
    def needs_publication(self) -> bool:
        """Whether an answer depends on what is published."""
        return bool(self.tables) or self.reads_catalogue


def parse_question(text: str) -> Question:
    """Give the question a text asks; ``UsageError`` says in one sentence why it may not run."""
    import duckdb

    with open_scratch() as desk:
        try:
            statements = desk.connection.extract_statements(text)
        except duckdb.Error as wrong:
            raise UsageError(f"the SQL cannot be read: {str(wrong).splitlines()[0]}") from None
        if not statements:
            raise UsageError(f"there is no statement to run; {_ONE}")
        if len(statements) > 1:
            raise UsageError(f"there are {len(statements)} statements; {_ONE}")
        kind = statements[0].type.name
        if kind == "MULTI":
            raise UsageError("PIVOT has to name the values that become columns: PIVOT … ON … IN (…)")
        if kind != "SELECT":
            raise UsageError(f"this is {kind.replace('_', ' ')}; {_ONE}")
        tree = _tree(desk.connection, statements[0].query)
        return _Reader(desk, tree).question(statements[0].query)


def _tree(connection: DuckDBPyConnection, text: str) -> dict[str, Any]:
    row = connection.execute("SELECT json_serialize_sql(?::VARCHAR)", [text]).fetchone()
    try:
        answer: dict[str, Any] = json.loads(row[0]) if row else {}
    except RecursionError:
        raise UsageError("the SQL is nested too deep to be read") from None
    if answer.get("error", True) or len(answer["statements"]) != 1:
        raise UsageError(f"the SQL cannot be read: {answer.get('error_message', 'no statement')}; {_ONE}")
    tree: dict[str, Any] = answer["statements"][0]
    return tree


class _Reader:
    """Goes through the tree of one statement and refuses whatever is not on the lists above."""

    def __init__(self, desk: Desk, tree: dict[str, Any]) -> None:
        self.desk = desk
        self.tree = tree
        self.parts = list(_parts(tree))
        self.own_names = self._own_names()
        self.tables: dict[str, None] = {}
        self.columns: set[str] = set()
        self.reads_catalogue = False

    def question(self, text: str) -> Question:
        shows_tables = self._shows_tables()
        functions: set[str] = set()
        for part in self.parts:
            kind, name = str(part.get("type", "")), part.get("class")
            if kind.endswith("_NODE") and kind not in _QUERY_NODES:
                raise UsageError(f"this changes something ({kind.split('_')[0]}); {_ONE}")
            if "sample" in part and name is None and not kind.endswith("_NODE"):
                self._read_relation(part, kind)
            elif name in ("FUNCTION", "WINDOW"):
                functions.add(str(part.get("function_name", "")).lower())
            elif name == "COLUMN_REF":
                self.columns.update(str(column).lower() for column in part["column_names"])
        self._check_functions(functions - _TABLE_FUNCTIONS)
        return Question(
            text=SHOW_TABLES_SQL if shows_tables else text,
            tables=tuple(self.tables),
            columns=frozenset(self.columns),
            has_star=self._has_star(),
            reads_catalogue=self.reads_catalogue or shows_tables,
        )

    def _has_star(self) -> bool:
        """Tell whether columns are named that are not written: SUMMARIZE and ``#1``, too, rows of a table by its name, and lists of names."""
        relations = {
            str(part.get(key) or "").lower()
            for part in self.parts
            for key in ("alias", "table_name", "cte_name")
        } | self.own_names
        return any(
            part.get("class") in ("STAR", "POSITIONAL_REFERENCE")
            or part.get("show_type") == "SUMMARY"
            or part.get("column_name_alias")
            or (part.get("class") == "COLUMN_REF" and str(part["column_names"][-1]).lower() in relations)
            for part in self.parts
        )

    def _own_names(self) -> set[str]:
        """Give the names that ``WITH`` makes; one that the catalogue of DuckDB or a file may have too is refused.

        Which ``WITH`` a name is seen from does not matter then: elsewhere it means nothing.
        """
        names = {
            str(entry["key"]).lower()
            for part in self.parts
            for entry in (part.get("cte_map") or {}).get("map", ())
        }
        names |= {str(part["cte_name"]).lower() for part in self.parts if part.get("cte_name")}
        views = self.desk.rows(
            f"SELECT view_name FROM duckdb_views() WHERE lower(view_name) IN ({literals(sorted(names)) or 'NULL'})"
        )
        unclear = [name for (name,) in views] + sorted(name for name in names if not name.isidentifier())
        if unclear:
            raise UsageError(f"WITH may not name a relation '{unclear[0]}'; give it a plain name of its own")
        return names

    def _shows_tables(self) -> bool:
        """Tell whether the whole statement is one of those that list tables."""
        relation = self.tree["node"].get("from_table") or {}
        return relation.get("type") == "SHOW_REF" and relation.get("table_name") in _SHOW_TABLES

    def _read_relation(self, part: dict[str, Any], kind: str) -> None:
        if kind not in _RELATIONS:
            raise UsageError(f"cdp sql reads no {kind.replace('_', ' ').lower()}")
        if kind == "BASE_TABLE":
            self._read_table(part)
        elif kind == "TABLE_FUNCTION":
            name = str(part["function"].get("function_name", "")).lower()
            if name not in _TABLE_FUNCTIONS:
                raise UsageError(
                    f"{name}() is not for readers: cdp sql reads published tables, written <database>.<table>"
                )
        elif kind == "SHOW_REF" and part.get("query") is None:
            is_whole = part is self.tree["node"].get("from_table")
            if not (is_whole and part.get("table_name") in _SHOW_TABLES):
                raise UsageError(
                    "of SHOW there is SHOW TABLES; for a table write DESCRIBE <database>.<table>"
                )

    def _read_table(self, part: dict[str, Any]) -> None:
        catalog, schema, name = (
            str(part.get(key) or "").lower() for key in ("catalog_name", "schema_name", "table_name")
        )
        if part.get("at_clause") is not None:
            raise UsageError("cdp sql reads an older night with --as-of D, not with AT")
        if not schema and not catalog and name in self.own_names:
            return
        if catalog not in ("", "memory") or not schema:
            raise UsageError(
                f"there is no table '{part['table_name']}'; tables are written <database>.<table>"
            )
        if schema == CATALOGUE:
            if name not in _CATALOGUE_RELATIONS:
                listing = ", ".join(f"{CATALOGUE}.{relation}" for relation in _CATALOGUE_RELATIONS)
                raise UsageError(f"{CATALOGUE}.{name} is not for readers; there are {listing}")
            self.reads_catalogue = True
        else:
            self.tables[f"{schema}.{name}"] = None

    def _check_functions(self, names: Collection[str]) -> None:
        """Refuse functions that know more than their arguments; a macro is judged by what it is written with."""
        rows = self.desk.rows(
            "SELECT lower(function_name), function_type, stability, macro_definition, "
            f"len(parameter_types) > 0 AND list_has_any(list_append(parameter_types, return_type), [{literals(_ZONED)}]) "
            "FROM duckdb_functions() "
            f"WHERE lower(function_name) IN ({literals(sorted(names)) or 'NULL'}) "
            "AND function_type NOT IN ('table', 'table_macro', 'pragma')"
        )
        for name in sorted({row[0] for row in rows} - _MOMENT_AND_CHANCE):
            meanings = [row for row in rows if row[0] == name]
            if name in _OF_SQL_TEXT or not all(self._is_pure(*meaning[1:]) for meaning in meanings):
                raise UsageError(
                    f"{name}() is not for readers: it knows more than the tables that are published"
                )

    def _is_pure(self, kind: str, stability: str | None, definition: str | None, is_zoned: bool) -> bool:
        if kind != "macro":
            is_settled = stability == "CONSISTENT" or (stability == "CONSISTENT_WITHIN_QUERY" and is_zoned)
            return kind in ("scalar", "aggregate", "window") and is_settled
        parts = list(_parts(_tree(self.desk.connection, f"SELECT {definition}")))
        if any(part.get("type") in ("BASE_TABLE", "TABLE_FUNCTION", "SHOW_REF") for part in parts):
            return False
        try:
            self._check_functions(
                {
                    str(part.get("function_name", "")).lower()
                    for part in parts
                    if part.get("class") in ("FUNCTION", "WINDOW")
                }
            )
        except UsageError:
            return False
        return True


def _parts(tree: Any) -> Iterator[dict[str, Any]]:
    """Give every object of a tree in the order of the text, the outer ones first."""
    waiting = [tree]
    while waiting:
        part = waiting.pop()
        if isinstance(part, dict):
            yield part
            waiting.extend(reversed(part.values()))
        elif isinstance(part, list):
            waiting.extend(reversed(part))
