"""The HTTP endpoint of a consumer in a process of its own, for tests of what is sent there."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SERVER = Path(__file__).resolve().parent / "delivery" / "endpoint_server.py"


class Consumer:
    """The server process as a test sees it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.process = None
        self.port = 0

    def start(self, *certificate: str) -> None:
        (self.folder / "port").unlink(missing_ok=True)
        self.process = subprocess.Popen([sys.executable, str(SERVER), str(self.folder), *certificate])
        until = time.monotonic() + 20
        while not (self.folder / "port").exists() and time.monotonic() < until:
            time.sleep(0.02)
        self.port = int((self.folder / "port").read_text())

    def stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def will(self, *behaviours: str) -> None:
        (self.folder / "behaviours").write_text(json.dumps(behaviours))

    @property
    def requests(self) -> list[dict]:
        file = self.folder / "log"
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []

    @property
    def answers(self) -> list[dict]:
        """Status and body of each answer, in the order in which they were begun."""
        file = self.folder / "answers"
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []

    def holds(self, segment: str = "rich") -> dict:
        file = self.folder / "state"
        return json.loads(file.read_text()).get(segment, {}) if file.exists() else {}


@contextmanager
def running_consumer(folder: Path) -> Iterator[Consumer]:
    """A consumer whose files lie in a new folder, and that runs until the end."""
    folder.mkdir()
    one = Consumer(folder)
    one.start()
    yield one
    one.stop()
