"""The dbt models that marts of a workspace read: its tags by day, and what ``marts.yml`` declares, as rows.

The marts themselves are written by hand in ``dbt_project/models/marts``, and so is what columns mean, for these models too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from lakehouse.texts import text
from tags.compile.marts.declaration import Declaration, MartsFile, marts_file, read_marts
from tags.compile.sql_text import BUSINESS_DATE, dbt_literal
from vocabulary.entities import PERSON
from vocabulary.packs import Absence, Groups, PackTag, absences
from vocabulary.registry import COMPUTED_STATUSES, Registry

GENERATED = "-- Written by `cdp tags compile` from marts.yml and the registry. Edit those, not this file.\n"
_CONFIG = "{{ config(materialized='ephemeral', tags=['mart']) }}\n"
STAGES = ("lifecycle_mau", "lifecycle_aum", "lifecycle_shop")
TIER = "aum_tier"
# The tags that marts read, with the type a tag that is off has as a null.
_TAGS = {
    TIER: "string",
    **dict.fromkeys(STAGES, "string"),
    "home_branch": "string",
    "acquisition_channel": "string",
    "acquisition_campaign": "string",
    "aum_eod": "decimal(18,2)",
    "is_mau": "boolean",
    "new_customer_day": "int",
}


def _tags(*codes: str) -> tuple[str, ...]:
    return tuple(f"tag:{code}" for code in codes)


# What each mart needs, one of each group; without it the mart is off.
NEEDS: dict[str, Groups] = {
    "campaign_summary": (("trusted.receipts.status",),),
    "channel_acquisition": (_tags("acquisition_channel", "acquisition_campaign"),),
    "event_funnel": (("trusted.events.event_name",),),
    "event_retention": (("trusted.events.event_name",),),
    "lifecycle_contribution": (_tags(*STAGES), _tags("aum_eod", "is_mau")),
    "stage_migration": (_tags(*STAGES),),
    "tier_migration": (_tags(TIER),),
}


# The tags that each mart reads; the others read none.
TAGS_READ: dict[str, tuple[str, ...]] = {
    "channel_acquisition": (
        "acquisition_channel",
        "acquisition_campaign",
        "new_customer_day",
        "is_mau",
        "aum_eod",
    ),
    "lifecycle_contribution": (*STAGES, "home_branch", "is_mau", "aum_eod"),
    "stage_migration": (*STAGES, "aum_eod"),
    "tier_migration": (TIER, "aum_eod"),
}


def marts_reading(workspace: Path) -> dict[str, list[str]]:
    """Give by tag the marts of a workspace that read it; none where it has no marts."""
    readers: dict[str, list[str]] = {}
    if marts_file(workspace) is not None:
        for mart, codes in TAGS_READ.items():
            for code in codes:
                readers.setdefault(code, []).append(mart)
    return readers


@dataclass(frozen=True, eq=False)
class MartModels:
    """The models that marts read by name, and why a mart is off in this workspace."""

    declaration: Declaration
    texts: Mapping[str, str]
    absences: Mapping[str, Absence]

    @property
    def active(self) -> tuple[str, ...]:
        """The marts that nights build, by name."""
        return tuple(name for name in NEEDS if self.reason(name) is None)

    def reason(self, mart: str) -> str | None:
        """Give why a mart is off, in the language spoken, as part of a sentence; None where it is not."""
        if mart in self.absences:
            return self.absences[mart].sentence
        entries = self.declaration.entries
        if mart == "event_funnel" and not entries.funnels:
            return text("mart.no_funnel")
        if mart == "event_retention" and not entries.retentions:
            return text("mart.no_retention")
        return None


def deciding_mart_files(workspace: Path | None) -> list[Path]:
    """Give the files of a workspace that decide over marts, beside those that decide over tags."""
    file = marts_file(workspace)
    return [file] if file else []


def mart_models(registry: Registry, workspace: Path | None) -> MartModels | None:
    """Give the models that marts of a workspace read; None where it has no ``marts.yml``."""
    declaration = read_marts(workspace)
    if declaration is None:
        return None
    codes = {entry.code for entry in registry.online(PERSON)}
    entries = declaration.entries
    texts = {
        "int_campaign_runs": _campaign_runs(entries),
        "int_compared_days": _compared_days(entries),
        "int_event_funnels": _funnels(entries),
        "int_event_retentions": _retentions(entries),
        "int_people_by_day": _people_by_day(codes),
        "int_people_stages": _people_stages(codes),
    }
    pack_tags = [entry.of_pack for entry in registry.entries.values() if entry.status in COMPUTED_STATUSES]
    marts = [PackTag(name, None, (), needs) for name, needs in NEEDS.items()]
    reasons = absences([*pack_tags, *marts], workspace)
    return MartModels(
        declaration,
        {name: GENERATED + sql for name, sql in texts.items()},
        {name: absence for name, absence in reasons.items() if name in NEEDS},
    )


def _people_by_day(codes: set[str]) -> str:
    """Write one row per person and snapshot: that of D, and the last one of the month that is compared with."""
    columns = ",\n  ".join(
        f"tags.{code}" if code in codes else f"cast(null as {kind}) as {code}" for code, kind in _TAGS.items()
    )
    return (
        f"{_CONFIG}"
        f"select\n  tags.as_of,\n  tags.as_of = {BUSINESS_DATE} as is_now,\n  tags.one_id,\n  tags.kind,\n  {columns}\n"
        "from {{ source('tags', 'customer_tags_daily') }} tags\n"
        f"where tags.as_of = {BUSINESS_DATE} or tags.as_of = {{{{ compared_on() }}}}\n"
    )


def _compared_days(entries: MartsFile) -> str:
    """Write one row: the last snapshot of the month that is compared with, null where none is kept."""
    month = f"trunc({BUSINESS_DATE}, 'MM')"
    return (
        f"{_CONFIG}"
        "select max(days.as_of) as compared_on\n"
        "from {{ source('tags', 'customer_tags_daily') }} days\n"
        f"where days.as_of >= add_months({month}, -{entries.compare_months})\n"
        f"  and days.as_of < add_months({month}, {1 - entries.compare_months})\n"
    )


def _people_stages(codes: set[str]) -> str:
    """Write one row per person, snapshot and track: a tier or a track of the lifecycle, with the stage in it."""
    parts = [
        f"select as_of, is_now, one_id, {dbt_literal(code)} as track, coalesce({code}, 'UNKNOWN') as stage,\n"
        "  coalesce(home_branch, 'UNKNOWN') as branch_id, aum_eod, is_mau\n"
        "from {{ ref('int_people_by_day') }}"
        for code in (TIER, *STAGES)
        if code in codes
    ] or [
        "select as_of, is_now, one_id, 'none' as track, 'UNKNOWN' as stage, 'UNKNOWN' as branch_id, aum_eod, is_mau\n"
        "from {{ ref('int_people_by_day') }}\nwhere 1 = 0"
    ]
    return _CONFIG + "\nunion all\n".join(parts) + "\n"


def _campaign_runs(entries: MartsFile) -> str:
    """Write one row per run and destination that was handed over in the last days."""
    return (
        f"{_CONFIG}"
        "select runs.run_id, runs.destination, runs.code as segment\n"
        "from {{ source('segments', 'deliveries') }} runs\n"
        f"where runs.as_of > date_sub({BUSINESS_DATE}, {entries.campaign_days}) and runs.as_of <= {BUSINESS_DATE}\n"
    )


def _funnels(entries: MartsFile) -> str:
    """Write one row per funnel and step."""
    rows = [
        {
            "funnel": dbt_literal(code),
            "name_zh": dbt_literal(funnel.name.zh),
            "name_en": dbt_literal(funnel.name.en),
            "step": f"cast({at} as int)",
            "event_name": dbt_literal(step),
            "within_micros": f"cast({funnel.within_days * 86_400_000_000} as bigint)",
            "days": f"cast({funnel.days} as int)",
        }
        for code, funnel in entries.funnels.items()
        for at, step in enumerate(funnel.steps, start=1)
    ]
    types = {"step": "int", "within_micros": "bigint", "days": "int"}
    names = ("funnel", "name_zh", "name_en", "step", "event_name", "within_micros", "days")
    return _CONFIG + _rows_sql(rows, {name: types.get(name, "string") for name in names})


def _retentions(entries: MartsFile) -> str:
    """Write one row per retention and day after the first event."""
    rows = [
        {
            "retention": dbt_literal(code),
            "name_zh": dbt_literal(retention.name.zh),
            "name_en": dbt_literal(retention.name.en),
            "first_event": dbt_literal(retention.first),
            "back_event": dbt_literal(retention.back),
            "day_number": f"cast({day} as int)",
            "months": f"cast({retention.months} as int)",
        }
        for code, retention in entries.retentions.items()
        for day in retention.days
    ]
    names = ("retention", "name_zh", "name_en", "first_event", "back_event", "day_number", "months")
    types = {"day_number": "int", "months": "int"}
    return _CONFIG + _rows_sql(rows, {name: types.get(name, "string") for name in names})


def _rows_sql(rows: list[dict[str, str]], types: Mapping[str, str]) -> str:
    """Write rows as SQL; none has its columns all the same."""
    if not rows:
        columns = ", ".join(f"cast(null as {kind}) as {name}" for name, kind in types.items())
        return f"select {columns}\nwhere 1 = 0\n"
    return (
        "\nunion all\n".join(
            "select " + ", ".join(f"{value} as {name}" for name, value in row.items()) for row in rows
        )
        + "\n"
    )
