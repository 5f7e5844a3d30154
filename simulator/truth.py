"""Truth files: who every delivered profile is, households, devices, and which profile carries which trouble."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv

from simulator import identifiers as ids
from simulator.bank import Bank
from simulator.contacts import CRM, NO_COMPANY, PARTNERS
from simulator.draws import days, numbered, put, taken
from simulator.effects import write_effects
from simulator.engine import OPENS
from simulator.evidence import Records, delivered, judged, records_of
from simulator.files import Inbox
from simulator.keys import contact_keys
from simulator.people import ROLE_NAMES
from simulator.profiles import KIOSK_DEVICE


def persons(index: np.ndarray) -> pa.Array:
    """Names of people in truth files."""
    return numbered("P", index, 9)


def _keys(bank: Bank) -> dict[str, pa.Array]:
    """Key of every record of each source."""
    return {
        "core_banking": bank.customer_numbers, "mobile_app": bank.app_user_ids, "web": bank.cookies,
        "wechat_account": bank.openids("wechat_account"), "wechat_mini": bank.openids("wechat_mini"),
    } | {name: contact_keys(name, records.number) for name, records in bank.contacts.items()}  # fmt: skip


def troubles_of(bank: Bank) -> list[tuple[str, str, np.ndarray]]:
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
        ("core_banking", "family_phone_hidden_owner", world.has_hidden_owner[person] & first),
        ("mobile_app", "placeholder_device", (app.device < 0) & (app.device > KIOSK_DEVICE)),
        ("mobile_app", "kiosk_device", app.device <= KIOSK_DEVICE),
        ("mobile_app", "recycled_phone_hidden_taker", world.took_hidden[app.person] & (app.phone >= 0)),
        ("mobile_app", "second_app_profile", app.is_second),
        ("mobile_app", "unbound", app.bound_from > 0),
        ("mobile_app", "name_variant", app.name_style > 0),
        ("web", "placeholder_login", web.has_placeholder),
        ("web", "clerk_on_kiosk", web.kiosk >= 0),
        ("web", "anonymous", ~web.signs_in & (web.phone < 0)),
    ]
    for source, users in (("wechat_account", bank.followers), ("wechat_mini", bank.minis)):
        found.append((source, "unionid_missing", ~users.has_unionid))
        found.append(
            (source, "recycled_phone_hidden_taker", world.took_hidden[users.person] & (users.phone_from == 0))
        )
        found.append((source, "unbound", (users.bound_from > 0) & (users.phone_from > 0)))
    contacts = bank.contacts
    found.append(("partner_list", "agent_phone", contacts[PARTNERS].has_agent_phone))
    found.append(("partner_list", "hashed_phone", contacts[PARTNERS].is_hashed))
    found.append(("branch_crm", "owns_company", contacts[CRM].company != NO_COMPANY))
    found += [
        (n, "family_phone", world.has_family_phone[c.person] & (c.phone >= 0)) for n, c in contacts.items()
    ]
    return found


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
    write_effects(folder / "effects.csv", OPENS)
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
