"""What feeds compute of the language in this process is what Spark computes, and fails where Spark fails."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tricky_texts import texts

from ingestion.feeds.exact_translation import ExactTranslator, make_known
from ingestion.feeds.translation import Translator
from jobs.report.functions import way_in_feeds
from lakehouse.expressions.functions import EXAMPLE_COLUMNS, language_functions
from lakehouse.expressions.patterns import Untranslatable
from lakehouse.query.desk import open_alone

ZONE = "Asia/Shanghai"
MORE_TEXTS = [
    "a,b,c", ",", "a,,b", "a1b22c", "\u3000a\u3000", "\ta ", "a_b", "50%", "a\\b", "$1", "x\n", "x\r\n", "ab" * 30, "😀ab", "Éa", "a,😀",
]  # fmt: skip
LISTS = [["a", "b"], [], None, ["b", None, "a"], ["a", "a"], ["z"], [None]]
DAYS = [
    "2024-02-29",
    "2023-12-31",
    None,
    "2026-03-31",
    "1999-01-01",
    "0044-03-15",
    "9999-12-31",
    "2024-12-30",
]
INSTANTS = ["2024-02-29T15:59:59", "2023-12-31T16:00:00", None, "2021-03-28T01:30:00", "2021-10-31T00:30:00", "1986-05-03T16:30:00", "1890-01-01T00:00:00"]  # fmt: skip
NUMBERS = [3, None, -7, 0, 12, 1, 1_700_000_000]
MONEY = ["1.25", "-2.75", None, "0.00", "99999.95", "-0.05", "9999999999999999.99"]
# Over the texts, the forms that examples do not show.
MORE = [
    "split(t, ',')[0]", "get(split(t, ','), 2)", "size(split(t, '[,;]'))", "try_element_at(split(t, ','), -1)", "array_contains(split(t, ','), 'b')",
    "array_join(array_distinct(split(t, ',')), '|')", "sort_array(split(t, ','))", "array_remove(array(t, 'a'), 'a')", "concat_ws('-', t, null, 'x')", "concat_ws('-', nullif(t, t), null)",
    "regexp_replace(t, '([a-z])([0-9])', '$2$1')", "regexp_replace(t, '\\\\d', '#')", "regexp_replace(t, '\\\\\\\\', '/')", "regexp_extract(t, '(\\\\d+)', 1)",
    "t rlike '\\\\d{2,3}'", "regexp_count(t, '[0-9]')", "ltrim(t)", "rtrim(t)", "trim(both '0' from t)", "trim(leading 'a ' from t)", "instr(t, '😀')",
    "t ilike '%A%'", "t in ('a', 'b')", "n in (1, 3)", "nullif(n, 3)", "case n when 3 then 'x' else 'y' end", "flag is true", "flag is not false",
    "greatest(n, 3)", "least(day, date'2000-01-01')", "d / 3", "d / 100", "try_divide(n, d)", "n / nullif(d, 0.00)", "d / nullif(d, 0.00)", "try_divide(d, 0.00)", "floor(n)", "ceil(d) + 1",
    "date_sub(day, 40)", "trunc(day, 'quarter')", "next_day(day, 'FR')", "overlay(t, 'ZZ', 3, 1)", "split_part(t, ',', -1)", "sha2(t, 0)", "pmod(n, 5)",
    "pmod(d, 7)", "try_multiply(d, d)", "d * d", "d + d", "d - n", "try_cast(t as int) + 1", "hour(to_utc_timestamp(at, 'Europe/London'))", "from_utc_timestamp(at, 'Asia/Shanghai')",
    "nvl2(n, t, 'none')", "isnull(n) or isnotnull(t)", "cardinality(split(t, ','))", "t = \"b\"", "'it\\'s'", "concat(t, '\\t')",
]  # fmt: skip
# Each fails in Spark on a text or number of these, and must here.
FAILING = [
    "split(t, ',')[3]", "element_at(split(t, ','), 2)", "to_date(t, 'yyyy-MM-dd')", "to_timestamp(t, 'yyyy-MM-dd')", "date(t)", "d / n",
    "mod(n, n)", "timestamp_seconds(n * 1000000)", "pmod(d, n)",
]  # fmt: skip


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    rows = [*texts()[:400], *MORE_TEXTS]

    def turn(values, at, by):
        return values[(at * by + at // len(values)) % len(values)]

    schema = pa.schema([
        ("row", pa.int64()), ("t", pa.string()), ("n", pa.int64()), ("d", pa.decimal128(18, 2)), ("day", pa.date32()),
        ("at", pa.timestamp("us", tz="UTC")), ("flag", pa.bool_()), ("l", pa.list_(pa.string())), ("j", pa.string()), ("j2", pa.string()),
    ])  # fmt: skip
    records = []
    for at, text in enumerate(rows):
        money, day, instant = turn(MONEY, at, 3), turn(DAYS, at, 5), turn(INSTANTS, at, 2)
        records.append({
            "row": at, "t": text, "n": turn(NUMBERS, at, 1), "d": money and Decimal(money), "day": day and dt.date.fromisoformat(day),
            "at": instant and dt.datetime.fromisoformat(instant).replace(tzinfo=dt.UTC), "flag": [True, False, None][at % 3],
            "l": turn(LISTS, at, 4), "j": None, "j2": None,
        })  # fmt: skip
    file = tmp_path_factory.mktemp("language") / "rows.parquet"
    pq.write_table(pa.Table.from_pylist(records, schema=schema), file)
    return file


@pytest.fixture(scope="module")
def session(spark, place):
    child = spark.newSession()
    child.conf.set("spark.sql.session.timeZone", ZONE)
    child.conf.set("spark.sql.ansi.enabled", "true")
    child.read.parquet(str(place)).createOrReplaceTempView("edges")
    return child


@pytest.fixture
def connection(place):
    # No zone of the desk may decide: the workspace's stands in the words.
    with open_alone("America/Lima", folders=[place.parent]) as desk:
        make_known(desk)
        desk.run(f"CREATE VIEW edges AS FROM read_parquet('{place}')")
        yield desk.connection


def sql_of(text):
    names = {name: (f'"{name}"', kind) for name, kind in EXAMPLE_COLUMNS.items()}
    return ExactTranslator(names, zone=ZONE).meaning(text).sql


def values_of(column):
    """Give the values of an Arrow column, days and instants as numbers: some are beyond the calendar of Python."""
    if pa.types.is_date32(column.type):
        column = column.cast(pa.int32())
    elif pa.types.is_timestamp(column.type):
        column = column.cast(pa.timestamp("us", tz="UTC")).cast(pa.int64())
    return column.to_pylist()


@pytest.mark.slow
def test_every_answer_is_sparks(session, connection):
    functions = [f.example for f in language_functions() if way_in_feeds(f.example) != "by Spark"]
    questions = [*functions, *MORE]
    columns = ", ".join(f"{text} as v{at}" for at, text in enumerate(questions))
    theirs = session.sql(f"select row, t, {columns} from edges").toArrow().sort_by("row")
    different = {}
    for at, text in enumerate(questions):
        ours = connection.sql(f"SELECT {sql_of(text)} AS v FROM edges ORDER BY row").to_arrow_table()["v"]
        pairs = zip(theirs["t"].to_pylist(), values_of(theirs[f"v{at}"]), values_of(ours), strict=True)
        wrong = [pair for pair in pairs if pair[1] != pair[2]]
        if wrong:
            different[text] = wrong[:3]
    assert different == {}


@pytest.mark.slow
@pytest.mark.parametrize("text", FAILING)
def test_what_fails_in_spark_fails_here(session, connection, text):
    from py4j.protocol import Py4JJavaError
    from pyspark.errors import PySparkException

    with pytest.raises((PySparkException, Py4JJavaError)):
        session.sql(f"select max(cast({text} as string)) from edges").collect()
    with pytest.raises(duckdb.Error):
        connection.execute(f"SELECT max(CAST({sql_of(text)} AS VARCHAR)) FROM edges").fetchall()


@pytest.mark.parametrize(
    "text",
    [
        "initcap(t)", "soundex(t)", "get_json_object(j, '$.a')", "filter(l, x -> x = 'a')", "regexp_replace(t, 'a*', '-')", "t rlike '(?i)a'",
        "n / 3", "l[n]", "try_to_date(t, 'yy-MM-dd')", "t like 'a\\\\_b'", "from_unixtime(n)", "regexp_extract(t, 'a', 2)",
    ],
)  # fmt: skip
def test_what_is_not_known_to_be_sparks_is_left_to_it(text):
    with pytest.raises(Untranslatable):
        sql_of(text)
    with pytest.raises(Untranslatable):
        Translator({name: (name, kind) for name, kind in EXAMPLE_COLUMNS.items()}).meaning(text)
