"""Five nights of one made-up segment, written as every audience is: the same kit has the same bytes everywhere."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from delivery.audience_files import csv_cell, json_value
from delivery.destinations import Destination
from delivery.disclosures import DIRECTORY
from delivery.releasing import release_audience
from delivery.signature import verification_secret
from delivery.staging import recipient_key, secret_name, stage_audience
from lakehouse.query.hashing import text_hash
from lakehouse.settings.settings import Settings, load_settings, secret_file
from vocabulary.audience import Audience

if TYPE_CHECKING:
    import pyarrow as pa

SEGMENT, DESTINATION = "gold", "kit"
FIRST_DAY = date(2026, 1, 5)
ZONE = timezone(timedelta(hours=8))
VALID_HOURS = 54
FORMATS = ("parquet", "csv", "json_lines")
# Published with the kit: they protect nothing.
VERIFICATION_KEY = "the verification key of the test kit"
RECIPIENT_KEY = "the recipients' key of the test kit"
# Texts that break programs which take a format for simpler than it is.
_NOTES = (
    'says "no", twice', "two\r\nlines", "客户，备注", "=1+1", "'quoted", "line\u2028separator", "a|b", "  spaces  ", "-5.00", "\\n",
    "next\u0085line", "émigré", None,
)  # fmt: skip
# Who is in the segment on each night, and whose tier has changed by then.
_CROWDS: tuple[frozenset[int], ...] = (
    frozenset(range(1, 21)),
    frozenset(range(1, 23)) - {3, 7},
    frozenset(range(1, 23)) - {3, 7},
    frozenset(range(1, 23)) - {3, 7, 11, 21},
    frozenset(range(1, 24)) - {7, 11, 21, 22},
)
_CHANGED_TIERS: tuple[frozenset[int], ...] = (
    frozenset(), frozenset({5, 9}), frozenset({5, 9, 12}), frozenset({5, 9, 12}), frozenset({5, 12}),
)  # fmt: skip
# On this night nobody is chosen anew: whoever withdrew is recalled.
_RECALL = 3
_DEFINITION = text_hash("test kit")[:12]
_APPROVAL = {
    "by": "compliance",
    "stage": "small",
    "definition_hash": _DEFINITION,
    "basis": text_hash("test kit", "basis")[:12],
    "approval_id": "test-kit-1",
    "approved_at": "2026-01-05T09:00:00+08:00",
    "until": "2026-03-31",
}


@dataclass(frozen=True)
class KitNight:
    """One night of the segment: its business date and what a consumer holds after it."""

    number: int
    as_of: date
    rows: dict[str, dict[str, Any]]
    """What stands in the snapshot, by recipient, as a consumer of the format reads it."""
    addresses: dict[str, dict[str, Any]]
    """What the directory says of each recipient."""

    @property
    def morning(self) -> datetime:
        """An instant at which the audience may be used."""
        return datetime.combine(self.as_of + timedelta(days=1), time(9), tzinfo=ZONE)

    @property
    def expiry(self) -> datetime:
        """An instant at which it is over; the night after it is not."""
        return self.morning + timedelta(days=2)


def write_nights(workshop: Path, file_format: str, places: Sequence[Path]) -> list[KitNight]:
    """Write as many nights as there are places; each place gets the segment's folder as it stood after its night.

    ``workshop`` is an empty folder that the nights are made in.
    """
    settings = _settings(workshop)
    destination = Destination(description="the test kit", ceiling="C2")
    nights = []
    for number, place in enumerate(places):
        audience, directory = _audience(number, file_format), _directory(number, file_format)
        for one in (directory, audience):
            delivery = stage_audience(one, DESTINATION, destination, settings=settings)
            if delivery is None:
                raise AssertionError("a later night was delivered before")
            release_audience(delivery)
            shutil.copytree(delivery.root, place / one.code)
        rows, addresses = (_rows(one, file_format, settings) for one in (audience, directory))
        nights.append(KitNight(number, audience.as_of, rows, addresses))
    return nights


def _settings(workshop: Path) -> Settings:
    (workshop / "cdp.yml").write_text("time_zone: Asia/Shanghai\n", encoding="utf-8")
    keys = {
        verification_secret(DESTINATION): VERIFICATION_KEY,
        secret_name(DESTINATION): RECIPIENT_KEY,
    }
    for name, text in keys.items():
        file = secret_file(workshop, name)
        file.parent.mkdir(exist_ok=True)
        file.write_text(text + "\n", encoding="utf-8")
    return load_settings(workshop)


def _audience(number: int, file_format: str) -> Audience:
    people, day = _people(number), FIRST_DAY + timedelta(days=number)
    in_arms = _people(number - 1).num_rows if number == _RECALL else people.num_rows
    arms = people["variant"].to_pylist()
    variants = {"A": arms.count("A"), "B": arms.count("B")}
    if number == _RECALL:
        before = _people(number - 1)["variant"].to_pylist()
        variants = {"A": before.count("A"), "B": before.count("B")}
    counts = {
        "candidates": in_arms + 4, "unknown": 1, "suppressed_by_reason": {"NO_CONSENT": 3}, "eligible": in_arms + 1,
        "not_in_rollout": 0, "control_global": 1, "holdout_local": 0, "contaminated": 0, "variants": variants,
        "dropped_by_contact": {"RECALLED": in_arms - people.num_rows} if number == _RECALL else {},
        "published": people.num_rows, "consent": {"granted": people.num_rows},
    }  # fmt: skip
    return Audience(
        code=SEGMENT,
        version="1.0.0",
        definition_hash=_DEFINITION,
        purpose="marketing",
        run_id=text_hash("test kit", file_format, day)[:24],
        as_of=day,
        destinations=(DESTINATION,),
        modes=("snapshot", "delta"),
        file_format=file_format,
        valid_hours=VALID_HOURS,
        levels={"balance": "C2", "note": "C2"},
        counts=counts,
        tag_versions={"tier": "1.0.0"},
        inputs=[],
        people=people,
        stage="small",
        approvals=(_APPROVAL,),
    )


def _directory(number: int, file_format: str) -> Audience:
    """Give the directory of a night: everybody of the segment by the key in one of two made-up systems."""
    import pyarrow as pa

    one_ids, day = sorted(_CROWDS[number]), FIRST_DAY + timedelta(days=number)
    people = pa.table(
        {
            "one_id": pa.array(one_ids, pa.int64()),
            "source": pa.array([("app", "core")[person % 2] for person in one_ids], pa.string()),
            "source_key": pa.array([f"customer-{person:04d}" for person in one_ids], pa.string()),
        }
    )
    return replace(
        _audience(number, file_format),
        code=DIRECTORY,
        purpose="addresses",
        run_id=text_hash("test kit", DIRECTORY, file_format, day)[:24],
        levels={"source": "C2", "source_key": "C2"},
        counts={
            "candidates": len(one_ids), "unknown": 0, "suppressed_by_reason": {}, "eligible": len(one_ids), "not_in_rollout": 0,
            "control_global": 0, "holdout_local": 0, "contaminated": 0, "variants": {"DEFAULT": len(one_ids)},
            "dropped_by_contact": {}, "published": len(one_ids), "consent": {"of_audiences": len(one_ids)},
        },
        tag_versions={},
        people=people,
        stage=None,
        kind="directory",
        approvals=({"by": "test kit", "date": FIRST_DAY.isoformat(), "hash": text_hash(DIRECTORY)[:12]},),
    )  # fmt: skip


def _people(number: int) -> pa.Table:
    import pyarrow as pa

    schema = pa.schema(
        [
            ("one_id", pa.int64()),
            ("variant", pa.string()),
            ("channel", pa.string()),
            ("tier", pa.string()),
            ("balance", pa.decimal128(18, 2)),
            ("opened_on", pa.date32()),
            ("visits", pa.int32()),
            ("is_active", pa.bool_()),
            ("interests", pa.list_(pa.string())),
            ("note", pa.string()),
        ]
    )
    rows = [
        {
            "one_id": person,
            "variant": "AB"[person % 2],
            "channel": ("SMS", "PUSH", "WECHAT")[person % 3],
            "tier": "T4" if person in _CHANGED_TIERS[number] else f"T{person % 3}",
            "balance": None if person % 5 == 0 else Decimal(person) * Decimal("1234567.89") - 2_000_000,
            "opened_on": None if person % 4 == 0 else date(2020, 2, 29) + timedelta(days=person),
            "visits": person * 7,
            "is_active": None if person % 6 == 0 else person % 2 == 0,
            "interests": None if person % 7 == 0 else ["FUND", "GOLD"][: person % 3],
            "note": _NOTES[person % len(_NOTES)],
        }
        for person in sorted(_CROWDS[number])
    ]
    return pa.Table.from_pylist(rows, schema=schema)


def _rows(audience: Audience, file_format: str, settings: Settings) -> dict[str, dict[str, Any]]:
    """Give what a consumer reads of an audience: text of CSV, where null is an empty cell, else values as JSON has them."""
    secret = settings.secret(secret_name(DESTINATION))
    value = csv_cell if file_format == "csv" else json_value
    rows = {}
    for person in audience.people.to_pylist():
        key = recipient_key(secret, person.pop("one_id"))
        rows[key] = {"recipient_key": key, **{name: value(entry) for name, entry in person.items()}}
    return dict(sorted(rows.items()))
