"""What a changed workspace would move, on one small published night; and that nothing of it is touched meanwhile."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from datetime import date
from hashlib import sha256
from pathlib import Path

import pytest

import tags
from jobs.cli import run
from jobs.planning import lake_clone
from jobs.planning.changes import settings_of_copy
from jobs.planning.lake_clone import plan_folder
from lakehouse.errors import LockHeld
from lakehouse.ledger.lock import hold_lock
from lakehouse.query.published import open_publication
from lakehouse.settings.settings import load_settings
from vocabulary.registry import load_registry

ROOT = Path(__file__).resolve().parents[3]
EXAMPLE = ROOT / "examples" / "telecom"
DAY = "2026-11-01"
COLUMNS = (
    "sub_id,name,mobile,plan,plan_fee,data_gb,voice_min,contract_end,is_5g,device,device_price,device_since,roams,arpu_3m,"
    "topup_30d,complaints_90d,nps,family_lines,broadband,tv,churn_score,segment_code,payment"
)
# key, phone, plan, data, end of the contract
PEOPLE = [
    ("1", "13811110001", "BASIC", "50", "2026-12-01"),
    ("2", "13811110002", "BASIC", "41", "2026-12-01"),
    ("3", "13811110003", "BASIC", "35", "2026-12-01"),
    ("4", "13811110004", "BASIC", "20", "2026-12-01"),
    ("5", "13811110005", "PLUS", "90", "2026-12-01"),
    ("6", "13811110006", "MAX", "95", "2027-12-01"),
]
LOYALTY = """\
feed: loyalty
source: loyalty
description: Members of the loyalty programme.
mode: snapshot
files: {path: "loyalty/{date}/members.csv"}
columns: [member, name, mobile]
targets:
  - {table: trusted.customers, columns: {source_key: member, kind: "'customer'", full_name: name}}
  - table: trusted.identifier_observations
    each: [{source_key: member, namespace: "'phone'", value: mobile, role: "'identity'", verified: true}]
"""


@pytest.fixture(scope="module")
def night(tmp_path_factory):
    """The folder of a workspace with one published night of six subscribers."""
    folder = tmp_path_factory.mktemp("plan") / "own"
    shutil.copytree(EXAMPLE, folder)
    lines = [COLUMNS]
    for key, phone, plan, data, end in PEOPLE:
        values = dict.fromkeys(COLUMNS.split(","), "") | {
            "sub_id": key, "name": f"N{key}", "mobile": phone, "plan": plan, "data_gb": data, "contract_end": end,
            "is_5g": "true", "payment": "POSTPAID",
        }  # fmt: skip
        lines.append(",".join(values.values()))
    # The bank's own tags say nothing of subscribers and take most of a night.
    codes = load_registry(shipped=tags.REGISTRY).entries
    drafts = [f"  - {{code: {code}, status: draft}}" for code in codes]
    (folder / "tags" / "others.yml").write_text(
        "\n".join(["family: others", "tags:", *drafts]) + "\n", encoding="utf-8"
    )
    file = folder / "inbox" / "subscribers" / DAY / "subscribers.csv"
    file.parent.mkdir(parents=True)
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    assert run(["nightly", "--date", DAY, "--workspace", str(folder)]) == 0
    return folder


# A definition that was published changes with a new version alone.
UPGRADE_FROM_30 = {
    "tags/subscriber.yml": (
        'data_gb_total > 40"}\n    owner: marketing\n    version: 1.0.0',
        'data_gb_total > 30"}\n    owner: marketing\n    version: 2.0.0',
    )
}


@pytest.fixture
def other(night, tmp_path):
    """A function that copies the settings of the workspace, replaces texts in files (path → (old, new), or a text), and gives the folder."""

    def make(changes=None, name="new"):
        folder = tmp_path / name
        ignored = shutil.ignore_patterns(
            "lake", "inbox", "published", "reports", "secrets", ".cdp", "audit", "*.py"
        )
        shutil.copytree(night, folder, ignore=ignored)
        for path, change in (changes or {}).items():
            file = folder / path
            file.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(change, str):
                file.write_text(change, encoding="utf-8")
            else:
                text = file.read_text(encoding="utf-8")
                assert change[0] in text
                file.write_text(text.replace(*change), encoding="utf-8")
        return folder

    return make


@pytest.fixture
def plan(night, capsys):
    """A function that runs ``cdp plan`` with words and gives exit code and answer; it sees that nothing has changed."""

    def answer_of(*words):
        before = state(night)
        capsys.readouterr()
        code = run(["plan", *map(str, words), "--workspace", str(night)])
        printed = capsys.readouterr()
        assert state(night) == before
        assert not list((night / "lake" / "_exchange").glob("plan_*"))
        if "--format" in words and printed.out.startswith("{"):
            return code, json.loads(printed.out)
        return code, printed.out or printed.err

    return answer_of


def state(folder):
    """The hash of every file of a workspace but for the record of look-ups."""
    return {
        str(file.relative_to(folder)): sha256(file.read_bytes()).hexdigest()
        for file in sorted(folder.rglob("*"))
        if file.is_file() and file.name != "lookups.jsonl" and not file.name.startswith(".cdp.lock")
    }


JSON = ("--format", "json")
SEGMENT = "segments/upgrade_to_plus.yml"


def test_a_workspace_that_differs_in_nothing_moves_nothing_and_computes_nothing(plan, other):
    code, answer = plan(other(), *JSON)
    assert code == 0 and (answer["files"], answer["computed"], answer["is_moving"]) == ([], [], False)
    assert (answer["people"], answer["tags"], answer["audiences"]) == (None, None, None)
    assert set(answer["night"]["median"]) == {"ingest", "resolve", "build_tags", "publish"}
    assert plan(other(name="again"), "--fail-on-change")[0] == 0


def test_a_comment_in_a_tag_file_is_read_and_builds_no_tag(plan, other):
    code, answer = plan(other({"tags/subscriber.yml": ("family: sub", "# a comment\nfamily: sub")}), *JSON)
    assert code == 0 and answer["files"] == [{"path": "tags/subscriber.yml", "kind": "changed"}]
    assert answer["computed"] == [] and not answer["is_moving"]


def test_a_threshold_of_a_segment_moves_its_people_and_what_its_destination_receives(plan, other):
    wider = other(
        {SEGMENT: ("{tag: is_upgrade_candidate, eq: true}", "{tag: data_gb_total, gte: 35}")}, name="wider"
    )
    code, refused = plan(wider)
    assert code == 2 and "E16" in refused, "the night would refuse it as well"
    text = (wider / SEGMENT).read_text(encoding="utf-8")
    (wider / SEGMENT).write_text(text.replace("version: 1.0.0", "version: 1.1.0"), encoding="utf-8")
    code, answer = plan(wider, *JSON)
    assert (code, answer["computed"]) == (0, ["audiences"])
    (move,) = answer["audiences"]
    assert [move[name] for name in ("before", "after", "enter", "leave")] == [2, 4, 2, 0]
    assert move["versions"] == ["1.0.0", "1.1.0"]
    assert move["causes"] == [{"op": "ENTER", "cause": "rule", "people": 2}]
    assert [row["op"] for row in move["people"]] == ["ENTER", "ENTER"]
    (publication,) = answer["publications"]
    assert publication == {
        "destination": "counter", "audience": "upgrade_to_plus", "before": 2, "after": 4, "enter": 2, "leave": 0, "update": 0,
    }  # fmt: skip
    code, comment = plan(wider, "--format", "markdown", "--fail-on-change")
    assert code == 3
    assert "| `upgrade_to_plus` | `1.0.0` → `1.1.0` | 2 | 4 | 2 | 0 | enter by `rule` 2 |" in comment
    assert "Examples" not in comment and not any(str(row["one_id"]) in comment for row in move["people"])


@pytest.mark.slow
def test_who_is_left_out_by_a_smaller_roll_out_is_said_to_leave_by_it(plan, other, night):
    text = (night / SEGMENT).read_text(encoding="utf-8").replace("version: 1.0.0", "version: 1.1.0")
    narrow = other({SEGMENT: text + "rollout: {percent: 0.01}\n"}, name="narrow")
    code, answer = plan(narrow, *JSON)
    assert code == 0
    (move,) = answer["audiences"]
    assert [move[name] for name in ("before", "after", "enter", "leave")] == [2, 0, 0, 2]
    assert move["causes"] == [{"op": "EXIT", "cause": "rollout", "people": 2}]
    both = text.replace("{tag: is_upgrade_candidate, eq: true}", "{tag: data_gb_total, gte: 500}")
    code, answer = plan(other({SEGMENT: both}, name="none"), *JSON)
    assert answer["audiences"][0]["causes"] == [{"op": "EXIT", "cause": "rule", "people": 2}]


def test_the_people_that_are_shown_are_recorded_and_nobody_else_is_shown(plan, other, night):
    wider = other({SEGMENT: ("{tag: is_upgrade_candidate, eq: true}", "{tag: data_gb_total, gte: 35}")})
    text = (wider / SEGMENT).read_text(encoding="utf-8").replace("version: 1.0.0", "version: 1.1.0")
    (wider / SEGMENT).write_text(text, encoding="utf-8")
    _, answer = plan(wider, "--people", "1", *JSON)
    shown = [row["one_id"] for row in answer["audiences"][0]["people"]]
    entry = json.loads((night / "audit" / "lookups.jsonl").read_text(encoding="utf-8").splitlines()[-1])
    assert (entry["command"], entry["one_ids"]) == ("plan", shown) and len(shown) == 1
    lines = len((night / "audit" / "lookups.jsonl").read_text(encoding="utf-8").splitlines())
    assert plan(wider, "--people", "0", *JSON)[1]["audiences"][0]["people"] == []
    assert len((night / "audit" / "lookups.jsonl").read_text(encoding="utf-8").splitlines()) == lines


@pytest.mark.slow
def test_a_boundary_of_a_tag_moves_people_between_its_values_and_through_it_an_audience(plan, other):
    lower = other(UPGRADE_FROM_30)
    code, answer = plan(lower, *JSON)
    assert (code, answer["computed"]) == (0, ["tags", "audiences"])
    (tag,) = answer["tags"]
    assert [tag[name] for name in ("tag", "before", "after", "moved")] == ["is_upgrade_candidate", 2, 3, 1]
    assert tag["ways"] == [["false", "true", 1]]
    assert tag["people"][0] | {"one_id": 0} == {"one_id": 0, "before": "false", "after": "true"}
    (move,) = answer["audiences"]
    assert [move[name] for name in ("before", "after", "enter", "leave")] == [2, 3, 1, 0]
    text = plan(lower)[1]
    assert "false → true: 1" in text and "(1 enter, 0 leave)" in text


@pytest.mark.slow
def test_a_published_column_that_differs_is_an_update_and_numbers_of_level_c2_are_quartiles_alone(
    plan, other
):
    changes = {
        "tags/subscriber.yml": (
            "domain: [BASIC, PLUS, MAX]}\n    null_rule: U",
            "domain: [basic, plus, max]}\n    null_rule: U",
        ),
    }
    folder = other(changes)
    file = folder / "tags/subscriber.yml"
    text = file.read_text(encoding="utf-8")
    for old, new in (
        (
            "compute: {latest: {from: trusted.customers, of: plan,",
            "compute: {latest: {from: trusted.customers, of: lower(plan),",
        ),
        ("subscriber_plan = 'BASIC'", "subscriber_plan = 'basic'"),
        ("measure: sum, of: data_gb}", "measure: sum, of: data_gb * 2}"),
        ("data_gb_total > 40", "data_gb_total > 80"),
        ("version: 1.0.0", "version: 2.0.0"),
    ):
        assert old in text
        text = text.replace(old, new)
    file.write_text(text, encoding="utf-8")
    code, answer = plan(folder, *JSON)
    assert code == 0, answer
    moves = {tag["tag"]: tag for tag in answer["tags"]}
    assert set(moves) == {"subscriber_plan", "data_gb_total"}
    assert moves["data_gb_total"]["quarters"] == [["35.00", "41.00", "90.00"], ["70.00", "82.00", "180.00"]]
    assert all(set(person) == {"one_id"} for person in moves["data_gb_total"]["people"])
    (publication,) = answer["publications"]
    assert [publication[name] for name in ("enter", "leave", "update")] == [0, 0, 2]


@pytest.mark.slow
def test_other_rules_of_identity_replay_the_night(plan, other):
    folder = other({"identity.yml": "namespaces: {phone: {kind: attribute}}\n"})
    code, answer = plan(folder, *JSON)
    assert (code, answer["computed"]) == (0, ["identity", "tags", "audiences"])
    assert (answer["people"]["people_before"], answer["people"]["moved"]) == (6, 0)
    assert answer["rules"][0] != answer["rules"][1]


@pytest.mark.slow
def test_a_new_source_is_read_from_the_other_inbox_or_what_is_missing_is_said(plan, other):
    folder = other({"feeds/loyalty.yml": LOYALTY})
    code, answer = plan(folder, *JSON)
    assert (code, answer["computed"], answer["sources"]) == (0, [], [])
    assert answer["gaps"] == [
        f"feed loyalty has no file of {DAY} or before: put one at loyalty/{{date}}/members.csv of the inbox to see what it brings"
    ]
    late = folder / "inbox" / "loyalty" / "2026-12-01" / "members.csv"
    late.parent.mkdir(parents=True)
    late.write_text("member,name,mobile\na,A,13811110001\n", encoding="utf-8")
    assert "(1 are of later dates)" in plan(folder, *JSON)[1]["gaps"][0]
    file = folder / "inbox" / "loyalty" / DAY / "members.csv"
    file.parent.mkdir(parents=True)
    file.write_text("member,name,mobile\na,N1,13811110001\nb,B,13822220002\nc,C\n", encoding="utf-8")
    code, answer = plan(folder, *JSON)
    assert (code, answer["computed"]) == (0, ["sources", "identity", "tags", "audiences"])
    assert answer["sources"] == [
        {"feed": "loyalty", "delivered": 3, "accepted": 2, "refused": 1, "duplicates": 0}
    ]
    moves = {tag["tag"]: (tag["before"], tag["after"]) for tag in answer["tags"]}
    assert "data_gb_total" not in moves, "who was there has what they had"
    assert "13822220002" not in json.dumps(answer)


# ------------------------------------------------------------------------- which workspace


@pytest.fixture
def repository(night, tmp_path):
    """A function that runs git in a copy of the workspace, lake included, which has one commit."""
    folder = tmp_path / "repository" / "site"
    shutil.copytree(night, folder)
    (folder.parent / ".gitignore").write_text(
        "lake/\ninbox/\npublished/\nreports/\nsecrets/\naudit/\n.cdp/\n"
    )

    def git(*words):
        words = ("git", "-c", "user.name=n", "-c", "user.email=e@e", *words)
        return subprocess.run(words, cwd=folder, check=True, capture_output=True, text=True).stdout

    git("init", "-q", "-b", "main", "..")
    git("add", "-A", "..")
    git("commit", "-q", "-m", "as published")
    git.folder = folder
    return git


def edit(folder, path, old, new):
    text = (folder / path).read_text(encoding="utf-8")
    assert old in text
    (folder / path).write_text(text.replace(old, new), encoding="utf-8")


def ask(folder, capsys, *words):
    capsys.readouterr()
    code = run(["plan", *words, "--workspace", str(folder)])
    printed = capsys.readouterr()
    return code, json.loads(printed.out) if printed.out.startswith("{") else printed.out or printed.err


@pytest.mark.slow
def test_what_is_not_committed_and_a_branch_are_plans_alike(repository, capsys):
    folder = repository.folder
    code, answer = ask(folder, capsys, *JSON)
    assert (code, answer["files"], answer["is_moving"]) == (0, [], False)
    repository("switch", "-q", "-c", "wider")
    edit(folder, SEGMENT, "{tag: is_upgrade_candidate, eq: true}", "{tag: data_gb_total, gte: 35}")
    edit(folder, SEGMENT, "version: 1.0.0", "version: 1.1.0")
    (folder / "notes.yml").write_text("untracked: true\n", encoding="utf-8")
    code, uncommitted = ask(folder, capsys, *JSON)
    assert code == 0
    assert [change["kind"] for change in uncommitted["files"]] == ["added", "changed"]
    assert [uncommitted["audiences"][0][name] for name in ("before", "after")] == [2, 4]
    (folder / "notes.yml").unlink()
    repository("commit", "-q", "-a", "-m", "wider")
    repository("switch", "-q", "main")
    before = state(folder)
    code, answer = ask(folder, capsys, "--git", "wider", *JSON)
    assert (code, answer["workspace"], answer["audiences"]) == (0, "wider", uncommitted["audiences"])
    assert state(folder) == before, "nothing is checked out"


@pytest.mark.slow
def test_a_change_that_is_in_use_and_not_published_is_told_apart(repository, capsys):
    folder = repository.folder
    edit(folder, SEGMENT, "{tag: is_upgrade_candidate, eq: true}", "{tag: data_gb_total, gte: 35}")
    edit(folder, SEGMENT, "version: 1.0.0", "version: 1.1.0")
    repository("commit", "-q", "-a", "-m", "in use, and no night since")
    code, answer = ask(folder, capsys, *JSON)
    assert (code, answer["files"], answer["computed"]) == (0, [], ["audiences"])
    assert "not published yet: upgrade_to_plus" in answer["notes"][0]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--git", "no-such"), "has no revision 'no-such'"),
        (("--git", "--output=/tmp/x"), "has no revision '--output=/tmp/x'"),
        (("--git", ""), "has no revision ''"),
        (("--git", "main:cdp.yml"), "has no revision 'main:cdp.yml'"),
        (("--git", "empty"), "the revision 'empty' has no workspace in site (no cdp.yml)"),
        (("x", "--git", "main"), "not both"),
    ],
)
def test_a_revision_that_is_none_is_one_sentence(repository, capsys, words, sentence):
    repository("switch", "-q", "--orphan", "empty")
    repository("commit", "-q", "--allow-empty", "-m", "nothing")
    repository("switch", "-q", "main")
    code, answer = ask(repository.folder, capsys, *words)
    assert code == 2 and sentence in answer


def test_a_workspace_without_a_repository_and_the_one_in_use_are_refused(
    night, capsys, monkeypatch, tmp_path
):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(night.parent))
    code, answer = ask(night, capsys)
    assert code == 2 and "lies in no git repository" in answer
    code, answer = ask(night, capsys, str(night / "."))
    assert code == 2 and "is the workspace in use" in answer
    code, answer = ask(night, capsys, str(tmp_path / "nowhere"))
    assert code == 2 and "does not exist" in answer


def test_a_repository_runs_nothing_and_its_links_are_not_followed(repository, capsys, tmp_path):
    folder, mark = repository.folder, tmp_path / "ran"
    script = tmp_path / "evil"
    script.write_text(f"#!/bin/sh\ntouch {mark}\ncat\n")
    script.chmod(0o755)
    for key in ("core.fsmonitor", "core.pager", "filter.evil.smudge", "filter.evil.clean", "diff.external"):
        repository("config", key, str(script))
    (folder.parent / ".gitattributes").write_text("*.yml filter=evil export-subst\n")
    mark.unlink(missing_ok=True)
    assert ask(folder, capsys, "--git", "main", *JSON)[0] == 0
    assert ask(folder, capsys, *JSON)[0] == 0
    assert not mark.exists()
    repository("config", "--unset-all", "filter.evil.clean")
    (folder.parent / ".gitattributes").unlink()
    (folder / "lists").mkdir()
    (folder / "lists" / "friends@1.csv").symlink_to("/etc/hostname")
    repository("add", "lists")
    repository("commit", "-q", "-m", "a link")
    repository("rm", "-q", "-r", "lists")
    code, answer = ask(folder, capsys, "--git", "HEAD")
    assert code == 2 and "lists/friends@1.csv: is a link" in answer


# ------------------------------------------------------------------------- hostile and careless


def test_a_link_that_leads_out_of_another_workspace_is_not_followed(plan, other, tmp_path):
    secret = tmp_path / "elsewhere.csv"
    secret.write_text("one_id\n1\n", encoding="utf-8")
    folder = other()
    (folder / "lists").mkdir()
    (folder / "lists" / "friends@1.csv").symlink_to(secret)
    code, answer = plan(folder)
    assert code == 2 and "friends@1.csv: is a link that leads out of its workspace" in answer
    (folder / "lists" / "friends@1.csv").unlink()
    (folder / "lists").rmdir()
    outside = tmp_path / "outside"
    outside.mkdir()
    (folder / "lists").symlink_to(outside)
    assert "lists: is a link that leads out" in plan(folder)[1]
    (folder / "lists").unlink()
    os.mkfifo(folder / "pipe.yml")
    code, answer = plan(folder)
    assert code == 2 and "is a pipe or a device" in answer


def test_a_model_of_another_workspace_is_code_and_is_not_run(plan, other, tmp_path):
    mark = tmp_path / "ran"
    model = f"{{% do run_query(\"copy (select 1) to '{mark}'\") %}}\nselect one_id from {{{{ source('identity', 'memberships') }}}}\n"
    folder = other({"models/evil.sql": model})
    code, answer = plan(folder)
    assert code == 2 and "models/evil.sql" in answer and "--run-models" in answer
    assert not mark.exists()


@pytest.mark.slow
def test_where_things_lie_is_as_in_the_workspace_in_use(plan, other, night, tmp_path):
    elsewhere = tmp_path / "their lake"
    text = (night / "cdp.yml").read_text(encoding="utf-8")
    own = f"lake: '{elsewhere}'\npublished: '{elsewhere}'\nlock_dir: /\nexport: '{tmp_path}/x.duckdb'\nengine: spark\n"
    folder = other({"cdp.yml": text.replace("generate_secrets: true", "generate_secrets: false") + own})
    settings = load_settings(night)
    tried, _ = settings_of_copy(settings, night, folder, {})
    assert tried == settings.model_copy(update={"workspace": folder, "export": None})
    code, answer = plan(folder, *JSON)
    assert code == 0 and answer["notes"] == [
        "cdp.yml: engine, export, generate_secrets, lake, lock_dir, published as in the workspace in use"
    ]
    assert not elsewhere.exists() and not (tmp_path / "x.duckdb").exists()
    folder = other({"cdp.yml": text.replace("Asia/Shanghai", "Europe/Prague")}, name="zone")
    code, answer = plan(folder)
    assert code == 2 and "another time_zone" in answer


@pytest.mark.slow
def test_a_new_destination_gets_nothing_and_no_key(plan, other, tmp_path):
    """The night would make its key and its folder; a plan does neither, wherever the folder is."""
    target = tmp_path / "engine"
    text = f"destinations:\n  counter: {{description: c, ceiling: C2}}\n  engine: {{description: e, ceiling: C2, root: '{target}'}}\n"
    folder = other(
        {"destinations.yml": text, SEGMENT: ("destinations: [counter]", "destinations: [counter, engine]")}
    )
    edit(folder, SEGMENT, "version: 1.0.0", "version: 1.0.1")
    code, answer = plan(folder, *JSON)
    assert code == 0, answer
    rows = {row["destination"]: (row["before"], row["after"], row["enter"]) for row in answer["publications"]}
    assert rows == {"counter": (2, 2, 0), "engine": (0, 2, 2)} and answer["is_moving"]
    assert not target.exists()


def test_a_broken_workspace_is_one_sentence_that_names_its_own_file(plan, other):
    folder = other({"tags/subscriber.yml": ("null_rule: Z", "nul_rule: Z")})
    code, answer = plan(folder)
    assert code == 2 and f"{folder}/tags/subscriber.yml:" in answer and "unknown key 'nul_rule'" in answer
    assert "_exchange" not in answer
    assert plan(other({SEGMENT: "a: [\n"}, name="unreadable"))[0] == 2
    folder = other({"cdp.yml": "lak: x\n"}, name="settings")
    code, answer = plan(folder)
    assert code == 2 and f"{folder}/cdp.yml:1: unknown key 'lak'" in answer


def test_the_last_segment_that_goes_leaves_nobody_behind(plan, other):
    folder = other()
    (folder / SEGMENT).unlink()
    code, answer = plan(folder, *JSON)
    (move,) = answer["audiences"]
    assert code == 0 and [move[n] for n in ("before", "after", "leave", "versions")] == [
        2,
        0,
        2,
        ["1.0.0", None],
    ]


@pytest.mark.slow
def test_signs_of_a_file_name_are_no_markup_and_no_orders_to_a_terminal(plan, other):
    folder = other({"@all|`x` <img src=x>\x1b[31m.yml": "a: 1\n"})
    comment = plan(folder, "--format", "markdown")[1]
    line = next(line for line in comment.splitlines() if "@all" in line)
    assert line == r"- added: `@all¦'x' <img src=x>\x1b[31m.yml`"
    assert "\x1b" not in plan(folder)[1]


def test_a_lake_without_a_publication_is_one_sentence(make_workspace, capsys, tmp_path):
    own, new = make_workspace(name="a"), make_workspace(name="b")
    code, answer = ask(own, capsys, str(new))
    assert code == 2 and "nothing was published yet" in answer
    assert not (own / "lake").exists()


@pytest.mark.slow
def test_a_night_that_is_writing_is_neither_waited_for_nor_seen(plan, other, night):
    """The lock is held and tables have newer versions, as while a night writes; the plan is of what is published."""
    from lakehouse.tables.lake import open_lake

    wider = other({SEGMENT: ("{tag: is_upgrade_candidate, eq: true}", "{tag: data_gb_total, gte: 35}")})
    edit(wider, SEGMENT, "version: 1.0.0", "version: 1.1.0")
    expected = plan(wider, *JSON)[1]
    settings = load_settings(night)
    from jobs.workspace.check import check_workspace

    lake = open_lake(settings, contracts=check_workspace(settings))
    tables = ("tags.customer_tags", "identity.memberships", "segments.members")
    versions = {table: lake.version(table) for table in tables}
    try:
        with hold_lock(settings.lock_dir, "nightly"):
            for table in tables:
                lake.overwrite(table, lake.read_arrow(table).slice(0, 0))
            assert plan(wider, *JSON)[1] == expected
    finally:
        for table, version in versions.items():
            lake.restore(table, version)


def test_what_a_killed_plan_left_is_gone_with_the_next_one_and_what_a_living_one_has_is_not(
    plan, other, night
):
    """A living one is known by its lock: the number of its process may be that of another one in another container."""
    exchange = night / "lake" / "_exchange"
    gone = [exchange / name for name in ("try_999999999", f"plan_{os.getppid()}", f"plan_{'0' * 16}")]
    for folder in gone:
        folder.mkdir(parents=True)
    with plan_folder(load_settings(night)) as living:
        assert not any(folder.exists() for folder in gone)
        gone[0].mkdir()
        assert run(["plan", str(other()), "--workspace", str(night)]) == 0
        assert living.exists() and not gone[0].exists()
    assert not living.exists()


def test_a_clone_that_another_plan_removed_before_it_was_held_is_made_again(night, monkeypatch):
    first_lock, removed = lake_clone.hold_lock, []

    def late_lock(folder, *words, **names):
        if not removed:
            removed.append(folder)
            shutil.rmtree(folder)
            raise LockHeld("another writer holds this clone")
        return first_lock(folder, *words, **names)

    monkeypatch.setattr(lake_clone, "hold_lock", late_lock)
    with plan_folder(load_settings(night)) as folder:
        assert folder.is_dir() and folder not in removed


@pytest.mark.slow
def test_a_plan_that_is_killed_leaves_everything_but_its_clone_as_it_was(other, night):
    before = state(night)
    lower = other(UPGRADE_FROM_30)
    command = [sys.executable, "-m", "jobs.cli", "plan", str(lower), "--workspace", str(night)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    waiting = threading.Event()
    for _ in range(600):
        if list((night / "lake" / "_exchange").glob("plan_*/**/lake/tags_work")):
            break
        waiting.wait(0.1)
    process.send_signal(signal.SIGKILL)
    process.wait()
    (clone,) = (night / "lake" / "_exchange").glob("plan_*")
    left = {name: digest for name, digest in state(night).items() if f"{clone.name}/" not in name}
    assert left == before
    assert run(["plan", str(lower), "--workspace", str(night)]) == 0
    assert not clone.exists() and state(night) == before


@pytest.mark.slow
def test_two_plans_at_once_answer_each_its_own_and_see_nothing_of_each_other(plan, other, night):
    """Both change the same tag, each by another bound; a third one is killed among them, and the next clears what it left."""
    folders = {}
    for bound in (30, 45):
        old, new = UPGRADE_FROM_30["tags/subscriber.yml"]
        folders[bound] = other(
            {"tags/subscriber.yml": (old, new.replace("> 30", f"> {bound}"))}, f"from_{bound}"
        )
    alone = {bound: plan(folder, *JSON) for bound, folder in folders.items()}
    assert alone[30] != alone[45]
    before, exchange = state(night), night / "lake" / "_exchange"

    def start(folder):
        command = [sys.executable, "-m", "jobs.cli", "plan", str(folder), "--workspace", str(night), *JSON]
        return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)

    def clones():
        return set(exchange.glob("plan_*"))

    waiting = threading.Event()

    def started(folder):
        earlier, process = clones(), start(folder)
        for _ in range(1200):
            if process.poll() is not None or (new := clones() - earlier):
                break
            waiting.wait(0.02)
        return process, new.pop()

    victim, left = started(folders[30])
    processes = {bound: started(folder)[0] for bound, folder in folders.items()}
    were_together = all(process.poll() is None for process in (victim, *processes.values()))
    victim.send_signal(signal.SIGKILL)
    victim.communicate()
    assert were_together
    for bound, process in processes.items():
        output, _ = process.communicate()
        assert (process.returncode, json.loads(output)) == alone[bound], bound
    assert clones() == {left}
    assert {name: digest for name, digest in state(night).items() if f"{left.name}/" not in name} == before
    assert run(["plan", str(folders[45]), "--workspace", str(night)]) == 0
    assert not clones() and state(night) == before


@pytest.mark.slow
def test_a_trial_of_rules_names_the_published_ones(night, capsys, tmp_path):
    rules = tmp_path / "rules.yml"
    rules.write_text("{}\n", encoding="utf-8")
    capsys.readouterr()
    words = ["identity", "try", "--rules", str(rules), "--only-identity", "--workspace", str(night), *JSON]
    assert run(words) == 0
    answer = json.loads(capsys.readouterr().out)
    with open_publication(load_settings(night)) as published:
        assert published.publication.business_date == date.fromisoformat(DAY)
        ((version,),) = published.rows("SELECT rules_version FROM identity.nights")
    assert answer["rules"] == [version, version]
    assert [answer["people"][name] for name in ("people_before", "merges", "moved")] == [6, 0, 0]
