"""Measures over the rows of a person, by the SQL that is generated, against plain Python; on each engine the same."""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from decimal import Decimal
from fractions import Fraction

import jinja2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lakehouse.errors import SettingsInvalid
from lakehouse.expressions.duckdb import function_statements
from lakehouse.query.desk import new_connection
from tags.build.project import duckdb_files, project_files
from tags.compile.compilation import compile_tags

D = dt.date(2028, 3, 31)
COLUMNS = {
    "one_id": pa.int64(), "source": pa.string(), "visit_id": pa.int64(), "visited_on": pa.date32(), "place": pa.string(),
    "hours": pa.int32(), "spent": pa.decimal128(18, 2),
}  # fmt: skip
MODEL = "{{ config(materialized='ephemeral') }}\nselect * from {{ ref('stg_trusted__events') }}\n"
MODEL_YAML = f"""
version: 2
models:
  - name: int_visits
    config: {{meta: {{key: [source, visit_id], event_date: visited_on}}}}
    columns: [{", ".join(f"{{name: {name}}}" for name in COLUMNS)}]
"""
TAG = """
  - code: {code}
    name: {{zh: {code}, en: {code}}}
    definition: {{zh: 测试, en: Test}}
    kind: fact
    value: {{type: {type}}}
    null_rule: NA
    level: C2
    purposes: [service]
    inputs: [trusted.events.occurred_on]
    params: [{{name: least, value: 3}}, {{name: base, value: 10.5}}]
    compute: {{aggregate: {{from: int_visits, {form}}}}}
    owner: data
    version: 1.0.0
    status: online
"""
TAGS = {
    "top_place": ("string", "measure: mode, of: place"),
    "top_place_late": ("string", "measure: mode, of: place, order_by: [visited_on, hours]"),
    "top_place_spent": ("string", "measure: mode, of: place, of_weight: spent, window_days: 90, rows_at_least: ':least'"),
    "top_hours": ("int", "measure: mode, of: hours, of_weight: 'spent * 2', order_by: [visited_on], where: spent <> 5"),
    "median_hours": ("decimal", "measure: median, of: hours"),
    "median_spent_90d": ("decimal", "measure: median, of: spent, window_days: 90, rows_at_least: 2"),
    "quantile_spent": ("ratio", "measure: quantile, quantile: 0.9, of: spent"),
    "quantile_third": ("ratio", "measure: quantile, quantile: 0.3333, of: spent * hours"),
    "least_spent": ("decimal", "measure: quantile, quantile: 0, of: spent"),
    "most_spent": ("decimal", "measure: quantile, quantile: 1, of: spent"),
    "spent_trend": ("ratio", "measure: trend, trend_of: sum, of: spent, window_days: 30, base_at_least: ':base'"),
    "visit_trend": ("ratio", "measure: trend, trend_of: count, months: 2, base_at_least: '2'"),
    "place_trend": ("ratio", "measure: trend, trend_of: count_distinct, of: place, months: 1, base_at_least: '1'"),
    "top_trend": ("ratio", "measure: trend, trend_of: max, of: spent, window_days: 45, base_at_least: '0'"),
    "is_falling": ("boolean", "measure: trend, trend_of: sum, of: spent, window_days: 30, base_at_least: '1', at_least: '-0.5'"),
    "first_place": ("string", "measure: first, of: place, order_by: [visited_on, hours]"),
    "last_place": ("string", "measure: last, of: place, order_by: [hours], window_days: 90, where: spent > 0"),
    "last_spent": ("decimal", "measure: last, of: spent, order_by: [visited_on]"),
    "places": ("string, cardinality: set", "measure: set, of: place"),
    "hours_90d": ("int, cardinality: set", "measure: set, of: hours, window_days: 90, where: spent > 0"),
    "spent_per_hour": ("ratio", "measure: ratio, of: spent, per: hours, where: spent < 100 and hours < 100"),
    "spent_per_hour_90d": ("ratio", "measure: ratio, of: spent, per: hours, window_days: 90, where: place is not null"),
    "average_spent": ("decimal", "measure: avg, of: spent"),
    "spent_per_place": ("decimal", "measure: avg, of: spent, per: place"),
    "spent_per_month": ("decimal", "measure: avg, of: spent, per: 'month(visited_on)', months: 2, where: spent < 100"),
    "is_thrifty": ("boolean", "measure: avg, of: spent, per: place, where: spent < 100, at_least: ':base'"),
}  # fmt: skip
SITE = {
    "models/int_visits.sql": MODEL,
    "models/int_visits.yml": MODEL_YAML,
    "tags/site.yml": "family: site\ntags:"
    + "".join(TAG.format(code=code, type=kind, form=form) for code, (kind, form) in TAGS.items()),
}
TYPES = {
    "string": "string",
    "int": "int",
    "decimal": "decimal(18,2)",
    "ratio": "decimal(18,6)",
    "boolean": "boolean",
}
SETS = {code for code, (kind, _) in TAGS.items() if "set" in kind}
# What the type of a tag holds before the point; the night calls what is larger lost.
HOLDS = {"decimal": 10**16, "ratio": 10**12}


def rows():
    """Visits of three hundred people: ties, nulls, returns, leap days, days before the windows, a value far too large."""
    drawn, number = np.random.default_rng(7), 0

    def one_of(options):
        return options[drawn.integers(len(options))]

    for person in range(1, 301):
        for _ in range(one_of((0, 1, 2, 3, 4, 7, 12, 40))):
            number += 1
            yield {
                "one_id": person,
                "source": one_of("ab"),
                "visit_id": number,
                "visited_on": D - dt.timedelta(days=one_of((0, 1, 29, 30, 31, 44, 45, 59, 60, 89, 90, 91, 200))),
                "place": one_of(("city", "park", "sea", "山", "", "Park", None)),
                "hours": one_of((None, 0, 1, 2, 3, 8, 2**31 - 1)),
                "spent": one_of((None, *(Decimal(x) for x in ("5", "0.01", "-5", "7.35", "0", "9999999999999999.99", "10.50")))),
            }  # fmt: skip


def month_of(back: int) -> tuple[dt.date, dt.date]:
    """The first days of the month ``back`` before that of D and of the one after it."""
    first = D.year * 12 + D.month - 1 - back
    return dt.date(first // 12, first % 12 + 1, 1), dt.date((first + 1) // 12, (first + 1) % 12 + 1, 1)


def lows(value):
    """A null as the smallest of an order."""
    return (value is not None, value if value is not None else 0)


def mode(entries, value, *, weight=lambda e: 1, order=lambda e: ()):
    runs = defaultdict(list)
    for entry in entries:
        if value(entry) is not None:
            runs[value(entry)].append(entry)
    if not runs:
        return None
    best = max(
        (sum(weight(e) or 0 for e in run), len(run), max(order(e) for e in run)) for run in runs.values()
    )
    return min(
        (v for v, run in runs.items() if (sum(weight(e) or 0 for e in run), len(run), max(order(e) for e in run)) == best),
        key=lambda v: v.encode() if isinstance(v, str) else v,
    )  # fmt: skip


def quantile(values, share, digits):
    values = sorted(v for v in values if v is not None)
    if not values or max(map(abs, values)) >= 10**18:
        return None  # what cannot be measured is lost, and a lost answer stops the night
    place = Fraction(share) * (len(values) - 1)
    low = int(place)
    high = min(low + 1, len(values) - 1)
    value = Fraction(values[low]) + (Fraction(values[high]) - Fraction(values[low])) * (place - low)
    return halves_up(value, digits)


def halves_up(value: Fraction, digits: int) -> Decimal:
    whole = abs(value) * 10**digits
    rounded = (2 * whole.numerator + whole.denominator) // (2 * whole.denominator)
    return Decimal(-rounded if value < 0 else rounded).scaleb(-digits)


def trend(now, base, least):
    if base is None or now is None or base < least or base <= 0:
        return None
    return halves_up(Fraction(halves_up(Fraction(now) / Fraction(base), 12)) - 1, 6)


def pick(entries, value, order, *, best=max):
    """The value of the row that stands highest, or lowest, of those that have one; ties end in the key."""
    some = [e for e in entries if value(e) is not None]
    return value(best(some, key=lambda e: (*order(e), e["source"], e["visit_id"]))) if some else None


def quotient(number, divisor, digits):
    """A sum over another number; null where there is nothing to divide, or nothing to divide by."""
    return halves_up(Fraction(number) / Fraction(divisor), digits) if number is not None and divisor else None


def answers_of(entries):
    """The answers about one person, worked out in plain Python."""

    def within(first, last):
        return [e for e in entries if first <= e["visited_on"] <= last]

    def days(begin, end):
        return within(D - dt.timedelta(days=begin - 1), D - dt.timedelta(days=end))

    def months(begin, end):
        return within(month_of(begin)[0], month_of(end)[1] - dt.timedelta(days=1))

    def total(some):
        return sum((e["spent"] or 0 for e in some), Decimal(0))

    def highest(some):
        return max((e["spent"] for e in some if e["spent"] is not None), default=None)

    def place(e):
        return e["place"]

    def paid(some):
        """The sum of what is known; null where nothing is."""
        amounts = [e["spent"] for e in some if e["spent"] is not None]
        return sum(amounts, Decimal(0)) if amounts else None

    def time(some):
        return sum(e["hours"] or 0 for e in some)

    def places(some):
        return {place(e) for e in some} - {None}

    recent = days(90, 0)
    low = [e for e in entries if e["spent"] is not None and e["spent"] < 100]
    low_hours = [e for e in low if e["hours"] is not None and e["hours"] < 100]
    named = [e for e in recent if place(e) is not None]
    gainful = [e for e in recent if e["spent"] is not None and e["spent"] > 0]
    of_months = [e for e in months(2, 1) if e in low]
    thrift = quotient(paid(low), len(places(low)), 6)
    change = trend(total(days(30, 0)), total(days(60, 30)), 1)
    spent = [e["spent"] for e in entries]
    standing = [e for e in entries if e["spent"] is not None and e["spent"] != 5]
    return {
        "top_place": mode(entries, place),
        "top_place_late": mode(entries, place, order=lambda e: (lows(e["visited_on"]), lows(e["hours"]))),
        "top_place_spent": mode(recent, place, weight=lambda e: e["spent"])
        if len([e for e in recent if place(e) is not None]) >= 3 else None,
        "top_hours": mode(standing, lambda e: e["hours"], weight=lambda e: 2 * e["spent"], order=lambda e: e["visited_on"]),
        "median_hours": quantile([e["hours"] for e in entries], Fraction(1, 2), 2),
        "median_spent_90d": quantile([e["spent"] for e in recent], Fraction(1, 2), 2)
        if len([e for e in recent if e["spent"] is not None]) >= 2 else None,
        "quantile_spent": quantile(spent, Fraction(9, 10), 6),
        "quantile_third": quantile(
            [e["spent"] * e["hours"] for e in entries if e["spent"] is not None and e["hours"] is not None], Fraction(3333, 10000), 6
        ),
        "least_spent": quantile(spent, 0, 2),
        "most_spent": quantile(spent, 1, 2),
        "spent_trend": trend(total(days(30, 0)), total(days(60, 30)), Decimal("10.5")),
        "visit_trend": trend(len(months(2, 1)), len(months(4, 3)), 2),
        "place_trend": trend(len({place(e) for e in months(1, 1)} - {None}), len({place(e) for e in months(2, 2)} - {None}), 1),
        "top_trend": trend(highest(days(45, 0)), highest(days(90, 45)), 0),
        "is_falling": None if change is None else change >= Decimal("-0.5"),
        "first_place": pick(entries, place, lambda e: (lows(e["visited_on"]), lows(e["hours"])), best=min),
        "last_place": pick(gainful, place, lambda e: (lows(e["hours"]),)),
        "last_spent": pick(entries, lambda e: e["spent"], lambda e: (e["visited_on"],)),
        "places": sorted(places(entries), key=str.encode),
        "hours_90d": sorted({e["hours"] for e in gainful} - {None}),
        "spent_per_hour": quotient(paid(low_hours), time(low_hours), 6),
        "spent_per_hour_90d": quotient(paid(named), time(named), 6),
        "average_spent": quotient(paid(entries), len([e for e in entries if e["spent"] is not None]), 2),
        "spent_per_place": quotient(paid(entries), len(places(entries)), 2),
        "spent_per_month": quotient(paid(of_months), len({e["visited_on"].month for e in of_months}), 2),
        "is_thrifty": None if thrift is None else thrift >= Decimal("10.5"),
    }  # fmt: skip


def scan_of(files, prefix=""):
    template = jinja2.Environment(autoescape=False).from_string(
        files[f"{prefix}models/tag_customer__visits.sql"]
    )
    scan = template.render(ref=lambda name: name, config=lambda **_: "", business_date=lambda: f"date'{D}'")
    columns = ", ".join(
        code if code in SETS else f"try_cast({code} as {TYPES[kind]}) as {code}"
        for code, (kind, _) in TAGS.items()
    )
    return f"select one_id, {columns} from ({scan}) scan"


@pytest.fixture(params=["duckdb", pytest.param("spark", marks=pytest.mark.slow)])
def answers(request, make_workspace, tmp_path):
    """What the generated scan says by person, on each engine."""
    (tmp_path / "none").mkdir()
    compilation = compile_tags(make_workspace(SITE), shipped=tmp_path / "none")
    table = pa.Table.from_pylist(list(rows()), schema=pa.schema(list(COLUMNS.items())))
    if request.param == "duckdb":
        connection = new_connection("UTC")
        for statement in function_statements():
            connection.execute(statement)
        connection.register("int_visits", table)
        return connection.sql(scan_of(duckdb_files(compilation), "duckdb/")).to_arrow_table().to_pylist()
    file = tmp_path / "visits.parquet"
    pq.write_table(table, file)
    session = request.getfixturevalue("spark").newSession()
    session.conf.set("spark.sql.ansi.enabled", "false")
    session.read.parquet(str(file)).createOrReplaceTempView("int_visits")
    return [row.asDict() for row in session.sql(scan_of(project_files(compilation))).collect()]


def test_every_measure_is_what_plain_python_says(answers):
    people = defaultdict(list)
    for row in rows():
        people[row["one_id"]].append(row)
    found = {row.pop("one_id"): row for row in answers}
    assert found.keys() == people.keys() and len(found) > 250
    expected = {person: answers_of(entries) for person, entries in people.items()}
    for code in TAGS:
        wrong = {
            person: (answer[code], found[person][code])
            for person, answer in expected.items()
            if found[person][code] != answer[code]
            and not (found[person][code] is None and is_too_large(code, answer[code]))
        }
        assert not wrong, (code, dict(list(wrong.items())[:3]))
        assert any(answer[code] is not None for answer in expected.values())
        if code not in ("median_hours", "most_spent", "least_spent", "quantile_spent"):
            assert any(answer[code] in (None, []) for answer in expected.values()), code
        assert len({str(answer[code]) for answer in expected.values()}) > 1, code


def is_too_large(code, answer):
    return isinstance(answer, Decimal) and abs(answer) >= HOLDS[TAGS[code][0]]


REFUSED = {
    "a quantile without its share": ("measure: quantile, of: spent", "measure 'quantile' needs 'quantile', a share such as 0.9"),
    "a share above one": ("measure: quantile, quantile: 1.5, of: spent", "less than or equal to 1"),
    "a share of another measure": ("measure: median, quantile: 0.9, of: spent", "measure 'median' has no 'quantile'; it belongs to quantile"),
    "a mode of nothing": ("measure: mode", "measure 'mode' needs 'of'"),
    "a weight that nothing weighs": ("measure: sum, of: spent, of_weight: hours", "measure 'sum' has no 'of_weight'; it belongs to mode"),
    "a mode turned into yes or no": ("measure: mode, of: place, at_least: '2'", "measure 'mode' has no 'at_least'"),
    "a trend without a floor": ("measure: trend, trend_of: sum, of: spent, window_days: 30", "needs 'base_at_least', the least"),
    "a trend without windows": ("measure: trend, trend_of: sum, of: spent, base_at_least: '1'", "needs window_days or months"),
    "a trend of what has none": ("measure: trend, trend_of: avg, of: spent, base_at_least: '1', months: 1", "trend_of"),
    "a floor that differs by row": (
        "measure: trend, trend_of: sum, of: spent, base_at_least: hours, months: 1", "'base_at_least' reads the column 'hours'"
    ),
    "a least number of rows by row": ("measure: median, of: spent, rows_at_least: hours", "'rows_at_least' reads the column 'hours'"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED, ids=REFUSED.keys())
def test_a_measure_that_cannot_be_meant_is_refused_with_its_line(case, make_workspace, tmp_path):
    form, sentence = REFUSED[case]
    (tmp_path / "none").mkdir()
    tag = TAG.format(code="site_tag", type="decimal", form=form)
    files = {**SITE, "tags/site.yml": f"family: site\ntags:{tag}"}
    with pytest.raises(SettingsInvalid) as refusal:
        compile_tags(make_workspace(files), shipped=tmp_path / "none")
    assert sentence in str(refusal.value)
    assert str(refusal.value).startswith(str(refusal.value.file)) or refusal.value.line


def test_a_mode_or_a_median_adds_no_pass_over_the_relation(make_workspace, tmp_path):
    (tmp_path / "none").mkdir()
    text = project_files(compile_tags(make_workspace(SITE), shipped=tmp_path / "none"))[
        "models/tag_customer__visits.sql"
    ]
    assert text.count("ref('int_visits')") == 1
    assert text.count("from attributed") == text.count("group by") == 1


def test_a_trend_reads_the_window_before_too_and_no_older_row(make_workspace, tmp_path):
    (tmp_path / "none").mkdir()
    tags = "".join(
        TAG.format(code=code, type="ratio", form=TAGS[code][1]) for code in ("spent_trend", "visit_trend")
    )
    compilation = compile_tags(
        make_workspace({**SITE, "tags/site.yml": f"family: site\ntags:{tags}"}), shipped=tmp_path / "none"
    )
    text = project_files(compilation)["models/tag_customer__visits.sql"]
    day = "{{ business_date() }}"
    assert (
        f"where visited_on >= least(date_sub({day}, 59), add_months(trunc({day}, 'MM'), -4))\ngroup by"
        in text
    )
