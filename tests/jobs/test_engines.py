"""A night without Java, and the nights of another engine in a twin."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from jobs.night import twin
from jobs.workspace.make import make_workspace as new_workspace
from lakehouse.errors import SettingsInvalid, UsageError
from lakehouse.session.session import java_version
from lakehouse.settings.settings import load_settings
from lakehouse.tables.lake import Lake
from tests.published_lake import FEED, publish

HEADER = "member_no,name,sex,birthday,mobile,joined\n"
# Days, signs and digits that are read value by value: none stops a record that is good, or a night.
MEMBERS = HEADER + (
    "1,Ann,女,1990-01-01,13800138000,2020-01-01\n2,Bob,男,0990-01-01,13900139001,2020-02-30\n"
    "3,Çağ,女,+12026-01-01,13800138003,2020-01-01T10:00\n4,Dan,男,-0044-03-15,１3800138004,２020-01-01\n"
)
# A place of packages that has none.
NOWHERE = """<ivysettings><settings defaultResolver="none"/><resolvers>
<filesystem name="none"><artifact pattern="/nonexistent/[artifact].[ext]"/></filesystem></resolvers></ivysettings>"""


def without_java(folder: Path) -> dict[str, str]:
    """An environment whose path has no Java."""
    tools = folder / "tools"
    tools.mkdir()
    for name in ("uname", "id", "cat"):
        (tools / name).symlink_to(shutil.which(name))
    hidden = ("JAVA_HOME", "SPARK_HOME", "CDP_ENGINE")
    return {key: value for key, value in os.environ.items() if key not in hidden} | {"PATH": str(tools)}


@pytest.mark.slow
def test_a_night_needs_no_java_and_spark_says_that_it_does(tmp_path):
    new_workspace(tmp_path / "shop", "minimal")
    file = tmp_path / "shop" / "inbox" / "members" / "2026-01-05" / "members.csv"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(MEMBERS, encoding="utf-8")
    environment = without_java(tmp_path)

    def cdp(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "jobs.cli", *words, "--workspace", str(tmp_path / "shop")]
        root = Path(twin.__file__).resolve().parents[2]
        return subprocess.run(command, capture_output=True, text=True, env=environment, cwd=root, check=False)

    refused = cdp("nightly", "--date", "2026-01-05", "--engine", "spark")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "Java was not found: install a JDK 17 or 21" in refused.stderr
    night = cdp("nightly", "--date", "2026-01-05")
    assert night.returncode == 0, night.stderr
    assert '"delivered": 4' in night.stdout
    assert "by duckdb" in night.stderr
    assert cdp("nightly", "--date", "2026-01-05").returncode == 99  # nothing to do
    good = cdp("doctor")
    assert "and not needed by these nights" in good.stdout


@pytest.mark.slow
@pytest.mark.skipif(java_version() is None, reason="Spark needs Java, which is not here")
def test_without_deltas_jars_a_night_of_spark_says_what_to_fetch_and_one_without_spark_goes_on(tmp_path):
    shop = tmp_path / "a shop"
    new_workspace(shop, "minimal")
    (tmp_path / "empty").mkdir()
    nowhere = tmp_path / "nowhere.xml"
    nowhere.write_text(NOWHERE, encoding="utf-8")
    conf = f"{{spark.jars.ivySettings: '{nowhere}', spark.jars.ivy: '{tmp_path / 'ivy'}'}}"
    site = f"generate_secrets: true\njars: '{tmp_path / 'empty'}'\nspark: {{conf: {conf}}}\n"
    (shop / "cdp.yml").write_text(site, encoding="utf-8")

    def night(engine: str) -> subprocess.CompletedProcess[str]:
        words = ["nightly", "--date", "2026-01-05", "--engine", engine, "--workspace", str(shop)]
        root = Path(twin.__file__).resolve().parents[2]
        return subprocess.run(
            [sys.executable, "-m", "jobs.cli", *words], capture_output=True, text=True, cwd=root, check=False
        )

    refused = night("spark")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "Delta's JARs could not be resolved" in refused.stderr and "cdp jars fetch" in refused.stderr
    assert "Traceback" not in refused.stderr
    assert night("duckdb").returncode == 0


def test_twins_are_compared_by_what_they_hold(make_workspace):
    ours = publish(make_workspace({"cdp.yml": "", "feeds/members.yml": FEED}))
    theirs = publish(make_workspace({"cdp.yml": "", "feeds/members.yml": FEED}, name="twin"))
    same = twin.compare(ours, theirs, "spark")
    assert same.differing == () and "trusted.customers" in same.tables
    assert same.sentence() == (
        f"the engine spark gives the same: the hashes of {len(same.tables)} tables and 0 published files are equal"
    )
    lake = Lake(theirs)
    lake.append("trusted.customers", lake.read_arrow("trusted.customers").slice(0, 1))
    assert twin.compare(ours, theirs, "spark").differing == ()  # not what is published
    (ours.published / "app").mkdir(parents=True)
    (ours.published / "app" / "part.parquet").write_bytes(b"x")
    unequal = twin.compare(ours, theirs, "spark")
    assert unequal.differing == ("app/part.parquet",)
    assert "1 differ by the engine spark: app/part.parquet" in unequal.sentence()


def test_a_workspace_without_a_night_has_no_twin(make_workspace):
    with pytest.raises(UsageError, match="has published no night yet"):
        twin.run_twin(load_settings(make_workspace()), "duckdb")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('full_name: "reflect(name)"', "reflect"),
        ('full_name: "soundex(name)"', "soundex"),
    ],
)
def test_an_expression_of_one_engine_is_refused_before_a_night_that_lacks_it(make_workspace, text, words):
    import ingestion

    feed = FEED.replace("full_name: name", text)
    for engine in ("duckdb", "auto"):
        settings = load_settings(
            make_workspace({"cdp.yml": f"engine: {engine}\n", "feeds/members.yml": feed}, name=engine)
        )
        if engine == "auto" and words == "soundex":
            assert ingestion.landing_contracts(settings)
            assert (
                ingestion.reason_for_spark(settings)
                == "the feed members has an expression that only Spark knows"
            )
            continue
        with pytest.raises(SettingsInvalid, match=rf"members\.yml:\d+: .*{words}"):
            ingestion.landing_contracts(settings)
