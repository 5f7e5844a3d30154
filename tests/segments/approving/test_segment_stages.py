"""Nights of a segment with stages: whom each stage publishes to, what keeps an audience back, what takes it back, what nobody sees."""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import shutil
import threading

import pytest
from approval_bank import ROLES, RULE, Bank, files_of, rich
from segment_bank import (
    DESTINATIONS_YML,
    D,
    at,
    fill,
    lake_of,
    publish,
    read_tags,
    rows_of,
    spec,
    surroundings,
    tag_contracts,
    write_tags,
)

from delivery.audience_files import read_rows
from delivery.contract.verify_audience import MANIFEST, MANIFEST_SUM, SIGNATURE, signature_of
from delivery.manifest import read_latest, read_manifest
from delivery.verification import verify
from jobs.night import recall as recall_job
from jobs.night import steps
from jobs.night.fingerprint import fingerprint_of
from jobs.night.nightly import run_attempt
from jobs.night.writing import LakeWriter
from lakehouse.errors import StepFailed
from lakehouse.ledger.ledger import publish as make_visible
from lakehouse.query.desk import open_newest
from lakehouse.query.hashing import file_hash
from lakehouse.query.published import publications
from lakehouse.settings.settings import load_settings
from lakehouse.tables.lake import open_lake
from segments import decisions_read, require_decisions
from segments.choosing import evaluation
from segments.choosing.evaluation import evaluate
from segments.explaining.equations import equation_faults
from segments.explaining.explain import explain
from segments.explaining.preview import preview
from vocabulary.buckets import bucket

NEXT, THIRD = D + dt.timedelta(days=1), D + dt.timedelta(days=2)
LATER = spec("later", RULE.replace("$floor", "150"), columns="variant")


@pytest.fixture(scope="module")
def filled_lake(tmp_path_factory):
    """The lake of the bank before its first night, which each test copies."""
    folder = tmp_path_factory.mktemp("filled")
    (folder / "cdp.yml").write_text("generate_secrets: true\n")
    fill(open_lake(load_settings(folder), contracts=tag_contracts()))
    return folder / "lake"


@pytest.fixture
def bank(make_workspace, monkeypatch, filled_lake):
    """The bank with its filled lake; ``rich`` asks for two approvals, ``later`` for none. 1 and 10 may be contacted."""
    bank = Bank(make_workspace(files_of(**{"segments/later.yml": LATER})), monkeypatch)
    shutil.copytree(filled_lake, bank.settings.lake)
    bank.lake = lake_of(bank.settings)
    return bank


def night(bank, day=D):
    """A night as its step publishes it, made visible."""
    write_tags(bank.lake, read_tags(), day)
    publish(bank.lake, day)
    make_visible(bank.lake, day, f"of {day}", decisions_read(bank.settings))


def people(bank, code="rich", place="published/engine"):
    """Whom the newest run of a segment at the engine holds; None where there is none."""
    root = bank.folder / place / code
    latest = read_latest(root)
    if latest is None:
        return None
    run = root / latest["path"]
    keys = {
        row["recipient_key"]: row["one_id"] for row in bank.lake.read_arrow("segments.recipients").to_pylist()
    }
    rows = read_rows(run / "snapshot", read_manifest(run)["format"])["recipient_key"].to_pylist()
    return {keys.get(key) for key in rows}


def newest(bank, code="rich"):
    root = bank.settings.published / "engine" / code
    run = root / read_latest(root)["path"]
    return run, read_manifest(run)


@pytest.mark.slow
def test_each_stage_only_adds_people(bank):
    reaching_1 = bucket("rollout:rich", 1) / 100 + 0.01
    reaching_nobody = min(bucket("rollout:rich", 1), bucket("rollout:rich", 10)) / 100
    for stage, percent, expected in (
        ("whitelist", 99, {10}), ("small", reaching_nobody, {10}), ("small", reaching_1, {1, 10}), ("full", 0, {1, 10}),
    ):  # fmt: skip
        bank.write(
            "segments/rich.yml", rich(stage, approvals="").replace("percent: 50", f"percent: {percent}")
        )
        result = evaluate(bank.lake, D, surroundings(bank.settings))
        audience = next(one for one in result.audiences if one.code == "rich")
        assert set(audience.people["one_id"].to_pylist()) == expected, (stage, percent)
        assert audience.stage == stage
        assert audience.counts["not_in_rollout"] == audience.counts["eligible"] - len(expected)
        # Another percent under the same version is a fault, which is not what is looked at here.
        bank.lake.overwrite("segments.definitions", bank.lake.read_arrow("segments.definitions").slice(0, 0))


def test_a_stage_without_its_approvals_is_held_and_the_others_go_on(bank, caplog):
    night(bank)
    assert (people(bank), people(bank, "later")) == (None, {1, 10})
    for table in ("runs", "members", "changes", "suppressions", "definitions"):
        codes = set(bank.lake.read_arrow(f"segments.{table}")["code"].to_pylist())
        assert codes == {"later"}, table
    warnings = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert [w for w in warnings if "rich" in w] == [
        "segment rich is not published: the stage small of 'rich' lacks the approval of lead, compliance; "
        "`cdp segments approve rich --stage small --role ROLE`"
    ]
    bank.approve_all("full")
    night(bank)
    assert people(bank) >= {10}


def test_a_night_of_held_segments_alone_publishes_nothing_and_ends_well(bank):
    (bank.folder / "segments" / "later.yml").unlink()
    assert publish(bank.lake, D).audiences == ()
    assert bank.lake.read_arrow("segments.runs").num_rows == 0


def test_a_segment_that_names_a_held_one_sees_its_members(bank):
    bank.write(
        "segments/later.yml",
        LATER.replace("unknown: exclude", "unknown: exclude\nexclude: [{segment: rich}]"),
    )
    bank.write("segments/rich.yml", rich("full"))
    assert {row.code: row.counts["published"] for row in publish(bank.lake, D).audiences} == {"later": 0}


def test_a_manifest_names_stage_and_approvals_and_no_user(bank, capsys):
    bank.approve_all()
    night(bank)
    run, manifest = newest(bank)
    standing = bank.standing(D)
    assert manifest["stage"] == "small"
    assert [(one["by"], one["stage"], one["definition_hash"], one["basis"], one["until"]) for one in manifest["approvals"]] == [
        (role, "small", manifest["definition_hash"], standing.basis, None) for role in ("lead", "compliance")
    ]  # fmt: skip
    assert [row["signature"][:16] for row in bank.log()] == [
        one["approval_id"] for one in manifest["approvals"]
    ]
    assert "wang" not in (run / MANIFEST).read_text() and "zhao" not in (run / MANIFEST).read_text()
    capsys.readouterr()
    assert bank.cdp("wang", "verify", str(run)) == 0
    assert "stage small, approved by lead, compliance" in capsys.readouterr().out
    (definition,) = [
        row for row in bank.lake.read_arrow("segments.definitions").to_pylist() if row["code"] == "rich"
    ]
    assert definition["approved_by"] == "lead, compliance" and definition["approved_at"] is not None
    (row,) = [row for row in bank.lake.read_arrow("segments.runs").to_pylist() if row["code"] == "rich"]
    params = json.loads(row["params"])
    assert (params["stage"], params["approvals"]) == (
        "small",
        [one["approval_id"] for one in manifest["approvals"]],
    )
    later = newest(bank, "later")[1]
    assert "stage" not in later and later["approvals"] == []


UNFIT = {
    "for another definition": {"definition_hash": "0" * 32},
    "is for whitelist, and the audience is of small": {"stage": "whitelist"},
    "was over after 2026-11-17": {"until": "2026-11-17"},
    "approvals.0.approval_id": {"approval_id": None},
}


def test_verify_refuses_a_manifest_whose_approvals_do_not_fit(bank):
    bank.approve_all()
    night(bank)
    run, manifest = newest(bank)
    key = bank.settings.secret("verification_key_engine")
    assert verify(run, keys=lambda _: key)[0].failures == ()
    for sentence, change in UNFIT.items():
        approvals = [manifest["approvals"][0] | change, manifest["approvals"][1]]
        body = (json.dumps({**manifest, "approvals": approvals}, indent=2) + "\n").encode()
        (run / MANIFEST).write_bytes(body)
        (run / MANIFEST_SUM).write_text(f"{file_hash(run / MANIFEST)}  {MANIFEST}\n")
        (run / SIGNATURE).write_text(signature_of(body, key) + "\n")
        (failure,) = verify(run, keys=lambda _: key)[0].failures
        assert sentence in failure


@pytest.mark.slow
@pytest.mark.parametrize(("stop", "end", "role", "user"), [
    ("hold", "release", "compliance", "zhao"), ("pause", "resume", "lead", "wang"),
])  # fmt: skip
def test_a_stop_keeps_an_audience_back_until_its_role_ends_it(bank, capsys, stop, end, role, user):
    bank.approve_all("full")
    bank.write("segments/rich.yml", rich("full"))
    night(bank)
    seq = newest(bank)[1]["seq"]
    assert bank.cdp(user, stop, "rich", "--role", role, "--reason", "wording") == 0
    assert bank.cdp(user, stop, "rich", "--role", role, "--reason", "again") == 2, "it stands already"
    assert bank.cdp("both", end, "rich", "--role", "lead" if role == "compliance" else "compliance") == 2
    night(bank, NEXT)
    assert newest(bank)[1]["seq"] == seq and people(bank) == {1, 10}, "what was released stands"
    assert bank.lake.read_arrow("segments.runs", filters=[("as_of", "=", NEXT)])["code"].to_pylist() == [
        "later"
    ]
    assert bank.cdp(user, end, "rich", "--role", role) == 0
    night(bank, THIRD)
    _, manifest = newest(bank)
    assert (manifest["seq"], manifest["counts"]["delta"]) == (
        seq + 1, {"previous": 2, "enter": 0, "exit": 0, "update": 0},
    )  # fmt: skip
    entered = {
        row["entered_on"]
        for row in bank.lake.read_arrow(
            "segments.members", filters=[("as_of", "=", THIRD), ("code", "=", "rich")]
        ).to_pylist()
    }
    assert entered == {D}, "members go on where they were"
    assert [row["action"] for row in bank.log()[2:]] == [stop, end]


@pytest.mark.slow
def test_whoever_withdraws_leaves_an_audience_that_is_held(bank):
    bank.approve_all("full")
    bank.write("segments/rich.yml", rich("full"))
    night(bank)
    assert bank.cdp("zhao", "hold", "rich", "--role", "compliance", "--reason", "wording") == 0
    bank.lake.append("trusted.consents", rows_of("trusted.consents", [
        {"source_key": "c1", "purpose": "marketing", "channel": "ALL", "decision": "REFUSE",
         "decided_at": at("2026-11-19"), "valid_from": NEXT}]))  # fmt: skip
    night(bank, NEXT)
    assert people(bank) == {10}
    assert all(v.failures == () for v in verify(bank.settings.published))


def test_the_next_night_takes_a_recalled_audience_back(bank):
    bank.approve_all("full")
    bank.write("segments/rich.yml", rich("full"))
    night(bank)
    assert bank.cdp("wang", "recall", "rich", "--role", "lead", "--reason", "wrong rate") == 0
    night(bank, NEXT)
    run, manifest = newest(bank)
    ops = read_rows(run / "delta", "parquet")["op"].to_pylist()
    assert (people(bank), ops, manifest["counts"]["dropped_by_contact"]) == (
        set(),
        ["EXIT", "EXIT"],
        {"RECALLED": 2},
    )
    assert [one["by"] for one in manifest["approvals"]] == ["lead", "compliance"]
    assert all(v.failures == () for v in verify(bank.settings.published))
    night(bank, THIRD)
    assert newest(bank)[1]["seq"] == 2, "it is recalled once and nothing follows"
    assert bank.cdp("wang", "release", "rich", "--role", "lead") == 0
    night(bank, THIRD)
    assert (newest(bank)[1]["seq"], people(bank)) == (3, {1, 10})


@pytest.mark.slow
def test_a_segment_that_left_the_workspace_can_still_be_recalled(bank, capsys):
    bank.approve_all("full")
    bank.write("segments/rich.yml", rich("full"))
    night(bank)
    (bank.folder / "segments" / "rich.yml").unlink()
    assert bank.cdp("wang", "recall", "rich", "--role", "lead", "--reason", "wrong rate") == 0
    night(bank, NEXT)
    assert people(bank) == set()
    assert bank.cdp("zhao", "hold", "poor", "--role", "compliance", "--reason", "x") == 2
    assert "there is no segment 'poor'" in capsys.readouterr().err


def test_a_segment_whose_file_is_faulty_can_still_be_stopped(bank):
    bank.write("segments/rich.yml", "spec: segment/v1\n")
    assert bank.cdp("zhao", "hold", "rich", "--role", "compliance", "--reason", "wording") == 0


@pytest.fixture
def at_once(bank, monkeypatch):
    """The bank, whose lake the job opens in place of that of a workspace with feeds."""

    @contextlib.contextmanager
    def hold_lake(settings, purpose):
        yield LakeWriter(bank.lake, tuple(publications(settings)), lambda pid: None)

    monkeypatch.setattr(recall_job, "hold_lake", hold_lake)
    return bank


def test_a_recall_at_once_is_released_and_published(at_once, capsys):
    bank = at_once
    bank.approve_all("full")
    bank.write("segments/rich.yml", rich("full"))
    night(bank)
    before = publications(bank.settings)[-1]
    assert bank.cdp("wang", "recall", "rich", "--role", "lead", "--reason", "wrong rate", "--now") == 0
    assert "takes everybody out of rich" in capsys.readouterr().out
    assert (people(bank), people(bank, "later")) == (set(), {1, 10})
    assert all(v.failures == () for v in verify(bank.settings.published))
    after = publications(bank.settings)[-1]
    assert (after.seq, after.business_date) == (before.seq + 1, D) and after.fingerprint != before.fingerprint
    assert after.tables["segments.deliveries"] > before.tables["segments.deliveries"]
    assert after.summary["decisions"]["count"] == 3
    assert bank.cdp("wang", "verify", "--all") == 0
    assert recall_job.recall_at_once(bank.settings, "rich") == ()
    night(bank, NEXT)
    assert newest(bank)[1]["seq"] == 2


@pytest.mark.slow
def test_a_hold_that_comes_while_segments_are_evaluated_counts(bank, monkeypatch):
    bank.approve_all("full")
    bank.write("segments/rich.yml", rich("full"))
    monkeypatch.setattr(steps, "read_surroundings", surroundings)
    calls = []

    def evaluate_slowly(*arguments, **options):
        result = evaluate(*arguments, **options)
        calls.append({audience.code for audience in result.audiences})
        if len(calls) == 1:
            assert bank.cdp("zhao", "hold", "rich", "--role", "compliance", "--reason", "wording") == 0
        return result

    monkeypatch.setattr(evaluation, "evaluate", evaluate_slowly)
    assert set(steps.publish(bank.lake, D)) == {"later"}
    assert calls == [{"rich", "later"}, {"later"}]
    assert (people(bank), people(bank, "later")) == (None, {1, 10})
    assert set(bank.lake.read_arrow("segments.members")["code"].to_pylist()) == {"later"}
    assert not list((bank.settings.published / "engine" / "rich").glob("*"))


@pytest.mark.slow
def test_decisions_without_end_release_nothing(bank, monkeypatch):
    monkeypatch.setattr(steps, "read_surroundings", surroundings)

    def evaluate_and_decide(*arguments, **options):
        result = evaluate(*arguments, **options)
        action = "hold" if len(bank.log()) % 2 == 0 else "release"
        assert bank.cdp("zhao", action, "later", "--role", "compliance", "--reason", "x") == 0
        return result

    monkeypatch.setattr(evaluation, "evaluate", evaluate_and_decide)
    with pytest.raises(StepFailed, match="during each of 3 evaluations; nothing was released"):
        steps.publish(bank.lake, D)
    assert people(bank, "later") is None


@pytest.mark.slow
def test_a_decision_waits_while_audiences_are_released(bank, monkeypatch):
    import delivery

    bank.approve_all("full")
    bank.write("segments/rich.yml", rich("full"))
    monkeypatch.setattr(steps, "read_surroundings", surroundings)
    release = delivery.release
    waiting = threading.Thread(
        target=bank.cdp, args=("zhao", "hold", "rich", "--role", "compliance", "--reason", "too late")
    )

    def release_while_somebody_decides(*arguments):
        waiting.start()
        waiting.join(0.5)
        assert waiting.is_alive() and len(bank.log()) == 2
        release(*arguments)

    monkeypatch.setattr(delivery, "release", release_while_somebody_decides)
    steps.publish(bank.lake, D)
    waiting.join(10)
    assert people(bank) == {1, 10} and len(bank.log()) == 3


def test_decisions_are_part_of_what_a_night_is_of(bank, monkeypatch):
    monkeypatch.setattr("ingestion.inputs_of_night", lambda lake, day: [])
    before = fingerprint_of(bank.lake, D)
    assert bank.approve("wang", "lead") == 0
    after = fingerprint_of(bank.lake, D)
    assert after != before and fingerprint_of(bank.lake, D) == after
    bank.sign("one", {"approval_id": "x"}, None)
    assert fingerprint_of(bank.lake, D) != after


@pytest.mark.parametrize("loss", ["the last lines", "the file"])
def test_a_night_notices_decisions_that_were_lost(bank, monkeypatch, loss):
    monkeypatch.setattr("ingestion.inputs_of_night", lambda lake, day: [])
    bank.approve_all("full")
    assert bank.cdp("zhao", "hold", "rich", "--role", "compliance", "--reason", "wording") == 0
    night(bank)
    seen = publications(bank.settings)[-1].summary["decisions"]
    require_decisions(bank.settings, seen)
    file = bank.folder / "audit" / "segments.jsonl"
    lines = file.read_text().splitlines()
    file.unlink()
    if loss == "the last lines":
        file.write_text("\n".join(lines[:2]) + "\n")
    (bank.settings.lake / "decisions.json").unlink()
    with pytest.raises(StepFailed, match="read 3 decisions about segments and they are not there any more"):
        require_decisions(bank.settings, seen)
    writer = LakeWriter(bank.lake, tuple(publications(bank.settings)), lambda pid: None)
    with pytest.raises(StepFailed, match="read 3 decisions"):
        run_attempt(writer, NEXT)


BEGIN = ("begin-anew", "--role", "compliance", "--reason", "the backup burnt")


def lose_decisions(bank):
    """Take record and head away at once, as a disk that broke."""
    (bank.folder / "audit" / "segments.jsonl").unlink()
    (bank.settings.lake / "decisions.json").unlink()


def test_a_record_that_began_anew_is_excused_for_that_loss_alone(bank, capfd):
    bank.approve_all("full")
    night(bank)
    seen = publications(bank.settings)[-1].summary["decisions"]
    lose_decisions(bank)
    with pytest.raises(StepFailed, match="cdp segments begin-anew"):
        require_decisions(bank.settings, seen)
    assert bank.cdp("zhao", *BEGIN) == 0
    assert bank.log()[0]["loss"] == seen
    require_decisions(bank.settings, seen)
    assert bank.cdp("zhao", *BEGIN) == 2, "a record that began anew is whole"
    first_line = (bank.folder / "audit" / "segments.jsonl").read_text()
    first_head = (bank.settings.lake / "decisions.json").read_text()
    assert bank.cdp("zhao", "hold", "rich", "--role", "compliance", "--reason", "wording") == 0
    night(bank, NEXT)
    (bank.folder / "audit" / "segments.jsonl").write_text(first_line)
    (bank.settings.lake / "decisions.json").write_text(first_head)
    with pytest.raises(StepFailed, match="read 2 decisions about segments and they are not there any more"):
        require_decisions(bank.settings, publications(bank.settings)[-1].summary["decisions"])


def test_a_recall_at_once_does_not_make_a_loss_of_decisions_forgotten(at_once, capfd):
    bank = at_once
    bank.approve_all("full")
    assert bank.cdp("zhao", "hold", "rich", "--role", "compliance", "--reason", "wording") == 0
    night(bank)
    lose_decisions(bank)
    assert bank.cdp("wang", "recall", "later", "--role", "lead", "--reason", "wrong rate", "--now") == 1
    assert "read 3 decisions about segments and they are not there any more" in capfd.readouterr().err
    assert publications(bank.settings)[-1].summary["decisions"]["count"] == 3


# ------------------------------------------------------------------------------------------- dry


@pytest.mark.parametrize("where", ["the segment", "the destination"])
def test_a_dry_audience_is_written_and_verified_and_not_seen(bank, where, caplog):
    caplog.set_level("INFO")
    if where == "the segment":
        bank.write("segments/later.yml", LATER.replace("format:", "deliver: dry, format:"))
    else:
        bank.write("destinations.yml", DESTINATIONS_YML.replace("ceiling: C2", "ceiling: C2, deliver: dry"))
        bank.monkeypatch.setattr("segment_bank.surroundings", steps.read_surroundings)
    publish(bank.lake, D) if where == "the segment" else publish_with(bank)
    assert not (bank.settings.published / "engine" / "later").exists()
    dry = bank.folder / ".cdp" / "dry" / "engine"
    run = dry / "later" / read_latest(dry / "later")["path"]
    assert read_manifest(run)["counts"]["published"] == 2
    assert all(v.failures == () for v in verify(dry))
    assert bank.lake.read_arrow("segments.deliveries").num_rows == 0
    assert bank.lake.read_arrow("segments.recipients").num_rows == 0
    assert "audience later for engine: 2 people, dry, not released" in caplog.text


def publish_with(bank):
    """A night with the destinations as the workspace has them."""
    from segment_bank import staged

    from delivery.night import release

    around = steps.read_surroundings(bank.settings)
    tags = surroundings(bank.settings)
    result = evaluate(
        bank.lake, D, type(tags)(tags.tags, tags.ceilings, dry_destinations=around.dry_destinations)
    )
    release(bank.lake, staged(bank.lake, D, result))


def test_a_dry_audience_takes_no_contact_from_another_and_fills_no_cap(bank):
    bank.write("roles.yml", ROLES)
    bank.write("contact_policy.yml", "purposes: [marketing]\ncaps: [{scope: global, max: 1, days: 7}]\n")
    first = LATER.replace(
        "contact: {channels: [SMS, PUSH]}", "contact: {channels: [SMS, PUSH], priority: 90}"
    )
    bank.write("segments/later.yml", first.replace("format:", "deliver: dry, format:"))
    bank.write("segments/rich.yml", rich("full", approvals=""))
    result = {one.code: one for one in publish(bank.lake, D).audiences}
    assert (result["later"].counts["published"], result["rich"].counts["published"]) == (2, 2)
    assert set(bank.lake.read_arrow("segments.contacts")["code"].to_pylist()) == {"rich"}
    assert bank.lake.read_arrow("segments.contact_losses").num_rows == 0


def test_the_books_of_a_dry_audience_balance_where_contact_policy_drops_its_people(bank):
    bank.write("roles.yml", ROLES)
    bank.write("contact_policy.yml", "purposes: [marketing]\ncaps: [{scope: global, max: 1, days: 7}]\n")
    bank.write("segments/later.yml", LATER.replace("format:", "deliver: dry, format:"))
    bank.write(
        "segments/rich.yml",
        rich("full", approvals="").replace("channels: [SMS, PUSH]", "channels: [SMS, PUSH], priority: 90"),
    )
    result = {one.code: one for one in publish(bank.lake, D).audiences}
    assert result["later"].counts["dropped_by_contact"] == {"LOST_ARBITRATION": 2}
    with open_newest(bank.settings) as desk:
        assert equation_faults(bank.lake, desk) == (2, [])


@pytest.mark.slow
def test_who_withdraws_leaves_what_a_segment_published_before_it_was_dry(bank):
    night(bank)
    bank.write("segments/later.yml", LATER.replace("format:", "deliver: dry, format:"))
    bank.lake.append("trusted.consents", rows_of("trusted.consents", [
        {"source_key": "c1", "purpose": "marketing", "channel": "ALL", "decision": "REFUSE",
         "decided_at": at("2026-11-19"), "valid_from": NEXT}]))  # fmt: skip
    night(bank, NEXT)
    assert people(bank, "later") == {10}
    assert newest(bank, "later")[1]["seq"] == 2


# ------------------------------------------------------------------------------------------- seen before


def test_preview_and_explain_say_what_keeps_a_segment_back(bank):
    bank.approve_all("full")
    night(bank)
    figures = preview(bank.settings, surroundings(bank.settings), "rich")
    (row,) = [row for row in bank.lake.read_arrow("segments.runs").to_pylist() if row["code"] == "rich"]
    assert figures.counts == json.loads(row["counts"]) and figures.notes == []
    assert bank.cdp("zhao", "hold", "rich", "--role", "compliance", "--reason", "wording") == 0
    notes = preview(bank.settings, surroundings(bank.settings), "rich").notes
    assert len(notes) == 1 and "'rich' is on hold by compliance since" in notes[0] and "wording" in notes[0]
    assert explain(bank.settings, surroundings(bank.settings), "rich", 10).notes == notes


@pytest.mark.slow
def test_a_held_segment_takes_no_contact_in_a_preview_either(bank):
    bank.write("contact_policy.yml", "purposes: [marketing]\ncaps: [{scope: global, max: 1, days: 7}]\n")
    bank.write(
        "segments/rich.yml",
        rich("full").replace("channels: [SMS, PUSH]", "channels: [SMS, PUSH], priority: 90"),
    )
    night(bank)
    figures = preview(bank.settings, surroundings(bank.settings), "later")
    assert figures.counts["published"] == 2
