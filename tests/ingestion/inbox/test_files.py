"""Which files a night takes, decided from names, bytes and the ledger; none of it needs Spark."""

from __future__ import annotations

import io
import os
import re
import tarfile
import time
import zipfile
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from ingestion.feeds.feeds import read_feed
from ingestion.feeds.limits import Limits
from ingestion.inbox.files import LedgerRow, choose_files
from ingestion.inbox.inbox import DeliveredFile, FileHashes, find_files
from ingestion.judging.volume import check_volume
from ingestion.records.reading import FileReading, unpack_members
from lakehouse.errors import GateStopped, InputInvalid
from lakehouse.query.hashing import file_hash


def day(number: int) -> date:
    return date(2026, 11, number)


@pytest.fixture
def feed(make_workspace):
    """A function that gives a feed of a mode whose files lie in dated folders."""

    def make(
        mode: str,
        required: str = "false",
        path: str = "f/{date}/part*.csv",
        member: str | None = None,
        extra: str = "",
    ):
        files = f'path: "{path}"' + (f', member: "{member}"' if member else "")
        text = f"""\
            feed: f
            source: s
            description: d
            mode: {mode}
            required: {required}
            {extra}
            files: {{{files}}}
            columns: [a]
            targets: []
            """
        return read_feed(make_workspace({"feeds/f.yml": text}) / "feeds" / "f.yml")

    return make


def delivered(text: str) -> list[DeliveredFile]:
    """Read ``18/part.csv=AA`` per line: business day, name, content."""
    files = []
    for line in text.split():
        place, content = line.split("=")
        number, name = place.split("/")
        files.append(DeliveredFile("f", f"f/2026-11-{number}/{name}", Path(), day(int(number)), content, 2))
    return files


def ledger(text: str) -> list[LedgerRow]:
    """Read ``18/part.csv=AA@19:loaded`` per line: as above, then night and status."""
    rows = []
    for line in text.split():
        place, rest = line.split("=")
        content, rest = rest.split("@")
        night, status = rest.split(":")
        number, name = place.split("/")
        rows.append(
            LedgerRow(
                "f", f"f/2026-11-{number}/{name}", content, day(int(number)), day(int(night)), status, 2
            )
        )
    return rows


CASES = [
    # what, mode, files, ledger, night, loaded, decided
    ("a new file is loaded", "events", "18/p=A", "", 18, "18/p", "loaded"),
    ("a late file of an earlier day is taken", "events", "17/p=B 18/p=A", "17/q=C@17:loaded", 18, "17/p 18/p", "loaded loaded"),
    ("a file seen before is not taken again", "events", "17/p=A 18/p=B", "17/p=A@17:loaded", 18, "18/p", "loaded"),
    ("a rerun takes the night's files again", "events", "17/p=A 18/p=B", "17/p=A@17:loaded 18/p=B@18:loaded", 18, "18/p", "loaded"),
    ("the same bytes again are repeated", "events", "17/p=A 18/p=A", "17/p=A@17:loaded", 18, "", "repeated"),
    ("the same file twice in a night is repeated", "events", "18/p=A 18/p2=A", "", 18, "18/p", "loaded repeated"),
    ("an event file changed later waits for a replay", "events", "17/p=B", "17/p=A@17:loaded", 18, "", "needs_backfill"),
    ("a replay takes the changed file", "events", "17/p=B", "17/p=A@17:loaded 17/p=B@18:needs_backfill", 17, "17/p", "loaded"),
    ("a replay leaves a late file to its night", "events", "17/p=A 17/q=B", "17/p=A@17:loaded 17/q=B@18:loaded", 17, "17/p", "loaded"),
    ("only the newest whole delivery counts", "snapshot", "17/p=A 18/p=B", "", 18, "18/p", "superseded loaded"),
    ("an older whole delivery that comes late is superseded", "snapshot", "17/p=A", "18/p=B@18:loaded", 19, "", "superseded"),
    ("all parts of a whole delivery are taken", "snapshot", "18/p1=A 18/p2=B", "", 18, "18/p1 18/p2", "loaded loaded"),
    ("a part that came late brings the others along", "snapshot", "18/p1=A 18/p2=B", "18/p1=A@18:loaded", 19, "18/p1 18/p2", "loaded"),
    ("an unchanged whole delivery is repeated", "snapshot", "17/p=A 18/p=A", "17/p=A@17:loaded", 18, "", "repeated"),
    ("a whole delivery that changed back is loaded", "snapshot", "18/p=A", "16/p=A@16:loaded 17/p=B@17:loaded", 18, "18/p", "loaded"),
    ("changed rows that change back are loaded", "delta", "18/p=A", "16/p=A@16:loaded 17/p=B@17:loaded", 18, "18/p", "loaded"),
    ("a corrected delta that nothing built upon is loaded", "delta", "17/p=B", "17/p=A@17:loaded", 18, "17/p", "loaded"),
    ("a corrected delta that others built upon waits", "delta", "16/p=B", "16/p=A@16:loaded 17/p=C@17:loaded", 18, "", "needs_backfill"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("what", "mode", "files", "known", "night", "loaded", "decided"), CASES, ids=[c[0] for c in CASES]
)
def test_what_a_night_takes(feed, what, mode, files, known, night, loaded, decided):
    choice = choose_files(feed(mode), delivered(files), [], ledger(known), day(night))
    assert [f"{f.business_date.day}/{Path(f.path).name}" for f in choice.load] == loaded.split()
    assert [status for _, status in choice.decisions] == decided.split()


def test_a_changed_file_on_a_rerun_replaces_its_first_content(feed):
    known = ledger("18/p=A@18:loaded 18/q=C@18:loaded")
    choice = choose_files(feed("events"), delivered("18/p=B 18/q=C"), [], known, day(18))
    assert [(f.path[-1], f.sha256) for f in choice.load] == [("p", "B"), ("q", "C")]
    assert [(row.path[-1], row.sha256, row.status) for row in choice.earlier_rows] == [
        ("p", "A", "corrected")
    ]
    again = choose_files(
        feed("events"),
        delivered("18/p=B 18/q=C"),
        [],
        [*choice.earlier_rows, *ledger("18/p=B@18:loaded 18/q=C@18:loaded")],
        day(18),
    )
    assert (again.load, again.decisions, again.earlier_rows) == (
        choice.load,
        choice.decisions,
        choice.earlier_rows,
    )


def test_a_rerun_that_brings_nothing_new_takes_back_what_it_wrote(feed):
    known = ledger("17/p=A@17:loaded 18/p=B@18:loaded")
    choice = choose_files(feed("events"), delivered("17/p=A 18/p=A"), [], known, day(18))
    assert (choice.load, choice.is_rerun) == ((), True)


def test_a_file_of_the_night_that_is_gone_stops_the_rerun(feed):
    with pytest.raises(InputInvalid, match="no longer in the inbox"):
        choose_files(feed("events"), [], [], ledger("18/p=B@18:loaded"), day(18))


def test_a_required_file_that_is_missing_stops_the_night(feed):
    with pytest.raises(
        InputInvalid,
        match=r"feed 'f' is required and its file of 2026-11-18 is missing .*f/2026-11-18/part\*.csv",
    ):
        choose_files(feed("snapshot", required="true"), delivered("17/p=A"), [], [], day(18))


def test_an_empty_file_is_refused_and_stops_the_night_of_a_required_feed(feed):
    empty = DeliveredFile("f", "f/2026-11-18/p", Path(), day(18), "E", 0)
    choice = choose_files(feed("events"), [empty, *delivered("18/q=A")], [], [], day(18))
    assert [(f.path[-1], status) for f, status in choice.decisions] == [("p", "refused"), ("q", "loaded")]
    assert choice.reasons == {"f/2026-11-18/p": "is empty; have it delivered again"}
    with pytest.raises(InputInvalid, match="f/2026-11-18/p: is empty"):
        choose_files(feed("events", required="true"), [empty], [], [], day(18))


REFUSED = [
    # what, mode, files, paths that reading refuses, ledger, night, loaded, decided
    ("the others of a night are taken", "events", "18/p=A 18/q=B", "18/p", "", 18, "18/q", "refused loaded"),
    ("all parts of a whole delivery are refused with it", "snapshot", "18/p=A 18/q=B", "18/p", "", 18, "", "refused refused"),
    ("the whole delivery before it is taken instead", "snapshot", "17/p=A 18/p=B", "18/p", "", 18, "17/p", "loaded refused"),
    ("an older whole delivery is superseded, readable or not", "snapshot", "17/p=A", "17/p", "18/p=B@18:loaded", 19, "", "superseded"),
    ("the same bytes are not read again", "events", "17/p=A", "", "17/p=A@17:refused", 18, "", ""),
    ("a corrected file is read", "events", "17/p=B", "", "17/p=A@17:refused", 18, "17/p", "loaded"),
    ("a corrected delta is read", "delta", "17/p=B", "", "17/p=A@17:refused", 18, "17/p", "loaded"),
    ("a corrected part brings the parts refused with it", "snapshot", "18/p=C 18/q=B", "", "18/p=A@18:refused 18/q=B@18:refused", 19, "18/p 18/q", "loaded loaded"),
    ("a replay reads it again", "events", "17/p=A", "", "17/p=A@17:refused", 17, "17/p", "loaded"),
    ("what it replaced may come back", "events", "17/p=A", "", "17/p=A@17:corrected 17/p=B@17:refused", 18, "17/p", "loaded"),
    ("a loaded file that changed twice waits", "events", "17/p=C", "", "17/p=A@17:loaded 17/p=B@18:needs_backfill", 19, "", "needs_backfill"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("what", "mode", "files", "broken", "known", "night", "loaded", "decided"),
    REFUSED,
    ids=[c[0] for c in REFUSED],
)
def test_a_file_that_cannot_be_used_is_refused_and_nothing_else(
    feed, what, mode, files, broken, known, night, loaded, decided
):
    faults = {f"f/2026-11-{place}": "is damaged" for place in broken.split()}
    choice = choose_files(feed(mode), delivered(files), [], ledger(known), day(night), faults)
    assert [f"{f.business_date.day}/{Path(f.path).name}" for f in choice.load] == loaded.split()
    assert [status for _, status in choice.decisions] == decided.split()
    assert (
        len(choice.reasons)
        == decided.split().count("refused")
        == len(choice.warnings) - ("needs_backfill" in decided)
    )


@pytest.mark.parametrize(
    ("path", "name", "said"),
    [
        (
            "f/{date}/part*.csv",
            "f/2026-11-18/part_2026-11-17.csv",
            "delivered for 2026-11-18 but its name tells 2026-11-17",
        ),
        (
            "f/{date}/part*.csv",
            "f/2026-11-18/part_20261117.csv",
            "delivered for 2026-11-18 but its name tells 2026-11-17",
        ),
        (
            "f/{date}/p_{yyyymmdd}.csv",
            "f/2026-11-18/p_20261117.csv",
            "names two dates, 2026-11-17 and 2026-11-18",
        ),
        ("f/{date}/part*.csv", "f/2026-13-18/part.csv", "has no calendar day"),
    ],
)
def test_a_file_of_another_date_is_refused(feed, tmp_path, path, name, said):
    file = tmp_path / "inbox" / name
    file.parent.mkdir(parents=True)
    file.write_text("a\n1\n")
    found, waiting = find_files(feed("events", path=path), tmp_path / "inbox", until=day(18))
    choice = choose_files(feed("events", path=path), found, waiting, [], day(18))
    assert choice.load == ()
    assert said in choice.reasons[name]
    with pytest.raises(InputInvalid, match=said):
        choose_files(feed("events", path=path, required="true"), found, waiting, [], day(18))


def test_a_file_of_a_later_date_waits(feed, tmp_path):
    for number in (18, 19):
        file = tmp_path / "inbox" / f"f/2026-11-{number}" / "part 1.csv"
        file.parent.mkdir(parents=True)
        file.write_text("a\n1\n")
    found, waiting = find_files(feed("events"), tmp_path / "inbox", until=day(18))
    assert [file.path for file in found] == ["f/2026-11-18/part 1.csv"]
    assert waiting == ["f/2026-11-19/part 1.csv"]


def test_a_path_may_leave_the_inbox(feed, tmp_path):
    (tmp_path / "inbox").mkdir()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "x_20261118.csv").write_text("a\n1\n")
    for path in ("../other/x_{yyyymmdd}.csv", f"{tmp_path}/other/x_{{yyyymmdd}}.csv"):
        found, _ = find_files(feed("events", path=path), tmp_path / "inbox", until=day(18))
        assert [file.path for file in found] == ["../other/x_20261118.csv"]


def _zipped(path, **contents):
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, text in contents.items():
            packed.writestr(f"out/{name}.csv", text)
    return path


def _tarred(path, **contents):
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w:gz") as packed:
        for name, text in contents.items():
            info = tarfile.TarInfo(f"out/{name}.csv")
            info.size = len(text)
            packed.addfile(info, io.BytesIO(text.encode()))
    return path


@pytest.mark.parametrize("pack, suffix", [(_zipped, "zip"), (_tarred, "tar.gz")])
def test_each_matching_member_of_an_archive_is_a_file_of_its_own(feed, tmp_path, pack, suffix):
    made = feed("events", path=f"*.{suffix}", member="out/p{yyyymmdd}.csv")
    archive = pack(
        tmp_path / "inbox" / f"all.{suffix}", p20261118="a\n1\n", p20261117="a\n2\n", p20261119="", notes="x"
    )
    found, waiting = find_files(made, tmp_path / "inbox", until=day(18))
    assert [(f.path, f.business_date, f.bytes) for f in found] == [
        (f"all.{suffix}!out/p20261117.csv", day(17), 4),
        (f"all.{suffix}!out/p20261118.csv", day(18), 4),
    ]
    assert waiting == [f"all.{suffix}!out/p20261119.csv"]
    placed = unpack_members(found, tmp_path / "work", Limits())
    assert [(f.path, f.location.read_text()) for f in placed] == [
        (found[0].path, "a\n2\n"),
        (found[1].path, "a\n1\n"),
    ]
    archive.write_bytes(archive.read_bytes()[:-20])
    (damaged,), _ = find_files(made, tmp_path / "inbox", until=day(18))
    assert damaged.fault == "is a damaged or cut archive; have it delivered again"
    assert (damaged.path, damaged.business_date, damaged.is_dated) == (f"all.{suffix}", day(18), False)
    placed = unpack_members(found, tmp_path / "again", Limits())
    assert {file.fault for file in placed} == {damaged.fault}


def test_a_member_may_take_its_date_from_the_archive(feed, tmp_path):
    made = feed("events", path="{date}/*.zip", member="out/*.csv")
    _zipped(tmp_path / "inbox" / "2026-11-18" / "all.zip", b="a\n1\n", c="a\n1\n")
    found, _ = find_files(made, tmp_path / "inbox", until=day(18))
    assert [(f.path, f.business_date) for f in found] == [
        ("2026-11-18/all.zip!out/b.csv", day(18)),
        ("2026-11-18/all.zip!out/c.csv", day(18)),
    ]
    _zipped(tmp_path / "inbox" / "2026-11-17" / "all.zip", b2="")
    made = feed("events", path="{date}/*.zip", member="in/*.csv")
    found, _ = find_files(made, tmp_path / "inbox", until=day(18))
    assert [(f.path, f.is_dated) for f in found] == [
        ("2026-11-17/all.zip", True),
        ("2026-11-18/all.zip", True),
    ]
    assert found[0].fault == "holds no member 'in/*.csv' that the feed reads; have it packed again"


def test_a_file_is_hashed_again_only_when_it_changed(tmp_path, monkeypatch):
    read = []
    monkeypatch.setattr(
        "ingestion.inbox.inbox.file_hash", lambda path: read.append(path.name) or path.read_text()
    )
    file = tmp_path / "a.csv"
    file.write_text("one")
    time.sleep(0.02)

    def digest() -> str:
        hashes = FileHashes(tmp_path / "notes")
        found = hashes.of_file(file).sha256
        hashes.save()
        return found

    assert [digest(), digest(), read] == ["one", "one", ["a.csv"]]
    before = file.stat()
    file.write_text("two")
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert digest() == "two", "same size and same time of change, other bytes"
    (tmp_path / "notes" / "file_hashes.json").write_text("{torn")
    assert digest() == "two"


def test_a_required_file_may_be_late_for_the_days_the_feed_says(feed):
    made = feed("snapshot", required="true", extra="late_after_days: 2")
    here = delivered("16/part.csv=AA")
    for number in (17, 18):
        said = "feed 'f' is late: its newest file is of 2026-11-16, expected within 2 days"
        assert choose_files(made, here, [], [], day(number)).warnings == (said,)
    with pytest.raises(InputInvalid, match="is required and its file of 2026-11-19 is missing"):
        choose_files(made, here, [], [], day(19))
    optional = feed("events", extra="late_after_days: 2")
    assert choose_files(optional, here, [], [], day(18)).warnings == ()
    late = "feed 'f' is late: its newest file is of 2026-11-16, expected within 2 days"
    assert choose_files(optional, here, [], [], day(19)).warnings == (late,)
    assert "has brought no file yet" in choose_files(optional, [], [], [], day(19)).warnings[0]


@pytest.mark.parametrize(
    "usual, now, extra, said",
    [
        ([1000, 1200, 1100], 111, "", None),
        (
            [1000, 1200, 1100],
            110,
            "",
            "110 records for 2026-11-20, its last 3 deliveries 1000 to 1200 (median 1100): 10",
        ),
        (
            [1000, 1200, 1100],
            11_000,
            "",
            "10 times larger or more; have it delivered again, or, if it is right, write",
        ),
        ([1000, 1200], 1, "", None),
        ([80, 90, 99], 999, "", None),
        ([80, 90, 99], 999, "volume: {from_records: 50, factor: 5}", "5 times larger"),
        ([1000, 1200, 1100], 1, "volume: any", None),
        ([9000, 9000, 10, 11, 12], 120, "volume: {deliveries: 3, from_records: 1}", "10 times larger"),
    ],
)
def test_a_delivery_ten_times_its_usual_size_stops_the_night(feed, usual, now, extra, said):
    made = feed("events", extra=extra)
    rows = [
        replace(row, records=count)
        for row, count in zip(
            ledger(" ".join(f"{n}/p=A{n}@{n}:loaded" for n in range(10, 10 + len(usual)))), usual, strict=True
        )
    ]
    reading = FileReading(delivered("20/p=BB")[0], now, 0, (), ())
    if said is None:
        check_volume(made, [reading], rows, day(20))
        return
    with pytest.raises(GateStopped, match=re.escape(said)) as stopped:
        check_volume(made, [reading], rows, day(20))
    assert stopped.value.exit_code == 3


def test_a_file_that_may_not_be_read_is_refused(feed, tmp_path, monkeypatch):
    file = tmp_path / "inbox" / "f" / "2026-11-18" / "part.csv"
    file.parent.mkdir(parents=True)
    file.write_text("a\n1\n")
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != file)
    ((refused,), _) = find_files(feed("events"), tmp_path / "inbox", until=day(18))
    assert refused.fault == "may not be read by the night; check its rights"


@pytest.mark.parametrize("place", range(4, 22))
def test_a_zip_whose_directory_points_anywhere_is_refused(feed, tmp_path, place):
    made = feed("events", path="{date}/*.zip", member="out/*.csv")
    archive = _zipped(tmp_path / "inbox" / "2026-11-18" / "all.zip", b="a\n1\n")
    content = bytearray(archive.read_bytes())
    content[-place] ^= 0xFF
    archive.write_bytes(content)
    ((file,), _) = find_files(made, tmp_path / "inbox", until=day(18))
    assert file.fault is None or "archive" in file.fault or "holds" in file.fault


def test_a_link_that_leads_out_of_the_inbox_is_refused(feed, tmp_path):
    inbox, outside = tmp_path / "inbox", tmp_path / "outside"
    (inbox / "f").mkdir(parents=True)
    outside.mkdir()
    (outside / "a.csv").write_text("id\n1\n")
    own, until = feed("events", path="f/{date}/a.csv"), day(18)
    link = inbox / "f" / until.isoformat()
    link.symlink_to(outside)
    ((file,), _) = find_files(own, inbox, until=until)
    assert file.path == f"f/{until}/a.csv"
    assert file.fault.startswith("is a link, or lies behind one, that leads out of the inbox")
    assert file.sha256 != file_hash(outside / "a.csv")
    link.unlink()
    link.mkdir()
    (link / "a.csv").symlink_to("/etc/hostname")
    ((file,), _) = find_files(own, inbox, until=until)
    assert "leads out of the inbox" in file.fault
    (link / "a.csv").unlink()
    (inbox / "f" / "stored.csv").write_text("id\n1\n")
    (link / "a.csv").symlink_to(inbox / "f" / "stored.csv")
    ((file,), _) = find_files(own, inbox, until=until)
    assert (file.path, file.fault) == (f"f/{until}/a.csv", None)
    (tmp_path / "moved").symlink_to(inbox)
    assert len(find_files(own, tmp_path / "moved", until=until)[0]) == 1
