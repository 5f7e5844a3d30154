"""A segment is let out by the approvals it asks for, each for what it was given for; every careless or forged one counts for nothing."""

from __future__ import annotations

import datetime as dt
import json
import shutil
import threading

import pytest
from approval_bank import APPROVALS, PARAMETERS, ROLES, RULE, Bank, files_of, rich
from segment_bank import D, catalogue_of, spec

from lakehouse.clock import now
from lakehouse.errors import SettingsInvalid, StepFailed
from segments.approving.deciding import Decider, approve
from segments.approving.decisions import read_log
from segments.approving.standing import basis_of, read_authority
from segments.language.spec import read_segment


@pytest.fixture
def bank(make_workspace, monkeypatch):
    return Bank(make_workspace(files_of()), monkeypatch)


KEY = b"a key that the bank's workflow has"


def lacks(bank, day=D):
    barrier = bank.standing(day).lacking
    return barrier.sentence if barrier else None


def test_all_roles_that_are_named_must_approve(bank, capsys):
    assert "lacks the approval of lead, compliance" in lacks(bank)
    assert bank.approve("wang", "lead") == 0
    assert "lacks the approval of compliance" in lacks(bank)
    assert bank.approve("zhao", "compliance") == 0
    assert lacks(bank) is None
    assert "free: the next night publishes it" in capsys.readouterr().out
    segment = read_segment(bank.folder / "segments" / "rich.yml")
    rows = [
        {
            name: row[name]
            for name in ("user", "role", "action", "code", "version", "definition_hash", "stage")
        }
        for row in bank.log()
    ]
    assert rows == [
        {"user": user, "role": role, "action": "approve", "code": "rich", "version": "1.0.0",
         "definition_hash": segment.definition_hash, "stage": "small"}
        for user, role in (("wang", "lead"), ("zhao", "compliance"))
    ]  # fmt: skip
    assert (bank.folder / "audit" / "segments.jsonl").stat().st_mode & 0o077 == 0


def test_one_of_several_is_enough_where_any_of_says_so(bank):
    bank.write(
        "segments/rich.yml", rich(approvals="approvals: {all_of: [lead], any_of: [compliance, pilot]}\n")
    )
    assert bank.approve("wang", "lead") == 0
    assert "lacks the approval of compliance or pilot" in lacks(bank)
    assert bank.approve("wang", "pilot") == 2, "four eyes: wang is lead already"
    assert bank.approve("zhao", "compliance") == 0
    assert lacks(bank) is None


def test_a_segment_that_asks_nobody_is_free_and_nobody_can_approve_it(bank, capsys):
    bank.write("segments/rich.yml", rich(approvals=""))
    assert bank.standing(D).barrier is None
    assert bank.approve("wang", "lead") == 2
    assert "asks no role for an approval" in capsys.readouterr().err
    assert bank.log() == []


def test_the_site_may_ask_for_approvals_of_every_segment(bank):
    bank.write("segments/rich.yml", rich(approvals=""))
    bank.write("roles.yml", ROLES + "every_segment: {all_of: [compliance]}\n")
    assert "lacks the approval of compliance" in lacks(bank)
    assert bank.approve("zhao", "compliance") == 0
    assert lacks(bank) is None


CHANGES = {
    "the rule": {"rule": RULE.replace("[T2, T3]", "[T1, T2, T3]")},
    "a bound of a parameter": {"parameters": PARAMETERS.replace("max: 500", "max: 900")},
    "whose approvals it asks for": {"approvals": "approvals: {any_of: [lead, compliance]}\n"},
    "where it goes": {"columns": "variant, channel, tier"},
}


@pytest.mark.parametrize("what", CHANGES)
def test_an_approval_for_another_definition_does_not_count(bank, what):
    bank.approve_all()
    bank.write("segments/rich.yml", rich(**CHANGES[what]))
    assert "for another definition" in lacks(bank)


def test_a_percent_that_is_raised_after_the_approval_takes_it_away(bank):
    bank.approve_all()
    bank.write("segments/rich.yml", rich().replace("percent: 50", "percent: 60"))
    assert "for another definition" in lacks(bank)


def test_a_value_within_the_bounds_and_a_text_keep_the_approval(bank):
    bank.approve_all()
    bank.write("segment_parameters.yml", "rich: {floor: 400}\n")
    bank.write("segments/rich.yml", rich().replace("en: Test", "en: Another name"))
    assert lacks(bank) is None


def test_a_list_that_is_edited_after_the_approval_takes_it_away(bank):
    bank.approve_all()
    bank.write("lists/friends@1.csv", "one_id\n10\n1\n2\n3\n")
    assert "for another definition" in lacks(bank)


def test_a_segment_that_is_named_cannot_be_changed_behind_the_approval(bank):
    other = rich(approvals="").replace("code: rich", "code: base")
    bank.write("segments/base.yml", other)
    bank.write("segments/rich.yml", rich(rule=RULE + "exclude: [{not: {segment: base}}]\n"))
    bank.approve_all()
    assert lacks(bank) is None
    bank.write("segments/base.yml", other.replace("[T2, T3]", "[T1, T2, T3]"))
    assert "for another definition" in lacks(bank)


def test_nor_can_a_segment_that_is_named_by_one_that_is_named(bank):
    deep = rich(approvals="").replace("code: rich", "code: deep")
    bank.write("segments/deep.yml", deep)
    bank.write("segments/base.yml", spec("base", "unknown: exclude\nwhere: {segment: deep}"))
    bank.write("segments/rich.yml", rich(rule=RULE + "exclude: [{not: {segment: base}}]\n"))
    bank.approve_all()
    assert lacks(bank) is None
    bank.write("segments/deep.yml", deep.replace("[T2, T3]", "[T1, T2, T3]"))
    assert "for another definition" in lacks(bank)


def test_a_stop_says_who_gave_it_since_when_and_why_if_that_was_said(bank):
    bank.approve_all()
    today = now().astimezone(bank.settings.zone).date()
    assert bank.cdp("zhao", "hold", "rich", "--role", "compliance", "--reason", "the text is wrong") == 0
    assert bank.standing(D).barrier.sentence == (
        f"the segment 'rich' is on hold by compliance since {today}: the text is wrong"
    )
    assert bank.cdp("zhao", "release", "rich", "--role", "compliance") == 0
    assert bank.cdp("wang", "pause", "rich", "--role", "lead") == 0
    assert bank.standing(D).barrier.sentence == f"the segment 'rich' is paused by lead since {today}"


def test_the_state_of_what_was_decided_is_none_before_anything_was_and_moves_with_each_decision(bank):
    states = [read_authority(bank.settings).state]
    assert states == [None]
    bank.sign("a", {"anything": 1}, KEY)
    states.append(read_authority(bank.settings).state)
    bank.approve("wang", "lead")
    states.append(read_authority(bank.settings).state)
    bank.approve("zhao", "compliance")
    states.append(read_authority(bank.settings).state)
    assert None not in states[1:] and len(set(states)) == 4


def test_a_manifest_says_until_when_an_approval_counts(bank):
    until = now().date() + dt.timedelta(days=3)
    assert bank.approve("wang", "lead", "small", "--until", str(until)) == 0
    assert bank.approve("zhao", "compliance") == 0
    entries = {one.by: one.entry()["until"] for one in bank.standing(D).counting}
    assert entries == {"lead": str(until), "compliance": None}


def test_a_higher_stage_needs_approvals_of_its_own_and_a_lower_one_does_not(bank):
    bank.approve_all("whitelist")
    assert "lead: for whitelist only" in lacks(bank)
    bank.approve_all("full")
    assert lacks(bank) is None
    for stage in ("whitelist", "small", "full"):
        bank.write("segments/rich.yml", rich(stage))
        assert lacks(bank) is None, "the stage is no part of the definition"


def test_an_approval_ends_after_its_last_day(bank, capsys):
    until = now().date() + dt.timedelta(days=3)
    assert bank.approve("wang", "lead", "small", "--until", str(until)) == 0
    assert bank.approve("zhao", "compliance") == 0
    assert lacks(bank, until) is None
    assert f"lead: expired on {until}" in lacks(bank, until + dt.timedelta(days=1))
    assert bank.approve("wang", "lead", "full", "--until", "2020-01-01") == 2
    assert "2020-01-01 is over" in capsys.readouterr().err


def test_an_approval_that_was_revoked_does_not_count_and_may_be_given_again(bank, capsys):
    bank.approve_all()
    assert bank.cdp("wang", "revoke", "rich", "--role", "compliance") == 2, "wang is not in the role"
    assert bank.cdp("zhao", "revoke", "rich", "--role", "compliance", "--note", "text changed") == 0
    assert "compliance: revoked" in lacks(bank)
    assert bank.cdp("zhao", "revoke", "rich", "--role", "compliance") == 2
    assert "has no approval of the role 'compliance' to revoke" in capsys.readouterr().err
    assert bank.approve("zhao", "compliance") == 0
    assert lacks(bank) is None


REFUSED = [
    (("wang", "approve", "rich", "--stage", "small", "--role", "boss"), "there is no role 'boss'"),
    (("mallory", "approve", "rich", "--stage", "small", "--role", "lead"), "the user 'mallory' is not in the role 'lead'"),
    (("wang", "approve", "poor", "--stage", "small", "--role", "lead"), "there is no segment 'poor'"),
    (("wang", "approve", "rich", "--stage", "small", "--role", "pilot"), "asks only lead, compliance for an approval, not 'pilot'"),
    (("wang", "approve", "rich", "--stage", "all", "--role", "lead"), "'all' is not one of"),
    (("wang", "hold", "rich", "--role", "lead", "--reason", "x"), "the role 'lead' may approve, pause, recall, not hold"),
    (("wang", "pause", "poor", "--role", "lead"), "there is no segment 'poor'"),
    (("wang", "resume", "rich", "--role", "lead"), "has nothing of the role 'lead' to resume"),
    (("zhao", "hold", "rich", "--role", "compliance"), "Missing option '--reason'"),
    (("author", "approve", "rich", "--stage", "small", "--role", "lead"), "is an author of 'rich'"),
]  # fmt: skip


@pytest.mark.parametrize(("words", "sentence"), REFUSED)
def test_who_may_not_decide_changes_nothing(bank, capsys, words, sentence):
    bank.write("segments/rich.yml", rich().replace("business: retail", "business: author"))
    assert bank.cdp(*words) == 2
    assert sentence in capsys.readouterr().err
    assert bank.log() == []


def test_who_owns_the_file_is_its_author(bank, capsys):
    owner = (bank.folder / "segments" / "rich.yml").owner()
    bank.write("roles.yml", ROLES.replace("wang, both", f"{owner}, wang"))
    assert bank.approve(owner, "lead") == 2
    assert "is an author of 'rich' (owner of the file" in capsys.readouterr().err
    bank.write(
        "roles.yml",
        ROLES.replace("wang, both", f"{owner}, wang").replace("recall]}", "recall], four_eyes: false}", 1),
    )
    assert bank.approve(owner, "lead") == 0


def test_one_person_does_not_approve_for_two_roles(bank, capsys):
    assert bank.approve("both", "lead") == 0
    assert bank.approve("both", "compliance") == 2
    assert "approved 'rich' as lead already, and four eyes are asked for" in capsys.readouterr().err


def test_two_approvals_of_one_person_at_the_same_time_count_as_one(bank):
    """Both commands read that there is no approval yet, and both record theirs."""
    bank.write("roles.yml", ROLES.replace("recall]}", "recall], four_eyes: false}"))
    assert bank.approve("both", "lead") == 0 and bank.approve("both", "compliance") == 0
    assert lacks(bank) is None
    bank.write("roles.yml", ROLES)
    assert "one person cannot approve for two roles" in lacks(bank)
    assert bank.approve("zhao", "compliance") == 0
    assert lacks(bank) is None


def test_four_eyes_hold_between_the_file_and_the_site_too(bank):
    """The roles said otherwise when both approvals were given."""
    bank.write("segments/rich.yml", rich(approvals="approvals: [lead]\n"))
    site = "every_segment: [compliance]\n"
    bank.write("roles.yml", ROLES.replace("recall]}", "recall], four_eyes: false}") + site)
    assert bank.approve("both", "lead") == 0 and bank.approve("both", "compliance") == 0
    assert lacks(bank) is None
    bank.write("roles.yml", ROLES + site)
    assert "one person cannot approve for two roles" in lacks(bank)
    assert bank.approve("wang", "lead") == 0
    assert {one.user for one in bank.standing(D).counting} == {"wang", "both"}


def test_a_faulty_segment_cannot_be_approved(bank, capsys):
    bank.write("segments/rich.yml", rich(rule=RULE.replace("tier", "teir")))
    assert bank.approve("wang", "lead") == 2
    assert "E01" in capsys.readouterr().err and bank.log() == []


def test_the_same_approval_twice_is_told_of(bank, capsys):
    bank.approve_all()
    assert bank.approve("wang", "lead") == 2
    assert "has this approval already" in capsys.readouterr().err
    assert len(bank.log()) == 2


def test_approvals_at_the_same_time_are_all_recorded_in_one_chain(bank):
    catalogue = catalogue_of(bank.settings)
    stages = ["whitelist", "small", "full"] * 4
    days = [dt.date(2099, 1, number + 1) for number in range(len(stages))]

    def decide(stage, day):
        approve(bank.settings, catalogue, "rich", stage, Decider("wang", "lead", now()), until=day)

    bank.settings.secret("decisions_key")
    threads = [threading.Thread(target=decide, args=pair) for pair in zip(stages, days, strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    log = read_log(bank.settings)
    assert [decision.seq for decision in log.decisions] == list(range(1, 13))
    assert {decision.until for decision in log.decisions} == set(days)


# ------------------------------------------------------------------------------------------- the record


def test_a_role_keeps_to_its_branches(bank, capsys):
    bank.write(
        "roles.yml",
        ROLES.replace("users: [zhao, both]", "users: [zhao], branches: [T2]") + "branch_tag: tier\n",
    )
    assert bank.approve("zhao", "compliance") == 2
    assert "does not keep to the branches of the role: tier in T2" in capsys.readouterr().err
    bank.write("segments/rich.yml", rich(rule=RULE.replace("in: [T2, T3]", "eq: T2")))
    assert bank.approve("zhao", "compliance") == 0
    widened = RULE.replace("in: [T2, T3]", "eq: T2") + "include: [{list: friends@1}]\n"
    bank.write("segments/rich.yml", rich(rule=widened))
    assert bank.approve("zhao", "compliance") == 2, "who is included may be of any branch"


DAMAGES = {
    "another user": lambda lines: [
        lines[0].replace('"zhao"', '"wang"').replace('"wang"', '"li"'),
        *lines[1:],
    ],
    "a line taken out": lambda lines: lines[1:],
    "a line taken out of the middle": lambda lines: [lines[0], *lines[2:]],
    "a line twice": lambda lines: [*lines, lines[-1]],
    "half a line": lambda lines: [*lines[:-1], lines[-1][:40]],
    "a line by hand": lambda lines: [*lines, json.dumps({**json.loads(lines[-1]), "seq": 4, "role": "lead"})],
    "no JSON": lambda lines: [*lines, "approved"],
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_record_that_another_hand_changed_is_refused(bank, capsys, damage):
    bank.approve_all()
    assert bank.cdp("zhao", "hold", "rich", "--role", "compliance", "--reason", "wording") == 0
    file = bank.folder / "audit" / "segments.jsonl"
    file.write_text("\n".join(DAMAGES[damage](file.read_text().splitlines())) + "\n")
    with pytest.raises(StepFailed, match="decisions were changed, or copied from another workspace"):
        bank.standing(D)
    capsys.readouterr()
    assert bank.cdp("zhao", "check") == 1
    assert bank.approve("wang", "lead", "full") == 1, "nothing is added to a record that cannot be trusted"


def test_approvals_of_another_workspace_count_for_nothing(bank, make_workspace, monkeypatch):
    bank.approve_all()
    other = Bank(make_workspace(files_of(), name="production"), monkeypatch)
    shutil.copytree(bank.folder / "audit", other.folder / "audit")
    other.settings.secret("decisions_key")
    with pytest.raises(StepFailed, match="is not signed by this workspace's decisions_key"):
        other.standing(D)


def test_a_workspace_that_is_moved_with_its_secrets_keeps_its_approvals(bank, monkeypatch):
    bank.approve_all()
    moved = bank.folder.with_name("moved")
    shutil.copytree(bank.folder, moved)
    assert lacks(Bank(moved, monkeypatch)) is None


def test_a_link_in_place_of_the_record_is_not_followed(bank, tmp_path):
    (bank.folder / "audit").mkdir()
    (tmp_path / "elsewhere").write_text("")
    (bank.folder / "audit" / "segments.jsonl").symlink_to(tmp_path / "elsewhere")
    assert bank.approve("wang", "lead") == 1
    assert (tmp_path / "elsewhere").read_text() == ""


def test_without_a_key_nothing_is_recorded(make_workspace, monkeypatch, capsys):
    bank = Bank(make_workspace(files_of(**{"cdp.yml": "language: en\n"})), monkeypatch)
    assert bank.approve("wang", "lead") == 2
    assert "decisions_key" in capsys.readouterr().err and bank.log() == []


# ------------------------------------------------------------------------------------------- other systems


@pytest.fixture
def external(bank, monkeypatch):
    """The bank, whose segment asks another system; the approval it would write."""
    bank.write("segments/rich.yml", rich(approvals="approvals: {external: workflow}\n"))
    monkeypatch.setenv("CDP_SECRET_APPROVAL_KEY_WORKFLOW", KEY.decode())
    standing = bank.standing(D)
    bank.body = {
        "approval_id": "WF-1", "decision": "approved", "code": "rich", "version": "1.0.0",
        "definition_hash": standing.segment.definition_hash, "basis": standing.basis, "stage": "small",
        "approved_by": "E1001", "approved_at": "2026-11-01T09:00:00+08:00",
    }  # fmt: skip
    return bank


def test_a_signed_file_of_another_system_lets_a_segment_out(external):
    assert "lacks the approval of approvals/workflow" in lacks(external)
    external.sign("one", external.body, KEY)
    assert lacks(external) is None
    (approval,) = external.standing(D).counting
    assert (approval.by, approval.approval_id, approval.user) == ("approvals/workflow", "WF-1", "E1001")


FORGERIES = {
    "another key": lambda bank: bank.sign("one", bank.body, b"a key of somebody else, long enough"),
    "no signature": lambda bank: bank.sign("one", bank.body, None),
    "changed after it was signed": lambda bank: (
        bank.sign("one", {**bank.body, "stage": "whitelist"}, KEY),
        bank.write("approvals/workflow/one.json", json.dumps(bank.body)),
    ),
    "another definition": lambda bank: bank.sign("one", {**bank.body, "definition_hash": "0" * 64}, KEY),
    "another basis": lambda bank: bank.sign("one", {**bank.body, "basis": "0" * 64}, KEY),
    "another segment": lambda bank: bank.sign("one", {**bank.body, "code": "poor"}, KEY),
    "a lower stage": lambda bank: bank.sign("one", {**bank.body, "stage": "whitelist"}, KEY),
    "over": lambda bank: bank.sign("one", {**bank.body, "until": str(D - dt.timedelta(days=1))}, KEY),
    "another system": lambda bank: bank.sign("one", bank.body, KEY, system="other"),
    "a key more": lambda bank: bank.sign("one", {**bank.body, "stages": ["full"]}, KEY),
    "no object": lambda bank: bank.sign("one", "[1]", KEY),
    "no JSON": lambda bank: bank.sign("one", "approved", KEY),
    "too long": lambda bank: bank.sign("one", {**bank.body, "approved_by": "x" * 70_000}, KEY),
    "withdrawn": lambda bank: (
        bank.sign("one", bank.body, KEY), bank.sign("two", {**bank.body, "decision": "withdrawn"}, KEY),
    ),
    "a link": lambda bank: (
        bank.sign("one", bank.body, KEY),
        (bank.folder / "approvals/workflow/one.json").rename(bank.folder / "away"),
        (bank.folder / "approvals/workflow/one.json").symlink_to(bank.folder / "away"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("forgery", FORGERIES)
def test_a_forged_or_unfit_file_of_another_system_counts_for_nothing(external, forgery):
    FORGERIES[forgery](external)
    assert "lacks the approval of approvals/workflow" in lacks(external)


def test_the_wrong_key_at_hand_is_told_of(external, monkeypatch, capsys):
    external.sign("one", external.body, KEY)
    monkeypatch.setenv("CDP_SECRET_APPROVAL_KEY_WORKFLOW", "another key, which is long enough too")
    assert "lacks" in lacks(external)
    assert external.cdp("wang", "check") == 2
    errors = capsys.readouterr().err
    assert "W05 this approval counts for nothing: approval_key_workflow did not sign it" in errors
    assert "E15 the stage small of 'rich' lacks the approval of approvals/workflow" in errors


# ------------------------------------------------------------------------------------------- what is said


def test_check_finds_a_stage_without_its_approvals(bank, capsys):
    assert bank.cdp("wang", "check") == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line == (
        f"{bank.folder}/segments/rich.yml:12: E15 the stage small of 'rich' lacks the approval of lead, compliance; "
        "`cdp segments approve rich --stage small --role ROLE`"
    )
    bank.approve_all()
    assert bank.cdp("wang", "check") == 0


def test_a_role_that_nobody_has_is_named(bank):
    bank.write("segments/rich.yml", rich(approvals="approvals: [lead, complaince]\n"))
    assert lacks(bank) == "'rich' needs the approval of 'complaince', and roles.yml has no such role"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (rich(approvals="approvals: []\n"), "approvals name at least one role"),
        (rich(approvals="approvals: [{rolle: lead}]\n"), "approvals"),
        (
            rich().replace("whitelist: friends@1, ", "").replace("stage: small", "stage: whitelist"),
            "needs a whitelist",
        ),
        (rich().replace(", percent: 50", ""), "the stage small needs a percent"),
        (rich().replace("stage: small, ", ""), "a whitelist needs a stage"),
        (rich().replace("stage: small", "stage: pilot"), "rollout.stage"),
    ],
)
def test_a_roll_out_that_cannot_be_meant_is_refused(bank, text, sentence):
    bank.write("segments/rich.yml", text)
    with pytest.raises(SettingsInvalid) as refused:
        read_segment(bank.folder / "segments" / "rich.yml")
    assert sentence in refused.value.message


def test_a_whitelist_that_is_not_there_is_found(bank, capsys):
    bank.write("segments/rich.yml", rich(approvals="").replace("friends@1", "freinds@1"))
    assert bank.cdp("wang", "check") == 2
    assert "E01 there is no list 'freinds@1'" in capsys.readouterr().err


def test_what_was_decided_is_listed(bank, capsys):
    bank.approve_all("whitelist")
    capsys.readouterr()
    assert bank.cdp("wang", "approvals", "rich", "--format", "json") == 0
    document = json.loads(capsys.readouterr().out)
    assert [(one["by"], one["user"], one["stage"], one["state"]) for one in document["approvals"]] == [
        ("lead", "wang", "whitelist", "for whitelist only"), ("compliance", "zhao", "whitelist", "for whitelist only"),
    ]  # fmt: skip
    assert bank.cdp("wang", "approvals", "--format", "json") == 0
    (row,) = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert (row["code"], row["stage"], row["state"]) == ("rich", "small", "E15")
    assert bank.cdp("wang", "approvals", "rich") == 0
    assert bank.standing(D).basis in capsys.readouterr().out


@pytest.mark.parametrize("request_text", [APPROVALS, ""])
def test_what_another_system_has_to_name_is_there_before_anything_is_approved(bank, capsys, request_text):
    bank.write("segments/rich.yml", rich(approvals=request_text))
    assert bank.cdp("wang", "approvals", "rich", "--format", "json") == 0
    document = json.loads(capsys.readouterr().out)
    segment = read_segment(bank.folder / "segments" / "rich.yml")
    assert document == {
        "code": "rich", "version": "1.0.0", "stage": "small", "definition_hash": segment.definition_hash,
        "basis": basis_of(segment, {"rich": segment}, bank.folder), "state": "E15" if request_text else "free",
        "why": document["why"], "approvals": [],
    }  # fmt: skip
    assert bool(document["why"]) == bool(request_text)
    assert bank.cdp("wang", "approvals", "rich", "--format", "csv") == 0
    rows = dict(line.split(",", 1) for line in capsys.readouterr().out.splitlines())
    assert (rows["definition_hash"], rows["basis"]) == (document["definition_hash"], document["basis"])


HASHES = {
    "": "f8074546e48ad50dd3a9b500ac50f274",
    "rollout: {percent: 33}": "9176b6c1aa9c10d2025f9eebc53b892d",
    "rollout: {percent: 12.5}": "b6a957abcf55c15fea72ea9810f7a44a",
}


@pytest.mark.parametrize("rollout", HASHES)
def test_a_definition_without_stages_has_the_hash_it_had(bank, rollout):
    """So that no version needs to be raised; the literals were taken before there were stages."""
    bank.write("segments/old.yml", spec("old", f"where: {{tag: tier, eq: T1}}\n{rollout}"))
    assert read_segment(bank.folder / "segments" / "old.yml").definition_hash == HASHES[rollout]
