"""Thirty nights of the example bank, answered by its engine: no gate stops a good night, and nobody is contacted more often than the caps say.

The contacts are counted from the published files alone, in every format, by the people that the recipients' keys stand for.
"""

from __future__ import annotations

import json
import shutil
from collections import Counter, defaultdict
from datetime import date, timedelta
from itertools import pairwise
from pathlib import Path

import pytest
import yaml

from delivery.contract.verify_audience import read_columns
from lakehouse.settings.settings import load_settings
from lakehouse.tables.lake import open_lake

BANK = Path(__file__).resolve().parents[3] / "examples" / "bank"
FIRST, NIGHTS = date(2026, 11, 12), 30


@pytest.fixture(scope="module")
def settings(tmp_path_factory):
    """A bank after thirty whole nights; what the engine answered to one night is delivered to the next."""
    from jobs.night.nightly import run_night
    from simulator.engine import answer
    from simulator.simulation import simulate
    from simulator.world.bank import BankPlan

    folder = tmp_path_factory.mktemp("thirty")
    ignored = shutil.ignore_patterns("lake", "inbox", "truth", "reports", "published", "secrets", ".cdp")
    shutil.copytree(BANK, folder, dirs_exist_ok=True, ignore=ignored)
    simulate(BankPlan(people=1500, nights=NIGHTS, seed=23, history_months=2, first=FIRST), folder)
    settings = load_settings(folder)
    for number in range(NIGHTS):
        day = FIRST + timedelta(days=number)
        outcome = run_night(settings, day)
        assert outcome.exit_code == 0, f"{day}: {outcome.summary}"
        answer(settings.published, settings.inbox, day)
    return settings


def audiences_of(settings) -> list[tuple[dict, Path]]:
    """Give manifest and folder of the newest run of every audience for marketing and night."""
    newest: dict[tuple[str, str, str], tuple[int, dict, Path]] = {}
    for file in settings.published.rglob("_manifest.json"):
        manifest = json.loads(file.read_text(encoding="utf-8"))
        if manifest.get("purpose") == "marketing":
            key = (manifest["destination"], manifest["segment"], manifest["as_of"])
            if key not in newest or manifest["seq"] > newest[key][0]:
                newest[key] = (manifest["seq"], manifest, file.parent)
    return [(manifest, run) for _, manifest, run in newest.values()]


def contacts_of(settings) -> list[tuple[str, int, str, date]]:
    """Give segment, person, channel and night of every contact for marketing that was published."""
    people = {
        (row["destination"], row["recipient_key"]): row["one_id"]
        for row in open_lake(settings).read_arrow("segments.recipients").to_pylist()
    }
    contacts = []
    for manifest, run in audiences_of(settings):
        columns = read_columns(run, "snapshot", manifest["format"], ["recipient_key", "channel"])
        rows = list(zip(columns["recipient_key"], columns["channel"], strict=True))
        assert len(rows) == manifest["counts"]["published"], run
        contacts += [
            (
                manifest["segment"],
                people[manifest["destination"], key],
                channel,
                date.fromisoformat(manifest["as_of"]),
            )
            for key, channel in rows
        ]
    return contacts


def marketing_segments() -> dict[str, str]:
    """Give the format of each segment of the bank that publishes for marketing; a branch's has that of its template."""
    formats = {}
    for file in sorted((BANK / "segments").glob("*.yml")):
        tree = yaml.safe_load(file.read_text(encoding="utf-8"))
        if "extends" in tree:
            template = BANK / "templates" / f"{tree['extends']}.yml"
            tree = {**yaml.safe_load(template.read_text(encoding="utf-8")), **tree}
        if tree["purpose"] == "marketing":
            formats[tree["code"]] = tree["publish"]["format"]
    return formats


def days_of_rest() -> dict[str, int]:
    """Give how long each segment leaves out whom it sent something itself, in days."""
    rests = {}
    for file in sorted((BANK / "segments").glob("*.yml")):
        tree = yaml.safe_load(file.read_text(encoding="utf-8"))
        for receipt in (part["receipt"] for part in tree.get("exclude", []) if "receipt" in part):
            if receipt["status"] == ["SENT"] and receipt["of"] == tree["code"]:
                rests[tree["code"]] = receipt["within_days"]
    return rests


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_every_marketing_segment_contacts_somebody_in_its_format(settings):
    formats = marketing_segments()
    assert set(formats.values()) == {"parquet", "csv", "json_lines"}
    assert {m["segment"]: m["format"] for m, _ in audiences_of(settings)} == formats
    contacts = Counter(segment for segment, *_ in contacts_of(settings))
    assert set(formats) - set(contacts) == set(), "contacts without them prove nothing about them"


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_nobody_is_contacted_more_often_than_the_caps_say(settings):
    policy = yaml.safe_load((BANK / "contact_policy.yml").read_text(encoding="utf-8"))
    caps = policy["caps"]
    assert {cap["scope"] for cap in caps} == {"global", "SMS"}
    by_person = defaultdict(list)
    for _, one_id, channel, day in contacts_of(settings):
        by_person[one_id].append((channel, day))
    most: Counter[tuple[str, int]] = Counter()
    for own in by_person.values():
        for cap in caps:
            for last in {day for _, day in own}:
                count = sum(
                    cap["scope"] in ("global", channel) and 0 <= (last - day).days < cap["days"]
                    for channel, day in own
                )
                key = (cap["scope"], cap["days"])
                most[key] = max(most[key], count)
    expected = {(cap["scope"], cap["days"]): cap["max"] for cap in caps}
    assert len(expected) == len(caps) and most == expected, "each cap is reached, and none is passed"
    losses = Counter(open_lake(settings).read_arrow("segments.contact_losses")["rule"].to_pylist())
    assert sum(losses.values()) > NIGHTS


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_nobody_is_sent_the_same_message_while_its_segment_rests(settings):
    rests = days_of_rest()
    assert len(rests) == len(marketing_segments()) - 3, "companies, households and calls rest in another way"
    nights = defaultdict(set)
    for code, one_id, _, day in contacts_of(settings):
        nights[code, one_id].add(day)
    pauses: dict[str, list[int]] = defaultdict(list)
    for (code, _), own in nights.items():
        days = sorted(own)
        pauses[code] += [(later - day).days for day, later in pairwise(days)]
    # The receipt of a contact has the day after its night.
    assert [
        (code, min(pauses[code])) for code, rest in rests.items() if min(pauses[code], default=99) <= rest
    ] == []
    again = [code for code, rest in rests.items() if rest < NIGHTS and pauses[code]]
    assert len(again) > len(rests) / 2, "most come back to somebody within the month"


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_most_audiences_of_most_nights_have_somebody(settings):
    """Whom a segment may contact it mostly does, also when the first nights are over and caps are used up."""
    codes = set(marketing_segments())
    published: dict[date, list[bool]] = defaultdict(list)
    for night in open_lake(settings).read_arrow("segments.runs").to_pylist():
        counts = json.loads(night["counts"])
        if night["code"] in codes and sum(counts["variants"].values()):
            published[night["as_of"]].append(counts["published"] > 0)
    later = [published[day] for day in sorted(published)[1:]]
    assert len(later) == NIGHTS - 1 and all(map(any, later))
    assert sum(map(sum, later)) > 0.75 * sum(map(len, later))


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_the_gates_knew_thirty_good_nights_and_stopped_none(settings):
    lake = open_lake(settings)
    quality = lake.read_arrow("quality.tag_quality").to_pylist()
    days = {FIRST + timedelta(days=number) for number in range(NIGHTS)}
    assert {row["as_of"] for row in quality} == days
    assert max(row["baseline_nights"] for row in quality) == 7, "they judged by a history"
    results = lake.read_arrow("quality.gate_results").to_pylist()
    assert {row["business_date"] for row in results} == days
    distributions = {row["business_date"] for row in results if row["measure"].endswith(".psi")}
    assert distributions == days - {FIRST + timedelta(days=n) for n in range(3)}, "there are people enough"
    assert [row for row in results if row["severity"] == "stop" and not row["is_passed"]] == []


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("day", [FIRST, FIRST + timedelta(days=NIGHTS // 2)])
def test_a_night_computed_again_weeks_later_is_what_it_stored(settings, day):
    """The first night lies as far back as any snapshot of a day is looked at; the other one had a night before it."""
    from jobs.night.backfill import check_tags

    snapshot = open_lake(settings).read_arrow("tags.customer_tags_daily", filters=[("as_of", "=", day)])
    outcomes = check_tags(settings, day)
    assert [one for one in outcomes if one.differing] == []
    of_people = [one for one in outcomes if one.tag in snapshot.schema.names]
    assert {one.people for one in of_people} == {snapshot.num_rows} and len(of_people) > 100
