"""A destination whose kind, address or name changes between nights: nobody stays there whom a later night takes out."""

from __future__ import annotations

import datetime as dt
import json
import shutil

import pytest
from segment_bank import lake_of, publish, read_tags, rows_of, write_tags
from transmitting_bank import NEXT, destinations_json, prepare, released, send

from jobs.night import transmitting
from lakehouse.settings.settings import load_settings

FOLDER = {"description": "the marketing engine", "ceiling": "C2"}


def endpoint(port: int, **changes) -> dict:
    http = {
        "url": f"http://127.0.0.1:{port}/audiences", "plain_http": True, "networks": ["127.0.0.0/8"],
        "timeout_seconds": 20, "give_up_after_seconds": 2, "credential_secret": "engine_token", **changes,
    }  # fmt: skip
    return {"kind": "http", **FOLDER, "http": http}


@pytest.fixture
def bank(evening, tmp_path, monkeypatch):
    """The lake of a bank whose segment was released to a folder on D."""
    prepare(monkeypatch)
    folder = tmp_path / "bank"
    shutil.copytree(evening, folder)
    return lake_of(load_settings(folder))


def become(bank, place: dict) -> None:
    (bank.settings.workspace / "destinations.yml").write_text(destinations_json(place), encoding="utf-8")


def night(bank, day: dt.date, *, without=()):
    """The next night, on which these people are gone from the tags."""
    write_tags(bank, [row for row in read_tags() if row["one_id"] not in without], day)
    publish(bank, day)
    return transmitting.transmit(bank, day)


def held(consumer) -> set[str]:
    return set(consumer.holds())


def test_a_folder_that_becomes_an_endpoint_gets_all_of_the_audience(bank, consumer):
    become(bank, endpoint(consumer.port))
    night(bank, NEXT)
    assert held(consumer) == set(released(bank)) and len(held(consumer)) == 3


STRANDED = (
    "people of segment rich stay where destination engine sent them before and can no longer be told to leave"
)


@pytest.mark.slow
def test_an_endpoint_that_was_a_folder_for_a_night_learns_who_left_meanwhile(bank, consumer, caplog):
    become(bank, endpoint(consumer.port))
    send(bank)
    everybody = held(consumer)
    become(bank, FOLDER)
    night(bank, NEXT, without=(1,))
    assert held(consumer) == everybody and f"3 {STRANDED}" in caplog.text
    caplog.clear()
    become(bank, endpoint(consumer.port))
    night(bank, NEXT + dt.timedelta(days=1), without=(1,))
    assert held(consumer) == set(released(bank)) and len(everybody - held(consumer)) == 1
    assert STRANDED not in caplog.text


def test_a_destination_that_is_gone_leaves_nobody_behind_unsaid(bank, consumer, caplog):
    become(bank, endpoint(consumer.port))
    send(bank)
    (bank.settings.workspace / "destinations.yml").write_text("destinations: {shelf: {description: x}}\n")
    transmitting.transmit(bank, NEXT)
    assert f"3 {STRANDED}" in caplog.text


def test_another_address_gets_the_whole_audience_and_who_leaves_that_night_leaves_there_too(
    bank, consumer, other_consumer, caplog
):
    """Nobody knows whether two addresses are one system, so the new one is told all that the old one would be told."""
    become(bank, endpoint(consumer.port))
    send(bank)
    everybody = held(consumer)
    become(bank, endpoint(other_consumer.port))
    night(bank, NEXT, without=(1,))
    assert held(other_consumer) == set(released(bank)) and len(held(other_consumer)) == 2
    ops = [row["op"] for request in other_consumer.requests for row in json.loads(request["body"])["rows"]]
    assert ops == ["EXIT", "ENTER", "ENTER"] and held(consumer) == everybody
    assert f"3 {STRANDED}" in caplog.text
    assert send(bank, NEXT) == (), "what was taken is not sent again"


@pytest.mark.slow
def test_an_address_that_comes_back_is_told_what_it_missed(bank, consumer, other_consumer, caplog):
    become(bank, endpoint(consumer.port))
    send(bank)
    become(bank, endpoint(other_consumer.port))
    night(bank, NEXT, without=(1,))
    become(bank, endpoint(consumer.port))
    caplog.clear()
    night(bank, NEXT + dt.timedelta(days=1), without=(1, 2))
    assert held(consumer) == set(released(bank))
    assert f"2 {STRANDED}" in caplog.text, "those whom the other address holds"


@pytest.mark.slow
def test_a_new_address_that_is_down_gets_all_of_it_later(bank, consumer, other_consumer):
    become(bank, endpoint(consumer.port))
    send(bank)
    other_consumer.stop()
    become(bank, endpoint(other_consumer.port))
    (one,) = night(bank, NEXT)
    assert one.status == "FAILED"
    other_consumer.start()
    become(bank, endpoint(other_consumer.port))
    (two,) = send(bank, NEXT)
    assert two.status == "SENT" and held(other_consumer) == set(released(bank))


def test_an_attempt_before_places_were_recorded_was_made_at_the_place_of_now(bank, consumer, caplog):
    become(bank, endpoint(consumer.port))
    send(bank)
    rows = [row | {"place": None} for row in bank.read_arrow("segments.transmissions").to_pylist()]
    bank.overwrite("segments.transmissions", rows_of("segments.transmissions", rows))
    assert send(bank) == () and STRANDED not in caplog.text
    become(bank, FOLDER)
    transmitting.transmit(bank, NEXT)
    assert f"3 {STRANDED}" in caplog.text
