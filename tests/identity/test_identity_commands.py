"""`cdp identity show` and `evaluate` on a published night, without a JVM."""

from __future__ import annotations

import json
from datetime import date

import pytest
from identity_records import deliver, publish

from identity import resolve
from jobs.cli import run
from lakehouse.settings.settings import load_settings
from lakehouse.tables.lake import open_lake

NIGHT = date(2026, 11, 18)
RECORDS = [
    {"id": "core/1", "name": "张伟", "national_id": "110105198503121015", "phone": "13812340001"},
    {"id": "core/2", "name": "李娜", "national_id": "110105198706250028", "phone": "13812340002"},
    {"id": "app/9", "kind": "prospect", "app_user_id@app": "u9", "phone": "+86 138 1234 0001"},
    {"id": "crm/5", "phone": "13800138000"},
    {"id": "crm/6", "phone": "13800138000"},
]


@pytest.fixture
def published(make_workspace, monkeypatch):
    """A workspace whose identity tables are published."""
    folder = make_workspace()
    lake = open_lake(load_settings(folder))
    deliver(lake, NIGHT, RECORDS)
    resolve(lake, NIGHT)
    publish(lake, NIGHT)
    monkeypatch.setenv("CDP_WORKSPACE", str(folder))
    return folder


def test_a_person_is_found_by_number_identifier_or_profile_and_shown_masked(published, capsys):
    shown = []
    for how in (["1000000000001"], ["--identifier", "phone=13812340001"], ["--profile", "core/1"]):
        assert run(["identity", "show", *how]) == 0
        shown.append(capsys.readouterr().out)
    assert all(text.startswith("OneID 10000000000") for text in shown)
    assert shown[1] == shown[2]
    assert "core/1" in shown[1] and "app/9" in shown[1]
    assert "138****0001" in shown[1] and "110***15" in shown[1]
    assert "13812340001" not in "".join(shown) and "110105198503121015" not in "".join(shown)


def test_whoever_looks_at_people_is_recorded_before_they_are_shown(published, capsys):
    calls = {
        "show": ["--profile", "core/1"],
        "why": ["core/1", "app/9"],
        "why-not": ["core/1", "crm/5"],
    }
    for command, arguments in calls.items():
        assert run(["identity", command, *arguments]) == 0
    record = published / "audit" / "lookups.jsonl"
    entries = [json.loads(line) for line in record.read_text(encoding="utf-8").splitlines()]
    assert [(one["command"], len(one["one_ids"])) for one in entries] == [
        ("identity show", 1), ("identity why", 1), ("identity why-not", 2),
    ]  # fmt: skip
    record.unlink()
    record.symlink_to(published / "elsewhere")
    capsys.readouterr()
    for command, arguments in calls.items():
        assert run(["identity", command, *arguments]) == 1 and capsys.readouterr().out == ""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("how", "words"),
    [
        (["1000000009999"], "no OneID 1000000009999 was ever published"),
        (["--identifier", "phone=13800138000"], "people carry that phone"),
        (["--identifier", "phone=13899990000"], "nobody carries that phone"),
        (["--identifier", "phone=12"], "that is no phone (form)"),
        (["--identifier", "fone=13812340001"], "did you mean 'phone'?"),
        (["--profile", "cor/1"], "did you mean 'core'?"),
        ([], "name one person"),
    ],
)
def test_what_cannot_be_found_is_said_without_the_value(published, capsys, how, words):
    assert run(["identity", "show", *how]) == 2
    said = capsys.readouterr().err
    assert words in said
    assert "13800138000" not in said and "13899990000" not in said


def test_who_asks_in_vain_is_recorded_by_the_kind_of_what_was_asked(published, capsys):
    """An identifier of several people names them, and two records that are one person, or two, do as well."""
    calls = [
        (["show", "--identifier", "phone=13899990000"], ("phone", "nobody", 0)),
        (["show", "--identifier", "phone=13800138000"], ("phone", "several", 2)),
        (["show", "--profile", "core/13899990000"], ("profile", "nobody", 0)),
        (["show", "13899990000", "--reveal", "a case"], ("one_id", "nobody", 0)),
        (["why", "core/1", "core/13899990000"], ("profile", "nobody", 0)),
        (["why-not", "core/13899990000", "core/1"], ("profile", "nobody", 0)),
        (["why", "core/1", "crm/5"], ("profile", "other", 2)),
        (["why-not", "core/1", "app/9"], ("profile", "other", 1)),
    ]
    for arguments, _ in calls:
        assert run(["identity", *arguments]) == 2
    record = published / "audit" / "lookups.jsonl"
    entries = [json.loads(line) for line in record.read_text(encoding="utf-8").splitlines()]
    assert [(e["identifier"], e["refusal"], len(e["one_ids"])) for e in entries] == [
        answer for _, answer in calls
    ]
    assert [e["command"].split()[1] for e in entries] == [arguments[0] for arguments, _ in calls]
    assert "13899990000" not in record.read_text(encoding="utf-8")
    assert "13800138000" not in record.read_text(encoding="utf-8")
    capsys.readouterr()
    # whether there is such a record is not told without a line
    errors = set()
    for key in ("core/1", "core/13899990000"):
        assert run(["identity", "why", key, key]) == 2
        errors.add(capsys.readouterr().err)
    assert errors == {"cdp: name two different profiles\n"}
    assert len(record.read_text(encoding="utf-8").splitlines()) == len(calls)


def test_the_published_map_is_measured_and_unknown_profiles_of_the_truth_are_told(
    published, tmp_path, capsys
):
    truth = tmp_path / "truth.csv"
    truth.write_text("source,source_key,person\ncore,1,a\napp,9,a\ncore,2,b\ncrm,5,c\n", encoding="utf-8")
    out = tmp_path / "measures.json"
    assert run(["identity", "evaluate", "--truth", str(truth), "--out", str(out)]) == 0
    line = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (line["precision"], line["recall"], line["profiles"]) == (1.0, 1.0, 4)
    assert json.loads(out.read_text()) == line
    assert run(["identity", "evaluate", "--truth", str(truth), "--out", str(out)]) == 0
    assert run(["identity", "evaluate", "--truth", str(truth), "--out", str(published / "cdp.yml")]) == 2
    assert "a file of measures is called NAME.json" in capsys.readouterr().err
    other = tmp_path / "other.json"
    other.write_text('{"profiles": 4}')
    assert run(["identity", "evaluate", "--truth", str(truth), "--out", str(other)]) == 2
    assert "is no file of measures that cdp wrote" in capsys.readouterr().err
    assert run(["identity", "caps", "--picture", str(published / "cdp.yml")]) == 2
    assert "a picture is called NAME.svg" in capsys.readouterr().err
    assert (published / "cdp.yml").read_text() == "generate_secrets: true\n"
    truth.write_text("source,source_key,person\ncore,1,a\nlate,7,b\n", encoding="utf-8")
    assert run(["identity", "evaluate", "--truth", str(truth)]) == 1
    said = capsys.readouterr().err
    assert (
        "truth.csv:3: 1 of 2 profiles of the truth are not in the map" in said and "--allow-missing" in said
    )
    assert run(["identity", "evaluate", "--truth", str(truth), "--allow-missing"]) == 0
    truth.write_text("source,key,person\ncore,1,a\n", encoding="utf-8")
    assert run(["identity", "evaluate", "--truth", str(truth)]) == 1
    assert "has no column 'source_key'" in capsys.readouterr().err


def test_a_key_that_is_an_identifier_is_masked_like_it_until_it_is_revealed(
    make_workspace, monkeypatch, capsys
):
    folder = make_workspace()
    lake = open_lake(load_settings(folder))
    records = [
        {"id": "web/13812340001", "phone": "13812340001"},
        {"id": "mini/o22IouDJqq", "openid@wx1": "o22IouDJqq", "phone": "13812340001"},
        {"id": "core/1004179190", "phone": "13812340001"},
        {"id": "pos/7", "openid@wx1": "o22IouDJqq"},
    ]
    deliver(lake, NIGHT, records)
    resolve(lake, NIGHT)
    publish(lake, NIGHT)
    monkeypatch.setenv("CDP_WORKSPACE", str(folder))
    for form in ("table", "json"):
        assert run(["identity", "show", "--profile", "core/1004179190", "--format", form]) == 0
        shown = capsys.readouterr().out
        assert "13812340001" not in shown and "o22IouDJqq" not in shown and "1004179190" in shown
    # What leads from one to the other is stated by mini's record, whose key is the openid.
    for form in ("table", "json"):
        assert run(["identity", "why", "core/1004179190", "pos/7", "--format", form]) == 0
        shown = capsys.readouterr().out
        assert "mini/" in shown and "13812340001" not in shown and "o22IouDJqq" not in shown
    assert (
        run(["identity", "show", "--profile", "core/1004179190", "--reveal", "a call of the customer"]) == 0
    )
    assert "web/13812340001" in capsys.readouterr().out
    (entry,) = map(json.loads, (folder / "audit" / "reveals.jsonl").read_text().splitlines())
    assert (entry["reason"], entry["tables"]) == ("a call of the customer", ["identity.memberships"])
    assert run(["identity", "show", "--profile", "core/1004179190", "--reveal", " "]) == 2
