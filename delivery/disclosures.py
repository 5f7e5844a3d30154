"""What ``destinations.yml`` says of disclosures: what a destination is told of its recipients, and who approved that.

A directory tells a system who its recipients are, a worklist tells employees whom they take care of.
"""

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


class DisclosureApproval(_Strict):
    """Who allowed a disclosure, on which day, and the hash of what they allowed."""

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
    approval: DisclosureApproval | None = None

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


class WorklistSettings(_Strict):
    """The keys by which a worklist names people, those of the system in which employees work, and the language it speaks."""

    sources: Annotated[list[Annotated[str, Field(min_length=1)]], Field(min_length=1)]
    language: Literal["zh", "en"] | None = None
    approval: DisclosureApproval | None = None

    @model_validator(mode="after")
    def _each_once(self) -> WorklistSettings:
        if len(set(self.sources)) < len(self.sources):
            raise ValueError("a worklist names each source once")
        return self

    @property
    def level(self) -> str:
        """The personal level of what is disclosed, which is that of the key."""
        table, column = _SOURCES["source_keys"]
        return contract(table).columns[column].level

    def hash_for(self, destination: str) -> str:
        """Give the hash of what is disclosed to whom, which an approval names."""
        return text_hash("worklist", destination, json.dumps(self.sources))[:_HASH_LENGTH]


Disclosure = Directory | WorklistSettings


def disclosure_fault(name: str, ceiling: str, disclosure: Disclosure) -> tuple[str, str] | None:
    """Give the key that is at fault and a sentence where a destination may not be told so much; None where it may."""
    what, key = ("directory", "content") if isinstance(disclosure, Directory) else ("worklist", "sources")
    if LEVELS.index(disclosure.level) > LEVELS.index(ceiling):  # type: ignore[arg-type]
        return key, (
            f"the {what} of '{name}' is of level {disclosure.level}, above the destination's ceiling {ceiling}; "
            f"raise the ceiling, or take the {what} out"
        )
    wanted_hash, approval = disclosure.hash_for(name), disclosure.approval
    if approval is None:
        return key, (
            f"nobody approved the {what} of '{name}': it needs approval: {{by: …, date: …, hash: {wanted_hash}}}"
        )
    if approval.hash != wanted_hash:
        return "approval", (
            f"the approval of {approval.by} is for another {what} of '{name}' than this one: what is disclosed now has the hash "
            f"{wanted_hash}; have it approved anew"
        )
    return None


def approval_entry(disclosure: Disclosure) -> Mapping[str, Any]:
    """Give the approval of a disclosure as a manifest names it."""
    approval = disclosure.approval
    if approval is None:
        raise AssertionError("a disclosure without approval was read")
    return {"by": approval.by, "date": approval.date.isoformat(), "hash": approval.hash}
