"""Phone numbers and e-mail addresses in the forms that ad platforms hash, and their SHA-256.

Platforms compare hashes, so both sides must write a value alike: a number as E.164 says (with or without its plus sign, or as people
dial it at home), an address trimmed and in lower case.
"""

from __future__ import annotations

import re
import unicodedata
from hashlib import sha256

_CHINA = "86"
_CHINESE_MOBILE = re.compile(r"1[3-9][0-9]{9}")
_E164 = re.compile(r"[1-9][0-9]{6,14}")
_ADDRESS = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")
_GMAIL = ("gmail.com", "googlemail.com")


def phone_form(text: str, *, form: str, country_code: str) -> str | None:
    """Give a number as ``e164`` (+8613800138000), ``e164_digits`` or ``national``; None where it is none.

    A number without a country code is one of ``country_code``. ``national`` has only numbers of that country.
    """
    plain = re.sub(r"[\s\-‐-―().·/]", "", unicodedata.normalize("NFKC", text))
    if re.fullmatch(r"(\+|00)?[0-9]+", plain) is None:
        return None
    is_international = plain.startswith(("+", "00"))
    digits = plain.removeprefix("+").removeprefix("00") if is_international else plain
    if not is_international and not _is_complete(digits, country_code):
        digits = country_code + digits.lstrip("0")
    if _E164.fullmatch(digits) is None or not _is_mobile(digits):
        return None
    if form == "national":
        return digits.removeprefix(country_code) if digits.startswith(country_code) else None
    return digits if form == "e164_digits" else f"+{digits}"


def email_form(text: str, *, form: str) -> str | None:
    """Give an address trimmed and in lower case; as ``lower_gmail`` without what Gmail ignores in its own. None where it is none."""
    address = text.strip().lower()
    if _ADDRESS.fullmatch(address) is None:
        return None
    name, _, host = address.rpartition("@")
    if form == "lower_gmail" and host in _GMAIL:
        name = name.partition("+")[0].replace(".", "")
    return f"{name}@{host}" if name else None


def hash_of(value: str | None) -> str | None:
    """Give the SHA-256 of a value in lower-case hexadecimal; of None nothing."""
    return None if value is None else sha256(value.encode()).hexdigest()


def _is_complete(digits: str, country_code: str) -> bool:
    """Tell whether a number without a plus sign has its country code already: known of China, whose mobile numbers are of one length."""
    return (
        country_code == _CHINA
        and _CHINESE_MOBILE.fullmatch(digits.removeprefix(_CHINA)) is not None
        and (digits.startswith(_CHINA) and len(digits) == 13)
    )


def _is_mobile(digits: str) -> bool:
    return not digits.startswith(_CHINA) or _CHINESE_MOBILE.fullmatch(digits.removeprefix(_CHINA)) is not None
