"""Whatever becomes of a delivered file, it is read, its records refused, or it is refused: no fault, no hang, books that balance."""

from __future__ import annotations

import io
import re
import shutil
import tarfile
import time
import zipfile
import zlib
from datetime import date
from pathlib import Path

import pyarrow.csv
import pyarrow.parquet as pq
import pytest
import yaml
from mutations import mutants

import ingestion
from ingestion.feeds.feeds import load_feeds, read_feed
from ingestion.inbox.inbox import find_files
from ingestion.records.reading import read_files
from ingestion.records.record_files import RecordFiles
from lakehouse.errors import GateStopped
from lakehouse.settings.settings import load_settings
from lakehouse.tables.lake import open_lake
from simulator.simulation import simulate
from simulator.world.bank import BankPlan

BANK = Path(__file__).parents[3] / "examples" / "bank"
DAY = date(2026, 11, 18)
# Longer than any of these files takes on a machine that is busy with other things.
LONGEST_SECONDS = 60


@pytest.fixture(scope="module")
def delivery(tmp_path_factory):
    """The files a small bank delivers on its first day, by feed, and the day."""
    out = tmp_path_factory.mktemp("bank")
    plan = BankPlan(people=40, nights=1, seed=5, history_months=0)
    simulate(plan, out)
    files = {}
    for feed in load_feeds(BANK):
        delivered = sorted(file for file in out.glob(f"inbox/{feed.feed}/**/*") if file.is_file())
        if delivered:
            files[feed.feed] = delivered[-1]
    days = {re.search(r"\d{4}-\d\d-\d\d", str(file))[0] for file in files.values()}
    return files, max(days)


def columnar(file: Path, content: bytes) -> dict[str, bytes]:
    """Give the same records as Parquet with page checksums and without, and as members of archives."""
    table = pyarrow.csv.read_csv(io.BytesIO(content)) if file.suffix == ".csv" else None
    forms = {}
    for checksum in (True, False) if table is not None else ():
        out = io.BytesIO()
        pq.write_table(table, out, write_page_checksum=checksum)
        forms[f"parquet{checksum}"] = out.getvalue()
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.csv", content)
    forms["zip"] = out.getvalue()
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        entry = tarfile.TarInfo("a.csv")
        entry.size = len(content)
        archive.addfile(entry, io.BytesIO(content))
    forms["tar"] = out.getvalue()
    return forms


def read_mutants(folder: Path, feed, name: str, content: bytes, count: int) -> dict[str, int]:
    """Read mutants of one file as its feed says; give how many were read and refused."""
    outcome = {"read": 0, "refused": 0}
    for at, (what, mutant) in enumerate(mutants(content, zlib.crc32(name.encode()), count)):
        place = folder / f"{at}"
        file = place / "inbox" / "f" / "2026-11-18" / name
        file.parent.mkdir(parents=True)
        file.write_bytes(mutant)
        start = time.monotonic()
        files, _ = find_files(feed, place / "inbox", until=DAY)
        records = RecordFiles(feed, place / "records")
        for reading in read_files(records, files):
            case = f"{feed.feed} {name} mutant {at}: {what}"
            assert (reading.fault is None) or "\n" not in reading.fault, case
            outcome["refused" if reading.fault else "read"] += 1
            if reading.fault is None:
                assert records.count() == reading.records, case
        assert time.monotonic() - start < LONGEST_SECONDS, what
        shutil.rmtree(place)
    return outcome


def placed(feed, folder: Path, **changes):
    """Give a feed whose files lie in ``f/<date>``, in another form."""
    tree = yaml.safe_load(feed.file.read_text(encoding="utf-8"))
    tree |= {"files": {"path": "f/{date}/*"}} | changes
    file = folder / feed.file.name
    file.write_text(yaml.safe_dump(tree, allow_unicode=True), encoding="utf-8")
    return read_feed(file)


def reading_outcomes(delivery, folder: Path, count: int) -> dict[str, int]:
    """Read mutants of every file of the bank as delivered, and of one in every other form."""
    outcomes = {"read": 0, "refused": 0}
    files, _ = delivery
    feeds = {feed.feed: feed for feed in load_feeds(BANK)}

    def add(feed, name, content):
        for key, value in read_mutants(folder / "m", feed, name, content, count).items():
            outcomes[key] += value

    for feed_name, file in files.items():
        add(placed(feeds[feed_name], folder), file.name, file.read_bytes())
    plain = next(f for f in files.values() if f.suffix == ".csv")
    feed = next(feeds[name] for name, f in files.items() if f is plain)
    for form, content in columnar(plain, plain.read_bytes()).items():
        if form.startswith("parquet"):
            add(placed(feed, folder, format={"type": "parquet"}), "a.parquet", content)
        else:
            add(placed(feed, folder, files={"path": "f/{date}/*", "member": "*.csv"}), f"a.{form}", content)
    return outcomes


def test_mutants_of_delivered_files_are_read_or_refused(delivery, tmp_path):
    outcomes = reading_outcomes(delivery, tmp_path, 2)
    assert min(outcomes.values()) > 10


@pytest.mark.slow
def test_hundreds_of_mutants_of_delivered_files_are_read_or_refused(delivery, tmp_path):
    outcomes = reading_outcomes(delivery, tmp_path, 30)
    assert min(outcomes.values()) > 200


@pytest.mark.slow
@pytest.mark.parametrize("round_", range(6))
def test_a_night_of_mutants_goes_on_and_its_books_balance(delivery, make_workspace, round_):
    files, day = delivery
    workspace = make_workspace()
    shutil.copytree(BANK / "feeds", workspace / "feeds")
    for feed in (workspace / "feeds").iterdir():
        text = feed.read_text(encoding="utf-8")
        feed.write_text(re.sub(r"(?m)^required: true", "required: false", text), encoding="utf-8")
    inbox = files["core_customers"].parents[2]
    for name, file in files.items():
        target = workspace / "inbox" / file.relative_to(inbox)
        target.parent.mkdir(parents=True, exist_ok=True)
        _, mutant = next(mutants(file.read_bytes(), zlib.crc32(f"{name} {round_}".encode()), 1))
        target.write_bytes(mutant)
    lake = open_lake(load_settings(workspace))
    try:
        result = ingestion.ingest(lake, date.fromisoformat(day))
    except GateStopped:
        return
    ledger = lake.read_arrow("landing.files").to_pylist()
    assert {row["path"] for row in ledger if row["status"] == "refused"} == set(result.refused_files)
    for load in lake.read_arrow("landing.loads").to_pylist():
        parts = ("accepted", "refused", "exact_duplicates", "key_duplicates", "excluded")
        assert load["delivered"] == sum(load[part] for part in parts)
    for counts in result.summary().values():
        assert counts["delivered"] == sum(counts[key] for key in ("accepted", "refused", "duplicates"))
