"""What is doubtful about a tag is said with file and line and what to write; what is wrong is refused."""

from __future__ import annotations

import pytest

from lakehouse.errors import SettingsInvalid
from tags.compile.compilation import compile_tags
from tags.compile.findings import event_names_of, findings

TAG = """
  - code: {code}
    name: {{zh: {zh}, en: {en}}}
    definition: {{zh: 说明, en: Meaning}}
    kind: fact
    value: {value}
    null_rule: U
    level: C2
    purposes: [service]
    params: [{params}]
    inputs: [{inputs}]
    compute:
      {compute}
    owner: data
    version: 1.0.0
    status: {status}
"""
EVENTS = 'aggregate: {{from: trusted.events, measure: count, where: "event_name {}", {}}}'


def compiled(make_workspace, *tags, files=None):
    """Compile a workspace with these tags and no shipped ones beside them."""
    said = {
        "zh": "本行", "en": "Site", "value": "{type: int}", "inputs": "trusted.events.event_name", "status": "online", "params": "",
    }  # fmt: skip
    texts = [
        TAG.format(**({"code": f"tag_{at}", "en": f"Site {at}", "zh": f"本行{at}"} | said | tag))
        for at, tag in enumerate(tags)
    ]
    folder = make_workspace({"tags/site.yml": "family: site\ntags:" + "".join(texts)} | (files or {}))
    (folder / "none").mkdir(exist_ok=True)
    return compile_tags(folder, shipped=folder / "none")


def doubts(compilation, event_names):
    return [(finding.code, finding.line, finding.message) for finding in findings(compilation, event_names)]


def test_an_event_that_was_never_delivered_is_named_with_its_line_and_the_nearest(make_workspace):
    compilation = compiled(
        make_workspace,
        {"en": "A", "zh": "甲", "compute": EVENTS.format("= 'logn'", "window_days: 7")},
        {"en": "B", "zh": "乙", "compute": EVENTS.format("in ('login', 'content_view')", "window_days: 7")},
    )
    assert doubts(compilation, {"login", "content_view"}) == [
        ("tag_0", 14, "names the event 'logn', which was never delivered; did you mean 'login'?")
    ]
    assert event_names_of(compilation) == ["content_view", "login", "logn"]


def test_nothing_is_said_of_events_where_none_are_known(make_workspace):
    compilation = compiled(make_workspace, {"compute": EVENTS.format("= 'logn'", "window_days: 7")})
    assert doubts(compilation, None) == []
    assert [code for code, *_ in doubts(compilation, set())] == ["tag_0"]


def test_an_aggregate_without_a_window_over_rows_that_are_deleted_is_doubted(make_workspace):
    compilation = compiled(
        make_workspace,
        {"en": "A", "zh": "甲", "compute": "aggregate: {from: trusted.events, measure: count}"},
        {"en": "B", "zh": "乙", "compute": "aggregate: {from: trusted.events, measure: count, months: 3}"},
        {"en": "C", "zh": "丙", "inputs": "trusted.customers.is_staff", "compute": "aggregate: {from: trusted.customers, measure: count, of: is_staff}"},
    )  # fmt: skip
    assert doubts(compilation, None) == [
        (
            "tag_0",
            14,
            "has no window, and trusted.events is kept for 1096 days: what it says falls when rows are deleted; write `window_days: 1096` or less",
        )
    ]


VISITS = """
select
    people.one_id,
    events.source,
    events.event_id,
    events.occurred_on as seen_on,
    events.event_name as step,
    upper(events.event_name) as shout
from {{ ref('stg_trusted__events') }} events
join {{ ref('int_profiles_keyed') }} people
    on people.source = events.source and people.source_key = events.source_key
"""
VISITS_YAML = """
models:
  - name: int_site_visits
    config: {meta: {key: [source, event_id], event_date: seen_on}}
    columns: [{name: one_id}, {name: source}, {name: event_id}, {name: seen_on}, {name: step}, {name: shout}]
"""
OVER_VISITS = 'aggregate: {{from: int_site_visits, measure: count, where: "{}"{}}}'


def test_a_window_is_asked_for_by_the_source_of_the_day_of_a_model(make_workspace):
    files = {"models/int_site_visits.sql": VISITS, "models/int_site_visits.yml": VISITS_YAML}
    compilation = compiled(
        make_workspace,
        {"en": "A", "zh": "A", "inputs": "trusted.transactions.amount_base", "compute": "aggregate: {from: int_transactions_judged, measure: sum, of: amount_base}", "value": "{type: decimal}"},
        {"en": "B", "zh": "B", "compute": OVER_VISITS.format("step = 'login'", "")},
        {"en": "C", "zh": "C", "compute": OVER_VISITS.format("step = 'login'", ", window_days: 1096")},
        # Its rows are held on D and have no day of their own.
        {"en": "D", "zh": "D", "inputs": "trusted.cards.status", "compute": "aggregate: {from: int_cards_keyed, measure: count, where: status = 'ACTIVE'}"},
        files=files,
    )  # fmt: skip
    said = "has no window, and {} reads, is kept for {} days: what it says falls when rows are deleted; write `window_days: {}` or less"
    assert doubts(compilation, None) == [
        ("tag_0", 14, said.format("trusted.transactions, which int_transactions_judged", 2555, 2555)),
        ("tag_1", 30, said.format("trusted.events, which int_site_visits", 1096, 1096)),
    ]


def test_the_name_of_an_event_is_followed_through_a_model(make_workspace):
    files = {"models/int_site_visits.sql": VISITS, "models/int_site_visits.yml": VISITS_YAML}
    compilation = compiled(
        make_workspace,
        {
            "en": "E",
            "zh": "E",
            "compute": OVER_VISITS.format("step in ('logn', 'login')", ", window_days: 7"),
        },
        {"en": "F", "zh": "F", "compute": OVER_VISITS.format("shout = 'LOGN'", ", window_days: 7")},
        files=files,
    )
    assert event_names_of(compilation) == ["login", "logn"]
    assert doubts(compilation, {"login"}) == [
        ("tag_0", 14, "names the event 'logn', which was never delivered; did you mean 'login'?")
    ]


def test_two_tags_of_one_name_are_doubted_in_either_language_unless_one_is_offline(make_workspace):
    count = {"compute": EVENTS.format("= 'login'", "window_days: 7")}
    compilation = compiled(
        make_workspace,
        count | {"zh": "活跃", "en": "Active"},
        count | {"zh": "登录", "en": "ＡＣＴＩＶＥ", "compute": EVENTS.format("= 'login'", "window_days: 8")},
        count | {"zh": "活跃", "en": "Old", "status": "offline"},
    )
    assert doubts(compilation, None) == [
        (
            "tag_1",
            20,
            "is called 'ＡＣＴＩＶＥ', as the tag 'tag_0' is; give one of them a name of its own",
        )
    ]


def test_a_parameter_that_nothing_reads_is_doubted_once_with_its_line(make_workspace):
    compilation = compiled(
        make_workspace,
        {"params": "{name: two, value: 2}, {name: idle, value: 3}, {name: idle, value: 4, since: 2026-01-01}",
         "compute": EVENTS.format("= 'login' and length(event_name) > :two", "window_days: 7")},
    )  # fmt: skip
    assert doubts(compilation, None) == [
        ("tag_0", 11, "has the parameter 'idle', which nothing reads; write :idle or take it out")
    ]


def test_the_shipped_tags_give_no_doubt_but_events_that_a_site_does_not_deliver():
    compilation = compile_tags(None)
    names = set(event_names_of(compilation))
    assert {"login", "wealth_detail_view", "activity_join", "content_view"} <= names
    assert doubts(compilation, names) == []


REFUSED = {
    "a range of texts": ({"value": "{type: int, domain: ['1', '2']}"}, "a value of type int has no 'domain', which lists texts; write 'min' and 'max'"),
    "a range of numbers in a list": ({"value": "{type: decimal, domain: [1, 2]}"}, "a value of type decimal has no 'domain'"),
    "a median of words": (
        {"value": "{type: decimal}", "compute": "aggregate: {from: trusted.events, measure: median, of: event_name, window_days: 3}"},
        "measures the median of event_name, which is a string and no number",
    ),
    "a sum of days": (
        {"compute": "aggregate: {from: trusted.events, measure: sum, of: occurred_on, window_days: 3}", "inputs": "trusted.events.occurred_on"},
        "measures the sum of occurred_on, which is a date and no number",
    ),
    "a median among whole numbers": (
        {"compute": "aggregate: {from: trusted.events, measure: median, of: length(event_name), window_days: 3}"},
        "a median may lie between two whole numbers; write a value of type decimal or ratio",
    ),
    "a trend among whole numbers": (
        {"compute": "aggregate: {from: trusted.events, measure: trend, trend_of: count, base_at_least: '1', window_days: 3}"},
        "a trend may lie between two whole numbers",
    ),
    "a division by nothing": ({"compute": "aggregate: {from: trusted.events, measure: sum, of: length(event_name) / 0, window_days: 3}"}, "divides by 0, which is null for everybody"),
    "a rest by nothing": ({"compute": "aggregate: {from: trusted.events, measure: sum, of: length(event_name) % (0.0), window_days: 3}"}, "divides by 0"),
    "a division by a parameter that is nothing": (
        {"params": "{name: zero, value: 0}", "compute": "aggregate: {from: trusted.events, measure: sum, of: 'length(event_name) / :zero', window_days: 3}"},
        "divides by ':zero', which is 0 since 1900-01-01",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED, ids=REFUSED.keys())
def test_what_is_wrong_for_everybody_is_refused(case, make_workspace):
    tag, sentence = REFUSED[case]
    with pytest.raises(SettingsInvalid) as refusal:
        compiled(make_workspace, {"compute": EVENTS.format("= 'login'", "window_days: 7")} | tag)
    assert sentence in str(refusal.value)
    assert refusal.value.line


def test_a_division_by_a_number_or_another_parameter_stands(make_workspace):
    form = "aggregate: {{from: trusted.events, measure: sum, of: 'length(event_name) / {}', window_days: 3}}"
    compiled(
        make_workspace,
        {"compute": form.format("2")},
        {"en": "B", "zh": "乙", "compute": form.format(":two"), "params": "{name: two, value: 2}"},
    )
