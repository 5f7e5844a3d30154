"""The closed language: what it has, what it refuses, and that no parser reads more in a text than was admitted."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lakehouse.expressions.clocks import is_clock
from lakehouse.expressions.expression import parse_expression, unknown_column
from lakehouse.expressions.tokens import ExpressionInvalid, tokens_of
from lakehouse.expressions.words import FUNCTIONS, KEYWORDS, TYPES

ADMITTED = [
    "a",
    "`会员号` is null or trim(`会员号`) = ''",
    "case when a = 1 then 'b' else null end",
    "coalesce(nullif(trim(a), ''), 'it''s')",
    "try_cast(a as decimal(18,2))",
    "date'2026-01-01' <= a",
    "a in ('x', 'y') and not b between 1 and 2.5",
    "transform(split(a, ','), x -> trim(x))",
    "exists(a, x -> x > 1) or a[0] = element_at(b, 1)",
    "a rlike '^[0-9]{3}\\\\d$'",
    "datediff(:business_date, a) >= :days",
    "bucket(concat('GCG-', year(:business_date)), one_id) < 1000",
    "a like 'x%' or a <=> b",
    "to_utc_timestamp(try_to_timestamp(a, 'yyyy-MM-dd HH:mm:ss'), 'Asia/Shanghai')",
    "get_json_object(a, '$.b.c[0]')",
    "lpad(a, 8, '0') || trim(both ' ' from b)",
    "cast(null as array<string>)",
    "dateadd(day, 1, a)",
    "'{a}' = a",
    "a = 'nowhere' or a = 'todays' or a like 'now%' or a rlike '^now$'",
    "timestamp '2026-01-01 08:00:00.5' < a",
    "transform(array('no'), x -> concat(x, 'w'))",
    "date_format(:business_date, 'yyyy-MM') = a",
]

# What a careless or hostile person has written: code, files, other tables, templates, clocks, chance, and bombs.
REFUSED = {
    "code by reflection": "reflect('java.lang.System', 'getenv', 'HOME')",
    "code by reflection, tried": "try_reflect('java.lang.System', 'getenv', 'HOME')",
    "a method of Java": "java_method('java.lang.System', 'exit', 1)",
    "a function in backticks": "`reflect`('java.lang.System', 'getenv', 'HOME')",
    "a function with a catalog": "system.builtin.abs(a)",
    "a name built at run time": "identifier('reflect')(a)",
    "a subquery": "(select max(value) from trusted.identifier_observations)",
    "a subquery in in": "a in (select value from trusted.identifier_observations)",
    "a subquery in exists": "exists (select 1 from trusted.customers)",
    "a subquery of plain words": "a in (select b from c)",
    "a file as a table": "(select value from text.`/etc/hostname`)",
    "a table in two parts": "trusted.customers",
    "a field of a struct": "a.b",
    "a template": "{{ env_var('SECRET') }}",
    "a template in a text": "concat('{{ env_var(', a, ') }}')",
    "a template in a name": "`{{ run_query('x') }}`",
    "a statement of a template": "'{% do run_query(1) %}'",
    "a comment of a template": "'{# #}'",
    "a second statement": "1; drop table trusted.customers",
    "a comment to the end": "a -- is nothing",
    "a comment of plain words": "a -- is null",
    "a comment inside": "a /* b */",
    "a hint": "/*+ broadcast(x) */ a",
    "an open comment": "a /* b",
    "a session variable": "${spark.sql.warehouse.dir}",
    "a variable": "@@session",
    "a raw text": "r'\\' or reflect(\"a\", 'b')",
    "a text of bytes": "x'4142'",
    "a text that does not end": "'a",
    "a name that does not end": "`a",
    "another alphabet": "ｒｅｆｌｅｃｔ(a)",
    "a zero byte": "a\x00b",
    "a path of JSON": "a:b",
    "a cast by colons": "a::string",
    "an aggregate": "sum(a)",
    "an aggregate over all": "count(*)",
    "a star": "*",
    "a window": "row_number() over (order by a)",
    "a filter of an aggregate": "max(a) filter (where b)",
    "rows": "explode(a)",
    "rows of a stack": "stack(2, a, b)",
    "rows of JSON": "json_tuple(a, 'b')",
    "values": "values (1)",
    "a name after it": "a as b",
    "a name that is not there": "a as",
    "a name inside": "concat(a as b, c)",
    "words after it": "a b",
    "a keyword as a name": "array_remove in",
    "a test behind a name": "a isnull",
    "a test behind a name like it": "isnull isnull",
    "a keyword as a name inside": "concat(a in, b)",
    "a type as a function": "decimal(a)",
    "a type as a function inside": "cast(numeric(a, 2) as string)",
    "nothing": "  ",
    "now": "now()",
    "the day of the machine": "current_date",
    "the day of the machine, called": "current_date()",
    "the instant of the machine": "localtimestamp",
    "the instant of the machine, called": "current_timestamp()",
    "seconds of the machine": "unix_timestamp()",
    "the day of the machine as a literal": "date 'today'",
    "the instant of the machine as a literal": "timestamp 'now'",
    "the day of the machine in a zone": "date ' Tomorrow Asia/Shanghai'",
    "the day of the machine in a zone by hours": "a > 'yesterday+08:00'",
    "the instant of the machine by a cast": "cast('now' as timestamp)",
    "the day of the machine, tried": "try_cast('today' as date)",
    "the instant of the machine by a function": "to_timestamp('now')",
    "the day of the machine by a comparison": "a < 'today'",
    "the day of the machine as an argument": "datediff('TODAY', a)",
    "the day of the machine as a branch": "coalesce(a, 'epoch')",
    "the day of the machine by escapes": "cast('\\u0074oday' as date)",
    "the day of the machine by an escape that is none": "cast('toda\\y' as date)",
    "the instant of the machine in two parts": "cast(concat('no', 'w') as timestamp)",
    "the instant of the machine in two texts": "cast('no' 'w' as timestamp)",
    "the instant of the machine by a sign": "cast('no' || 'w' as timestamp)",
    "the instant of the machine with a parameter": "cast(concat(:p, 'w') as timestamp)",
    "the instant of the machine cut out": "cast(substr('snow', 2) as timestamp)",
    "the instant of the machine turned": "to_timestamp(reverse('won'))",
    "the instant of the machine by JSON": "to_timestamp(get_json_object('{\"a\":\"now\"}', '$.a'))",
    "the instant of the machine in a pattern": "to_timestamp(date_format(date '2026-01-01', \"'now'\"))",
    "the instant of the machine in a list": "to_timestamp(array('x', 'now')[1])",
    "two texts side by side": "'a' 'b'",
    "a day that is none": "date '2026-02-30'",
    "a day that is a word": "date 'a'",
    "an instant that is none": "timestamp '2026-01-01 25:00:00'",
    "a sign that is none": "'\\U99999999'",
    "who runs it": "current_user()",
    "who runs it, without a call": "session_user",
    "where it runs": "current_database()",
    "what runs it": "version()",
    "the file it reads": "input_file_name()",
    "the part it runs in": "spark_partition_id()",
    "a number by chance": "rand()",
    "a number by chance, seeded": "uniform(1, 2, 3)",
    "a text by chance": "randstr(10)",
    "an id by chance": "uuid()",
    "an order by chance": "shuffle(a)",
    "an error on purpose": "raise_error('stop')",
    "an error by a condition": "assert_true(false)",
    "a long text": "space(2147483647)",
    "a long text, repeated": "repeat('x', 2147483647)",
    "a long list": "sequence(1, 2147483647)",
    "a long list of one": "array_repeat('x', 2147483647)",
    "a long pad": "lpad(a, 2147483647, 'x')",
    "a computed pad": "rpad(a, 10 + 2147483637, 'x')",
    "a pad by a column": "rpad(a, b, 'x')",
    "a number out of bounds": "1e400",
    "a binary number": "cast(a as double)",
    "a type with fields": "cast(a as struct<b:int>)",
    "a key": "aes_decrypt(a, 'k')",
    "a model": "ai_query('m', a)",
    "an answer of the network": "http_request(a)",
    "a document": "xpath_string(a, '/b')",
    "a deep nest": "(" * 100 + "a" + ")" * 100,
    "a deep nest of calls": "abs(" * 100 + "a" + ")" * 100,
    "a long sum": "+".join(["a"] * 5_000),
    "a call that its parser trips over": "date_trunc()",
    "a bucket of nobody": "bucket()",
    "a bucket of one": "bucket('salt')",
    "a bucket in capitals": "BUCKET('salt', one_id)",
    "a pattern that does not end": "a rlike '('",
    "a class that does not end": "regexp_replace(a, '[x', '')",
    "a pattern of nothing again": "split(a, '*x')",
    "a pattern of no times": "a rlike 'x{'",
    "a pattern from many to few": "regexp_like(a, 'x{2,1}')",
    "a group that is not there": "regexp_extract(a, 'x', 1)",
    "a group that is not there, by habit": "regexp_extract(a, 'x')",
    "a group put that is not there": "regexp_replace(a, '(x)', '$2')",
    "a large text": "'" + "x" * 10_000 + "'",
}


@pytest.mark.parametrize("text", ADMITTED)
def test_what_the_language_has_is_admitted(text):
    parse_expression(text)


@pytest.mark.parametrize("text", REFUSED.values(), ids=REFUSED.keys())
def test_what_the_language_does_not_have_is_refused_at_once(text):
    began = time.process_time()
    with pytest.raises(ExpressionInvalid) as refusal:
        parse_expression(text)
    assert time.process_time() - began < 20 and len(str(refusal.value)) < 300


@pytest.mark.parametrize(
    "text",
    [
        "a; b",
        "a -- is null",
        "a /* and */ b",
        "/*+ and */ a",
        "{a}",
        "${a}",
        "@a",
        "a.b",
        "'{{ a }}'",
        "a:b.c",
        "'a",
    ],
)
def test_the_first_gate_refuses_a_sign_before_a_parser_reads_it(text):
    with pytest.raises(ExpressionInvalid):
        tokens_of(text)


def test_a_refusal_names_the_nearest_word():
    with pytest.raises(ExpressionInvalid, match=r"uses tirm\(\), .*; the nearest word it has is trim"):
        parse_expression("tirm(a)")
    with pytest.raises(ExpressionInvalid, match=r"uses now\(\), .*: its answer changes from run to run"):
        parse_expression("now()")


def test_an_expression_tells_columns_parameters_and_where_it_may_fail():
    expression = parse_expression("coalesce(try_to_date(`a.b`, 'yyyy'), try_cast(concat(c, :d) as date), e)")
    assert sorted(expression.columns) == ["a.b", "c", "e"] and expression.parameters == ("d",)
    assert expression.tries == (
        ("try_to_date(`a.b`, 'yyyy')", ("a.b",)),
        ("try_cast(concat(c, :d) as date)", ("c",)),
    )
    assert unknown_column(expression, ["A.B", "C"]) == "e"


def test_a_parameter_of_a_lambda_is_no_column():
    assert parse_expression("transform(split(a, ','), x -> trim(x))").columns == ("a",)


WORDS = sorted(FUNCTIONS | KEYWORDS | TYPES | {"a", "b", "one_id", "x"})
FOREIGN = [
    "reflect", "java_method", "select", "from", "exists", "rand", "now", "current_date", "over", "explode", "sum", "text",
    "r", "x", "trusted", "identifier", "array_agg", "with", "interval", "lateral", "all", "any", "struct", "map",
]  # fmt: skip
PARTS = st.one_of(
    st.sampled_from(WORDS),
    st.sampled_from(FOREIGN),
    st.sampled_from(
        [
            "(",
            ")",
            "(",
            ")",
            ",",
            "[",
            "]",
            "=",
            "<",
            "->",
            "||",
            "+",
            "-",
            "*",
            ".",
            ":",
            ":p",
            "'t'",
            "1",
            "`a`",
            "''",
        ]
    ),
    st.sampled_from(["--", "/*", "*/", ";", "{{", "}}", "\\", "'", '"', "`", "\n", "\x00", "${", "@", "é"]),
)
CALLS = st.recursive(
    st.sampled_from(["a", "b", "1", "'t'", ":p", "`a b`", "null", "(select 1)", "current_user", "x -> x", "'\\\\'", "rand()"]),
    lambda inner: st.one_of(
        st.tuples(st.sampled_from(WORDS + FOREIGN), st.lists(inner, max_size=3)).map(
            lambda call: f"{call[0]}({', '.join(call[1])})"
        ),
        st.tuples(inner, st.sampled_from(["+", "=", "and", "||", "in", "like", "is", "."]), inner).map(" ".join),
        inner.map(lambda text: f"cast({text} as string)"),
        inner.map(lambda text: f"case when {text} then {text} end"),
    ),
    max_leaves=8,
)  # fmt: skip
TEXTS = st.one_of(
    CALLS, st.lists(PARTS, min_size=1, max_size=12).map(" ".join), st.lists(PARTS, max_size=8).map("".join)
)
# Spark's own nodes of what the language has; any other kind that Spark sees in an admitted text is a hole.
NODES = {
    "UnresolvedAttribute", "UnresolvedFunction", "Literal", "EqualTo", "EqualNullSafe", "LessThan", "LessThanOrEqual",
    "GreaterThan", "GreaterThanOrEqual", "And", "Or", "Not", "In", "IsNull", "IsNotNull", "Add", "Subtract", "Multiply",
    "Divide", "Remainder", "UnaryMinus", "UnaryPositive", "CaseWhen", "Cast", "LambdaFunction", "Between", "RLike",
    "UnresolvedNamedLambdaVariable", "Like", "ILike", "UnresolvedExtractValue", "NamedParameter", "NamedArgumentExpression",
    "Concat", "StringTrim", "StringTrimLeft", "StringTrimRight", "StringTrimBoth", "UnresolvedOrdinal", "TimestampAdd",
    "Substring", "StringLocate", "Coalesce", "If", "CreateArray", "LikeAll", "EvalMode", "DatetimeExpression", "Overlay",
}  # fmt: skip


@pytest.mark.slow
@settings(max_examples=1500, deadline=None, derandomize=True)
@given(TEXTS)
def test_an_admitted_text_holds_no_word_or_sign_outside_the_list(text):
    try:
        parse_expression(text)
    except ExpressionInvalid:
        return
    bare = re.sub(r"'(?:[^'\\]|\\.|'')*'|\"(?:[^\"\\]|\\.)*\"|`[^`]*`", lambda m: f" {m[0][0]}q ", text)
    calls = {name.lower() for name in re.findall(r"([\w`\"']+)\s*\(", bare)}
    assert calls <= FUNCTIONS | KEYWORDS | {"decimal", "numeric"}
    assert not re.search(r"--|/\*|;|\{|\}|\$|@|\bselect\s|\bover\s*\(", bare, re.IGNORECASE)


@pytest.mark.slow
@settings(max_examples=600, deadline=None, derandomize=True)
@given(st.one_of(TEXTS, st.sampled_from(ADMITTED)))
def test_spark_reads_nothing_in_an_admitted_text_that_was_not_admitted(spark, text):
    try:
        parse_expression(text)
    except ExpressionInvalid:
        return
    kinds, functions = nodes_by_spark(spark, text)
    assert functions <= FUNCTIONS | KEYWORDS and kinds <= NODES, (
        text,
        kinds - NODES,
        functions,
    )


def nodes_by_spark(spark, text):
    """Give the kinds of nodes and the names of functions that Spark's own parser sees in a text, if it reads it at all."""
    from pyspark.errors import ParseException

    try:
        tree = spark._jsparkSession.sessionState().sqlParser().parseExpression(text)
    except ParseException:
        return set(), set()
    kinds, functions, waiting = set(), set(), [tree]
    while waiting:
        node = waiting.pop()
        kinds.add(node.getClass().getSimpleName().rstrip("$"))
        if node.getClass().getSimpleName() == "UnresolvedFunction":
            functions.add(node.nameParts().mkString(".").lower())
        children = node.children()
        waiting += [children.apply(at) for at in range(children.size())]
    return kinds, functions


CLOCK_WORDS = (
    "now",
    "today",
    "tomorrow",
    "yesterday",
    "epoch",
    "midnight",
    "current_date",
    "infinity",
    "allballs",
)


def test_every_text_that_spark_takes_for_its_clock_is_known(spark):
    """Spark is asked what it reads as a day or an instant though no digit says which."""
    texts = [
        form.format(word)
        for word in (*CLOCK_WORDS, *map(str.upper, CLOCK_WORDS))
        for form in (
            "{}",
            " {}\\t",
            "{} UTC",
            "{} Asia/Shanghai",
            "{}+08:00",
            "{} Z",
            "{}where",
            "{} is it",
            "{},",
            "{}1",
        )
    ]
    columns = ", ".join(
        f"try_cast('{text}' as date) is not null or try_cast('{text}' as timestamp) is not null"
        for text in texts
    )
    answers = spark.sql(f"select array({columns}) as answers").collect()[0]["answers"]
    readings = {text for text, is_read in zip(texts, answers, strict=True) if is_read}
    assert {text for text in readings if not is_clock(text.replace("\\t", "\t"))} == set()
    assert {text.split()[0].lower() for text in readings if text.strip().isalpha()} == {
        "now", "today", "tomorrow", "yesterday", "epoch"
    }  # fmt: skip
