"""The product under test, called by its command line alone, in processes of their own."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ENTRY = Path(__file__).with_name("unchanged_entry.py")


@dataclass(frozen=True)
class Answer:
    """How a command ends: its exit code and what it prints."""

    exit_code: int
    stdout: str
    stderr: str


@dataclass(frozen=True)
class Product:
    """A checkout of the product and the folder that its commands may write to."""

    root: Path
    work: Path

    def run(self, command: str, workspace: Path) -> Answer:
        """Run a command in a workspace's folder; the product's own folder is only read."""
        process = subprocess.run(
            # -P: the product comes from PYTHONPATH alone, not from beside the entry.
            [sys.executable, "-P", str(ENTRY), *shlex.split(command)],
            cwd=workspace,
            env=self._environment(),
            capture_output=True,
            text=True,
            check=False,
        )
        return Answer(process.returncode, process.stdout, process.stderr)

    def must(self, command: str, workspace: Path) -> Answer:
        """Run a command that has to end well; the process ends with its last words where it does not."""
        answer = self.run(command, workspace)
        if answer.exit_code != 0:
            sys.exit(f"`{command}` ends with {answer.exit_code}:\n{answer.stderr[-4000:]}")
        return answer

    def _environment(self) -> dict[str, str]:
        outer = {key: value for key, value in os.environ.items() if not key.startswith("CDP_")}
        return outer | {
            "PYTHONPATH": str(self.root),
            "PYTHONDONTWRITEBYTECODE": "1",
            "COLUMNS": "110",
            "LC_ALL": "C.UTF-8",
        }
