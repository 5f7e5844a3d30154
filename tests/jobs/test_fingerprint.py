"""The fingerprint of a night changes with what the night computes from, and with nothing else."""

from __future__ import annotations

from datetime import date

import pytest

from jobs.night.fingerprint import fingerprint_of, fingerprint_of_history, workspace_hash
from jobs.workspace.make import make_workspace
from lakehouse.settings.settings import load_settings
from lakehouse.tables.lake import Lake

MONDAY, TUESDAY = date(2026, 1, 5), date(2026, 1, 6)
HEADER = "member_no,name,sex,birthday,mobile,joined\n"


@pytest.fixture
def shop(tmp_path):
    make_workspace(tmp_path / "shop", "minimal")
    return tmp_path / "shop"


def fingerprint(shop, day=MONDAY):
    return fingerprint_of(Lake(load_settings(shop)), day)


def write(shop, path, text):
    file = shop / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("inbox/members/2026-01-05/members_2.csv", HEADER + "9,王五,男,1990-01-01,13900000000,2020-01-01\n"),
        ("inbox/members/2026-01-05/members.csv", HEADER + "1,another,,,,\n"),
        ("cdp.yml", "currency: EUR\n"),
        ("segments/everybody.yml", "segment: everybody\n"),
        ("lists/staff.csv", "one_id\n1\n"),
        ("models/site.sql", "select 1\n"),
    ],
)
def test_a_delivered_file_and_a_file_of_settings_change_it(shop, path, text):
    before = fingerprint(shop)
    write(shop, path, text)
    assert fingerprint(shop) != before


@pytest.mark.parametrize(
    "path",
    [
        "reports/2026-01-05.html", "reports/notes.yml", "published/app/1/manifest.yml", "lake/notes.csv", "truth/files.csv",
        "secrets/other.yml", ".cdp/dbt/models.sql", "README.md", "inbox/members/2026-01-06/members.csv",
        "inbox/of_no_feed/2026-01-05/x.csv",
    ],
)  # fmt: skip
def test_what_a_night_makes_or_does_not_take_leaves_it_as_it_is(shop, path):
    before = fingerprint(shop)
    write(shop, path, HEADER)
    assert fingerprint(shop) == before


@pytest.mark.parametrize(
    "running",
    ["engine: spark\n", "engine: {memory: 2GB, spill: x}\n", "spark: {driver_memory: 9g, cores: 1, conf: {spark.executor.memory: 4g}}\n", "jars: jars\n", "lock_dir: .cdp\n",
     "components: {driver_nodes: 5}\n", "# a comment\n"],
)  # fmt: skip
def test_how_a_night_runs_is_no_part_of_it(shop, running):
    write(shop, "cdp.yml", "currency: EUR\n")
    before = fingerprint(shop)
    write(shop, "cdp.yml", "currency: EUR\n" + running)
    assert fingerprint(shop) == before


def test_a_setting_of_sparks_sql_is_part_of_it(shop):
    write(shop, "cdp.yml", "currency: EUR\n")
    before = fingerprint(shop)
    write(shop, "cdp.yml", "currency: EUR\nspark: {conf: {spark.sql.ansi.enabled: 'false'}}\n")
    assert fingerprint(shop) != before


def test_it_is_of_one_business_date(shop):
    assert fingerprint(shop, MONDAY) != fingerprint(shop, TUESDAY)
    assert fingerprint(shop, MONDAY) == fingerprint(shop, MONDAY)


def test_settings_are_known_by_name_and_content(shop):
    before = workspace_hash(load_settings(shop))
    write(shop, "lists/a.csv", "1\n")
    by_name = workspace_hash(load_settings(shop))
    (shop / "lists/a.csv").rename(shop / "lists/b.csv")
    assert len({before, by_name, workspace_hash(load_settings(shop))}) == 3


def test_a_history_has_one_of_its_range_and_its_files(shop):
    settings = load_settings(shop)
    files = [("members/2026-01-05/members.csv", "aa")]
    values = {
        fingerprint_of_history(settings, MONDAY, TUESDAY, files),
        fingerprint_of_history(settings, MONDAY, MONDAY, files),
        fingerprint_of_history(settings, MONDAY, TUESDAY, [*files, ("members/2026-01-06/members.csv", "bb")]),
    }
    assert len(values) == 3
    assert fingerprint_of_history(settings, MONDAY, TUESDAY, iter(files)) in values
