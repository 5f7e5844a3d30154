"""The contract with consumers: one verifier, its kinds of damage, schemas of what is written, and what a major version keeps."""

from __future__ import annotations

import datetime as dt
import hashlib
import hmac
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest

from delivery.contract import verify_audience
from delivery.contract.schemas import audience_schemas
from delivery.contract.verify_audience import KINDS, key_id, verify
from delivery.kit.damages import DAMAGES, newest_run, read_manifest_of, seal
from delivery.kit.kit import REPLAY, write_kit
from delivery.staging import recipient_key
from jobs.cli import run as cdp
from lakehouse.errors import UsageError

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "consume-an-audience.md"
FIRST_VERSION = Path(__file__).parent / "audience_v1"


@pytest.fixture(scope="module")
def kit(tmp_path_factory):
    """The test kit, and what it expects."""
    folder = tmp_path_factory.mktemp("kit") / "kit"
    write_kit(folder)
    return folder, json.loads((folder / "expected.json").read_text(encoding="utf-8"))


def verdict(folder: Path, case: dict, key: bytes) -> list[str]:
    at = dt.datetime.fromisoformat(case["at"])
    verdicts = verify(folder / case["folder"], at=at, keys=lambda _: key, needs_signature=True)
    return [fault.kind for one in verdicts for fault in one.faults]


def kit_key(folder: Path) -> bytes:
    return (folder / "verification.key").read_bytes().strip()


def test_every_case_of_the_kit_gets_its_verdict_and_every_kind_has_a_case(kit):
    folder, expected = kit
    answers = {case["name"]: verdict(folder, case, kit_key(folder)) for case in expected["cases"]}
    wrong = {
        case["name"]: answers[case["name"]]
        for case in expected["cases"]
        if (case["kind"] is None) != (not answers[case["name"]])
        or (case["kind"] is not None and answers[case["name"]][0] != case["kind"])
    }
    assert wrong == {}
    kinds = {case["kind"] for case in expected["cases"]} - {None}
    assert kinds == set(KINDS) and set(expected["kinds"]) == {*KINDS, REPLAY}
    assert len(DAMAGES) >= 30


def test_every_night_of_the_streams_that_may_be_used_is_sound(kit):
    folder, expected = kit
    for stream in expected["streams"]:
        for night in stream["nights"]:
            if night["kind"] in (None, REPLAY):
                assert verdict(folder, night, kit_key(folder)) == [], (stream["name"], night["folder"])


@pytest.mark.slow
def test_the_kit_is_the_same_everywhere_and_never_overwrites(kit, tmp_path, capsys):
    folder, _ = kit
    assert cdp(["segments", "test-kit", str(tmp_path / "again")]) == 0
    assert "begin with" in capsys.readouterr().out

    def contents(root: Path) -> dict[str, bytes]:
        return {str(p.relative_to(root)): p.read_bytes() for p in sorted(root.rglob("*")) if p.is_file()}

    assert contents(tmp_path / "again") == contents(folder)
    assert cdp(["segments", "test-kit", str(tmp_path / "again")]) == 2
    assert "is not an empty folder" in capsys.readouterr().err
    with pytest.raises(UsageError):
        write_kit(tmp_path / "again" / "README.md")


def test_the_command_and_the_file_alone_come_to_the_same_verdicts(kit, tmp_path, capsys):
    folder, expected = kit
    file = Path(shutil.copy(verify_audience.__file__, tmp_path / "verify_audience.py"))
    for case in expected["cases"][::6]:
        options = ["--key-file", str(folder / "verification.key"), "--at", case["at"]]
        code = cdp(["segments", "verify", str(folder / case["folder"]), *options, "--format", "json"])
        rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        alone = subprocess.run(
            [sys.executable, "-I", str(file), str(folder / case["folder"]), *options, "--json"],
            cwd=tmp_path, capture_output=True, text=True, check=False,
        )  # fmt: skip
        own = [json.loads(line) for line in alone.stdout.splitlines()]
        assert alone.returncode == code == (0 if case["is_usable"] else 1), alone.stderr
        assert [(r["kind"], r["failure"]) for r in rows if r["kind"]] == [
            (r["kind"], r["fault"]) for r in own if r["kind"]
        ]


def test_a_reader_that_leaves_early_changes_no_verdict(kit):
    folder, expected = kit
    for is_usable in (True, False):
        case = next(case for case in expected["cases"] if case["is_usable"] is is_usable)
        options = ["--key-file", str(folder / "verification.key"), "--at", case["at"], "--json"]
        command = [sys.executable, "-I", verify_audience.__file__, str(folder / case["folder"]), *options]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            process.stdout.close()
            errors = process.stderr.read()
        assert (process.returncode, errors) == (0 if is_usable else 1, "")


def test_the_file_needs_nothing_of_the_product_and_no_clock():
    text = Path(verify_audience.__file__).read_text(encoding="utf-8")
    modules = set(re.findall(r"^\s*(?:import|from) ([a-z_]+)", text, re.M)) - {"__future__"}
    assert modules - set(sys.stdlib_module_names) == {"pyarrow"}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["."], "no published audience"),
        (["nowhere"], "is no folder"),
        ([".", "--at", "tomorrow"], "is no instant"),
        ([".", "--at", "2026-01-01T00:00:00"], "needs its offset"),
        ([".", "--key-file", "none.key"], "cannot be read"),
        ([".", "--key-file", "short.key"], "shorter than 16 characters"),
    ],
)
def test_what_cannot_be_verified_is_one_sentence_and_exit_code_2(
    arguments, words, tmp_path, capsys, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "short.key").write_text("short")
    with pytest.raises(SystemExit) as end:
        verify_audience.main(arguments)
    assert end.value.code == 2 and words in capsys.readouterr().err


def test_without_a_key_a_forged_audience_is_not_seen_and_that_is_said(kit, capsys):
    folder, expected = kit
    case = next(case for case in expected["cases"] if case["name"] == "a-forged-audience")
    assert verify_audience.main([str(folder / case["folder"])]) == 0
    output = capsys.readouterr()
    assert "good" in output.out and "signatures were not checked" in output.err


# ------------------------------------------------------------------------------------------ attacks


@pytest.fixture
def sound(kit, tmp_path):
    """A function that gives a copy of the sound second night in a format."""
    folder, _ = kit

    def copy(form: str = "json_lines") -> Path:
        return Path(shutil.copytree(folder / "cases" / f"sound-{form}" / "gold", tmp_path / form / "gold"))

    return copy


def kinds(root: Path) -> list[str]:
    return [fault.kind for one in verify(root) for fault in one.faults]


def with_part(root: Path, path: str, body: bytes, rows: int | None = None) -> None:
    manifest = read_manifest_of(root)
    entry = next(entry for entry in manifest["files"] if entry["path"] == path)
    (newest_run(root) / path).write_bytes(body)
    entry |= {"bytes": len(body), "sha256": hashlib.sha256(body).hexdigest()}
    if rows is not None:
        entry["rows"] = rows
    seal(root, manifest)


@pytest.mark.parametrize(
    ("form", "body"),
    [
        ("parquet", b""),
        ("parquet", b"PAR1" + b"\0" * 40 + b"PAR1"),
        ("json_lines", b"[1]\n"),
        ("json_lines", b"\xff\xfe\n"),
        ("json_lines", b"[" * 100_000 + b"\n"),
        ("json_lines", b'{"recipient_key":"a"}\n{"other":"b"}\n'),
        ("csv", b""),
        ("csv", b'recipient_key,variant\r\n"a\r\n'),
        ("csv", b"recipient_key,recipient_key\r\na,b\r\n"),
        ("csv", b"recipient_key\r\na,b\r\n"),
    ],
)  # fmt: skip
def test_a_signed_file_that_cannot_be_read_is_a_fault_and_no_traceback(sound, form, body):
    root = sound(form)
    suffix = {"json_lines": "jsonl"}.get(form, form)
    with_part(root, f"snapshot/part-00000.{suffix}", body)
    assert kinds(root) == ["file_content"]


@pytest.mark.parametrize("op", [b"EXIT", b"exit"])
def test_a_delta_of_which_a_count_is_wrong_is_told_even_without_the_run_before(sound, op):
    """A stranger leaves in the place of who enters, by an op that there is and by one that there is not."""
    root = sound()
    run = newest_run(root)
    path = "delta/part-00000.jsonl"
    lines = (run / path).read_bytes().splitlines(keepends=True)
    enters, exits = (next(line for line in lines if word in line) for word in (b'"ENTER"', b'"EXIT"'))
    for other in root.glob("v=*/as_of=*/run=*"):
        if other != run:
            shutil.rmtree(other)
    stranger = exits.replace(json.loads(exits)["recipient_key"].encode(), b"f" * 32).replace(b"EXIT", op)
    with_part(root, path, b"".join(stranger if line == enters else line for line in lines))
    assert set(kinds(root)) == {"delta"}


def test_a_name_of_another_run_is_no_pattern(sound):
    """A `previous_run_id` with signs of a pattern neither matches other folders nor stops the verifier."""
    for name in ("*", "[", "../*"):
        root = sound()
        manifest = read_manifest_of(root)
        manifest["previous_run_id"] = name
        seal(root, manifest)
        assert kinds(root) == []
        shutil.rmtree(root.parent)


@pytest.mark.parametrize(
    "change",
    [
        {"seq": True}, {"seq": 0}, {"valid_until": "2026-13-40T00:00:00+08:00"}, {"as_of": "2026-01-06\n"}, {"mode": "snapshot"},
        {"files": [{"path": "../../../secret", "rows": 1, "bytes": 1, "sha256": "0" * 64}]}, {"counts": []},
        {"schema": [{"name": "x"}]}, {"version": "one"}, {"previous_run_id": 3},
    ],
)  # fmt: skip
def test_a_signed_manifest_of_another_shape_is_a_fault(sound, change):
    root = sound()
    pointer = json.loads((root / "LATEST.json").read_text())
    seal(root, read_manifest_of(root) | change)
    (root / "LATEST.json").write_text(json.dumps(pointer))
    assert kinds(root)[0] == "manifest_shape"


def test_a_line_separator_inside_a_value_ends_no_line(kit):
    """JSON lines may hold U+2028 and U+0085 as they are; a reader that ends lines there loses a person."""
    folder, expected = kit
    stream = next(s for s in expected["streams"] if s["name"] == "five-nights-json_lines")
    texts = [row["note"] or "" for row in stream["nights"][0]["rows"].values()]
    assert any("\u2028" in text for text in texts) and any("\u0085" in text for text in texts)
    assert kinds(folder / "cases" / "sound-json_lines") == []


# ------------------------------------------------------------------------------------------ schemas


def validator(name: str):
    schema = audience_schemas()[name]
    jsonschema.Draft7Validator.check_schema(schema)
    return jsonschema.Draft7Validator(schema, format_checker=jsonschema.FormatChecker())


def test_what_is_written_fits_the_schemas_and_each_key_has_a_meaning(kit):
    folder, expected = kit
    cases = [case for case in expected["cases"] if case["is_usable"]]
    keys = set()
    for run in (folder / "cases").glob("sound-*/_directory/v=*/as_of=*/run=*"):
        manifest = json.loads((run / "_manifest.json").read_text(encoding="utf-8"))
        validator("manifest").validate(manifest)
        keys |= set(manifest)
    for case in cases:
        root = folder / case["folder"]
        for run in root.glob("v=*/as_of=*/run=*"):
            manifest = json.loads((run / "_manifest.json").read_text(encoding="utf-8"))
            validator("manifest").validate(manifest)
            keys |= set(manifest)
        validator("pointer").validate(json.loads((root / "LATEST.json").read_text()))
    schema = audience_schemas()["manifest"]
    assert keys == set(schema["properties"])
    assert [name for name, part in schema["properties"].items() if "description" not in part] == []


def test_an_op_is_in_the_schema_of_the_delta_and_in_no_other(kit):
    folder, _ = kit
    manifest = read_manifest_of(folder / "cases" / "sound-parquet" / "gold")
    op, *columns = manifest["delta_schema"]
    assert op == {"name": "op", "type": "string", "level": "C1", "allowed": ["ENTER", "EXIT", "UPDATE"]}
    assert columns == manifest["schema"]


@pytest.mark.slow
def test_the_small_validator_of_the_file_judges_as_a_library_does(kit):
    """Over every document of the kit, sound or damaged."""
    folder, _ = kit
    documents = 0
    for file in folder.rglob("_manifest.json"):
        manifest = json.loads(file.read_text(encoding="utf-8"))
        own = verify_audience.shape_fault(manifest, verify_audience.MANIFEST_SCHEMA)
        assert (own is None) == validator("manifest").is_valid(manifest) or own == (
            "valid_until: it is not of the form that is documented"
        )
        documents += 1
    assert documents > 50


RECEIPT = {
    "receipt_id": "1", "run_id": "r", "destination": "kit", "recipient_key": "k", "channel": "SMS", "status": "SENT",
    "event_at": "2026-01-06T09:00:00+08:00",
}  # fmt: skip


@pytest.mark.parametrize(
    ("change", "is_valid"),
    [
        ({}, True), ({"segment": None, "cost": "1.20"}, True), ({"status": "READ"}, False), ({"channel": ""}, False),
        ({"recipient_key": ""}, False), ({"phone": "1"}, False), ({"cost": "1,20"}, False),
    ],
)  # fmt: skip
def test_a_receipt_is_held_to_the_contract_of_its_table(change, is_valid):
    assert validator("receipt").is_valid(RECEIPT | change) is is_valid


# ------------------------------------------------------------------------------------- one major version


def keywords(schema: dict, path: str = "") -> dict[str, object]:
    """Every demand of a schema on documents by where it stands."""
    demands = {
        f"{path}#{word}": schema[word]
        for word in ("type", "const", "enum", "pattern", "format", "minimum")
        if word in schema
    }
    demands[f"{path}#required"] = sorted(schema.get("required", []))
    for name, part in schema.get("properties", {}).items():
        demands |= keywords(part, f"{path}/{name}")
    for word in ("items", "additionalProperties"):
        if isinstance(schema.get(word), dict):
            demands |= keywords(schema[word], f"{path}/{word}")
    return demands


def broken_promises(first: dict, now: dict) -> list[str]:
    """What the schema of now takes from a consumer that was written by the first one."""
    before, after = keywords(first), keywords(now)
    faults = []
    for place, demand in before.items():
        if place.endswith("#required"):
            faults += [f"{place} {name}" for name in demand if name not in after.get(place, [])]
        elif after.get(place) != demand:
            faults.append(place)
    return faults


@pytest.mark.parametrize("name", ["manifest", "pointer", "http_request", "kafka_row", "kafka_mark"])
def test_whatever_the_first_version_promised_is_still_promised(name):
    first = json.loads((FIRST_VERSION / f"{name}.json").read_text(encoding="utf-8"))
    assert broken_promises(first, audience_schemas()[name]) == []


def test_an_answer_that_the_first_version_allowed_is_still_allowed():
    """It is written by consumers: no demand may be added, and none is taken away in silence."""
    first = json.loads((FIRST_VERSION / "http_answer.json").read_text(encoding="utf-8"))
    assert keywords(first) == keywords(audience_schemas()["http_answer"])


@pytest.mark.parametrize("name", ["http_request", "http_answer", "kafka_row", "kafka_mark"])
def test_each_key_that_goes_over_a_wire_has_a_meaning(name):
    schema = audience_schemas()[name]
    jsonschema.Draft7Validator.check_schema(schema)
    parts = [schema]
    while parts:
        part = parts.pop()
        for key, child in part.get("properties", {}).items():
            assert child.get("description"), f"{name}: {key}"
            parts.append(child)
        parts += [part["items"]] if "items" in part else []


def test_a_promise_that_is_taken_back_is_seen():
    first = audience_schemas()["manifest"]
    now = json.loads(json.dumps(first))
    now["required"].remove("seq")
    now["properties"]["seq"]["type"] = "string"
    now["properties"]["counts"]["required"].remove("published")
    assert broken_promises(first, now) == ["#required seq", "/seq#type", "/counts#required published"]
    more = json.loads(json.dumps(first))
    more["properties"]["colour"] = {"type": "string"}
    more["required"].append("colour")
    assert broken_promises(first, more) == []


def test_audiences_that_earlier_code_wrote_are_still_sound():
    """Written, signed and released by the product before the contract had a page of its own."""
    key = (FIRST_VERSION / "verification.key").read_bytes().strip()
    verdicts = verify(FIRST_VERSION / "engine", keys=lambda _: key, needs_signature=True)
    assert len(verdicts) == 9 and [one.failures for one in verdicts if one.faults] == []
    assert all(one.is_signature_checked for one in verdicts if one.published is not None)


# ------------------------------------------------------------------------------------------ the page


def test_the_worked_example_of_the_page_is_what_the_bytes_give():
    text = PAGE.read_text(encoding="utf-8")
    example = re.search(
        r"```text\nverification key\s+(.+)\nmanifest\s+(.+)\nsignature\s+(\w+)\nkey_id\s+(\w+)\n```", text
    )
    key, body = example[1].encode(), (example[2] + "\n").encode()
    assert hmac.digest(key, body, "sha256").hex() == example[3] and key_id(key) == example[4]
    keys = re.search(r"```text\ndestination key\s+(.+)\nOneID\s+(\d+)\nrecipient_key\s+(\w+)\n```", text)
    assert recipient_key(keys[1].encode(), int(keys[2])) == keys[3]


def test_the_page_names_every_kind_of_fault_with_its_meaning():
    rows = dict(re.findall(r"^\| `(\w+)` \| (.+) \|$", PAGE.read_text(encoding="utf-8"), re.M))
    assert {kind: rows.get(kind) for kind in KINDS} == KINDS


@pytest.mark.slow
def test_the_file_alone_runs_where_only_pyarrow_is_installed(kit, tmp_path):
    folder, expected = kit
    environment = tmp_path / "environment"
    subprocess.run([sys.executable, "-m", "venv", environment], check=True, timeout=120)
    python = environment / "bin" / "python"
    pin = subprocess.run(
        [sys.executable, "-c", "import pyarrow; print(f'pyarrow=={pyarrow.__version__}')"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    installed = subprocess.run(
        [python, "-m", "pip", "install", "--quiet", "--retries", "0", "--only-binary", ":all:", pin],
        capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    if installed.returncode:
        pytest.skip(f"no package index answers: {installed.stderr[-200:]}")
    home = tmp_path / "empty"
    home.mkdir()
    shutil.copy(folder / "verify_audience.py", home)
    wrong = {}
    for case in expected["cases"]:
        answer = subprocess.run(
            [python, "-I", home / "verify_audience.py", folder / case["folder"], "--key-file", folder / "verification.key",
             "--at", case["at"], "--json"],
            cwd=home, capture_output=True, text=True, check=False,
        )  # fmt: skip
        kinds_of_case = [json.loads(line)["kind"] for line in answer.stdout.splitlines()]
        if answer.returncode != (0 if case["is_usable"] else 1) or case["kind"] not in kinds_of_case:
            wrong[case["name"]] = (answer.returncode, kinds_of_case, answer.stderr)
    assert wrong == {}
    assert sorted(path.name for path in home.iterdir()) == ["verify_audience.py"]
