"""Who has the verification key tells what the platform delivered from what another hand wrote, on a copy anywhere."""

from __future__ import annotations

import datetime as dt
import json
import re
import shutil
from hashlib import sha256
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from delivery.contract.verify_audience import LATEST, MANIFEST, MANIFEST_SUM, SIGNATURE, signature_of
from delivery.destinations import read_destinations
from delivery.manifest import read_latest, read_manifest
from delivery.mirrors import Delivery
from delivery.releasing import release_audience
from delivery.staging import stage_audience
from jobs.cli import run as cdp
from jobs.workspace.check import check_workspace
from jobs.workspace.examine import examine_workspace
from jobs.workspace.make import make_workspace as new_workspace
from lakehouse.errors import SettingsInvalid, StepFailed
from lakehouse.query.hashing import file_hash
from lakehouse.settings.settings import load_settings
from vocabulary.audience import Audience

DAY = dt.date(2026, 11, 18)
DOCS = Path(__file__).parents[2] / "docs" / "segments.md"


@pytest.fixture
def engine(make_workspace, monkeypatch):
    """A function that delivers people to the one destination, as a night after the given deliveries does."""
    monkeypatch.delenv("CDP_SECRET_VERIFICATION_KEY_ENGINE", raising=False)
    destinations = "destinations:\n  engine: {description: the engine, ceiling: C2}\n"
    settings = load_settings(make_workspace({"destinations.yml": destinations}))

    def deliver(one_ids, day=DAY, deliveries=()):
        place = read_destinations(settings.workspace)["engine"]
        audience = audience_of(one_ids, day)
        staged = stage_audience(audience, "engine", place, settings=settings, deliveries=deliveries)
        release_audience(staged)
        return Delivery(
            staged.run_id, "engine", "gold", day, staged.seq, staged.manifest_sha256, staged.signature
        )

    deliver.settings = settings
    deliver.root = settings.published / "engine" / "gold"
    deliver.key_file = settings.workspace / "secrets" / "verification_key_engine.key"
    return deliver


def audience_of(one_ids, day):
    counts = {
        "candidates": len(one_ids), "unknown": 0, "suppressed_by_reason": {}, "eligible": len(one_ids), "not_in_rollout": 0,
        "control_global": 0, "holdout_local": 0, "contaminated": 0, "variants": {"DEFAULT": len(one_ids)},
        "dropped_by_contact": {}, "published": len(one_ids), "consent": {"granted": len(one_ids)},
    }  # fmt: skip
    people = pa.table({"one_id": pa.array(one_ids, pa.int64()), "variant": ["DEFAULT"] * len(one_ids)})
    return Audience(
        code="gold", version="1.0.0", definition_hash="d", purpose="marketing", run_id=f"r{day:%d}", as_of=day,
        destinations=("engine",), modes=("snapshot", "delta"), file_format="parquet", valid_hours=30, levels={},
        counts=counts, tag_versions={}, inputs=[], people=people,
    )  # fmt: skip


def newest(engine):
    return engine.root / read_latest(engine.root)["path"]


def forge(run: Path, root: Path, *, drops: int = 1) -> None:
    """Take people out of an audience and rewrite files, manifest, hash and pointer, as one who knows the format would."""
    part = run / "snapshot" / "part-00000.parquet"
    rows = pq.read_table(part, partitioning=None).slice(drops)
    pq.write_table(rows, part)
    manifest = read_manifest(run)
    entry = next(file for file in manifest["files"] if file["path"] == "snapshot/part-00000.parquet")
    entry |= {"rows": rows.num_rows, "bytes": part.stat().st_size, "sha256": file_hash(part)}
    counts = manifest["counts"]
    for name in ("candidates", "eligible", "published"):
        counts[name] -= drops
    counts["variants"]["DEFAULT"] -= drops
    counts["consent"]["granted"] -= drops
    delta = run / "delta" / "part-00000.parquet"
    keys = set(rows["recipient_key"].to_pylist())
    left = [
        row for row in pq.read_table(delta, partitioning=None).to_pylist() if row["recipient_key"] in keys
    ]
    pq.write_table(pa.Table.from_pylist(left, schema=pq.read_schema(delta)), delta)
    entry = next(file for file in manifest["files"] if file["path"] == "delta/part-00000.parquet")
    entry |= {"rows": len(left), "bytes": delta.stat().st_size, "sha256": file_hash(delta)}
    counts["delta"]["enter"] -= drops
    body = (json.dumps(manifest, ensure_ascii=False, indent=2) + "\n").encode()
    (run / MANIFEST).write_bytes(body)
    (run / MANIFEST_SUM).write_text(f"{sha256(body).hexdigest()}  {MANIFEST}\n")
    if (root / LATEST).exists():
        pointer = json.loads((root / LATEST).read_text()) | {"manifest_sha256": sha256(body).hexdigest()}
        (root / LATEST).write_text(json.dumps(pointer))


def verify(capsys, folder, *options):
    capsys.readouterr()
    code = cdp(["segments", "verify", str(folder), *map(str, options)])
    output = capsys.readouterr()
    return code, output.out, output.err


def test_a_forged_audience_is_told_by_who_has_the_key_and_not_by_who_has_none(engine, capsys, tmp_path):
    engine([1, 2, 3])
    copy = Path(shutil.copytree(engine.root, tmp_path / "elsewhere" / "gold"))
    code, out, err = verify(capsys, copy, "--key-file", engine.key_file)
    assert (code, err) == (0, "") and "3 people" in out and "signature good" in out
    forge(copy / read_latest(copy)["path"], copy)
    code, out, err = verify(capsys, copy)
    assert code == 0 and "signature not checked" in out
    assert "signatures for engine were not checked" in err and "CDP_SECRET_VERIFICATION_KEY_ENGINE" in err
    code, out, err = verify(capsys, copy, "--key-file", engine.key_file)
    assert code == 1 and "does not have the signature of the verification key: another hand wrote it" in err


def test_the_key_comes_from_a_file_the_environment_or_the_workspace(engine, capsys, tmp_path, monkeypatch):
    engine([1, 2])
    code, out, _ = verify(capsys, engine.root, "--workspace", engine.settings.workspace)
    assert code == 0 and "signature good" in out
    monkeypatch.chdir(tmp_path)
    assert "signature not checked" in verify(capsys, engine.root)[1]
    monkeypatch.setenv("CDP_SECRET_VERIFICATION_KEY_ENGINE", engine.key_file.read_text().strip())
    assert "signature good" in verify(capsys, engine.root)[1]
    short = tmp_path / "short.key"
    short.write_text("too short\n")
    code, _, err = verify(capsys, engine.root, "--key-file", short)
    assert code == 2 and "shorter than 16 characters" in err


def unsigned(run: Path) -> None:
    (run / SIGNATURE).unlink()


def stripped(run: Path) -> None:
    """Neither the file nor the word: as if the run were from before there were signatures."""
    manifest = read_manifest(run)
    del manifest["signature"]
    (run / SIGNATURE).unlink()
    body = (json.dumps(manifest, indent=2) + "\n").encode()
    (run / MANIFEST).write_bytes(body)
    (run / MANIFEST_SUM).write_text(f"{sha256(body).hexdigest()}  {MANIFEST}\n")


def of_another_key(run: Path) -> None:
    (run / SIGNATURE).write_text(signature_of((run / MANIFEST).read_bytes(), b"another key, of whom forges"))


def garbage(run: Path) -> None:
    (run / SIGNATURE).write_bytes(b"\xff\xfe\x00")


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (unsigned, "_manifest.hmac is missing"),
        (stripped, "_manifest.json is not signed"),
        (of_another_key, "does not have the signature"),
        (garbage, "does not have the signature"),
    ],
)
def test_a_run_without_its_signature_is_not_used_by_who_has_the_key(engine, capsys, damage, words, tmp_path):
    engine([1, 2])
    copy = Path(shutil.copytree(newest(engine), tmp_path / "run-from-the-engine"))
    damage(copy)
    code, _, err = verify(capsys, copy, "--key-file", engine.key_file)
    assert code == 1 and words in err


def test_a_copy_of_one_run_verifies_under_any_name_and_without_a_pointer(engine, capsys, tmp_path):
    engine([1, 2])
    copy = Path(shutil.copytree(newest(engine), tmp_path / "run-from-the-engine"))
    for folder in (copy, tmp_path):
        code, out, err = verify(capsys, folder, "--key-file", engine.key_file)
        assert (code, err) == (0, "") and "signature good" in out
    (copy / "snapshot" / "part-00000.parquet").write_bytes(b"damaged")
    assert verify(capsys, copy, "--key-file", engine.key_file)[0] == 1


def test_another_destinations_key_is_another_key(engine, capsys, tmp_path):
    engine([1, 2])
    other = tmp_path / "other.key"
    other.write_text("the verification key of another destination")
    code, _, err = verify(capsys, engine.root, "--key-file", other)
    assert code == 1 and "and the verification key at hand is" in err
    recipient_key = engine.settings.workspace / "secrets" / "destination_key_engine.key"
    assert engine.key_file.read_bytes() != recipient_key.read_bytes()


def test_the_signature_says_nothing_of_the_attempt(engine):
    first = engine([1, 2])
    shutil.rmtree(engine.root)
    assert engine([1, 2]) == first and first.signature


@pytest.mark.parametrize("document", ["{", "[]", '{"seq": 1}', '{"counts": 3}'])
def test_a_manifest_or_a_pointer_that_says_nothing_is_one_sentence(engine, capsys, document):
    engine([1, 2])
    run = newest(engine)
    (run / MANIFEST).write_text(document)
    (run / MANIFEST_SUM).write_text(f"{sha256(document.encode()).hexdigest()}  {MANIFEST}\n")
    code, _, err = verify(capsys, engine.root)
    assert code == 1 and f"{run}: _manifest.json" in err
    (engine.root / LATEST).write_text(document)
    code, _, err = verify(capsys, engine.root)
    assert code == 1 and f"{engine.root}: LATEST.json" in err and "Traceback" not in err
    with pytest.raises(StepFailed, match="move the segment's folder away"):
        engine([1, 3], DAY + dt.timedelta(days=1))


def test_counts_of_another_type_are_one_sentence(engine, capsys):
    engine([1, 2])
    run = newest(engine)
    manifest = read_manifest(run)
    manifest["counts"]["delta"]["enter"] = "2"
    body = json.dumps(manifest).encode()
    (run / MANIFEST).write_bytes(body)
    (run / MANIFEST_SUM).write_text(sha256(body).hexdigest())
    code, _, err = verify(capsys, run)
    assert code == 1 and "is not as its contract says: counts.delta.enter: " in err


def test_a_pointer_never_leads_out_of_the_segments_folder(engine, tmp_path):
    engine([1, 2])
    pointer = json.loads((engine.root / LATEST).read_text())
    (engine.root / LATEST).write_text(json.dumps(pointer | {"path": "../../../elsewhere"}))
    with pytest.raises(StepFailed, match="does not name a run of this folder"):
        read_latest(engine.root)


def test_no_delta_is_made_from_a_snapshot_that_is_not_what_was_delivered(engine):
    first = engine([1, 2, 3])
    forge(newest(engine), engine.root)
    with pytest.raises(StepFailed, match="another hand wrote it"):
        engine([2, 3, 4], DAY + dt.timedelta(days=1), [first])


def test_no_delta_is_made_from_a_damaged_snapshot(engine):
    first = engine([1, 2, 3])
    part = newest(engine) / "snapshot" / "part-00000.parquet"
    part.write_bytes(part.read_bytes()[:-1] + b"\0")
    with pytest.raises(StepFailed, match="no longer verifies"):
        engine([2, 3, 4], DAY + dt.timedelta(days=1), [first])


def test_no_delta_is_made_from_a_run_that_one_with_the_key_forged(engine):
    first = engine([1, 2, 3])
    run = newest(engine)
    forge(run, engine.root)
    key = engine.settings.secret("verification_key_engine")
    (run / SIGNATURE).write_text(signature_of((run / MANIFEST).read_bytes(), key))
    with pytest.raises(StepFailed, match="is not the one that was delivered"):
        engine([2, 3, 4], DAY + dt.timedelta(days=1), [first])


def test_no_delta_is_made_from_an_older_run_that_the_pointer_was_turned_back_to(engine):
    first = engine([1, 2, 3])
    older = (engine.root / LATEST).read_bytes()
    second = engine([2, 3], DAY + dt.timedelta(days=1), [first])
    (engine.root / LATEST).write_bytes(older)
    with pytest.raises(StepFailed, match="run r19 of 2026-11-19 was delivered later"):
        engine([3, 4], DAY + dt.timedelta(days=2), [first, second])


def test_a_segment_whose_folder_was_moved_away_begins_anew_under_another_run(engine):
    first = engine([1, 2, 3])
    shutil.rmtree(engine.root)
    again = engine([1, 2, 3], deliveries=[first])
    assert (first.run_id, again.run_id, again.seq) == ("r18", "r18-1", 1)
    repeated = engine([1, 2, 3], deliveries=[first, again])
    assert repeated == again
    third = engine([2, 3], DAY + dt.timedelta(days=1), [first, again])
    assert third.seq == 2


def test_a_run_from_before_there_were_signatures_is_a_base_for_the_next_one(engine):
    first = engine([1, 2, 3])
    run = newest(engine)
    stripped(run)
    pointer = json.loads((engine.root / LATEST).read_text()) | {"manifest_sha256": file_hash(run / MANIFEST)}
    (engine.root / LATEST).write_text(json.dumps(pointer))
    old = Delivery(first.run_id, "engine", "gold", DAY, 1, file_hash(run / MANIFEST))
    second = engine([2, 3, 4], DAY + dt.timedelta(days=1), [old])
    assert second.seq == 2 and second.signature


def test_a_missing_verification_key_is_told_before_the_first_step(tmp_path, monkeypatch):
    new_workspace(tmp_path / "shop", "minimal")
    settings = load_settings(tmp_path / "shop")
    check_workspace(settings)
    key = next((tmp_path / "shop" / "secrets").glob("verification_key_*.key"))
    assert key.stat().st_mode & 0o777 == 0o600
    key.unlink()
    with pytest.raises(SettingsInvalid, match=f"the secret '{key.stem}' is missing"):
        check_workspace(settings)
    requirement = examine_workspace(settings.workspace)
    assert not requirement.is_good and key.stem in requirement.repair


def test_the_lines_for_consumers_in_the_docs_use_what_is_good_and_refuse_the_rest(engine, monkeypatch):
    section = DOCS.read_text(encoding="utf-8").partition("### Verify before use")[2]
    code = re.search(r"```python\n(.*?)```", section, re.S)[1]
    names: dict = {}
    exec(compile(code, str(DOCS), "exec"), names)
    body = code.partition('"""\n')[2].strip().splitlines()
    assert len(body) <= 15

    class Morning(dt.datetime):
        @classmethod
        def now(cls, zone):
            return cls(2026, 11, 19, 9, tzinfo=zone)

    names["datetime"] = Morning

    def use(last_seq=1, segment="gold"):
        return names["verified_run"](engine.root, engine.key_file, segment, last_seq)

    engine([1, 2, 3])
    run, manifest = use()
    assert run == newest(engine) and manifest["counts"]["published"] == 3
    with pytest.raises(ValueError, match="older one"):
        use(last_seq=2)
    with pytest.raises(ValueError, match="another segment"):
        use(segment="silver")
    part = run / "snapshot" / "part-00000.parquet"
    whole = part.read_bytes()
    part.write_bytes(whole[:-1] + b"\0")
    with pytest.raises(ValueError, match="is not what was delivered"):
        use()
    part.write_bytes(whole)
    forge(run, engine.root)
    with pytest.raises(ValueError, match="not signed by the platform"):
        use()
    names["datetime"] = dt.datetime
    shutil.rmtree(engine.root)
    engine([1, 2, 3], dt.date(2020, 1, 1))
    with pytest.raises(ValueError, match="expired"):
        use()
