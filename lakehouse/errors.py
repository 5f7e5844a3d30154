"""What can go wrong, as past-tense facts, each with the exit code a scheduler sees.

Exit codes: 0 done, 1 failed and may be retried, 2 bad usage or settings, 3 a gate refused,
4 the lock is held, 99 nothing to do.
"""

from __future__ import annotations

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
