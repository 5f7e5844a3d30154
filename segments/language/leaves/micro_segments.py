"""The leaf over micro-segments: whether a person is in one of those that a set's newest night assigned."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from lakehouse.settings.yaml_files import line_of, plain
from segments.language.complaints import Complaints
from segments.language.conditions import Leaf
from segments.language.operators import is_whole

FOLDER = "micro_segments"
TABLE = "segments.micro_segments"
_SET = re.compile(r"^[a-z][a-z0-9_]*$")
_FORM = "{set: value_groups, label: 3}"


@dataclass(frozen=True)
class MicroLeaf(Leaf):
    """Whether a person's micro-segment of a set is one of some; unknown of whom the set does not hold.

    That is who is outside its base, refused profiling, or has no value of a tag that it needs.
    """

    set_code: str
    labels: tuple[int, ...]

    def normal(self) -> dict[str, Any]:
        """Give set and labels."""
        return {"micro_segment": {"set": self.set_code, "label": sorted(set(self.labels))}}

    @property
    def can_be_unknown(self) -> bool:
        """Whether the answer can be unknown: a person may be in none."""
        return True


def read_micro_segment(tree: Any, line: int | None, file: Complaints) -> MicroLeaf:
    """Read ``{micro_segment: {set, label}}``; a label is a number or a list of numbers."""
    file.only(tree, ("micro_segment", "include_unknown"))
    body = file.mapping(tree, "micro_segment", _FORM, line)
    file.only(body, ("set", "label"))
    code = body.get("set")
    if not isinstance(code, str) or not _SET.match(code):
        raise file.fault(f"'micro_segment' takes {_FORM}", line_of(body, "set") or line)
    label = plain(body.get("label"))
    labels = label if isinstance(label, list) else [label]
    if not labels or not all(is_whole(one) and one >= 1 for one in labels):
        raise file.fault(
            "'micro_segment.label' takes a number from 1, or a list of them", line_of(body, "label") or line
        )
    return MicroLeaf(str(code), tuple(labels), line=line, include_unknown=file.include_unknown(tree))
