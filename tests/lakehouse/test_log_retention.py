"""Logs lose the days that their contract no longer keeps, from the table by the night and from the disk after its readers. No JVM."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pyarrow as pa
import pytest

from lakehouse.contracts.reading import Contracts, build_contract, contract, contract_names
from lakehouse.contracts.reference import reference_pages
from lakehouse.errors import ContractBroken, UsageError
from lakehouse.integrity.lake_check import check_lake
from lakehouse.integrity.retention import delete_old_files, delete_old_rows, logs_with_an_end
from lakehouse.ledger.ledger import publish, restore_published, restore_versions
from lakehouse.query.published import open_publication, publications
from lakehouse.settings.settings import load_settings
from lakehouse.tables.lake import Lake
from vocabulary.entities import TAG_ENTITIES

REFUSED, EVENTS, QUALITY = "quality.refused_rows", "tags.tag_events", "quality.tag_quality"
MEMBERS = "segments.members"
D = dt.date(2026, 3, 31)


def before(days: int, day: dt.date = D) -> dt.date:
    return day - dt.timedelta(days=days)


class Bank:
    def __init__(self, folder):
        self.lake = Lake(load_settings(folder))
        self.lake.create([REFUSED, EVENTS, QUALITY, MEMBERS, *contract_names("ops")])
        self.settings = self.lake.settings

    def refuse(self, day, text="13800000001,张三"):
        """A night that refuses one record, as ingestion keeps it."""
        row = {
            "feed": "f",
            "path": f"{day}.csv",
            "row_number": 1,
            "raw_text": text,
            "reasons": ["columns"],
            "arrived_on": day,
        }
        rows = pa.Table.from_pylist([row], schema=contract(REFUSED).arrow_schema())
        self.lake.replace_partition(REFUSED, rows, arrived_on=day)

    def night(self, day):
        counts = delete_old_rows(self.lake, day)
        publish(self.lake, day, f"f{day}", {})
        return counts[REFUSED], delete_old_files(self.lake, day).files

    def days(self, table=REFUSED):
        return sorted(self.lake.read_arrow(table)[contract(table).partition_by[0]].to_pylist())

    def files(self):
        return sorted(file.parent.name[-10:] for file in Path(self.lake.path(REFUSED)).glob("*/*.parquet"))


@pytest.fixture
def bank(make_workspace):
    return Bank(make_workspace({"cdp.yml": "generate_secrets: true\nretention: {reader_days: 2}\n"}))


def test_a_record_that_was_refused_is_gone_after_its_days_and_then_from_the_disk(bank):
    """The last day that counts stays: 400 days before the night. Raw text may be personal, so the bytes go, too."""
    for days in (402, 401, 400, 0):
        bank.refuse(before(days))
    assert bank.night(before(2)) == (0, 0)
    assert bank.night(D) == (2, 0), "the publication of two days ago still names them"
    assert bank.days() == [before(400), D]
    assert bank.files() == [str(before(days)) for days in (402, 401, 400, 0)]
    bank.refuse(before(-1))
    assert bank.night(before(-1)) == (1, 2)
    assert bank.night(before(-3)) == (0, 1)
    assert bank.files() == [str(D), str(before(-1))]


def test_each_log_has_its_own_days_and_what_states_no_end_keeps_all(bank):
    assert logs_with_an_end(bank.lake) == [REFUSED, QUALITY, EVENTS]
    old = before(5000)
    rows = {
        QUALITY: {"as_of": before(801), "tag": "age", **dict.fromkeys(_required(QUALITY), 0)},
        EVENTS: {
            "as_of": before(401),
            "attempt": 1,
            "one_id": 1,
            "tag": "age",
            "event": "CHANGE",
            "cause": "value",
        },
        MEMBERS: {
            "as_of": old,
            "code": "s",
            "run_id": "r",
            "one_id": 1,
            "holdout": "NONE",
            "entered_on": old,
        },
    }
    for table, row in rows.items():
        bank.lake.append(table, pa.Table.from_pylist([row], schema=contract(table).arrow_schema()))
    counts = delete_old_rows(bank.lake, before(-1))
    assert counts == {REFUSED: 0, QUALITY: 1, EVENTS: 1}
    assert bank.days(MEMBERS) == [old]


def _required(table):
    columns = contract(table).columns.values()
    return [one.name for one in columns if one.required and one.type == "bigint"]


def test_a_check_of_the_lake_knows_what_was_deleted_and_still_finds_what_was_lost(bank):
    for days in (401, 0):
        bank.refuse(before(days))
    bank.night(before(5))
    assert bank.night(D) == (1, 1)
    findings = check_lake(bank.settings, Contracts(), deep=True)
    assert findings.faults == []
    assert "1 files of earlier publications were deleted" in " ".join(findings.notes)
    next(Path(bank.lake.path(REFUSED)).glob(f"arrived_on={D}/*.parquet")).unlink()
    assert any(str(D) in fault for fault in check_lake(bank.settings, Contracts()).faults)


def test_who_asks_an_older_publication_gets_one_sentence_and_other_tables_are_read(bank):
    bank.refuse(before(401))
    bank.night(before(5))
    bank.night(D)
    with open_publication(bank.settings, before(5)) as published:
        assert published.rows(f"SELECT count(*) FROM {QUALITY}") == [(0,)]
        with pytest.raises(
            UsageError, match=r"refused_rows held on 2026-03-26 is not there whole any more: 1 of its files"
        ):
            published.rows(f"SELECT * FROM {REFUSED}")


def test_a_night_that_fails_takes_nothing_out_and_a_replay_goes_on_without_what_is_gone(bank):
    for days in (401, 0):
        bank.refuse(before(days))
    bank.night(before(5))
    delete_old_rows(bank.lake, D)
    assert bank.days() == [D]
    restore_published(bank.lake)
    assert bank.days() == [before(401), D]
    assert len(bank.files()) == 2
    assert bank.night(D)[1] == 1
    restore_versions(bank.lake, publications(bank.settings)[0].tables)
    assert bank.night(before(4)) in ((0, 0), (1, 0))
    assert check_lake(bank.settings, Contracts()).faults == []


@pytest.mark.parametrize(
    "edit",
    [
        {"shape": "derived"},
        {"partition_by": []},
        {"partition_by": ["arrived_on", "feed"]},
        {"partition_by": ["feed"]},
    ],
)  # fmt: skip
def test_only_a_log_by_its_day_may_say_that_nights_delete(edit):
    tree = {
        "table": "quality.refused_rows", "description": "d", "grain": "one row", "shape": "log", "key": ["feed"],
        "owner": "data", "partition_by": ["arrived_on"], "retention": {"days": 3, "deleted_by": "night"},
        "columns": {
            "feed": {"type": "string", "required": True, "description": "a"},
            "arrived_on": {"type": "date", "required": True, "description": "b"},
        },
    }  # fmt: skip
    assert build_contract(tree).deleted_by == "night"
    with pytest.raises(ContractBroken, match="takes days out of a log that is partitioned by its day"):
        build_contract(tree | edit)


def test_the_reference_says_of_each_table_whether_anything_deletes_its_rows():
    """Nobody shall read that rows are deleted where they are not."""
    pages = reference_pages()
    for page in pages.values():
        for section in page.split("\n## ")[1:]:
            name = section.split("\n")[0].strip()
            one = contract(name)
            if one.retention_days is None or one.retention_days == 1:
                continue
            says = (
                "a night takes out what is older"
                if one.deleted_by != "nobody"
                else "nothing deletes its rows by their age"
            )
            assert says in section, name
    assert {name for name in contract_names() if contract(name).deleted_by == "settings"} == {
        entity.daily for entity in TAG_ENTITIES.values()
    }
