"""What a specification may not say: each fault with its code, file, line and a hint, before any data is read."""

from __future__ import annotations

import re
import time

import pytest
from segment_bank import DESTINATIONS_YML, TAGS_YML, catalogue_of, spec

from lakehouse.errors import SettingsInvalid, UsageError
from lakehouse.settings.settings import load_settings
from segments.language.checks.findings import refuse_findings
from segments.language.spec import read_segment


@pytest.fixture
def findings_of(make_workspace):
    def find(files: dict[str, str], known_hashes=None, others=None, **published):
        texts = {f"segments/{code}.yml": text for code, text in files.items()}
        base = {
            "tags/test.yml": TAGS_YML,
            "destinations.yml": DESTINATIONS_YML,
            "lists/friends@1.csv": "one_id\n1\n",
        }
        folder = make_workspace({**base, **texts, **(others or {})})
        findings = catalogue_of(load_settings(folder), known_hashes, **published).findings()
        return [(f"{f.file.stem}:{f.line}", f.code, f.message) for f in findings]

    return find


# body of the rule (its first line is line 9 of the file) | line | code | words of the message
FAULTS = [
    ("where: {tag: teir, eq: T1}", 9, "E01", "no tag 'teir'; did you mean 'tier'?"),
    ("where:\n  all:\n    - {tag: tier, eq: T1}\n    - {tag: tier, version: '>=2', eq: T2}", 12, "E01", "version 1.2.0, which is not '>=2'"),
    ("where: {list: freinds@1}", 9, "E01", "no list 'freinds@1'"),
    ("where: {segment: other}", 9, "E01", "no segment 'other'"),
    ("where: {tag: tier, in: [T1, T9]}", 9, "E02", "no value 'T9'; known are: T1, T2, T3"),
    ("where: {tag: days_left, between: [1, 4000]}", 9, "E02", "from 0 to 3650, not to 4000"),
    ("where: {tag: interests, contains_any: [FUNDS]}", 9, "E02", "did you mean 'FUND'?"),
    ("where: {tag: tier, gt: T1}", 9, "E03", "'gt' works on number and date, not on a category"),
    ("where: {tag: is_active, eq: 'yes'}", 9, "E03", "'yes' is not a boolean"),
    ("where: {tag: interests, eq: FUND}", 9, "E03", "contains_any"),
    ("where: {tag: sketch, eq: 1}", 9, "E05", "is draft, not online"),
    ("where: {tag: grade, eq: H}", 9, "E06", "may only exclude"),
    ("where: {tag: tier, eq: T1}\nexclude:\n  - {not: {tag: grade, eq: H, include_unknown: true}}", 11, "E06", "may only exclude"),
    ("where: {tag: tier, eq: T1}\nexclude: [{tag: grade, ne: H, include_unknown: true}]", 10, "E06", "keeps in whom it is about"),
    ("where: {tag: tier, eq: T1}\nexclude: [{tag: grade, ne: H, include_unknown: false}]", 10, "E06", "keeps in whom it is about"),
    ("where: {tag: tier, eq: T1}\nexclude: [{tag: grade, eq: L, include_unknown: true}]", 10, "E06", "keeps in whom it is about"),
    ("where: {tag: tier, eq: T1}\nexclude: [{tag: grade, in: [L, M], include_unknown: false}]", 10, "E06", "keeps in whom it is about"),
    ("where: {tag: tier, eq: T1}\nexclude: [{tag: grade, not_in: [M], include_unknown: true}]", 10, "E06", "keeps in whom it is about"),
    ("where: {tag: tier, eq: T1}\nexclude: [{tag: grade, is_null: true}]", 10, "E06", "keeps in whom it is about"),
    ("where: {tag: tier, eq: T1}\nexclude: [{any: [{tag: grade, ne: H, include_unknown: false}, {tag: days_left, lt: 3, include_unknown: false}]}]", 10, "E06", "keeps in whom it is about"),
    ("where: {tag: tier, eq: T1}\nexclude: [{tag: grade, changed_since: 3, include_unknown: false}]", 10, "E06", "keeps in whom it is about"),
    ("where: {tag: tier, eq: T1}\nexclude: [{expr: grade <> 'H', include_unknown: true}]", 10, "E06", "by a condition of its own"),
    ("where: {event: {name: login, within_days: 4000}}", 9, "E09", "events are kept 1096 days"),
    ("where: {tag: old_tier, eq: 1}", 9, "E05", "is deprecated since 2026-01-01; use 'tier'; it may be gone from 2026-03-02 on"),
    ("where: {not: {tag: tier, eq: T1}}", 9, "E13", "can be null and is negated"),
    ("where: {tag: tier, ne: T1}", 9, "E13", "include_unknown"),
    ("where: {tag: tier, eq: T1}\nexclude: [{tag: days_left, lt: 3}]", 10, "E13", "'days_left' can be null"),
    ("where: {tag: balance, top_n: 5}", 9, "E03", "'within: base' needs the segment's base"),
    ("where: {tag: tier, top_n: 5, within: all}", 9, "E03", "people are ranked by numbers and dates"),
    ("base: {tag: balance, top_n: 5, within: all}", 9, "E03", "the base is what it ranks"),
    ("where: {tag: teir, top_n: 5, within: all}", 9, "E01", "no tag 'teir'"),
    ("where: {tag: sketch, top_n: 5, within: all}", 9, "E05", "is draft"),
    ("where: {not: {tag: days_left, top_n: 5, within: all}}", 9, "E13", "can be unknown and is negated"),
    ("where: {not: {detail: {from: holdings, match: {quantity: {gte: 1}}}}}", 9, "E13", "can be unknown and is negated"),
    ("where: {not: {sequence: {steps: [{name: a}], then_not: {name: b, for: 1d}}}}", 9, "E13", "can be unknown"),
    ("where: {not: {date: {of: opened_on, days_ahead: {lte: 3}}}}", 9, "E13", "can be unknown"),
    ("where: {date: {of: tier, days_ahead: {lte: 3}}}", 9, "E03", "'date.of' takes a date, and tag 'tier' is a category"),
    ("where: {date: {of: opened_on, every: month, days_ahead: {lte: 3}}}", 9, "E03", "takes a tag that is a day of the month"),
    ("where: {receipt: {status: OPENED, of: unknown}}", 9, "E01", "there is no segment 'unknown'"),
    ("where: {expr: teir = 'T1'}", 9, "E01", "no tag 'teir'"),
    ("where: {expr: grade = 'H'}", 9, "E06", "may only exclude"),
    ("where: {expr: balance + 1}", 9, "E03", "an expression is a condition, and this one is a number"),
    ("where: {expr: balance > tier}", 9, "E03", "a comparison meets a category and a number"),
    ("where: {expr: tier > 'T1'}", 9, "E03", "a category is not compared by order"),
    ("where: {expr: balance / days_left > 2}", 9, "E03", "two engines would not answer it alike"),
    ("where: {expr: balance * days_left > 2}", 9, "E03", "* takes one number as written"),
    ("where: {expr: not balance}", 9, "E03", "NOT takes a boolean"),
    ("where: {expr: 'datediff(:business_date, tier) > 2'}", 9, "E03", "takes a date"),
    ("where: {expr: interests = 'FUND'}", 9, "E03", "a comparison meets"),
    ("where: {detail: {from: holdings, count: {gte: 3, lt: 2}}}", 9, "E14", "true of nobody"),
    ("where:\n  all:\n    - {tag: balance, gte: 50}\n    - {tag: balance, lt: 40}", 11, "E14", "true of nobody"),
    ("unknown: exclude\nwhere: {any: [{tag: tier, eq: T1}, {not: {tag: tier, eq: T1}}]}", 10, "E14", "true of everybody"),
]  # fmt: skip


@pytest.mark.parametrize(("body", "line", "code", "words"), FAULTS)
def test_a_fault_is_named_with_its_line(findings_of, body, line, code, words):
    found = findings_of({"x": spec("x", body)})
    assert [(place, kind) for place, kind, _ in found] == [(f"x:{line}", code)]
    assert words in found[0][2]


@pytest.mark.parametrize(
    "body",
    [
        "unknown: exclude\nwhere: {not: {tag: tier, eq: T1}}",
        "where: {tag: tier, ne: T1, include_unknown: false}",
        "where: {not: {tag: tier, is_null: true}}",
        "where: {not: {tag: balance, gte: 5}}",
        "where: {not: {not: {tag: tier, eq: T1}}}",
        "where: {tag: tier, eq: T1}\nexclude: [{tag: grade, eq: H, include_unknown: true}]",
        "where: {list: friends@1}",
        "where: {not: {detail: {from: holdings, match: {product_class: wealth}}}}",
        "where: {not: {sequence: {steps: [{name: a}, {name: b}], within: 1d}}}",
        "base: {tag: tier, eq: T1}\nwhere: {tag: balance, top_percent: 30}",
        "where: {expr: balance > 2 * days_left and size(interests) >= 1}",
        "where: {receipt: {status: OPENED, of: x}}",
        "where: {tag: tier, eq: T1}\nexclude: [{tag: grade, in: [M, H], include_unknown: false}]",
        "where: {tag: tier, eq: T1}\nexclude: [{tag: grade, not_in: [L], include_unknown: true}]",
        "where: {tag: tier, eq: T1}\nexclude: [{tag: grade, is_null: false}]",
        "where: {any: [{sample: {percent: 5}}, {date: {of: opened_on, every: year, days_ahead: {lte: 7}}}]}",
    ],
)
def test_what_is_sound_is_not_complained_about(findings_of, body):
    assert findings_of({"x": spec("x", body)}) == []


def test_a_static_segment_chooses_by_lists_and_leaves_out_by_anything(findings_of):
    rest = "exclude: [{receipt: {status: SENT, of: x, within_days: 14}}]"
    assert findings_of({"x": spec("x", f"where: {{list: friends@1}}\n{rest}", kind="static")}) == []
    wrong = spec("x", "where: {all: [{list: friends@1}, {tag: tier, eq: T1}]}", kind="static")
    assert [(code, text) for _, code, text in findings_of({"x": wrong})] == [
        ("E03", "a static segment chooses by lists only; use kind: dynamic")
    ]


def test_a_deprecated_tag_may_go_on_in_a_version_that_is_in_use(findings_of, tmp_path):
    text = spec("x", "where: {tag: old_tier, eq: 1}")
    file = tmp_path / "x.yml"
    file.write_text(text)
    published = {("x", "1.0.0"): read_segment(file).definition_hash}
    warning = "tag 'old_tier' is deprecated since 2026-01-01; use 'tier'; it may be gone from 2026-03-02 on"
    assert [(line, code, message) for line, code, message in findings_of({"x": text}, published)] == [
        ("x:9", "W06", warning)
    ]
    newer = text.replace("version: 1.0.0", "version: 1.1.0")
    assert [code for _, code, _ in findings_of({"x": newer}, published)] == ["E05"]


def test_a_file_that_cannot_be_read_hides_no_fault_of_another_and_is_not_said_to_be_absent(findings_of):
    found = findings_of(
        {
            "a": spec("a", "where: {tag: teir, eq: T1}"),
            "b": "spec: segment/v1\ncode: [\n",
            "c": spec("c", "where: {segment: b}"),
            "d": spec("d", "where: {tag: tier, in: T1}"),
            "e": spec("e", "where: {tag: tier, eq: T1}\nwaves: []"),
            "f": spec("f", "where: {tag: tier, eq: T9}"),
        }
    )
    assert [(place, code) for place, code, _ in found] == [
        ("a:9", "E01"), ("b:3", "E00"), ("d:9", "E03"), ("e:10", "E00"), ("f:9", "E02"),
    ]  # fmt: skip


def test_a_night_is_refused_by_the_first_fault_and_a_sound_segment_can_still_be_asked(make_workspace):
    files = {"a": spec("a", "where: {tag: tier, eq: T1}"), "b": spec("b", "waves: []")}
    texts = {f"segments/{code}.yml": text for code, text in files.items()}
    settings = load_settings(
        make_workspace({"tags/test.yml": TAGS_YML, "destinations.yml": DESTINATIONS_YML, **texts})
    )
    catalogue = catalogue_of(settings)
    with pytest.raises(SettingsInvalid, match="E00 'waves' is not supported yet"):
        refuse_findings(catalogue.findings())
    assert catalogue.segment("a").code == "a"
    with pytest.raises(SettingsInvalid, match="'waves' is not supported yet"):
        catalogue.segment("b")
    with pytest.raises(UsageError, match="there is no segment 'c'"):
        catalogue.segment("c")


def test_an_offer_and_an_event_that_nobody_knows_are_found(findings_of):
    text = spec("x", "where: {event: {name: [login, logn], within_days: 7}}\noffer: OF1@1")
    tags = TAGS_YML + (
        "  - {code: max_sellable_risk, value: {type: string, domain: [R1, R2]}, null_rule: U, level: C1,"
        " purposes: [marketing], status: online, version: 1.0.0}\n"
    )
    names, others = frozenset({"login"}), {"tags/test.yml": tags}
    found = findings_of({"x": text}, others=others, event_names=names, offers={"OF2@1": "R1", "OF1@2": None})
    assert [(place, code, message.split(";")[0]) for place, code, message in found] == [
        ("x:9", "E01", "no event was ever called 'logn'"),
        ("x:10", "E01", "there is no offer 'OF1@1'"),
    ]
    sound = {"event_names": names | {"logn"}, "offers": {"OF1@1": "R1"}}
    assert findings_of({"x": text}, others=others, **sound) == []
    assert findings_of({"x": text}, others=others) == [], "before the first night nothing is known of either"


def test_a_circle_is_reported_once_with_its_way(findings_of):
    found = findings_of(
        {
            "a": spec("a", "where: {segment: b}"),
            "b": spec("b", "where:\n  any:\n    - {list: friends@1}\n    - {segment: c}"),
            "c": spec("c", "where: {segment: a}"),
            "d": spec("d", "where: {segment: a}"),
        }
    )
    assert found == [("a:9", "E04", "the segments go in a circle: a → b → c → a")]


def test_a_column_above_the_ceiling_and_a_restricted_column_are_refused(findings_of):
    text = spec("x", "where: {tag: tier, eq: T1}", columns="variant, balance, grade, tiers")
    found = findings_of({"x": text.replace("[engine]", "[open_engine, engin]")})
    assert [(code, message.split(";")[0]) for _, code, message in found] == [
        ("E01", "column 'tiers' is neither variant, channel nor a tag"),
        ("E01", "there is no destination 'engin' in destinations.yml"),
        ("E06", "column 'grade' may only exclude and is never published"),
        ("E07", "column 'balance' is C2, above the ceiling C1 of 'open_engine'"),
    ]


def test_a_purpose_no_tag_allows_is_refused(findings_of):
    found = findings_of({"x": spec("x", "where: {tag: days_left, lt: 3}", purpose="service")})
    assert found == [("x:9", "E06", "tag 'days_left' may be used for marketing, not for service")]


def test_a_changed_definition_needs_a_new_version(findings_of, tmp_path):
    body = "where: {tag: tier, eq: T1}"
    file = tmp_path / "x.yml"
    file.write_text(spec("x", body))
    published = {("x", "1.0.0"): read_segment(file).definition_hash}
    assert findings_of({"x": spec("x", body)}, published) == []
    found = findings_of({"x": spec("x", "where: {tag: tier, eq: T2}")}, published)
    assert [(place, code) for place, code, _ in found] == [("x:3", "E16")]
    assert findings_of({"x": spec("x", "where: {tag: tier, eq: T2}", version="1.1.0")}, published) == []


def test_two_experiments_of_a_layer_may_not_overlap(findings_of):
    split = "where: {{tag: tier, eq: T1}}\nsplit: {{experiment: {}, layer: wealth, range: [{}], arms: {{A: 1, B: 1}}}}"
    one, two = spec("a", split.format("e1", "0, 5000")), spec("b", split.format("e2", "4999, 9000"))
    assert [(place, code) for place, code, _ in findings_of({"a": one, "b": two})] == [("b:10", "E11")]
    assert findings_of({"a": one, "b": spec("b", split.format("e2", "5000, 9000"))}) == []


REFUSED = [
    ("where: {sequence: {steps: []}}", 9, "'sequence.steps' takes a list of events"),
    ("where: {sequence: {steps: [{name: a}]}}", 9, "a sequence of one step is an event"),
    ("where: {sequence: {steps: [{name: a}, {name: b}]}}", 9, "'sequence.within' says how long"),
    ("where: {sequence: {steps: [{name: a}, {name: b}], within: 3 days}}", 9, "like 30m, 12h or 3d"),
    ("where: {sequence: {steps: [{name: a}], then_not: {name: b}}}", 9, "'then_not.for' says how long"),
    (
        "where: {sequence: {steps: [{name: a}, {name: b}], within: 3d, within_days: 4000}}",
        9,
        "E09 events are kept",
    ),
    ("where: {event: {name: a, within_days: 3, where: x}}", 9, "unknown key 'where'"),
    ("where:\n  all:\n    - {tag: balance, top_percent: 130}", 11, "above 0 and below 100"),
    ("where: {tag: balance, top_percent: 30, top_n: 3}", 9, "write one of them"),
    ("where: {tag: balance, top_n: 0}", 9, "a number of people of at least 1"),
    ("where: {tag: balance, top_n: 3, within: city}", 9, "'within' takes base, or all"),
    ("where: {sample: {percent: 1.234}}", 9, "at most two decimals"),
    ("where: {sample: {percent: 5, salt: 'a b'}}", 9, "a salt is made of"),
    (
        "where: {detail: {from: holdigs}}",
        9,
        "E01 'detail.from' knows no rows 'holdigs'; did you mean 'holdings'?",
    ),
    ("where: {detail: {from: account_controls}}", 9, "controls are no reason to choose anybody"),
    (
        "where: {detail: {from: holdings, match: {product_clas: wealth}}}",
        9,
        "E01 holdings has no column 'product_clas'",
    ),
    (
        "where: {detail: {from: holdings, match: {product_class: welth}}}",
        9,
        "E02 product_class has no value 'welth'",
    ),
    (
        "where: {detail: {from: holdings, match: {balance: {gte: much}}}}",
        9,
        "E03 balance: 'much' is not a number",
    ),
    ("where: {detail: {from: holdings, match: {balance: {like: 3}}}}", 9, "'balance' knows no 'like'"),
    ("where: {detail: {from: holdings, match: {quantity: null}}}", 9, "write is_null: true"),
    (
        "where: {detail: {from: order_lines}}",
        9,
        "E01 the rows of order_lines name no person; write via: order",
    ),
    (
        "where: {detail: {from: order_lines, via: ordr}}",
        9,
        "no look-up 'ordr' leads from trusted.order_lines; did you mean 'order'?",
    ),
    (
        "where: {detail: {from: order_lines, via: product}}",
        9,
        "leads to trusted.products, whose rows name no person",
    ),
    (
        "where: {detail: {from: orders, via: customer}}",
        9,
        "E03 the rows of orders name their person themselves; take out 'via'",
    ),
    (
        "where: {detail: {from: products}}",
        9,
        "ask rows that look them up, like {from: accounts, match: {product.",
    ),
    ("where: {detail: {from: reference_values}}", 9, "declare a look-up to one that does in lookups.yml"),
    (
        "where: {detail: {from: holdings, match: {product.categry: x}}}",
        9,
        "E01 trusted.products has no column 'categry'; did you mean 'category'?",
    ),
    (
        "where: {detail: {from: holdings, match: {prodct.category: x}}}",
        9,
        "E01 no look-up 'prodct' leads from trusted.holdings; did you mean 'product'?",
    ),
    (
        "where: {detail: {from: holdings, match: {product.risk_level: R9}}}",
        9,
        "E02 product.risk_level has no value 'R9'",
    ),
    (
        "where: {detail: {from: holdings, match: {product.term_days: long}}}",
        9,
        "E03 product.term_days: 'long' is not a number",
    ),
    (
        "where: {detail: {from: cards, match: {customer.full_name: Li}}}",
        9,
        "E08 the column customer.full_name names or reaches a person",
    ),
    (
        "where: {detail: {from: orders, match: {customer.source_key.x: 1}}}",
        9,
        "E01 no look-up 'source_key' leads from trusted.customers",
    ),
    (
        "where: {detail: {from: holdings, sum: {of: product.category, gte: 3}}}",
        9,
        "E03 'sum' adds numbers, and product.category is a category",
    ),
    (
        "where: {event: {name: a, within_days: 3, match: {campaign.chanel: x}}}",
        9,
        "E01 trusted.campaigns has no column 'chanel'",
    ),
    (
        "where: {date: {of: product.category, from: holdings, pick: next, days_ahead: {eq: 0}}}",
        9,
        "E03 product.category is a string, no date",
    ),
    ("where: {date: {of: opened_on, via: order, days_ahead: {eq: 0}}}", 9, "'via' needs 'from'"),
    ("where: {detail: {from: holdings, within_days: 3}}", 9, "E03 the rows of holdings have no window"),
    ("where: {detail: {from: balances, within_days: 3}}", 9, "the last known balance counts"),
    ("where: {detail: {from: transactions, within_days: 9999}}", 9, "E09 transactions are kept"),
    ("where: {detail: {from: holdings, sum: {of: product_class, gte: 3}}}", 9, "E03 'sum' adds numbers"),
    ("where: {detail: {from: holdings, sum: {gte: 3}}}", 9, "takes a column and a comparison"),
    (
        "where: {detail: {from: holdings, count: {gte: 1}, sum: {of: balance, gte: 3}}}",
        9,
        "join two with all",
    ),
    (
        "where: {detail: {from: customers, match: {full_name: Li}}}",
        9,
        "E08 the column full_name names or reaches a person",
    ),
    ("where: {event: {name: a, within_days: 3, match: {device_id: x}}}", 9, "E08 the column device_id"),
    ("where: {event: {name: a, within_days: 3, properties: {'a b': x}}}", 9, "is no name of a property"),
    ("where: {event: {name: a, within_days: 3, channel: [APP]}}", 9, "'event.channel' takes one text"),
    ("where: {receipt: {within_days: 3}}", 9, "'receipt' needs the status"),
    ("where: {receipt: {status: OPEND}}", 9, "E02 status has no value 'OPEND'; did you mean 'OPENED'?"),
    ("where: {absence: {name: a, within_days: 9, seen_within_days: 9}}", 9, "E14 'absence.seen_within_days'"),
    ("where: {date: {of: opened_on}}", 9, "E03 'days_ahead' takes a comparison"),
    ("where: {date: {of: matures_on, from: holdings, days_ahead: {eq: 0}}}", 9, "first, last or next"),
    (
        "where: {date: {of: matures, from: holdings, pick: next, days_ahead: {eq: 0}}}",
        9,
        "E01 holdings has no date 'matures'",
    ),
    ("where: {date: {of: opened_on, pick: last, days_ahead: {eq: 0}}}", 9, "needs 'from'"),
    ("where: {date: {of: opened_on, every: week, days_ahead: {eq: 0}}}", 9, "takes month or year"),
    (
        "where: {date: {of: opened_on, days_ahead: {eq: 0}, calendar: exchange@1}}",
        9,
        "E01 there is no calendar 'exchange@1'",
    ),
    ("where: {expr: 3}", 9, "'expr' takes an expression"),
    ("where: {expr: 1 = 1}", 9, "E14 the expression reads no tag"),
    ("where: {expr: balance > rand()}", 9, "E03 the expression uses rand()"),
    ("where: {expr: 'balance > (select 1)'}", 9, "E03 the expression"),
    ("where: {expr: 'balance > :other'}", 9, "the only parameter of an expression is :business_date"),
    ("where: {tag: tier, eq: T1}\nwaves: []", 10, "'waves' is not supported yet"),
    ("where: {tag: tier, eq: T1}\nschedule: {cron: x}", 10, "'schedule.cron' is not supported yet"),
    ("where: {tag: tier, eq: T1}\nschedule: {ready_by: '99:99'}", 10, "'schedule.ready_by'"),
    ("where: {tag: tier, eq: T1}\nschedule: {ready_by: '7:30'}", 10, "'schedule.ready_by'"),
    (
        "where: {tag: tier, eq: T1}\nguards: {size: {min: 100, max: 10}}",
        10,
        "at least 100 and at most 10 people",
    ),
    ("where: {tag: tier, eq: T1}\nguards: {tag_psi: {max: 0}}", 10, "greater than 0"),
    ("where: {tag: tier, eq: T1}\nguards: {tag_psi: {max: 5.1}}", 10, "less than or equal to 5"),
    ("where: {tag: tier, eq: T1}\nguards: {tag_psi: {max: .nan}}", 10, "finite"),
    ("where: {tag: tier, eq: T1}\nguards: {tag_psi: {max: .inf}}", 10, "finite"),
    ("where: {tag: tier, eq: T1}\nguards: {tag_psi: {}}", 10, "max"),
    ("where: {tag: tier, eq: T1}\nguards: {tag_psi: 0.2}", 10, "guards.tag_psi"),
    (
        "where: {tag: tier, eq: T1}\nguards: {change_vs_previous: {max_ratio: -0.1}}",
        10,
        "greater than or equal to 0",
    ),
    (
        "where: {tag: tier, eq: T1}\nguards: {change_vs_previous: {max_ratio: 40}}",
        10,
        "less than or equal to 1",
    ),
    ("where: {tag: tier, eq: T1}\nguards: {change_vs_previous: {max_ratio: .nan}}", 10, "finite"),
    ("where: {tag: tier, eq: T1}\nguards: {change_vs_previous: {max_ratio: true}}", 10, "has to be a number"),
    (
        "where: {tag: tier, eq: T1}\nguards: {change_vs_previous: {max_ratio: '0.4'}}",
        10,
        "has to be a number",
    ),
    ("where: {tag: tier, eq: T1}\nguards: {change_vs_previous: {ratio: 0.4}}", 10, "unknown key 'ratio'"),
    ("where: {tag: tier, eq: T1}\nrollout:\n  stage: small", 10, "the stage small needs a percent"),
    (
        "where: {tag: tier, eq: T1}\nguard: {size: {min: 1}}",
        10,
        "unknown key 'guard'; did you mean 'guards'?",
    ),
    ("where: {tga: tier, eq: T1}", 9, "'tga' begins no condition; did you mean 'tag'?"),
    ("where: {tag: tier, equals: T1}", 9, "unknown key 'equals'"),
    ("where: {tag: tier}", 9, "is asked nothing"),
    ("where: {tag: tier, in: T1}", 9, "E03 'in' takes a list"),
    ("where: {tag: balance, between: [9, 1]}", 9, "wrong way round"),
    ("where: {event: {name: login}}", 9, "'event.within_days' takes a number of days"),
    ("where: {tag: tier, eq: T1, list: friends@1}", 9, "'tag' and 'list' in one condition"),
    ("rollout: {percent: 101}", 9, "less than or equal to 100"),
    ("rollout: {percent: 10}", 1, "chooses nobody"),
]


@pytest.mark.parametrize(("body", "line", "words"), REFUSED)
def test_what_cannot_be_read_or_is_not_supported_yet_is_refused_with_its_line(tmp_path, body, line, words):
    file = tmp_path / "x.yml"
    file.write_text(spec("x", body))
    with pytest.raises(SettingsInvalid) as refused:
        read_segment(file)
    assert (refused.value.line, words in refused.value.message) == (line, True), str(refused.value)


def test_marketing_consent_and_grade_h_cannot_be_switched_off(findings_of):
    for text, words in (
        ("purposes: {marketing: {consent: not_required, why: easier}}", "always needs consent"),
        ("restricted_aml_grades: [MH]", "grade H is always restricted"),
        ("purposes: {service: {consent: not_required}}", "needs the legal ground"),
    ):
        with pytest.raises(SettingsInvalid, match=words):
            findings_of({}, others={"consent.yml": text})


def test_a_global_control_group_that_the_policy_does_not_name_is_no_other_group(findings_of):
    body = "where: {tag: tier, eq: T1}\nholdout: {global: GCG-2026H1}"
    policy = {"consent.yml": "global_control: {GCG-2026H2: 5}"}
    ((place, code, words),) = findings_of({"x": spec("x", body)}, others=policy)
    assert (place, code) == ("x:10", "E01") and "'GCG-2026H1'; did you mean 'GCG-2026H2'?" in words
    assert findings_of({"x": spec("x", body.replace("H1", "H2"))}, others=policy) == []
    assert findings_of({"x": spec("x", body)}, others={"consent.yml": "minimum_age: 18"}) == []


def test_a_column_or_destination_that_is_published_twice_is_refused(findings_of):
    for twice in ("columns: [tier, tier]", "destinations: [engine, engine]", "mode: [snapshot, snapshot]"):
        text = spec("x", "where: {tag: tier, eq: T1}")
        key = twice.split(":")[0]
        text = (
            re.sub(rf"{key}: \[[^]]*\]", twice, text)
            if key in text
            else text.replace("publish: {", f"publish: {{{twice}, ")
        )
        ((_, code, words),) = findings_of({"x": text})
        assert code == "E00" and "is named twice" in words


def test_a_bad_line_of_a_list_is_named_without_its_value(make_workspace):
    from segments.language.conditions import ListLeaf
    from segments.language.lists import read_list

    folder = make_workspace({"lists/l@1.csv": "one_id,expires_on\n1,2026-01-01\nzhang san,\n"})
    with pytest.raises(SettingsInvalid) as refused:
        read_list(folder, ListLeaf("l", "1"))
    assert refused.value.line == 3 and "zhang" not in str(refused.value)


def test_fifty_segments_are_checked_within_a_second(findings_of):
    files = {
        f"s{n}": spec(f"s{n}", "where: {all: [{tag: tier, eq: T1}, {tag: balance, gte: 5}]}")
        for n in range(50)
    }
    begin = time.process_time()
    assert findings_of(files) == []
    assert time.process_time() - begin < 1.5
