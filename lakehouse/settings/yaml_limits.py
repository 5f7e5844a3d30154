"""What a YAML file of a workspace may be, told from its bytes and its events before anything is built from it."""

from __future__ import annotations

import os
import re
import stat
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO

import yaml

from lakehouse.errors import SettingsInvalid

MOST_BYTES = 1_000_000
MOST_LEVELS = 64
MOST_NODES = 50_000
"""Nodes (keys, values, lists, mappings) of a file, every alias counted as what it stands for."""
MOST_DIGITS = 400

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_NUMBER = re.compile(r"[-+]?[0-9.][0-9a-fA-FoOxX_:.]*")


def yaml_text(path: Path) -> str:
    """Give the text of a YAML file; anything but an ordinary UTF-8 file of a sensible size raises ``SettingsInvalid``."""
    return file_text(path, MOST_BYTES, "YAML file")


def file_text(path: Path, most_bytes: int, kind: str) -> str:
    """Give the text of a file of settings; anything but an ordinary UTF-8 file of at most so many bytes raises ``SettingsInvalid``.

    ``kind`` is what is expected, as sentences name it. A mark of byte order stays in the text.
    """
    with open_file(path, kind) as file:
        content = file.read(most_bytes + 1)
        size = os.fstat(file.fileno()).st_size
    if len(content) > most_bytes:
        raise SettingsInvalid(
            f"has {max(size, len(content)):,} bytes; a {kind} has at most {most_bytes:,}", file=path
        )
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as wrong:
        line = content.count(b"\n", 0, wrong.start) + 1
        raise SettingsInvalid("the file is not UTF-8 text; save it as UTF-8", file=path, line=line) from None


def open_file(path: Path, kind: str) -> BinaryIO:
    """Open a file of settings to read its bytes; what is no ordinary file that can be read raises ``SettingsInvalid``."""
    try:
        # A pipe without a writer would keep an ordinary open waiting.
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        raise SettingsInvalid("the file does not exist", file=path) from None
    except OSError as wrong:
        raise SettingsInvalid(f"the file cannot be read ({wrong.strerror})", file=path) from None
    mode = os.fstat(handle).st_mode
    if not stat.S_ISREG(mode):
        os.close(handle)
        other = "a folder" if stat.S_ISDIR(mode) else "a pipe or a device"
        raise SettingsInvalid(f"is {other}, where a {kind} is expected", file=path)
    return os.fdopen(handle, "rb")


@dataclass
class _Level:
    """A list or a mapping that is open: its anchor, its nodes so far, and whether a key comes next."""

    anchor: str | None
    is_mapping: bool
    nodes: int = 1
    is_key: bool = field(default=True)


def check_yaml(text: str, *, file: str | Path) -> None:
    """Refuse YAML that no file of a workspace needs, with its line: ``SettingsInvalid``.

    Syntax errors, control characters, tags, numbers of hundreds of digits, keys that are lists or mappings, and more
    levels or nodes than the limits; an alias counts as everything it stands for, and one inside its own anchor is refused.
    """
    sign = yaml.reader.Reader.NON_PRINTABLE.search(text)
    if sign is not None:
        line = text.count("\n", 0, sign.start()) + 1
        raise SettingsInvalid(f"the sign U+{ord(sign[0]):04X} cannot stand in YAML", file=file, line=line)
    try:
        _check(text)
    except SettingsInvalid as wrong:
        raise SettingsInvalid(wrong.message, file=file, line=wrong.line) from None
    except yaml.YAMLError as wrong:
        mark = getattr(wrong, "problem_mark", None) or getattr(wrong, "context_mark", None)
        problem = str(getattr(wrong, "problem", None) or "is not YAML").split("\n")[0].strip()
        raise SettingsInvalid(problem, file=file, line=mark.line + 1 if mark else None) from None


@lru_cache(maxsize=512)
def _check(text: str) -> None:
    """Look at a text once, however often it is read."""
    _Check().run(text)


class _Check:
    """One pass over the events of a text."""

    def __init__(self) -> None:
        self.levels = [_Level(None, is_mapping=False)]
        self.sizes: dict[str, int] = {}
        self.line = 1

    def run(self, text: str) -> None:
        for event in yaml.parse(text, Loader=_LOADER):
            self.line = event.start_mark.line + 1
            if isinstance(event, yaml.CollectionStartEvent):
                self._open(event)
            elif isinstance(event, yaml.CollectionEndEvent):
                level = self.levels.pop()
                self._close(level.anchor, level.nodes)
            elif isinstance(event, yaml.ScalarEvent):
                self._scalar(event)
            elif isinstance(event, yaml.AliasEvent):
                self._alias(event.anchor)

    def _open(self, event: Any) -> None:
        self._refuse_tag(event.tag)
        if self._is_key():
            self._refuse("a key is a word, not a list or a mapping")
        if len(self.levels) > MOST_LEVELS:
            self._refuse(f"is nested more than {MOST_LEVELS} levels deep")
        self.levels.append(_Level(event.anchor, isinstance(event, yaml.MappingStartEvent)))

    def _scalar(self, event: Any) -> None:
        self._refuse_tag(event.tag)
        if not event.style and len(event.value) > MOST_DIGITS and _NUMBER.fullmatch(event.value):
            self._refuse(f"a number has more than {MOST_DIGITS} digits")
        self._close(event.anchor, 1)

    def _alias(self, anchor: str) -> None:
        if any(level.anchor == anchor for level in self.levels):
            self._refuse(f"the alias '*{anchor}' stands inside what it names")
        self._close(None, self.sizes.get(anchor, 1))

    def _close(self, anchor: str | None, nodes: int) -> None:
        """Count a node that is complete in the list or mapping it stands in."""
        if anchor is not None:
            self.sizes[anchor] = nodes
        level = self.levels[-1]
        level.nodes += nodes
        level.is_key = not level.is_key
        if level.nodes > MOST_NODES:
            self._refuse(f"holds more than {MOST_NODES:,} values, those that aliases repeat counted again")

    def _is_key(self) -> bool:
        return self.levels[-1].is_mapping and self.levels[-1].is_key

    def _refuse_tag(self, tag: str | None) -> None:
        if tag is not None:
            name = tag.replace("tag:yaml.org,2002:", "!!")
            self._refuse(f"the tag '{name[:60]}' is not for settings; write the plain value")

    def _refuse(self, sentence: str) -> None:
        raise SettingsInvalid(sentence, line=self.line)
