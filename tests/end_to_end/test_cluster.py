"""Nights on a cluster of two workers: every table and file is that of this process.

A small simulated bank, a real bank and a real shop. ``bucket_rows`` is small, so that the workers compare the keys of feeds and
identity stands in several buckets, where this process takes all at once.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import date
from functools import partial
from pathlib import Path

import pytest
from example_workspaces import copy_before_nights, copy_of_example, copy_with_data

from benchmarks.standalone import standalone_cluster
from jobs.night import twin
from jobs.night.history import run_history
from jobs.night.nightly import run_night
from jobs.workspace.make import make_workspace
from lakehouse.session.session import java_version
from lakehouse.settings.settings import load_settings

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.timeout(3600),
    pytest.mark.skipif(java_version() is None, reason="a cluster needs Java, which is not here"),
]
DAYS = (date(2026, 11, 18), date(2026, 11, 19))
SMALL = """spark:
  driver_memory: 1200m
  shuffle_partitions: 4
  conf: {spark.executor.memory: 1g, spark.cores.max: "2"}
"""
OF_BUCKETS = "engine: {{bucket_rows: {}}}\n"
BERKA_DAYS = (date(1994, 3, 30), date(1994, 3, 31))
SHOP_HISTORY = (date(2010, 12, 1), date(2011, 12, 6))
SHOP_DAY = date(2011, 12, 7)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    with standalone_cluster(tmp_path_factory.mktemp("cluster")) as processes:
        yield processes


@pytest.fixture(scope="module")
def nights(tmp_path_factory):
    """The settings of a bank of 300 people as this process has published it, after its first night and after its second one."""
    from simulator.simulation import simulate
    from simulator.world.bank import BankPlan

    folder = copy_of_example("bank", tmp_path_factory.mktemp("bank") / "ours")
    file = folder / "cdp.yml"
    lines = [line for line in file.read_text().splitlines() if not line.startswith("spark:")]
    file.write_text("\n".join(lines) + "\n" + SMALL)
    simulate(BankPlan(people=300, nights=2, seed=7, history_months=2, first=DAYS[0]), folder)
    settings = load_settings(folder, engine="duckdb")
    run_night(settings, DAYS[0])
    first = folder.parent / "ours_after_one"
    shutil.copytree(folder, first)
    run_night(settings, DAYS[1])
    return load_settings(first, engine="duckdb"), settings


def twin_of(ours, name: str, *, bucket_rows: int | None = None) -> Path:
    """The same workspace, with nothing of its nights; with ``bucket_rows`` one more line of settings."""
    folder = copy_before_nights(ours.workspace, ours.workspace.parent / name)
    if bucket_rows is not None:
        with (folder / "cdp.yml").open("a", encoding="utf-8") as settings:
            settings.write(OF_BUCKETS.format(bucket_rows))
    return folder


@contextmanager
def running(cluster, module: str, *words: str):
    """Run a module on the cluster while the block looks on, and require that it ends well.

    What is said is read meanwhile, so that no pipe is full; the block closes the pipes.
    """
    with cluster.submit(module, *words) as process, ThreadPoolExecutor(1) as reader:
        errors = reader.submit(process.stderr.read)
        yield process
        process.stdout.read()
        text = errors.result()
    assert process.returncode == 0, text[-6000:]


def night(cluster, folder: Path, day: date):
    """Run a night on the cluster while the block looks on."""
    return running(cluster, "jobs.submit.nightly", "--workspace", str(folder), "--date", day.isoformat())


def run(cluster, folder: Path, *days: date) -> None:
    """Run nights on the cluster."""
    for day in days:
        with night(cluster, folder, day):
            pass


def wait_for_compared_keys(folder: Path, process) -> None:
    """Wait until workers write which hashes of keys of a feed are shared."""
    wait_for(partial(is_there, folder / "lake", "_exchange/*/hashes/*_shared_hashes"), process)


def require_equal(ours, folder: Path, *, tables: int = 40, files: int = 5) -> None:
    """Every table and every published file of a workspace, which are more than so many, is that of this process."""
    same = twin.compare(ours, load_settings(folder), "spark")
    assert same.differing == ()
    assert len(same.tables) > tables
    assert len(same.files) > files


def test_two_nights_on_a_cluster_give_every_row_of_this_process(nights, cluster):
    folder = twin_of(nights[1], "theirs")
    run(cluster, folder, *DAYS)
    require_equal(nights[1], folder)


def test_a_night_that_loses_all_executors_in_each_of_its_steps_gives_every_row(nights, cluster):
    """They end while they write what a feed says, which hashes of its keys are shared, a bucket of people, the tags, the leaf table, places."""
    folder = twin_of(nights[0], "bereaved", bucket_rows=100)
    with night(cluster, folder, DAYS[0]) as process:
        for writing in (
            "_exchange/ingest_*/careful/_temporary",
            "_exchange/ingest_*/hashes/*_shared_hashes/_temporary",
            "_exchange/identity.rows/*_answers/_temporary",
            "tags_work/customer_tags/_temporary",
            "_exchange/segments/leaves/_temporary",
            "_exchange/segments/*_answers/_temporary",
        ):
            wait_for(partial(is_there, folder / "lake", writing), process)
            wait_for(lambda: cluster.kill_executors() > 0, process)
    require_equal(nights[0], folder)


def test_two_nights_of_a_real_bank(shared_data, cluster, tmp_path):
    settings = settings_of("berka", tmp_path, shared_data / "berka")
    for day in BERKA_DAYS:
        run_night(settings, day)
    folder = twin_of(settings, "theirs", bucket_rows=1_000)
    with night(cluster, folder, BERKA_DAYS[0]) as process:
        wait_for_compared_keys(folder, process)
    run(cluster, folder, *BERKA_DAYS[1:])
    require_equal(settings, folder)


def test_a_year_of_a_real_shop_in_one_pass_and_its_night(shared_data, cluster, tmp_path):
    settings = settings_of("online-retail", tmp_path, shared_data / "online-retail")
    run_history(settings, *SHOP_HISTORY)
    run_night(settings, SHOP_DAY)
    folder = twin_of(settings, "theirs", bucket_rows=1_000)
    first, last = (day.isoformat() for day in SHOP_HISTORY)
    words = ("ingest", "--workspace", str(folder), "--from", first, "--to", last)
    with running(cluster, "jobs.cli", *words) as process:
        wait_for_compared_keys(folder, process)
    run(cluster, folder, SHOP_DAY)
    require_equal(settings, folder)


def settings_of(example: str, folder: Path, data: Path):
    """The settings of an example with real files, of this process."""
    workspace = copy_with_data(example, folder / "ours", data)
    with (workspace / "cdp.yml").open("a", encoding="utf-8") as settings:
        settings.write(SMALL)
    return load_settings(workspace, engine="duckdb")


@pytest.fixture
def drawn_bank(tmp_path):
    """Two workspaces with the same 3,000 records, one of them resolved by this process, and the hashes of its tables."""
    from benchmarks.nights import driver_memory

    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    ours.mkdir()
    driver_memory.make(ours, 3_000)
    shutil.copytree(ours, theirs)
    text = "generate_secrets: true\nengine: {name: spark, bucket_rows: 1000}\n" + SMALL
    (theirs / "cdp.yml").write_text(text, encoding="utf-8")
    driver_memory.resolve_lake(ours)
    return theirs, driver_memory.hashes_of(ours)


def test_a_worker_and_all_executors_are_lost_while_people_are_resolved_and_no_row_is(drawn_bank, tmp_path):
    from benchmarks.nights import driver_memory

    folder, expected_hashes = drawn_bank
    (tmp_path / "cluster").mkdir()
    with (
        standalone_cluster(tmp_path / "cluster") as cluster,
        running(cluster, "benchmarks.nights.driver_memory", "resolve", str(folder)) as process,
    ):
        rows = folder / "lake" / "_exchange" / "identity.rows"
        wait_for(lambda: any(rows.glob("*_answers/_temporary")), process)
        assert cluster.kill_executors() == 2
        wait_for(lambda: any(rows.glob("*_placed_profiles/_SUCCESS")), process)
        wait_for(lambda: any(rows.glob("*_answers/_temporary")), process)
        cluster.kill_worker(0)
    assert "Telling app of lost worker" in (tmp_path / "cluster" / "master.log").read_text(encoding="utf-8")
    assert driver_memory.hashes_of(folder) == expected_hashes


def is_there(folder: Path, pattern: str) -> bool:
    """Tell whether something of a name like this is in a folder."""
    return any(folder.glob(pattern))


def wait_for(condition, process) -> None:
    """Wait until something is so, while a process runs."""
    while not condition():
        assert process.poll() is None, "the process has ended before"
        time.sleep(0.02)


def test_workers_with_another_python_are_refused_in_one_sentence_before_a_night(tmp_path):
    """The Python of the workers has none of the libraries of the driver's."""
    bare, folder = tmp_path / "bare", tmp_path / "shop"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(bare)], check=True)
    make_workspace(folder, "minimal")
    file = folder / "inbox" / "members" / "2026-01-05" / "members.csv"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(
        "member_no,name,sex,birthday,mobile,joined\n1,Ann,女,1990-01-01,13800138000,2020-01-01\n",
        encoding="utf-8",
    )
    (tmp_path / "cluster").mkdir()
    with standalone_cluster(tmp_path / "cluster", memory="1400m") as cluster:
        process = cluster.submit(
            "jobs.submit.nightly", "--workspace", str(folder), "--date", "2026-01-05",
            env={"PYSPARK_PYTHON": str(bare / "bin" / "python"), "PYSPARK_DRIVER_PYTHON": sys.executable},
        )  # fmt: skip
        _, errors = process.communicate()
    assert process.returncode == 2, errors[-3000:]
    assert "has no pyarrow: give the workers the driver's Python environment" in errors
    assert "Traceback" not in errors
    assert not list((folder / "lake" / "trusted").glob("*/*.parquet"))
