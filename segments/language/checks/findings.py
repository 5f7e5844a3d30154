"""Findings of checks, and what specifications are checked against."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

from lakehouse.errors import SettingsInvalid
from segments.language.complaints import Unread
from segments.language.contact import ContactRules
from segments.language.offers import Offers
from segments.language.spec import Segment
from vocabulary.policy import Policy
from vocabulary.tag_facts import TagFacts


@dataclass(frozen=True)
class SpecFinding:
    """One fault of a specification."""

    code: str
    message: str
    file: Path
    line: int | None

    @property
    def is_warning(self) -> bool:
        """Whether it is said and stops nothing."""
        return self.code.startswith("W")

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else str(self.file)
        return f"{place}: {self.code} {self.message}"


@dataclass(frozen=True)
class Surroundings:
    """What specifications may name and other rooms define."""

    tags: Mapping[str, TagFacts]
    """The registered tags by code."""
    ceilings: Mapping[str, str]
    """The destinations by name, each with the highest personal level it may receive."""
    offers: Offers | None = None
    """The open offers; None where they are not looked at, as before the first night."""
    event_names: frozenset[str] | None = None
    """The names of all events so far; None where they are not looked at."""
    dry_destinations: frozenset[str] = frozenset()
    """The destinations for which everything is done but the release."""
    worklists: frozenset[str] = frozenset()
    """The destinations at which employees take care of people."""
    unread: Unread = field(default_factory=Unread)
    """What is missing here, since its file cannot be read."""
    faults: tuple[SettingsInvalid, ...] = ()
    """The faults of those files."""
    late_tables: Mapping[str, date] = field(default_factory=dict)
    """The tables whose sources are late on the night's date, each with the day up to which it is delivered."""


@dataclass(frozen=True)
class Site:
    """What the specifications of a workspace are checked against."""

    workspace: Path
    tags: Mapping[str, TagFacts]
    ceilings: Mapping[str, str]
    policy: Policy
    known_hashes: Mapping[tuple[str, str], str]
    offers: Offers | None = None
    event_names: frozenset[str] | None = None
    contact: ContactRules = field(default_factory=ContactRules)
    worklists: frozenset[str] = frozenset()
    tag_days: int = 32
    unread: Unread = field(default_factory=Unread)


def refuse_findings(findings: Iterable[SpecFinding]) -> None:
    """Raise ``SettingsInvalid`` with the first finding and the number of further ones, if there is any."""
    every = [finding for finding in findings if not finding.is_warning]
    if every:
        first = every[0]
        more = f" ({len(every) - 1} more; see `cdp segments check`)" if len(every) > 1 else ""
        raise SettingsInvalid(f"{first.code} {first.message}{more}", file=first.file, line=first.line)


def unreadable(fault: SettingsInvalid) -> SpecFinding:
    """Give the finding of a fault that was raised while a file was read; some name their code already."""
    has_code = re.match(r"(E\d\d) (.*)", fault.message, re.DOTALL)
    code, message = has_code.groups() if has_code else ("E00", fault.message)
    return SpecFinding(code, message, Path(str(fault.file)), fault.line)


def finding(segment: Segment, code: str, message: str, line: int | None) -> SpecFinding:
    """Give a finding about a line of a segment's file."""
    return SpecFinding(code, message, segment.file, line)
