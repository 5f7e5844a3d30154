"""What careless and hostile authors put into rules, templates, parameters, calendars and lists: one sentence with its place each."""

from __future__ import annotations

import datetime as dt
import os
import subprocess
import sys
from pathlib import Path

import pytest
from segment_bank import DESTINATIONS_YML, TAGS_YML, D, catalogue_of, spec
from test_templates import BRANCH, TEMPLATE

from lakehouse.settings.settings import load_settings
from segments.approving.standing import basis_of
from segments.choosing.leaf_tables import list_rows
from segments.language.conditions import ListLeaf
from segments.language.lists import read_list


@pytest.fixture
def faults_of(make_workspace):
    """The faults of a workspace as file:line, code and message; ``put`` does what no text can say."""

    def find(files, put=None):
        texts = {name: text for name, text in files.items() if isinstance(text, str)}
        folder = make_workspace({"tags/test.yml": TAGS_YML, "destinations.yml": DESTINATIONS_YML, **texts})
        for name, content in files.items():
            if not isinstance(content, str):
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                content(folder / name) if callable(content) else (folder / name).write_bytes(content)
        findings = catalogue_of(load_settings(folder)).findings()
        return [(f"{f.file.name}:{f.line}", f.code, f.message) for f in findings]

    return find


def only_fault(findings, place, code, words):
    """One finding alone, at its place, and it says the words."""
    assert [(at, kind) for at, kind, _ in findings] == [(place, code)], findings
    assert words in findings[0][2]


# ------------------------------------------------------------------------------------------------- numbers and days

OPERANDS = [
    ("{tag: balance, gte: .nan}", "nan is no number"),
    ("{tag: balance, lt: 1e400}", "inf is no number"),
    ("{tag: balance, between: [.nan, 1]}", "nan is no number"),
    ("{tag: balance, in: [1, .inf]}", "inf is no number"),
    ("{tag: balance, gte: " + "9" * 31 + "}", "a number has at most 30 digits"),
    ("{tag: balance, between: [1, many]}", "takes two values of one kind"),
    ("{tag: balance, between: [2026-01-01, 5]}", "takes two values of one kind"),
    ("{tag: balance, between: [[1], [2]]}", "takes two values, and no lists"),
    ("{tag: opened_on, gte: 2026-01-01T10:00:00}", "compares days, like 2026-12-31, and no time of a day"),
    ("{tag: opened_on, days_ago: {gte: 9999999999}}", "takes whole numbers up to 1,000,000,000"),
    ("{event: {name: a, within_days: 3, count: {gte: 99999999999999999999}}}", "takes whole numbers up to"),
    ("{event: {name: a, within_days: 3, properties: {price: .nan}}}", "nan is no number"),
    ("{detail: {from: holdings, match: {balance: .inf}}}", "inf is no number"),
    ("{detail: {from: holdings, sum: {of: balance, gte: .nan}}}", "nan is no number"),
    ("{detail: {from: holdings, count: {lt: 99999999999999999999}}}", "takes whole numbers up to"),
    ("{date: {of: opened_on, days_ahead: {lte: -9999999999}}}", "takes whole numbers up to"),
]  # fmt: skip


@pytest.mark.parametrize(("rule", "words"), OPERANDS)
def test_a_number_that_engines_would_not_compare_alike_is_refused(faults_of, rule, words):
    only_fault(faults_of({"segments/x.yml": spec("x", f"where: {rule}")}), "x.yml:9", "E03", words)


@pytest.mark.parametrize(
    ("rule", "code", "words"),
    [
        ("{tag: opened_on, gte: 0000-01-01}", "E00", "a value is neither text nor a date or number"),
        ("{tag: opened_on, eq: 2026-02-30}", "E00", "a value is neither text nor a date or number"),
        ("{tag: opened_on, gte: 10000-01-01}", "E03", "is not a date"),
        ("{tag: balance, top_n: 99999999999999999999, within: all}", "E00", "at most 1,000,000,000"),
        ("{sample: {percent: .nan}}", "E00", "a number above 0 and below 100"),
        ("{event: {name: a, within_days: 999999999999}}", "E09", "events are kept 1096 days"),
        ("{receipt: {status: OPENED, within_days: 99999999999}}", "E09", "receipts are kept 1096 days"),
        ("{sequence: {steps: [{name: a}, {name: b}], within: 99999d}}", "E09", "events are kept"),
    ],
)
def test_a_day_of_no_calendar_and_a_window_without_end_are_refused(faults_of, rule, code, words):
    only_fault(faults_of({"segments/x.yml": spec("x", f"where: {rule}")}), "x.yml:9", code, words)


def test_the_first_day_there_is_can_be_asked(faults_of):
    assert faults_of({"segments/x.yml": spec("x", "where: {tag: opened_on, gte: 0001-01-01}")}) == []


# ------------------------------------------------------------------------------------------------- parameters

DECLARED = [
    ("default: 5, min: 9, max: 1", "the default 5 lies outside 9 to 1"),
    ("default: .nan, min: 1, max: 9", "the default nan lies outside 1 to 9"),
    ("default: 5, min: .nan, max: 9", "nan is no number"),
    ("default: 5, min: 1, max: .inf", "inf is no number"),
    ("default: 5, min: -.inf, max: .inf", "-inf is no number"),
    ("default: 5, min: 1, max: " + "9" * 40, "a number has at most 30 digits"),
    ("default: '5', min: 1, max: 9", "the default is no number"),
    ("default: true, min: 0, max: 1", "the default is no whole number"),
    ("default: a, one_of: []", "the default is none of"),
]  # fmt: skip
RULE = "parameters: {{least: {{{}}}}}\nwhere: {{tag: balance, gte: $least}}"


@pytest.mark.parametrize(("declared", "words"), DECLARED)
def test_bounds_that_bound_nothing_are_refused(faults_of, declared, words):
    only_fault(faults_of({"segments/x.yml": spec("x", RULE.format(declared))}), "x.yml:9", "E00", words)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (".nan", "nan lies outside"), (".inf", "inf lies outside"), ("1e999", "inf lies outside"), ("99", "99 lies outside"),
        ("'5'", "is no number"), ("null", "is no number"), ("true", "is no number"), ("2026-01-01", "is no number"),
        ("{a: 1}", "is no number"), ("[5]", "is no number"),
    ],
)  # fmt: skip
def test_a_value_that_is_no_number_within_the_bounds_is_refused(faults_of, value, words):
    files = {
        "segments/x.yml": spec("x", RULE.format("default: 5.5, min: 1, max: 9")),
        "segment_parameters.yml": f"x: {{least: {value}}}\n",
    }
    only_fault(faults_of(files), "segment_parameters.yml:1", "E00", words)


@pytest.mark.parametrize(("put", "words"), [(os.mkfifo, "is a pipe"), (os.mkdir, "is a folder")])
def test_values_that_cannot_be_read_are_not_taken_for_the_defaults(faults_of, put, words):
    files = {
        "segments/x.yml": spec("x", RULE.format("default: 5, min: 1, max: 9")),
        "segment_parameters.yml": put,
    }
    findings = faults_of(files)
    assert findings and all(at == "segment_parameters.yml:None" and words in text for at, _, text in findings)


# ------------------------------------------------------------------------------------------------- calendars

USES_CALENDAR = spec("x", "where: {date: {of: opened_on, days_ahead: {lte: 3}, calendar: ex@1}}")
CALENDARS = [
    (b"day\n\xff\xfe\n", 2, "is not UTF-8 text"),
    ("day\n2026-11-17\n".encode("utf-16"), 1, "is not UTF-8 text"),
    (b"day\n" + b"9" * 1_000_000, None, "a calendar has at most 1,000,000"),
    (b'day\n"' + b"9" * 200_000, 2, "line"),
    (b"day\n2026-11-19\n2026-11-17\n", 3, "stand in order, each once"),
    (b"day\n2026-11-19\n2026-11-19\n", 3, "stand in order, each once"),
    (b"day\n2026-02-30\n", 2, "written like 2026-12-31"),
    (b"day\n0000-01-01\n", 2, "written like 2026-12-31"),
    (b"day\n20261117\n", 2, "written like 2026-12-31"),
    (b"day\n2026-W47-2\n", 2, "written like 2026-12-31"),
    (b"day\n2026-11-17,open\n", 2, "holds one day"),
    (b"day\n2026-11-17\x00\n", 2, "holds one day"),
    (b"day,day\n2026-11-17,x\n", 1, "the header of a calendar is day"),
    (b"", 1, "the header of a calendar is day"),
    (b"day\n", 1, "holds no day"),
    (b"day\n2024-12-31\n2026-01-02\n", 3, "no day is open from 2024-12-31 to 2026-01-02"),
]  # fmt: skip


@pytest.mark.parametrize(("content", "line", "words"), CALENDARS)
def test_a_calendar_that_would_count_wrong_days_is_refused_with_its_line(faults_of, content, line, words):
    findings = faults_of({"segments/x.yml": USES_CALENDAR, "calendars/ex@1.csv": content})
    only_fault(findings, f"ex@1.csv:{line}", "E00", words)


def test_a_calendar_with_a_mark_of_byte_order_and_empty_lines_is_read(faults_of):
    content = b"\xef\xbb\xbfday\r\n2026-11-17\r\n\r\n2026-11-19\r\n"
    assert faults_of({"segments/x.yml": USES_CALENDAR, "calendars/ex@1.csv": content}) == []


def link_to(target):
    return lambda path: path.symlink_to(target)


@pytest.mark.parametrize("put", [os.mkfifo, os.mkdir, link_to("/dev/zero"), link_to("/nowhere")])
@pytest.mark.parametrize("kind", ["calendar", "list", "template"])
def test_a_pipe_a_device_and_a_folder_are_no_files_of_a_workspace(faults_of, kind, put):
    files = {
        "calendar": {"segments/x.yml": USES_CALENDAR, "calendars/ex@1.csv": put},
        "list": {"segments/x.yml": spec("x", "where: {list: l@1}"), "lists/l@1.csv": put},
        "template": {"segments/branch.yml": BRANCH, "templates/wealth@2.yml": put},
    }[kind]
    ((_, code, message),) = faults_of(files)
    assert (code, f"there is no {kind} '" in message, "did you mean" in message) == ("E01", True, False)


@pytest.mark.parametrize("kind", ["calendar", "list"])
def test_a_link_to_a_file_of_another_kind_shows_nothing_of_it(faults_of, kind, tmp_path):
    (tmp_path / "secret").write_text("very secret\n")
    files = {
        "calendar": {"segments/x.yml": USES_CALENDAR, "calendars/ex@1.csv": link_to(tmp_path / "secret")},
        "list": {
            "segments/x.yml": spec("x", "where: {list: l@1}"),
            "lists/l@1.csv": link_to(tmp_path / "secret"),
        },
    }[kind]
    ((_, code, message),) = faults_of(files)
    assert code == "E00" and "the header of a" in message and "secret" not in message


# ------------------------------------------------------------------------------------------------- lists

WHOLE = "one_id is a whole number of at most 18 digits"
LISTS = [
    (b"one_id\n1\n" + b"9" * 24 + b"\n", 3, WHOLE),
    (b"one_id\n\n1\n\n-5\n", 5, WHOLE),
    (b"one_id\n1_000\n", 2, WHOLE),
    ("one_id\n１２\n".encode(), 2, WHOLE),
    (b"one_id,expires_on\n,2026-01-01\n", 2, WHOLE),
    (b"one_id,one_id\n1,2\n", 1, "the header of a list"),
    (b"oneid\n1\n", 1, "the header of a list"),
    (b"ONE_ID\n1\n", 1, "the header of a list"),
    (b"one_id,source,source_key\n1,a,b\n", 1, "the header of a list"),
    (b"one_id;expires_on\n1;2026-01-01\n", 1, "the header of a list"),
    (b"", 1, "the header of a list"),
    ("one_id\n1\n".encode("utf-16"), 1, "the header of a list"),
    (b"one_id\n1\n2,3\n", 3, "another number of cells than the header"),
    (b"source,source_key\na,b\na\n", 3, "another number of cells than the header"),
    (b"source,source_key\na,\n", 2, "source and source_key are both needed"),
    (b'source,source_key\na,"b\nc,d\n', 2, "a quote is not closed on its line"),
    (b"one_id,expires_on\n1,20261231\n", 2, "expires_on is a day"),
    (b"one_id,expires_on\n1,2026-02-30\n", 2, "expires_on is a day"),
    (b"one_id,expires_on\n1,\n2,soon\n", 3, "expires_on is a day"),
    ("source,source_key\na,张\n".encode("gb18030"), 2, "no CSV of UTF-8 text"),
    (b"source,source_key\na,b\nc\xff,d,e\n", 3, "no CSV of UTF-8 text"),
    (b"source,source_key\na,b\nc,\xe5\xbc", 3, "no CSV of UTF-8 text"),
]  # fmt: skip


@pytest.mark.parametrize(("content", "line", "words"), LISTS)
def test_a_list_that_names_nobody_soundly_is_found_by_check_with_its_line(
    faults_of, content, line, words, capfd
):
    findings = faults_of({"segments/x.yml": spec("x", "where: {list: l@1}"), "lists/l@1.csv": content})
    assert capfd.readouterr() == ("", ""), "no parser speaks for itself"
    only_fault(findings, f"l@1.csv:{line}", "E00", words)


def test_a_list_holds_who_has_not_expired_and_whoever_it_names_twice(make_workspace):
    text = "\ufeffone_id,expires_on\n 12 ,2026-11-19\n13,2026-11-18\n12,\n14,0001-01-01\n"
    folder = make_workspace({"lists/l@1.csv": text})
    entries = read_list(folder, ListLeaf("l", "1"))
    assert entries.holding(D)["one_id"].to_pylist() == [12, 12]
    assert list_rows({"l@1": entries}, D).num_rows == 2
    assert entries.holding(dt.date(2026, 11, 17))["one_id"].to_pylist() == [12, 13, 12]


MILLIONS = """
import sys
from pathlib import Path
from segments.language.conditions import ListLeaf
from segments.language.lists import read_list
print(len(read_list(Path(sys.argv[1]), ListLeaf("l", "1")).entries))
# Not ru_maxrss: a child begins with what its parent had reached.
print(next(int(line.split()[1]) // 1024 for line in open("/proc/self/status") if line.startswith("VmHWM:")))
"""


@pytest.mark.slow
def test_a_list_of_two_million_people_is_read_without_an_object_for_each(make_workspace):
    if not Path("/proc/self/status").exists():
        pytest.skip("this system does not tell how much memory a process held")
    folder = make_workspace({"lists/l@1.csv": ""})
    with (folder / "lists" / "l@1.csv").open("w") as file:
        file.write("one_id\n")
        file.writelines(f"{number}\n" for number in range(1_000_000_000_001, 1_000_002_000_001))
    answer = subprocess.run(
        [sys.executable, "-c", MILLIONS, folder], capture_output=True, text=True, check=True
    )
    people, megabytes = map(int, answer.stdout.split())
    assert people == 2_000_000 and megabytes < 450


# ------------------------------------------------------------------------------------------------- templates


def branch(own, template=TEMPLATE):
    return {"segments/branch.yml": BRANCH + own, "templates/wealth@2.yml": template}


BRANCHES = [
    ("exclude: 5\n", "E00", "expected a list of conditions"),
    ("exclude: {list: friends@1}\n", "E00", "expected a list of conditions"),
    ("include: 5\n", "E00", "expected a list of conditions"),
    ("include: [5]\n", "E17", "include would widen"),
    ("include: [{not: {list: friends@1}}]\n", "E17", "include would widen"),
    ("include: [{all: [{list: friends@1}]}]\n", "E17", "include would widen"),
    ("include: [{list: friends@1, any: [{tag: tier, eq: T1}]}]\n", "E00", "in one condition"),
    ("<<: {unknown: include}\n", "E17", "does not let 'unknown' be replaced"),
    ("overrides: [unknown]\n", "E17", "does not let 'overrides' be replaced"),
    ("allows_include: [tag]\n", "E17", "does not let 'allows_include' be replaced"),
    ("entity: household\n", "E17", "does not let 'entity' be replaced"),
    ("addressee: {highest: balance}\n", "E17", "does not let 'addressee' be replaced"),
    ("approvals: [{role: me}]\n", "E17", "does not let 'approvals' be replaced"),
    ("parameters: {x: {default: 1, min: 0, max: 9}}\n", "E17", "does not let 'parameters' be replaced"),
    ("rollout: {percent: 100}\n", "E17", "does not let 'rollout' be replaced"),
    ("kind: static\n", "E17", "does not let 'kind' be replaced"),
    ("--- # template wealth@2\n" + TEMPLATE, "E00", "another document"),
]  # fmt: skip


@pytest.mark.parametrize(("own", "code", "words"), BRANCHES)
def test_a_branch_finds_no_way_round_its_template(faults_of, own, code, words):
    findings = faults_of(branch(own))
    assert [kind for _, kind, _ in findings] == [code], findings
    assert words in findings[0][2] and findings[0][0] != "branch.yml:None"


@pytest.mark.parametrize("wish", ["wealth@>=1", "wealth@*", "wealth", "[wealth@2]", "null", "./wealth@2", "wealth@2/", "..@2", "branch"])  # fmt: skip
def test_a_template_is_named_by_its_one_version(faults_of, wish):
    text = BRANCH.replace("extends: wealth@2", f"extends: {wish}")
    findings = faults_of({"segments/branch.yml": text, "templates/wealth@2.yml": TEMPLATE})
    only_fault(findings, "branch.yml:4", "E01", "there is no template")


@pytest.mark.parametrize(
    ("template", "words"),
    [
        (TEMPLATE + "extends: other@1\n", "a template has no 'extends'"),
        (TEMPLATE + "extends: wealth@2\n", "a template has no 'extends'"),
        (TEMPLATE + "---\nspec: x\n", "another document"),
        (TEMPLATE + "#" + "x" * 1_000_000, "a YAML file has at most 1,000,000"),
        (TEMPLATE.replace("overrides: [name", "overrides: [[where]"), "'overrides' cannot hold"),
        (TEMPLATE.replace("exclude: [{tag: days_left, lt: 1}]", "exclude: 5"), "expected a list of conditions"),
        (TEMPLATE.replace("overrides: [name", "overrides: [entity"), "'overrides' cannot hold 'entity'"),
        (TEMPLATE.replace("overrides: [name", "overrides: [addressee"), "'overrides' cannot hold 'addressee'"),
    ],
)  # fmt: skip
def test_a_template_that_names_another_or_is_none_is_refused_in_its_own_file(faults_of, template, words):
    ((place, code, message),) = faults_of(branch("", template))
    assert (place.startswith("wealth@2.yml"), code) == (True, "E00") and words in message


def basis(folder):
    catalogue = catalogue_of(load_settings(folder))
    (segment,) = catalogue.segments
    return basis_of(segment, {segment.code: segment}, folder)


@pytest.mark.parametrize(
    ("files", "file", "change"),
    [
        (branch(""), "templates/wealth@2.yml", ("gte: 100", "gte: 0")),
        ({"segments/x.yml": spec("x", "where: {list: l@1}"), "lists/l@1.csv": "one_id\n1\n"}, "lists/l@1.csv", ("\n1\n", "\n1\n2\n")),
        ({"segments/x.yml": USES_CALENDAR, "calendars/ex@1.csv": "day\n2026-11-17\n2026-11-19\n"}, "calendars/ex@1.csv", ("2026-11-19", "2026-11-20")),
    ],
    ids=["template", "list", "calendar"],
)  # fmt: skip
def test_a_file_that_is_exchanged_after_an_approval_is_not_what_was_approved(
    make_workspace, files, file, change
):
    base = {"tags/test.yml": TAGS_YML, "destinations.yml": DESTINATIONS_YML}
    folder = make_workspace({**base, **files})
    before = basis(folder)
    assert basis(folder) == before
    (folder / file).write_text((folder / file).read_text().replace(*change))
    assert basis(folder) != before
