"""What an endpoint holds after nights of trouble is exactly the audience, and nobody who withdrew."""

from __future__ import annotations

import datetime as dt
import json
import shutil
import subprocess
from contextlib import nullcontext
from types import SimpleNamespace

import jsonschema
import pytest
from segment_bank import D, at, lake_of, publish, read_tags, rows_of, write_tags
from transmitting_bank import NEXT, TOKEN, destinations_json, prepare, rejects, released, send, withdraw

from delivery.contract.schemas import audience_schemas
from delivery.contract.verify_audience import signature_of
from delivery.transmission.books import Books
from jobs.cli import run as run_command
from jobs.night import transmitting
from jobs.night.transmitting import transmit_night
from lakehouse.settings.settings import load_settings
from tests.lake_damages import rewrite


def destinations_yml(port: int, **changes) -> str:
    settings = {
        "url": f"http://127.0.0.1:{port}/audiences", "plain_http": True, "networks": ["127.0.0.0/8"], "batch_rows": 2,
        "timeout_seconds": 20, "give_up_after_seconds": 2, "credential_secret": "engine_token", **changes,
    }  # fmt: skip
    place = {"kind": "http", "description": "the marketing engine", "ceiling": "C2", "http": settings}
    return destinations_json(place)


@pytest.fixture
def bank(evening, tmp_path, consumer, monkeypatch):
    """The lake of such a bank, whose endpoint is the consumer."""
    prepare(monkeypatch)
    folder = tmp_path / "bank"
    shutil.copytree(evening, folder)
    (folder / "destinations.yml").write_text(destinations_yml(consumer.port), encoding="utf-8")
    return lake_of(load_settings(folder))


def held(consumer) -> dict[str, str]:
    return {key: row["balance"] for key, row in consumer.holds().items()}


def test_an_endpoint_gets_the_audience_in_signed_batches_and_nothing_twice(bank, consumer):
    import hmac

    (one,) = send(bank)
    people = released(bank)
    assert len(people) == 3, "more than one batch"
    assert (one.status, one.accepted, one.rejected, one.withheld) == ("SENT", len(people), 0, 0)
    assert held(consumer) == people
    key = bank.settings.secret("verification_key_engine")
    for request in consumer.requests:
        assert (
            request["headers"]["X-CDP-Signature"].split()[2]
            == hmac.digest(key, request["body"].encode(), "sha256").hex()
        )
        assert request["headers"]["Authorization"] == f"Bearer {TOKEN}"
        tree = json.loads(request["body"])
        assert request["headers"]["Idempotency-Key"].startswith(f"{tree['run_id']}-{tree['batch']}-")
        assert "one_id" not in request["body"]
        jsonschema.validate(tree, audience_schemas()["http_request"], jsonschema.Draft7Validator)
    for answer in consumer.answers:
        jsonschema.validate(
            json.loads(answer["body"]), audience_schemas()["http_answer"], jsonschema.Draft7Validator
        )
    number = len(consumer.requests)
    assert send(bank) == () and len(consumer.requests) == number, "what was taken is not sent again"
    (row,) = bank.read_arrow("segments.transmissions").to_pylist()
    assert (row["status"], row["attempt"], row["operations"]) == ("SENT", 1, len(people))


def test_the_next_night_sends_only_what_changed(bank, consumer):
    send(bank)
    people = [
        {**row, "balance": row["balance"] + 1} if row["one_id"] == 1 else row
        for row in read_tags()
        if row["one_id"] != 3
    ]
    write_tags(bank, people, NEXT)
    before = len(consumer.requests)
    publish(bank, NEXT)
    (one,) = send(bank, NEXT)
    ops = [row["op"] for request in consumer.requests[before:] for row in json.loads(request["body"])["rows"]]
    assert (one.status, ops) == ("SENT", ["EXIT", "UPDATE"])
    assert held(consumer) == released(bank)


@pytest.mark.slow
def test_trouble_that_lasts_ends_in_a_warning_and_the_next_attempt_goes_on(bank, consumer, caplog):
    consumer.will("good", *["lie"] * 500)
    (one,) = send(bank)
    assert (one.status, one.accepted) == (
        "FAILED",
        2,
    ) and "accounts for 2 rows, and 1 were sent" in one.message
    assert "segment rich is not all at engine" in caplog.text
    texts = caplog.text + str(bank.read_arrow("segments.transmissions").to_pylist())
    assert TOKEN not in texts and str(consumer.port) not in texts
    consumer.will()
    (two,) = send(bank)
    assert (two.status, two.accepted) == ("SENT", 1), "what was answered is not sent again"
    assert held(consumer) == released(bank)


@pytest.mark.slow
def test_a_destination_that_is_down_gets_it_all_later(bank, consumer):
    consumer.stop()
    (one,) = send(bank)
    assert (one.status, one.accepted) == ("FAILED", 0) and "did not answer" in one.message
    consumer.start()
    text = destinations_yml(consumer.port)
    (bank.settings.workspace / "destinations.yml").write_text(text, encoding="utf-8")
    (two,) = send(bank)
    assert two.status == "SENT" and held(consumer) == released(bank)


def test_rows_that_are_rejected_are_kept_with_their_code_and_asked_again_by_the_next_run(bank, consumer):
    consumer.will("half")
    (one,) = send(bank)
    people = released(bank)
    refused = people.keys() - held(consumer).keys()
    assert (one.status, one.rejected) == ("PARTIAL", len(refused)) and refused
    assert {key for key, _ in rejects(bank)} == refused and {code for _, code in rejects(bank)} == {
        "NO_SUCH_CUSTOMER"
    }
    assert send(bank) == (), "what was answered is final for this run"
    write_tags(
        bank,
        [{**row, "balance": row["balance"] + 1} if row["one_id"] == 1 else row for row in read_tags()],
        NEXT,
    )
    publish(bank, NEXT)
    (two,) = send(bank, NEXT)
    assert two.status == "SENT" and held(consumer) == released(bank)


def test_who_withdraws_between_decision_and_delivery_is_not_sent_and_recorded(bank, consumer):
    key = withdraw(bank, 1)
    (one,) = send(bank)
    assert (one.status, one.withheld) == ("SENT", 1)
    assert key not in "".join(request["body"] for request in consumer.requests)
    assert held(consumer).keys() == released(bank).keys() - {key}
    assert rejects(bank) == [(key, "WITHDRAWN")]


def of_person(number, **values):
    return {"source_key": f"c{number}", **values}


def receipt(bank, number, channel, status):
    run = bank.read_arrow("segments.deliveries").to_pylist()[0]["run_id"]
    key = next(
        r["recipient_key"]
        for r in bank.read_arrow("segments.recipients").to_pylist()
        if r["one_id"] == number
    )
    return {"receipt_id": "r1", "run_id": run, "destination": "engine", "recipient_key": key, "channel": channel,
            "status": status, "event_at": at("2026-11-18"), "event_on": D}  # fmt: skip


# What happens to person 1, who was chosen for SMS, between decision and delivery.
LATE_NEWS = {
    "died": ("trusted.customers", lambda bank: of_person(1, kind="customer", deceased_on=D)),
    "is a minor": ("trusted.customers", lambda bank: of_person(1, kind="customer", birth_date=dt.date(2015, 1, 1))),
    "works here": ("trusted.customers", lambda bank: of_person(1, kind="customer", is_staff=True)),
    "restricted": ("trusted.account_controls",
                   lambda bank: of_person(1, control_id="9", control_type="JUDICIAL", started_on=D)),
    "bounced": ("trusted.receipts", lambda bank: receipt(bank, 1, "SMS", "BOUNCED_HARD")),
    "complained": ("trusted.receipts", lambda bank: receipt(bank, 1, "SMS", "COMPLAINED")),
}  # fmt: skip
NO_NEWS = {
    "bounced softly": ("trusted.receipts", lambda bank: receipt(bank, 1, "SMS", "BOUNCED_SOFT")),
    "bounced elsewhere": ("trusted.receipts", lambda bank: receipt(bank, 1, "PUSH", "BOUNCED_HARD")),
    "restricted before": ("trusted.account_controls",
                          lambda bank: of_person(1, control_id="9", control_type="FRAUD", started_on=D, ended_on=D)),
}  # fmt: skip


def learn(bank, news):
    table, row = news
    bank.append(table, rows_of(table, [row(bank)]))


@pytest.mark.parametrize("news", LATE_NEWS)
def test_whom_suppression_keeps_out_since_the_decision_is_not_sent(bank, consumer, news):
    learn(bank, LATE_NEWS[news])
    (one,) = send(bank)
    keys = {row["one_id"]: row["recipient_key"] for row in bank.read_arrow("segments.recipients").to_pylist()}
    assert (one.status, one.withheld) == ("SENT", 1)
    assert held(consumer).keys() == released(bank).keys() - {keys[1]}
    assert rejects(bank) == [(keys[1], "WITHDRAWN")], "the reason is told to nobody"


@pytest.mark.parametrize("news", NO_NEWS)
def test_what_is_no_reason_of_suppression_takes_nobody_out(bank, consumer, news):
    learn(bank, NO_NEWS[news])
    (one,) = send(bank)
    assert (one.status, one.withheld) == ("SENT", 0) and held(consumer) == released(bank)


@pytest.mark.slow
@pytest.mark.parametrize("behaviour", ["hang_up_after_taking", "garbage"])
def test_who_withdraws_after_an_attempt_whose_answer_was_lost_is_taken_out(bank, consumer, behaviour):
    consumer.will(*[behaviour] * 500)
    (one,) = send(bank)
    first = consumer.holds().keys()
    assert (one.status, one.accepted, len(first)) == ("FAILED", 0, 2)
    owners = {
        row["recipient_key"]: row["one_id"] for row in bank.read_arrow("segments.recipients").to_pylist()
    }
    key = withdraw(bank, owners[min(first)])
    consumer.will()
    (two,) = send(bank)
    assert (two.status, two.withheld) == ("SENT", 1)
    assert held(consumer).keys() == released(bank).keys() - {key}


@pytest.mark.slow
def test_whom_an_endpoint_took_without_an_answer_and_then_refuses_leaves_all_the_same(bank, consumer):
    """An engine that knows the people already says so, and that is no word that it does not hold them."""
    consumer.will(*["garbage"] * 500)
    assert send(bank)[0].status == "FAILED" and consumer.holds()
    consumer.will(*["refuse"] * 500)
    (two,) = send(bank)
    assert (two.status, two.accepted) == ("PARTIAL", 0)
    consumer.will()
    publish_without_everybody(bank)
    (three,) = send(bank, NEXT)
    assert three.status == "SENT" and consumer.holds() == {} == released(bank)


@pytest.mark.slow
def test_whom_an_endpoint_will_not_remove_it_is_asked_to_remove_until_it_does(
    bank, consumer, caplog, monkeypatch
):
    send(bank)
    publish_without_everybody(bank)
    consumer.will(*["refuse"] * 500)
    (one,) = send(bank, NEXT)
    assert (one.status, one.rejected) == ("PARTIAL", 3) and len(consumer.holds()) == 3
    (two,) = send(bank, NEXT)
    assert (two.status, two.rejected) == ("PARTIAL", 3), "without another run, such as after a recall"
    consumer.will("half", "half")
    (three,) = send(bank, NEXT)
    assert three.status == "PARTIAL" and len(consumer.holds()) == 2
    before = len(consumer.requests)
    (four,) = send(bank, NEXT)
    rows = [row for request in consumer.requests[before:] for row in json.loads(request["body"])["rows"]]
    assert (four.status, [row["op"] for row in rows], consumer.holds()) == ("SENT", ["EXIT"] * 2, {})
    assert send(bank, NEXT) == (), "nobody is left to be removed"


def test_whom_an_endpoint_has_not_removed_when_its_audience_expires_is_a_warning_every_night(
    bank, consumer, caplog, monkeypatch
):
    send(bank)
    publish_without_everybody(bank)
    consumer.will(*["refuse"] * 500)
    send(bank, NEXT)
    monkeypatch.setattr(transmitting, "now", lambda: dt.datetime(2026, 12, 20, 20, tzinfo=dt.UTC))
    for _ in range(2):
        caplog.clear()
        assert send(bank, NEXT) == ()
        assert "3 people who left the audience of segment rich are still held by engine" in caplog.text


def publish_without_everybody(bank) -> None:
    write_tags(bank, [{**row, "tier": "T0"} for row in read_tags()], NEXT)
    publish(bank, NEXT)


def test_a_killed_attempt_is_in_doubt_and_sent_again_under_the_same_keys(bank, consumer, monkeypatch):
    monkeypatch.setattr(Books, "end", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        send(bank)
    monkeypatch.undo()
    prepare(monkeypatch)
    (one,) = send(bank)
    keys = [request["headers"]["Idempotency-Key"] for request in consumer.requests]
    assert one.status == "SENT" and len(keys) == 2 * len(set(keys)) and held(consumer) == released(bank)
    assert [row["attempt"] for row in bank.read_arrow("segments.transmissions").to_pylist()] == [2]


@pytest.mark.slow
def test_only_whom_we_added_is_ever_removed(bank, consumer):
    consumer.will(*["unavailable"] * 500)
    send(bank)
    for number in (1, 3):
        withdraw(bank, number)
    consumer.will()
    before = len(consumer.requests)
    send(bank)
    sent = [
        row
        for r in consumer.requests[before:]
        for row in json.loads(r["body"])["rows"]
        if row["op"] == "EXIT"
    ]
    tried = {row["recipient_key"] for row in json.loads(consumer.requests[0]["body"])["rows"]}
    assert {row["recipient_key"] for row in sent} <= tried, "who never left the house is not removed"


def test_an_audience_that_expired_or_was_changed_is_not_sent(bank, consumer, monkeypatch, caplog):
    root = bank.settings.published / "engine" / "rich"
    part = next(root.rglob("snapshot/part-*.parquet"))
    content = part.read_bytes()
    part.write_bytes(content[:-1] + b"!")
    (one,) = send(bank)
    assert one.status == "FAILED" and "no longer verifies" in one.message
    part.write_bytes(content)
    monkeypatch.setattr(transmitting, "now", lambda: dt.datetime(2026, 11, 20, 20, tzinfo=dt.UTC))
    assert send(bank) == () and "expired before it was sent" in caplog.text
    assert consumer.requests == []


def test_an_audience_that_another_hand_wrote_is_not_sent_even_with_the_key(bank, consumer):
    root = bank.settings.published / "engine" / "rich"
    run = next(root.glob("v=*/as_of=*/run=*"))
    rewrite(run, purpose="service")
    (one,) = send(bank)
    assert one.status == "FAILED" and "another hand wrote it" in one.message
    body, key = (run / "_manifest.json").read_bytes(), bank.settings.secret("verification_key_engine")
    (run / "_manifest.hmac").write_text(signature_of(body, key))
    (two,) = send(bank)
    assert two.status == "FAILED" and "is not the one that the lake delivered" in two.message
    assert consumer.requests == []


def test_a_destination_that_is_down_is_asked_once_for_all_its_audiences(bank, consumer):
    text = (bank.settings.workspace / "segments" / "rich.yml").read_text(encoding="utf-8")
    (bank.settings.workspace / "segments" / "zeal.yml").write_text(
        text.replace("code: rich", "code: zeal"), encoding="utf-8"
    )
    publish(bank, D)
    consumer.will(*["unauthorised"] * 500)
    assert [(one.segment, one.status) for one in send(bank)] == [("rich", "FAILED"), ("zeal", "PENDING")]
    assert len(consumer.requests) == 1
    consumer.will()
    assert [one.status for one in send(bank)] == ["SENT", "SENT"]


def test_a_certificate_that_nobody_vouches_for_is_refused_and_one_of_the_bank_is_taken(
    bank, consumer, tmp_path
):
    consumer.stop()
    key, certificate = tmp_path / "tls.key", tmp_path / "tls.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "9", "-subj", "/CN=localhost",
               "-addext", "subjectAltName=DNS:localhost", "-keyout", str(key), "-out", str(certificate)]  # fmt: skip
    try:
        subprocess.run(command, check=True, capture_output=True)
    except FileNotFoundError:
        pytest.skip("there is no openssl on this machine")
    consumer.start(str(certificate), str(key))
    file = bank.settings.workspace / "destinations.yml"
    changes = {"plain_http": False, "networks": ["127.0.0.0/8", "::1/128"]}
    file.write_text(
        destinations_yml(0, url=f"https://localhost:{consumer.port}/", **changes), encoding="utf-8"
    )
    (one,) = send(bank)
    assert one.status == "FAILED" and "certificate" in one.message and consumer.requests == []
    trust = {**changes, "certificates": str(certificate)}
    file.write_text(destinations_yml(0, url=f"https://127.0.0.1:{consumer.port}/", **trust), encoding="utf-8")
    (two,) = send(bank)
    assert two.status == "FAILED" and "certificate" in two.message, "it is another host's"
    file.write_text(destinations_yml(0, url=f"https://localhost:{consumer.port}/", **trust), encoding="utf-8")
    (three,) = send(bank)
    assert three.status == "SENT" and held(consumer) == released(bank)


@pytest.mark.slow
def test_a_destination_that_is_down_stops_no_night(bank, consumer, caplog, monkeypatch):
    consumer.stop()
    (one,) = transmit_night(bank, D)
    assert one.status == "FAILED" and "segment rich is not all at engine" in caplog.text
    monkeypatch.delenv("CDP_SECRET_ENGINE_TOKEN")
    assert transmit_night(bank, D) == ()
    assert (
        "the night is published, but its audiences could not be sent on: the secret 'engine_token'"
        in caplog.text
    )


def test_cdp_deliver_goes_on_and_says_by_its_exit_code_whether_all_was_taken(
    bank, consumer, monkeypatch, capsys
):
    def held_lake(*_):
        return nullcontext(SimpleNamespace(lake=bank, newest_date=D))

    monkeypatch.setattr(transmitting, "hold_lake", held_lake)
    command = ["deliver", "--destination", "engine", "--workspace", str(bank.settings.workspace)]
    consumer.will("unauthorised")
    assert run_command(command) == 1
    line = json.loads(capsys.readouterr().out)
    assert (line["segment"], line["status"], line["message"]) == ("rich", "FAILED", "it answered 401")
    assert run_command(command) == 0
    assert json.loads(capsys.readouterr().out)["accepted"] == 3 and held(consumer) == released(bank)
    assert run_command(command) == 99
    assert "nothing is left to send" in capsys.readouterr().err
