"""Every code that a specification can be refused by: one file that is, and the file beside it that is not."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from segment_bank import DESTINATIONS_YML, TAGS_YML, catalogue_of, spec

from lakehouse.settings.settings import load_settings
from segments.language import checks

SECRET = "  - {code: card_pin, value: {type: int}, null_rule: Z, level: C3, purposes: [marketing], status: online, version: 1.0.0}\n"
SPLIT = "where: {{tag: tier, eq: T1}}\nsplit: {{experiment: {}, layer: wealth, range: [{}], arms: {{A: 1, B: 1}}}}"
BRANCH = "spec: segment/v1\ncode: x\nversion: 1.0.0\nextends: head@1\nname: {zh: 支行, en: Branch}\n"
HEAD = {
    "templates/head@1.yml": re.sub(
        r"code: x\nversion: 1.0.0\n", "overrides: [name]\n", spec("x", "where: {tag: tier, eq: T1}")
    ).replace("segment/v1", "segment_template/v1")
}


def x(body, **changes):
    return {"segments/x.yml": spec("x", body, **changes)}


def capped(*caps):
    text = spec("x", "where: {tag: tier, eq: T1}")
    return {"segments/x.yml": text.replace("[SMS, PUSH]}", f"[SMS, PUSH], caps: [{', '.join(caps)}]}}")}


# code → what is refused by it, and what is not
CASES = {
    "E00": (x("where: {tag: tier, eq: T1}\nwaves: []"), x("where: {tag: tier, eq: T1}")),
    "E01": (x("where: {tag: teir, eq: T1}"), x("where: {tag: tier, eq: T1}")),
    "E02": (x("where: {tag: tier, eq: T9}"), x("where: {tag: tier, eq: T3}")),
    "E03": (x("where: {tag: tier, gt: T1}"), x("where: {tag: balance, gt: 1}")),
    "E04": (
        x("where: {segment: y}") | {"segments/y.yml": spec("y", "where: {segment: x}")},
        x("where: {segment: y}") | {"segments/y.yml": spec("y", "where: {tag: tier, eq: T1}")},
    ),
    "E05": (x("where: {tag: sketch, eq: 1}"), x("where: {tag: days_left, eq: 1}")),
    "E06": (
        x("where: {tag: grade, eq: H}"),
        x("where: {tag: tier, eq: T1}\nexclude: [{tag: grade, eq: H, include_unknown: true}]"),
    ),
    "E07": (
        {"segments/x.yml": spec("x", "where: {tag: tier, eq: T1}", columns="balance").replace("[engine]", "[open_engine]")},
        {"segments/x.yml": spec("x", "where: {tag: tier, eq: T1}", columns="tier").replace("[engine]", "[open_engine]")},
    ),
    "E08": (
        x("where: {tag: card_pin, eq: 1}") | {"tags/test.yml": TAGS_YML + SECRET},
        x("where: {tag: card_pin, eq: 1}") | {"tags/test.yml": TAGS_YML + SECRET.replace("C3", "C2")},
    ),
    "E09": (
        x("where: {event: {name: login, within_days: 1097}}"), x("where: {event: {name: login, within_days: 1096}}"),
    ),
    "E11": (
        {"segments/a.yml": spec("a", SPLIT.format("e1", "0, 5000")), "segments/b.yml": spec("b", SPLIT.format("e2", "4999, 9000"))},
        {"segments/a.yml": spec("a", SPLIT.format("e1", "0, 5000")), "segments/b.yml": spec("b", SPLIT.format("e2", "5000, 9000"))},
    ),
    "E12": (
        capped("{scope: SMS, max: 1, days: 1}", "{scope: SMS, max: 2, days: 1}"), capped("{scope: SMS, max: 1, days: 1}"),
    ),
    "E13": (x("where: {not: {tag: tier, eq: T1}}"), x("unknown: exclude\nwhere: {not: {tag: tier, eq: T1}}")),
    "E14": (
        x("where: {all: [{tag: balance, gte: 50}, {tag: balance, lt: 40}]}"),
        x("where: {all: [{tag: balance, gte: 40}, {tag: balance, lt: 50}]}"),
    ),
    "E17": ({"segments/x.yml": BRANCH + "unknown: include\n"} | HEAD, {"segments/x.yml": BRANCH} | HEAD),
}  # fmt: skip
ELSEWHERE = {
    # The definition that was published, the approvals that were given: what no file says; and a worklist, which takes more files.
    "E16": "tests/segments/test_segment_checks.py",
    "E15": "tests/segments/approving/test_approvals.py",
    "E18": "tests/segments/addressing/test_worklists.py",
}


def codes_of(make_workspace, files):
    base = {"tags/test.yml": TAGS_YML, "destinations.yml": DESTINATIONS_YML}
    return {f.code for f in catalogue_of(load_settings(make_workspace({**base, **files}))).findings()}


@pytest.mark.parametrize("code", CASES)
def test_a_code_is_given_to_what_it_is_for_alone(make_workspace, code):
    refused, _ = CASES[code]
    assert codes_of(make_workspace, refused) == {code}


@pytest.mark.parametrize("code", CASES)
def test_what_lies_just_beside_it_is_sound(make_workspace, code):
    _, sound = CASES[code]
    assert codes_of(make_workspace, sound) == set()


def test_the_table_has_every_code_that_checks_can_give():
    stated = set(re.findall(r"\bE\d\d\b", checks.__doc__ or ""))
    modules = Path(checks.__path__[0]).glob("*.py")
    given = {code for module in modules for code in re.findall(r'"(E\d\d)"', module.read_text("utf-8"))}
    assert given <= stated <= set(CASES) | set(ELSEWHERE)


def test_a_trigger_whose_code_is_e10_is_refused_by_name(make_workspace):
    files = {"segments/x.yml": spec("x", "where: {tag: balance, top_n: 3, within: all}", kind="trigger")}
    base = {"tags/test.yml": TAGS_YML, "destinations.yml": DESTINATIONS_YML}
    (finding,) = catalogue_of(load_settings(make_workspace({**base, **files}))).findings()
    assert (finding.code, finding.line, "'kind: trigger' is not supported yet" in finding.message) == (
        "E00",
        7,
        True,
    )


@pytest.mark.parametrize(
    "where",
    ["where: {tag: product_holder_count, gte: 1}", "where: {expr: 'branch_active_customer_count > balance'}", "where: {tag: product_holder_count, top_n: 3, within: all}"],
)  # fmt: skip
def test_a_segment_of_people_takes_no_tag_of_a_product_or_branch(make_workspace, where):
    base = {"tags/test.yml": TAGS_YML, "destinations.yml": DESTINATIONS_YML}
    findings = catalogue_of(load_settings(make_workspace({**base, **x(where)}))).findings()
    assert {f.code for f in findings} == {"E05"}
    (finding,) = findings
    assert finding.file.name == "x.yml" and finding.line is not None
    assert finding.message.split("' ")[1].startswith("is about a ")
    assert finding.message.endswith(", and a segment chooses people by their own tags")
