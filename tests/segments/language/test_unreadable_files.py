"""A file of a workspace that cannot be read is named, and hides no fault of a segment that can be seen without it."""

from __future__ import annotations

import json

import pytest
from segment_bank import DESTINATIONS_YML, TAGS_YML, spec

from jobs.cli import run

BROKEN = "a: [\n"
# Of each kind one that rests on the file, and one whose own fault has nothing to do with it.
SEGMENTS = {
    "plain": spec("plain", "where: {tag: teir, eq: T1}"),
    "nowhere": spec("nowhere", "where: {tag: tier, eq: T9}").replace("[engine]", "[nowhere]"),
    "owners": spec("owners", "where: {detail: {from: cards, match: {card_type: credit}}}\nunknown: {x: 1}"),
    "attributed": spec("attributed", "where: {detail: {from: customers, match: {plan: PLUS}}}"),
    "of_site": spec("of_site", "where: {tag: shoe_size, eq: 1}", columns="shoe_size"),
    "movable": spec(
        "movable",
        "parameters: {floor: {default: 5, min: 0, max: 9}}\n"
        "where: {all: [{tag: balance, gte: $floor}, {tag: tier, eq: T8}]}",
    ),
    "desk": spec("desk", "where: {tag: tier, eq: T1}\nworklist: {reason: {zh: 甲, en: a}, talking_points: {zh: [乙], en: [b]}}")
    .replace("[SMS, PUSH]", "[CALL], placements: {CALL: hotline}, caps: [{scope: hotline, max: 1, days: 1}]").replace("[engine]", "[desk]"),
}  # fmt: skip
ATTRIBUTES = (
    "attributes: [{entity: customer, code: plan, name: {zh: 套餐, en: Plan}, type: string, level: C1}]\n"
)
SOUND = {
    "tags/test.yml": TAGS_YML,
    "tags/site.yml": "tags: [{code: shoe_size, value: {type: int}, null_rule: Z, level: C1, status: online}]\n",
    "destinations.yml": DESTINATIONS_YML
    + "  nowhere: {description: x}\n  desk: {kind: worklist, description: x, ceiling: C2, worklist: {sources: [core],"
    " language: zh, approval: {by: p, date: 2026-11-01, hash: '000000000000'}}}\n",
    "attributes.yml": ATTRIBUTES,
    "contact_policy.yml": "placements: {hotline: CALL}\ncapacities: [{scope: CALL, per: employee, max: 9}]\n",
    "segment_parameters.yml": "movable: {floor: 6}\n",
    "templates/head@1.yml": "spec: segment_template/v1\nentity: customer\nkind: dynamic\npurpose: marketing\noverrides: [name, owner, contact, publish]\n",
} | {f"segments/{code}.yml": text for code, text in SEGMENTS.items()}
OWN = [
    ("movable", "E02"),
    ("nowhere", "E02"),
    ("owners", "E00"),
    ("plain", "E01"),
]


@pytest.fixture
def check(make_workspace, capsys):
    """A function that checks a workspace with some files changed, by the command as a user types it; gives its findings."""

    def run_check(files, *names, code=2):
        folder = make_workspace({**SOUND, **files})
        assert run(["segments", "check", *names, "--format", "json", "--workspace", str(folder)]) == code
        rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        return [(row["file"].removeprefix(f"{folder}/"), row["code"], row["message"]) for row in rows]

    return run_check


def of_segments(findings):
    return [(file[9:-4], code) for file, code, _ in findings if file.startswith("segments/")]


@pytest.fixture(autouse=True)
def approved(monkeypatch):
    """The worklist of these workspaces as approved; what it hides is tested elsewhere."""
    monkeypatch.setattr("delivery.destinations.disclosure_fault", lambda *_: None)
    monkeypatch.setattr("jobs.workspace.check.check_disclosures", lambda settings: None)


def test_without_a_broken_file_each_segment_has_its_own_fault_alone(check):
    assert of_segments(check({})) == OWN


@pytest.mark.parametrize(
    ("file", "consequence"),
    [
        ("destinations.yml", "the destinations of segments are not checked"),
        ("tags/site.yml", "what segments ask of tags that it names is not checked"),
        ("attributes.yml", "conditions on attributes are not checked"),
        ("contact_policy.yml", "what segments ask of contacts is not compared with it"),
        ("roles.yml", "approvals are not checked"),
        ("consent.yml", ""),
        ("lookups.yml", ""),
        ("segment_parameters.yml", ""),
        ("templates/head@1.yml", ""),
    ],
)
def test_a_broken_file_is_named_once_and_blames_and_hides_nobody(check, file, consequence):
    findings = check({file: SOUND.get(file, "") + BROKEN})
    beside = [(path, code, message) for path, code, message in findings if not path.startswith("segments/")]
    assert [(path, code) for path, code, _ in beside] == [(file, "E00")]
    assert consequence in beside[0][2] and bool(consequence) == ("until the file can be read" in beside[0][2])
    assert of_segments(findings) == OWN


def test_a_condition_that_looks_up_is_not_checked_without_the_file_of_look_ups(check):
    looks_up = spec(
        "owners", "unknown: exclude\nwhere: {detail: {from: holdings, match: {product.category: gold}}}"
    )
    findings = check({"lookups.yml": BROKEN, "segments/owners.yml": looks_up})
    assert [code for file, code, _ in findings if file == "lookups.yml"] == ["E00"]
    assert of_segments(findings) == [one for one in OWN if one[0] != "owners"]


def test_two_broken_files_are_both_named(check):
    findings = check(
        {
            "destinations.yml": BROKEN,
            "consent.yml": BROKEN,
            "tags/site.yml": "# shoe_size\ncode: tier\n" + BROKEN,
        }
    )
    assert [path for path, _, _ in findings if "/" not in path or path.startswith("tags")] == [
        "consent.yml", "destinations.yml", "tags/site.yml",
    ]  # fmt: skip
    # What the file of tags may say of the tier is not known.
    assert of_segments(findings) == [("owners", "E00"), ("plain", "E01")]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("where: {tga: tier, eq: T1}\n", "'tga' begins no condition"),
        ("guard: {}\n", "unknown key 'guard'"),
        ("kind: triggered\n", "kind"),
        ("parameters: {x: {default: 1}}\n", "a parameter has either min and max, or one_of"),
    ],
)
def test_a_template_that_nobody_extends_is_read_whole(check, text, words):
    sound = SOUND["templates/head@1.yml"]
    template = sound.replace("kind: dynamic\n", "") + text if "kind" in text else sound + text
    ((file, code, message),) = [f for f in check({"templates/head@1.yml": template}) if f[0][0] == "t"]
    assert (file, code) == ("templates/head@1.yml", "E00") and words in message


def test_a_value_outside_its_bounds_hides_no_fault_of_the_rule(check):
    findings = check({"segment_parameters.yml": "movable: {floor: 60}\n"})
    assert ("segment_parameters.yml", "E00", "'movable.floor' 60 lies outside 0 to 9") in findings
    assert of_segments(findings) == OWN


def test_an_absence_of_an_unknown_event_is_blamed_once(check, monkeypatch):
    monkeypatch.setattr("jobs.workspace.surroundings._published_event_names", lambda _: frozenset({"login"}))
    text = spec("plain", "where: {absence: {name: logn, within_days: 3, seen_within_days: 9}}")
    findings = check({"segments/plain.yml": text})
    assert [message for file, _, message in findings if file == "segments/plain.yml"] == [
        "no event was ever called 'logn'; did you mean 'login'?"
    ]


def test_doctor_names_the_faults_of_segments_beside_a_broken_file(make_workspace, capsys):
    folder = make_workspace({**SOUND, "consent.yml": BROKEN})
    run(["doctor", "--format", "json", "--workspace", str(folder)])
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    states = [row["state"] for row in rows if row["subject"] == "segments"]
    assert len(states) == 1 + len(OWN) and "consent.yml:2: E00" in states[0]


def test_a_check_of_some_segments_shows_what_is_wrong_with_them_alone(
    check, make_workspace, capsys, tmp_path
):
    assert of_segments(check({}, "plain")) == [("plain", "E01")]
    assert check({}, "of_site", code=0) == []
    broken = check({"destinations.yml": BROKEN, "templates/head@1.yml": BROKEN}, "plain", "nowhere")
    assert [file for file, _, _ in broken] == [
        "destinations.yml",
        "segments/nowhere.yml",
        "segments/plain.yml",
    ]
    branch = "spec: segment/v1\ncode: branch\nversion: 1.0.0\nextends: head@1\nwhere: {tag: tier, eq: T1}\n"
    extended = check({"segments/branch.yml": branch, "templates/head@1.yml": BROKEN}, "branch")
    assert [file for file, _, _ in extended] == ["templates/head@1.yml"]
    draft = tmp_path / "draft.yml"
    draft.write_text(spec("plain", "where: {tag: tier, eq: T7}"), encoding="utf-8")
    (finding,) = check({"segments/branch.yml": branch.replace("head@1", "head@2")}, str(draft))
    assert (finding[0], finding[1]) == (str(draft), "E02")
    draft.write_text("code: [\n", encoding="utf-8")
    ((file, code, _),) = check({}, str(draft))
    assert (file, code) == (str(draft), "E00")
    folder = make_workspace({})
    assert run(["segments", "check", "plainn", "--workspace", str(folder)]) == 2
    assert "there is no segment 'plainn'" in capsys.readouterr().err
    assert (
        run(["segments", "check", "plain", str(folder / "segments/of_site.yml"), "--workspace", str(folder)])
        == 2
    )
    assert capsys.readouterr().out == "2 segments checked, 1 with faults\n"
