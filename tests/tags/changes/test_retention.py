"""Snapshots of tags leave the table after their days, and the disk once nobody reads them. No JVM."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake.exceptions import DeltaError

import tags
from lakehouse.contracts.reading import Contracts, contract_names
from lakehouse.errors import UsageError
from lakehouse.integrity.lake_check import check_lake
from lakehouse.ledger.ledger import publish, restore_published, restore_versions
from lakehouse.query.published import open_publication, publications
from lakehouse.settings.settings import RetentionSettings, load_settings
from lakehouse.tables.lake import Lake
from tags.build.project import DAILY, wide_contracts
from tags.build.retention import days_over, delete_old_days
from tags.compile.compilation import compile_tags

WHOLE = compile_tags(None)
KEPT = RetentionSettings(tag_days=3, tag_month_ends=2, reader_days=2)


def days(*texts):
    return [dt.date.fromisoformat(f"2026-{text}") for text in texts]


@pytest.mark.parametrize(
    "present, night, over",
    [
        (["03-01", "03-02", "03-28"], "03-28", ["03-01", "03-02"]),
        (["03-24", "03-25"], "03-28", ["03-24"]),
        # The last night of a month is its end, whatever its date; a month that goes on has none yet.
        (["01-31", "02-27", "03-30", "03-31", "04-09"], "04-09", ["01-31", "03-30"]),
        (["12-31"], "12-31", []),
        ([], "03-28", []),
    ],
)
def test_days_are_kept_back_from_the_night_and_month_ends_beyond(present, night, over):
    assert days_over(days(*present), *days(night), KEPT) == days(*over)


def test_without_month_ends_only_days_are_kept_and_a_year_that_begins_has_those_of_the_old_one():
    none = RetentionSettings(tag_days=3, tag_month_ends=0)
    assert days_over(days("03-31", "04-09"), *days("04-09"), none) == days("03-31")
    january = dt.date(2027, 1, 20)
    assert days_over([*days("10-31", "11-30", "12-30", "12-31"), january], january, KEPT) == days(
        "10-31", "12-30"
    )


class Bank:
    def __init__(self, folder):
        self.lake = Lake(load_settings(folder))
        self.lake.contracts.add(*wide_contracts(WHOLE))
        self.lake.create([DAILY, *contract_names("ops")])
        self.settings = self.lake.settings

    def write(self, day, value="F"):
        """Write the snapshot of a night and take out what is kept no longer; give the days taken out."""
        rows = [{"one_id": 1, "kind": "customer", "gender": value, "null_exceptions": [], "as_of": day}]
        table = pa.Table.from_pylist(rows, schema=self.lake.contracts.get(DAILY).arrow_schema())
        self.lake.replace_partition(DAILY, table, as_of=day)
        return delete_old_days(self.lake, day)

    def night(self, day):
        """Write and publish a night; give the files that left the disk."""
        self.write(day)
        publish(self.lake, day, f"f{day}", {})
        return tags.delete_old_files(self.lake, day)["files"]

    def nights(self, first, count):
        start = dt.date(2026, 3, first)
        return [self.night(start + dt.timedelta(days=n)) for n in range(count)]

    def on_disk(self):
        return sorted(
            {file.parent.name.removeprefix("as_of=2026-") for file in Path(self.lake.path(DAILY)).rglob("*.parquet")}
            - {"_delta_log"}
        )  # fmt: skip

    def read(self, day=None):
        with open_publication(self.settings, day) as published:
            return [
                str(value)[5:] for (value,) in published.rows(f"SELECT as_of FROM {DAILY} ORDER BY as_of")
            ]


@pytest.fixture
def bank(make_workspace):
    folder = make_workspace(
        {"cdp.yml": "generate_secrets: true\nretention: {tag_days: 3, tag_month_ends: 2, reader_days: 2}\n"}
    )
    return Bank(folder)


@pytest.mark.slow
def test_a_day_leaves_the_table_by_the_next_night_and_the_disk_when_its_readers_are_gone(bank):
    assert bank.nights(10, 5) == [0, 0, 0, 0, 0]
    assert bank.read() == ["03-11", "03-12", "03-13", "03-14"]
    assert bank.on_disk()[0] == "03-10", "the publications of two days ago still name it"
    assert bank.nights(15, 2) == [0, 1]
    assert bank.on_disk() == ["03-11", "03-12", "03-13", "03-14", "03-15", "03-16"]
    assert bank.read(dt.date(2026, 3, 14)) == ["03-11", "03-12", "03-13", "03-14"]


@pytest.mark.slow
def test_a_reader_of_an_earlier_publication_goes_on_while_the_night_deletes(bank):
    bank.nights(10, 6)
    with open_publication(bank.settings) as yesterday:
        bank.nights(16, 2)
        assert yesterday.rows(f"SELECT count(*) FROM {DAILY}") == [(4,)]


@pytest.mark.slow
def test_a_publication_whose_rows_are_gone_says_so_in_one_sentence(bank):
    bank.nights(10, 9)
    with (
        pytest.raises(UsageError, match=r"held on 2026-03-10 is not there whole any more: 1 of its files"),
        open_publication(bank.settings, dt.date(2026, 3, 10)) as published,
    ):
        published.rows(f"SELECT * FROM {DAILY}")


@pytest.mark.slow
def test_a_night_that_fails_leaves_table_and_disk_as_they_were(bank):
    bank.nights(10, 5)
    before = bank.on_disk(), bank.read()
    assert bank.write(dt.date(2026, 3, 15)) == days("03-11")
    assert bank.read() == before[1]
    restore_published(bank.lake)
    assert [str(day)[5:] for day in sorted(bank.lake.read_arrow(DAILY)["as_of"].to_pylist())] == before[1]
    assert set(before[0]) <= set(bank.on_disk())
    assert bank.night(dt.date(2026, 3, 15)) == 1, "what the failed night left"


@pytest.mark.slow
def test_a_check_of_the_lake_knows_what_was_deleted_and_still_finds_what_was_lost(bank):
    bank.nights(10, 9)
    contracts = Contracts()
    contracts.add(*wide_contracts(WHOLE))
    findings = check_lake(bank.settings, contracts, deep=True)
    assert findings.faults == []
    assert "3 files of earlier publications were deleted" in " ".join(findings.notes)
    next(Path(bank.lake.path(DAILY)).glob("as_of=2026-03-17/*.parquet")).unlink()
    assert any("03-17" in fault for fault in check_lake(bank.settings, contracts).faults)


@pytest.mark.slow
def test_a_replay_of_old_nights_goes_on_without_the_days_that_are_gone(bank):
    bank.nights(10, 9)
    old = next(entry for entry in publications(bank.settings) if entry.business_date.day == 14)
    restore_versions(bank.lake, old.tables)
    left = bank.lake.read_arrow(DAILY)["as_of"].to_pylist()
    assert sorted(left) == days("03-13", "03-14")
    assert bank.night(dt.date(2026, 3, 15)) == 0
    assert bank.read() == ["03-13", "03-14", "03-15"]


@pytest.mark.slow
def test_a_disk_that_refuses_leaves_the_night_published_and_the_next_one_tries_again(
    bank, monkeypatch, caplog
):
    bank.nights(10, 6)

    def refuse(self, missing_ok=False):
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", refuse)
        assert bank.nights(16, 1) == [0]
    assert "could not be deleted (Permission denied); the next night tries again" in caplog.text
    assert bank.nights(17, 1) == [2]


@pytest.mark.parametrize(
    "full",
    [
        OSError(28, "No space left on device"),
        pytest.param(DeltaError("No space left on device (os error 28)"), marks=pytest.mark.slow),
    ],
)
def test_a_full_disk_while_the_night_deletes_loses_nothing(bank, monkeypatch, caplog, full):
    """What is deleted is entered first: where that cannot be written, by Python or by the library, no file goes."""
    bank.nights(10, 6)
    before = bank.on_disk()

    def refuse(*_):
        raise full

    with monkeypatch.context() as patch:
        patch.setattr(Lake, "append_rows", refuse)
        bank.write(dt.date(2026, 3, 16))
        patch.undo()
        publish(bank.lake, dt.date(2026, 3, 16), "f", {})
        patch.setattr(Lake, "append_rows", refuse)
        assert tags.delete_old_files(bank.lake, dt.date(2026, 3, 16)) == {"files": 0, "bytes": 0}
    assert set(before) <= set(bank.on_disk()) and "the next night tries again" in caplog.text
    assert bank.read(dt.date(2026, 3, 14)) == ["03-11", "03-12", "03-13", "03-14"]
    assert bank.nights(17, 1) == [2]


@pytest.mark.parametrize("text", ["tag_days: 1", "tag_days: 9999", "tag_month_ends: -1", "reader_days: 0", "days: 3"])  # fmt: skip
def test_a_setting_beyond_its_bounds_is_refused(make_workspace, text):
    from lakehouse.errors import SettingsInvalid

    folder = make_workspace({"cdp.yml": f"retention: {{{text}}}\n"})
    with pytest.raises(SettingsInvalid, match=r"retention|tag_days"):
        load_settings(folder)
