"""Outputs that pages show: which command they are of, in which workspace, and whether they are still true.

A fenced block with a line ``$ cdp …`` stands below ``<!-- output in WORKSPACE -->``; its commands are run in their order, those of
other programs (``$ cp …``) aside, which make the workspace. In it ``…`` stands for any text, and alone on a line for any lines. A YAML block whose first line ends with ``# NAME.yml`` is that file; a block below
``<!-- file PATH -->`` is the file at that path from the workspace, ``../NAME/…`` being another workspace with the same settings.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted([*(ROOT / "docs").glob("*.md"), ROOT / "README.md", ROOT / "README.zh-CN.md"])
# Whoever makes the workspaces of these pages again gets the same masks, numbers and hashes.
KEYS = {
    f"CDP_SECRET_{name}": "a-key-for-the-pages-of-docs-only"
    for name in (
        "IDENTITY_KEY",
        "DESTINATION_KEY_COUNTER",
        "DESTINATION_KEY_MANAGER_DESK",
        "DESTINATION_KEY_MARKETING_ENGINE",
        "DESTINATION_KEY_SERVICE_DESK",
    )
}
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.M | re.S)
_FILE = re.compile(r"<!-- file (\S+) -->\s*\Z")
_MARK = re.compile(r"<!-- output in (\w+) -->\s*\Z")


@dataclass(frozen=True)
class Output:
    """A command that a page shows, the workspace it was typed in (None where the page does not say), and its lines."""

    page: str
    line: int
    workspace: str | None
    command: str
    lines: tuple[str, ...]

    @property
    def words(self) -> list[str]:
        """The command's words without ``cdp``."""
        return shlex.split(self.command)[1:]


def blocks_of(text: str, page: str = "") -> list[list[Output]]:
    """Give the shown outputs of a page, those of one block together."""
    blocks = []
    for block in _FENCE.finditer(text):
        mark = _MARK.search(text[: block.start()])
        place = text.count("\n", 0, block.start()) + 2
        outputs = [
            Output(page, place + at, mark and mark[1], command, tuple(lines))
            for at, command, lines in _commands(block[2].splitlines())
            if command.startswith("cdp ")
        ]
        if outputs:
            blocks.append(outputs)
    return blocks


def _commands(lines: list[str]) -> list[tuple[int, str, list[str]]]:
    """Give each command of a block by the number of its line, with the lines that follow it."""
    commands: list[tuple[int, str, list[str]]] = []
    for at, line in enumerate(lines):
        if line.startswith("$ "):
            commands.append((at, line.removeprefix("$ "), []))
        elif commands:
            commands[-1][2].append(line)
    return commands


def files_of(text: str) -> dict[str, str]:
    """Give the files that a page writes in full, by name."""
    named = (
        (_FILE.search(text[: b.start()]) or re.search(r"# (\w+\.yml)$", b[2].split("\n", 1)[0]), b[2])
        for b in _FENCE.finditer(text)
    )
    return {name[1]: body for name, body in named if name}


def agrees(shown: tuple[str, ...], printed: list[str]) -> bool:
    """Tell whether a printed answer is the shown one, spaces at ends of lines aside."""
    parts = [
        r"(?:[^\n]*\n)*"
        if line.strip() == "…"
        else ".*".join(map(re.escape, line.rstrip().split("…"))) + r"\n"
        for line in shown
    ]
    return re.fullmatch("".join(parts), "".join(f"{line.rstrip()}\n" for line in printed)) is not None
