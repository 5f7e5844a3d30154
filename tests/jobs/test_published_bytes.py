"""What a lake holds is what was published: a night that would decide from other bytes ends before it writes anything."""

from __future__ import annotations

import shutil
from datetime import date

import pytest
from deltalake import DeltaTable, write_deltalake

from jobs.night import backfill
from jobs.night.writing import DECIDED_FROM, hold_lake, open_for_writing
from jobs.workspace.make import make_workspace
from lakehouse.contracts.reading import contract_names
from lakehouse.errors import StepFailed
from lakehouse.ledger.ledger import publish
from lakehouse.query.published import publications
from lakehouse.settings.settings import load_settings

MONDAY, TUESDAY, WEDNESDAY = date(2026, 1, 5), date(2026, 1, 6), date(2026, 1, 7)
NIGHTS = (MONDAY, TUESDAY)


@pytest.fixture(scope="module")
def published_shop(tmp_path_factory):
    """A workspace with two published nights, each of which knew one more record of a person."""
    folder = tmp_path_factory.mktemp("published") / "shop"
    make_workspace(folder, "minimal")
    for night in NIGHTS:
        publish_night(load_settings(folder), night)
    return folder


@pytest.fixture
def shop(published_shop, tmp_path):
    """A copy of the published workspace, to be damaged."""
    shutil.copytree(published_shop, tmp_path / "shop")
    return load_settings(tmp_path / "shop")


def publish_night(settings, night):
    with open_for_writing(settings, night, f"nightly {night}") as writer:
        attempt = writer.attempt(night)
        with attempt.ledger.step("nightly"):
            row = {"profile_id": night.toordinal(), "one_id": 1, "source": "core", "source_key": str(night),
                   "_feed": "identity", "_file": "x", "_row": 1, "valid_from": night}  # fmt: skip
            writer.lake.append_rows("identity.memberships", [row])
            publish(writer.lake, night, attempt.fingerprint, {"date": night.isoformat()})


def data_files(settings, table):
    folder = settings.lake.joinpath(*table.split("."))
    return sorted(folder.glob("*.parquet"), key=lambda file: file.stat().st_mtime_ns)


def flip_bit(file):
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def lake_state(settings):
    """Every file of the lake with its size; the lock says who held it last."""
    return {
        str(p.relative_to(settings.lake)): p.stat().st_size
        for p in settings.lake.rglob("*")
        if p.is_file() and p.name != ".cdp.lock"
    }


def refusal(settings, night=WEDNESDAY):
    """What a night says that ends before it writes anything."""
    before = lake_state(settings)
    with pytest.raises(StepFailed) as refused, open_for_writing(settings, night, "nightly"):
        pytest.fail("the night goes on")
    assert lake_state(settings) == before
    assert refused.value.exit_code == 1 and "\n" not in str(refused.value)
    return str(refused.value)


def test_a_sound_lake_goes_on(shop):
    with open_for_writing(shop, WEDNESDAY, "nightly") as writer:
        assert [entry.seq for entry in writer.publications] == [1, 2]


def test_a_flipped_bit_in_the_map_is_one_sentence_with_table_and_file(shop):
    file = data_files(shop, "identity.memberships")[0]
    flip_bit(file)
    sentence = refusal(shop)
    assert f"identity.memberships: {file.name} does not have the bytes that were published" in sentence
    assert "restore lake/identity/memberships" in sentence and f"--from {MONDAY}" in sentence


# What no night decides by, though it writes it: what was said of a night, and what is made of the states anew.
NOT_DECIDED_FROM = {
    "segments.suppressions", "tags.backfills", "tags.catalogue", "tags.entity_tag_history", "tags.tag_events", "tags.tag_history",
    "quality.gate_results", "quality.lost_values", "quality.refused_rows",
}  # fmt: skip


def test_every_table_is_one_that_nights_decide_from_or_is_said_to_be_none():
    """The publications and digests have a chain of their own, facts are read as they arrived, marts are read by people."""
    tables = {
        name for name in contract_names() if name.split(".")[0] in ("identity", "segments", "tags", "quality")
    }
    decided = {name for name in tables for prefix in DECIDED_FROM if name == prefix or (
        prefix.endswith(".") and name.startswith(prefix))}  # fmt: skip
    assert tables - decided == NOT_DECIDED_FROM
    assert {name for name in DECIDED_FROM if not name.endswith(".")} <= set(contract_names())


def test_a_missing_and_a_shorter_file_are_told(shop):
    file = data_files(shop, "identity.memberships")[-1]
    whole = file.read_bytes()
    file.write_bytes(whole[:-1])
    sentence = refusal(shop)
    assert f"{file.name} has {len(whole) - 1} bytes, {len(whole)} were published" in sentence
    assert f"--from {TUESDAY}" in sentence
    file.unlink()
    assert f"identity.memberships: {file.name} is missing" in refusal(shop)


def test_a_replay_needs_the_files_it_goes_back_to_and_no_later_ones(shop):
    monday, tuesday = data_files(shop, "identity.memberships")
    tuesday.unlink()
    flip_bit(monday)
    with pytest.raises(StepFailed, match=f"identity.memberships: {monday.name} does not have the bytes"):
        rewind(shop)
    flip_bit(monday)
    rewind(shop)
    assert DeltaTable(shop.lake / "identity" / "memberships").to_pyarrow_table().num_rows == 1


def rewind(settings):
    """Go back as the replay from Tuesday does before its first night."""
    with hold_lake(settings, "backfill") as writer:
        backfill._rewind(writer, TUESDAY)


def test_a_file_that_an_unfinished_night_wrote_and_lost_is_told(shop):
    with open_for_writing(shop, WEDNESDAY, "nightly") as writer:
        writer.attempt(WEDNESDAY).ledger.write("ingest", "started")
        writer.lake.append("identity.memberships", writer.lake.read_arrow("identity.memberships"))
    file = data_files(shop, "identity.memberships")[-1]
    file.write_bytes(file.read_bytes()[:-1])
    assert f"{file.name}, which an unfinished night wrote, is missing or was cut" in refusal(shop)


def test_a_table_that_was_removed_is_told_and_not_begun_anew(shop):
    shutil.rmtree(shop.lake / "identity" / "memberships")
    assert "identity.memberships: the table, or its _delta_log, is missing" in refusal(shop)


def cut(log):
    (log / "00000000000000000001.json").write_text('{"add": {"pa')


def no_text(log):
    (log / "00000000000000000001.json").write_bytes(bytes(range(256)))


def damaged_checkpoint(log):
    DeltaTable(log.parent).create_checkpoint()
    next(log.glob("*.checkpoint.parquet")).write_bytes(b"no parquet" * 30)


@pytest.mark.parametrize("table", ["identity.memberships", "ops.publications", "ops.runs"])
@pytest.mark.parametrize("damage", [cut, no_text, damaged_checkpoint])
def test_a_damaged_log_or_checkpoint_is_one_sentence_that_names_the_table(shop, table, damage):
    damage(shop.lake.joinpath(*table.split("."), "_delta_log"))
    sentence = refusal(shop)
    assert f"the log of {table} cannot be read" in sentence and "from a backup" in sentence


def test_a_table_that_another_hand_wrote_to_another_content_is_told(shop):
    folder = shop.lake / "identity" / "memberships"
    version = DeltaTable(folder).version()
    content = DeltaTable(folder).to_pyarrow_table()
    last = max((folder / "_delta_log").glob("0*.json"))
    text = last.read_text()
    write_deltalake(DeltaTable(folder), content.slice(0, 0), mode="overwrite")
    forged = folder / "_delta_log" / f"{version + 1:020d}.json"
    last.write_text(forged.read_text())
    forged.unlink()
    assert "identity.memberships: its log or its rows in ops.file_digests do not name" in refusal(shop)
    last.write_text(text)
    with open_for_writing(shop, WEDNESDAY, "nightly"):
        pass


@pytest.mark.parametrize("seq", [1, 2])
def test_a_publication_that_was_deleted_is_told_instead_of_a_day_being_forgotten(shop, seq):
    DeltaTable(shop.lake / "ops" / "publications").delete(f"seq = {seq}")
    sentence = refusal(shop)
    assert f"publication {seq}" in sentence and "is missing" in sentence and "restore lake/ops" in sentence


def test_a_publication_that_was_changed_is_told(shop):
    DeltaTable(shop.lake / "ops" / "publications").update({"fingerprint": "'another'"}, predicate="seq = 1")
    assert "publication 2 does not follow publication 1 as it stands" in refusal(shop)


def test_the_last_publication_that_was_changed_is_told_by_the_head_of_the_chain(shop):
    DeltaTable(shop.lake / "ops" / "publications").update({"fingerprint": "'another'"}, predicate="seq = 2")
    assert "publication 2 is not the one that was published" in refusal(shop)


def test_publications_or_the_head_that_were_removed_are_told(shop):
    head = shop.lake / "ops" / "HEAD.json"
    content = head.read_bytes()
    head.unlink()
    assert "HEAD.json, is missing" in refusal(shop)
    head.write_bytes(content[:20])
    assert "the head of the chain of publications cannot be read" in refusal(shop)
    head.write_bytes(content)
    shutil.rmtree(shop.lake / "ops" / "publications")
    assert "publication 2 was the last one and is missing; the last one there is none" in refusal(shop)


def test_a_crash_between_the_row_and_the_head_hinders_nobody(shop):
    head = shop.lake / "ops" / "HEAD.json"
    behind = head.read_bytes()
    publish_night(shop, WEDNESDAY)
    head.write_bytes(behind)
    with open_for_writing(shop, WEDNESDAY, "nightly") as writer:
        assert writer.newest_date == WEDNESDAY


def test_publications_from_before_there_were_digests_stay_readable_and_are_chained_from_then_on(shop):
    folder = shop.lake / "ops" / "publications"
    old = DeltaTable(folder).to_pyarrow_table().drop_columns(["contents", "previous_hash"])
    shutil.rmtree(folder)
    write_deltalake(folder, old)
    (shop.lake / "ops" / "HEAD.json").unlink()
    assert [entry.contents for entry in publications(shop)] == [None, None]
    publish_night(shop, WEDNESDAY)
    assert [entry.contents is None for entry in publications(shop)] == [True, True, False]
    DeltaTable(folder).update({"fingerprint": "'another'"}, predicate="seq = 2")
    assert "publication 3 does not follow publication 2" in refusal(shop)


def test_a_publication_says_rows_files_and_bytes_of_every_table(shop):
    newest = publications(shop)[-1]
    content = newest.contents["identity.memberships"]
    files = data_files(shop, "identity.memberships")
    assert (content.rows, content.files) == (2, 2)
    assert content.bytes == sum(file.stat().st_size for file in files)
    assert set(newest.contents) == set(newest.tables)


def test_a_file_is_hashed_by_the_publication_that_names_it_first_only(shop):
    rows = DeltaTable(shop.lake / "ops" / "file_digests").to_pyarrow_table().to_pylist()
    of_map = [row for row in rows if row["table_name"] == "identity.memberships"]
    assert sorted(row["seq"] for row in of_map) == [1, 2]
    assert len({(row["table_name"], row["path"]) for row in rows}) == len(rows)
