"""Approvals of a site's tags: who may give one, for what it counts, and what a night does without. No lake, no Spark."""

from __future__ import annotations

import json

import pytest

from jobs.cli import run
from jobs.workspace.tag_approvals import require_approved_tags
from lakehouse.errors import SettingsInvalid
from lakehouse.settings.settings import load_settings
from tests.tags.catalogue.test_definitions import VISITS

ROLES = """\
roles:
  owner_of_meaning: {users: [wang, both]}
  privacy: {users: [zhao, both, root, branches_head]}
  branches: {users: [branches_head]}
  pilot: {users: [wang], four_eyes: false}
every_tag: [owner_of_meaning, privacy]
"""
BOTH = ("owner_of_meaning", "wang"), ("privacy", "zhao")


class Site:
    """A workspace with two tags of its own, and who sits before the terminal."""

    def __init__(self, make_workspace, monkeypatch, capsys):
        self.make, self.monkeypatch, self.capsys = make_workspace, monkeypatch, capsys
        self.write()
        self.settings = load_settings(self.folder)

    def write(self, *edits, roles=ROLES):
        text = VISITS
        for old, new in edits:
            assert text.count(old) == 1, old
            text = text.replace(old, new)
        self.folder = self.make({"tags/visits.yml": text, "roles.yml": roles})

    def cdp(self, user, *words):
        """Run ``cdp tags …`` as a user; give the exit code and what was said."""
        self.monkeypatch.setattr("jobs.report.reveals.operating_user", lambda: user)
        self.capsys.readouterr()
        code = run(["tags", *words, "--workspace", str(self.folder)])
        printed = self.capsys.readouterr()
        return code, printed.out + printed.err

    def approve(self, user, role, *names):
        return self.cdp(user, "approve", *(names or ("visit_count", "is_frequent")), "--role", role)

    def approve_all(self):
        for role, user in BOTH:
            assert self.approve(user, role)[0] == 0

    def fault(self):
        """The sentence with which a night would end, or None."""
        try:
            require_approved_tags(self.settings)
        except SettingsInvalid as wrong:
            return str(wrong)
        return None

    def lines(self):
        file = self.folder / "audit" / "segments.jsonl"
        return file.read_text().splitlines() if file.exists() else []


@pytest.fixture
def site(make_workspace, monkeypatch, capsys):
    return Site(make_workspace, monkeypatch, capsys)


def test_where_no_approvals_are_asked_for_none_is_missing(site):
    site.write(roles="roles: {pilot: {users: [wang]}}\n")
    assert site.fault() is None


def test_a_computed_tag_without_approvals_is_named_with_file_line_and_what_to_do(site):
    fault = site.fault()
    assert "visits.yml:15" in fault
    assert "the tag 'visit_count' is online and lacks the approval of owner_of_meaning, privacy" in fault
    assert "cdp tags approve visit_count --role ROLE" in fault


def test_what_all_roles_approved_is_computed_and_any_edit_asks_anew(site):
    site.approve("wang", "owner_of_meaning")
    assert "lacks the approval of privacy" in site.fault()
    site.approve("zhao", "privacy")
    assert site.fault() is None
    site.write(("Visits: all", "Visits"), ("version: 1.2.3", "version: 1.2.4"))
    assert "owner_of_meaning: for another definition" in site.fault()
    site.write()
    assert site.fault() is None


def test_a_tag_is_approved_in_review_and_goes_online_by_its_status_alone(site):
    review = [("version: 2.0.0\n    status: online", "version: 2.0.0\n    status: review"),
              ("version: 1.2.3\n    status: online", "version: 1.2.3\n    status: review")]  # fmt: skip
    site.write(*review[:1])
    site.approve_all()
    site.write()
    assert site.fault() is None


def test_a_tag_in_review_stops_nothing(site):
    site.write(("version: 2.0.0\n    status: online", "version: 2.0.0\n    status: review"))
    for role, user in BOTH:
        site.approve(user, role, "visit_count")
    assert site.fault() is None
    _, table = site.cdp("wang", "approvals", "--format", "csv")
    assert "is_frequent,2.0.0,review,branches" in table and '"owner_of_meaning, privacy"' in table


def test_what_is_revoked_counts_no_more(site):
    site.approve_all()
    code, said = site.cdp("zhao", "revoke", "常客", "--role", "privacy", "--note", "too often")
    assert code == 0 and "for is_frequent is revoked (zhao)" in said
    assert "privacy: revoked" in site.fault()
    assert site.cdp("zhao", "revoke", "is_frequent", "--role", "privacy")[0] == 2


@pytest.mark.parametrize(
    ("user", "role", "name", "sentence"),
    [
        ("root", "privacy", "visit_count", "is an author of 'visit_count'"),
        ("branches_head", "privacy", "visit_count", "is an author of 'visit_count'"),
        ("li", "privacy", "visit_count", "the user 'li' is not in the role 'privacy'"),
        ("wang", "privcay", "visit_count", "there is no role 'privcay'; did you mean 'privacy'?"),
        (
            "wang",
            "pilot",
            "visit_count",
            "tags ask only owner_of_meaning, privacy for an approval, not 'pilot'",
        ),
        (
            "wang",
            "owner_of_meaning",
            "age",
            "the tag 'age' is the product's, and this site did not change it",
        ),
        ("wang", "owner_of_meaning", "visit_cuont", "there is no tag 'visit_cuont'"),
    ],
)
def test_who_may_not_approve_records_nothing(site, user, role, name, sentence):
    code, said = site.approve(user, role, name)
    assert code == 2 and sentence in said and said.count("\n") == 1
    assert site.lines() == []


def test_one_user_is_not_two_pairs_of_eyes_and_an_approval_is_given_once(site):
    assert site.approve("both", "owner_of_meaning", "visit_count")[0] == 0
    assert (
        "approved 'visit_count' as owner_of_meaning already"
        in site.approve("both", "privacy", "visit_count")[1]
    )
    assert "has this approval already" in site.approve("wang", "owner_of_meaning", "visit_count")[1]
    assert len(site.lines()) == 1


def test_a_tag_with_a_fault_and_a_draft_are_not_approved(site):
    site.write(("visit_count * :most > 1", "visit_cuont > 1"))
    code, said = site.approve("wang", "owner_of_meaning", "is_frequent")
    assert code == 2 and "unknown tag 'visit_cuont'" in said
    site.write(("version: 2.0.0\n    status: online", "version: 2.0.0\n    status: draft"))
    assert "the tag 'is_frequent' is draft" in site.approve("wang", "owner_of_meaning", "is_frequent")[1]
    assert site.lines() == []


def test_a_line_that_was_changed_by_hand_is_seen(site):
    site.approve_all()
    file = site.folder / "audit" / "segments.jsonl"
    lines = [json.loads(line) for line in site.lines()]
    lines[0]["code"] = "tag:is_frequent"
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    code, said = site.cdp("wang", "approvals")
    assert code == 1 and "is not signed by this workspace's decisions_key" in said


def test_an_approval_records_the_authors_beside_the_approver_and_the_hash(site):
    site.approve("wang", "owner_of_meaning", "visit_count")
    line = json.loads(site.lines()[0])
    assert line["user"] == "wang" and len(line["definition_hash"]) == 64
    assert {"branches", "branches_head"} < set(line["authors"]) and "wang" not in line["authors"]
    _, printed = site.cdp("wang", "approvals", "--format", "json")
    row = next(row for row in map(json.loads, printed.splitlines()) if row["code"] == "visit_count")
    assert row["authors"] == ", ".join(line["authors"])


def test_the_name_of_a_tag_in_the_record_is_that_of_no_segment(site):
    site.approve("wang", "owner_of_meaning", "visit_count")
    assert json.loads(site.lines()[0])["code"] == "tag:visit_count"


def test_tags_are_not_approved_by_files_of_another_system(site):
    site.write(roles="roles: {}\nevery_tag: {external: crm}\n")
    with pytest.raises(SettingsInvalid, match="'external' is for segments"):
        require_approved_tags(site.settings)
