"""What ``destinations.yml`` says of a directory: what is disclosed to a destination of its recipients, and who approved that."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from lakehouse.contracts.reading import contract
from lakehouse.query.hashing import text_hash
from vocabulary.levels import LEVELS
from vocabulary.policy import CHANNELS, DEFAULT_CHANNELS

DIRECTORY = "_directory"
# The column whose values, or hashes of them, a directory holds; a hash of a phone number can be computed back.
_SOURCES = {
    "source_keys": ("identity.memberships", "source_key"),
    "contacts": ("trusted.identifier_observations", "value"),
    "hashed_contacts": ("trusted.identifier_observations", "value"),
}
_HASH_LENGTH = 12
# Which keys belong to which content.
_KEYS_OF = {
    "source_keys": {"sources"},
    "contacts": {"channels"},
    "hashed_contacts": {"identifiers", "phone", "email", "country_code", "purpose"},
}


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class DirectoryApproval(_Strict):
    """Who allowed a directory, on which day, and the hash of what they allowed."""

    by: str = Field(min_length=1)
    date: dt.date
    hash: str


class Directory(_Strict):
    """What a destination gets to know of its recipients. Nobody has one who does not ask for it."""

    content: Literal["source_keys", "contacts", "hashed_contacts"]
    sources: list[str] = []
    channels: list[Literal[CHANNELS]] = []  # type: ignore[valid-type]
    identifiers: list[Literal["phone", "email"]] = []
    phone: Literal["e164", "e164_digits", "national"] = "e164"
    email: Literal["lower", "lower_gmail"] = "lower"
    country_code: Annotated[str, Field(pattern=r"^[1-9][0-9]{0,2}$")] = "86"
    purpose: Literal["sharing", "marketing"] = "sharing"
    format: Literal["parquet", "csv", "json_lines"] = "parquet"
    approval: DirectoryApproval | None = None

    @model_validator(mode="after")
    def _fitting(self) -> Directory:
        others = {key for keys in _KEYS_OF.values() for key in keys} - _KEYS_OF[self.content]
        wrong = sorted(self.model_fields_set & others)
        if wrong:
            raise ValueError(f"'{wrong[0]}' is no key of {self.content}")
        needs = next(key for key in ("sources", "channels", "identifiers") if key in _KEYS_OF[self.content])
        entries = getattr(self, needs)
        if not entries or len(set(entries)) < len(entries):
            raise ValueError(f"{self.content} needs {needs}, each once")
        without = [channel for channel in self.channels if not DEFAULT_CHANNELS[channel].addresses]
        if without:
            raise ValueError(f"channel {without[0]} has no address that could be told")
        return self

    @property
    def level(self) -> str:
        """The personal level of what is disclosed, which is that of the column it comes from."""
        table, column = _SOURCES[self.content]
        return contract(table).columns[column].level

    def hash_for(self, destination: str) -> str:
        """Give the hash of what is disclosed to whom, which an approval names."""
        tree = self.model_dump(mode="json", exclude={"approval"})
        return text_hash("directory", destination, json.dumps(tree, sort_keys=True))[:_HASH_LENGTH]


def directory_fault(name: str, ceiling: str, directory: Directory) -> tuple[str, str] | None:
    """Give the key that is at fault and a sentence where a destination may not have its directory; None where it may."""
    if LEVELS.index(directory.level) > LEVELS.index(ceiling):  # type: ignore[arg-type]
        return "content", (
            f"the directory of '{name}' is of level {directory.level}, above the destination's ceiling {ceiling}; "
            "raise the ceiling, or take the directory out"
        )
    wanted_hash, approval = directory.hash_for(name), directory.approval
    if approval is None:
        return "content", (
            f"nobody approved the directory of '{name}': it needs approval: {{by: …, date: …, hash: {wanted_hash}}}"
        )
    if approval.hash != wanted_hash:
        return "approval", (
            f"the approval of {approval.by} is for another directory of '{name}' than this one: what is disclosed now has the hash "
            f"{wanted_hash}; have it approved anew"
        )
    return None


def approval_entry(directory: Directory) -> Mapping[str, Any]:
    """Give the approval of a directory as a manifest names it."""
    approval = directory.approval
    if approval is None:
        raise AssertionError("a directory without approval was read")
    return {"by": approval.by, "date": approval.date.isoformat(), "hash": approval.hash}
