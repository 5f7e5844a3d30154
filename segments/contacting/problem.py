"""What arbitration is asked: the offers of all segments of a night, the rules, and what is known of people.

Plain values and Arrow rows; no table, no lake, no clock. See ``segments.contacting.arbitration`` for the answer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from segments.language.contact import GLOBAL

if TYPE_CHECKING:
    import pyarrow as pa

    from segments.contacting.windows import SendWindow

CAPPED = "CAPPED"
QUIET_DROPPED = "QUIET_DROPPED"
LOST_ARBITRATION = "LOST_ARBITRATION"
REASONS = (CAPPED, QUIET_DROPPED, LOST_ARBITRATION)
# By what a winner is before a loser: it came on an earlier night, or tonight's scores, or what they cost where contacts are scarce.
EARLIER_CONTACT = "EARLIER_CONTACT"
PRIORITY = "PRIORITY"
EXPECTED_VALUE = "EXPECTED_VALUE"
HASH = "HASH"
PRICE = "PRICE"
ADVANTAGES = (EARLIER_CONTACT, PRIORITY, EXPECTED_VALUE, HASH, PRICE)


@dataclass(frozen=True)
class ContactWay:
    """One channel of a segment: through which placement, and when; without a window it cannot be used this night."""

    channel: str
    placement: str | None
    window: SendWindow | None

    def is_in(self, scope: str) -> bool:
        """Tell whether a contact this way counts in a scope."""
        return scope in (GLOBAL, self.channel) or (self.placement is not None and scope == self.placement)


@dataclass(frozen=True)
class CapRule:
    """At most ``max`` contacts of a person over a scope in ``days`` days; contacts of ``purposes`` count."""

    scope: str
    max: int
    days: int
    purposes: frozenset[str]

    @property
    def name(self) -> str:
        """The rule as the table of losses names it."""
        return f"cap:{self.scope}:{self.max}/{self.days}d"


@dataclass(frozen=True)
class SegmentOffer:
    """The people one segment would contact. ``rows`` has one_id (ascending), ways (bit n: the way n may be used) and value.

    ``contacts`` is how much one contact counts: one for each destination. ``caps`` are those of the site and its own, in the
    order in which they are named as reasons.
    """

    code: str
    priority: int
    purpose: str
    ways: tuple[ContactWay, ...]
    caps: tuple[CapRule, ...]
    rows: pa.Table = field(repr=False)
    contacts: int = 1
    picks_habit: bool = False

    @property
    def open_ways(self) -> int:
        """The ways that have a window, as bits."""
        return sum(1 << number for number, way in enumerate(self.ways) if way.window is not None)


@dataclass(frozen=True)
class ApartRule:
    """Segments of which one only may contact a person within so many days."""

    segments: frozenset[str]
    days: int


@dataclass(frozen=True)
class CapacityRule:
    """Contacts a scope can carry on a day: in all, or for each group (``branch`` or ``employee``) of people."""

    scope: str
    max: int
    per: str | None = None
    each: Mapping[str, int] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The rule as the table of losses names it."""
        return f"capacity:{self.scope}" + (f":{self.per}" if self.per else "")


@dataclass(frozen=True)
class ContactProblem:
    """A night's question.

    ``history`` has one row per earlier contact: one_id, code, run_id, contact_on, channel, placement, purpose. ``habits`` has
    one_id and channel, ``groups`` one_id, branch and employee; who is in neither has none.
    """

    offers: Sequence[SegmentOffer]
    history: pa.Table = field(repr=False)
    habits: pa.Table = field(repr=False)
    groups: pa.Table = field(repr=False)
    apart: Sequence[ApartRule] = ()
    capacities: Sequence[CapacityRule] = ()
