"""Normalisers: the delivered text of an identifier becomes one canonical value, or a reason why it is none.

Every normaliser is a pure function over an Arrow array of *distinct* values and works in C++ or numpy, never
value by value. It gives ``(values, reasons)``: where the reason is not null the value is an attribute, not an
identifier, and links nobody.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc


class Normalised(NamedTuple):
    """Canonical values and, where a value is unusable, the reason (``form``, ``check_digit``, ``landline`` …)."""

    values: pa.StringArray
    reasons: pa.StringArray


Normaliser = Callable[[pa.StringArray], Normalised]

# GB/T 2260: first two digits of a resident identity number; 81-83 are residence permits of Hong Kong, Macau, Taiwan.
_PROVINCES = np.r_[11:16, 21:24, 31:38, 41:47, 50:55, 61:66, 71, 81:84, 91]
_ID_WEIGHTS = np.array([7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2])  # GB 11643, ISO 7064 MOD 11-2
_ID_CHECKS = np.frombuffer(b"10X98765432", dtype=np.uint8)
_CREDIT_ALPHABET = "0123456789ABCDEFGHJKLMNPQRTUWXY"  # GB 32100: no I, O, S, V, Z
_CREDIT_WEIGHTS = np.array([3**i % 31 for i in range(17)])
_DAYS = np.array([0, 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31])


def _half_width(values: pa.StringArray) -> pa.StringArray:
    """NFKC turns full-width digits, letters and spaces into the ones a keyboard gives; then trim."""
    text = pc.utf8_normalize(values.cast(pa.string()), form="NFKC")
    return pc.utf8_trim_whitespace(pc.replace_substring_regex(text, r"[\x{200b}\x{feff}\x{2060}]", ""))


def _without(values: pa.StringArray, pattern: str) -> pa.StringArray:
    return pc.replace_substring_regex(values, pattern, "")


def _reasons(size: int) -> np.ndarray:
    return np.full(size, None, dtype=object)


def _normalised(values: pa.StringArray, reasons: np.ndarray) -> Normalised:
    empty = np.asarray(pc.equal(pc.utf8_length(pc.fill_null(values, "")), 0))
    reasons[empty] = "empty"
    why_not = pa.array(reasons.tolist(), type=pa.string())
    valid = pc.if_else(pc.is_null(why_not), values, pa.scalar(None, pa.string()))
    return Normalised(valid, why_not)


def _by_form(values: pa.StringArray, pattern: str, reason: str = "form") -> Normalised:
    reasons = _reasons(len(values))
    reasons[~np.asarray(pc.fill_null(pc.match_substring_regex(values, pattern), False))] = reason
    return _normalised(values, reasons)


def _digits(values: pa.StringArray, width: int) -> np.ndarray:
    """Give the characters of equally long ASCII strings as a (rows, width) byte matrix."""
    if len(values) == 0:
        return np.zeros((0, width), dtype=np.uint8)
    fixed = np.array(values.to_pylist(), dtype=f"S{width}")
    return fixed.view(np.uint8).reshape(len(fixed), width)


def exact(values: pa.StringArray) -> Normalised:
    """Half-width and trimmed, otherwise as delivered: numbers other systems gave out."""
    return _normalised(_half_width(values), _reasons(len(values)))


def lower_case(values: pa.StringArray) -> Normalised:
    """Half-width, trimmed, lower case."""
    return _normalised(pc.utf8_lower(_half_width(values)), _reasons(len(values)))


def national_id(values: pa.StringArray) -> Normalised:
    """Resident identity number: 18 characters with region, birth date and check digit verified.

    A 15-digit number (issued until 1999) becomes its 18-digit form: the century is 19, the check digit is computed.
    Reasons: ``form``, ``region``, ``birth_date``, ``check_digit``.
    """
    text = pc.utf8_upper(_without(_half_width(values), r"[\s\-]"))
    reasons = _reasons(len(text))
    long_form = np.asarray(pc.fill_null(pc.match_substring_regex(text, r"^[0-9]{17}[0-9X]$"), False))
    short_form = np.asarray(pc.fill_null(pc.match_substring_regex(text, r"^[0-9]{15}$"), False))
    reasons[~(long_form | short_form)] = "form"
    result = np.array(text.to_pylist(), dtype=object)

    body = np.zeros((len(text), 17), dtype=np.int64)
    body[long_form] = _digits(text.filter(pa.array(long_form)), 18)[:, :17].astype(np.int64) - 48
    short = _digits(text.filter(pa.array(short_form)), 15).astype(np.int64) - 48
    body[short_form] = np.hstack([short[:, :6], np.tile([1, 9], (len(short), 1)), short[:, 6:]])
    checks = _ID_CHECKS[(body @ _ID_WEIGHTS) % 11]

    check_characters = _digits(text.filter(pa.array(long_form)), 18)[:, 17]
    wrong = np.zeros(len(text), dtype=bool)
    wrong[long_form] = check_characters != checks[long_form]
    usable = long_form | short_form
    reasons[usable & wrong] = "check_digit"
    year = body[:, 6] * 1000 + body[:, 7] * 100 + body[:, 8] * 10 + body[:, 9]
    month, day = body[:, 10] * 10 + body[:, 11], body[:, 12] * 10 + body[:, 13]
    leap = (year % 4 == 0) & ((year % 100 != 0) | (year % 400 == 0))
    last = _DAYS[np.clip(month, 0, 12)] + ((month == 2) & leap)
    real_day = (month >= 1) & (month <= 12) & (day >= 1) & (day <= last) & (year >= 1850) & (year <= 2100)
    reasons[usable & ~real_day] = "birth_date"
    reasons[usable & ~np.isin(body[:, 0] * 10 + body[:, 1], _PROVINCES)] = "region"
    for row in np.flatnonzero(short_form):
        result[row] = "".join(map(str, body[row])) + chr(checks[row])
    return _normalised(pa.array(result.tolist(), type=pa.string()), reasons)


def facts_of_national_ids(values: pa.StringArray) -> tuple[np.ndarray, np.ndarray]:
    """Give birth date (days since 1970, int32) and gender (1 man, 0 woman) that valid 18-digit numbers state."""
    signs = _digits(values, 18).astype(np.int64) - 48
    weights = np.array([1000, 100, 10, 1])
    years, months, days = (
        signs[:, 6:10] @ weights,
        signs[:, 10:12] @ weights[2:],
        signs[:, 12:14] @ weights[2:],
    )
    first = ((years - 1970) * 12 + months - 1).astype("datetime64[M]").astype("datetime64[D]")
    return (first.astype(np.int64) + days - 1).astype(np.int32), (signs[:, 16] % 2).astype(np.int8)


def china_mobile(values: pa.StringArray) -> Normalised:
    """Mobile number of mainland China, 11 digits; ``+86``, ``0086``, spaces, dashes and brackets are stripped.

    Reasons: ``landline`` for a fixed line (shared by a household or an office), ``form`` for anything else.
    """
    text = _without(_half_width(values), r"[\s\-‐-―().·/]")
    text = pc.replace_substring_regex(text, r"^(?:\+|00)?86(1[0-9]{10})$", r"\1")
    text = pc.replace_substring_regex(text, r"^0(1[3-9][0-9]{9})$", r"\1")
    reasons = _reasons(len(text))
    mobile = np.asarray(pc.fill_null(pc.match_substring_regex(text, r"^1[3-9][0-9]{9}$"), False))
    reasons[~mobile] = "form"
    bare = pc.replace_substring_regex(text, r"^(?:\+|00)?86", "0")
    fixed = np.asarray(
        pc.fill_null(pc.match_substring_regex(bare, r"^(?:0{1,2}[1-9][0-9]{8,10}|[2-8][0-9]{6,7})$"), False)
    )
    reasons[~mobile & fixed] = "landline"
    return _normalised(text, reasons)


def international_phone(values: pa.StringArray) -> Normalised:
    """Give a number with country code, 8 to 15 digits after ``+`` (E.164); ``00`` counts as ``+``."""
    text = pc.replace_substring_regex(_without(_half_width(values), r"[\s\-().·/]"), r"^00", "+")
    return _by_form(text, r"^\+[1-9][0-9]{7,14}$")


def email(values: pa.StringArray) -> Normalised:
    """E-mail address in lower case. Dots and ``+tags`` stay: only their owner's provider knows what they mean."""
    text = pc.utf8_lower(_half_width(values))
    return _by_form(text, r"^[^@\s,;<>]+@[^@\s,;<>.]+(?:\.[^@\s,;<>.]+)+$")


def passport(values: pa.StringArray) -> Normalised:
    """Passport number, 6 to 12 letters and digits, at least four of them digits."""
    text = pc.utf8_upper(_without(_half_width(values), r"[\s\-]"))
    return _by_form(text, r"^[A-Z0-9]{0,4}[0-9]{4,12}[A-Z0-9]{0,2}$")


def travel_permit(values: pa.StringArray) -> Normalised:
    """Permit of residents of Hong Kong, Macau and Taiwan (H, M, C, W and digits, or 8 to 10 digits)."""
    text = pc.utf8_upper(_without(_half_width(values), r"[\s\-()]"))
    return _by_form(text, r"^(?:[HMCW][A-Z0-9]?[0-9]{7,10}|[0-9]{8,10}[A-Z]?)$")


def credit_code(values: pa.StringArray) -> Normalised:
    """Unified social credit code of a company, 18 characters with check character (GB 32100)."""
    text = pc.utf8_upper(_without(_half_width(values), r"[\s\-]"))
    reasons = _reasons(len(text))
    formed = np.asarray(pc.fill_null(pc.match_substring_regex(text, rf"^[{_CREDIT_ALPHABET}]{{18}}$"), False))
    reasons[~formed] = "form"
    place = np.zeros(128, dtype=np.int64)
    place[[ord(sign) for sign in _CREDIT_ALPHABET]] = np.arange(31)
    ranks = place[_digits(text.filter(pa.array(formed)), 18)]
    wrong = np.zeros(len(text), dtype=bool)
    wrong[formed] = (31 - (ranks[:, :17] @ _CREDIT_WEIGHTS) % 31) % 31 != ranks[:, 17]
    reasons[wrong] = "check_digit"
    return _normalised(text, reasons)


def bank_card(values: pa.StringArray) -> Normalised:
    """Card number, 12 to 19 digits that pass the Luhn check."""
    text = _without(_half_width(values), r"[\s\-]")
    reasons = _reasons(len(text))
    formed = np.asarray(pc.fill_null(pc.match_substring_regex(text, r"^[0-9]{12,19}$"), False))
    reasons[~formed] = "form"
    reasons[np.flatnonzero(formed)[~_luhn(text.filter(pa.array(formed)))]] = "check_digit"
    return _normalised(text, reasons)


def _luhn(values: pa.StringArray) -> np.ndarray:
    padded = pc.utf8_lpad(values, 20, "0")
    digits = _digits(padded, 20).astype(np.int64) - 48
    doubled = digits[:, 0::2] * 2
    return ((doubled - 9 * (doubled > 9)).sum(axis=1) + digits[:, 1::2].sum(axis=1)) % 10 == 0


def device_id(values: pa.StringArray) -> Normalised:
    """Device number (IMEI, OAID, IDFA, MAC, cookie) in lower case, at least 8 characters."""
    text = pc.utf8_lower(_half_width(values))
    return _by_form(text, r"^[0-9a-z][0-9a-z:_.\-]{7,127}$")


def platform_id(values: pa.StringArray) -> Normalised:
    """Id a platform gave out (openid, unionid, external_userid): case matters, 6 to 64 safe characters."""
    return _by_form(_half_width(values), r"^[0-9A-Za-z_\-]{6,64}$")


NORMALISERS: dict[str, Normaliser] = {
    "exact": exact,
    "lower_case": lower_case,
    "national_id": national_id,
    "china_mobile": china_mobile,
    "international_phone": international_phone,
    "email": email,
    "passport": passport,
    "travel_permit": travel_permit,
    "credit_code": credit_code,
    "bank_card": bank_card,
    "device_id": device_id,
    "platform_id": platform_id,
}


# A mask tells so many characters; a key that is not longer would not be hidden by it.
MASK_TELLS = 5


def masked(namespace: str, values: pa.StringArray) -> pa.StringArray:
    """Give forms people may see: first three and last characters, the rest as stars; an e-mail keeps its domain."""
    if namespace.split("@")[0] == "email":
        return pc.replace_substring_regex(values, r"^(.).*@", r"\1***@")
    if namespace.split("@")[0] == "phone":
        return pc.replace_substring_regex(values, r"^(.{3}).*(.{4})$", r"\1****\2")
    return pc.replace_substring_regex(values, r"^(.{0,3}).*?(.{0,2})$", r"\1***\2")


def shown_key(key: str, identifiers: Iterable[tuple[str, str]], *, is_revealed: bool = False) -> str:
    """Give a record's key as people may see it: masked where it is an identifier that the record carries.

    ``identifiers`` has namespace and masked form of each; a key that would have the same masked form is taken for it.
    """
    for namespace, mask in identifiers:
        if (
            not is_revealed
            and len(key) > MASK_TELLS
            and str(masked(namespace, pa.array([key]))[0].as_py()) == mask
        ):
            return mask
    return key


def keyed(namespace: str, values: pa.StringArray, key: bytes) -> pa.StringArray:
    """Give HMAC-SHA-256 of namespace and value under ``key``, its first 128 bits as 32 hexadecimal digits.

    The namespace is part of the message, so equal values of two namespaces do not look equal.
    """
    prefix = namespace.encode() + b"\x1f"
    digest = hmac.digest
    name = hashlib.sha256().name
    return pa.array(
        [digest(key, prefix + v.encode(), name)[:16].hex() for v in values.to_pylist()], type=pa.string()
    )
