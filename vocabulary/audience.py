"""The audience of a segment on one business date: what segments decide and delivery hands to destinations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa


# What a worklist tells of each person beside the published columns.
WORKLIST_COLUMNS = (
    "source",
    "source_key",
    "branch",
    "employee",
    "position",
    "priority",
    "reason",
    "talking_points",
)
# The hexadecimal digits of a run's name; what follows them in a delivered one tells versions of the run apart.
RUN_DIGITS = 24


def days_of_use(valid_hours: int) -> int:
    """Give on how many days after the business date an audience may be used that is valid from its last midnight."""
    return -(-valid_hours // 24)


@dataclass(frozen=True)
class Worklist:
    """What employees are told of the people of an audience, and who of them takes whom in which order."""

    reasons: Mapping[str, str]
    """Why the people are on it, by language."""
    talking_points: Mapping[str, Sequence[str]]
    """What to speak of, by language."""
    priority: int
    """The priority of the segment, 0 to 100."""
    routes: pa.Table = field(repr=False)
    """One row per person: one_id, branch and employee (``source/key``, null where there is none), and position, from 1 for
    each employee, or for each branch where nobody looks after the person."""


@dataclass(frozen=True)
class Audience:
    """The people a segment publishes, and what a manifest says about them. No destination is known here but by name."""

    code: str
    """The segment."""
    version: str
    """The version of its definition, major.minor.patch."""
    definition_hash: str
    purpose: str
    run_id: str
    """The hash of definition, date and inputs: the same again is the same run."""
    as_of: date
    """The business date."""
    destinations: tuple[str, ...]
    """Names of the destinations, in the order of the specification."""
    modes: tuple[str, ...]
    """``snapshot`` and, where it is delivered too, ``delta``."""
    file_format: str
    """``parquet``, ``csv`` or ``json_lines``."""
    valid_hours: int
    """How long the audience may be used, in hours from the midnight that ends the business date."""
    levels: Mapping[str, str]
    """The personal level (C1, C2) of each published column."""
    counts: Mapping[str, Any]
    """How many people each step of the decision kept or left out, as the equations of a manifest name them."""
    tag_versions: Mapping[str, str]
    """The version of every tag that was read, by code."""
    inputs: list[dict[str, Any]]
    """What was read: table, how many rows of it or people it was read for, and an order-free hash of that."""
    people: pa.Table = field(repr=False)
    """One row per person, sorted by ``one_id``: ``one_id`` and the published columns in their order."""
    quiet_columns: tuple[str, ...] = ()
    """Published columns whose change alone is no news: a delta does not tell of it."""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    """The values of the definition's parameters."""
    kind: str = "audience"
    """``directory`` where the rows say who the recipients of a destination are."""
    content: str | None = None
    """What is disclosed of the recipients: what a directory holds, or ``worklist``; None where nothing is."""
    disclosure: Mapping[str, Any] | None = None
    """Who approved that, as ``by``, ``date`` and ``hash``; None where nothing is disclosed, or no longer."""
    stage: str | None = None
    """How far the segment is rolled out: whitelist, small or full; None where its definition knows no stages or approvals."""
    approvals: tuple[Mapping[str, Any], ...] = ()
    """The approvals that let it out, as the manifest names them."""
    worklist: Worklist | None = None
    """What a destination that is a worklist is given beside the published columns; None where the segment has none."""
    dry_destinations: frozenset[str] = frozenset()
    """Destinations for which everything is done but the release."""

    @property
    def live_destinations(self) -> tuple[str, ...]:
        """The destinations that see the audience."""
        return tuple(name for name in self.destinations if name not in self.dry_destinations)

    @property
    def major(self) -> int:
        """The part of the version that changes with the meaning."""
        return int(self.version.split(".")[0])


@dataclass(frozen=True)
class StandingRun:
    """A run that a destination may still use and that no audience of the night replaces."""

    audience: Audience
    """What was delivered, with the hours it may still be used after the business date; its people by the OneIDs of then."""
    as_of: date
    """The business date of the run."""
