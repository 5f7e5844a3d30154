"""One context opens a lake for writing: who may write, for which date, and what an unfinished attempt leaves."""

from __future__ import annotations

import subprocess
import sys
from datetime import date

import pytest

from jobs.cli import run
from jobs.night.writing import hold_lake, open_for_writing
from jobs.workspace.make import make_workspace
from lakehouse.errors import LockHeld, UsageError
from lakehouse.ledger.ledger import publish
from lakehouse.settings.settings import load_settings

MONDAY, TUESDAY = date(2026, 1, 5), date(2026, 1, 6)
HOLDER = """
import sys
from pathlib import Path
from lakehouse.ledger.lock import hold_lock
with hold_lock(Path(sys.argv[1]), "nightly 2026-01-05"):
    print("the lock is held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def shop(tmp_path):
    make_workspace(tmp_path / "shop", "minimal")
    return load_settings(tmp_path / "shop")


def publish_night(settings, day):
    with open_for_writing(settings, day, f"nightly {day}") as writer:
        attempt = writer.attempt(day)
        with attempt.ledger.step("nightly"):
            publish(writer.lake, day, attempt.fingerprint, {"date": day.isoformat()})


def stop_in_the_middle(settings, day):
    """Leave a date as a killed night does: a step in the ledger, rows in a table, no publication."""
    with open_for_writing(settings, day, f"nightly {day}") as writer:
        attempt = writer.attempt(day)
        attempt.ledger.write("ingest", "started")
        writer.lake.append_rows("quality.refused_rows", [refused_row(day)])


def refused_row(day):
    return {"feed": "members", "path": "members.csv", "row_number": 1, "reasons": ["number_missing"],
            "raw_text": "", "arrived_on": day}  # fmt: skip


def refused_count(settings, day):
    with open_for_writing(settings, day, "a look") as writer:
        return writer.lake.read_arrow("quality.refused_rows").num_rows


@pytest.mark.parametrize(
    "command", ["nightly --date", "ingest --date", "backfill --to 2026-01-05 --from", "ingest --to 2026-01-05 --from"]
)  # fmt: skip
def test_a_lake_that_another_process_writes_to_is_left_alone(shop, command, capsys):
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(shop.lock_dir)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert holder.stdout.readline() == "the lock is held\n"
        assert run([*command.split(), "2026-01-05", "--workspace", str(shop.workspace)]) == 4
    finally:
        holder.communicate("")
    message = capsys.readouterr().err
    assert f"another writer holds this lake: nightly 2026-01-05, process {holder.pid}" in message
    assert [file.name for file in shop.lake.rglob("*") if file.is_file()] == [".cdp.lock"]


def test_the_lock_is_free_after_the_context_even_after_an_error(shop):
    with pytest.raises(ZeroDivisionError), hold_lake(shop, "a night that fails"):
        raise ZeroDivisionError
    with hold_lake(shop, "the next night") as writer:
        assert writer.newest_date is None
        with pytest.raises(LockHeld, match="the next night"), hold_lake(shop, "a second writer"):
            pass


def test_wrong_settings_are_seen_before_the_lock_and_the_lake(shop):
    (shop.workspace / "identity.yml").write_text("namespace: {}\n")
    with pytest.raises(Exception, match="unknown key 'namespace'"), hold_lake(shop, "a night"):
        pass
    assert not shop.lake.exists()


def test_an_older_date_than_the_newest_night_is_refused_and_the_newest_is_not(shop):
    publish_night(shop, TUESDAY)
    with pytest.raises(UsageError) as refusal, open_for_writing(shop, MONDAY, "nightly 2026-01-05"):
        pass
    assert str(refusal.value) == (
        "2026-01-05 is older than the newest night 2026-01-06: only the newest may be rerun; "
        "use `cdp backfill --from 2026-01-05` to replay 2026-01-05 to 2026-01-06 in order"
    )
    with open_for_writing(shop, TUESDAY, "nightly 2026-01-06") as writer:
        assert writer.newest_date == TUESDAY


def test_what_an_unfinished_night_of_another_date_wrote_is_taken_back(shop, caplog):
    publish_night(shop, MONDAY)
    stop_in_the_middle(shop, TUESDAY)
    assert refused_count(shop, TUESDAY) == 1, "the same date goes on with what its attempt wrote"
    assert refused_count(shop, MONDAY) == 0
    assert "the night of 2026-01-06 was never finished; 1 tables are back at what is published" in caplog.text


def test_an_attempt_has_one_run_id_for_one_date_and_one_set_of_inputs(shop):
    with hold_lake(shop, "three attempts") as writer:
        first, again = writer.attempt(MONDAY), writer.attempt(MONDAY)
        assert (first.fingerprint, first.business_date) == (again.fingerprint, MONDAY)
        run_id = writer.lake.run_id
        other = writer.attempt(TUESDAY)
        assert (other.fingerprint != first.fingerprint, writer.lake.run_id != run_id) == (True, True)
        assert writer.attempt(MONDAY, "another fingerprint").fingerprint == "another fingerprint"
