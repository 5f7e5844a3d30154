"""What Spark reads in a delivered text, one value at a time: numbers, truths, days and instants.

DuckDB reads most texts as Spark does, in bulk. These functions are for the others, so that a night needs no JVM for the
few records that are strange. They follow Spark 4.2 with ANSI on: ``Cast``, ``SparkDateTimeUtils.stringToDate`` and
``java.time`` with strict patterns; a test asks Spark about thousands of tricky texts. A text that says no such value
gives None.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from decimal import MAX_EMAX, MIN_EMIN, ROUND_HALF_UP, Decimal, InvalidOperation, localcontext
from functools import lru_cache
from zoneinfo import ZoneInfo

# Blanks and control signs that Spark's casts leave out around a value.
_AROUND = "".join(chr(code) for code in (*range(0x21), 0x7F))
_JAVA_BLANKS = "".join(chr(code) for code in range(0x21))
_WHOLE = re.compile(r"[+-]?[0-9]+")
_NUMBER = re.compile(r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE]([+-]?\d+))?")
_DAY = re.compile(r"([+-]?)([0-9]{4,7})(?:-([0-9]{1,2})(?:-([0-9]{1,2})(?:[ T].*)?)?)?", re.DOTALL)
_DIGITS_BEYOND = 38
_DIGITS_READ = 20
_LARGEST_EXPONENT = (1 << 31) - 1
_TRUE, _FALSE = {"t", "true", "y", "yes", "1"}, {"f", "false", "n", "no", "0"}
_DAYS_OF_MONTH = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
# What a day of 32 bits can tell.
_MOST_DAYS = (1 << 31) - 2
_MICROS_OF_DAY = 86_400_000_000


def whole_number(text: str, bits: int) -> int | None:
    """Give the whole number of up to ``bits`` bits."""
    text = text.strip(_AROUND)
    if not _WHOLE.fullmatch(text):
        return None
    value = _small_number(text)
    return value if value is not None and -(1 << bits - 1) <= value < 1 << bits - 1 else None


def _small_number(text: str) -> int | None:
    """Give a number of digits and a sign, None of one beyond 20 digits (Python refuses some thousand)."""
    digits = text.lstrip("+-").lstrip("0") or "0"
    if len(digits) > _DIGITS_READ:
        return None
    return -int(digits) if text[0] == "-" else int(digits)


def decimal_number(text: str, precision: int, scale: int) -> str | None:
    """Give the decimal, rounded HALF_UP to the scale, in plain digits."""
    text = text.strip(_JAVA_BLANKS)
    # Java reads the digits of every script of the basic plane.
    match = _NUMBER.fullmatch(text)
    if match is None or not all(ord(sign) < 0x10000 for sign in text):
        return None
    if match[1] is not None:
        # Its zeros, too, may be those of another script.
        exponent = _small_number("".join(sign if sign in "+-" else str(int(sign)) for sign in match[1]))
        if exponent is None or abs(exponent) > _LARGEST_EXPONENT:
            return None
    with localcontext() as context:
        context.prec, context.Emax, context.Emin = 2000, MAX_EMAX, MIN_EMIN
        try:
            value = Decimal(text)
            # Of a zero, too, Spark counts the digits that its exponent gives.
            if value.adjusted() >= _DIGITS_BEYOND:
                return None
            if value and value.adjusted() < -_DIGITS_BEYOND - 2:
                value = Decimal(0)
            value = value.quantize(Decimal(1).scaleb(-scale), rounding=ROUND_HALF_UP)
        except InvalidOperation:
            return None
    if value and value.adjusted() >= precision - scale:
        return None
    return f"{value:f}"


def quotient(dividend: str, divisor: str, precision: int, scale: int) -> str | None:
    """Give the quotient of two decimals, rounded HALF_UP to 38 places and then to the scale; None by zero, or beyond."""
    with localcontext() as context:
        context.prec, context.rounding = 200, ROUND_HALF_UP
        if not Decimal(divisor):
            return None
        value = (Decimal(dividend) / Decimal(divisor)).quantize(Decimal(1).scaleb(-_DIGITS_BEYOND))
        value = value.quantize(Decimal(1).scaleb(-scale))
    if value and value.adjusted() >= precision - scale:
        return None
    return f"{value:f}"


def truth(text: str) -> bool | None:
    """Give the truth a text says."""
    word = text.strip(_AROUND).lower()
    return True if word in _TRUE else False if word in _FALSE else None


def day(text: str) -> int | None:
    """Give the day, in days since 1970, of a year, a year and month, or a date with whatever follows a blank or a T."""
    match = _DAY.fullmatch(text.strip(_AROUND))
    if match is None:
        return None
    sign, year, month, of_month = match.groups()
    return day_number(int(sign + year), int(month or 1), int(of_month or 1))


def day_number(year: int, month: int, of_month: int) -> int | None:
    """Give the days since 1970 of a day of the proleptic Gregorian calendar, None of one that does not exist.

    Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms", days_from_civil.
    """
    if not 1 <= month <= 12:
        return None
    is_leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    if not 1 <= of_month <= _DAYS_OF_MONTH[month - 1] + (month == 2 and is_leap):
        return None
    year -= month <= 2
    era, of_era = divmod(year, 400)
    of_year = (153 * (month + (-3 if month > 2 else 9)) + 2) // 5 + of_month - 1
    days = era * 146097 + of_era * 365 + of_era // 4 - of_era // 100 + of_year - 719468
    return days if abs(days) < _MOST_DAYS else None


def day_text(days: int) -> str:
    """Give a day, in days since 1970, as Spark writes it; years beyond four digits have a sign.

    Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms", civil_from_days.
    """
    era, of_era = divmod(days + 719468, 146097)
    year_of_era = (of_era - of_era // 1460 + of_era // 36524 - of_era // 146096) // 365
    of_year = of_era - (365 * year_of_era + year_of_era // 4 - year_of_era // 100)
    from_march = (5 * of_year + 2) // 153
    month = from_march + (3 if from_march < 10 else -9)
    year = year_of_era + era * 400 + (month <= 2)
    sign = "-" if year < 0 else "+" if year > 9999 else ""
    return f"{sign}{abs(year):04d}-{month:02d}-{of_year - (153 * from_march + 2) // 5 + 1:02d}"


def _clock(hour: int, minute: int, second: int) -> int | None:
    """Give the microseconds since midnight."""
    if hour > 23 or minute > 59 or second > 59:
        return None
    return ((hour * 60 + minute) * 60 + second) * 1_000_000


def _with_offset(days: int, clock: int, offset: str) -> int | None:
    """Give the instant of a day and its clock with ``Z`` or an offset such as +08:00, which is at most 18 hours."""
    seconds = 0
    if offset.upper() != "Z":
        hours, minutes = int(offset[1:3]), int(offset[4:6])
        seconds = hours * 3600 + minutes * 60
        if minutes > 59 or seconds > 18 * 3600:
            return None
    return days * _MICROS_OF_DAY + clock - (-seconds if offset[0] == "-" else seconds) * 1_000_000


def instant_in(days: int, clock: int, zone: str) -> int:
    """Give the instant of a day and the microseconds of its clock in a zone; of two the first, of none the one after."""
    place = _zone(zone)
    seconds, micros = divmod(clock, 1_000_000)
    # Years that Python does not know have the offset of the nearest that it does.
    near = min(max(days, _FIRST), _LAST)
    local = datetime(1970, 1, 1) + timedelta(days=near, seconds=seconds)
    offset = local.replace(tzinfo=place).utcoffset() or timedelta()
    return (days * 86_400 + seconds) * 1_000_000 + micros - offset // timedelta(microseconds=1)


def utc_of(micros: int, zone: str) -> int:
    """Give the instant at which a clock in a zone shows what a clock of UTC shows at ``micros``."""
    return instant_in(*divmod(micros, _MICROS_OF_DAY), zone)


def clock_of(micros: int, zone: str) -> int:
    """Give the instant at which a clock of UTC shows what a clock in a zone shows at ``micros``."""
    near = min(max(micros // _MICROS_OF_DAY, _FIRST), _LAST)
    utc = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(days=near, microseconds=micros % _MICROS_OF_DAY)
    offset = utc.astimezone(_zone(zone)).utcoffset() or timedelta()
    return micros + offset // timedelta(microseconds=1)


@lru_cache(maxsize=64)
def _zone(name: str) -> ZoneInfo | timezone:
    return ZoneInfo(name)


def upper(text: str) -> str:
    """Give a text in capitals, by the full tables of Unicode."""
    return text.upper()


def lower(text: str) -> str:
    """Give a text in small letters, by the full tables of Unicode."""
    return text.lower()


# ---------------------------------------------------------------------------- patterns of java.time

_FIELDS = {
    "yyyy": (r"(?P<y>-[0-9]{4,19}|[0-9]{4}|\+[0-9]{5,19})", "y"),
    "MM": (r"(?P<M>[0-9]{2})", "M"),
    "M": (r"(?P<M>[0-9]{1,19})", "M"),
    "dd": (r"(?P<d>[0-9]{2})", "d"),
    "d": (r"(?P<d>[0-9]{1,19})", "d"),
    "HH": (r"(?P<H>[0-9]{2})", "H"),
    "H": (r"(?P<H>[0-9]{1,19})", "H"),
    "mm": (r"(?P<m>[0-9]{2})", "m"),
    "m": (r"(?P<m>[0-9]{1,19})", "m"),
    "ss": (r"(?P<s>[0-9]{2})", "s"),
    "s": (r"(?P<s>[0-9]{1,19})", "s"),
    "XXX": (r"(?P<X>Z|[+-][0-9]{2}:[0-9]{2})", "X"),
}
_PART = re.compile(r"([A-Za-z])\1*|'((?:[^']|'')*)'|[^A-Za-z']")
_SIGNS = "-/.: ,_年月日"


class UnknownPattern(ValueError):
    """A pattern of dates that is not read here."""


@lru_cache(maxsize=256)
def pattern_of(form: str) -> re.Pattern[str]:
    """Give the regular expression of a pattern of java.time; ``UnknownPattern`` of one with other parts than are known."""
    parts, fields, is_open = [], [], False
    at = 0
    for match in _PART.finditer(form):
        if match.start() != at:
            raise UnknownPattern(form)
        at = match.end()
        part, literal = match[0], match[2]
        if literal is not None:
            parts.append(re.escape(literal.replace("''", "'") or "'"))
            is_open = False
        elif part[0].isalpha() and part[0].isascii():
            if part not in _FIELDS:
                raise UnknownPattern(form)
            text, name = _FIELDS[part]
            # A number of open length would take the digits of the next one.
            if name in fields or (is_open and name != "X"):
                raise UnknownPattern(form)
            parts.append(text)
            fields.append(name)
            is_open = len(part) == 1
        elif part in _SIGNS:
            parts.append(re.escape(part))
            is_open = False
        else:
            raise UnknownPattern(form)
    if at != len(form) or not {"y", "M", "d"} <= set(fields):
        raise UnknownPattern(form)
    # Spark lets java.time read letters of either case.
    return re.compile("".join(parts), re.IGNORECASE)


def day_by(text: str, form: str) -> int | None:
    """Give the day that a text says in a pattern, in days since 1970."""
    match = pattern_of(form).fullmatch(text)
    if match is None or _clock_of(match) is None:
        return None
    return _day_of(match)


def instant_by(text: str, form: str, zone: str) -> int | None:
    """Give the instant that a text says in a pattern, in microseconds since 1970; without an offset in ``zone``."""
    match = pattern_of(form).fullmatch(text)
    if match is None:
        return None
    days, clock, offset = _day_of(match), _clock_of(match), match.groupdict().get("X")
    if days is None or clock is None:
        return None
    return instant_in(days, clock, zone) if offset is None else _with_offset(days, clock, offset)


def _day_of(match: re.Match[str]) -> int | None:
    return day_number(int(match["y"]), int(match["M"]), int(match["d"]))


def _clock_of(match: re.Match[str]) -> int | None:
    parts = match.groupdict()
    return _clock(*(int(parts.get(name) or 0) for name in "Hms"))


# ---------------------------------------------------------------------------- decimals that are lost

_PLAIN = re.compile(r"[-+]?([0-9]+[.]?[0-9]*|[.][0-9]+)([eE][-+]?[0-9]+)?")
_LIKE_NUMBER = re.compile(r"(?P<whole>[0-9]*)[.]?(?P<decimals>[0-9]*)(?:[eE](?P<exponent>[-+]?[0-9]+))?")


def has_more_decimals(text: str, scale: int) -> bool:
    """Tell whether a number, plain or with an exponent, has digits other than 0 beyond ``scale`` decimals."""
    text = text.strip(" ")
    if not _PLAIN.fullmatch(text):
        return False
    match = _LIKE_NUMBER.fullmatch(text.lstrip("+-"))
    assert match is not None
    digits = (match["whole"] + match["decimals"]).rstrip("0")
    if not digits.strip("0"):
        return False
    decimals = len(match["decimals"]) - (len(match["whole"] + match["decimals"]) - len(digits))
    exponent = _small_number(match["exponent"] or "0")
    # Spark's text reads exponents as 32-bit numbers, and one beyond them as very small.
    is_read = exponent is not None and -(1 << 31) <= exponent < 1 << 31
    shift = exponent if is_read and exponent is not None else -1_000_000
    return decimals - shift > scale


_FIRST, _LAST = day_number(1, 1, 2) or 0, day_number(9999, 12, 30) or 0

# By name in SQL: the function, the types of what it is given, and of what it gives.
FUNCTIONS: dict[str, tuple[Callable[..., object], tuple[str, ...], str]] = {
    "read_whole": (whole_number, ("VARCHAR", "INTEGER"), "BIGINT"),
    "read_decimal": (decimal_number, ("VARCHAR", "INTEGER", "INTEGER"), "VARCHAR"),
    "quotient": (quotient, ("VARCHAR", "VARCHAR", "INTEGER", "INTEGER"), "VARCHAR"),
    "read_truth": (truth, ("VARCHAR",), "BOOLEAN"),
    "read_day": (day, ("VARCHAR",), "INTEGER"),
    "read_day_by": (day_by, ("VARCHAR", "VARCHAR"), "INTEGER"),
    "read_instant_by": (instant_by, ("VARCHAR", "VARCHAR", "VARCHAR"), "BIGINT"),
    "clock_of": (clock_of, ("BIGINT", "VARCHAR"), "BIGINT"),
    "utc_of": (utc_of, ("BIGINT", "VARCHAR"), "BIGINT"),
    "say_day": (day_text, ("INTEGER",), "VARCHAR"),
    "full_upper": (upper, ("VARCHAR",), "VARCHAR"),
    "full_lower": (lower, ("VARCHAR",), "VARCHAR"),
    "has_more_decimals": (has_more_decimals, ("VARCHAR", "INTEGER"), "BOOLEAN"),
}
