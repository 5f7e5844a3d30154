"""Nothing is released that a consumer would refuse: what was staged is verified before its destinations see it."""

from __future__ import annotations

import datetime as dt
import json
from hashlib import sha256

import pytest
from segment_bank import (
    DESTINATIONS_YML,
    TAGS_YML,
    D,
    bank_lake,
    publish,
    read_tags,
    spec,
    staged,
    surroundings,
    write_tags,
)

import delivery
from delivery import night, staging
from delivery.contract.verify_audience import MANIFEST, MANIFEST_SUM, SIGNATURE, signature_of
from delivery.verification import verify
from jobs.night import steps
from lakehouse.errors import StepFailed
from lakehouse.query.hashing import table_hash
from lakehouse.settings.settings import load_settings
from segments.choosing.evaluation import evaluate

NEXT = D + dt.timedelta(days=1)
RULE = "where: {all: [{tag: tier, in: [T2, T3]}, {tag: balance, gte: 150}]}\nunknown: exclude"


@pytest.fixture
def bank(make_workspace):
    """A bank whose two segments were published on D, and whose tags are there for the next night."""
    texts = {
        code: spec(code, RULE, format="json_lines").replace("format:", "mode: [snapshot, delta], format:")
        for code in ("early", "rich")
    }
    folder = make_workspace(
        {
            "cdp.yml": "generate_secrets: true\n",
            "tags/test.yml": TAGS_YML,
            "destinations.yml": DESTINATIONS_YML,
            **{f"segments/{code}.yml": text for code, text in texts.items()},
        }
    )
    lake = bank_lake(load_settings(folder))
    publish(lake, D)
    # 10 leaves by the rule.
    write_tags(lake, [{**row, "tier": "T1"} if row["one_id"] == 10 else row for row in read_tags()], NEXT)
    return lake


def state(lake):
    folder = lake.settings.published
    return {
        "files": {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()},
        "folders": {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_dir()},
        "deliveries": table_hash(lake.settings, "segments.deliveries"),
    }


def sealed(run, key, **changes):
    """Write a manifest with changes and sign it anew, as a faulty platform would."""
    body = (json.dumps(json.loads((run / MANIFEST).read_bytes()) | changes, indent=2) + "\n").encode()
    (run / MANIFEST).write_bytes(body)
    (run / MANIFEST_SUM).write_text(f"{sha256(body).hexdigest()}  {MANIFEST}\n")
    (run / SIGNATURE).write_text(f"{signature_of(body, key)}  {MANIFEST}\n")


def cut(run, key):
    part = run / "snapshot" / "part-00000.jsonl"
    part.write_bytes(part.read_bytes()[:-1])


def flip(run, key):
    part = run / "delta" / "part-00000.jsonl"
    part.write_bytes(part.read_bytes().replace(b"EXIT", b"FLIP"))


def lose(run, key):
    (run / "snapshot" / "part-00000.jsonl").unlink()


def stop_early(run, key):
    (run / "_SUCCESS").unlink()


def sign_by_another(run, key):
    sealed(run, b"a key of somebody else, who forges")


def lengthen(run, key):
    sealed(run, key, valid_until="2036-01-07T06:00:00+08:00")


def follow_nobody(run, key):
    sealed(run, key, seq=7)


DAMAGES = {
    cut: "snapshot/part-00000.jsonl has",
    flip: "delta/part-00000.jsonl does not have the sha256",
    lose: "snapshot/part-00000.jsonl is missing",
    stop_early: "_SUCCESS is missing",
    sign_by_another: "another hand wrote it",
    lengthen: "_manifest.json is not the one that was written",
    follow_nobody: "seq is 7",
}


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_a_damage_between_writing_and_release_stops_it_and_the_run_before_stands(bank, damage):
    before = state(bank)
    audiences = staged(bank, NEXT, evaluate(bank, NEXT, surroundings(bank.settings)))
    assert [one.segment for one in audiences] == ["early", "rich"]
    damage(audiences[1].folder, bank.settings.secret("verification_key_engine"))
    with pytest.raises(StepFailed) as stop:
        night.release(bank, audiences)
    assert DAMAGES[damage] in str(stop.value)
    assert "segment 'rich' for 'engine' does not verify" in str(stop.value)
    assert str(stop.value).endswith("nothing was released") and "\n" not in str(stop.value)
    assert state(bank) == before, "the sound one beside it is not released either"
    assert all(one.failures == () for one in verify(bank.settings.published))
    publish(bank, NEXT)
    assert len(bank.read_arrow("segments.deliveries")) == 4, "the night again releases both"


def test_a_row_that_is_lost_while_it_is_written_is_seen(bank, monkeypatch):
    """The manifest is made from the file that was written, so its hash alone finds nothing."""
    write_rows = staging.write_rows

    def write_one_less(rows, folder, file_format):
        return write_rows(rows.slice(1) if folder.name == "delta" else rows, folder, file_format)

    before = state(bank)
    monkeypatch.setattr(staging, "write_rows", write_one_less)
    with pytest.raises(StepFailed, match=r"does not verify: .*; nothing was released"):
        publish(bank, NEXT)
    assert state(bank) == before


def test_a_night_ends_with_the_sentence(bank, monkeypatch):
    monkeypatch.setattr(steps, "read_surroundings", surroundings)
    stage = delivery.stage

    def stage_and_damage(*arguments):
        audiences = stage(*arguments)
        cut(audiences[0].folder, None)
        return audiences

    before = state(bank)
    monkeypatch.setattr(delivery, "stage", stage_and_damage)
    with pytest.raises(StepFailed, match="segment 'early' for 'engine' does not verify"):
        steps.publish(bank, NEXT)
    assert state(bank) == before


def test_each_run_is_verified_once_as_it_is_released(bank, monkeypatch):
    folders = []

    def verify_run(folder, **options):
        folders.append(folder)
        return real(folder, **options)

    real = night.verify_run
    monkeypatch.setattr(night, "verify_run", verify_run)
    publish(bank, NEXT)
    assert len(folders) == 2
    publish(bank, NEXT)
    assert len(folders) == 2, "a repeated one was verified when it was staged"
