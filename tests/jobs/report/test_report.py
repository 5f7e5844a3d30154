"""The night's report from plain values: what it shows, and that nothing is loaded from anywhere."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest

from jobs.report.report import ReportFacts, render_report

SUMMARY = {
    "date": "2026-01-05",
    "status": "published",
    "feeds": {
        "members": {"delivered": 12_345, "accepted": 12_000, "refused": 300, "duplicates": 45},
        "orders": {"delivered": 5, "accepted": 5, "refused": 0, "duplicates": 0},
    },
    "warnings": [],
    "identity": {"profiles": 12_005, "one_ids": 9_000, "largest": 7},
    "tags": {"age": {"coverage": 0.5}, "vip": {"coverage": None}},
    "segments": {"young": {"candidates": 100, "suppressed": 10, "published": 80}},
    "seconds": {"ingest": 1.25, "resolve": 2.0},
}
REFUSAL = {"feed": "members", "file": "members.csv", "reason": "number_missing", "row_count": 300}
BOUND = {"gate": "trusted", "table_name": "trusted.customers", "measure": "row_count", "value": 12_000, "low": 1, "high": None,
         "severity": "warn", "is_passed": True, "why": "somebody is a customer"}  # fmt: skip
FACTS = ReportFacts(
    refusals=[REFUSAL],
    gates=[BOUND],
    tag_names={"age": {"code": "age", "name_zh": "年龄", "name_en": "Age"}},
    cluster_sizes=[{"size": 1, "one_id_count": 8_000}, {"size": 12, "one_id_count": 3}],
)


def report(summary=SUMMARY, facts=FACTS):
    return render_report("shop", date(2026, 1, 5), summary, facts)


def test_a_report_shows_counts_refusals_tags_and_four_pictures():
    html = report()
    assert html.count('<table class="bars">') == 4
    for text in ("<title>shop, 2026-01-05</title>", "<b>12,350</b>rows delivered", "<b>300</b>refused",
                 "number_missing", "年龄", "50.0 %", "1 bounds were judged, 0 did not hold", "Largest: 7 profiles"):  # fmt: skip
        assert text in html, text


def test_a_bar_is_as_long_as_its_figure_and_those_of_feeds_grow_with_the_digits():
    html = report()
    for shown in (
        # 80 of 100, and all of them; half of the people; 3 of 8,000
        'width: 64.0%; background: #22303c"></i>80<', 'width: 80.0%; background: #b8c7d1"></i>100<',
        '<th>age Age</th><td><div><i style="width: 40.0%; background: #2f6f8f"></i>50.0%<',
        '<th>12+</th><td><div><i style="width: 0.0%; background: #2f6f8f"></i>3<',
        # ln 12,001 of ln 12,001 and ln 301 of it
        'width: 80.0%; background: #2f6f8f"></i>12,000<', 'width: 48.6%; background: #c2553a"></i>300<',
    ):  # fmt: skip
        assert shown in html, shown


def test_a_file_refused_as_a_whole_stands_in_the_report_with_its_reason():
    assert "Refused files" not in report()
    row = {"feed": "members", "file": "members.csv.gz", "reason": "is a damaged or cut gzip archive"}
    html = report(facts=replace(FACTS, refused_files=[row]))
    assert "Refused files" in html
    assert all(text in html for text in row.values())


def test_the_same_night_gives_the_same_bytes():
    assert report() == report()


def test_nothing_is_loaded_from_anywhere():
    html = report()
    assert not any(word in html for word in ("<script", "<link", "<img", " src=", "@import", "url(http"))


@pytest.mark.parametrize(("low", "high", "value"), [(1, None, 0), (None, 10, None)])
def test_a_bound_that_did_not_hold_is_named_with_its_reason(low, high, value):
    broken = BOUND | {"is_passed": False, "low": low, "high": high, "value": value}
    html = report(facts=ReportFacts([], [broken], {}, FACTS.cluster_sizes))
    assert "1 bounds were judged, 1 did not hold" in html
    assert "somebody is a customer" in html
    assert "Refused rows" not in html


ATTACK = "<script>alert('x')</script>"


@pytest.mark.parametrize(
    "place", ["workspace", "feed", "file", "reason", "tag name", "tag", "segment", "bound", "step", "status"]
)
def test_what_others_write_is_text_and_never_html(place):
    def text(name, honest):
        return ATTACK if name == place else honest

    summary = SUMMARY | {
        "status": text("status", "published"),
        "feeds": {text("feed", "members"): SUMMARY["feeds"]["members"]},
        "tags": {text("tag", "age"): {"coverage": 0.5}},
        "segments": {text("segment", "young"): SUMMARY["segments"]["young"]},
        "seconds": {text("step", "ingest"): 1.0},
    }
    facts = ReportFacts(
        [REFUSAL | {"file": text("file", "members.csv"), "reason": text("reason", "number_missing")}],
        [BOUND | {"is_passed": False, "why": text("bound", "somebody is a customer")}],
        {"age": {"code": "age", "name_zh": text("tag name", "年龄"), "name_en": "Age"}},
        FACTS.cluster_sizes,
    )
    html = render_report(text("workspace", "shop"), date(2026, 1, 5), summary, facts)
    assert "<script" not in html
    assert "&lt;script&gt;alert(" in html
    assert html.count('<table class="bars">') == 4


def test_precision_is_shown_only_where_the_truth_is_known():
    assert "against the truth" not in report()
    measured = SUMMARY | {"identity": SUMMARY["identity"] | {"precision": 0.99123, "recall": 0.9}}
    assert "<b>0.9912 / 0.9000</b>" in report(measured)


def test_a_workspace_without_segments_says_so():
    assert "No segment is defined in this workspace." in report(SUMMARY | {"segments": {}})


DRIFT = {
    "tag": "age", "psi": 0.2, "changed_ratio": 0.5, "late_days": 0, "value_on": date(2026, 1, 5), "source_on": date(2026, 1, 5),
    "quantiles": None, "before": date(2026, 1, 4),
    "bins": [{"bin": "35", "people": 75}, {"bin": "40", "people": 25}], "bins_before": [{"bin": "40", "people": 50}, {"bin": "35", "people": 50}],
}  # fmt: skip
AGE = {"code": "age", "name_zh": "年龄", "name_en": "Age", "value_type": "int", "purposes": ["marketing"]}


def drift(**values):
    tag = AGE | {key: values.pop(key) for key in ("purposes",) if key in values}
    return report(facts=replace(FACTS, drift=[DRIFT | values], tag_names={"age": tag}))


def test_tags_that_moved_are_drawn_with_their_distributions_now_and_the_night_before():
    html = drift()
    assert html.count('<table class="bars">') == 6
    # 0.2 of the 0.25 at which a night stops
    assert '<th>age Age</th><td><div><i style="width: 64.0%; background: #c2553a"></i>0.200<' in html
    # A number's bin is called by the value it begins with: 2 ** (35 / 8) - 1.
    assert (
        '<th>19.75 …</th><td><div><i style="width: 53.3%; background: #b8c7d1"></i>50.0%</div><div><i style="width: 80.0%; background: #2f6f8f"></i>75.0%<'
        in html
    )
    assert html.index("19.75 …") < html.index("31 …")


def test_a_tag_that_hardly_moved_has_no_distribution_and_one_that_only_excludes_never_has():
    assert drift(psi=0.05).count('<table class="bars">') == 5
    assert drift(purposes=["risk_only"]).count('<table class="bars">') == 5
    assert drift(psi=None).count('<table class="bars">') == 4


def test_late_tags_and_the_sites_expectations_stand_in_the_report():
    html = drift(late_days=2, value_on=date(2026, 1, 3), source_on=date(2026, 1, 2))
    assert '<td>age</td><td class="n">2</td><td>2026-01-02</td><td>2026-01-03</td>' in html
    assert "Tags whose source is late" not in drift()
    row = {
        "table_name": "trusted.customers",
        "measure": "expect_x(name)",
        "is_passed": False,
        "severity": "warn",
        "why": ATTACK,
    }
    html = report(facts=replace(FACTS, expectations=[row]))
    assert "expect_x(name)" in html
    assert "not met" in html
    assert ATTACK not in html
