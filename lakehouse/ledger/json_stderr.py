"""Stderr as one JSON object a line where it is no terminal, whoever writes: this process, its JVM, a native library.

A second process reads what is written to the file descriptor and passes it on, so the words of a JVM that outlives this
process, or of a library that aborts it, are not lost.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType

from lakehouse.errors import without_values

STDERR = 2
_MARK = b"\x00 all of this process is written"


@contextmanager
def json_stderr() -> Iterator[None]:
    """Let every line on stderr be a JSON object until this process ends; a terminal is left as it is.

    A line that is a JSON object already stays. A bug is one object with its traceback, without the values that its message held.
    """
    before = sys.excepthook
    if os.isatty(STDERR):
        sys.excepthook = _show_bug
        yield
        sys.excepthook = before
        return
    wait_for_passing = _begin()

    def tell_bug(kind: type[BaseException], wrong: BaseException, trace: TracebackType | None) -> None:
        words = {
            "message": f"{kind.__name__}: a bug, see the traceback",
            "traceback": "".join(traceback.format_exception(without_values(wrong))),
        }
        sys.stderr.write(_object("error", words) + "\n")
        wait_for_passing()

    sys.excepthook = tell_bug
    try:
        yield
        sys.excepthook = before
    finally:
        wait_for_passing()


def _show_bug(kind: type[BaseException], wrong: BaseException, trace: TracebackType | None) -> None:
    sys.stderr.write("".join(traceback.format_exception(without_values(wrong))))


def line_as_json(line: str) -> str:
    """Give a line as a JSON object; one that is such an object stays as it is."""
    if line.startswith("{"):
        try:
            if isinstance(json.loads(line), dict):
                return line
        except ValueError:
            pass
    is_error = line.startswith(("cdp: ", "Error: ", "Traceback "))
    level = "error" if is_error else "warning" if "WARN" in line or "Warning" in line else "info"
    return _object(level, {"message": line})


def _object(level: str, words: dict[str, str]) -> str:
    at = time.strftime("%Y-%m-%dT%H:%M:%S%z")
    return json.dumps({"at": at, "level": level, "room": "cdp", **words}, ensure_ascii=False)


def _begin() -> Callable[[], None]:
    """Put a pipe to a second process in the place of stderr; give a function that waits until it has passed all on."""
    sys.stderr.flush()
    lines, pipe = os.pipe()
    news, answer = os.pipe()
    if os.fork() == 0:
        os.close(pipe)
        os.close(news)
        _pass_on(lines, answer)
        os._exit(0)
    os.close(lines)
    os.close(answer)
    os.dup2(pipe, STDERR)
    os.close(pipe)

    def wait_for_passing() -> None:
        sys.stderr.flush()
        try:
            os.write(STDERR, b"\n" + _MARK + b"\n")
        except BrokenPipeError:
            return
        os.read(news, 1)

    return wait_for_passing


def _pass_on(lines: int, answer: int) -> None:
    """Write each line that comes as JSON until nobody can write any more."""
    for name in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(name, signal.SIG_IGN)
    for descriptor in (0, 1):  # whoever reads stdout to its end does not wait for this process
        os.close(descriptor)
    rest = b""
    while part := os.read(lines, 1 << 16):
        *whole, rest = (rest + part).split(b"\n")
        for line in whole:
            if line == _MARK:
                os.write(answer, b"1")
            else:
                _write(line)
    _write(rest)


def _write(line: bytes) -> None:
    text = line.decode("utf-8", "replace").rstrip()
    if not text:
        return
    data = line_as_json(text).encode("utf-8", "replace") + b"\n"
    while data:
        data = data[os.write(STDERR, data) :]
