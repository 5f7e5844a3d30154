"""Words of SQL text: literals, identifiers and types. They are written here and nowhere else."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

# By the names of Delta's schemas and by those of Spark SQL, which contracts use.
_DUCK_TYPES = {
    "int": "INTEGER",
    "bigint": "BIGINT",
    "smallint": "SMALLINT",
    "binary": "BLOB",
    "date": "DATE",
    "string": "VARCHAR",
    "integer": "INTEGER",
    "long": "BIGINT",
    "boolean": "BOOLEAN",
    "double": "DOUBLE",
    "float": "FLOAT",
    "short": "SMALLINT",
    "timestamp": "TIMESTAMPTZ",
}


def literal(value: object) -> str:
    """Give a value as a literal of DuckDB, Delta and standard SQL; ``TypeError`` for a type that has none."""
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | Decimal):
        return str(value)
    if isinstance(value, datetime):
        return f"TIMESTAMP {_quoted(value.isoformat(sep=' '))}"
    if isinstance(value, date):
        return f"DATE {_quoted(value.isoformat())}"
    if isinstance(value, str | Path):
        return _quoted(str(value))
    raise TypeError(f"a {type(value).__name__} is no SQL literal")


def literals(values: Iterable[object]) -> str:
    """Give literals with commas between them, for an ``IN`` list."""
    return ", ".join(literal(value) for value in values)


def spark_literal(value: object) -> str:
    """Give a value as a literal of Spark SQL, whose strings know backslashes; a list becomes the list of ``IN``.

    ``TypeError`` for a type that has none.
    """
    if isinstance(value, float):
        return format(Decimal(repr(value)), "f")
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, list):
        return f"({spark_literals(value)})"
    if isinstance(value, str):
        return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"
    return literal(value)


def spark_literals(values: Iterable[object]) -> str:
    """Give Spark's literals with commas between them, for an ``IN`` list or an array."""
    return ", ".join(spark_literal(value) for value in values)


def spark_identifier(name: str) -> str:
    """Give the name of a column in Spark SQL's backticks."""
    return "`" + name.replace("`", "``") + "`"


def identifier(name: str) -> str:
    """Give the name of a column, table or schema in double quotes."""
    return '"' + name.replace('"', '""') + '"'


def identifiers(names: Iterable[str]) -> str:
    """Give quoted names with commas between them."""
    return ", ".join(identifier(name) for name in names)


def duck_type(kind: Any) -> str:
    """Give DuckDB's type for a type of a Delta schema or of Spark SQL: a name, or Delta's tree of an array or a struct.

    ``TypeError`` for a type it does not know: a column read as text by mistake would be found nights later.
    """
    if isinstance(kind, dict):
        if kind["type"] == "array":
            return f"{duck_type(kind['elementType'])}[]"
        fields = ", ".join(
            f"{identifier(field['name'])} {duck_type(field['type'])}" for field in kind["fields"]
        )
        return f"STRUCT({fields})"
    if kind.startswith("decimal"):
        return str(kind).upper()
    if kind.startswith("array<"):
        return f"{duck_type(kind[6:-1])}[]"
    if kind not in _DUCK_TYPES:
        raise TypeError(f"DuckDB's name for the type {kind} is not known")
    return _DUCK_TYPES[kind]


def duck_hash(values: Iterable[str]) -> str:
    """Give DuckDB's SQL of a 64-bit hash of values, which stand as SQL; nulls count."""
    return f"hash({', '.join(values)})"


def spark_hash(values: Iterable[str]) -> str:
    """Give Spark's SQL of a 64-bit hash of values, which stand as SQL; a null is as if it were not there."""
    return f"xxhash64({', '.join(values)})"


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
