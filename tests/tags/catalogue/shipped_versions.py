"""The definitions that the product shipped: by code and version the hash of what a version promised.

A hash that stands in the file is never written over: an edited definition takes a new version. After a new version was given,
``python -m tests.tags.catalogue.shipped_versions`` adds it.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from pathlib import Path

from tags.definitions import definition_of
from vocabulary.registry import Entry

FILE = Path(__file__).with_suffix(".json")
COMMAND = "python -m tests.tags.catalogue.shipped_versions"


def shipped_hashes() -> dict[str, str]:
    """Give the hash of every shipped definition by ``code@version``."""
    return json.loads(FILE.read_text(encoding="utf-8"))


def hash_of(entry: Entry) -> str:
    """Give what of the hash of a definition is kept."""
    return definition_of(entry).definition_hash[:16]


def faults(entries: Iterable[Entry], shipped: dict[str, str]) -> list[str]:
    """Give a sentence for every computed tag that was edited under its version, and for every version that the file lacks."""
    sentences = []
    for entry in entries:
        name = f"{entry.code}@{entry.version}"
        if name not in shipped:
            sentences.append(f"{name} is not in {FILE.name}; run `{COMMAND}` and commit what it writes")
        elif shipped[name] != hash_of(entry):
            sentences.append(
                f"{name} was edited and has its old version; give it a new one, then run `{COMMAND}`"
            )
    return sentences


def add_versions(entries: Iterable[Entry], shipped: dict[str, str]) -> dict[str, str]:
    """Give the hashes with those of versions that are new; one that is there stays as it is."""
    return dict(sorted(({f"{e.code}@{e.version}": hash_of(e) for e in entries} | shipped).items()))


def main() -> int:
    """Add the versions of today's registry to the file; 1 where a tag was edited under its version."""
    from tags import REGISTRY
    from vocabulary.registry import load_registry

    entries = load_registry(None, shipped=REGISTRY).online()
    shipped = add_versions(entries, shipped_hashes() if FILE.is_file() else {})
    FILE.write_text(json.dumps(shipped, indent=1) + "\n", encoding="utf-8")
    sentences = faults(entries, shipped)
    sys.stderr.writelines(f"{sentence}\n" for sentence in sentences)
    return 1 if sentences else 0


if __name__ == "__main__":
    raise SystemExit(main())
