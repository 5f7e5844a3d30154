"""What can go wrong, as past-tense facts, each with the exit code a scheduler sees.

Exit codes: 0 done, 1 failed and may be retried, 2 bad usage or settings, 3 a gate refused,
4 the lock is held, 99 nothing to do.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Sequence
from pathlib import Path

# The exit code of a night whose inputs and settings were published before: an outcome, not an error.
NOTHING_TO_DO = 99


class CdpError(Exception):
    """A failure the user can act on: one sentence, where it is, and what to do about it.

    Printed as ``file:line: sentence``. Anything that is not a ``CdpError`` is a bug and shows a traceback.
    """

    exit_code = 1

    def __init__(self, message: str, *, file: str | Path | None = None, line: int | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.file = str(file) if file is not None else None
        self.line = line

    def __str__(self) -> str:
        if self.file is None:
            return self.message
        place = self.file if self.line is None else f"{self.file}:{self.line}"
        return f"{place}: {self.message}"


class StepFailed(CdpError):
    """A step could not finish; nothing was published and the same command may be tried again."""


class InputInvalid(CdpError):
    """A delivered file is missing or unusable; repair or redeliver it and run the same command again."""


class ContractBroken(CdpError):
    """Rows or columns do not fit the contract of the table they were meant for."""


class UsageError(CdpError):
    """The command line asks for something that cannot be meant."""

    exit_code = 2


class PersonNotShown(UsageError):
    """A look-up of a person showed none: ``refusal`` says why, ``nobody`` or ``several`` or ``other``, and the sentence names ``one_ids``.

    ``identifier`` is the kind of what was asked by: a namespace, ``one_id`` or ``profile``; never its value.
    """

    def __init__(self, message: str, *, identifier: str, refusal: str, one_ids: Sequence[int] = ()) -> None:
        super().__init__(message)
        self.identifier, self.refusal, self.one_ids = identifier, refusal, tuple(one_ids)


class SettingsInvalid(CdpError):
    """A YAML file of the workspace or of the product is wrong."""

    exit_code = 2


class EnvironmentUnready(CdpError):
    """Something the machine must have (Java, JARs, memory, disk) is missing."""

    exit_code = 2


class GateStopped(CdpError):
    """A gate measured a value outside its bound; nothing of this run was published."""

    exit_code = 3


class LockHeld(CdpError):
    """Another process writes to this lake."""

    exit_code = 4


# What a disk answers that is nobody's bug, with what a person does about it.
_DISK_REPAIRS = {
    errno.ENOSPC: "free some space there",
    errno.EDQUOT: "raise the quota of this user, or free some of it",
    errno.EFBIG: "raise the limit for the size of a file (ulimit -f)",
    errno.EROFS: "mount it for writing",
    errno.EACCES: "give this user the right to read and write there",
    errno.EPERM: "give this user the right to read and write there",
    errno.EIO: "have the disk looked at, and restore from a backup what it lost",
}
_DISK_NAMES = {os.strerror(number): number for number in _DISK_REPAIRS}
_WORDS = "|".join(_DISK_NAMES)
# How deltalake (Rust), Spark (Java) and DuckDB say it; what else speaks of permissions is not about a disk.
_OF_LIBRARIES = re.compile(
    rf"\(os error (\d+)\)|IOException: ({_WORDS})|FileNotFoundException: [^\n]*\(({_WORDS})\)"
    rf"|IO Error: [^\n]*\"[^\"\n]*\": ({_WORDS})"
)
_PATH = re.compile(r"(?:file|directory|from) \"?(/[^\n]*?)\"?(?:#\d+)?(?: to |: )")


class Bug(Exception):
    """What nobody expected, without the values that its message held; see ``without_values``."""


# What these say is about the program.
_OF_PROGRAMS = (AttributeError, ImportError, NameError, NotImplementedError, TypeError)
_VALUE = re.compile(r"'[^']*'|\"[^\"]*\"|\S*\d{4,}\S*|[^\x00-\x7f]+")


def hide_values(sentence: str) -> str:
    """Give a sentence of a library with an ellipsis for whatever may be a value: what is quoted, long numbers, signs beyond ASCII."""
    return _VALUE.sub("…", sentence)


def without_values(wrong: BaseException) -> BaseException:
    """Give an error that nobody expected as it may be logged: with its traceback and those behind it, and without values.

    Libraries quote the value that they stumbled over, and a log is kept.
    """
    if isinstance(wrong, CdpError):
        return wrong
    words = str(wrong)
    bug = Bug(f"{type(wrong).__name__}: {words if isinstance(wrong, _OF_PROGRAMS) else hide_values(words)}")
    behind = wrong.__cause__ or (None if wrong.__suppress_context__ else wrong.__context__)
    bug.__cause__ = None if behind is None else without_values(behind)
    bug.__suppress_context__ = True
    return bug.with_traceback(wrong.__traceback__)


def refusal(wrong: BaseException) -> StepFailed | None:
    """Give one sentence for what the machine refused, its memory (``memory_refusal``) or a disk (``disk_refusal``)."""
    return memory_refusal(wrong) or disk_refusal(wrong)


_OF_THE_JVM = re.compile(r"OutOfMemoryError|Java heap space|GC overhead limit|Cannot allocate memory")
# What Spark says of a task: where it ran ("executor driver" is this process), and, of a worker's JVM that ended by lack of memory, its exit code.
_OF_WORKERS = re.compile(
    rf"Lost task \S+ in stage [^\n]*executor (?!driver)\S+\): (?s:.*?)(?:{_OF_THE_JVM.pattern})"
    r"|ExecutorLostFailure \(executor (?!driver)[^\n]*(?:exited with code 52\b|memory limits)"
)


def memory_refusal(wrong: BaseException) -> StepFailed | None:
    """Give one sentence that names the setting to raise where memory ran out, in the JVM or in this process; else None."""
    for link in _chain(wrong):
        text = str(link)
        if _OF_WORKERS.search(text):
            setting = "spark.executor.memory below `spark: conf:` (now too small for a worker's JVM)"
        elif _OF_THE_JVM.search(text):
            setting = "spark.driver_memory (now too small for the JVM)"
        elif isinstance(link, MemoryError) or "Out of Memory Error" in text:
            setting = "engine.memory"
        else:
            continue
        return StepFailed(
            f"memory ran out: raise {setting} in cdp.yml, or give the machine more, then run the same command again; "
            "a night goes on at the step that failed, and what is published is as it was"
        )
    return None


def _chain(wrong: BaseException) -> list[BaseException]:
    chain: list[BaseException] = []
    cause: BaseException | None = wrong
    while cause is not None and cause not in chain:
        chain.append(cause)
        cause = cause.__cause__ or (None if cause.__suppress_context__ else cause.__context__)
    return chain


def disk_refusal(wrong: BaseException) -> StepFailed | None:
    """Give one sentence for what a disk refused (full, read-only, no right), from Python, Rust or Java; None for all else.

    What led to an error is looked at, too: a library wraps it, and a ledger on the same disk fails after it.
    """
    for link in _chain(wrong):
        number, place = _disk_answer(link)
        if number in _DISK_REPAIRS:
            where = f" at {place}" if place else " (of the lake, of the audiences or of temporary files)"
            return StepFailed(
                f"the disk refused to go on{where}: {os.strerror(number)}; {_DISK_REPAIRS[number]}, then run the same "
                "command again; what is published is as it was"
            )
    return None


def _disk_answer(wrong: BaseException) -> tuple[int | None, str | None]:
    if isinstance(wrong, OSError) and wrong.errno is not None:
        return wrong.errno, None if wrong.filename is None else os.fsdecode(wrong.filename)
    words = _OF_LIBRARIES.search(str(wrong))
    if words is None:
        return None, None
    place = _PATH.search(str(wrong))
    number = int(words[1]) if words[1] else _DISK_NAMES.get(words[2] or words[3] or words[4])
    return number, place[1] if place else None
