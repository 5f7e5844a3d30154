"""Directories: who is told of whom, on whose approval; and five nights that consumers without the lake follow and resolve."""

from __future__ import annotations

import datetime as dt
import json
import shutil
import subprocess
import sys
from decimal import Decimal
from hashlib import sha256
from pathlib import Path

import pytest
from segment_bank import (
    TAGS_YML,
    D,
    at,
    bank_lake,
    publish,
    read_tags,
    rows_of,
    spec,
    write_tags,
)

import ingestion
from delivery.addressing.contact_values import email_form, hash_of, phone_form
from delivery.audience_files import read_rows
from delivery.contract import verify_audience
from delivery.contract.schemas import schema_files
from delivery.destinations import read_destinations
from delivery.disclosures import DIRECTORY, Directory
from delivery.manifest import read_latest, read_manifest
from delivery.staging import recipient_key
from delivery.verification import verify
from jobs.cli import run as cdp
from jobs.workspace.examine import examine_workspace
from jobs.workspace.make import make_workspace as new_workspace
from lakehouse.errors import SettingsInvalid
from lakehouse.settings.settings import load_settings
from lakehouse.tables.lake import open_lake

ROOT = Path(__file__).parents[2]
KEYS = {"content": "source_keys", "sources": ["app", "core"], "format": "json_lines"}
RULE = "where: {all: [{tag: tier, in: [T2, T3]}, {tag: balance, gte: 150}]}\nunknown: exclude"
NODE = shutil.which("node")


def destinations_yml(
    directory: dict | None, *, ceiling: str = "C2", approval: object = "fitting", name: str = "engine"
) -> str:
    place: dict = {"description": "the engine", "ceiling": ceiling}
    if directory is not None:
        entry = dict(directory)
        if approval == "fitting":
            approval = {
                "by": "privacy_office",
                "date": "2026-11-01",
                "hash": Directory.model_validate(directory).hash_for(name),
            }
        if approval is not None:
            entry["approval"] = approval
        place["directory"] = entry
    return json.dumps({"destinations": {name: place, "open_engine": {"description": "another"}}})


@pytest.fixture
def bank(make_workspace):
    """A function that makes the bank with a directory; its segment ``rich`` reaches people 1 and 10 on D."""

    def make(directory: dict | None, **files: str):
        folder = make_workspace(
            {
                "cdp.yml": "generate_secrets: true\n",
                "tags/test.yml": TAGS_YML,
                "destinations.yml": destinations_yml(directory),
                "segments/rich.yml": spec(
                    "rich", RULE, format="json_lines", columns="variant, channel, tier, balance"
                ),
                **files,
            }
        )
        lake = bank_lake(load_settings(folder))
        return lake

    return make


def write(lake, name: str, text: str) -> None:
    (lake.settings.workspace / name).write_text(text, encoding="utf-8")


def root(lake) -> Path:
    return lake.settings.published / "engine" / DIRECTORY


def held(lake) -> dict[int, dict]:
    """What the newest directory tells, by OneID."""
    run = root(lake) / read_latest(root(lake))["path"]
    names = {
        row["recipient_key"]: row["one_id"] for row in lake.read_arrow("segments.recipients").to_pylist()
    }
    rows = [
        {name: json.loads(text) if text else None for name, text in row.items()}
        for row in read_rows(run / "snapshot", "json_lines").to_pylist()
    ]
    return {names[row.pop("recipient_key")]: row for row in rows}


def manifest(lake) -> dict:
    return read_manifest(root(lake) / read_latest(root(lake))["path"])


def observe(lake, *rows: dict) -> None:
    lake.append("trusted.identifier_observations", rows_of("trusted.identifier_observations", [
        {"role": "identity", **row} for row in rows]))  # fmt: skip


def decide(lake, number: int, purpose: str, decision: str, day: dt.date, channel: str = "ALL") -> None:
    lake.append("trusted.consents", rows_of("trusted.consents", [
        {"source_key": f"c{number}", "purpose": purpose, "channel": channel, "decision": decision,
         "decided_at": at(day.isoformat()), "valid_from": day}]))  # fmt: skip


# --------------------------------------------------------------------------------------- what is told


def test_keys_are_those_of_the_first_source_that_knows_the_person(bank):
    lake = bank(KEYS)
    lake.append("identity.memberships", rows_of("identity.memberships", [
        {"one_id": 10, "source": "app", "source_key": "a10", "profile_id": 110},
        {"one_id": 10, "source": "app", "source_key": "a9", "profile_id": 90},
        {"one_id": 1, "source": "shop", "source_key": "s1", "profile_id": 5}]))  # fmt: skip
    publish(lake, D)
    assert held(lake) == {
        1: {"source": "core", "source_key": "c1"},
        10: {"source": "app", "source_key": "a9"},
    }
    document = manifest(lake)
    assert (document["kind"], document["segment"], document["counts"]["published"]) == (
        "directory",
        DIRECTORY,
        2,
    )
    assert document["approvals"] == [
        {"by": "privacy_office", "date": "2026-11-01", "hash": document["definition_hash"]}
    ]
    assert {c["name"]: c["level"] for c in document["schema"]} == {
        "recipient_key": "C1",
        "source": "C2",
        "source_key": "C2",
    }
    assert [v.failures for v in verify(lake.settings.published)] == [(), (), (), ()]
    audit = lake.read_arrow("segments.directories").to_pylist()
    assert audit == [
        {"run_id": document["run_id"], "destination": "engine", "as_of": D, "content": "source_keys", "level": "C2", "purpose": "addresses",
         "columns": ["source", "source_key"], "people": 2, "approved_by": "privacy_office", "approved_on": dt.date(2026, 11, 1),
         "approval_hash": document["definition_hash"]}
    ]  # fmt: skip
    files = {p: p.read_bytes() for p in lake.settings.published.rglob("*") if p.is_file()}
    publish(lake, D)
    assert {p: p.read_bytes() for p in lake.settings.published.rglob("*") if p.is_file()} == files
    assert lake.read_arrow("segments.directories").to_pylist() == audit


def test_nobody_has_a_directory_who_did_not_ask(bank):
    lake = bank(None)
    publish(lake, D)
    assert not root(lake).exists() and lake.read_arrow("segments.directories").num_rows == 0


@pytest.mark.parametrize("is_destination_dry", [False, True])
def test_a_directory_tells_of_nobody_whose_audience_is_dry(bank, is_destination_dry):
    lake = bank(KEYS)
    file = lake.settings.workspace / "segments" / "rich.yml"
    write(lake, "segments/rich.yml", file.read_text().replace("format:", "deliver: dry, format:"))
    if is_destination_dry:
        document = json.loads(destinations_yml(KEYS))
        document["destinations"]["engine"]["deliver"] = "dry"
        write(lake, "destinations.yml", json.dumps(document))
    publish(lake, D)
    assert not root(lake).exists()
    assert lake.read_arrow("segments.directories").num_rows == 0
    assert lake.read_arrow("segments.recipients").num_rows == 0
    dry = lake.settings.generated / "dry" / "engine"
    assert (dry / "rich").exists() and (dry / DIRECTORY).exists() is is_destination_dry


def test_a_destination_that_becomes_dry_keeps_a_directory_of_what_stands(bank):
    lake = bank(KEYS)
    publish(lake, D)
    file = lake.settings.workspace / "segments" / "rich.yml"
    write(
        lake,
        "segments/rich.yml",
        file.read_text()
        .replace("format:", "deliver: dry, format:")
        .replace("150", "500")
        .replace("1.0.0", "1.1.0"),
    )
    document = json.loads(destinations_yml(KEYS))
    document["destinations"]["engine"]["deliver"] = "dry"
    write(lake, "destinations.yml", json.dumps(document))
    write_tags(lake, read_tags(), D + dt.timedelta(days=1))
    publish(lake, D + dt.timedelta(days=1))
    assert set(held(lake)) == {1, 10}


def test_contacts_are_those_that_consent_covers_and_no_other_identifier_ever(bank):
    """Person 10 refused SMS; a policy that calls a document an address changes nothing."""
    policy = "channels:\n  SMS: {addresses: [phone, national_id]}\n"
    lake = bank(
        {"content": "contacts", "channels": ["SMS", "PUSH"], "format": "json_lines"},
        **{"consent.yml": policy},
    )
    observe(lake, {"source_key": "c1", "namespace": "national_id", "value": "110101199003070000", "verified": True,
             "observed_on": D + dt.timedelta(days=1)},
            {"source_key": "c1", "namespace": "phone", "value": " 13911112222 ", "verified": True, "observed_on": D},
            {"source_key": "c1", "namespace": "phone", "value": "hashed elsewhere", "verified": True, "hash_method": "md5",
             "observed_on": D + dt.timedelta(days=1)})  # fmt: skip
    publish(lake, D)
    assert held(lake) == {1: {"sms": "13911112222", "push": None}, 10: {"sms": None, "push": "u10"}}
    assert manifest(lake)["counts"]["consent"] == {"granted": 2}


@pytest.mark.slow
def test_hashed_contacts_need_a_consent_of_their_own_purpose_and_leave_with_it(bank):
    lake = bank({"content": "hashed_contacts", "identifiers": ["phone", "email"], "format": "json_lines"})
    observe(lake, {"source_key": "c1", "namespace": "email", "value": " Test@Example.com"})
    publish(lake, D)
    assert held(lake) == {} and manifest(lake)["counts"]["suppressed_by_reason"] == {"NO_CONSENT": 2}
    decide(lake, 1, "sharing", "GRANT", D)
    decide(lake, 10, "sharing", "GRANT", D, channel="EMAIL")
    write_tags(lake, read_tags(), D + dt.timedelta(days=1))
    publish(lake, D + dt.timedelta(days=1))
    assert held(lake) == {1: {
        "phone_sha256": sha256(b"+8613800000001").hexdigest(),
        "email_sha256": "973dfe463ec85785f5f95af5ba3906eedb2d931c24e69824a89ea65dba4e813b"}}  # fmt: skip
    assert manifest(lake)["counts"]["suppressed_by_reason"] == {"NO_CONSENT": 1}
    decide(lake, 1, "sharing", "REFUSE", D + dt.timedelta(days=2))
    write_tags(lake, read_tags(), D + dt.timedelta(days=2))
    publish(lake, D + dt.timedelta(days=2))
    assert held(lake) == {} and manifest(lake)["counts"]["delta"]["exit"] == 1
    assert {row["purpose"] for row in lake.read_arrow("segments.directories").to_pylist()} == {"sharing"}


def test_who_has_no_key_is_counted_and_told(bank, caplog):
    lake = bank({**KEYS, "sources": ["app"]})
    publish(lake, D)
    assert held(lake) == {} and manifest(lake)["counts"]["suppressed_by_reason"] == {"NO_ADDRESS": 2}
    assert "the directory of engine has nothing to tell of 2 of its 2 recipients" in caplog.text


def test_a_merged_person_is_found_under_the_old_key(bank):
    lake = bank({**KEYS, "sources": ["core"]})
    publish(lake, D)
    tomorrow = D + dt.timedelta(days=1)
    # The segment is gone, its audience of yesterday stands; 10 became 1, and the record of 1 is gone from its source.
    (lake.settings.workspace / "segments" / "rich.yml").unlink()
    write(
        lake,
        "segments/none.yml",
        spec("none", "where: {tag: tier, eq: T1}\nunknown: exclude", format="json_lines").replace(
            "[engine]", "[open_engine]"
        ),
    )
    lake.append("identity.redirects", rows_of("identity.redirects", [{"from_one_id": 10, "to_one_id": 2}]))
    lake.append("trusted.identifier_observations", rows_of("trusted.identifier_observations", [
        {"source_key": "c2", "namespace": "app_user_id@app", "value": "u10", "role": "identity"}]))  # fmt: skip
    write_tags(lake, read_tags(), tomorrow)
    publish(lake, tomorrow)
    assert held(lake)[10] == {"source": "core", "source_key": "c2"}


def test_who_died_leaves_the_directory_though_the_audience_stands(bank):
    lake = bank({**KEYS, "sources": ["core"]})
    publish(lake, D)
    (lake.settings.workspace / "segments" / "rich.yml").unlink()
    other = spec("none", "where: {tag: tier, eq: T1}\nunknown: exclude", format="json_lines")
    write(lake, "segments/none.yml", other.replace("[engine]", "[open_engine]"))
    assert set(held(lake)) == {1, 10}
    lake.append("trusted.customers", rows_of("trusted.customers", [
        {"source_key": "c10", "kind": "customer", "deceased_on": D}]))  # fmt: skip
    tomorrow = D + dt.timedelta(days=1)
    write_tags(lake, read_tags(), tomorrow)
    publish(lake, tomorrow)
    assert set(held(lake)) == {1}


def test_a_directory_that_is_taken_away_is_emptied_the_next_night(bank):
    lake = bank(KEYS)
    publish(lake, D)
    write(lake, "destinations.yml", destinations_yml(None))
    for day in (1, 2):
        write_tags(lake, read_tags(), D + dt.timedelta(days=day))
        publish(lake, D + dt.timedelta(days=day))
    assert held(lake) == {} and manifest(lake)["counts"]["delta"]["exit"] == 2
    assert manifest(lake)["as_of"] == "2026-11-19", "an empty one is not emptied again"
    last = max(lake.read_arrow("segments.directories").to_pylist(), key=lambda row: row["as_of"])
    assert (last["content"], last["people"], last["approved_by"]) == ("none", 0, None)
    assert [v.failures for v in verify(root(lake))] == [(), (), ()]


# ------------------------------------------------------------------------------- what is refused first

REFUSED = {
    "above the ceiling": (destinations_yml(KEYS, ceiling="C1"), "is of level C2, above the destination's ceiling C1"),
    "hashes above the ceiling": (
        destinations_yml({"content": "hashed_contacts", "identifiers": ["phone"]}, ceiling="C1"), "is of level C2, above"),
    "nobody approved": (destinations_yml(KEYS, approval=None), "nobody approved the directory of 'engine': it needs approval"),
    "approved for less": (
        destinations_yml({**KEYS, "sources": ["app", "core", "crm"]},
                         approval={"by": "x", "date": "2026-11-01", "hash": Directory.model_validate(KEYS).hash_for("engine")}),
        "is for another directory of 'engine'"),
    "approved for another destination": (
        destinations_yml(KEYS, approval={"by": "x", "date": "2026-11-01", "hash": Directory.model_validate(KEYS).hash_for("shop")}),
        "is for another directory of 'engine'"),
    "an approver without a name": (
        destinations_yml(KEYS, approval={"by": "", "date": "2026-11-01", "hash": "x"}), "at least 1 character"),
    "a key of another content": (
        destinations_yml({**KEYS, "channels": ["SMS"]}, approval=None), "'channels' is no key of source_keys"),
    "no source": (destinations_yml({"content": "source_keys"}, approval=None), "source_keys needs sources"),
    "a channel without addresses": (
        destinations_yml({"content": "contacts", "channels": ["SMS", "BRANCH"]}, approval=None), "channel BRANCH has no address"),
    "an unknown channel": (destinations_yml({"content": "contacts", "channels": ["FAX"]}, approval=None), "has to be"),
}  # fmt: skip


@pytest.mark.parametrize("what", REFUSED)
def test_a_directory_that_may_not_be_is_refused_with_its_line(make_workspace, what):
    text, words = REFUSED[what]
    with pytest.raises(SettingsInvalid) as wrong:
        read_destinations(make_workspace({"destinations.yml": text}))
    assert words in str(wrong.value) and "destinations.yml:1: " in str(wrong.value)


@pytest.mark.parametrize("what", ["above the ceiling", "approved for less"])
def test_it_is_refused_by_check_by_doctor_and_by_a_night_before_its_first_step(tmp_path, capsys, what):
    text, words = REFUSED[what]
    folder = tmp_path / "shop"
    new_workspace(folder, "minimal")
    (folder / "destinations.yml").write_text(text, encoding="utf-8")
    for command in (["segments", "check"], ["nightly", "--date", "2026-01-05"]):
        code = cdp([*command, "--workspace", str(folder)])
        error = capsys.readouterr().err
        assert code == 2 and words in error and "destinations.yml:1: " in error, (command, error)
    assert not (folder / "lake").exists() and not (folder / "published").exists()
    requirement = examine_workspace(folder)
    assert not requirement.is_good and words in requirement.repair


def test_a_source_that_no_feed_delivers_is_refused_first(tmp_path, capsys):
    folder = tmp_path / "shop"
    new_workspace(folder, "minimal")
    feed = next((folder / "feeds").glob("*.yml")).read_text(encoding="utf-8")
    source = next(line for line in feed.splitlines() if line.startswith("source:")).split(":")[1].strip()
    text = destinations_yml({"content": "source_keys", "sources": [source + "s"]})
    (folder / "destinations.yml").write_text(text, encoding="utf-8")
    for command in (["segments", "check"], ["nightly", "--date", "2026-01-05"]):
        code = cdp([*command, "--workspace", str(folder)])
        error = capsys.readouterr().err
        assert code == 2 and f"names source '{source}s', which no feed delivers" in error, (command, error)
        assert f"'{source}'?" in error and "destinations.yml:1: " in error
    assert not (folder / "lake").exists()


def test_a_replayed_date_tells_nobody_of_the_people_of_then(bank):
    """A directory that is asked for after a newer night is not made from older audiences."""
    lake = bank(None)
    tomorrow = D + dt.timedelta(days=1)
    publish(lake, D)
    write_tags(lake, read_tags(), tomorrow)
    publish(lake, tomorrow)
    write(lake, "destinations.yml", destinations_yml(KEYS))
    publish(lake, D)
    assert not root(lake).exists()


def test_a_changed_word_of_a_directory_changes_its_hash():
    hashes = {
        Directory.model_validate(tree).hash_for(name)
        for tree in (
            KEYS, {**KEYS, "sources": ["core", "app"]}, {**KEYS, "format": "csv"}, {"content": "contacts", "channels": ["SMS"]},
            {"content": "hashed_contacts", "identifiers": ["phone"]},
            {"content": "hashed_contacts", "identifiers": ["phone"], "purpose": "marketing"},
            {"content": "hashed_contacts", "identifiers": ["phone"], "phone": "national"},
        )
        for name in ("engine", "shop")
    }  # fmt: skip
    assert len(hashes) == 14


# -------------------------------------------------------------------------------------------- forms


@pytest.mark.parametrize(
    ("text", "e164", "digits", "national"),
    [
        ("13800138000", "+8613800138000", "8613800138000", "13800138000"),
        ("+86 138-0013-8000", "+8613800138000", "8613800138000", "13800138000"),
        ("008613800138000", "+8613800138000", "8613800138000", "13800138000"),
        ("8613800138000", "+8613800138000", "8613800138000", "13800138000"),
        ("０13800138000", "+8613800138000", "8613800138000", "13800138000"),
        ("+1 (650) 253-0000", "+16502530000", "16502530000", None),
        ("010-12345678", None, None, None),
        ("12345", None, None, None),
        ("+8612345678901", None, None, None),
        ("phone", None, None, None),
        ("", None, None, None),
    ],
)  # fmt: skip
def test_a_phone_number_has_one_form_a_platform(text, e164, digits, national):
    forms = [phone_form(text, form=form, country_code="86") for form in ("e164", "e164_digits", "national")]
    assert forms == [e164, digits, national]


def test_a_number_of_another_country_gets_its_code():
    assert phone_form("0170 1234567", form="e164", country_code="49") == "+491701234567"
    assert phone_form("+49 170 1234567", form="national", country_code="49") == "1701234567"


@pytest.mark.parametrize(
    ("text", "lower", "gmail"),
    [
        (" Test@Example.com ", "test@example.com", "test@example.com"),
        ("A.B+news@Gmail.com", "a.b+news@gmail.com", "ab@gmail.com"),
        ("+x@gmail.com", "+x@gmail.com", None),
        ("a b@example.com", None, None),
        ("nobody", None, None),
    ],
)
def test_an_address_has_one_form_a_platform(text, lower, gmail):
    assert (email_form(text, form="lower"), email_form(text, form="lower_gmail")) == (lower, gmail)


def test_a_hash_is_the_one_that_platforms_publish():
    # printf test@example.com | sha256sum
    assert hash_of("test@example.com") == "973dfe463ec85785f5f95af5ba3906eedb2d931c24e69824a89ea65dba4e813b"
    assert hash_of(None) is None


# ----------------------------------------------------------------------------------------- five nights


def change(rows: list[dict], number: int, **values) -> None:
    next(row for row in rows if row["one_id"] == number).update(values)


def night(lake, people: list[dict], number: int) -> None:
    """What happens before the night of a number, from 0; who is reached after it stands in ``REACHED``."""
    day = D + dt.timedelta(days=number)
    if number == 1:
        change(people, 3, tier="T2", balance=Decimal(200))
    elif number == 2:
        change(people, 4, tier="T2")
        change(people, 1, tier="T2")
        change(people, 10, balance=Decimal(100))
    elif number == 3:
        decide(lake, 3, "marketing", "REFUSE", day)
    elif number == 4:
        (lake.settings.workspace / "segments" / "rich.yml").unlink()
        decide(lake, 1, "marketing", "REFUSE", day)
    write_tags(lake, people, day)
    publish(lake, day)


REACHED = ({1, 10}, {1, 3, 10}, {1, 3, 4}, {1, 4}, {4})
TIERS = ({1: "T3"}, {3: "T2"}, {1: "T2", 4: "T2"}, {4: "T2"}, {4: "T2"})


@pytest.mark.slow
@pytest.mark.parametrize(
    "language",
    ["python", pytest.param("node", marks=pytest.mark.skipif(NODE is None, reason="Node is not here"))],
)
def test_a_consumer_without_the_lake_follows_five_nights_and_resolves_every_key(bank, tmp_path, language):
    lake = bank(KEYS)
    home = tmp_path / "consumer"
    shutil.copytree(
        ROOT / "examples" / "consumers" / language,
        home,
        ignore=shutil.ignore_patterns("node_modules", "__pycache__"),
    )
    shutil.copy(verify_audience.__file__, home)
    (home / "schemas").mkdir()
    for name, text in schema_files().items():
        (home / "schemas" / name).write_text(text, encoding="utf-8")
    program = (
        [sys.executable, "-s", home / "consume.py"] if language == "python" else [NODE, home / "consume.mjs"]
    )
    people, sent = read_tags(), set()
    receipts = home / "receipts.csv"
    for number, reached in enumerate(REACHED):
        night(lake, people, number)
        folder = lake.settings.published / "engine"
        morning = f"{D + dt.timedelta(days=number + 1)}T05:00:00+08:00"
        words = [*program, folder / "rich", "--directory", folder / DIRECTORY, "--memory", home / "memory.json", "--receipts", receipts,
                 "--key-file", lake.settings.workspace / "secrets" / "verification_key_engine.key", "--at", morning]  # fmt: skip
        answer = subprocess.run(list(map(str, words)), capture_output=True, text=True, check=False, cwd=home)
        assert answer.returncode == 0, answer.stdout + answer.stderr
        outcome = json.loads(answer.stdout)
        keys = {recipient_key(lake.settings.secret("destination_key_engine"), n): n for n in range(1, 13)}
        memory = json.loads((home / "memory.json").read_text())["rich"]["rows"]
        assert {keys[key] for key in memory} == reached, number
        assert {keys[key]: row["tier"] for key, row in memory.items() if keys[key] in TIERS[number]} == TIERS[
            number
        ]
        assert outcome["outcome"] == ("snapshot" if number == 0 else "delta")
        assert outcome["unresolved"] == []
        assert {keys[key]: row["source_key"] for key, row in outcome["addresses"].items()} == {
            n: f"c{n}" for n in reached
        }
        sent |= {(number, keys[key]) for key in outcome["enter"]}
    assert sent == {(0, 1), (0, 10), (1, 3), (2, 4)}
    _take_receipts(lake, receipts)
    answered = lake.read_arrow("trusted.receipts").to_pylist()
    assert sorted(keys[row["recipient_key"]] for row in answered) == [1, 3, 4, 10]
    assert {row["status"] for row in answered} == {"SENT"} and lake.read_arrow(
        "quality.refused_rows"
    ).num_rows == 0


def _take_receipts(lake, receipts: Path) -> None:
    day = D + dt.timedelta(days=5)
    place = lake.settings.inbox / "marketing_receipts" / day.isoformat() / "receipts.csv"
    place.parent.mkdir(parents=True)
    shutil.copy(receipts, place)
    (lake.settings.workspace / "feeds").mkdir()
    shutil.copy(ROOT / "examples/bank/feeds/marketing_receipts.yml", lake.settings.workspace / "feeds")
    ingestion.ingest(open_lake(load_settings(lake.settings.workspace)), day)
