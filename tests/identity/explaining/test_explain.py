"""`cdp identity why` and `why-not`: the statements that decided, from published tables alone."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta

import pytest
from identity_records import deliver, publish

from identity import resolve
from identity.reading.decisions import decide
from jobs.cli import run
from lakehouse.settings.settings import load_settings
from lakehouse.tables.lake import open_lake

NIGHT, NEXT = date(2026, 11, 18), date(2026, 11, 19)
NOON = datetime(2026, 11, 18, 12, tzinfo=UTC)
ZHANG = {"id": "core/1", "name": "张伟", "national_id": "110105198503121015", "phone": "13812340001"}
APP = {
    "id": "app/9",
    "kind": "prospect",
    "app_user_id@app": "u9",
    "phone": {"value": "+86 138 1234 0001", "verified": False},
}
WEB = {"id": "web/7", "kind": "anonymous", "app_user_id@app": "u9"}
LI = {"id": "core/2", "name": "李娜", "national_id": "110105198706250028", "phone": "13812340002"}
WANG = {"id": "core/3", "name": "王芳", "national_id": "110105197901013023", "phone": "13812340002"}
LI_TOO = {"id": "crm/4", "name": "李娜", "phone": "13812340002"}
NOBODY = [{"id": "crm/5", "phone": "13800138000"}, {"id": "crm/6", "phone": "13800138000"}]
WRONG = {"id": "crm/8", "email": "zhang@example.org", "national_id": "110105198503121016"}
ALONE = {"id": "web/20", "kind": "anonymous", "email": "z@example.org"}
RECORDS = [ZHANG, APP, WEB, LI, WANG, LI_TOO, *NOBODY, WRONG, ALONE]


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """Two published nights; the second brings a decision of each kind."""
    folder = tmp_path_factory.mktemp("explained")
    (folder / "cdp.yml").write_text("generate_secrets: true\n", encoding="utf-8")
    lake = open_lake(load_settings(folder))
    deliver(lake, NIGHT, RECORDS)
    resolve(lake, NIGHT)
    publish(lake, NIGHT)
    for minute, (kind, a, b) in enumerate(
        [("must_link", "web/20", "core/3"), ("cannot_link", "core/2", "crm/4")]
    ):
        decide(
            lake, kind, a, b, author="chen", reason="called them", decided_at=NOON + timedelta(minutes=minute)
        )
    deliver(lake, NEXT, RECORDS)
    resolve(lake, NEXT)
    publish(lake, NEXT)
    return folder


@pytest.fixture
def ask(published, monkeypatch, capsys):
    """Ask a command about two records; give its text and its JSON object."""
    monkeypatch.setenv("CDP_WORKSPACE", str(published))

    def asked(command, a, b, *more):
        assert run(["identity", command, a, b, *more]) == 0
        text = capsys.readouterr().out
        assert run(["identity", command, a, b, *more, "--format", "json"]) == 0
        told = capsys.readouterr().out
        for value in ("13812340001", "13812340002", "110105198503121015", "u9@", "张伟", "李娜"):
            assert value not in text + told, "values are masked"
        return text, json.loads(told)

    return asked


def test_why_leads_from_record_to_record_by_statements_with_file_and_line(ask):
    text, told = ask("why", "core/1", "web/7")
    assert [(s["namespace"], s["masked"]) for s in told["steps"]] == [
        ("phone", "138****0001"),
        ("app_user_id@app", "u9***"),
    ]
    by_phone, by_user = (step["statements"] for step in told["steps"])
    assert [(s["profile"], s["verified"], s["known_since"]) for s in by_phone] == [
        ("core/1", True, "2026-11-18"), ("app/9", False, "2026-11-18"),
    ]  # fmt: skip
    assert [s["profile"] for s in by_user] == ["app/9", "web/7"]
    assert [(r["file"], r["row"]) for s in by_phone for r in s["records"]] == [
        ("drawn.csv", 1),
        ("drawn.csv", 3),
    ]
    assert by_phone[0]["rules_version"] == told["rules_version"]
    assert told["together_since"] == "2026-11-18"
    assert text.splitlines()[0] == f"core/1 and web/7 are one person, {told['one_id']}, since 2026-11-18"
    assert "drawn.csv record 1" in text and "CREATE" in text


def test_a_shared_value_joins_only_who_bears_one_name_and_a_decision_is_a_step(ask):
    _, told = ask("why", "core/2", "crm/4", "--as-of", str(NIGHT))
    assert [(s["masked"], s["same_name_needed"]) for s in told["steps"]] == [("138****0002", True)]
    text, told = ask("why", "web/20", "core/3")
    assert [(s["by"], s["kind"], s["author"]) for s in told["steps"]] == [("decision", "must_link", "chen")]
    assert told["together_since"] == "2026-11-19"
    assert "must-link by chen" in text and "called them" in text and "MERGE" in text


def test_why_not_names_what_did_not_join_and_what_forbids_it(ask):
    text, told = ask("why-not", "core/2", "core/3")
    (obstacle,) = told["obstacles"]
    assert (obstacle["namespace"], obstacle["masked"], obstacle["carriers"]) == ("phone", "138****0002", 3)
    assert {s["rule"] for s in obstacle["refused"]} == {"shared"}
    assert {s["profile"] for s in obstacle["refused"]} == {"core/2", "core/3"}
    unique = next(f for f in told["forbidden"] if f["rule"] == "unique")
    assert (unique["reason"], unique["together"], unique["at_most"]) == ("national_id", 2, 1)
    assert unique["masked"] == [["110***28"], ["110***23"]]
    assert {f["reason"] for f in told["forbidden"]} >= {"full_name (han)", "birth_date"}
    assert "one person would have 2 national_id (110***28 and 110***23), at most 1" in text

    _, told = ask("why-not", "crm/5", "crm/6")
    assert {(s["rule"], s["reason"]) for o in told["obstacles"] for s in o["refused"]} == {
        ("blocked", "placeholder")
    }
    assert told["forbidden"] == []

    text, told = ask("why-not", "core/2", "crm/4")
    decision = next(f for f in told["forbidden"] if f["rule"] == "cannot_link")
    assert (decision["author"], decision["reason"]) == ("chen", "called them")
    assert {s["rule"] for o in told["obstacles"] for s in o["refused"]} == {"cannot_link"}

    text, told = ask("why-not", "core/1", "crm/8")
    assert told["obstacles"] == []
    assert [(i["profile"], i["namespace"], i["reason"]) for i in told["invalid"]] == [
        ("crm/8", "national_id", "check_digit")
    ]
    assert "no statement leads from one to the other" in text
    assert "crm/8 carries email" in text


@pytest.mark.parametrize(
    ("command", "a", "b", "words"),
    [
        ("why", "core/1", "core/2", "are two people"),
        ("why-not", "core/1", "web/7", "are one person"),
        ("why", "core/1", "core/1", "two different profiles"),
        ("why", "cor/1", "core/2", "did you mean 'core'?"),
        ("why-not", "core/1", "core/77777", "has that key"),
        ("why", "core1", "core/2", "source/key"),
    ],
)
def test_a_question_that_has_no_answer_is_one_sentence(published, monkeypatch, capsys, command, a, b, words):
    monkeypatch.setenv("CDP_WORKSPACE", str(published))
    assert run(["identity", command, a, b]) == 2
    said = capsys.readouterr().err
    assert words in said and "77777" not in said


def test_what_cannot_be_told_again_is_said_and_not_invented(published, monkeypatch, capsys):
    import identity.explaining.evidence as evidence

    monkeypatch.setenv("CDP_WORKSPACE", str(published))
    monkeypatch.setattr(evidence, "decisions_of", lambda rows, **_: [])
    assert run(["identity", "why", "web/20", "core/3"]) == 1
    assert "cannot be told again" in capsys.readouterr().err


@pytest.mark.slow
def test_rules_are_tried_without_a_jvm_and_what_cannot_be_tried_is_one_sentence(
    published, monkeypatch, capsys, tmp_path
):
    monkeypatch.setenv("CDP_WORKSPACE", str(published))
    left = published / "lake" / "_exchange" / "try_999999999"
    left.mkdir(parents=True)
    rules = tmp_path / "rules.yml"

    def tried(text):
        rules.write_text(text, encoding="utf-8")
        code = run(["identity", "try", "--rules", str(rules), "--only-identity", "--format", "json"])
        out, err = capsys.readouterr()
        return code, json.loads(out) if out else err

    code, told = tried("{}\n")
    assert (code, told["rules"][0] == told["rules"][1]) == (0, True)
    assert [told["people"][name] for name in ("merges", "splits", "moved")] == [0, 0, 0]
    assert not left.exists(), "what a killed trial left behind is gone"
    (published / "identity.yml").write_text("largest_person: {cut_above: 40}\n", encoding="utf-8")
    assert tried("{}\n")[1]["rules"] == told["rules"], "what the file says today was never published"
    (published / "identity.yml").unlink()
    code, told = tried("namespaces: {'app_user_id@app': {kind: attribute}}\n")
    assert (code, told["people"]["splits"], told["people"]["split"][0]["between"]) == (
        0,
        1,
        ["app/9", "web/7"],
    )
    code, told = tried("namespaces: {phone: {window_days: 323}}\n")
    assert (code, told["people"]["splits"]) == (0, 1), (
        "the window of 1 January ends on the night after the published one"
    )
    assert run(["identity", "try", "--rules", str(rules), "--only-identity"]) == 0
    assert "parted: " in capsys.readouterr().out
    loose = "extends: nothing\nnamespaces: {phone: {kind: person, normaliser: china_mobile}}\n"
    code, told = tried(loose + "largest_person: {cut_above: 2, stop_above: 2}\n")
    assert code == 3 and "one person would have 3 profiles, at most 2" in told["refused"]
    assert tried("namspaces: {}\n") == (
        2,
        f"cdp: {rules}:1: unknown key 'namspaces'; did you mean 'namespaces'?\n",
    )
    rules.unlink()
    assert run(["identity", "try", "--rules", str(rules)]) == 2
    assert "there is no file" in capsys.readouterr().err
