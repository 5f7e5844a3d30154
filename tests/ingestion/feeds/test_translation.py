"""What is computed in this process is what Spark would compute, for every text an expression may meet."""

from __future__ import annotations

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tricky_texts import EXPRESSIONS, KINDS, TRICKY, texts

from ingestion.feeds.translation import STRING, Translator
from lakehouse.expressions.patterns import Untranslatable


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    """A Parquet file of pairs of texts."""
    found = texts()
    other = [found[(at * 7 + 3) % len(TRICKY)] if at % 5 else found[at] for at in range(len(found))]
    file = tmp_path_factory.mktemp("texts") / "texts.parquet"
    pq.write_table(
        pa.table(
            {"n": range(len(found)), "a": pa.array(found, pa.string()), "b": pa.array(other, pa.string())}
        ),
        file,
    )
    return file


def told(text, kind):
    """The SQL of an expression cast to a column's type, and of whether it is sure; None where only Spark may say."""
    translator = Translator({"a": ("a", STRING), "b": ("b", STRING)})
    try:
        sql = translator.cast(translator.meaning(text), kind)
    except Untranslatable:
        return None
    return sql, " AND ".join(translator.guards) or "true"


@pytest.mark.slow
def test_every_sure_answer_is_sparks(spark, places):
    asked = [(text, kind) for text in EXPRESSIONS for kind in KINDS if told(text, kind) is not None]
    assert {text for text, _ in asked} == set(EXPRESSIONS)
    columns = [
        f"cast(({text}) as string) as v{n}" if kind == "string" else f"try_cast(({text}) as {kind}) as v{n}"
        for n, (text, kind) in enumerate(asked)
    ]
    frame = spark.read.parquet(str(places)).selectExpr("n", *columns)
    sparks = frame.toArrow().sort_by("n")
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    pairs = connection.read_parquet(str(places)).to_arrow_table()["a"].to_pylist()
    sure = 0
    for n, (text, kind) in enumerate(asked):
        sql, guard = told(text, kind)
        rows = connection.execute(
            f"SELECT CAST(({sql}) AS VARCHAR), {guard} FROM '{places}' ORDER BY n"
        ).fetchall()
        connection.register("sparks", sparks.select([f"v{n}"]))
        kept = {"string": "VARCHAR", "timestamp": "TIMESTAMPTZ"}.get(kind, kind)
        theirs = connection.execute(f"SELECT CAST(CAST(v{n} AS {kept}) AS VARCHAR) FROM sparks").fetchall()
        wrong = [
            (text, kind, given, ours, other)
            for given, (ours, is_sure), (other,) in zip(pairs, rows, theirs, strict=True)
            if is_sure and ours != other
        ]
        assert wrong == []
        sure += sum(is_sure for _, is_sure in rows)
    assert sure > 0.3 * len(asked) * len(pairs)


@pytest.mark.parametrize("kind", ["decimal(18,2)", "int", "bigint", "date", "boolean"])
def test_what_a_plain_cast_cannot_read_is_left_to_spark_which_fails(places, kind):
    sql, guard = told(f"cast(a as {kind})", kind)
    found = duckdb.connect().sql(
        f"SELECT count(*) FILTER (WHERE {guard}), count(*) FILTER (WHERE {guard} AND a IS NOT NULL AND ({sql}) IS NULL) FROM '{places}'"
    )
    sure, wrong = found.fetchall()[0]
    assert (sure > 0, wrong) == (True, 0)


@pytest.mark.parametrize(
    "text",
    ["regexp_replace(a, 'x', 'y')", "to_date(a, 'yyyy-MM-dd')", "try_to_date(a, 'yy-MM-dd')", "a like '_x'", "a = 1",
     "substring(a, -2)", "substring(a, 0, 2)", "trim(both 'x' from a)", "'a\\nb'", "try_cast(a as double)", "a rlike 'x'",
     "try_to_timestamp(a, 'yyyy-MM-dd HH:mm:ss')", "a + 1", "case a when 1 then 'x' end", "coalesce(a, 1)", "t.a",
     "try_cast(a as timestamp)", "a between 'x' and 'y'"],
)  # fmt: skip
def test_what_engines_may_say_differently_is_left_to_spark(text):
    with pytest.raises(Untranslatable):
        Translator({"a": ("a", STRING), "b": ("b", STRING)}).meaning(text)
