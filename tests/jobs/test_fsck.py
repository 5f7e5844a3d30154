"""``cdp fsck``: each damage to what is stored is one sentence and exit 1; a sound workspace is exit 0."""

from __future__ import annotations

import hmac
import json
import shutil
from datetime import date
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake

import delivery
from jobs.cli import run
from jobs.night.writing import open_for_writing
from jobs.workspace.examine import examine_lake
from jobs.workspace.make import make_workspace
from lakehouse.ledger.ledger import publish
from lakehouse.settings.settings import load_settings
from tests.lake_damages import DAMAGES, files, flip_bit, newest_run, rewrite
from vocabulary.audience import Audience

MONDAY, TUESDAY = date(2026, 1, 5), date(2026, 1, 6)
PEOPLE = (1, 2, 3)
COUNTS = {
    "candidates": 4, "unknown": 0, "suppressed_by_reason": {"OPT_OUT": 1}, "eligible": 3, "not_in_rollout": 0,
    "control_global": 0, "holdout_local": 0, "contaminated": 0, "variants": {"DEFAULT": 3}, "dropped_by_contact": {},
    "published": 3, "consent": {"granted": 3},
}  # fmt: skip


@pytest.fixture(scope="module")
def published_shop(tmp_path_factory):
    """A workspace with two published nights, each with the map and one audience that was delivered."""
    folder = make_shop(tmp_path_factory.mktemp("published") / "shop")
    for night in (MONDAY, TUESDAY):
        publish_night(load_settings(folder), night)
    return folder


@pytest.fixture
def shop(published_shop, tmp_path):
    shutil.copytree(published_shop, tmp_path / "shop")
    return load_settings(tmp_path / "shop")


def make_shop(folder):
    """A workspace without segments, whose audiences are delivered to one destination."""
    make_workspace(folder, "minimal")
    (folder / "cdp.yml").write_text("generate_secrets: true\n")
    (folder / "destinations.yml").write_text(
        "destinations:\n  engine: {description: the engine, ceiling: C2}\n"
    )
    shutil.rmtree(folder / "segments", ignore_errors=True)
    return folder


def publish_night(settings, night, *, absent=()):
    """Publish a night with the map and one audience; tables that are ``absent`` were not there yet."""
    run_id = f"r{night:%d}"
    audience = Audience(
        code="gold", version="1.0.0", definition_hash="d", purpose="marketing", run_id=run_id, as_of=night,
        destinations=("engine",), modes=("snapshot", "delta"), file_format="parquet", valid_hours=30, levels={},
        counts=COUNTS, tag_versions={}, inputs=[],
        people=pa.table({"one_id": pa.array(PEOPLE, pa.int64()), "variant": ["DEFAULT"] * 3}),
    )  # fmt: skip
    row = {"profile_id": night.toordinal(), "one_id": 1, "source": "core", "source_key": str(night),
           "_feed": "identity", "_file": "x", "_row": 1, "valid_from": night}  # fmt: skip
    runs = {"run_id": run_id, "code": "gold", "version": "1.0.0", "definition_hash": "d", "as_of": night, "seq": 1,
            "inputs": [], "tag_versions": [], "params": "{}", "counts": json.dumps(COUNTS), "status": "evaluated"}  # fmt: skip
    members = [
        {"code": "gold", "as_of": night, "one_id": n, "run_id": run_id, "variant": "DEFAULT", "holdout": "NONE",
         "entered_on": night} for n in PEOPLE
    ]  # fmt: skip
    out = {"code": "gold", "as_of": night, "run_id": run_id, "one_id": 9, "reason": "OPT_OUT"}
    definition = {
        "code": "gone",
        "version": "1.0.0",
        "definition_hash": "d",
        "yaml": "code: gone",
        "published_on": night,
    }
    with open_for_writing(settings, night, f"nightly {night}") as writer:
        lake = writer.lake
        lake.run_id = run_id
        attempt = writer.attempt(night)
        with attempt.ledger.step("nightly"):
            lake.append_rows("identity.memberships", [row])
            lake.append_rows("segments.runs", [runs])
            if night == MONDAY:
                lake.append_rows("tags.definitions", [definition])
            lake.append_rows("segments.members", members)
            lake.append_rows("segments.suppressions", [out])
            delivery.release(lake, delivery.stage(lake, [audience], delivery.read_destinations(settings)))
            for table in absent:
                shutil.rmtree(lake.path(table))
            publish(lake, night, attempt.fingerprint, {"date": night.isoformat()})


def fsck(settings, capsys, *options):
    """The exit code of the check, and its faults."""
    capsys.readouterr()
    code = run(["fsck", *options, "--workspace", str(settings.workspace)])
    output = capsys.readouterr()
    faults = [line.removeprefix("fault: ") for line in output.err.splitlines()]
    assert code == (1 if faults else 0), output
    return faults


def only(faults, *words):
    """All words stand in one of the faults."""
    assert any(all(word in fault for word in words) for fault in faults), faults


def test_a_sound_workspace_has_no_faults(shop, capsys):
    assert fsck(shop, capsys) == [] and fsck(shop, capsys, "--deep") == []
    assert [requirement.is_good for requirement in examine_lake(shop.workspace)] == [True]


def test_a_publication_from_before_contact_policy_is_sound(tmp_path, capsys):
    settings = load_settings(make_shop(tmp_path / "shop"))
    publish_night(settings, MONDAY, absent=("segments.contacts", "segments.contact_losses"))
    assert fsck(settings, capsys, "--deep") == []


def test_a_missing_and_a_cut_file_are_seen_by_the_quick_check_and_by_the_doctor(shop, capsys):
    first, last = files(shop, "identity.memberships")
    first.unlink()
    last.write_bytes(last.read_bytes()[:-1])
    faults = fsck(shop, capsys)
    only(faults, "identity.memberships", first.name, "is missing")
    only(faults, "identity.memberships", last.name, "were published")
    assert len(faults) == 2
    requirement = next(iter(examine_lake(shop.workspace)))
    assert not requirement.is_good and "identity.memberships" in requirement.state


@pytest.mark.parametrize("table", ["identity.memberships", "segments.members", "segments.runs"])
def test_one_flipped_bit_in_any_table_is_seen_by_the_deep_check(shop, capsys, table):
    for file in files(shop, table):
        flip_bit(file)
    only(fsck(shop, capsys, "--deep"), table)


@pytest.mark.parametrize("options", [(), ("--deep",)])
def test_a_flipped_bit_in_what_tags_meant_blames_no_file_of_the_registry(shop, capsys, options):
    flip_bit(files(shop, "tags.definitions")[0])
    faults = fsck(shop, capsys, *options)
    only(faults, "tags.definitions", "does not have the bytes that were published")
    assert len(faults) == 1 and "registry" not in faults[0]


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ("segments.runs", ["segments", "list"]),
        ("segments.runs", ["segments", "unused"]),
        ("segments.runs", ["nightly", "--date", "2026-01-07"]),
        ("ops.runs", ["runs"]),
        ("ops.runs", ["nightly", "--date", "2026-01-07"]),
        ("tags.definitions", ["nightly", "--date", "2026-01-07"]),
        ("identity.memberships", ["sql", "select count(distinct one_id) from identity.memberships"]),
    ],
)
def test_a_cut_data_file_is_one_sentence_of_every_command(shop, capsys, table, words):
    for file in files(shop, table):
        file.write_bytes(file.read_bytes()[:300])
    code = run([*words, "--workspace", str(shop.workspace)])
    printed = capsys.readouterr()
    sentence = printed.err.splitlines()[-1]
    assert code == 1 and "Traceback" not in printed.err and "a bug" not in printed.err, printed.err
    assert table.split(".")[1] in sentence and "Arrow" not in sentence


def test_one_flipped_bit_in_what_a_publication_says_is_named(shop, capsys):
    words = (
        DeltaTable(shop.lake / "ops" / "publications").to_pyarrow_table()["fingerprint"][0].as_py().encode()
    )
    file = next(f for f in files(shop, "ops.publications") if words in f.read_bytes())
    content = file.read_bytes()
    file.write_bytes(content.replace(words, bytes([words[0] ^ 1]) + words[1:]))
    only(fsck(shop, capsys), "ops.publications")


@pytest.mark.parametrize("file", ["00000000000000000002.json", "00000000000000000001.json"])
def test_a_cut_log_is_named(shop, capsys, file):
    log = shop.lake / "identity" / "memberships" / "_delta_log" / file
    log.write_text(log.read_text()[:40])
    only(fsck(shop, capsys), "identity.memberships")


def test_a_row_that_another_hand_deleted_from_publications_is_named(shop, capsys):
    DeltaTable(shop.lake / "ops" / "publications").delete("seq = 2")
    only(fsck(shop, capsys), "publication 2 was the last one and is missing")


def test_published_rows_that_break_their_contract_are_named(shop, capsys):
    folder = shop.lake / "segments" / "members"
    with open_for_writing(shop, TUESDAY, "nightly") as writer:
        for name in [n for n in DeltaTable(folder).metadata().configuration if "constraints" in n]:
            DeltaTable(folder).alter.drop_constraint(name.removeprefix("delta.constraints."))
        rows = DeltaTable(folder).to_pyarrow_table()
        holdout = pa.array(["LOST", *rows["holdout"].to_pylist()[1:]])
        bad = rows.set_column(rows.schema.get_field_index("holdout"), "holdout", holdout)
        write_deltalake(DeltaTable(folder), pa.concat_tables([bad, bad.slice(0, 1)]), mode="overwrite")
        publish(writer.lake, TUESDAY, "f", {})
    faults = fsck(shop, capsys, "--deep")
    only(faults, "segments.members: 2 rows break the contract: holdout IS NULL OR holdout IN")
    only(faults, "segments.members: 1 keys (code, as_of, one_id) stand there more than once")


def test_equations_of_audiences_that_do_not_hold_are_named(shop, capsys):
    with open_for_writing(shop, TUESDAY, "nightly") as writer:
        DeltaTable(shop.lake / "segments" / "members").delete("one_id = 2")
        DeltaTable(shop.lake / "segments" / "suppressions").delete("one_id = 9")
        publish(writer.lake, TUESDAY, "f", {})
    faults = fsck(shop, capsys, "--deep")
    only(faults, "gold of 2026-01-06", "rows of segments.members is 2", "is 3")
    only(faults, "gold of 2026-01-06", "rows of segments.suppressions is 0", "is 1")


def test_audiences_that_were_removed_are_named_by_the_check_and_by_verify(shop, capsys):
    shutil.rmtree(shop.published)
    only(fsck(shop, capsys), "gold was delivered to engine and is not there")
    assert run(["segments", "verify", "--all", "--workspace", str(shop.workspace)]) == 1
    assert "is not there" in capsys.readouterr().err


def test_manifest_hash_and_pointer_rewritten_together_are_named(shop, capsys):
    folder = newest_run(shop)
    rewrite(folder, purpose="service")
    only(fsck(shop, capsys), "_manifest.json is not the one that was delivered to engine")
    assert run(["segments", "verify", "--all", "--workspace", str(shop.workspace)]) == 1


def test_files_and_signature_are_held_against_what_was_recorded_at_delivery(shop, capsys):
    (row,) = DeltaTable(shop.lake / "segments" / "deliveries").to_pyarrow_table(
        filters=[("run_id", "=", "r06")]
    ).to_pylist()  # fmt: skip
    run = newest_run(shop)
    assert row["signature"] == (run / "_manifest.hmac").read_text().split()[0]
    assert {file["path"] for file in row["files"]} == {
        "snapshot/part-00000.parquet",
        "delta/part-00000.parquet",
    }
    (run / "_manifest.hmac").write_text("0" * 64)
    flip_bit(run / "snapshot" / "part-00000.parquet")
    only(fsck(shop, capsys), "_manifest.hmac is not the one that was delivered to engine")
    only(fsck(shop, capsys, "--deep"), "part-00000.parquet does not have the bytes that were delivered")
    (run / "delta" / "part-00000.parquet").unlink()
    only(fsck(shop, capsys), "delta/part-00000.parquet was delivered to engine and is missing")


def test_a_run_that_one_with_the_key_forged_is_named(shop, capsys):
    rewrite(newest_run(shop), purpose="service")
    key = (shop.workspace / "secrets" / "verification_key_engine.key").read_bytes().strip()
    body = (newest_run(shop) / "_manifest.json").read_bytes()
    (newest_run(shop) / "_manifest.hmac").write_text(hmac.digest(key, body, "sha256").hex())
    assert run(["segments", "verify", str(newest_run(shop)), "--workspace", str(shop.workspace)]) == 0
    assert run(["segments", "verify", "--all", "--workspace", str(shop.workspace)]) == 1
    only(fsck(shop, capsys), "_manifest.json is not the one that was delivered to engine")


def test_deliveries_from_before_there_were_hashes_are_compared_by_their_manifests(shop, capsys):
    folder = shop.lake / "segments" / "deliveries"
    old = DeltaTable(folder).to_pyarrow_table().drop_columns(["signature", "files"])
    with open_for_writing(shop, TUESDAY, "nightly") as writer:
        write_deltalake(folder, old, mode="overwrite", schema_mode="overwrite")
        publish(writer.lake, TUESDAY, "f", {})
    assert fsck(shop, capsys, "--deep") == []
    rewrite(newest_run(shop), purpose="service")
    only(fsck(shop, capsys), "_manifest.json is not the one that was delivered to engine")


def test_a_pointer_that_was_turned_back_is_named(shop, capsys):
    root = shop.published / "engine" / "gold"
    latest = json.loads((root / "LATEST.json").read_text())
    latest["run_id"], latest["path"] = "r05", "v=1/as_of=2026-01-05/run=r05"
    (root / "LATEST.json").write_text(json.dumps(latest))
    only(fsck(shop, capsys), "LATEST.json names run r05, and r06 was delivered last")


def test_an_earlier_audience_and_a_file_of_no_publication_are_said_and_no_faults(shop, capsys):
    shutil.rmtree(shop.published / "engine" / "gold" / "v=1" / "as_of=2026-01-05")
    first = files(shop, "identity.memberships")[0]
    shutil.copyfile(first, first.with_name("part-99999-orphan.parquet"))
    assert run(["fsck", "--deep", "--workspace", str(shop.workspace)]) == 0
    output = capsys.readouterr().out
    assert "1 earlier audiences are no longer at their destinations" in output
    assert "identity.memberships/part-99999-orphan.parquet" in output


@pytest.mark.slow
@pytest.mark.parametrize("damage", DAMAGES)
def test_each_damage_is_named_by_the_deep_check(shop, capsys, damage):
    do_damage, words = DAMAGES[damage]
    do_damage(shop)
    only(fsck(shop, capsys, "--deep"), *words)


def test_the_damages_stand_in_the_docs():
    page = Path(__file__).parents[2] / "docs" / "security.md"
    lines = page.read_text(encoding="utf-8").partition("## Damages")[2].partition("\n## ")[0].splitlines()
    listing = [line.removeprefix("- ").rstrip() for line in lines if line.startswith("- ")]
    assert listing == list(DAMAGES)
