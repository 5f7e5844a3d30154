"""Leaves over people together: a sample of them by salted buckets, and those who stand highest by a tag."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Literal

from lakehouse.settings.yaml_files import line_of, plain
from segments.language.complaints import Complaints
from segments.language.conditions import ANY_VERSION, Leaf
from segments.language.operators import MOST_WHOLE, is_whole
from vocabulary.buckets import share

_SALT = re.compile(r"^[A-Za-z0-9][A-Za-z0-9_:-]*$")
RANKS = ("top_percent", "top_n")


@dataclass(frozen=True)
class SampleLeaf(Leaf):
    """A share of the people, the same every night: those with a bucket below it. A larger share only adds people."""

    percent: float
    salt: str

    def normal(self) -> dict[str, Any]:
        """Give share and salt."""
        return {"sample": {"percent": self.percent, "salt": self.salt}}

    @property
    def buckets(self) -> int:
        """How many of the 10,000 buckets are in the sample."""
        return share(self.percent)


@dataclass(frozen=True)
class RankLeaf(Leaf):
    """Those whose value of a tag is among the highest of a group: a percentage of it, rounded up, or a number of people.

    Of equal values the smaller hash of salt and OneID is the higher one. Outside the group the answer is false; without a value
    it is unknown, and such people are not counted in the percentage. ``within`` is ``template`` where a branch has a base of its
    own: what head office ranks it ranks within its own base.
    """

    tag: str
    top_percent: float | None
    top_n: int | None
    within: Literal["base", "template", "all"]
    salt: str
    version: str = ANY_VERSION

    def normal(self) -> dict[str, Any]:
        """Give tag, size, group and salt."""
        size: dict[str, Any] = (
            {"top_n": self.top_n} if self.top_n is not None else {"top_percent": self.top_percent}
        )
        version = {"version": self.version} if self.version != ANY_VERSION else {}
        return {"rank": {"tag": self.tag, **size, "within": self.within, "salt": self.salt, **version}}

    @property
    def tags(self) -> tuple[str, ...]:
        """The tag that ranks."""
        return (self.tag,)

    @property
    def shares(self) -> int:
        """The percentage as a number of ten-thousandths."""
        return share(self.top_percent or 0)


def read_sample(tree: Any, line: int | None, file: Complaints) -> SampleLeaf:
    """Read ``{sample: {percent, salt}}``; the salt is that of the file's owner unless it is named."""
    file.only(tree, ("sample",))
    body = file.mapping(tree, "sample", "{percent}", line)
    file.only(body, ("percent", "salt"))
    percent = _percent(body, "percent", "sample.percent", file)
    return SampleLeaf(percent, _salt(body, f"sample:{file.owner}", file), line=line)


def read_rank(tree: Any, line: int | None, file: Complaints) -> RankLeaf:
    """Read ``{tag, top_percent | top_n, within: base | all}``."""
    file.only(tree, ("tag", "version", *RANKS, "within", "salt", "include_unknown"))
    if all(word in tree for word in RANKS):
        raise file.fault("'top_percent' and 'top_n' in one condition; write one of them", line)
    top_n = plain(tree.get("top_n"))
    if "top_n" in tree and not (is_whole(top_n) and 1 <= top_n <= MOST_WHOLE):
        raise file.fault(
            f"'top_n' takes a number of people of at least 1 and at most {MOST_WHOLE:,}",
            line_of(tree, "top_n"),
        )
    percent = _percent(tree, "top_percent", "top_percent", file) if "top_percent" in tree else None
    within = tree.get("within", "base")
    if within not in ("base", "all"):
        raise file.fault(
            "'within' takes base, or all for everybody with a value", line_of(tree, "within") or line
        )
    return RankLeaf(
        str(tree["tag"]),
        percent,
        top_n,
        file.base if within == "base" else within,
        _salt(tree, f"rank:{file.owner}", file),
        str(tree.get("version", ANY_VERSION)),
        line=line,
        include_unknown=file.include_unknown(tree),
    )


def _percent(tree: Any, key: str, name: str, file: Complaints) -> float:
    value = plain(tree.get(key))
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not is_number or not 0 < value < 100 or share(value) != value * 100:
        raise file.fault(
            f"'{name}' takes a number above 0 and below 100 with at most two decimals", line_of(tree, key)
        )
    return float(value)


def _salt(tree: Any, own: str, file: Complaints) -> str:
    if "salt" not in tree:
        return own
    salt = str(tree["salt"])
    if not _SALT.match(salt):
        raise file.fault("a salt is made of letters, digits, _, - and :", line_of(tree, "salt"))
    return salt
