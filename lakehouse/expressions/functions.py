"""What every function of the language takes and gives, with an example that tests hold against both engines."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

from lakehouse.expressions.duckdb import duckdb_query
from lakehouse.expressions.patterns import Untranslatable
from lakehouse.settings.yaml_files import load_plain_yaml

FILE = Path(__file__).parent / "functions.yml"
USUAL_NULLS = "null where an argument is"
# The columns that examples read, by name: their types in Spark SQL.
EXAMPLE_COLUMNS = {
    "t": "string",
    "n": "bigint",
    "d": "decimal(18,2)",
    "day": "date",
    "at": "timestamp",
    "flag": "boolean",
    "l": "array<string>",
    "j": "string",
    "j2": "string",
}


@dataclass(frozen=True)
class LanguageFunction:
    """One function: its name, arguments and answer in words, its rule for nulls, and an example over ``EXAMPLE_COLUMNS``."""

    name: str
    takes: str
    gives: str
    example: str
    nulls: str = USUAL_NULLS

    def duckdb_sql(self) -> str | None:
        """Give the example in DuckDB's words; None where only Spark computes it."""
        try:
            return " ".join(duckdb_query(f"select {self.example}").split()).removeprefix("SELECT ")
        except Untranslatable:
            return None


@cache
def language_functions() -> tuple[LanguageFunction, ...]:
    """Give every function of the language, by name."""
    entries = [{key: str(value) for key, value in entry.items()} for entry in load_plain_yaml(FILE)]
    return tuple(LanguageFunction(**entry) for entry in entries)
