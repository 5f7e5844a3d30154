"""The table of functions and engines on the reference page of expressions: who computes what, and where it may stand."""

from __future__ import annotations

from ingestion.feeds.exact_translation import ExactTranslator
from ingestion.feeds.translation import Translator
from lakehouse.expressions.functions import EXAMPLE_COLUMNS, USUAL_NULLS, LanguageFunction, language_functions
from lakehouse.expressions.patterns import Untranslatable
from segments.language.leaves.expressions import ExpressionLeaf, type_faults
from vocabulary.tag_facts import TagFacts, ValueType

HELD_BY_TAGS = "tests/lakehouse/expressions/test_duckdb.py"
HELD_BY_FEEDS = "tests/ingestion/feeds/test_language_in_feeds.py"
_FACTS: dict[str, ValueType] = {
    "t": "category", "n": "number", "d": "number", "day": "date", "flag": "boolean", "l": "set",
}  # fmt: skip


def functions_page() -> str:
    """Give the part of the reference page that lists every function with its meaning in each engine."""
    lines = [
        "## Functions and engines",
        "",
        "Spark computes every function. In DuckDB the same meaning is said as the last column shows; `–` stands where only Spark has",
        "it: such an expression is refused at check, with file and line, by `engine: duckdb` and on a machine without Java. Feeds are",
        "computed *in bulk* where both engines surely agree, else *value by value* in this process, else *by Spark*. Tags may use all,",
        f"segments those marked. `{HELD_BY_TAGS}` holds the examples",
        f"of tags against Spark, `{HELD_BY_FEEDS}` those of feeds. Without another word a function gives",
        "null where an argument is null.",
        "",
        "| function | takes | gives | nulls | feeds | segments | example | in DuckDB |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    return "\n".join([*lines, *(_row(function) for function in language_functions()), ""])


def _row(function: LanguageFunction) -> str:
    cells = [
        f"`{function.name}`",
        function.takes,
        function.gives,
        "" if function.nulls == USUAL_NULLS else function.nulls,
        way_in_feeds(function.example),
        "yes" if is_for_segments(function.example) else "",
        _code(function.example),
        _code(function.duckdb_sql() or "–"),
    ]
    return f"| {' | '.join(cells)} |"


def _code(text: str) -> str:
    return text if text == "–" else f"`{text}`".replace("|", "\\|")


def way_in_feeds(example: str) -> str:
    """Give how feeds compute an expression over ``EXAMPLE_COLUMNS``: in bulk, value by value, or by Spark."""
    names = {name: (name, kind) for name, kind in EXAMPLE_COLUMNS.items()}
    for translator, way in ((Translator(names), "in bulk"), (ExactTranslator(names), "value by value")):
        try:
            translator.meaning(example)
        except Untranslatable:
            continue
        return way
    return "by Spark"


def is_for_segments(example: str) -> bool:
    """Tell whether a segment may say the expression; its columns stand for tags of their types."""
    facts = {name: TagFacts(name, kind) for name, kind in _FACTS.items()}
    leaf = ExpressionLeaf(f"({example}) is not null", line=None, include_unknown=False)
    return set(leaf.tags) <= set(facts) and type_faults(leaf, facts) is None
