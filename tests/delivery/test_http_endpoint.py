"""Sending to a real server that fails on purpose: the end is exact, in a bounded time, and no word of the server comes through."""

from __future__ import annotations

import json
import math
import socket
import time

import jsonschema
import pyarrow as pa
import pytest

from delivery.contract.schemas import audience_schemas
from delivery.endpoints import batches, http
from delivery.endpoints.outcome import EndpointFailed, Shipment
from delivery.endpoints.settings import HttpSettings

KEYS = [f"{number:032x}" for number in range(1, 8)]
MANIFEST = {"destination": "engine", "segment": "rich", "version": "1.0.0", "purpose": "marketing", "run_id": "abc", "seq": 1,
            "as_of": "2026-11-18", "valid_until": "2026-11-20T06:00:00+08:00"}  # fmt: skip
TOKEN = "a-token-for-tests-only"


@pytest.fixture
def send(consumer, monkeypatch):
    """A function that sends operations from a row on, in threes."""
    monkeypatch.setattr(batches, "FIRST_PAUSE", 0.01)
    settings = HttpSettings(url=f"http://127.0.0.1:{consumer.port}/a", plain_http=True, networks=("127.0.0.0/8",),
                            batch_rows=3, timeout_seconds=1.5)  # fmt: skip
    endpoint = http.HttpEndpoint(settings, b"a key to sign with", TOKEN.encode())
    rows = pa.table(
        {"op": ["ENTER"] * 7, "recipient_key": KEYS, "tier": [f"T{number}" for number in range(7)]}
    )

    def function(begin: int = 0, seconds: float = 10):
        return endpoint.send(
            Shipment(MANIFEST, "0" * 64, 1, rows.slice(begin)), deadline=time.monotonic() + seconds
        )

    yield function
    for request in consumer.requests:
        assert faults("http_request", json.loads(request["body"])) == []


def faults(name: str, document: object) -> list[str]:
    """What of a document does not fit a schema of the contract."""
    schema = jsonschema.Draft7Validator(audience_schemas()[name], format_checker=jsonschema.FormatChecker())
    return [f"{error.json_path}: {error.message}" for error in schema.iter_errors(document)]


def everybody() -> dict:
    return {key: {"tier": f"T{number}"} for number, key in enumerate(KEYS)}


# What the first requests meet; then all is good.
PASSING = {
    "unavailable": ["unavailable"], "full": ["full"], "slow": ["slow"], "dripping": ["drip"], "garbage": ["garbage"],
    "nested": ["nested"], "lying": ["lie"], "a strange key": ["strange_key"], "a strange code": ["strange_code"],
    "cut in the middle": ["good", "cut"], "hanging up": ["hang_up"], "hanging up after taking": ["good", "hang_up_after_taking"],
    "answering twice": ["twice", "twice", "twice"], "a gigabyte": ["huge"],
}  # fmt: skip


@pytest.mark.parametrize("behaviours", PASSING.values(), ids=PASSING)
def test_trouble_that_passes_leaves_all_there_once(send, consumer, behaviours):
    consumer.will(*behaviours)
    outcome = send()
    assert (outcome.answers, outcome.trials, outcome.rejects, outcome.failure) == (7, 7, {}, None)
    assert consumer.holds() == everybody()
    keys = [request["headers"]["Idempotency-Key"] for request in consumer.requests]
    assert len(set(keys)) == 3, "a batch that is repeated has its key again"


LASTING = {
    "unavailable": ("unavailable", "it answered 503"), "full for long": ("full_for_long", "it answered 429"),
    "lying": ("lie", "accounts for 4 rows, and 3 were sent"), "garbage": ("garbage", "no JSON"), "dripping": ("drip", "not answer"),
    "nested": ("nested", "no JSON"), "a strange key": ("strange_key", "a row that was not sent"),
    "a strange code": ("strange_code", "without a code"), "a gigabyte": ("huge", "larger than 8388608 bytes"),
    "a redirect": ("redirect", "redirects are not followed"), "another token": ("unauthorised", "it answered 401"),
    "slow": ("slow", "did not answer"), "cut": ("cut", "did not answer"), "hanging up": ("hang_up", "did not answer"),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(("behaviour", "words"), LASTING.values(), ids=LASTING)
def test_trouble_that_lasts_costs_a_bound_of_time_and_can_be_gone_on_from(send, consumer, behaviour, words):
    consumer.will("good", *[behaviour] * 900)
    began = time.monotonic()
    outcome = send(seconds=1)
    assert time.monotonic() - began < 60
    assert (outcome.answers, outcome.trials) == (3, 6) and words in outcome.failure
    for secret in (TOKEN, "welcome", "13800000000", "elsewhere", str(consumer.port)):
        assert secret not in outcome.failure
    consumer.will()
    assert send(outcome.answers).failure is None
    assert consumer.holds() == everybody()


def test_rejected_rows_have_their_code(send, consumer):
    consumer.will("good", "half")
    outcome = send()
    assert (outcome.answers, outcome.failure) == (7, None)
    assert outcome.rejects == dict.fromkeys((KEYS[3], KEYS[5]), "NO_SUCH_CUSTOMER")
    assert consumer.holds().keys() == set(KEYS) - outcome.rejects.keys()


def test_what_is_answered_fits_the_schema_of_answers(send, consumer):
    """Also one without ``rejected``, which is optional, fits; what is refused as no answer does not."""
    consumer.will("half", "good", "strange_code", "garbage")
    send()
    bodies = [answer["body"] for answer in consumer.answers]
    assert [answer["status"] for answer in consumer.answers] == [200] * 5
    assert [faults("http_answer", json.loads(body)) for body in (bodies[0], bodies[1], bodies[4])] == [[]] * 3
    assert json.loads(bodies[0])["rejected"] and "does not match" in str(
        faults("http_answer", json.loads(bodies[2]))
    )


KEY = KEYS[0]
NO = {"recipient_key": KEY, "code": "NO"}
ANSWERS = [
    {"accepted": 1}, {"accepted": 1, "rejected": []}, {"accepted": 0, "rejected": [NO]}, {"accepted": 1, "more": {"of": "ours"}},
    {"accepted": 0, "rejected": [{**NO, "code": "N" * 40}]}, {"accepted": 0, "rejected": [{**NO, "why": "more"}]},
    [], None, "1", {}, {"rejected": []}, {"accepted": None}, {"accepted": True}, {"accepted": "1"}, {"accepted": 1.5}, {"accepted": -1},
    {"accepted": 1, "rejected": None}, {"accepted": 1, "rejected": {}}, {"accepted": 0, "rejected": [KEY]}, {"accepted": 0, "rejected": [{"recipient_key": KEY}]},
    {"accepted": 0, "rejected": [{"code": "NO"}]}, {"accepted": 0, "rejected": [{**NO, "code": "no"}]}, {"accepted": 0, "rejected": [{**NO, "code": ""}]},
    {"accepted": 0, "rejected": [{**NO, "code": "N" * 41}]}, {"accepted": 0, "rejected": [{**NO, "code": "1NO"}]}, {"accepted": 0, "rejected": [{**NO, "code": 5}]},
    {"accepted": 0, "rejected": [{**NO, "recipient_key": "ANN"}]}, {"accepted": 0, "rejected": [NO, NO]},
]  # fmt: skip


@pytest.mark.parametrize("answer", ANSWERS, ids=json.dumps)
def test_the_schema_of_answers_says_what_is_taken_for_one(answer):
    try:
        http.rejects_of(json.dumps(answer).encode(), [KEY])
        is_taken = True
    except EndpointFailed:
        is_taken = False
    assert (faults("http_answer", answer) == []) is is_taken


REQUEST = {**MANIFEST, "contract_version": "audience/v1", "manifest_sha256": "0" * 64, "batch": 1,
           "rows": [{"op": "EXIT", "recipient_key": KEY}, {"op": "ENTER", "recipient_key": KEYS[1], "tier": "T1", "tags": ["a"], "n": 1, "none": None}]}  # fmt: skip
WRONG_REQUESTS = {
    "another contract": {"contract_version": "audience/v2"}, "no run": {"run_id": None}, "a day that is none": {"as_of": "2026-02-30"},
    "a seq of 0": {"seq": 0}, "no rows": {"rows": []}, "a OneID": {"rows": [{"op": "ENTER", "recipient_key": "1000000000001"}]},
    "another op": {"rows": [{"op": "DELETE", "recipient_key": KEY}]}, "a row within a row": {"rows": [{"op": "ENTER", "recipient_key": KEY, "of": {}}]},
    "a value of who leaves": {"rows": [{"op": "EXIT", "recipient_key": KEY, "tier": "T1"}]},
}  # fmt: skip


@pytest.mark.parametrize("change", [*WRONG_REQUESTS.values(), {}], ids=[*WRONG_REQUESTS, "none"])
def test_the_schema_of_requests_refuses_what_is_never_sent(change):
    assert (faults("http_request", {**REQUEST, **change}) == []) is (change == {})
    for name in MANIFEST:
        assert faults("http_request", {key: value for key, value in REQUEST.items() if key != name})


def test_a_number_that_json_does_not_have_is_sent_as_text(consumer):
    numbers = [0.5, math.nan, math.inf, -math.inf]
    rows = pa.table({"op": ["ENTER"] * 4, "recipient_key": KEYS[:4], "share": numbers})
    settings = HttpSettings(
        url=f"http://127.0.0.1:{consumer.port}/a", plain_http=True, networks=("127.0.0.0/8",)
    )
    outcome = http.HttpEndpoint(settings, b"a key to sign with").send(
        Shipment(MANIFEST, "0" * 64, 1, rows), deadline=time.monotonic() + 10
    )
    assert outcome.failure is None
    (request,) = consumer.requests
    body = json.loads(request["body"], parse_constant=lambda word: pytest.fail(f"{word} is no JSON"))
    assert [row["share"] for row in body["rows"]] == [0.5, "nan", "inf", "-inf"]
    assert faults("http_request", body) == []


def test_a_name_of_a_segment_cannot_become_a_header(send, consumer, monkeypatch):
    monkeypatch.setitem(MANIFEST, "segment", "rich\r\nX-Evil: 1")
    assert send().failure is None
    assert all("X-Evil" not in request["headers"] for request in consumer.requests)


def test_a_connection_is_made_to_the_address_that_was_judged(consumer, monkeypatch):
    """A name that is asked for again may mean another address a moment later."""
    resolve, names = socket.getaddrinfo, []

    def note(host, *arguments, **options):
        names.append(host)
        return resolve("127.0.0.1", *arguments, **options)

    monkeypatch.setattr(socket, "getaddrinfo", note)
    settings = HttpSettings(
        url=f"http://engine.example:{consumer.port}/a", plain_http=True, networks=("127.0.0.0/8",)
    )
    rows = pa.table({"op": ["ENTER"], "recipient_key": KEYS[:1]})
    outcome = http.HttpEndpoint(settings, b"a key to sign with").send(
        Shipment(MANIFEST, "hash", 1, rows), deadline=time.monotonic() + 10
    )
    assert outcome.failure is None and names == ["engine.example", "127.0.0.1"]


def test_proxies_and_credentials_of_the_environment_are_not_used(send, consumer, monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1/")
    assert send().failure is None and len(consumer.requests) == 3
