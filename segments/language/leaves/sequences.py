"""The leaf over steps in time: one event after another within a period, and what did not follow."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from lakehouse.contracts.reading import contract
from lakehouse.settings.yaml_files import line_of, plain
from segments.language.complaints import Complaints
from segments.language.conditions import Leaf
from segments.language.leaves.rows import EVENTS, event_names

_SECONDS = {"m": 60, "h": 3_600, "d": 86_400}
_DURATION = re.compile(r"^([1-9]\d{0,4})([mhd])$")
STEP_FILTERS = ("channel", "app_id", "item_class", "is_success")


@dataclass(frozen=True)
class EventStep:
    """Events that count as one step: their names, and columns that must have a value."""

    names: tuple[str, ...]
    filters: tuple[tuple[str, Any], ...] = ()

    def normal(self) -> dict[str, Any]:
        """Give names and filters."""
        return {"name": sorted(self.names), **dict(self.filters)}


@dataclass(frozen=True)
class SequenceLeaf(Leaf):
    """Each step happens after the one before it, the last at most ``within`` seconds after the first.

    With ``then_not`` nothing of it follows the last step for so many seconds. While they are not over at the end of the business date
    and nothing followed yet, the answer is unknown. All steps lie in the days up to the business date.
    """

    steps: tuple[EventStep, ...]
    within: int
    then_not: EventStep | None
    then_for: int
    within_days: int

    def normal(self) -> dict[str, Any]:
        """Give steps, periods and window."""
        then = {"then_not": self.then_not.normal() | {"for": self.then_for}} if self.then_not else {}
        steps = [step.normal() for step in self.steps]
        return {"sequence": {"steps": steps, "within": self.within, **then, "within_days": self.within_days}}

    @property
    def file_form(self) -> dict[str, Any]:
        """The normal form with its times as a file writes them, such as ``3d``."""
        ((word, body),) = self.normal().items()
        within = {"within": _duration(self.within)} if self.within else {}
        then = {"then_not": body["then_not"] | {"for": _duration(self.then_for)}} if self.then_not else {}
        return {
            word: {"steps": body["steps"], **within, **then, "within_days": self.within_days},
        }

    @property
    def can_be_unknown(self) -> bool:
        """Whether the answer can be unknown: while it is open what follows."""
        return self.then_not is not None

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all events that are asked about."""
        every = (*self.steps, *([self.then_not] if self.then_not else []))
        return tuple(sorted({name for step in every for name in step.names}))


def read_sequence(tree: Any, line: int | None, file: Complaints) -> SequenceLeaf:
    """Read ``{sequence: {steps, within, then_not, within_days}}``."""
    file.only(tree, ("sequence", "include_unknown"))
    body = file.mapping(tree, "sequence", "{steps, within, then_not, within_days}", line)
    file.only(body, ("steps", "within", "then_not", "within_days"))
    if not isinstance(body.get("steps"), list) or not body["steps"]:
        raise file.fault(
            "'sequence.steps' takes a list of events, like [{name: wealth_detail_view}, {name: wealth_click_buy}]",
            line_of(body, "steps"),
        )
    steps = tuple(_step(step, file, ("name", *STEP_FILTERS), line) for step in body["steps"])
    if len(steps) == 1 and "then_not" not in body:
        raise file.fault("a sequence of one step is an event; write {event: ...} or add then_not", line)
    if len(steps) > 1 and "within" not in body:
        raise file.fault(
            "'sequence.within' says how long it may take from the first step to the last, like 3d", line
        )
    within = _seconds(body, "within", file) if "within" in body else 0
    then_not, then_for = None, 0
    if "then_not" in body:
        then = body["then_not"]
        then_not = _step(then, file, ("name", "for", *STEP_FILTERS), line_of(body, "then_not"))
        if "for" not in then:
            raise file.fault(
                "'then_not.for' says how long it must not follow, like 1d", line_of(body, "then_not")
            )
        then_for = _seconds(then, "for", file)
    # What is just over at the end of the business date began so many days before.
    shortest = -(-(within + then_for) // _SECONDS["d"]) + 1
    within_days = file.days(body, "within_days", "sequence") if "within_days" in body else shortest
    kept_days = contract(EVENTS).retention_days
    if kept_days is not None and within_days > kept_days:
        raise file.fault(
            f"E09 events are kept {kept_days} days, not {within_days}", line_of(body, "within_days")
        )
    return SequenceLeaf(
        steps,
        within,
        then_not,
        then_for,
        within_days,
        line=line,
        include_unknown=file.include_unknown(tree),
    )


def _step(tree: Any, file: Complaints, keys: tuple[str, ...], line: int | None) -> EventStep:
    if not isinstance(tree, dict):
        raise file.fault("a step is an event, like {name: wealth_click_buy}", line)
    file.only(tree, keys)
    filters = []
    for key in STEP_FILTERS:
        if key not in tree:
            continue
        value = plain(tree[key])
        if not isinstance(value, bool if key == "is_success" else str):
            kind = "true or false" if key == "is_success" else "one text"
            raise file.fault(f"E03 '{key}' takes {kind}", line_of(tree, key))
        filters.append((key, value))
    return EventStep(tuple(sorted(event_names(tree, file))), tuple(filters))


def _seconds(tree: Any, key: str, file: Complaints) -> int:
    match = _DURATION.match(str(tree[key]))
    if not match:
        raise file.fault(
            f"'{key}' takes a time of minutes, hours or days, like 30m, 12h or 3d", line_of(tree, key)
        )
    return int(match[1]) * _SECONDS[match[2]]


def _duration(seconds: int) -> str:
    """Give a time in the largest unit of which it is a whole number, such as ``36h`` or ``3d``."""
    unit = next(name for name in ("d", "h", "m") if seconds % _SECONDS[name] == 0)
    return f"{seconds // _SECONDS[unit]}{unit}"
