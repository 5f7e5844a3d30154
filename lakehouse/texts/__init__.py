"""The texts that people read in their own language: one catalogue, ``texts.yml``, with every text in each of them."""

from __future__ import annotations

from functools import cache
from pathlib import Path

FILE = Path(__file__).with_name("texts.yml")
LANGUAGES = ("zh", "en")
DEFAULT = "en"

_language = DEFAULT


def speak(language: str) -> None:
    """Let this process answer in ``language``; settings say which one a workspace wants."""
    global _language
    _language = language


def language_now() -> str:
    """Give the language of this process."""
    return _language


def text(key: str, language: str | None = None, **values: object) -> str:
    """Give a text of the catalogue, with ``values`` in its places; an unknown key raises ``KeyError``."""
    return catalogue()[key][language or _language].format(**values)


def reason_text(reason: str, language: str | None = None) -> str:
    """Give what a code means, such as ``OPT_OUT`` or ``missing:phone``; a code the catalogue lacks is its own text.

    What follows a colon is a column or a detail and stays as it is. A site's own rules have names of the site.
    """
    code, _, detail = reason.partition(":")
    entry = catalogue().get(f"reason.{code}")
    if entry is None:
        return reason
    sentence = entry[language or _language]
    return f"{sentence}: {detail.strip()}" if detail else sentence


@cache
def catalogue() -> dict[str, dict[str, str]]:
    """Give every text by its key, and by its language."""
    import yaml  # help and completion need no text

    entries: dict[str, dict[str, str]] = yaml.load(FILE.read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)
    return entries
