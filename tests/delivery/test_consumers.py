"""The reference consumers, in Python and in Node: run as their users run them, on the kit and on nights of a lake."""

from __future__ import annotations

import csv
import json
import runpy
import shutil
import subprocess
import sys
from datetime import datetime
from pathlib import Path

import jsonschema
import pytest

from delivery.contract import verify_audience
from delivery.contract.schemas import audience_schemas, schema_files
from delivery.kit.kit import write_kit

EXAMPLES = Path(__file__).parents[2] / "examples" / "consumers"
NODE = shutil.which("node")
LANGUAGES = [
    "python",
    pytest.param("node", marks=pytest.mark.skipif(NODE is None, reason="Node is not here")),
]


@pytest.fixture(scope="module")
def kit(tmp_path_factory):
    folder = tmp_path_factory.mktemp("kit") / "kit"
    write_kit(folder)
    return folder, json.loads((folder / "expected.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def programs(tmp_path_factory):
    """The consumers in folders of their own, with what their README says to put beside them and nothing else."""
    home = tmp_path_factory.mktemp("consumers")
    shutil.copytree(EXAMPLES / "python", home / "python", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(verify_audience.__file__, home / "python" / "verify_audience.py")
    shutil.copytree(EXAMPLES / "node", home / "node", ignore=shutil.ignore_patterns("node_modules"))
    for name, text in schema_files().items():
        (home / "node" / "schemas").mkdir(exist_ok=True)
        (home / "node" / "schemas" / name).write_text(text, encoding="utf-8")
    return {
        "python": [sys.executable, "-s", home / "python" / "consume.py"],
        "node": [NODE, home / "node" / "consume.mjs"],
    }


@pytest.fixture
def consume(programs, tmp_path):
    """A function that runs a consumer once over a folder and gives its exit code and answer."""

    def run(language, folder, key_file, at, *options):
        words = [
            *programs[language],
            folder,
            "--key-file",
            key_file,
            "--at",
            at,
            "--memory",
            tmp_path / "memory.json",
            *options,
        ]
        answer = subprocess.run(
            list(map(str, words)), capture_output=True, text=True, check=False, cwd=tmp_path
        )
        assert answer.stdout.count("\n") == 1, answer.stderr
        return answer.returncode, json.loads(answer.stdout)

    run.memory = tmp_path / "memory.json"
    return run


def receipts_in(file):
    with file.open(encoding="utf-8", newline="") as text:
        return list(csv.DictReader(text))


def follow_stream(consume, language, folder, stream):
    """Run a consumer over the nights of a stream and hold it to what is expected after each."""
    for night in stream["nights"]:
        place = (stream["name"], night["folder"])
        options = ["--directory", folder / night["directory"]]
        code, answer = consume(
            language, folder / night["folder"], folder / "verification.key", night["at"], *options
        )
        memory = json.loads(consume.memory.read_text(encoding="utf-8"))["gold"]
        assert (code == 0, answer.get("kind")) == (night["is_usable"], night["kind"]), place
        assert memory["rows"] == night["rows"], place
        if night["is_usable"]:
            assert {name: answer[name] for name in ("enter", "exit", "update")} == {
                name: night[name] for name in ("enter", "exit", "update")
            }, place
            assert (answer["addresses"], answer["unresolved"]) == (night["addresses"], []), place


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize(
    "name",
    ["five-nights-json_lines", "five-nights-csv", "two-nights-missed", "a-damaged-night", "a-pointer-turned-back", "an-expired-night"],
)  # fmt: skip
def test_a_consumer_holds_after_each_night_what_the_kit_expects(consume, kit, language, name):
    folder, expected = kit
    follow_stream(consume, language, folder, next(s for s in expected["streams"] if s["name"] == name))


def test_the_streams_of_the_kit_are_all_run(kit):
    _, expected = kit
    names = {stream["name"] for stream in expected["streams"]}
    mark = next(
        m
        for m in test_a_consumer_holds_after_each_night_what_the_kit_expects.pytestmark
        if m.args[0] == "name"
    )
    assert names - set(mark.args[1]) == {"five-nights-parquet"}, "which the tests below run"


def test_the_python_consumer_reads_parquet(consume, kit):
    folder, expected = kit
    follow_stream(consume, "python", folder, next(s for s in expected["streams"] if s["format"] == "parquet"))


@pytest.mark.slow
@pytest.mark.parametrize("language", LANGUAGES)
def test_deltas_are_applied_and_a_gap_loads_the_snapshot(consume, kit, language):
    folder, expected = kit
    outcomes = {}
    for name in ("five-nights-json_lines", "two-nights-missed", "a-damaged-night"):
        stream = next(s for s in expected["streams"] if s["name"] == name)
        consume.memory.unlink(missing_ok=True)
        outcomes[name] = [
            consume(language, folder / night["folder"], folder / "verification.key", night["at"])[1][
                "outcome"
            ]
            for night in stream["nights"]
        ]
    assert outcomes == {
        "five-nights-json_lines": ["snapshot", "delta", "delta", "delta", "delta"],
        "two-nights-missed": ["snapshot", "snapshot", "delta"],
        "a-damaged-night": ["snapshot", "refused", "snapshot", "delta"],
    }


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_same_audience_again_sends_nothing_and_an_unreadable_memory_nothing_twice(
    consume, kit, language, tmp_path
):
    folder, expected = kit
    night = next(s for s in expected["streams"] if s["name"] == "five-nights-json_lines")["nights"][0]
    receipts = tmp_path / "receipts.csv"
    arguments = (folder / night["folder"], folder / "verification.key", night["at"], "--receipts", receipts)
    assert consume(language, *arguments)[1]["outcome"] == "snapshot"
    assert consume(language, *arguments)[1] == {
        "outcome": "nothing new",
        "enter": [],
        "exit": [],
        "update": [],
    }
    rows = receipts_in(receipts)
    assert sorted(row["recipient_key"] for row in rows) == night["enter"]
    schema = jsonschema.Draft7Validator(audience_schemas()["receipt"])
    assert [error.message for row in rows for error in schema.iter_errors(row)] == []
    # The engine stopped between its sends and its memory: the same receipts again, by the same names.
    consume.memory.unlink()
    consume(language, *arguments)
    again = receipts_in(receipts)
    assert len(again) == 2 * len(rows) and {row["receipt_id"] for row in again} == {
        row["receipt_id"] for row in rows
    }


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize(
    ("change", "code", "words"),
    [
        ({"folder": None, "--key-file": None, "--at": None, "--memory": None}, 2, ""),
        ({"--key-file": "absent.key"}, 2, "there is no key file absent.key"),
        ({"--key-file": None}, 2, "--key-file"),
        ({"--memory": None}, 2, "--memory"),
        ({"--at": None}, 2, "--at"),
        ({"--at": "2026-11-21T09:00:00"}, 2, "offset, such as 2026-11-21T09:00:00+08:00"),
        ({"--wrong": "x"}, 2, "--wrong"),
        ({"--memory": "broken.json"}, 1, "the memory broken.json cannot be read"),
    ],
)
def test_a_command_that_cannot_be_meant_is_one_sentence(
    programs, kit, tmp_path, language, change, code, words
):
    folder, expected = kit
    night = expected["streams"][0]["nights"][0]
    (tmp_path / "broken.json").write_text("{", encoding="utf-8")
    options = {"folder": folder / night["folder"], "--key-file": folder / "verification.key", "--at": night["at"], "--memory": "m"}  # fmt: skip
    arguments = {name: value for name, value in (options | change).items() if value is not None}
    words_typed = [
        word for name, value in arguments.items() for word in ([value] if name == "folder" else [name, value])
    ]
    answer = subprocess.run(
        list(map(str, [*programs[language], *words_typed])),
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    assert (answer.returncode, answer.stdout) == (code, ""), answer.stderr
    lines = answer.stderr.splitlines()
    assert words in lines[-1] and "Traceback" not in answer.stderr and "    at " not in answer.stderr
    assert len(lines) == 1 or (language == "python" and lines[0].startswith("usage: "))
    assert not (tmp_path / "m").exists()


@pytest.mark.parametrize("language", LANGUAGES)
def test_parquet_without_its_library_says_what_to_install(programs, kit, tmp_path, language):
    folder, expected = kit
    night = next(s for s in expected["streams"] if s["format"] == "parquet")["nights"][0]
    program = programs[language]
    if language == "python":
        # A module of the name that is not there, as where nothing was installed.
        (tmp_path / "pyarrow.py").write_text("raise ModuleNotFoundError(name='pyarrow')", encoding="utf-8")
    words = [*program, folder / night["folder"], "--key-file", folder / "verification.key", "--at", night["at"], "--memory", "m"]  # fmt: skip
    answer = subprocess.run(
        list(map(str, words)), capture_output=True, text=True, check=False, cwd=tmp_path, env={"PYTHONPATH": str(tmp_path), "PATH": "/usr/bin"}
    )  # fmt: skip
    assert (answer.returncode, answer.stdout) == (1, "")
    assert (
        answer.stderr
        == {
            "python": "pyarrow is missing: Parquet needs `pip install pyarrow`\n",
            "node": "Parquet needs hyparquet and hyparquet-compressors: run `npm ci` beside consume.mjs\n",
        }[language]
    )


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_directory_is_no_audience_and_an_audience_no_directory(consume, kit, language, tmp_path):
    folder, expected = kit
    night = expected["streams"][1]["nights"][0]
    receipts = tmp_path / "receipts.csv"
    for place, options in (("directory", []), ("folder", ["--directory", folder / night["folder"]])):
        options = [*options, "--receipts", receipts]
        code, answer = consume(
            language, folder / night[place], folder / "verification.key", night["at"], *options
        )
        assert (code, answer["kind"]) == (1, "place") and "the folder holds no" in answer["sentence"]
    assert not receipts.exists() and not consume.memory.exists()


def test_both_consumers_name_the_same_contact_by_the_same_receipt(consume, kit, tmp_path):
    if NODE is None:
        pytest.skip("Node is not here")
    folder, expected = kit
    night = expected["streams"][1]["nights"][0]
    texts = {}
    for language in ("python", "node"):
        consume.memory.unlink(missing_ok=True)
        file = tmp_path / f"{language}.csv"
        consume(
            language, folder / night["folder"], folder / "verification.key", night["at"], "--receipts", file
        )
        texts[language] = file.read_bytes()
    assert texts["python"] == texts["node"]


def verdicts_of_node(programs, folder, cases):
    """Give the kind of fault that the kit expects and that the consumer sees, by case; None is sound."""
    answers = {}
    for at in sorted({case["at"] for case in cases}):
        names = [case["name"] for case in cases if case["at"] == at]
        places = [folder / case["folder"] for case in cases if case["at"] == at]
        words = [
            *programs["node"],
            *places,
            "--key-file",
            folder / "verification.key",
            "--at",
            at,
            "--verify",
        ]
        lines = subprocess.run(
            list(map(str, words)), capture_output=True, text=True, check=False
        ).stdout.splitlines()
        answers |= dict(zip(names, [json.loads(line).get("kind") for line in lines], strict=True))
    return {case["name"]: (case["kind"], answers[case["name"]]) for case in cases}


def test_the_node_consumer_comes_to_the_verdict_of_every_case(programs, kit):
    if NODE is None:
        pytest.skip("Node is not here")
    folder, expected = kit
    answers = verdicts_of_node(
        programs, folder, [case for case in expected["cases"] if case["format"] != "parquet"]
    )
    assert {name: pair for name, pair in answers.items() if pair[0] != pair[1]} == {}


def test_the_python_consumer_comes_to_the_verdict_of_every_case(kit, programs, monkeypatch):
    folder, expected = kit
    monkeypatch.syspath_prepend(programs["python"][-1].parent)
    program = runpy.run_path(str(programs["python"][-1]))
    key = (folder / "verification.key").read_bytes().strip()
    kinds = {}
    # A consumer takes a segment's newest run and never an older one by its folder.
    cases = [case for case in expected["cases"] if case["kind"] != "superseded"]
    for case in cases:
        try:
            _, _, state = program["consume"](
                folder / case["folder"], key, {}, datetime.fromisoformat(case["at"])
            )
            kinds[case["name"]] = None
            assert len(state["rows"]) == case["recipients"]
        except program["Refusal"] as wrong:
            kinds[case["name"]] = wrong.kind
    assert kinds == {case["name"]: case["kind"] for case in cases}


def test_a_run_that_is_replaced_while_it_is_read_is_read_again(kit, programs, tmp_path, monkeypatch):
    folder, expected = kit
    nights = next(s for s in expected["streams"] if s["name"] == "five-nights-json_lines")["nights"]
    root = Path(shutil.copytree(folder / nights[0]["folder"], tmp_path / "gold"))
    monkeypatch.syspath_prepend(programs["python"][-1].parent)
    program = runpy.run_path(str(programs["python"][-1]))
    contract = program["contract"]
    verify_run = contract.verify_run

    def verify_while_the_platform_publishes(*arguments, **options):
        verdict = verify_run(*arguments, **options)
        shutil.copytree(folder / nights[1]["folder"], root, dirs_exist_ok=True)
        return verdict

    monkeypatch.setattr(contract, "verify_run", verify_while_the_platform_publishes)
    key = (folder / "verification.key").read_bytes().strip()
    at = datetime.fromisoformat(nights[0]["at"])
    _, _, state = program["consume"](root, key, {}, at)
    assert (state["seq"], state["rows"]) == (2, nights[1]["rows"])


def test_the_lock_of_the_node_consumer_names_no_host_and_pins_every_hash():
    lock = json.loads((EXAMPLES / "node" / "package-lock.json").read_text(encoding="utf-8"))
    packages = [part for name, part in lock["packages"].items() if name]
    assert packages and all(
        part["integrity"].startswith("sha512-") and part["license"] == "MIT" for part in packages
    )
    assert "://" not in json.dumps(lock)


@pytest.mark.slow
def test_the_node_consumer_reads_parquet_with_its_library(consume, kit, programs):
    if NODE is None or shutil.which("npm") is None:
        pytest.skip("Node or npm is not here")
    home = programs["node"][1].parent
    installed = subprocess.run(
        ["npm", "ci", "--no-audit", "--no-fund", "--fetch-retries=0"],
        cwd=home,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    if installed.returncode:
        pytest.skip(f"the registry of npm does not answer: {installed.stderr[-200:]}")
    folder, expected = kit
    follow_stream(consume, "node", folder, next(s for s in expected["streams"] if s["format"] == "parquet"))
    answers = verdicts_of_node(
        programs, folder, [case for case in expected["cases"] if case["format"] == "parquet"]
    )
    assert len(answers) >= 2 and {name: pair for name, pair in answers.items() if pair[0] != pair[1]} == {}
