"""How a faulty condition is complained about while its file is read: one sentence with file and line."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from lakehouse.errors import SettingsInvalid
from lakehouse.settings.yaml_files import did_you_mean, line_of
from vocabulary.attributes import Attributes, read_attributes
from vocabulary.lookups import LookupColumn, LookupInvalid, Lookups, read_lookups


@dataclass(frozen=True)
class Unread:
    """What a check goes on without, since its file cannot be read: nothing is said of who names it."""

    destinations: bool = False
    tag_words: frozenset[str] = frozenset()
    """The words of files of tags, among which the codes are that they define."""

    def has_tag(self, code: str) -> bool:
        """Tell whether a tag may stand in a file that cannot be read."""
        return code in self.tag_words


def unknown_event(name: str, names: Collection[str]) -> str:
    """Say that no event has a name, and which of the names that there are comes near."""
    return f"no event was ever called '{name}'{did_you_mean(name, sorted(names))}"


def with_consequence(fault: SettingsInvalid, consequence: str) -> SettingsInvalid:
    """Give the fault of a file that also says what cannot be checked without it."""
    return SettingsInvalid(
        f"{fault.message}; {consequence} until the file can be read", file=fault.file, line=fault.line
    )


class Complaints:
    """Makes the faults of one file, for whoever reads a part of it."""

    def __init__(
        self, file: Path, *, owner: str | None = None, base: Literal["base", "template"] = "base"
    ) -> None:
        self.file = file
        self.owner = owner or file.stem
        """Whose salt a sample or a rank has that names none."""
        self.base = base
        """What ``within: base`` means: the base of the whole rule, or that of the template alone."""

    @property
    def attributes(self) -> Attributes:
        """The attributes that the workspace of the file declares."""
        return read_attributes(self.file.parent.parent)

    @property
    def readable_attributes(self) -> Attributes:
        """The attributes, none where a file of them cannot be read: whoever misses one then calls ``require_attributes``."""
        try:
            return self.attributes
        except SettingsInvalid:
            return Attributes()

    @property
    def lookups(self) -> Lookups:
        """The look-ups of the workspace of the file, the shipped ones among them."""
        return read_lookups(self.file.parent.parent)

    def lookup_column(self, table: str, name: str, line: int | None) -> LookupColumn | None:
        """Give what a path like ``product.category`` names from the rows of a table; None of a name without a point."""
        if "." not in name:
            return None
        try:
            return self.lookups.column(table, name, self.attributes)
        except LookupInvalid as wrong:
            raise self.fault(f"E01 {wrong}", line) from None

    def require_attributes(self) -> None:
        """Raise the fault of a file of attributes that cannot be read, before a column is said to be unknown."""
        assert self.attributes is not None

    def fault(self, message: str, line: int | None) -> SettingsInvalid:
        """Give a fault on a line."""
        return SettingsInvalid(message, file=self.file, line=line)

    def later(self, name: str, line: int | None) -> SettingsInvalid:
        """Give the fault of something the language has room for and does not do."""
        return self.fault(f"'{name}' is not supported yet", line)

    def only(self, tree: Any, names: tuple[str, ...]) -> None:
        """Refuse a key that is not among the names."""
        for key in tree:
            if key not in names:
                raise self.fault(
                    f"unknown key '{key}'{did_you_mean(str(key), list(names))}", line_of(tree, key)
                )

    def mapping(self, tree: Any, word: str, form: str, line: int | None) -> Any:
        """Give what stands under a word if it is a mapping."""
        if not isinstance(tree[word], dict):
            raise self.fault(f"'{word}' takes {form}", line_of(tree, word) or line)
        return tree[word]

    def days(self, tree: Any, key: str, word: str) -> int:
        """Give a number of days of at least 1 that stands under a key."""
        days = tree.get(key)
        if not isinstance(days, int) or isinstance(days, bool) or days < 1:
            raise self.fault(f"'{word}.{key}' takes a number of days of at least 1", line_of(tree, key))
        return int(days)

    def include_unknown(self, tree: Any) -> bool | None:
        """Give what the unknown of a leaf means, where it says so."""
        value = tree.get("include_unknown")
        if value is not None and not isinstance(value, bool):
            raise self.fault("'include_unknown' takes true or false", line_of(tree, "include_unknown"))
        return value
