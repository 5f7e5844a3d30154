"""What the two READMEs name exists: commands, options, make targets, folders, linked files."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path

import click
import pytest

from jobs.cli import COMMANDS, cdp

ROOT = Path(__file__).resolve().parents[2]
READMES = ("README.md", "README.zh-CN.md")
# Folders a run makes or a site brings; everything else a README names must be in the repository.
NOT_COMMITTED = re.compile(r"^examples/\w+/(reports|lake|published)\b")


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text, flags=re.M | re.S)


def typed_commands(text: str) -> list[list[str]]:
    """Give the words of every command line in a bash block."""
    lines = [line for block in blocks(text, "bash") for line in block.splitlines()]
    found = [shlex.split(line, comments=True) for line in lines]
    return [words for words in found if words and words[0] in ("cdp", "make", ".venv/bin/cdp")]


def mentioned_commands(text: str) -> list[list[str]]:
    """Give the words of every command in backticks within the prose."""
    prose = re.sub(r"^```.*?^```", "", text, flags=re.M | re.S)
    return [
        code.split()
        for code in re.findall(r"`([^`\n]+)`", prose)
        if re.match(r"(\.venv/bin/)?cdp |make ", code)
    ]


def problem(words: list[str], *, whole: bool) -> str | None:
    """Say what is wrong with a command line; ``whole`` also asks that its arguments would be accepted."""
    if words[0] == "make":
        targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), flags=re.M)
        wrong = [word for word in words[1:] if "=" not in word and word not in targets]
        return f"no make target '{wrong[0]}'" if wrong else None
    context = click.Context(cdp, info_name="cdp")
    command: click.Command = cdp
    rest = words[1:]
    while isinstance(command, click.Group) and rest and not rest[0].startswith("-"):
        found = command.get_command(context, rest[0])
        if found is None:
            return f"no command '{rest[0]}' in {' '.join(words)}"
        context = click.Context(found, info_name=rest[0], parent=context)
        command, rest = found, rest[1:]
    known = {option for parameter in command.params for option in parameter.opts} | {"--help"}
    unknown = [word for word in rest if word.startswith("--") and word.partition("=")[0] not in known]
    if unknown:
        return f"no option {unknown[0]} in {' '.join(words)}"
    if whole and "--help" not in rest:
        try:
            command.make_context(command.name, list(rest), parent=context.parent)
        except click.UsageError as wrong:
            return f"{' '.join(words)}: {wrong.format_message()}"
    return None


@pytest.mark.parametrize("name", READMES)
def test_every_command_of_a_readme_exists_with_its_options_and_arguments(name):
    text = (ROOT / name).read_text(encoding="utf-8")
    assert len(typed_commands(text)) > 10
    wrong = [problem(words, whole=True) for words in typed_commands(text)]
    wrong += [problem(words, whole=False) for words in mentioned_commands(text)]
    assert [sentence for sentence in wrong if sentence] == []


def test_a_command_an_option_a_target_or_an_argument_that_is_wrong_is_seen():
    assert problem(["cdp", "tagz", "list"], whole=True) == "no command 'tagz' in cdp tagz list"
    assert (
        problem(["cdp", "nightly", "--data", "2026-11-20"], whole=False)
        == "no option --data in cdp nightly --data 2026-11-20"
    )
    assert problem(["cdp", "nightly", "--date", "20261120"], whole=True).endswith("write it as yyyy-mm-dd")
    assert problem(["cdp", "nightly"], whole=True) == "cdp nightly: Missing option '--date'."
    assert problem(["make", "everything"], whole=True) == "no make target 'everything'"


def test_both_readmes_name_the_same_commands():
    english, chinese = (typed_commands((ROOT / name).read_text(encoding="utf-8")) for name in READMES)
    assert english == chinese


def test_every_command_can_be_loaded():
    context = click.Context(cdp, info_name="cdp")
    assert [name for name in COMMANDS if cdp.get_command(context, name) is None] == []


@pytest.mark.parametrize("name", READMES)
def test_the_tree_names_every_top_level_folder_and_no_other(name):
    text = (ROOT / name).read_text(encoding="utf-8")
    tree = next(block for block in blocks(text, "text") if block.startswith("lakehouse/"))
    named = re.findall(r"^(\w+)/ ", tree, flags=re.M)
    listed = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split("\n")
    folders = {path.split("/")[0] for path in listed if "/" in path and not path.startswith(".")}
    assert len(named) == len(set(named)) and set(named) == folders
    assert [folder for folder in named if not (ROOT / folder).is_dir()] == []


@pytest.mark.parametrize("name", READMES)
def test_every_linked_file_and_every_named_path_exists(name):
    text = (ROOT / name).read_text(encoding="utf-8")
    linked = [
        target.partition("#")[0] for target in re.findall(r"\]\(([^)]+)\)", text) if "://" not in target
    ]
    named = re.findall(r"\b((?:examples|benchmarks|docs)/[\w./-]*\w)", text)
    paths = {path for path in [*linked, *named] if path and not NOT_COMMITTED.match(path)}
    assert len(paths) > 6
    assert sorted(path for path in paths if not (ROOT / path).exists()) == []


@pytest.mark.parametrize("name", READMES)
def test_a_readme_names_every_exit_code(name):
    from lakehouse import errors

    kinds = [
        kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.CdpError)
    ]
    codes = {0, errors.NOTHING_TO_DO} | {kind.exit_code for kind in kinds}
    text = (ROOT / name).read_text(encoding="utf-8")
    assert [code for code in sorted(codes) if f"**{code}**" not in text] == []
