"""Truth files: who every delivered profile is, households, devices, and which profile carries which trouble."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv

from simulator import identifiers as ids
from simulator.bank import Bank
from simulator.draws import numbered, put, taken
from simulator.files import Inbox
from simulator.people import ROLE_NAMES


def persons(index: np.ndarray) -> pa.Array:
    """Names of people in truth files."""
    return numbered("P", index, 9)


def _sources(bank: Bank) -> list[tuple[str, pa.Array, np.ndarray, np.ndarray]]:
    return [
        ("core_banking", bank.customer_numbers, bank.core.person, bank.core.since),
        ("mobile_app", bank.app_user_ids, bank.app.person, bank.app.since),
        ("web", bank.cookies, bank.web.person, bank.web.since),
        ("wechat_account", bank.openids("wechat_account"), bank.followers.person, bank.followers.since),
        ("wechat_mini", bank.openids("wechat_mini"), bank.minis.person, bank.minis.since),
    ]


def _troubles(bank: Bank) -> list[tuple[str, str, np.ndarray]]:
    """(source, trouble, mask over the profiles of the source)."""
    core, app, web, world = bank.core, bank.app, bank.web, bank.world
    person = core.person
    first = ~core.is_second
    devices, uses = np.unique(app.device[app.device >= 0], return_counts=True)
    found = [
        ("core_banking", "family_phone", world.has_family_phone[person] & first),
        ("core_banking", "recycled_phone_lost", world.lost_number[person] & first),
        ("core_banking", "recycled_phone_taken", world.took_number[person] & first),
        ("core_banking", "stale_phone", world.has_stale_core_phone[person] & first),
        ("core_banking", "placeholder_phone", core.phone <= ids.PLACEHOLDER_BASE),
        ("core_banking", "missing_phone", core.phone == ids.NO_PHONE),
        ("core_banking", "landline", core.phone == ids.LANDLINE),
        ("core_banking", "phone_dressed_up", (core.phone >= 0) & (core.phone_style > 0)),
        ("core_banking", "second_core_record", core.is_second),
        ("core_banking", "id_15_digits", core.id_form == ids.ID_15),
        ("core_banking", "id_wrong_check", core.id_form == ids.ID_WRONG_CHECK),
        ("core_banking", "id_missing", core.id_form == ids.ID_MISSING),
        ("core_banking", "id_placeholder", core.id_form == ids.ID_PLACEHOLDER),
        ("core_banking", "id_full_width", core.id_form == ids.ID_FULL_WIDTH),
        ("core_banking", "foreign_document", core.id_form == ids.ID_FOREIGN),
        ("mobile_app", "family_phone", world.has_family_phone[app.person] & (app.phone >= 0)),
        ("mobile_app", "recycled_phone_taken", world.took_number[app.person] & (app.phone >= 0)),
        ("mobile_app", "shared_tablet", np.isin(app.device, devices[uses > 1])),
        ("mobile_app", "placeholder_device", app.device < 0),
        ("mobile_app", "second_app_profile", app.is_second),
        ("mobile_app", "unbound", app.bound_from > 0),
        ("mobile_app", "name_variant", app.name_style > 0),
        ("web", "placeholder_login", web.has_placeholder),
        ("web", "anonymous", ~web.signs_in & (web.phone < 0)),
    ]
    for source, users in (("wechat_account", bank.followers), ("wechat_mini", bank.minis)):
        found.append((source, "unionid_missing", ~users.has_unionid))
        found.append((source, "unbound", (users.bound_from > 0) & (users.phone_from > 0)))
    return found


def write_truth(bank: Bank, inbox: Inbox, folder: Path) -> int:
    """Write the truth of everything the plan delivered; gives the number of profiles."""
    folder.mkdir(parents=True, exist_ok=True)
    last = bank.plan.nights - 1
    tables, keys = [], {}
    for source, key, person, since in _sources(bank):
        rows = np.flatnonzero(since <= last)
        keys[source] = (key, since)
        tables.append(pa.table({
            "source": taken([source], np.zeros(len(rows), dtype=np.int64)),
            "source_key": key.take(pa.array(rows)),
            "person": persons(person[rows]),
        }))  # fmt: skip
    profiles = pa.concat_tables(tables)
    _write(profiles, folder / "profiles.csv")

    tables = []
    for source, trouble, carries in _troubles(bank):
        key, since = keys[source]
        rows = np.flatnonzero(carries & (since <= last))
        tables.append(pa.table({
            "source": taken([source], np.zeros(len(rows), dtype=np.int64)),
            "source_key": key.take(pa.array(rows)),
            "trouble": taken([trouble], np.zeros(len(rows), dtype=np.int64)),
        }))  # fmt: skip
    _write(pa.concat_tables(tables), folder / "troubles.csv")

    world = bank.world
    _write(pa.table({
        "person": persons(np.arange(len(world))),
        "household": numbered("HH", world.household, 9),
        "role": taken(ROLE_NAMES, world.role),
    }), folder / "households.csv")  # fmt: skip

    owned = np.flatnonzero((bank.app.device >= 0) & (bank.app.since <= last))
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


def _write(table: pa.Table, path: Path) -> None:
    with path.open("wb") as sink:
        sink.write((",".join(table.column_names) + "\n").encode())
        pacsv.write_csv(table, sink, pacsv.WriteOptions(include_header=False, quoting_style="none"))
