"""Nights of a small bank whose source of transactions is late, and in which a tag is lost. The tests run in order on one lake."""

from __future__ import annotations

import shutil
from datetime import date, timedelta
from pathlib import Path

import pytest

from lakehouse.errors import GateStopped
from lakehouse.query.published import newest_publication, open_publication
from lakehouse.settings.settings import load_settings

pytestmark = pytest.mark.slow
BANK = Path(__file__).resolve().parents[2] / "examples" / "bank"
D1 = date(2026, 11, 18)
HELD, NULL = "active_txn_count_90d", "active_txn_amount_90d"


@pytest.fixture(scope="module")
def bank(tmp_path_factory):
    """The settings of a bank of 600 people with four nights, whose transactions come on the first only."""
    from simulator.simulation import simulate
    from simulator.world.bank import BankPlan

    folder = tmp_path_factory.mktemp("bank")
    ignored = shutil.ignore_patterns("lake", "inbox", "truth", "reports", "published", "secrets", ".cdp")
    shutil.copytree(BANK, folder, dirs_exist_ok=True, ignore=ignored)
    simulate(BankPlan(people=600, nights=4, seed=11, history_months=2, first=D1), folder)
    feed = folder / "feeds" / "core_transactions.yml"
    feed.write_text(feed.read_text().replace("mode: events", "mode: events\nlate_after_days: 0"))
    for number in (1, 2, 3):
        shutil.rmtree(folder / "inbox" / "core_transactions" / str(day(number)))
    (folder / "tags").mkdir(exist_ok=True)
    (folder / "tags" / "own.yml").write_text(
        f"family: own\ntags:\n  - {{code: {NULL}, max_staleness_days: 1}}\n  - {{code: {HELD}, max_staleness_days: 9}}\n"
    )
    return load_settings(folder)


def day(number: int) -> date:
    return D1 + timedelta(days=number)


def run(bank, number: int):
    from jobs.night.nightly import run_night

    return run_night(bank, day(number))


def values(bank, code: str) -> dict:
    with open_publication(bank) as published:
        return dict(published.rows(f"SELECT one_id, {code} FROM tags.customer_tags"))


def test_a_source_that_is_late_lets_tags_keep_their_values_and_tells_segments(bank):
    run(bank, 0)
    before = values(bank, HELD)
    night = run(bank, 1)
    held = values(bank, HELD)
    assert {one: held[one] for one in held if one in before} == {
        one: before[one] for one in held if one in before
    }
    assert {held[one] for one in held if one not in before} <= {None}
    told = [text for text in night.summary["warnings"] if "trusted.transactions" in text]
    assert any(
        f"is late by 1 days, delivered up to {D1}" in text and "keep the values" in text for text in told
    )
    assert any("is decided by late tags" in text for text in night.summary["warnings"])
    with open_publication(bank) as published:
        (row,) = published.rows(
            "SELECT late_days, value_on, source_on FROM quality.tag_quality WHERE as_of = ? AND tag = ?",
            [day(1), HELD],
        )
    assert row == (1, D1, D1)


def test_a_tag_that_is_too_late_is_null_and_a_segment_that_wants_newer_ones_is_not_published(bank):
    night = run(bank, 2)
    assert set(values(bank, NULL).values()) == {None}
    with open_publication(bank) as published:
        late, people = published.rows(
            "SELECT late_count, people_count FROM quality.tag_quality WHERE as_of = ? AND tag = ?",
            [day(2), NULL],
        )[0]
    assert late == people > 0
    assert HELD in (bank.reports / f"{day(2)}.html").read_text()
    stopped = [text for text in night.summary["warnings"] if "schedule.max_tag_staleness_days is 1" in text]
    assert len(stopped) == len({"new_customer_first_100_days"} - set(night.summary["segments"]))


def test_a_tag_that_nobody_has_any_more_stops_the_night_and_nothing_of_it_is_seen(bank):
    feed = bank.workspace / "feeds" / "core_customers.yml"
    text = feed.read_text()
    lines = [
        f"{line.partition(':')[0]}: 'null'" if line.strip().startswith("occupation:") else line
        for line in text.splitlines()
    ]
    feed.write_text("\n".join(lines) + "\n")
    assert feed.read_text() != text
    with pytest.raises(
        GateStopped, match=r"occupation_class\.lost_ratio is 1, must be at most 0\.5"
    ) as stopped:
        run(bank, 3)
    assert stopped.value.exit_code == 3
    assert newest_publication(bank).business_date == day(2)
    assert any(value is not None for value in values(bank, "occupation_class").values())
    own = (bank.workspace / "cdp.yml").read_text()
    (bank.workspace / "cdp.yml").write_text(
        own
        + "\nthresholds:\n  tags.customer_tags.occupation_class.lost_ratio: {max: 1, why: no longer collected, by: Li Wei}\n"
    )
    from jobs.night.nightly import run_night

    night = run_night(load_settings(bank.workspace), day(3))
    assert any("no longer collected (set by Li Wei)" in text for text in night.summary["warnings"])
