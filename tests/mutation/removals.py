"""Takes out one mechanism that holds an attack, in a copy of the tree, and asks its test whether it sees that.

``removals.yml`` has for each row of the table in ``docs/security.md`` at least one mechanism: the lines of the product that hold the
attack, what stands there once they are taken out, and the test that must fail then. Unlike a mutant, which changes any operator, a removal
opens the door on purpose: a test that still passes holds nothing.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import yaml

from tests.mutation.forked_tests import ForkedTests, compile_tree

ROOT = Path(__file__).resolve().parents[2]
REMOVALS = Path(__file__).parent / "removals.yml"
PAGE = ROOT / "docs" / "security.md"
SECONDS = 600
"""What the test of one removal may take."""


@dataclass(frozen=True)
class Removal:
    """One mechanism: the row of the page it belongs to, the text that is exchanged, and the test that must see it."""

    attack: str
    module: str
    before: str
    after: str
    test: str

    @property
    def name(self) -> str:
        """Give a name for the test of this removal."""
        words = re.sub(r"[^a-z0-9]+", " ", self.attack.lower()).split()[:8]
        return f"{'-'.join(words)}-{self.module.rsplit('/', 1)[-1]}"


@cache
def removals() -> tuple[Removal, ...]:
    """Give the removals of ``removals.yml`` in its order."""
    entries = yaml.load(REMOVALS.read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)
    return tuple(Removal(**entry) for entry in entries)


def attacks() -> list[str]:
    """Give the first cells of the page's table of attacks."""
    table = PAGE.read_text(encoding="utf-8").split("## Attack, mechanism, test")[1].split("\n## ")[0]
    rows = [line for line in table.splitlines() if line.startswith("| ")]
    return [line.split(" | ")[0].removeprefix("| ") for line in rows[2:]]


def copied_tree(folder: Path) -> Path:
    """Copy the files that git knows, the new ones too, into ``folder`` and give it."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    for name in filter(None, listed.stdout.split("\0")):
        source, target = ROOT / name, folder / name
        if source.exists() or source.is_symlink():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target, follow_symlinks=False)
    return folder


def forked_tests(tree: Path) -> ForkedTests:
    """Give what runs the tests of ``tree``, a copy whose modules are compiled here."""
    compile_tree(tree)
    hidden = ("PYTEST_XDIST_WORKER", "PYTHONDONTWRITEBYTECODE")
    environment = {name: value for name, value in os.environ.items() if name not in hidden}
    environment["PYTHONPATH"] = str(tree)
    # A Java that runs one test ends before its second compiler gives back the time that it takes, a quarter of all.
    environment.setdefault("SPARK_SUBMIT_OPTS", "-XX:TieredStopAtLevel=1")
    if (ROOT / "jars").is_dir():
        environment.setdefault("CDP_JARS", str(ROOT / "jars"))
    return ForkedTests(tree, environment)


def outcome(removal: Removal, tests: ForkedTests, files: Path) -> tuple[int, str]:
    """Take the mechanism out of the tree, run its test there, put the mechanism back; give exit code and last words.

    The code is pytest's: 1 where a test failed. The words start with ``error`` where no test did but something around it.
    """
    place = tests.tree / removal.module
    whole = place.read_text(encoding="utf-8")
    place.write_text(whole.replace(removal.before, removal.after, 1), encoding="utf-8")
    command = ["-x", "-rfE", "--tb=line", "-n", "0", "--basetemp", str(files), removal.test]
    try:
        code, output, errors = tests.run(command, files, SECONDS)
    finally:
        place.write_text(whole, encoding="utf-8")
    is_error = bool(re.search(r"^ERROR ", output, re.MULTILINE))
    return code, ("error: " if is_error else "") + output[-1500:] + errors[-500:]
