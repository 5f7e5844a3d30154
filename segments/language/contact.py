"""How often, when and through what people may be contacted: ``contact:`` of a segment, ``contact_policy.yml`` of a site.

A channel, or a placement in it, is a *scope*. The site's rules hold for every segment of the purposes it governs; a segment's
own rules come on top and never loosen them.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StrictInt, model_validator

from lakehouse.settings.optional_files import is_there
from lakehouse.settings.yaml_files import line_of, load_yaml, parse_model
from vocabulary.policy import CHANNELS

POLICY_FILE = "contact_policy.yml"
GLOBAL = "global"
HABIT = "channel_habit"
WEEKDAYS = ("MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN")
DAY_MINUTES = 24 * 60
# Contacts are looked back for as long as the table of contacts keeps them.
MOST_DAYS = 366
MOST_CONTACTS = 1_000_000_000

Clock = Annotated[str, Field(pattern=r"^([01]\d|2[0-3]):[0-5]\d$")]
ClosingClock = Annotated[str, Field(pattern=r"^(([01]\d|2[0-3]):[0-5]\d|24:00)$")]
Channel = Literal[CHANNELS]  # type: ignore[valid-type]
PlacementName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
Number = Annotated[StrictInt, Field(ge=0, le=MOST_CONTACTS)]
Days = Annotated[StrictInt, Field(ge=1, le=MOST_DAYS)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class ContactCap(_Strict):
    """At most ``max`` contacts of a person in any ``days`` days, over a scope: global, a channel or a placement."""

    scope: str
    max: Number
    days: Days

    def __str__(self) -> str:
        return f"{self.scope} {self.max} in {self.days} day{'s' if self.days > 1 else ''}"


class _Hours(_Strict):
    begin: Clock = Field(alias="from")
    end: ClosingClock = Field(alias="to")

    @model_validator(mode="after")
    def _not_empty(self) -> _Hours:
        if self.begin == self.end:
            raise ValueError("the hours begin and end at the same time; they last no minute")
        return self

    @property
    def minutes(self) -> tuple[int, int]:
        """The first minute of the day and the first that is outside; the second is the smaller one over midnight."""
        return _minute(self.begin), _minute(self.end)


class QuietHours(_Hours):
    """Hours in which nobody is contacted, and what becomes of a contact that falls into them."""

    on_hit: Literal["defer", "drop"] = "defer"
    max_defer_h: Annotated[StrictInt, Field(ge=0, le=24 * 31)] = 24
    channels: list[Channel] | None = None

    def holds_for(self, channel: str) -> bool:
        """Tell whether the hours count for a channel; without ``channels`` they count for each."""
        return self.channels is None or channel in self.channels


class SendHours(_Hours):
    """Hours in which contacts are allowed, on some days of the week; over midnight they belong to the day they begin on."""

    days: Annotated[list[Literal[WEEKDAYS]], Field(min_length=1)] = list(WEEKDAYS)  # type: ignore[valid-type]


class QuietPeriod(_Strict):
    """Days on which nobody is contacted, both included: a feast, a migration, a day of mourning."""

    first: dt.date = Field(alias="from")
    last: dt.date = Field(alias="to")
    channels: list[Channel] | None = None
    why: str = Field(min_length=1)

    @model_validator(mode="after")
    def _in_order(self) -> QuietPeriod:
        if self.last < self.first:
            raise ValueError("the period ends before it begins")
        return self


class NeverTogether(_Strict):
    """Segments of which a person is contacted by one only within so many days."""

    segments: Annotated[list[str], Field(min_length=2)]
    days: Days = 1


class ContactCapacity(_Strict):
    """How many contacts a scope can carry on a day: in all, or for each branch or employee."""

    scope: str
    max: Number
    per: Literal["branch", "employee"] | None = None
    each: dict[str, Number] = {}

    @model_validator(mode="after")
    def _of_groups(self) -> ContactCapacity:
        if self.each and self.per is None:
            raise ValueError("'each' names branches or employees; say which with 'per'")
        return self

    def __str__(self) -> str:
        return self.scope + (f" per {self.per}" if self.per else "")


class Contact(_Strict):
    """The channels of a segment, best first, and what it asks of the contacts it makes."""

    channels: Annotated[list[Channel], Field(min_length=1, max_length=len(CHANNELS))]
    channel_pick: Literal["first", "channel_habit"] = "first"
    priority: Annotated[StrictInt, Field(ge=0, le=100)] = 50
    expected_value: str | None = None
    placements: dict[Channel, PlacementName] = {}
    caps: list[ContactCap] = []
    quiet: QuietHours | None = None
    windows: list[SendHours] = []

    @property
    def has_rules(self) -> bool:
        """Whether the segment asks for more than its channels in their order."""
        return self != Contact(channels=self.channels)


class ContactPolicy(_Strict):
    """The rules of ``contact_policy.yml``, which hold for every segment of the purposes it governs."""

    purposes: Annotated[list[Literal["marketing", "service"]], Field(min_length=1)] = ["marketing"]
    placements: dict[PlacementName, Channel] = {}
    caps: list[ContactCap] = []
    quiet: QuietHours | None = None
    do_not_disturb: list[QuietPeriod] = []
    windows: dict[Channel, Annotated[list[SendHours], Field(min_length=1)]] = {}
    never_together: list[NeverTogether] = []
    capacities: list[ContactCapacity] = []


@dataclass(frozen=True)
class ContactRules:
    """A site's policy with the file it was read from; ``is_stated`` is false where there is none.

    Of one that cannot be read nothing is known, and nobody is held to it.
    """

    policy: ContactPolicy = field(default_factory=ContactPolicy)
    file: Path = Path(POLICY_FILE)
    tree: Any = field(default=None, repr=False, compare=False)
    is_stated: bool = False
    is_unread: bool = False

    def line(self, *path: str | int) -> int | None:
        """Give the line on which a key of the file stands."""
        return line_of(self.tree, *path) if self.tree is not None else None

    def governs(self, purpose: str) -> bool:
        """Tell whether the site's rules hold for a purpose."""
        return self.is_stated and purpose in self.policy.purposes


def contact_policy_file(workspace: Path) -> Path:
    """Give the file of a workspace's contact policy."""
    return workspace / POLICY_FILE


def read_contact_rules(workspace: Path) -> ContactRules:
    """Give the contact policy of a workspace; without a ``contact_policy.yml`` there is none."""
    file = contact_policy_file(workspace)
    if not is_there(file):
        return ContactRules(file=file)
    tree = load_yaml(file)
    return ContactRules(parse_model(ContactPolicy, tree, file=file), file, tree, is_stated=True)


def channel_of(scope: str, policy: ContactPolicy) -> str | None:
    """Give the channel a scope lies in; None for ``global`` and for a scope that nobody knows."""
    return scope if scope in CHANNELS else policy.placements.get(scope)


def covers(scope: str, other: str, policy: ContactPolicy) -> bool:
    """Tell whether every contact in ``other`` is one in ``scope``."""
    return scope in (GLOBAL, other) or (other not in CHANNELS and scope == channel_of(other, policy))


def open_minutes(
    weekday: int, hours: list[list[SendHours]], quiet: list[QuietHours]
) -> list[tuple[int, int]]:
    """Give the minutes of a day of the week (Monday is 0) in which contacts are allowed, as begin and end, in order.

    Each list of ``hours`` must allow a minute, and none of ``quiet`` may hold.
    """
    is_open = [True] * DAY_MINUTES
    for alternatives in hours:
        chosen_minutes = [False] * DAY_MINUTES
        for one in alternatives:
            begin, end = one.minutes
            if WEEKDAYS[weekday] in one.days:
                _set(chosen_minutes, begin, end if begin < end else DAY_MINUTES, True)
            if begin > end and WEEKDAYS[weekday - 1] in one.days:
                _set(chosen_minutes, 0, end, True)
        is_open = [a and b for a, b in zip(is_open, chosen_minutes, strict=True)]
    for silence in quiet:
        begin, end = silence.minutes
        if begin < end:
            _set(is_open, begin, end, False)
        else:
            _set(is_open, begin, DAY_MINUTES, False)
            _set(is_open, 0, end, False)
    edges = [
        minute for minute in range(DAY_MINUTES) if is_open[minute] != (minute > 0 and is_open[minute - 1])
    ]
    if len(edges) % 2:
        edges.append(DAY_MINUTES)
    return list(zip(edges[::2], edges[1::2], strict=True))


def _set(minutes: list[bool], begin: int, end: int, value: bool) -> None:
    minutes[begin:end] = [value] * (end - begin)


def _minute(clock: str) -> int:
    hours, minutes = clock.split(":")
    return 60 * int(hours) + int(minutes)
