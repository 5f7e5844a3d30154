"""The truth files: the person of every delivered profile, households, devices, life events, and the troubles of each profile."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv

from simulator.channels.files import Inbox
from simulator.truth.effects import write_effects
from simulator.truth.evidence import DeliveredRecords, persons_and_ceiling, record_lists, records_of
from simulator.truth.troubles import troubles_of
from simulator.world.bank import Bank
from simulator.world.draws import days, numbered_texts, replace_where, texts_at
from simulator.world.keys import contact_keys
from simulator.world.people import ROLE_NAMES


def person_texts(index: np.ndarray) -> pa.Array:
    """Give the names of people in truth files."""
    return numbered_texts("P", index, 9)


def _keys_by_source(bank: Bank) -> dict[str, pa.Array]:
    """Give the keys of all records of each source."""
    return {
        "core_banking": bank.customer_numbers, "mobile_app": bank.app_user_ids, "web": bank.cookies,
        "wechat_account": bank.openids("wechat_account"), "wechat_mini": bank.openids("wechat_mini"),
    } | {name: contact_keys(name, records.number) for name, records in bank.contacts.items()}  # fmt: skip


def write_truth(bank: Bank, inbox: Inbox, folder: Path) -> int:
    """Write the truth of all files of the plan, and give the number of profiles."""
    folder.mkdir(parents=True, exist_ok=True)
    last_night = bank.plan.nights - 1
    keys = _keys_by_source(bank)
    records = records_of(bank)
    person, ceiling = persons_and_ceiling(bank, records)
    profiles = _profiles(records, keys, person)
    _write_table(profiles, folder / "profiles.csv")
    is_anonymous = person < 0
    hidden_records = profiles.filter(pa.array(is_anonymous)).append_column(
        "behind", person_texts(records.person[is_anonymous])
    )
    _write_table(hidden_records, folder / "anonymous.csv")
    (folder / "ceiling.json").write_text(json.dumps(ceiling.summary(), indent=1) + "\n")

    tables = []
    is_delivered = {
        name: (first_night <= last_night) & (removal_night > last_night)
        for name, _, first_night, removal_night in record_lists(bank)
    }
    for source, trouble, has_trouble in troubles_of(bank):
        key = keys[source]
        rows = np.flatnonzero(has_trouble & is_delivered[source])
        tables.append(pa.table({
            "source": texts_at([source], np.zeros(len(rows), dtype=np.int64)),
            "source_key": key.take(pa.array(rows)),
            "trouble": texts_at([trouble], np.zeros(len(rows), dtype=np.int64)),
        }))  # fmt: skip
    _write_table(pa.concat_tables(tables), folder / "troubles.csv")

    _write_table(_removals(bank, keys["mobile_app"]), folder / "retracted.csv")
    _write_table(
        pa.concat_tables(
            [_life_events(bank, name, night) for name, night in bank.lives.nights_by_event().items()]
        ),
        folder / "lives.csv",
    )
    write_effects(folder / "effects.csv")
    people = bank.people
    _write_table(pa.table({
        "person": person_texts(np.arange(len(people))),
        "household": numbered_texts("HH", people.household, 9),
        "role": texts_at(ROLE_NAMES, people.role),
    }), folder / "households.csv")  # fmt: skip

    rows = np.flatnonzero((bank.app.device >= 0) & is_delivered["mobile_app"])
    owner = bank.app.device[rows] // 2
    _write_table(pa.table({
        "device_id": bank.devices().take(pa.array(rows)),
        "owner": person_texts(owner),
        "user": person_texts(bank.app.person[rows]),
    }), folder / "device_owners.csv")  # fmt: skip

    notes = sorted(inbox.notes, key=lambda n: (n.business_date, n.feed, n.file))
    _write_table(pa.table({
        "feed": [n.feed for n in notes],
        "business_date": [n.business_date for n in notes],
        "file": [n.file for n in notes],
        "rows": [n.rows for n in notes],
        "broken_rows": [n.broken_rows for n in notes],
        "duplicate_rows": [n.duplicate_rows for n in notes],
        "note": replace_where(pa.array([n.note for n in notes], pa.large_string()), np.array([not n.note for n in notes]), None),
    }), folder / "files.csv")  # fmt: skip
    return len(profiles)


def _profiles(records: DeliveredRecords, keys: dict[str, pa.Array], person: np.ndarray) -> pa.Table:
    """Give source, key and person of every record; an anonymous person has A before the number."""
    tables = []
    for place, source in enumerate(records.sources):
        is_of_source = records.source == place
        source_persons = person[is_of_source]
        person_names = replace_where(
            person_texts(np.maximum(source_persons, 0)),
            source_persons < 0,
            numbered_texts("A", -1 - source_persons[source_persons < 0], 9),
        )
        tables.append(pa.table({
            "source": texts_at([source], np.zeros(len(source_persons), dtype=np.int64)),
            "source_key": keys[source].take(pa.array(records.row[is_of_source])),
            "person": person_names,
        }))  # fmt: skip
    return pa.concat_tables(tables)


def _removals(bank: Bank, keys: pa.Array) -> pa.Table:
    """Give the app profiles that the source takes back, with the first night without them; `profiles.csv` has none of them."""
    rows = np.flatnonzero(bank.app.removal_night < bank.plan.nights)
    return pa.table({
        "source": texts_at(["mobile_app"], np.zeros(len(rows), dtype=np.int64)),
        "source_key": keys.take(pa.array(rows)),
        "business_date": days(bank.plan.first_day + bank.app.removal_night[rows]),
    })  # fmt: skip


def _life_events(bank: Bank, name: str, night: np.ndarray) -> pa.Table:
    rows = np.flatnonzero(night < bank.plan.nights)
    return pa.table({
        "person": person_texts(rows),
        "event": texts_at([name], np.zeros(len(rows), dtype=np.int64)),
        "business_date": days(bank.plan.first_day + night[rows]),
    })  # fmt: skip


def _write_table(table: pa.Table, path: Path) -> None:
    with path.open("wb") as sink:
        sink.write((",".join(table.column_names) + "\n").encode())
        pacsv.write_csv(table, sink, pacsv.WriteOptions(include_header=False, quoting_style="none"))
