"""What law and policy allow a site: ``consent.yml``."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from lakehouse.settings.optional_files import is_there
from lakehouse.settings.yaml_files import load_yaml, parse_model
from vocabulary.buckets import share

CONSENT_FILE = "consent.yml"
CHANNELS = ("SMS", "PUSH", "WECHAT", "WECOM", "INAPP", "CALL", "EMAIL", "BRANCH")
AML_GRADES = ("L", "ML", "M", "MH", "H")
DEFAULT_GLOBAL_PERCENT = 5.0
EARLIEST_BIRTH_DATE = date(1900, 1, 1)
"""Nobody who lives was born before: a year is mistyped, and such a date says nothing about age."""
NO_BIRTH_DATES = (date(1900, 1, 1), date(1970, 1, 1), date(1899, 12, 31), date(1, 1, 1), date(9999, 12, 31))
"""Days that systems write when they know none."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class PurposeRule(_Strict):
    """Whether a purpose needs a granted consent. Marketing always does; other purposes may rest on a contract."""

    consent: Literal["required", "not_required"] = "required"
    why: str | None = None

    @model_validator(mode="after")
    def _explained(self) -> PurposeRule:
        if self.consent == "not_required" and not self.why:
            raise ValueError("'not_required' needs the legal ground in 'why'")
        return self


class UnknownAge(_Strict):
    """The sources whose people count as adults although no birth date is known, such as a bank's own contracts."""

    adult_sources: list[str] = Field(min_length=1)
    why: str = Field(min_length=1)


class ChannelRule(_Strict):
    """What makes a channel usable: an identifier of one of these namespaces (``*`` at the end is open)."""

    addresses: list[str] = []
    matches: str | None = None
    everyone: bool = False

    @model_validator(mode="after")
    def _one_way(self) -> ChannelRule:
        if self.everyone == bool(self.addresses):
            raise ValueError("give either addresses or everyone: true")
        return self


DEFAULT_CHANNELS: dict[str, ChannelRule] = {
    "SMS": ChannelRule(addresses=["phone"]),
    "CALL": ChannelRule(addresses=["phone"]),
    "EMAIL": ChannelRule(addresses=["email"]),
    "PUSH": ChannelRule(addresses=["push_token@*", "app_user_id@*"]),
    "INAPP": ChannelRule(addresses=["app_user_id@*"]),
    "WECHAT": ChannelRule(addresses=["openid@*"]),
    "WECOM": ChannelRule(addresses=["external_userid@*"]),
    "BRANCH": ChannelRule(everyone=True),
}


class Policy(_Strict):
    """The rules of ``consent.yml``; what it does not say is as strict as the shipped default."""

    purposes: dict[Literal["marketing", "service"], PurposeRule] = {}
    minimum_age: int = Field(default=18, ge=14, le=30)
    unknown_age: UnknownAge | None = None
    restricted_aml_grades: list[Literal[AML_GRADES]] = ["H"]  # type: ignore[valid-type]
    channels: dict[Literal[CHANNELS], ChannelRule] = {}  # type: ignore[valid-type]
    global_control: dict[str, Annotated[float, Field(gt=0, le=50)]] = {}

    @model_validator(mode="after")
    def _lawful(self) -> Policy:
        if self.purpose("marketing").consent != "required":
            raise ValueError("marketing always needs consent; this cannot be switched off")
        if "H" not in self.restricted_aml_grades:
            raise ValueError("grade H is always restricted; this cannot be switched off")
        return self

    def purpose(self, name: str) -> PurposeRule:
        """Give the rule of a purpose."""
        return self.purposes.get(name, PurposeRule())  # type: ignore[call-overload,no-any-return]

    def channel(self, name: str) -> ChannelRule:
        """Give the rule of a channel."""
        return self.channels.get(name, DEFAULT_CHANNELS[name])

    def global_buckets(self, salt: str) -> int:
        """Give how many of the 10,000 buckets are the global control group of ``salt``."""
        return share(self.global_control.get(salt, DEFAULT_GLOBAL_PERCENT))


def read_policy(workspace: Path) -> Policy:
    """Give the policy of a workspace; without a ``consent.yml`` the shipped default."""
    file = workspace / CONSENT_FILE
    return parse_model(Policy, load_yaml(file), file=file) if is_there(file) else Policy()
