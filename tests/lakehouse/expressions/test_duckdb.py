"""What DuckDB computes for an expression is what Spark computes, over rows of edges; what is not known to be so is refused."""

from __future__ import annotations

import datetime as dt
import math
from decimal import Decimal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lakehouse.expressions.duckdb import ANONYMOUS, duckdb_query, function_statements
from lakehouse.expressions.expression import parse_expression
from lakehouse.expressions.functions import EXAMPLE_COLUMNS, language_functions
from lakehouse.expressions.patterns import Untranslatable
from lakehouse.expressions.words import FUNCTIONS
from lakehouse.query.desk import new_connection

TEXTS = [
    "abc", "", None, "b", " a,bc ", "12.7", "7", "x12", "2024-02-29", "2024-02-30", "中文a,b", "true", "aXbX", "ABC",
    "-3", "1e3", "2024-2-9", "2024", " 2024-02-29 ", "2024-02-29T10", "20240229", "2024-02-29x", "10:00", "a\nb\n", "a\r",
    "\u3000a\u3000", "\ta ", "50%", "a_b", "a\\b", "😀ab", "aab", "Éa", "x$1",
]  # fmt: skip
WHOLE = [3, None, -7, 0, 12, 2, 1, 5]
MONEY = ["1.25", "-2.75", None, "0.00", "99999.95", "2.50", "1.00", "-0.05", "9999999999999999.99"]
DAYS = ["2024-02-29", "2023-12-31", None, "2026-03-31", "1999-01-01", "2024-01-31", "2026-03-30"]
LISTS = [["a", "b"], [], None, ["b", None, "a"], ["a", "a"], ["z"], [None]]
INSTANTS = [
    dt.datetime(2024, 2, 29, 15, 59, 59, tzinfo=dt.UTC), dt.datetime(2023, 12, 31, 16, 0, tzinfo=dt.UTC), None,
]  # fmt: skip
JSON = ['{"a": 1, "b": ["x"]}', '{"a": "t"}', None, "nojson"]
JSON_LISTS = ["[1,2]", "{}", None, "x"]

# One per line and sign: every word of the language that DuckDB has, and the keywords.
EXPRESSIONS = [
    text.strip()
    for text in """
abs(n) | abs(d) | add_months(day, 1) | add_months(day, -12) | array(t, 'x') | array_compact(array(t, null, 'x'))
array_contains(l, 'a') | array_contains(l, t) | array_distinct(l) | array_except(l, array('a')) | array_intersect(l, array('a', 'b'))
array_join(l, ',') | array_max(l) | array_min(l) | array_position(l, 'b') | array_remove(l, 'a') | array_sort(l)
array_union(l, array('z')) | arrays_overlap(l, array('a', 'z')) | ascii(t) | bit_length(t) | btrim(t) | cardinality(l)
ceil(d) | ceil(n) | ceiling(d) | char_length(t) | character_length(t) | coalesce(t, 'none') | concat(t, '-', n) | concat(t, day)
concat_ws('-', t, 'x', null) | concat_ws('-', nullif(t, t), null) | contains(t, 'a') | date(at) | date_add(day, 3) | date_diff(day, date'2024-01-15')
date_format(day, 'yyyy-MM') | date_format(at, 'yyyyMMddHHmmss') | date_sub(day, 3) | date_trunc('month', day) | dateadd(day, 3)
datediff(day, date'2020-02-29') | day(day) | dayofmonth(day) | dayofweek(day) | dayofyear(day) | element_at(l, 1) | element_at(l, -1)
endswith(t, 'c') | exists(l, x -> x = 'a') | exists(l, x -> x > 'a') | filter(l, x -> x <> 'a') | find_in_set(t, 'a,abc,b')
flatten(array(l, l)) | floor(d) | floor(n) | floor(months_between(date'2026-03-31', day) / 12) | forall(l, x -> x = 'a') | get(l, 0)
get_json_object(j, '$.a') | get_json_object(j, '$.b[0]') | greatest(n, 3) | greatest(d, 2.5) | hour(at) | if(n > 2, t, 'small')
ifnull(t, '?') | instr(t, 'b') | isnotnull(t) | isnull(t) | json_array_length(j2) | last_day(day) | least(n, 3, null) | left(t, 2)
left(t, -1) | length(t) | locate('b', t) | lower(t) | lpad(t, 5, '*') | ltrim(t) | make_date(2024, 2, 29) | make_date(2024, 2, n)
md5(t) | minute(at) | mod(n, 3) | month(day) | months_between(day, date'2024-02-29') | months_between(date'2024-03-30', day)
next_day(day, 'MO') | nullif(t, 'abc') | nvl(t, 'x') | nvl2(t, 'y', 'n') | octet_length(t) | pmod(n, 3) | pmod(n, -3)
position('b' in t) | quarter(day) | regexp(t, '^a') | regexp_extract(t, '([a-c])([a-c])', 2) | regexp_extract(t, '[a-c]+', 0)
regexp_like(t, '^a') | regexp_replace(t, '[^0-9]', '') | regexp_replace(t, '\\\\d', '#') | regexp_replace(t, '[a.]', '')
rlike(t, '^[a-z]+$') | t rlike 'a.b' | t rlike '^a$' | replace(t, 'a', 'z') | replace(t, 'a') | reverse(t) | right(t, 2) | round(d)
round(d, 1) | round(n, -1) | rpad(t, 5, '*') | rtrim(t) | second(at) | sha1(t) | sha2(t, 256) | sign(d) | signum(n) | size(l)
size(split(t, ',')) | slice(l, 1, 2) | slice(l, -2, 1) | sort_array(l) | sort_array(l, false) | split(t, ',') | split(t, '[,;]')
split_part(t, ',', 2) | startswith(t, 'a') | substr(t, 2) | substr(t, 2, 1) | substr(t, -2) | substr(t, 0, 2) | substring(t, -5, 4)
substring_index(t, ',', 1) | substring_index(t, ',', -1) | to_date(t) | to_date(t, 'yyyyMMdd') | transform(l, x -> concat(x, '!'))
translate(t, 'abc', 'xy') | trim(t) | trim(both 'a' from t) | trim(leading 'a' from t) | trunc(day, 'MM') | trunc(day, 'year')
trunc(day, 'quarter') | trunc(day, 'week') | try_add(n, 1) | try_cast(t as int) | try_cast(t as decimal(10,2)) | try_cast(t as date)
try_divide(d, n) | try_element_at(l, 9) | try_multiply(n, 2) | try_subtract(n, 1) | try_to_date(t, 'yyyy-MM-dd') | unix_micros(at)
unix_millis(at) | unix_seconds(at) | upper(t) | weekday(day) | weekofyear(day) | year(day) | year(at) | d / n | n / 3 | d / 7 | n / 0
d * n | d * d | n * n | d * 7 | left(t, cast(n as int) * 1) | substring(t, cast(n as int) * 2, 2) | date_add(day, cast(n as int) * 7) | cast(d as decimal(18,8)) * cast(d as decimal(18,4)) | try_multiply(d, d) | d + d | d + n | d - 1.5 | -n | n % 3 | d % 2 | n = 3 | n <=> null | d > n | t < 'b' | t in ('abc', 'b') | t like 'a%' | t like '%b_'
t ilike 'A%' | n between 1 and 3 | t is null | flag is true | flag is not true | not flag | flag and n > 1 | flag or n > 1
case when n > 2 then 'a' when n is null then 'b' else 'c' end | case t when 'abc' then 1 else 0 end | cast(cast(d as decimal(8,2)) as int) | right(t, cast(n as int) * 1) | cast(t as int)
cast(t as bigint) | cast(n as string) | cast(d as string) | cast(day as string) | cast(flag as string) | cast(flag as int)
cast(d as decimal(10,1)) | cast(n as decimal(18,2)) | cast(n as decimal(2,1)) | cast(t as decimal(18,2)) | cast(d / 3 as decimal(18,2))
cast(n / 3 as decimal(9,4)) | cast(t as date) | cast(t as boolean) | cast(n as boolean) | cast(at as date) | cast(at as string) | l[0]
regexp_replace(t, '(a)', '<$1>') | regexp_replace(t, '([a-c])([a-c])', '$2$1') | regexp_replace(t, 'a', '\\\\$') | regexp_replace(t, '([0-9]+)', '$0!')
t like '%\\%' | t like 'a\\_b' | t like '50\\%' | t like '%\\\\\\\\%' | t ilike 'A\\_B' | trim(both from t) | ltrim(t) | rtrim(t) | trim(both ' a' from t)
overlay(t placing 'zz' from 2) | overlay(t, '', 2, 3) | overlay(t, 'z', 9) | regexp_count(t, 'a') | regexp_count(t, '[a-c][a-c]') | position('b', t)
from_utc_timestamp(at, 'Europe/London') | to_utc_timestamp(at, 'Europe/London') | timestamp_seconds(n) | timestamp_millis(n) | timestamp_micros(n) | timestamp_seconds(cast(d as decimal(7,2)))
split_part(t, '', 1) | split_part(t, '', 2) | substring_index(t, '', 1) | next_day(day, 'tues') | next_day(day, 'Tuesday') | months_between(at, date'2024-01-31')
months_between(at, date'2024-01-15') | months_between(date'2024-01-15', at) | cast(' true ' as boolean) | cast('+2024-02-29' as date) | cast('+2024-2' as date) | n % 0 | d % 0 | n % (n - 3)
mod(n, n) | unix_seconds(timestamp_millis(-1)) | unix_millis(timestamp_micros(-1)) | unix_seconds(timestamp_seconds(n)) | t || '-' || n | 'it\\'s' | 'a\\u007b% b' | '\\\\d' | t = "b" | isnull(d / n)
""".replace("\n", " | ").split(" | ")
    if text.strip()
]
# Spark has no bucket(): `tests/tags/golden/test_golden.py` holds the macro, DuckDB and Python together.
EXPRESSIONS += [
    f.example
    for f in language_functions()
    if f.name != "bucket" and f.duckdb_sql() and f.example not in EXPRESSIONS
]
AGGREGATES = [
    "sum(n)", "sum(d)", "count(t)", "count(distinct t)", "min(t)", "max(day)", "max(flag)", "min(flag)", "avg(n)",
    "sum(d) / nullif(count(d), 0)", "size(collect_set(t))", "array_sort(collect_set(t))", "max_by(t, struct(n, d, k))",
    "min_by(t, struct(n, t, k))", "max_by(t, struct(d, n, k))", "min_by(d, struct(t, n, k))",
    "max_by(n, case when flag then struct(t, k) end)",
    "bool_or(n > 2)", "bool_and(n > 2)",
]  # fmt: skip


@pytest.fixture(scope="module")
def engines(spark, tmp_path_factory):
    """Give what asks Spark and what asks DuckDB: a query's rows by their first column."""
    folder = tmp_path_factory.mktemp("rows")
    schema = pa.schema(
        [
            ("k", pa.int64()), ("t", pa.string()), ("n", pa.int64()), ("d", pa.decimal128(18, 2)), ("day", pa.date32()),
            ("flag", pa.bool_()), ("l", pa.list_(pa.string())), ("at", pa.timestamp("us", tz="UTC")), ("j", pa.string()),
            ("j2", pa.string()),
        ]
    )  # fmt: skip
    rows = []
    for k in range(8 * len(TEXTS)):
        money, day = MONEY[(k * 4 + k // 8) % len(MONEY)], DAYS[(k * 5 + k // 7) % 7]
        rows.append({
            "k": k, "t": TEXTS[(k * 7 + k // len(TEXTS)) % len(TEXTS)], "n": WHOLE[k % 8], "d": money and Decimal(money),
            "day": day and dt.date.fromisoformat(day), "flag": [True, False, None][k % 3], "l": LISTS[k % len(LISTS)],
            "at": INSTANTS[(k // 2) % 3], "j": JSON[k % 4], "j2": JSON_LISTS[k % 4],
        })  # fmt: skip
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), folder / "rows.parquet")
    session = spark.newSession()
    session.conf.set("spark.sql.ansi.enabled", "false")
    session.conf.set("spark.sql.session.timeZone", "Asia/Shanghai")
    session.read.parquet(str(folder / "rows.parquet")).createOrReplaceTempView("edges")
    connection = new_connection("Asia/Shanghai", folders=[folder])
    for statement in function_statements():
        connection.execute(statement)
    connection.execute(f"CREATE VIEW edges AS FROM read_parquet('{folder}/rows.parquet')")

    def by_spark(texts, query):
        values = ", ".join(f"{text} as v{at}" for at, text in enumerate(texts))
        rows = session.sql(query.format(values)).toArrow().to_pylist()
        return {row["k"]: [row[f"v{at}"] for at in range(len(texts))] for row in rows}

    def by_duckdb(text, query):
        return dict(connection.execute(duckdb_query(query.format(f"{text} as v"))).fetchall())

    return by_spark, by_duckdb


def is_equal(one, other):
    """Tell whether two values are one; Spark divides whole numbers as DOUBLE, and keeps fewer digits of a quotient."""
    if isinstance(one, float | Decimal) and not isinstance(other, bool):
        return other is not None and math.isclose(float(one), float(other), rel_tol=1e-12, abs_tol=1e-6)
    if isinstance(one, dt.datetime) and isinstance(other, dt.datetime):
        return one.timestamp() == other.timestamp()
    return type(one) is type(other) and one == other


@pytest.mark.slow
@pytest.mark.parametrize(
    ("texts", "query"),
    [(EXPRESSIONS, "select k, {} from edges"), (AGGREGATES, "select k % 5 as k, {} from edges group by 1")],
    ids=["values", "aggregates"],
)
def test_duckdb_computes_what_spark_computes(engines, texts, query):
    by_spark, by_duckdb = engines
    expected = by_spark(texts, query)
    different = {}
    for at, text in enumerate(texts):
        answers = by_duckdb(text, query)
        wrong = [key for key, values in expected.items() if not is_equal(values[at], answers[key])]
        if wrong:
            different[text] = [(expected[key][at], answers[key]) for key in wrong[:2]]
    assert different == {}


def test_every_function_has_an_entry_and_an_example_of_itself():
    entries = language_functions()
    assert [entry.name for entry in entries] == sorted(FUNCTIONS)
    for entry in entries:
        assert entry.example.find(f"{entry.name}(") >= 0, entry.name
        assert set(parse_expression(entry.example).columns) <= set(EXAMPLE_COLUMNS), entry.name


def test_every_word_that_duckdb_is_said_to_have_is_compared():
    said = " ".join(EXPRESSIONS)
    assert [name for name in ANONYMOUS if f"{name}(" not in said and name not in ("bucket", "conv")] == []


@pytest.mark.parametrize(
    "text",
    [
        "bround(d, 1)", "initcap(t)", "overlay(t placing 'z' from n)", "regexp_count(t, 'a*')", "date_format(day, 'EEEE')",
        "t rlike t", "t rlike '(?i)a'", "t rlike 'a++'", "t rlike '[a&&b]'", "t rlike '\\\\bfoo'", "t rlike '\\\\p{Alpha}'",
        "regexp_replace(t, '(a)', '$2')", "regexp_replace(t, 'a', '$x')", "regexp_replace(t, 'a*', '-')", "regexp_replace(t, 'a', t)",
        "regexp_extract(t, 'a', 1)", "t rlike '('", "t rlike '*a'", "t rlike '[a'", "t rlike 'a{'", "t rlike 'a{2,1}'", "t rlike 'a{1001}'",
        "t rlike '[]a]'", "t like t", "t like 'a\\\\b'", "from_utc_timestamp(at, t)", "regexp_extract(t, 'a$', 0)", "split(t, ',', 2)", "split(t, '')", "overlay(t, 'z', -1)", "sha2(t, 512)",
        "array_sort(l, (a, b) -> 1)", "dateadd(month, 1, day)", "locate('a', t, 3)", "from_unixtime(n)", "rand()",
        "read_parquet('x')", "getenv('HOME')", "spark_div(1, 2)", "lpad(t, 5, '')",
    ],
)  # fmt: skip
def test_what_duckdb_would_compute_otherwise_is_refused(text):
    with pytest.raises(
        Untranslatable,
        match=r"the engine duckdb does not have|cannot be read|of a pattern that has|no number of times|escape in a pattern",
    ):
        duckdb_query(f"select {text} as v from edges")


def test_a_list_where_a_text_is_read_is_an_error_and_no_text(engines):
    import duckdb

    _, by_duckdb = engines
    with pytest.raises(duckdb.Error, match="a list stands where a text is read"):
        by_duckdb("concat_ws(',', l)", "select k, {} from edges where l is not null")


def test_no_literal_becomes_a_template_of_dbt():
    text = duckdb_query("select 'a\\u007b\\u007b b', 'c\\u007b%', 'literal 7', 'x\\\\y' from edges")
    assert "{{" not in text and "{%" not in text
    assert new_connection().execute(text.replace("FROM edges", "")).fetchone() == (
        "a{{ b",
        "c{%",
        "literal 7",
        "x\\y",
    )
