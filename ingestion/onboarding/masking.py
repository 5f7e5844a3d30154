"""The shape of a value in place of the value, for whoever looks at a sample."""

from __future__ import annotations

from typing import Any


def masked_text(value: Any) -> str | None:
    """Give the shape of a value and not the value: digits as 9, Latin letters as x, other letters as 某."""
    return None if value is None else "".join(_masked_sign(sign) for sign in str(value))


def _masked_sign(sign: str) -> str:
    if sign.isdigit():
        return "9"
    if sign.isalpha():
        return "x" if sign.isascii() else "某"
    return sign
