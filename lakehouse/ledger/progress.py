"""What a long command says while it works: on a terminal steps that move, elsewhere one JSON object a line."""

from __future__ import annotations

import json
import logging
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

log = logging.getLogger("cdp")

# Off a terminal a step that works through parts says so this often.
SECONDS_BETWEEN_LINES = 30.0


class _JsonLines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line = {
            "at": self.formatTime(record, "%Y-%m-%dT%H:%M:%S%z"),
            "level": record.levelname.lower(),
            "room": record.name.removeprefix("cdp."),
            "message": record.getMessage(),
        }
        return json.dumps(line, ensure_ascii=False)


class _Plain(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        mark = "" if record.levelno < logging.WARNING else f"{record.levelname.lower()}: "
        return f"{self.formatTime(record, '%H:%M:%S')}  {mark}{record.getMessage()}"


class _Stderr(logging.StreamHandler[TextIO]):
    """Writes to whatever stderr is at that moment; a caller may have exchanged it."""

    @property
    def stream(self) -> TextIO:
        """The stderr of this moment."""
        return sys.stderr

    @stream.setter
    def stream(self, _: TextIO) -> None:
        """Keep following ``sys.stderr``."""


class Warnings(logging.Handler):
    """Keeps the text of every warning that the product logs while it is attached."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a text."""
        self.texts.append(record.getMessage())

    def take(self) -> list[str]:
        """Give the texts since they were taken last, each once, in the order they were logged."""
        texts, self.texts = self.texts, []
        return list(dict.fromkeys(texts))


@contextmanager
def warnings_kept() -> Iterator[Warnings]:
    """Keep what is warned of inside the block."""
    handler = Warnings()
    log.addHandler(handler)
    try:
        yield handler
    finally:
        log.removeHandler(handler)


class _Steps:
    """The steps that run now, the innermost last, and on a terminal their moving lines."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.tasks: list[TaskID] = []
        self.display: Progress | None = None
        self.said_at = 0.0
        self.lock = threading.Lock()

    def begin(self, name: str) -> None:
        self.names.append(name)
        self.said_at = time.monotonic()
        if not sys.stderr.isatty():
            return
        if self.display is None:
            from rich.console import Console
            from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

            self.display = Progress(
                SpinnerColumn(), TextColumn("{task.fields[name]}"), BarColumn(bar_width=20), TimeElapsedColumn(),
                TextColumn("{task.description}"), console=Console(stderr=True), transient=True,
            )  # fmt: skip
            self.display.start()
        self.tasks.append(self.display.add_task("", total=None, name=name))

    def move(self, number: int, total: int, what: str) -> None:
        with self.lock:
            if self.display is not None and self.tasks:
                text = f"{number} of {total}  {what}"
                self.display.update(self.tasks[-1], completed=number, total=total, description=text)
            elif self.names and time.monotonic() - self.said_at >= SECONDS_BETWEEN_LINES:
                self.said_at = time.monotonic()
                log.info("%s: %d of %d, %s", self.names[-1], number, total, what)

    def end(self) -> None:
        self.names.pop()
        if self.display is None:
            return
        self.display.remove_task(self.tasks.pop())
        if not self.tasks:
            self.display.stop()
            self.display = None


_steps = _Steps()


def set_up_logging(*, verbose: bool = False) -> None:
    """Send the product's log to stderr: plain lines on a terminal, one JSON object per line elsewhere."""
    handler = _Stderr()
    handler.setFormatter(_Plain() if sys.stderr.isatty() else _JsonLines())
    log.handlers[:] = [handler]
    log.setLevel(logging.DEBUG if verbose else logging.INFO)
    log.propagate = False


def counts_text(counts: Mapping[str, Any]) -> str:
    """Give counts as words of a line of the log, such as ``12 candidates, 9 members``; zeros and what is nested are left out."""
    parts = [
        f"{count:,} {name.replace('_', ' ')}"
        for name, count in counts.items()
        if isinstance(count, int) and not isinstance(count, bool) and count
    ]
    return ", ".join(parts) or "nothing"


@contextmanager
def step_log(name: str) -> Iterator[dict[str, float]]:
    """Say when a step begins and how long it took; gives a dict that holds ``seconds`` afterwards.

    On a terminal a line moves while it works, with what ``show_progress`` tells.
    """
    clock: dict[str, float] = {}
    began = time.monotonic()
    log.info("%s …", name)
    _steps.begin(name)
    try:
        yield clock
    finally:
        _steps.end()
        clock["seconds"] = round(time.monotonic() - began, 2)
    log.info("%s done in %.1f s", name, clock["seconds"])


def show_progress(number: int, total: int, what: str) -> None:
    """Show how far the innermost step is; outside a step nothing is shown. Threads may call it."""
    _steps.move(number, total, what)


class PartCount:
    """Counts the parts of a step as they end, in whatever thread."""

    def __init__(self, total: int) -> None:
        self.total = total
        self.number = 0
        self._lock = threading.Lock()

    def end(self, what: str) -> None:
        """Count one part as done and show it."""
        with self._lock:
            self.number += 1
            show_progress(self.number, self.total, what)
