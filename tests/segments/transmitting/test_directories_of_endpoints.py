"""The directory of a destination that is sent its audiences: it lies in the folder, and none of it goes over the wire."""

from __future__ import annotations

import json
import shutil

import pytest
from segment_bank import D, lake_of, publish, read_tags, write_tags
from transmitting_bank import NEXT, destinations_json, prepare, send

from delivery.audience_files import read_rows
from delivery.disclosures import DIRECTORY, Directory
from delivery.manifest import read_latest, read_manifest
from delivery.verification import verify
from lakehouse.settings.settings import load_settings

KEYS = {"content": "source_keys", "sources": ["core"], "format": "json_lines"}
FOLDER = {"description": "the marketing engine", "ceiling": "C2"}


def with_directory(place: dict) -> dict:
    hash_ = Directory.model_validate(KEYS).hash_for("engine")
    return {
        **place,
        "directory": {**KEYS, "approval": {"by": "privacy_office", "date": "2026-11-01", "hash": hash_}},
    }


def http_place(port: int) -> dict:
    http = {
        "url": f"http://127.0.0.1:{port}/audiences", "plain_http": True, "networks": ["127.0.0.0/8"], "batch_rows": 2,
        "timeout_seconds": 20, "give_up_after_seconds": 2,
    }  # fmt: skip
    return {**FOLDER, "kind": "http", "http": http}


@pytest.fixture
def bank(evening, tmp_path, monkeypatch):
    """The lake of such a bank, and a function that says in its destinations.yml what the engine is."""
    prepare(monkeypatch)
    folder = tmp_path / "bank"
    shutil.copytree(evening, folder)
    lake = lake_of(load_settings(folder))

    def become(place: dict) -> None:
        (folder / "destinations.yml").write_text(destinations_json(place), encoding="utf-8")

    return lake, become


def night(lake, number: int) -> None:
    """Publish a night on which everybody's balance is another one."""
    day = D.fromordinal(D.toordinal() + number)
    write_tags(lake, [{**row, "balance": row["balance"] + number} for row in read_tags()], day)
    publish(lake, day)


def directory(lake) -> dict[str, dict]:
    """The newest directory in the folder, by recipient key."""
    root = lake.settings.published / "engine" / DIRECTORY
    run = root / read_latest(root)["path"]
    assert read_manifest(run)["kind"] == "directory"
    rows = read_rows(run / "snapshot", "json_lines").to_pylist()
    return {json.loads(row["recipient_key"]): {k: json.loads(v) for k, v in row.items()} for row in rows}


def test_a_key_that_came_over_http_is_found_in_the_folder_and_nothing_of_that_is_sent(bank, consumer):
    lake, become = bank
    become(with_directory(http_place(consumer.port)))
    night(lake, 1)
    rows = directory(lake)
    (one,) = send(lake, NEXT)
    assert (one.segment, one.status) == ("rich", "SENT")
    assert consumer.holds() and consumer.holds().keys() == rows.keys()
    names = {
        row["recipient_key"]: row["one_id"] for row in lake.read_arrow("segments.recipients").to_pylist()
    }
    assert {row["source_key"] for row in rows.values()} == {f"c{names[key]}" for key in consumer.holds()}
    assert {v.failures for v in verify(lake.settings.published / "engine" / DIRECTORY)} == {()}

    def is_told(wire: str) -> bool:
        told = [row["source_key"] for row in rows.values()] + [
            DIRECTORY,
            "source_key",
            "core",
            "privacy_office",
        ]
        return any(f'"{text}"' in wire for text in told)

    wire = "".join(request["body"] + json.dumps(dict(request["headers"])) for request in consumer.requests)
    assert is_told(json.dumps(list(rows.values()))) and not is_told(wire)
    assert {json.loads(request["body"])["segment"] for request in consumer.requests} == {"rich"}
    for table in ("segments.transmissions", "segments.transmission_rows", "segments.delivery_rejects"):
        assert DIRECTORY not in lake.read_arrow(table)["code"].to_pylist()
    row = next(
        row for row in lake.read_arrow("segments.directories").to_pylist() if row["destination"] == "engine"
    )
    assert (row["content"], row["level"], row["approved_by"], row["people"]) == (
        "source_keys",
        "C2",
        "privacy_office",
        len(rows),
    )
    assert send(lake, NEXT) == (), "a directory that is not sent is nothing that is missing"


def test_a_folder_that_becomes_an_endpoint_keeps_its_directory_for_itself(bank, consumer):
    """Also one that is emptied, which is a run with an EXIT for everybody."""
    lake, become = bank
    become(with_directory(FOLDER))
    night(lake, 1)
    become(http_place(consumer.port))
    assert [one.segment for one in send(lake, NEXT)] == ["rich"]
    assert directory(lake), "taking it away shows with the next night"
    night(lake, 2)
    assert directory(lake) == {}
    send(lake, NEXT)
    assert {json.loads(request["body"])["segment"] for request in consumer.requests} == {"rich"}


def test_a_directory_under_the_name_of_a_segment_is_not_sent(bank, consumer):
    """Whoever may write the folder puts the directory, which is signed, in the place of the audience."""
    lake, become = bank
    become(with_directory(http_place(consumer.port)))
    night(lake, 1)
    place = lake.settings.published / "engine"
    shutil.rmtree(place / "rich")
    shutil.copytree(place / DIRECTORY, place / "rich")
    (one,) = send(lake, NEXT)
    assert (one.status, consumer.requests) == ("FAILED", []) and "is no audience" in one.message


def test_a_directory_follows_who_withdraws_and_says_so_in_its_delta(bank, consumer):
    lake, become = bank
    become(with_directory(http_place(consumer.port)))
    night(lake, 1)
    before = directory(lake)
    write_tags(lake, [row for row in read_tags() if row["one_id"] != 3], D.fromordinal(D.toordinal() + 2))
    publish(lake, D.fromordinal(D.toordinal() + 2))
    gone = before.keys() - directory(lake).keys()
    root = lake.settings.published / "engine" / DIRECTORY
    delta = read_rows(root / read_latest(root)["path"] / "delta", "json_lines").to_pylist()
    assert {(json.loads(row["recipient_key"]), json.loads(row["op"])) for row in delta} == {
        (key, "EXIT") for key in gone
    }
    assert len(gone) == 1
