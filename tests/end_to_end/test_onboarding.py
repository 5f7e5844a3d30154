"""From nothing to a drafted feed at a terminal: commands, exit codes, what is written and what is not."""

from __future__ import annotations

import os
import subprocess
from datetime import date

import pytest
from ruamel.yaml import YAML

from jobs.cli import run
from jobs.report.schemas import schemas, texts
from jobs.workspace.examine import examine_workspace
from jobs.workspace.make import TEMPLATES
from lakehouse.settings.settings import SettingsFile, load_settings
from lakehouse.settings.yaml_files import load_yaml, plain

MEMBERS = "member_no,name,mobile,amount\n" + "".join(
    f"M{n},人{n},138123456{n:02d},{n}.5\n" for n in range(20)
)
ROOTS = {
    "cdp": "SettingsFile", "feed": "Feed", "identity": "RulesFile", "segment": "SpecFile", "tags": "_File", "contact_policy": "ContactPolicy",
    "consent": "Policy", "destinations": "DestinationsFile", "roles": "RolesFile", "attributes": "AttributesFile", "lookups": "LookupsFile",
    "expectations": "ExpectationsFile", "marts": "MartsFile", "micro_segment": "MicroSetFile",
}  # fmt: skip


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty current folder, no workspace named from outside."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CDP_WORKSPACE", raising=False)
    return tmp_path


def files_below(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


# --- init -----------------------------------------------------------------------------------------------------


def test_init_makes_a_workspace_the_doctor_finds_good(here, capsys):
    assert run(["init", "shop"]) == 0
    assert "cdp feeds draft FILE --write" in capsys.readouterr().out
    shop = here / "shop"
    assert {"cdp.yml", "identity.yml", "consent.yml", "destinations.yml", "feeds/README.md", "inbox/README.md",
            ".cdp-schema/feed.json", ".gitignore", "secrets/identity_key.key"} <= set(files_below(shop))  # fmt: skip
    assert (shop / "secrets" / "identity_key.key").stat().st_mode & 0o777 == 0o600
    found = examine_workspace(shop)
    assert (found.is_good, "without feeds yet" in found.state) == (True, True)


def test_two_workspaces_have_two_keys_and_git_sees_none(here):
    run(["init", "a"]), run(["init", "b"])
    keys = {
        load_settings(here / name).workspace.joinpath("secrets/identity_key.key").read_text() for name in "ab"
    }
    assert len(keys) == 2
    subprocess.run(["git", "init", "-q"], cwd=here / "a", check=True)
    listed = subprocess.run(
        ["git", "status", "--porcelain", "-uall"], cwd=here / "a", capture_output=True, text=True, check=True
    ).stdout
    assert "cdp.yml" in listed and "inbox/README.md" in listed
    assert "secrets" not in listed


def test_the_settings_of_a_new_workspace_name_every_key_with_its_default(here):
    written = plain(load_yaml(TEMPLATES / "workspace" / "cdp.yml"))
    assert set(written) == set(SettingsFile.model_fields)
    assert set(written["spark"]) == set(type(SettingsFile().spark).model_fields)
    assert set(written["components"]) == set(type(SettingsFile().components).model_fields)
    assert SettingsFile.model_validate(written) == SettingsFile()


def test_the_minimal_example_is_a_workspace_without_a_fault(here):
    assert run(["init", "mini", "--example", "minimal"]) == 0
    assert examine_workspace(here / "mini").is_good
    assert run(["segments", "check", "--workspace", "mini"]) == 0
    assert (here / "mini" / "inbox" / "members" / "2026-01-05" / "members.csv").is_file()


@pytest.mark.parametrize(
    ("prepare", "said"),
    [
        (lambda folder: run(["init", str(folder)]), "is a workspace already; nothing was written"),
        (lambda folder: (folder.mkdir(), (folder / "notes.txt").write_text("mine")), "is not empty"),
        (lambda folder: folder.write_text("a file"), "is a file; name a new or empty folder"),
    ],
)
def test_init_touches_nothing_that_is_there(here, capsys, prepare, said):
    prepare(here / "taken")
    before = {path: (here / path).read_bytes() for path in files_below(here)}
    capsys.readouterr()
    assert run(["init", "taken"]) == 2
    assert said in capsys.readouterr().err
    assert {path: (here / path).read_bytes() for path in files_below(here)} == before


def test_init_takes_a_fresh_repository(here):
    (here / "site" / ".git").mkdir(parents=True)
    assert run(["init", "site"]) == 0


# --- feeds draft ----------------------------------------------------------------------------------------------


@pytest.fixture
def shop(here):
    """A new workspace as the current folder, with a delivered file beside it."""
    run(["init", "shop"])
    (here / "members.csv").write_text(MEMBERS, encoding="utf-8")
    os.chdir(here / "shop")
    return here / "shop"


def test_a_drafted_feed_is_taken_by_the_workspace_at_once(shop, capsys):
    assert run(["feeds", "draft", "../members.csv", "--source", "pos", "--write"]) == 0
    said = capsys.readouterr().out
    assert "→ trusted.customers" in said and "identifier: mobile is phone" in said
    assert "mkdir -p 'inbox/members/<yyyy-mm-dd>' && cp ../members.csv" in said
    assert "13812345601" not in said
    text = (shop / "feeds" / "members.yml").read_text(encoding="utf-8")
    assert text.startswith("# yaml-language-server: $schema=../.cdp-schema/feed.json\n")
    assert (shop / "feeds" / "../.cdp-schema/feed.json").is_file()
    assert run(["feeds", "list"]) == 0
    assert "trusted.customers, trusted.identifier_observations" in capsys.readouterr().out
    assert examine_workspace(shop).is_good


def test_without_write_the_feed_goes_to_stdout_and_nothing_is_written(shop, capsys):
    before = files_below(shop)
    assert run(["feeds", "draft", "../members.csv"]) == 0
    printed = capsys.readouterr()
    assert YAML(typ="safe").load(printed.out)["feed"] == "members"
    assert "nothing was written" in printed.err
    assert files_below(shop) == before


def test_a_draft_needs_no_workspace_unless_it_is_to_be_written(here, capsys):
    (here / "members.csv").write_text(MEMBERS, encoding="utf-8")
    assert run(["feeds", "draft", "members.csv"]) == 0
    capsys.readouterr()
    assert run(["feeds", "draft", "members.csv", "--write"]) == 2
    assert "is not a workspace" in capsys.readouterr().err


def test_a_source_whose_people_another_feed_delivers_gets_no_second_profiles(shop, capsys):
    assert run(["feeds", "draft", "../members.csv", "--source", "pos", "--write"]) == 0
    events = "event_id,member_no,event_name,event_time\n" + "".join(
        f"e{n},M{n % 9},view,2026-01-01 10:00:00\n" for n in range(40)
    )
    (shop.parent / "views.csv").write_text(events)
    capsys.readouterr()
    assert run(["feeds", "draft", "../views.csv", "--source", "pos"]) == 0
    tables = [target["table"] for target in YAML(typ="safe").load(capsys.readouterr().out)["targets"]]
    assert tables[0] == "trusted.events" and "trusted.customers" not in tables


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["../none.csv"], 2, "the file does not exist"),
        ([".."], 1, "is a folder; name one file of it"),
        (["../empty.csv"], 1, "is empty; have it delivered again"),
        (["../header.csv"], 1, "holds a header and no record"),
        (["../junk.bin"], 1, "is no text"),
        (["../one.csv"], 1, "has one column only"),
        (["../members.csv", "--feed", "Kunden"], 2, "--feed 'Kunden' is no name"),
        (["../members.csv", "--table", "custmers"], 2, "did you mean 'trusted.customers'?"),
        (["../members.csv", "--dictionary", "../none.csv"], 1, "the dictionary does not exist"),
        (["../members.csv", "--encoding", "utf-99"], 1, "unknown encoding 'utf-99'"),
        (["../members.csv"], 2, "members.yml exists; take another name with --feed"),
    ],
)
def test_what_cannot_be_drafted_is_one_sentence_and_nothing_half_written(shop, capsys, arguments, code, said):
    above = shop.parent
    (above / "empty.csv").write_text("")
    (above / "header.csv").write_text("a,b\n")
    (above / "junk.bin").write_bytes(bytes(range(256)) * 9)
    (above / "one.csv").write_text("name\nAnn\nBob\n")
    if arguments == ["../members.csv"]:
        (shop / "feeds" / "members.yml").write_text("# mine\n")
        (above / "members.csv").write_text(MEMBERS, encoding="utf-8")
    before = {path: (shop / path).read_bytes() for path in files_below(shop)}
    capsys.readouterr()
    assert run(["feeds", "draft", *arguments, "--write"]) == code
    printed = capsys.readouterr()
    assert said in printed.err and "Traceback" not in printed.err
    assert {path: (shop / path).read_bytes() for path in files_below(shop)} == before


# --- JSON Schemas ---------------------------------------------------------------------------------------------


def described():
    """Give every ``Model.field`` of the schemas with its text."""
    found = {}
    for name, schema in schemas().items():
        for owner, body in [(ROOTS[name], schema), *schema["definitions"].items()]:
            for field, shown in body.get("properties", {}).items():
                found[f"{owner}.{field}"] = shown.get("description")
    return found


def test_every_key_of_a_workspace_file_has_a_text_for_editors_and_no_text_is_left_over():
    found = described()
    assert [key for key, text in found.items() if not text] == [], (
        "say what it means in jobs/schema_texts.yml"
    )
    assert sorted(set(texts()) - set(found)) == []


def as_json(tree):
    if isinstance(tree, dict):
        return {str(key): as_json(value) for key, value in tree.items()}
    if isinstance(tree, (list, tuple)):
        return [as_json(value) for value in tree]
    return tree.isoformat() if isinstance(tree, date) else tree


def workspace_files():
    from pathlib import Path

    root = Path(__file__).resolve().parents[2]
    kinds = {"cdp.yml": "cdp", "identity.yml": "identity", "consent.yml": "consent", "destinations.yml": "destinations", "roles.yml": "roles",
             "feeds/*.yml": "feed", "segments/*.yml": "segment", "marts.yml": "marts", "micro_segments/*.yml": "micro_segment", "tags/*.yml": "tags"}  # fmt: skip
    folders = [
        *sorted((root / "examples").glob("*")),
        TEMPLATES / "workspace",
        TEMPLATES / "minimal",
    ]
    return [
        (kind, file)
        for folder in folders
        for pattern, kind in kinds.items()
        for file in sorted(folder.glob(pattern))
    ]


def test_the_files_of_every_example_satisfy_their_schema_and_a_wrong_key_does_not():
    jsonschema = pytest.importorskip("jsonschema")
    known = {name: jsonschema.Draft7Validator(schema) for name, schema in schemas().items()}
    files = workspace_files()
    assert len(files) > 40
    wrong = [
        f"{file.parent.parent.name}/{file.parent.name}/{file.name}: {fault.json_path} {fault.message[:90]}"
        for kind, file in files
        for fault in known[kind].iter_errors(as_json(plain(load_yaml(file))))
    ]
    assert wrong == []
    feed = as_json(plain(load_yaml(next(file for kind, file in files if kind == "feed"))))
    assert known["feed"].is_valid(feed)
    assert not known["feed"].is_valid(feed | {"seperator": ","})
    feed["targets"][0]["columns"] = {"acount_id": "x"}
    assert not known["feed"].is_valid(feed)


def test_schemas_are_printed_and_written(here, capsys):
    assert run(["schema", "feed"]) == 0
    assert '"trusted.customers"' in capsys.readouterr().out
    assert run(["schema"]) == 2
    assert "name a kind (cdp, feed" in capsys.readouterr().err
    assert run(["schema", "--write", "out"]) == 0
    assert files_below(here / "out") == sorted(f"{name}.json" for name in ROOTS)
