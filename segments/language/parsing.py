"""From the YAML of a rule to its tree of conditions; every complaint names file and line."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from lakehouse.settings.yaml_files import did_you_mean, line_of, plain
from segments.language.complaints import Complaints
from segments.language.conditions import (
    ANY_VERSION,
    All,
    Any_,
    EventLeaf,
    Leaf,
    ListLeaf,
    Node,
    Not,
    SegmentLeaf,
    TagLeaf,
)
from segments.language.leaves.dates import read_date
from segments.language.leaves.expressions import read_expression
from segments.language.leaves.members import read_members
from segments.language.leaves.micro_segments import read_micro_segment
from segments.language.leaves.people import RANKS, read_rank, read_sample
from segments.language.leaves.rows import event_names, read_detail, read_event_rows, read_receipt
from segments.language.leaves.sequences import read_sequence
from segments.language.operators import OPERATORS, Test, comparison_fault, operand_fault

CONNECTORS = ("all", "any", "not")
LEAVES = (
    "tag", "event", "list", "segment", "detail", "receipt", "absence", "sequence", "sample", "date", "expr", "members",
    "micro_segment",
)  # fmt: skip
EVENT_KEYS = ("name", "count", "within_days", "channel", "app_id", "item_class", "is_success")
LIST_REFERENCE = re.compile(r"^([a-z][a-z0-9_]*)@(\d+(?:\.\d+)*)$")


class ConditionReader(Complaints):
    """Reads conditions of one file: those about people or, where it is of an entity, those about companies or households."""

    def __init__(
        self,
        file: Path,
        entity: str | None = None,
        *,
        owner: str | None = None,
        base: Literal["base", "template"] = "base",
    ) -> None:
        super().__init__(file, owner=owner, base=base)
        self.entity = entity

    @property
    def of_people(self) -> ConditionReader:
        """The reader of conditions about one person that stand in those about a company or household."""
        return ConditionReader(self.file, owner=self.owner, base=self.base)

    def read(self, tree: Any, line: int | None) -> Node:
        """Give the node of a YAML mapping that holds exactly one connector or leaf."""
        if not isinstance(tree, dict):
            raise self.fault("a condition is a mapping like {tag: aum_tier, in: [T2, T3]}", line)
        line = line_of(tree) or line
        words = [word for word in (*CONNECTORS, *LEAVES) if word in tree]
        if not words:
            key = next(iter(tree), "")
            hint = did_you_mean(str(key), [*CONNECTORS, *LEAVES])
            raise self.fault(f"'{key}' begins no condition{hint}", line_of(tree, key) or line)
        if len(words) > 1:
            raise self.fault(
                f"'{words[0]}' and '{words[1]}' in one condition; join them with all or any", line
            )
        word = words[0]
        if word in CONNECTORS:
            return self._connector(word, tree, line)
        if word == "members":
            if self.entity is None:
                raise self.fault(
                    "'members' asks the people of a company or household, and what stands here is about one person",
                    line,
                )
            return read_members(tree, line, self, self.of_people.read)
        if self.entity is not None:
            raise self.fault(
                f"'{word}' is about one person, and the segment is of entity: {self.entity}; ask its people by"
                f" members: {{where: {{{word}: …}}, count: {{gte: 1}}}}",
                line,
            )
        if word == "tag" and any(key in tree for key in RANKS):
            return read_rank(tree, line, self)
        own = {
            "tag": self._tag, "event": self._event, "list": self._list, "segment": self._segment, "absence": self._absence,
        }  # fmt: skip
        return own[word](tree, line) if word in own else _READERS[word](tree, line, self)

    def read_many(self, tree: Any, line: int | None) -> tuple[Node, ...]:
        """Give the nodes of a YAML list of conditions."""
        if not isinstance(tree, list):
            raise self.fault("expected a list of conditions", line)
        return tuple(self.read(part, line_of(tree, i) or line) for i, part in enumerate(tree))

    def _connector(self, word: str, tree: Any, line: int | None) -> Node:
        self.only(tree, (word,))
        if word == "not":
            return Not(self.read(tree["not"], line), line=line)
        parts = self.read_many(tree[word], line)
        if not parts:
            raise self.fault(f"'{word}' holds no condition", line)
        return All(parts) if word == "all" else Any_(parts)

    def _tag(self, tree: Any, line: int | None) -> TagLeaf:
        self.only(tree, ("tag", "version", "include_unknown", *OPERATORS))
        tests = []
        for name in OPERATORS:
            if name in tree:
                operand = plain(tree[name])
                fault = operand_fault(name, operand)
                if fault:
                    raise self.fault(f"E03 {fault}", line_of(tree, name))
                tests.append(Test(name, operand))
        if not tests:
            raise self.fault(f"tag '{tree['tag']}' is asked nothing; add one of {', '.join(OPERATORS)}", line)
        version = str(tree.get("version", ANY_VERSION))
        return TagLeaf(
            str(tree["tag"]), tuple(tests), version, line=line, include_unknown=self.include_unknown(tree)
        )

    def _event(self, tree: Any, line: int | None) -> Leaf:
        body = self.mapping(tree, "event", "{name, count, within_days}", line)
        if set(body) - set(EVENT_KEYS):
            return read_event_rows(tree, line, self)
        self.only(tree, ("event", "include_unknown"))
        if "include_unknown" in tree:
            raise self.fault("an event count is never unknown; drop include_unknown", line)
        names = event_names(body, self)
        count = plain(body.get("count", {"gte": 1}))
        fault = comparison_fault("count", count)
        if fault:
            raise self.fault(f"E03 {fault}", line_of(body, "count"))
        return EventLeaf(
            names, count, self.days(body, "within_days", "event"), self._filters(body), line=line
        )

    def _filters(self, body: Any) -> tuple[tuple[str, Any], ...]:
        for key in EVENT_KEYS[3:]:
            if key in body and not isinstance(body[key], bool if key == "is_success" else str):
                kind = "true or false" if key == "is_success" else "one text"
                raise self.fault(f"'event.{key}' takes {kind}", line_of(body, key))
        return tuple((key, plain(body[key])) for key in EVENT_KEYS[3:] if key in body)

    def _absence(self, tree: Any, line: int | None) -> Node:
        """Read ``{absence: {name, within_days, seen_within_days}}``: nothing of late, and something before where that is asked."""
        self.only(tree, ("absence",))
        body = self.mapping(tree, "absence", "{name, within_days, seen_within_days}", line)
        self.only(body, ("name", "within_days", "seen_within_days", *EVENT_KEYS[3:]))
        names, filters = event_names(body, self), self._filters(body)
        days = self.days(body, "within_days", "absence")
        nothing = EventLeaf(names, {"eq": 0}, days, filters, line=line)
        if "seen_within_days" not in body:
            return nothing
        longer = self.days(body, "seen_within_days", "absence")
        if longer <= days:
            raise self.fault(
                "E14 'absence.seen_within_days' has to be more days than within_days, else nobody is meant",
                line_of(body, "seen_within_days"),
            )
        return All((nothing, EventLeaf(names, {"gte": 1}, longer, filters, line=line)))

    def _list(self, tree: Any, line: int | None) -> ListLeaf:
        self.only(tree, ("list",))
        match = LIST_REFERENCE.match(str(tree["list"]))
        if not match:
            raise self.fault(
                f"'{tree['list']}' is no list; write <name>@<version>, like branch_special@3", line
            )
        return ListLeaf(match[1], match[2], line=line)

    def _segment(self, tree: Any, line: int | None) -> SegmentLeaf:
        self.only(tree, ("segment", "version", "include_unknown"))
        return SegmentLeaf(
            str(tree["segment"]),
            str(tree.get("version", ANY_VERSION)),
            line=line,
            include_unknown=self.include_unknown(tree),
        )


_READERS: dict[str, Callable[[Any, int | None, Complaints], Leaf]] = {
    "detail": read_detail,
    "receipt": read_receipt,
    "sequence": read_sequence,
    "sample": read_sample,
    "date": read_date,
    "expr": read_expression,
    "micro_segment": read_micro_segment,
}
