"""``marts.yml`` of a workspace: that nights build the marts, and which events funnels and retentions are about."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, field_validator

from lakehouse.errors import SettingsInvalid
from lakehouse.settings.optional_files import optional_file
from lakehouse.settings.yaml_files import did_you_mean, line_of, load_yaml, parse_model
from vocabulary.registry import Bilingual

MARTS_FILE = "marts.yml"
MOST_STEPS = 8
"""The most steps of a funnel: ``funnel_depths`` goes over the events once for each."""
EVENTS = "trusted.events"

_CODE = re.compile(r"[a-z][a-z0-9_]{0,62}")
Days = Annotated[int, Field(ge=1, le=365)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


def _event_name(value: str) -> str:
    if not value or value != value.strip():
        raise ValueError("a name of an event is a text without spaces around it")
    return value


class EventFunnel(_Strict):
    """A funnel: events that follow one another, all within ``within_days`` days of the first, begun in the last ``days`` days."""

    name: Bilingual
    steps: Annotated[list[str], Field(min_length=2, max_length=MOST_STEPS)]
    within_days: Days = 7
    days: Days = 30

    @field_validator("steps")
    @classmethod
    def _different_events(cls, value: list[str]) -> list[str]:
        for step in value:
            _event_name(step)
            if value.count(step) > 1:
                raise ValueError(f"the event '{step}' is two steps; a step is an event of its own")
        return value


class RetainedEvents(_Strict):
    """A retention: who came back with the event ``back`` so many days after their ``first``, by month of it."""

    name: Bilingual
    first: str
    back: str
    days: Annotated[list[Days], Field(min_length=1, max_length=12)] = [1, 7, 30]
    months: Annotated[int, Field(ge=1, le=24)] = 6

    @field_validator("first", "back")
    @classmethod
    def _is_a_name(cls, value: str) -> str:
        return _event_name(value)

    @field_validator("days")
    @classmethod
    def _different_days(cls, value: list[int]) -> list[int]:
        if len(set(value)) < len(value):
            raise ValueError("a day is there twice")
        return sorted(value)


class MartsFile(_Strict):
    """``marts.yml`` as written."""

    compare_months: Annotated[int, Field(ge=1, le=120)] = 1
    campaign_days: Annotated[int, Field(ge=1, le=1096)] = 90
    funnels: dict[str, EventFunnel] = {}
    retentions: dict[str, RetainedEvents] = {}


@dataclass(frozen=True, eq=False)
class Declaration:
    """What ``marts.yml`` of a workspace says, and where it says it."""

    file: Path
    entries: MartsFile
    tree: Any

    def require_snapshots(self, month_ends: int) -> None:
        """Raise ``SettingsInvalid`` where marts compare with a month whose snapshot is not kept; ``month_ends`` are the months kept."""
        if self.entries.compare_months > month_ends:
            raise SettingsInvalid(
                f"'compare_months': snapshots of tags are kept for {month_ends} months (retention.tag_month_ends of cdp.yml), "
                f"not {self.entries.compare_months}",
                file=self.file,
                line=line_of(self.tree, "compare_months"),
            )

    def unknown_events(self, names: Collection[str]) -> Iterator[SettingsInvalid]:
        """Give a complaint, with its line and the name that may be meant, for each event that is not among ``names``."""
        for keys, name in self._events():
            if name not in names:
                yield SettingsInvalid(
                    f"no event was ever called '{name}'{did_you_mean(name, sorted(names))}",
                    file=self.file,
                    line=line_of(self.tree, *keys),
                )

    @property
    def event_names(self) -> list[str]:
        """The names of all events that funnels and retentions are about, each once."""
        return sorted({name for _, name in self._events()})

    def _events(self) -> Iterator[tuple[tuple[str | int, ...], str]]:
        for code, funnel in self.entries.funnels.items():
            for at, name in enumerate(funnel.steps):
                yield ("funnels", code, "steps", at), name
        for code, retention in self.entries.retentions.items():
            yield ("retentions", code, "first"), retention.first
            yield ("retentions", code, "back"), retention.back


def marts_file(workspace: Path | None) -> Path | None:
    """Give ``marts.yml`` of a workspace; None where there is none, and so no marts."""
    return optional_file(workspace / MARTS_FILE) if workspace else None


def read_marts(workspace: Path | None) -> Declaration | None:
    """Read ``marts.yml``; None where there is none. The first fault raises ``SettingsInvalid`` with file and line."""
    file = marts_file(workspace)
    if file is None:
        return None
    tree = load_yaml(file)
    entries = parse_model(MartsFile, tree, file=file)
    for kind, codes in (("funnels", entries.funnels), ("retentions", entries.retentions)):
        for code in codes:
            if not _CODE.fullmatch(code):
                raise SettingsInvalid(
                    f"'{code}' is no code; write up to 63 small letters, digits and _, a letter first",
                    file=file,
                    line=line_of(tree, kind, code),
                )
    return Declaration(file, entries, tree)
