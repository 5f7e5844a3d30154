"""Whatever a person or a disk does to a YAML file of a workspace: it is read, or one sentence says what is wrong."""

from __future__ import annotations

import shutil
import time
import zlib
from pathlib import Path

import pytest
from mutations import mutants

from jobs.cli import run
from lakehouse.errors import CdpError

EXAMPLES = Path(__file__).parents[2] / "examples"
LONGEST_SECONDS = 60


def read_feed_file(file: Path) -> None:
    from ingestion.feeds.feeds import read_feed

    read_feed(file)


def read_segment_file(file: Path) -> None:
    from segments.language.spec import read_segment

    read_segment(file)


def read_tag_file(file: Path) -> None:
    from tags.compile.compilation import compile_tags

    compile_tags(file.parents[1])


SETTINGS = {
    "feeds": (EXAMPLES / "bank", read_feed_file),
    "segments": (EXAMPLES / "bank", read_segment_file),
    "tags": (EXAMPLES / "berka", read_tag_file),
}


def outcomes(folder: Path, kind: str, count: int, files: int) -> dict[str, int]:
    """Read mutants of a workspace's files of one kind; give how many were read and refused."""
    result = {"read": 0, "refused": 0}
    example, read = SETTINGS[kind]
    for source in sorted((example / kind).glob("*.yml"))[:files]:
        target = folder / "workspace" / kind / source.name
        target.parent.mkdir(parents=True, exist_ok=True)
        for at, (what, mutant) in enumerate(
            mutants(source.read_bytes(), zlib.crc32(source.name.encode()), count)
        ):
            target.write_bytes(mutant)
            start = time.monotonic()
            try:
                read(target)
                result["read"] += 1
            except CdpError as wrong:
                assert wrong.exit_code == 2, f"{source.name} mutant {at}: {what}"
                assert "\n" not in str(wrong), f"{source.name} mutant {at}: {what}"
                result["refused"] += 1
            assert time.monotonic() - start < LONGEST_SECONDS, f"{source.name} mutant {at}: {what}"
        target.unlink()
    return result


@pytest.mark.parametrize("kind", SETTINGS)
def test_mutants_of_settings_are_read_or_one_sentence(tmp_path, kind):
    assert outcomes(tmp_path, kind, 5, 3)["refused"] > 3


@pytest.mark.slow
@pytest.mark.parametrize("kind", SETTINGS)
def test_hundreds_of_mutants_of_settings_are_read_or_one_sentence(tmp_path, kind):
    assert outcomes(tmp_path, kind, 100 if kind == "tags" else 20, 40)["refused"] > 50


@pytest.mark.slow
def test_commands_over_mutants_of_settings_end_with_an_exit_code_and_no_traceback(tmp_path, capfd):
    for kind, command in (("feeds", "feeds list"), ("segments", "segments check"), ("tags", "tags list")):
        example, _ = SETTINGS[kind]
        source = sorted((example / kind).glob("*.yml"))[0]
        workspace = tmp_path / kind
        shutil.copytree(example, workspace, ignore=shutil.ignore_patterns("lake", "inbox"))
        for what, mutant in mutants(source.read_bytes(), 3, 15):
            (workspace / kind / source.name).write_bytes(mutant)
            assert run([*command.split(), "--workspace", str(workspace)]) in (0, 1, 2, 3), what
            assert "Traceback" not in capfd.readouterr().err, what
