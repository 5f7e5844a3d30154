"""The tags that words name, in both languages: by code, name, family, owner and definition, the best first."""

from __future__ import annotations

import json
import os
import re
import tempfile
from collections.abc import Iterable
from dataclasses import astuple, dataclass
from functools import cached_property
from hashlib import sha256
from pathlib import Path

from lakehouse.errors import SettingsInvalid, UsageError
from lakehouse.settings.yaml_limits import file_text
from tags.catalogue import owners
from tags.compile.places import REGISTRY
from vocabulary.packs import deciding_files
from vocabulary.registry import MOST_LETTERS, Entry, load_registry, plain_text, registry_files

# Raised when the fields of ``SearchableTag`` or their order change: an index of another form is made anew.
FORM = 2
MOST_INDEX_BYTES = 100_000_000
_WORD = re.compile(r"\w+")
_CHINESE = re.compile(r"[\u3400-\u9fff]+")


@dataclass(frozen=True)
class SearchableTag:
    """What of a tag is searched and shown."""

    code: str
    family: str
    pack: str
    kind: str
    status: str
    name_en: str
    name_zh: str
    definition_en: str
    definition_zh: str
    owner_business: str
    owner_tech: str

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The code and both names, as ``plain_text`` writes them."""
        return plain_text(self.code), plain_text(self.name_en), plain_text(self.name_zh)

    @cached_property
    def name_words(self) -> frozenset[str]:
        """The words of the code and of both names."""
        return frozenset(word for name in self.names for word in _WORD.findall(name.replace("_", " ")))

    @cached_property
    def places(self) -> tuple[str, ...]:
        """Family, pack and owners."""
        texts = (self.family, self.pack, self.owner_business, self.owner_tech)
        return tuple(plain_text(text) for text in texts)

    @cached_property
    def definitions(self) -> str:
        """Both definitions."""
        return plain_text(f"{self.definition_en}\n{self.definition_zh}")


def search_tags(tags: Iterable[SearchableTag], words: str) -> list[SearchableTag]:
    """Give the tags in which every word occurs, the best first: those computed before others, then by code.

    No letters at all, or more than ``MOST_LETTERS``, raise ``UsageError``. Signs only part words: nothing is a pattern.
    """
    if len(words) > MOST_LETTERS:
        raise UsageError(f"search for at most {MOST_LETTERS} letters, not {len(words):,}")
    parts = list(dict.fromkeys(_WORD.findall(plain_text(words))))
    parts = [part for part in parts if part.strip("_")]
    if not parts:
        raise UsageError(
            "there is no word to search for; write letters or digits, like: cdp tags search 资产"
        )
    ranks = []
    for tag in tags:
        scores = [_score(tag, part) for part in parts]
        if all(scores):
            ranks.append((-sum(scores), tag.status not in ("online", "deprecated"), tag.code, tag))
    return [tag for *_, tag in sorted(ranks, key=lambda rank: rank[:3])]


def searchable_tags(workspace: Path | None, index: Path | None = None) -> list[SearchableTag]:
    """Give all registered tags, from the file ``index`` where that was made from these very texts.

    Else the registry is read, and the index written anew; one that cannot be read or written only costs time. A faulty tag file
    raises ``SettingsInvalid``.
    """
    state = _state(workspace)
    tags = _indexed(index, state) if index is not None else None
    if tags is None:
        registry = load_registry(workspace, shipped=REGISTRY)
        tags = [_searchable(entry, registry.status_of(entry)) for entry in registry.entries.values()]
        if index is not None:
            _write(index, state, tags)
    return tags


def _score(tag: SearchableTag, word: str) -> int:
    """Give how well a word names a tag; 0 where it does not occur."""
    if word in tag.names:
        return 100
    if word in tag.name_words:
        return 60
    if any(name.startswith(word) for name in tag.names):
        return 50
    if any(word in name for name in tag.names):
        return 40
    if word in tag.places:
        return 30
    if _CHINESE.fullmatch(word) and _stands_in_order(word, tag.names[2]):
        return 25
    if any(word in place for place in tag.places):
        return 20
    return 10 if word in tag.definitions else 0


def _stands_in_order(letters: str, text: str) -> bool:
    """Tell whether the letters stand in the text in their order, with others between: Chinese has no spaces."""
    rest = iter(text)
    return all(letter in rest for letter in letters)


def _searchable(entry: Entry, status: str) -> SearchableTag:
    def line(text: str) -> str:
        return " ".join(text.split())

    return SearchableTag(
        entry.code, entry.family, entry.pack or "", entry.kind, status, entry.name.en, entry.name.zh,
        line(entry.definition.en), line(entry.definition.zh), *owners(entry),
    )  # fmt: skip


def _state(workspace: Path | None) -> str:
    """Give the hash of all texts that decide what is said of tags; a file that cannot be read leaves it to the registry to say so."""
    digest = sha256(str(FORM).encode())
    for file, is_site in (
        *registry_files(REGISTRY, workspace),
        *((f, True) for f in deciding_files(workspace)),
    ):
        try:
            content = file.read_bytes() if file.is_file() else b""
        except OSError:
            content = b""
        digest.update(f"\x00{is_site}\x00{file.name}\x00{len(content)}\x00".encode())
        digest.update(content)
    return digest.hexdigest()


def _indexed(index: Path, state: str) -> list[SearchableTag] | None:
    try:
        tree = json.loads(file_text(index, MOST_INDEX_BYTES, "index"))
        if tree["state"] != state:
            return None
        rows = [SearchableTag(*row) for row in tree["tags"]]
    except (SettingsInvalid, ValueError, TypeError, KeyError, RecursionError):
        return None
    return rows if all(isinstance(text, str) for row in rows for text in astuple(row)) else None


def _write(index: Path, state: str, tags: list[SearchableTag]) -> None:
    """Write the index whole, so that no reader sees half of it; its owner alone reads it."""
    text = json.dumps({"state": state, "tags": [astuple(tag) for tag in tags]}, ensure_ascii=False)
    try:
        index.parent.mkdir(mode=0o700, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f"{index.name}.", dir=index.parent)
    except OSError:
        return
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        Path(name).replace(index)
    except OSError:
        Path(name).unlink(missing_ok=True)
