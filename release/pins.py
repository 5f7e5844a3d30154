"""The pins of the lock files: what is installed with the product, each with its hashes and its licence."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[1]
RUN = ROOT / "requirements.txt"
DEVELOP = ROOT / "requirements-dev.txt"


@dataclass(frozen=True)
class Pin:
    """One line of a lock file; ``is_wanted`` where this machine needs it."""

    name: str
    version: str
    sha256: tuple[str, ...]
    is_wanted: bool


def read_pins(file: Path) -> Iterator[Pin]:
    """Give the pins of a lock file in its order."""
    for block in re.split(r"\n(?=[A-Za-z0-9])", file.read_text(encoding="utf-8")):
        requirement = Requirement(block.partition("\\")[0].strip())
        version = next(iter(requirement.specifier)).version
        hashes = tuple(re.findall(r"--hash=sha256:([0-9a-f]{64})", block))
        is_wanted = requirement.marker is None or requirement.marker.evaluate()
        yield Pin(requirement.name, version, hashes, is_wanted)


def licence_of(name: str) -> str | None:
    """Give the licence an installed package states: its expression, else its classifiers, else its own words.

    None where it is not installed; an empty text where it says nothing.
    """
    try:
        facts = metadata.metadata(name)
    except metadata.PackageNotFoundError:
        return None
    if expression := facts.get("License-Expression"):
        return str(expression)
    classifiers = [text for text in facts.get_all("Classifier", []) if text.startswith("License ::")]
    if classifiers:
        return " OR ".join(text.rpartition(" :: ")[2] for text in classifiers)
    return (facts.get("License") or "").strip().partition("\n")[0]
