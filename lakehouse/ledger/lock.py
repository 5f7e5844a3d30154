"""One writer at a time: an operating-system lock on a file that says who holds it.

The operating system frees the lock when the process dies, even by ``kill -9``; the JVM child lives a moment longer
and may still be writing, so the next holder waits until that JVM is gone too.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from lakehouse.clock import now
from lakehouse.errors import LockHeld

FILE_NAME = ".cdp.lock"
JVM_PATIENCE_SECONDS = 60


@contextmanager
def hold_lock(
    folder: Path, purpose: str, *, what: str = "this lake"
) -> Iterator[Callable[[int | None], None]]:
    """Hold the writer's lock of ``folder``; gives a function that notes the JVM's process id.

    ``what`` is the thing that one process at a time writes to. A lock held by another process raises ``LockHeld``, which names that process, its purpose and its start.
    """
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / FILE_NAME
    handle = os.open(file, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = _read(handle)
            raise LockHeld(
                f"another writer holds {what}: {holder.get('purpose', 'unknown')}, process {holder.get('pid', '?')}, "
                f"since {holder.get('since', '?')}, JVM {holder.get('jvm_pid') or 'none yet'}; "
                "wait for it to end or stop it, then run again",
                file=file,
            ) from None
        _wait_for_jvm(_read(handle), file)
        holder = {
            "pid": os.getpid(),
            "purpose": purpose,
            "since": now().isoformat(timespec="seconds"),
            "jvm_pid": None,
        }
        _write(handle, holder)

        def note_jvm(pid: int | None) -> None:
            holder["jvm_pid"] = pid
            holder["jvm_started"] = psutil.Process(pid).create_time() if pid else None
            _write(handle, holder)

        yield note_jvm
        # All writes of a holder that ends well have returned; its JVM may still be busy shutting down.
        note_jvm(None)
    finally:
        os.close(handle)


def purpose_of_holder(folder: Path) -> str | None:
    """Give what the process that holds the lock of ``folder`` is doing; None where no process of this machine holds it.

    The lock is not touched: to try it would refuse a writer that begins at this moment.
    """
    file = folder / FILE_NAME
    try:
        handle = os.open(file, os.O_RDONLY)
    except OSError:
        return None
    try:
        holder = _read(handle)
    finally:
        os.close(handle)
    pid = holder.get("pid")
    try:
        is_held = isinstance(pid, int) and str(file.resolve()) in {
            one.path for one in psutil.Process(pid).open_files()
        }
    except psutil.Error:
        return None
    return str(holder.get("purpose", "unknown")) if is_held else None


def _wait_for_jvm(last: dict[str, object], file: Path) -> None:
    pid, start_time = last.get("jvm_pid"), last.get("jvm_started")
    if not isinstance(pid, int):
        return
    patience = time.monotonic() + JVM_PATIENCE_SECONDS
    while _is_same_process(pid, start_time):
        if time.monotonic() > patience:
            raise LockHeld(
                f"the JVM {pid} of the last writer is still running; stop it, then run again", file=file
            )
        time.sleep(0.2)


def _is_same_process(pid: int, start_time: object) -> bool:
    if pid == os.getpid():
        return False
    try:
        process = psutil.Process(pid)
        # A pid may be given to another program; only the same start time means the same process.
        same = start_time is None or abs(process.create_time() - float(str(start_time))) < 1
        return same and process.status() != psutil.STATUS_ZOMBIE and process.ppid() != os.getpid()
    except psutil.NoSuchProcess:
        return False


def _read(handle: int) -> dict[str, object]:
    os.lseek(handle, 0, os.SEEK_SET)
    text = os.read(handle, 10_000).decode(errors="replace")
    try:
        holder = json.loads(text) if text.strip() else {}
    except json.JSONDecodeError:
        return {}
    return holder if isinstance(holder, dict) else {}


def _write(handle: int, holder: dict[str, object]) -> None:
    os.lseek(handle, 0, os.SEEK_SET)
    os.ftruncate(handle, 0)
    os.write(handle, json.dumps(holder).encode())
