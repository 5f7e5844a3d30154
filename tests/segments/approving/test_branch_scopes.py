"""Users whose roles name branches are shown the people of these alone; counts stay whole, and a refusal is recorded."""

from __future__ import annotations

import json

import pytest
from approval_bank import Bank
from segment_bank import (
    DESTINATIONS_YML,
    TAGS_YML,
    D,
    rows_of,
    spec,
)

from lakehouse.errors import SettingsInvalid
from lakehouse.ledger.ledger import publish as make_visible
from lakehouse.query.published import open_publication
from segments.approving.branch_scopes import BranchScope, branch_scope
from segments.approving.roles import read_roles

# The bank tells branches by the tier: 1 and 10 are of T3, 3 is of T1, 4 of none.
ROLES = """\
branch_tag: tier
roles:
  head_office: {users: [wang], may: [pause]}
  branch_one: {users: [chen, both, wang], may: [], branches: [T1]}
  branch_three: {users: [zhao, both], branches: [T3]}
"""
EVERYBODY = [1, 3, 4, 10]


class ScopedBank(Bank):
    """The bank after a published night of a segment that contacts 1, 3, 4 and 10."""

    def __init__(self, lake, monkeypatch, capsys):
        super().__init__(lake.settings.workspace, monkeypatch)
        self.lake, self.capsys = lake, capsys
        capsys.readouterr()

    def ask(self, user, *words):
        code = self.cdp(user, *words, "--format", "json")
        printed = self.capsys.readouterr()
        return code, json.loads(printed.out) if printed.out else None, printed.err

    def looked_up(self):
        file = self.folder / "audit" / "lookups.jsonl"
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


@pytest.fixture
def bank(make_night, monkeypatch, capsys):
    files = {
        "cdp.yml": "generate_secrets: true\n",
        "tags/test.yml": TAGS_YML,
        "destinations.yml": DESTINATIONS_YML,
        "roles.yml": ROLES,
        "segments/all.yml": spec("all", "unknown: include\nwhere: {tag: balance, gte: 50}"),
    }
    return ScopedBank(make_night(files), monkeypatch, capsys)


@pytest.mark.parametrize(("user", "people"), [
    ("chen", [3]), ("zhao", [1, 10]), ("both", [1, 3, 10]), ("wang", EVERYBODY), ("stranger", EVERYBODY),
])  # fmt: skip
def test_a_preview_shows_people_of_the_branches_and_counts_all(bank, user, people):
    code, figures, _ = bank.ask(user, "preview", "all")
    assert code == 0 and sorted(row["one_id"] for row in figures["people"]) == people
    assert figures["counts"]["published"] == sum(row["people"] for row in figures["channels"]) == 4
    (entry,) = bank.looked_up()
    assert (entry["user"], sorted(entry["one_ids"]), "refusal" in entry) == (user, people, False)
    note = [note for note in figures["notes"] if "are shown to" in note]
    assert len(note) == (people != EVERYBODY)
    assert bank.ask(user, "preview", "all", "--people", "0")[1]["notes"] == []
    assert len(bank.looked_up()) == 1


def test_the_note_names_branches_and_user(bank):
    (note,) = bank.ask("both", "preview", "all")[1]["notes"]
    assert note == "only people of T1, T3 are shown to both (roles.yml); the counts are of all"


def test_as_many_people_of_the_branches_are_shown_as_are_asked_for(bank):
    _, figures, _ = bank.ask("zhao", "preview", "all", "--people", "2")
    assert sorted(row["one_id"] for row in figures["people"]) == [1, 10], "others take no place among them"


def test_a_difference_shows_movers_of_the_branches_and_counts_all(bank):
    changed = spec("all", "unknown: exclude\nwhere: {tag: balance, gte: 950}", version="1.1.0")
    bank.write("segments/all.yml", changed)
    command = ("diff", "all", "--from", "1.0.0", "--to", "1.1.0")
    for user, people in (("chen", [3]), ("zhao", [1, 10]), ("wang", EVERYBODY)):
        code, change, _ = bank.ask(user, *command)
        assert code == 0 and sorted(row["one_id"] for row in change["people"]) == people
        assert (change["leaving"], sum(row["people"] for row in change["causes"])) == (4, 4)
        assert len(change["notes"]) == (people != EVERYBODY)
    assert [sorted(entry["one_ids"]) for entry in bank.looked_up()] == [[3], [1, 10], EVERYBODY]
    assert bank.ask("chen", *command, "--people", "0")[1]["notes"] == []


@pytest.mark.parametrize(("user", "one_id"), [("chen", 1), ("chen", 4), ("zhao", 3), ("chen", 999)])
def test_a_person_of_another_branch_is_not_explained_and_that_is_recorded(bank, user, one_id):
    branches = {"chen": "T1", "zhao": "T3"}[user]
    assert bank.ask(user, "explain", "all", "--one-id", str(one_id)) == (
        2, None,
        f"cdp: the person is of another branch, and roles.yml lets {user} see people of {branches} only; this is recorded\n",
    )  # fmt: skip
    (entry,) = bank.looked_up()
    assert (entry["user"], entry["command"], entry["one_ids"], entry["refusal"]) == (
        user, "segments explain", [one_id], "branch"
    )  # fmt: skip


@pytest.mark.parametrize(("user", "one_id"), [("chen", 3), ("both", 10), ("wang", 4), ("stranger", 4)])
def test_a_person_of_the_branches_is_explained(bank, user, one_id):
    code, explanation, _ = bank.ask(user, "explain", "all", "--one-id", str(one_id))
    assert code == 0 and explanation["one_id"] == one_id
    assert not any("refusal" in entry for entry in bank.looked_up())


def test_a_merged_person_is_of_the_branch_of_its_successor(bank):
    redirect = {"from_one_id": 77, "to_one_id": 3}
    bank.lake.append("identity.redirects", rows_of("identity.redirects", [redirect]))
    make_visible(bank.lake, D, "merged", {})
    assert bank.ask("chen", "explain", "all", "--one-id", "77")[1]["one_id"] == 3
    assert bank.ask("zhao", "explain", "all", "--one-id", "77")[0] == 2


def test_nothing_is_shown_where_the_refusal_cannot_be_recorded(bank):
    (bank.folder / "audit").mkdir()
    (bank.folder / "audit" / "lookups.jsonl").symlink_to("/dev/null")
    code, document, err = bank.ask("chen", "explain", "all", "--one-id", "1")
    assert (code, document) == (1, None) and "cannot be recorded" in err


def test_a_tag_that_the_publication_does_not_have_shows_nobody(bank):
    bank.write("roles.yml", ROLES.replace("branch_tag: tier\n", ""))
    for words in (("preview", "all"), ("explain", "all", "--one-id", "3")):
        code, document, err = bank.ask("chen", *words)
        assert (code, document) == (2, None)
        assert (
            "roles.yml: the branch_tag 'home_branch' is not in tags.customer_tags of the publication" in err
        )
    assert bank.ask("chen", "preview", "all", "--people", "0")[0] == 0, "nobody is to be shown"
    assert bank.ask("wang", "preview", "all")[0] == 0


def test_a_tag_that_may_only_exclude_is_no_branch(bank):
    bank.lake.append("tags.catalogue", rows_of("tags.catalogue", [
        {"code": "grade", "number": 1, "family": "test", "entity": "customer", "kind": "fact", "status": "online", "version": "1.0.0",
         "value_type": "string", "cardinality": "single", "null_rule": "U", "level": "C2", "purposes": ["risk_only"], "inputs": [],
         "columns_read": [], "read_by": [], "owner_business": "retail", "owner_tech": "data", "is_site": True, "name_zh": "级", "name_en": "grade",
         "definition_zh": "级", "definition_en": "grade"}]))  # fmt: skip
    make_visible(bank.lake, D, "catalogued", {})
    bank.write("roles.yml", ROLES.replace("branch_tag: tier", "branch_tag: grade").replace("[T1]", "[H]"))
    for words in (("preview", "all"), ("explain", "all", "--one-id", "5")):
        code, document, err = bank.ask("chen", *words)
        assert (code, document) == (2, None) and "the branch_tag 'grade' may only exclude" in err
    assert bank.ask("wang", "preview", "all")[0] == 0


def test_a_tag_of_several_branches_counts_each(bank):
    scope = BranchScope("chen", ("CARD", "GOLD"), "interests", bank.folder / "roles.yml")
    with open_publication(bank.settings) as published:
        rows = published.rows(f"{scope.people_sql(published)} ORDER BY one_id")
        assert [one_id for (one_id,) in rows] == [1, 5, 6, 7, 8, 12]
        assert scope.has(published, 7) and not scope.has(published, 3) and not scope.has(published, 2)


def test_a_number_and_a_quote_are_codes_like_others(bank):
    with open_publication(bank.settings) as published:
        for branches, tag, people in ((("10", "x'); --"), "days_left", [2]), (("true",), "is_active", [1])):
            scope = BranchScope("chen", branches, tag, bank.folder / "roles.yml")
            assert [n for n in (1, 2) if scope.has(published, n)] == people


def test_without_roles_everybody_is_shown(bank):
    (bank.folder / "roles.yml").unlink()
    assert branch_scope(bank.folder, "chen") is None
    assert len(bank.ask("chen", "preview", "all")[1]["people"]) == 4


@pytest.mark.parametrize(("roles", "words"), [
    ("roles: {a: {users: [chen], may: []}}", "a role that may decide nothing has branches"),
    ("roles: {a: {users: [chen], branches: ['']}}", "at least 1 character"),
])  # fmt: skip
def test_a_role_for_nothing_and_a_branch_without_a_code_are_refused(bank, roles, words):
    bank.write("roles.yml", roles)
    with pytest.raises(SettingsInvalid, match=words):
        read_roles(bank.folder)


def test_a_role_that_only_sees_may_decide_nothing(bank, capsys):
    assert bank.cdp("chen", "pause", "all", "--role", "branch_one", "--reason", "x") == 2
    assert "the role 'branch_one' may decide nothing, not pause" in capsys.readouterr().err
