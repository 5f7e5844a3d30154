"""Truth files: who every delivered profile is, households, devices, and which profile carries which trouble."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv

from simulator.channels.files import Inbox
from simulator.truth.effects import write_effects
from simulator.truth.evidence import Records, delivered, judged, records_of
from simulator.truth.troubles import troubles_of
from simulator.world.bank import Bank
from simulator.world.draws import days, numbered, put, taken
from simulator.world.keys import contact_keys
from simulator.world.people import ROLE_NAMES


def persons(index: np.ndarray) -> pa.Array:
    """Names of people in truth files."""
    return numbered("P", index, 9)


def _keys(bank: Bank) -> dict[str, pa.Array]:
    """Key of every record of each source."""
    return {
        "core_banking": bank.customer_numbers, "mobile_app": bank.app_user_ids, "web": bank.cookies,
        "wechat_account": bank.openids("wechat_account"), "wechat_mini": bank.openids("wechat_mini"),
    } | {name: contact_keys(name, records.number) for name, records in bank.contacts.items()}  # fmt: skip


def write_truth(bank: Bank, inbox: Inbox, folder: Path) -> int:
    """Write the truth of everything the plan delivered; gives the number of profiles."""
    folder.mkdir(parents=True, exist_ok=True)
    last = bank.plan.nights - 1
    keys = _keys(bank)
    records = records_of(bank)
    person, ceiling = judged(bank, records)
    profiles = _profiles(records, keys, person)
    _write(profiles, folder / "profiles.csv")
    hidden = person < 0
    behind = profiles.filter(pa.array(hidden)).append_column("behind", persons(records.person[hidden]))
    _write(behind, folder / "anonymous.csv")
    (folder / "ceiling.json").write_text(json.dumps(ceiling.summary(), indent=1) + "\n")

    tables = []
    stands = {name: (since <= last) & (gone > last) for name, _, since, gone in delivered(bank)}
    for source, trouble, carries in troubles_of(bank):
        key = keys[source]
        rows = np.flatnonzero(carries & stands[source])
        tables.append(pa.table({
            "source": taken([source], np.zeros(len(rows), dtype=np.int64)),
            "source_key": key.take(pa.array(rows)),
            "trouble": taken([trouble], np.zeros(len(rows), dtype=np.int64)),
        }))  # fmt: skip
    _write(pa.concat_tables(tables), folder / "troubles.csv")

    _write(_retracted(bank, keys["mobile_app"]), folder / "retracted.csv")
    _write(
        pa.concat_tables([_turn(bank, name, night) for name, night in bank.lives.turns().items()]),
        folder / "lives.csv",
    )
    write_effects(folder / "effects.csv")
    world = bank.world
    _write(pa.table({
        "person": persons(np.arange(len(world))),
        "household": numbered("HH", world.household, 9),
        "role": taken(ROLE_NAMES, world.role),
    }), folder / "households.csv")  # fmt: skip

    owned = np.flatnonzero((bank.app.device >= 0) & stands["mobile_app"])
    owner = bank.app.device[owned] // 2
    _write(pa.table({
        "device_id": bank.devices().take(pa.array(owned)),
        "owner": persons(owner),
        "user": persons(bank.app.person[owned]),
    }), folder / "device_owners.csv")  # fmt: skip

    notes = sorted(inbox.notes, key=lambda n: (n.business_date, n.feed, n.file))
    _write(pa.table({
        "feed": [n.feed for n in notes],
        "business_date": [n.business_date for n in notes],
        "file": [n.file for n in notes],
        "rows": [n.rows for n in notes],
        "broken_rows": [n.broken_rows for n in notes],
        "duplicate_rows": [n.duplicate_rows for n in notes],
        "note": put(pa.array([n.note for n in notes], pa.large_string()), np.array([not n.note for n in notes]), None),
    }), folder / "files.csv")  # fmt: skip
    return len(profiles)


def _profiles(records: Records, keys: dict[str, pa.Array], person: np.ndarray) -> pa.Table:
    """Source, key and person of every record; the anonymous are persons of their own, with A before their number."""
    tables = []
    for place, source in enumerate(records.sources):
        mine = records.source == place
        who = person[mine]
        named = put(persons(np.maximum(who, 0)), who < 0, numbered("A", -1 - who[who < 0], 9))
        tables.append(pa.table({
            "source": taken([source], np.zeros(len(who), dtype=np.int64)),
            "source_key": keys[source].take(pa.array(records.row[mine])),
            "person": named,
        }))  # fmt: skip
    return pa.concat_tables(tables)


def _retracted(bank: Bank, keys: pa.Array) -> pa.Table:
    """App profiles the source took back, with the first night that lacks them; they are no part of `profiles.csv`."""
    rows = np.flatnonzero(bank.app.gone_from < bank.plan.nights)
    return pa.table({
        "source": taken(["mobile_app"], np.zeros(len(rows), dtype=np.int64)),
        "source_key": keys.take(pa.array(rows)),
        "business_date": days(bank.plan.first_day + bank.app.gone_from[rows]),
    })  # fmt: skip


def _turn(bank: Bank, name: str, night: np.ndarray) -> pa.Table:
    rows = np.flatnonzero(night < bank.plan.nights)
    return pa.table({
        "person": persons(rows),
        "event": taken([name], np.zeros(len(rows), dtype=np.int64)),
        "business_date": days(bank.plan.first_day + night[rows]),
    })  # fmt: skip


def _write(table: pa.Table, path: Path) -> None:
    with path.open("wb") as sink:
        sink.write((",".join(table.column_names) + "\n").encode())
        pacsv.write_csv(table, sink, pacsv.WriteOptions(include_header=False, quoting_style="none"))
