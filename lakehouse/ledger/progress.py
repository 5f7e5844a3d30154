"""What a long command says while it works: a line per step on a terminal, structured lines elsewhere."""

from __future__ import annotations

import json
import logging
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

log = logging.getLogger("cdp")


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


def set_up_logging(*, verbose: bool = False) -> None:
    """Send the product's log to stderr: plain lines on a terminal, one JSON object per line elsewhere."""
    handler = _Stderr()
    handler.setFormatter(_Plain() if sys.stderr.isatty() else _JsonLines())
    log.handlers[:] = [handler]
    log.setLevel(logging.DEBUG if verbose else logging.INFO)
    log.propagate = False


@contextmanager
def step_log(name: str) -> Iterator[dict[str, float]]:
    """Say when a step begins and how long it took; gives a dict that holds ``seconds`` afterwards."""
    clock: dict[str, float] = {}
    began = time.monotonic()
    log.info("%s …", name)
    try:
        yield clock
    finally:
        clock["seconds"] = round(time.monotonic() - began, 2)
    log.info("%s done in %.1f s", name, clock["seconds"])
