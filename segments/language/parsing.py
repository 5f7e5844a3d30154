"""From the YAML of a rule to its tree of conditions; every complaint names file and line."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from lakehouse.errors import SettingsInvalid
from lakehouse.settings.yaml_files import did_you_mean, line_of, plain
from segments.language.conditions import (
    ANY_VERSION,
    All,
    Any_,
    EventLeaf,
    ListLeaf,
    Node,
    Not,
    SegmentLeaf,
    TagLeaf,
)
from segments.language.operators import OPERATORS, Test, comparison_fault, operand_fault

CONNECTORS = ("all", "any", "not")
LEAVES = ("tag", "event", "list", "segment")
LATER_LEAVES = ("sequence", "absence", "detail", "expr", "rank", "sample", "receipt", "top_percent", "top_n")
EVENT_KEYS = ("name", "count", "within_days", "channel", "app_id", "item_class", "is_success")
LATER_EVENT_KEYS = ("where", "match", "properties", "within", "sum", "amount", "not_after")
LIST_REFERENCE = re.compile(r"^([a-z][a-z0-9_]*)@(\d+(?:\.\d+)*)$")


class ConditionReader:
    """Reads conditions of one file."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def read(self, tree: Any, line: int | None) -> Node:
        """Give the node of a YAML mapping that holds exactly one connector or leaf."""
        if not isinstance(tree, dict):
            raise self._fault("a condition is a mapping like {tag: aum_tier, in: [T2, T3]}", line)
        line = line_of(tree) or line
        for later in LATER_LEAVES:
            if later in tree:
                raise self._later(later, line_of(tree, later))
        words = [word for word in (*CONNECTORS, *LEAVES) if word in tree]
        if not words:
            key = next(iter(tree), "")
            hint = did_you_mean(str(key), [*CONNECTORS, *LEAVES])
            raise self._fault(f"'{key}' begins no condition{hint}", line_of(tree, key) or line)
        if len(words) > 1:
            raise self._fault(
                f"'{words[0]}' and '{words[1]}' in one condition; join them with all or any", line
            )
        word = words[0]
        if word in CONNECTORS:
            return self._connector(word, tree, line)
        return {"tag": self._tag, "event": self._event, "list": self._list, "segment": self._segment}[word](
            tree, line
        )

    def read_many(self, tree: Any, line: int | None) -> tuple[Node, ...]:
        """Give the nodes of a YAML list of conditions."""
        if not isinstance(tree, list):
            raise self._fault("expected a list of conditions", line)
        return tuple(self.read(part, line_of(tree, i) or line) for i, part in enumerate(tree))

    def _connector(self, word: str, tree: Any, line: int | None) -> Node:
        self._only(tree, (word,))
        if word == "not":
            return Not(self.read(tree["not"], line), line=line)
        parts = self.read_many(tree[word], line)
        if not parts:
            raise self._fault(f"'{word}' holds no condition", line)
        return All(parts) if word == "all" else Any_(parts)

    def _tag(self, tree: Any, line: int | None) -> TagLeaf:
        self._only(tree, ("tag", "version", "include_unknown", *OPERATORS))
        tests = []
        for name in OPERATORS:
            if name in tree:
                operand = plain(tree[name])
                fault = operand_fault(name, operand)
                if fault:
                    raise self._fault(f"E03 {fault}", line_of(tree, name))
                tests.append(Test(name, operand))
        if not tests:
            raise self._fault(
                f"tag '{tree['tag']}' is asked nothing; add one of {', '.join(OPERATORS)}", line
            )
        version = str(tree.get("version", ANY_VERSION))
        return TagLeaf(
            str(tree["tag"]), tuple(tests), version, line=line, include_unknown=self._unknown(tree)
        )

    def _event(self, tree: Any, line: int | None) -> EventLeaf:
        self._only(tree, ("event", "include_unknown"))
        if "include_unknown" in tree:
            raise self._fault("an event count is never unknown; drop include_unknown", line)
        body = tree["event"]
        if not isinstance(body, dict) or "name" not in body:
            raise self._fault("'event' takes {name, count, within_days}", line)
        for later in LATER_EVENT_KEYS:
            if later in body:
                raise self._later(f"event.{later}", line_of(body, later))
        self._only(body, EVENT_KEYS)
        names = plain(body["name"])
        names = tuple(names) if isinstance(names, list) else (names,)
        if not names or not all(isinstance(name, str) for name in names):
            raise self._fault("'event.name' takes a name or a list of names", line_of(body, "name"))
        count = plain(body.get("count", {"gte": 1}))
        fault = comparison_fault("count", count)
        if fault:
            raise self._fault(f"E03 {fault}", line_of(body, "count"))
        days = body.get("within_days")
        if not isinstance(days, int) or isinstance(days, bool) or days < 1:
            raise self._fault(
                "'event.within_days' takes a number of days of at least 1", line_of(body, "within_days")
            )
        filters = tuple((key, plain(body[key])) for key in EVENT_KEYS[3:] if key in body)
        if "is_success" in body and not isinstance(body["is_success"], bool):
            raise self._fault("'event.is_success' takes true or false", line_of(body, "is_success"))
        return EventLeaf(names, count, int(days), filters, line=line)

    def _list(self, tree: Any, line: int | None) -> ListLeaf:
        self._only(tree, ("list",))
        match = LIST_REFERENCE.match(str(tree["list"]))
        if not match:
            raise self._fault(
                f"'{tree['list']}' is no list; write <name>@<version>, like branch_special@3", line
            )
        return ListLeaf(match[1], match[2], line=line)

    def _segment(self, tree: Any, line: int | None) -> SegmentLeaf:
        self._only(tree, ("segment", "version", "include_unknown"))
        return SegmentLeaf(
            str(tree["segment"]),
            str(tree.get("version", ANY_VERSION)),
            line=line,
            include_unknown=self._unknown(tree),
        )

    def _unknown(self, tree: Any) -> bool | None:
        value = tree.get("include_unknown")
        if value is not None and not isinstance(value, bool):
            raise self._fault("'include_unknown' takes true or false", line_of(tree, "include_unknown"))
        return value

    def _only(self, tree: Any, names: tuple[str, ...]) -> None:
        for key in tree:
            if key not in names:
                raise self._fault(
                    f"unknown key '{key}'{did_you_mean(str(key), list(names))}", line_of(tree, key)
                )

    def _later(self, name: str, line: int | None) -> SettingsInvalid:
        return SettingsInvalid(f"'{name}' is not supported yet", file=self.file, line=line)

    def _fault(self, message: str, line: int | None) -> SettingsInvalid:
        return SettingsInvalid(message, file=self.file, line=line)
