"""What the values of a delivered column look like: type, how a day is written, codes, identifiers; no value leaves.

Shapes are judged on distinct values of a sample. ``ColumnShape`` carries counts, a masked example, and the codes of
enumerations that many records share; it never carries what belongs to one person.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import date
from typing import Literal

from ingestion.onboarding.masking import masked_text

JUDGED_VALUES = 1500
# A shape holds when at least this share of the distinct values has it; the rest are faults to be refused.
SHARE = 0.95
# A code is shown only when so many records carry it: a value of a few people could be theirs alone.
SHARED_BY = 5
MOST_CODES = 30
LONGEST_CODE = 24

Type = Literal["empty", "integer", "decimal", "boolean", "date", "timestamp", "text"]

# How days and instants are written: (name in words, pattern of the text, Spark's pattern; None for its own parser).
DAYS: tuple[tuple[str, str, str | None], ...] = (
    ("yyyy-mm-dd", r"(?P<y>\d{4})-(?P<m>\d{1,2})-(?P<d>\d{1,2})", "yyyy-M-d"),
    ("yyyymmdd", r"(?P<y>(?:18|19|20|99)\d{2})(?P<m>\d{2})(?P<d>\d{2})", "yyyyMMdd"),
    ("yyyy/mm/dd", r"(?P<y>\d{4})/(?P<m>\d{1,2})/(?P<d>\d{1,2})", "yyyy/M/d"),
    ("yyyy.mm.dd", r"(?P<y>\d{4})\.(?P<m>\d{1,2})\.(?P<d>\d{1,2})", "yyyy.M.d"),
    ("yyyy年mm月dd日", r"(?P<y>\d{4})年(?P<m>\d{1,2})月(?P<d>\d{1,2})日", "yyyy年M月d日"),
    ("dd.mm.yyyy", r"(?P<d>\d{1,2})\.(?P<m>\d{1,2})\.(?P<y>\d{4})", "d.M.yyyy"),
    ("dd/mm/yyyy", r"(?P<d>\d{1,2})/(?P<m>\d{1,2})/(?P<y>\d{4})", "d/M/yyyy"),
    ("mm/dd/yyyy", r"(?P<m>\d{1,2})/(?P<d>\d{1,2})/(?P<y>\d{4})", "M/d/yyyy"),
    ("dd-mm-yyyy", r"(?P<d>\d{1,2})-(?P<m>\d{1,2})-(?P<y>\d{4})", "d-M-yyyy"),
    ("yymmdd", r"(?P<y>\d{2})(?P<m>\d{2})(?P<d>\d{2})", None),
)
INSTANTS: tuple[tuple[str, str, str | None], ...] = (
    ("iso with zone", r"\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}(:\d{2}(\.\d+)?)?\s?(Z|UTC|[+-]\d{2}:?\d{2})", None),
    ("iso", r"\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}(:\d{2}(\.\d+)?)?", None),
    ("yyyymmddhhmmss", r"20\d{2}(0[1-9]|1[0-2])([0-2]\d|3[01])[0-2]\d[0-5]\d[0-5]\d", "yyyyMMddHHmmss"),
    ("yyyy/mm/dd hh:mm:ss", r"\d{4}/\d{1,2}/\d{1,2} \d{1,2}:\d{2}:\d{2}", "yyyy/M/d H:mm:ss"),
    ("yyyy年mm月dd日 hh:mm:ss", r"\d{4}年\d{1,2}月\d{1,2}日 ?\d{1,2}:\d{2}:\d{2}", "yyyy年M月d日 H:mm:ss"),
    ("yymmdd hh:mm:ss", r"\d{6} \d{2}:\d{2}:\d{2}", "yyMMdd HH:mm:ss"),
    ("milliseconds since 1970", r"1[0-9]{12}", None),
    ("seconds since 1970", r"1[0-9]{9}", None),
)
# Numbers that went through a floating column on their way: 17850.0 stands for 17850.
WITH_POINT_ZERO = "with .0 behind it"
_BOOLEANS = (("y", "n"), ("yes", "no"), ("true", "false"), ("t", "f"), ("是", "否"), ("1", "0"), ("有", "无"))
_INTEGER = re.compile(r"[-+]?\d{1,18}")
# Spreadsheets write 100000 as 1e+05; Spark casts both.
_DECIMAL = re.compile(r"[-+]?(\d+\.\d*|\.\d+|\d+)([eE][-+]?\d{1,2})?")
_THOUSANDS = re.compile(r"[-+]?[¥￥$€]?[-+]?\d{1,3}([,，]\d{3})*(\.\d+)?")


@dataclass(frozen=True)
class ColumnShape:
    """What a sample shows of one column; ``codes`` maps shared values to how many records carry them."""

    name: str
    type: Type
    records: int
    value_count: int
    distinct: int
    example: str
    notation: str = ""
    has_thousands: bool = False
    identifier: str | None = None
    hash_method: str | None = None
    has_words: bool = False
    codes: dict[str, int] = field(default_factory=dict)
    newest_day: date | None = None

    @property
    def is_unique(self) -> bool:
        """Whether every record has a value of its own."""
        return self.value_count == self.records > 0 and self.distinct == self.records

    @property
    def is_nearly_unique(self) -> bool:
        """Whether so few values come back that the column is meant to be a key."""
        return self.value_count == self.records and self.distinct >= 0.97 * self.records

    @property
    def is_enumeration(self) -> bool:
        """Whether the column holds a few codes that many records share."""
        return bool(self.codes)


def shape_of(name: str, values: list[str | None]) -> ColumnShape:
    """Give the shape of one column of a sample."""
    counts = Counter(value.strip() for value in values if value and value.strip())
    value_count = sum(counts.values())
    if not counts:
        return ColumnShape(name, "empty", len(values), 0, 0, "")
    distinct = _distinct_values(counts)
    kind, notation, thousands = _type_of(distinct, name)
    identifier, hash_method = identifier_of(distinct)
    if identifier in ("national_id", "phone", "bank_card", "imei"):
        kind, notation = "text", ""
    return ColumnShape(
        name=name,
        type=kind,
        records=len(values),
        value_count=value_count,
        distinct=len(counts),
        example=(masked_text(distinct[0]) or "")[:32],
        notation=notation,
        has_thousands=thousands,
        identifier=identifier,
        hash_method=hash_method,
        has_words=sum(" " in value for value in distinct) > len(distinct) / 2,
        codes=_codes(counts, value_count) if identifier is None else {},
        newest_day=_newest_day(counts, kind, notation),
    )


def _distinct_values(counts: Counter[str]) -> list[str]:
    """Give distinct values to judge by, evenly taken from all, the same for the same sample."""
    distinct = sorted(counts)
    step = max(1, len(distinct) // JUDGED_VALUES)
    return distinct[::step]


def _codes(counts: Counter[str], value_count: int) -> dict[str, int]:
    if len(counts) > MOST_CODES or len(counts) * SHARED_BY > value_count:
        return {}
    shared = {value: times for value, times in sorted(counts.items()) if times >= SHARED_BY}
    return shared if all(len(value) <= LONGEST_CODE for value in shared) else {}


def _type_of(values: list[str], name: str) -> tuple[Type, str, bool]:
    """Give type, how it is written, and whether thousands are separated."""
    lowered = {value.lower() for value in values}
    if any(lowered <= set(pair) and (len(lowered) == 2 or pair != ("1", "0")) for pair in _BOOLEANS):
        return "boolean", "", False
    notation = next((notation for notation, pattern, _ in INSTANTS if _all(values, pattern)), None)
    if notation and ("since 1970" not in notation or re.search(r"time|_at$|ts$|stamp|date|时间", name, re.I)):
        return "timestamp", notation, False
    for notation, pattern, _ in DAYS:
        if not _share_of_days(values, pattern) >= SHARE:
            continue
        if notation not in ("yymmdd", "yyyymmdd") or _is_worth_a_day(notation, values, name):
            return "date", notation, False
    if _share(values, _INTEGER.fullmatch) >= SHARE:
        return "integer", "", False
    if _share(values, re.compile(r"\d+\.0").fullmatch) >= SHARE:
        return "integer", WITH_POINT_ZERO, False
    if _share(values, _DECIMAL.fullmatch) >= SHARE:
        return "decimal", "", False
    if _share(values, _THOUSANDS.fullmatch) >= SHARE:
        return "decimal", "", True
    return "text", "", False


def _is_worth_a_day(notation: str, values: list[str], name: str) -> bool:
    """Tell days from numbers that could be read as days: the name says so, or many differ and all are days."""
    if re.search(r"date|day|birth|born|_on$|dt$|time|issued|日|时间|生", name, re.I):
        return True
    return notation == "yyyymmdd" and len(values) > 3


def _all(values: list[str], pattern: str) -> bool:
    return _share(values, re.compile(pattern).fullmatch) >= SHARE


def _share(values: Iterable[str], holds: Callable[[str], object]) -> float:
    all_values = list(values)
    return sum(1 for value in all_values if holds(value)) / len(all_values)


def _share_of_days(values: list[str], pattern: str) -> float:
    expression = re.compile(pattern)
    return sum(1 for value in values if _day(expression.fullmatch(value))) / len(values)


def _day(match: re.Match[str] | None) -> date | None:
    if match is None:
        return None
    year = int(match["y"])
    if len(match["y"]) == 2:
        year += 1900 if year >= 50 else 2000
    try:
        return date(year, int(match["m"]), int(match["d"]))
    except ValueError:
        return None


def _newest_day(counts: Counter[str], kind: Type, notation: str) -> date | None:
    """Give the newest day of a date column, or of instants that begin with one."""
    if kind == "timestamp" and notation.startswith("iso"):
        pattern, texts = DAYS[0][1], {value[:10] for value in counts}
    elif kind == "date":
        pattern, texts = next(text for day_notation, text, _ in DAYS if day_notation == notation), set(counts)
    else:
        return None
    expression = re.compile(pattern)
    days = [day for day in (_day(expression.fullmatch(text)) for text in texts) if day and day.year < 2100]
    return max(days, default=None)


# --- identifiers by shape ---------------------------------------------------------------------------------------

_PROVINCES = {
    *range(11, 16),
    *range(21, 24),
    *range(31, 38),
    *range(41, 47),
    *range(50, 55),
    *range(61, 66),
    71,
    81,
    82,
    83,
    91,
}


def is_national_id(value: str) -> bool:
    """Tell whether a text is a resident identity number: region, birth date and, of 18 signs, the check digit (GB 11643)."""
    match = re.fullmatch(r"(\d{6})((?:18|19|20)?\d{2})(\d{2})(\d{2})(\d{3})([\dXx]?)", value)
    if not match or len(value) not in (15, 18) or (len(value) == 15) == bool(match[6]):
        return False
    if int(value[:2]) not in _PROVINCES:
        return False
    try:
        date(int(match[2]) if len(match[2]) == 4 else 1900 + int(match[2]), int(match[3]), int(match[4]))
    except ValueError:
        return False
    if len(value) == 15:
        return True
    weights = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
    total = sum(int(sign) * weight for sign, weight in zip(value[:17], weights, strict=True))
    return "10X98765432"[total % 11] == value[17].upper()


def is_luhn(value: str) -> bool:
    """Tell whether a number's last digit is its Luhn check digit."""
    doubled = [int(sign) * (2 if at % 2 else 1) for at, sign in enumerate(reversed(value))]
    return sum(number - 9 * (number > 9) for number in doubled) % 10 == 0


_IDENTIFIERS: tuple[tuple[str, Callable[[str], object]], ...] = (
    ("national_id", is_national_id),
    ("phone", re.compile(r"(?:\+?86[- ]?)?1[3-9]\d(?:[- ]?\d{4}){2}").fullmatch),
    ("email", re.compile(r"[^@\s,;<>]+@[^@\s,;<>.]+(?:\.[^@\s,;<>.]+)+").fullmatch),
    ("openid", re.compile(r"o[0-9A-Za-z_-]{27}").fullmatch),
    ("imei", lambda value: re.fullmatch(r"\d{15}", value) and is_luhn(value)),
    ("bank_card", lambda value: re.fullmatch(r"(?:62|4|5[1-5]|3[4-7]|9)\d{12,18}", value) and 15 < len(value) < 20 and is_luhn(value)),
    ("device_id", re.compile(r"[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}|([0-9A-Fa-f]{2}:){5}[0-9A-Fa-f]{2}").fullmatch),
    ("md5", re.compile(r"[0-9a-f]{32}|[0-9A-F]{32}").fullmatch),
    ("sha256", re.compile(r"[0-9a-f]{64}|[0-9A-F]{64}").fullmatch),
)  # fmt: skip
# A check digit fits one random number in ten or eleven, so fewer values than this prove nothing.
FEWEST_VALUES = 3


def identifier_of(values: list[str]) -> tuple[str | None, str | None]:
    """Give the kind of identifier the values look like, and how they were hashed (``md5`` and ``sha256`` have no kind)."""
    if len(values) < FEWEST_VALUES:
        return None, None
    # Some numbers of real customers are mistyped, so a kind needs nine in ten, not all.
    for kind, holds in _IDENTIFIERS:
        if _share(values, holds) >= 0.9:
            return (None, kind) if kind in ("md5", "sha256") else (kind, None)
    return None, None
