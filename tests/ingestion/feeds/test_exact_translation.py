"""What is read one by one in this process is what Spark reads, of every text, and fails where Spark fails."""

from __future__ import annotations

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tricky_texts import EXPRESSIONS, KINDS, texts

from ingestion.feeds.exact_translation import ExactTranslator, make_known
from ingestion.feeds.text_values import UnknownPattern, pattern_of
from ingestion.feeds.translation import STRING
from lakehouse.expressions.patterns import Untranslatable
from lakehouse.query.desk import open_alone

MORE_TEXTS = [
    "1" * 5000, "-" + "0" * 5000 + "7", "1e" + "0" * 5000 + "2", "1e" + "9" * 5000, "0." + "3" * 5000, "1e-" + "0" * 5000 + "1",
    "12.0\n", "12.0\r\n", "12.0\n\n", "12\r", "x.0\u2028", "7\u0085", ".0", "1００",
    "１２", "１２．５", "٣", "1_000", "1__0", " 12\u00a0", "\x0012", "12\x7f", "+", "1e38", "1e-39", "9.995", "-9.995", "1E+2", "1e2147483648", "0e99999999999",
    "99999999999999999999999999999999999999", "123456789012345678901234567890123456789", "2147483647", "2147483648", "-2147483648", "-2147483649", "9223372036854775807", "9223372036854775808",
    "Ǆ", "ﬁ", "ŉ", "Σίσυφος", "ΣΊΣΥΦΟΣ", "straße", "İstanbul", "ǰ", "y", "N", "No", " Yes ", "2026-1-5", "2026-01", "2026", "02026-01-05", "10000-01-01", "-0044-03-15", "+2026-01-05",
    "2026-01-05x", "2026-01-05Tx", "2026-01-05 x", "2026-1-5 1:2:3", "2026-01-05T10", "2026-01-05 10:20", "2026-01-05 10:20:30.123456789", "2026-01-05 10:20:30 Asia/Shanghai",
    "2026-01-05 10:20:30Z", "2026-01-05 10:20:30+8", "2026-01-05 10:20:30+08:00", "2026-01-05 10:20:30 +08:00", "2026-01-05T10:20:30UTC", "2026-01-05T10:20:30GMT+8", "2026-01-05 25:00:00",
    "2021-03-28 02:30:00", "2021-10-31 02:30:00", "1986-05-04 00:30:00", "1900-01-01 00:00:00", "2026-01-05 10:20:30.", "1/2/2026", "5.1.2026", "05.01.26", "2026年01月05日", "2026年1月5日", "0000-05-05",
]  # fmt: skip
MORE_EXPRESSIONS = [
    "try_to_date(a, 'yyyy-M-d')", "try_to_date(a, 'd.M.yyyy')", "try_to_date(a, 'M/d/yyyy')", "try_to_date(a, 'yyyy年MM月dd日')", "try_to_date(a, 'yyyy年M月d日')",
    "try_to_date(a, 'yyyy-MM-dd HH:mm:ss')", "try_to_timestamp(a, 'yyyy-MM-dd HH:mm:ss')", "try_to_timestamp(a, \"yyyy-MM-dd'T'HH:mm:ssXXX\")", "try_to_timestamp(a, 'yyyyMMdd')",
    "lpad(a, 6, '0')", "rpad(a, 3, 'xy')", "lpad(trim(a), 2)", "length(a)", "replace(a, '-', '')", "replace(a, '-')", "a between '1' and '2'",
    "try_cast(a as int) between 1 and 12", "try_cast(try_cast(a as bigint) as int)", "try_cast(try_cast(a as decimal(20,4)) as decimal(10,2))", "try_cast(try_cast(a as int) as decimal(5,2))",
    "try_cast(try_cast(a as decimal(18,2)) as int)", "try_cast(try_cast(a as decimal(18,2)) as string)", "try_cast(try_cast(a as date) as string)", "try_cast(a as decimal(38,10))", "try_cast(a as decimal(38,0))",
    "regexp_replace(a, '[^0-9]', '')", "regexp_extract(a, '([0-9]+)-([0-9]+)', 2)", "regexp_extract(a, '[0-9]+', 0)", "a rlike '^[0-9]{4}'", "left(a, 3)", "right(a, 2)",
    "substring_index(a, '-', 1)", "translate(a, '-/', '..')", "reverse(a)", "md5(a)", "year(try_cast(a as date))", "month(try_to_date(a, 'yyyy-MM-dd'))", "last_day(try_to_date(a, 'yyyyMMdd'))",
    "add_months(try_to_date(a, 'yyyy-MM-dd'), 1)", "datediff(try_to_date(a, 'yyyy-MM-dd'), date'2026-01-01')", "startswith(a, '2')", "contains(a, '-')", "endswith(a, '0')",
    "regexp_replace(a, '[.]0$', '')", "regexp_replace(a, '[0-9]+$', '')", "regexp_replace(a, '0*$', '')",
    "to_utc_timestamp(try_to_timestamp(a, 'yyyy-MM-dd HH:mm:ss'), 'Europe/London')", "to_utc_timestamp(try_to_timestamp(a, \"yyyy-MM-dd'T'HH:mm:ssXXX\"), 'Asia/Shanghai')",
    "try_cast(a as decimal(18,2)) + 1", "try_cast(a as decimal(9,2)) * 1.25", "try_cast(a as decimal(18,2)) - try_cast(b as decimal(9,1))", "-try_cast(a as decimal(18,2))",
    "round(try_cast(a as decimal(18,4)), 2)", "round(try_cast(a as decimal(18,2)))", "try_cast(substring(a, 1, 2) as int) % 50", "try_cast(substring(a, 1, 4) as int) * 3 - 7",
    "try_cast(substring(a, 1, 6) as bigint) + 1", "lpad(cast(try_cast(substring(a, 3, 2) as int) % 50 as string), 2, '0')", "try_cast(a as decimal(9,2)) % 7",
    "case when length(trim(a)) between 4 and 10 then lpad(trim(a), 12, '0') end",
]  # fmt: skip
ZONES = ["Asia/Shanghai", "Europe/Prague"]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    rows = [*texts(), *MORE_TEXTS]
    other = [rows[(at * 7 + 3) % 150] if at % 5 else rows[at] for at in range(len(rows))]
    file = tmp_path_factory.mktemp("exact") / "texts.parquet"
    pq.write_table(
        pa.table(
            {"n": range(len(rows)), "a": pa.array(rows, pa.string()), "b": pa.array(other, pa.string())}
        ),
        file,
    )
    return file


@pytest.fixture
def connection(place):
    with open_alone(folders=[place.parent]) as desk:
        make_known(desk)
        yield desk.connection


def translation(text, kind, zone="UTC"):
    translator = ExactTranslator({"a": ("a", STRING), "b": ("b", STRING)}, zone=zone)
    return translator.cast(translator.meaning(text), kind)


def cases(zone):
    """Every expression as it is (an instant as an instant), a text also as every kind; in a second zone what depends on it."""
    for text in [*EXPRESSIONS, *MORE_EXPRESSIONS]:
        if zone != ZONES[0] and "timestamp" not in text:
            continue
        for kind in KINDS if text == "a" else ("string", "timestamp"):
            try:
                yield text, kind, translation(text, kind, zone)
                if text != "a":
                    break
            except Untranslatable:
                continue


@pytest.mark.slow
@pytest.mark.parametrize("zone", ZONES)
def test_every_answer_is_sparks(spark, place, connection, zone):
    session = spark.newSession()
    session.conf.set("spark.sql.session.timeZone", zone)
    questions = list(cases(zone))
    if zone == ZONES[0]:
        assert {text for text, *_ in questions} == {*EXPRESSIONS, *MORE_EXPRESSIONS}
    columns = [f"try_cast(({text}) as {kind}) as v{n}" for n, (text, kind, _) in enumerate(questions)]
    # As columns are: days and instants beyond the calendar of other readers are none.
    limits = {
        "date": ("date'0001-01-01'", "date'9999-12-31'"),
        "timestamp": ("timestamp'0001-01-02 00:00:00Z'", "timestamp'9999-12-30 00:00:00Z'"),
    }
    columns_held = [
        f"case when v{n} between {limits[kind][0]} and {limits[kind][1]} then v{n} end as v{n}"
        if kind in limits
        else f"v{n}"
        for n, (_, kind, _) in enumerate(questions)
    ]
    sparks = (
        session.read.parquet(str(place))
        .selectExpr("n", *columns)
        .selectExpr("n", *columns_held)
        .toArrow()
        .sort_by("n")
    )
    pairs = sparks["n"].to_pylist()
    given = pq.read_table(place)["a"].to_pylist()
    for n, (text, kind, sql) in enumerate(questions):
        if kind in limits:
            sql = f"CASE WHEN {sql} BETWEEN {limits[kind][0]} AND {limits[kind][1]} THEN {sql} END"
        form = {"string": "VARCHAR", "timestamp": "TIMESTAMPTZ"}.get(kind, kind)
        ours = connection.execute(f"SELECT CAST(({sql}) AS VARCHAR) FROM '{place}' ORDER BY n").fetchall()
        connection.register("sparks", sparks.select([f"v{n}"]))
        theirs = connection.execute(f"SELECT CAST(CAST(v{n} AS {form}) AS VARCHAR) FROM sparks").fetchall()
        wrong = [
            (text, kind, given[at], our[0], their[0])
            for at, our, their in zip(pairs, ours, theirs, strict=True)
            if our != their
        ]
        assert wrong == []


@pytest.mark.slow
@pytest.mark.parametrize(
    "text",
    [
        "cast(a as int)",
        "cast(a as decimal(18,2))",
        "cast(a as date)",
        "a = 1",
        "cast(a as boolean)",
        "a < 5",
        "a > date'2026-01-01'",
        "to_date(a)",
        "7 % try_cast(a as int)",
        "try_cast(a as int) * 999999999",
    ],
)
def test_what_sparks_plain_cast_refuses_fails_here_and_nothing_else(spark, connection, text):
    """One text after the other: each fails in both or gives the same in both."""
    for value in ["0", "1", " 7 ", "1.5", "x", "", "2026-01-05", "2026-02-30", "true", "1e3"]:
        try:
            theirs = str(
                spark.createDataFrame([(value,)], "a string")
                .selectExpr(f"cast({text} as string) as v")
                .collect()[0]["v"]
            )
        except Exception as wrong:
            if type(wrong).__name__ not in (
                "NumberFormatException",
                "DateTimeException",
                "ArithmeticException",
                "SparkRuntimeException",
            ):
                raise
            theirs = None
        try:
            sql = translation(text, "string")
            ours = str(
                connection.execute(f"SELECT CAST({sql} AS VARCHAR) FROM (SELECT ? AS a)", [value]).fetchall()[
                    0
                ][0]
            )
        except (duckdb.InvalidInputException, duckdb.OutOfRangeException):
            ours = None
        assert (value, ours) == (value, theirs)


@pytest.mark.parametrize(
    "form", ["yyyyMd", "yy-MM-dd", "dd/MM", "yyyy-MM-dd G", "yyyy-MM-dd'", "", "EEEE", "yyyy-MM-dd-dd"]
)
def test_patterns_that_are_not_known_are_refused(form):
    with pytest.raises(UnknownPattern):
        pattern_of(form)
    with pytest.raises(Untranslatable):
        translation(f'try_to_date(a, "{form}")', "date")
