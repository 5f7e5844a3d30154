"""One Spark session for a whole process, a fresh lake per test."""

from __future__ import annotations

import gc
import os
import sys
import textwrap
from pathlib import Path
from shutil import disk_usage

import duckdb
import pytest
from hypothesis import settings

SPARK_GROUPS = ("nights on Spark", "rooms on Spark")
MEMORY = Path("/dev/shm")
SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"
# A change passes or fails by itself, so the drawn cases are the same in every run; NEW_CASES=1 looks for others.
settings.register_profile("same cases", derandomize=True)
settings.register_profile("new cases", print_blob=True)
settings.load_profile("new cases" if os.environ.get("NEW_CASES") else "same cases")
gc.set_threshold(50_000, 20, 100)  # as the command line does
os.environ.setdefault("CDP_SECRET_IDENTITY_KEY", "a key for tests only, 32 letters")
# The main module of a test process beside others has no file; PySpark takes that for doctests and ends the process.
if not hasattr(sys.modules["__main__"], "__file__"):
    sys.modules["__main__"].__file__ = __file__


def pytest_configure(config):
    """Let short tests write to memory where there is plenty, and give DuckDB one thread in each of several test processes.

    The processes together have all cores, and a drawn bank fills no more. Slow tests have all threads.
    """
    if not config.option.markexpr.startswith("not slow"):
        return
    if MEMORY.is_dir() and disk_usage(MEMORY).free > 6 << 30:
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(MEMORY))
    if "PYTEST_XDIST_WORKER" not in os.environ:
        return
    connect = duckdb.connect

    def connect_with_one_thread(database=":memory:", read_only=False, config=None):
        return connect(database, read_only, {"threads": 1, **(config or {})})

    duckdb.connect = connect_with_one_thread


def pytest_itemcollected(item):
    """Let whatever needs Spark share one process, of the slow tests two; others go to the one that is free."""
    engines = item.callspec.params.values() if hasattr(item, "callspec") else ()
    if "spark" in item.fixturenames or "spark" in engines:
        is_night = item.path.parent.name in ("end_to_end", "tags") and item.get_closest_marker("slow")
        group = SPARK_GROUPS[0 if is_night else 1]
    elif item.get_closest_marker("xdist_group"):
        return
    else:
        group = item.path.stem
    item.add_marker(pytest.mark.xdist_group(group))


def pytest_collection_modifyitems(items):
    """Begin with what needs Spark: it takes longest."""

    def place(item):
        group = item.get_closest_marker("xdist_group").args[0]
        return SPARK_GROUPS.index(group) if group in SPARK_GROUPS else len(SPARK_GROUPS)

    items.sort(key=place)


@pytest.fixture
def make_workspace(tmp_path):
    """A function that writes files (name → text) into a new workspace folder and gives the folder."""

    def make(files: dict[str, str] | None = None, name: str = "workspace") -> Path:
        folder = tmp_path / name
        folder.mkdir(exist_ok=True)
        defaults = {"cdp.yml": "generate_secrets: true\n"}
        for path, text in {**defaults, **(files or {})}.items():
            target = folder / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(textwrap.dedent(text), encoding="utf-8")
        return folder

    return make


@pytest.fixture(scope="session")
def spark(tmp_path_factory):
    """The one Spark session: two cores, few partitions, since every test's data is small; skipped where there is no Java."""
    from lakehouse.session.session import java_version, start_session, stop_session
    from lakehouse.settings.settings import load_settings

    if java_version() is None:
        pytest.skip("Spark needs Java, which is not here")
    folder = tmp_path_factory.mktemp("session")
    (folder / "cdp.yml").write_text("spark: {cores: 2, driver_memory: 3g, shuffle_partitions: 2}\n")
    yield start_session(load_settings(folder), name="tests")
    stop_session()


@pytest.fixture
def lake(make_workspace):
    """An empty lake with every contracted table created, in its own workspace."""
    from lakehouse.settings.settings import load_settings
    from lakehouse.tables.lake import open_lake

    return open_lake(load_settings(make_workspace()))


@pytest.fixture(scope="session")
def shared_data():
    """The folder of third-party data beside the checkout; tests that need it skip where it is absent."""
    if not SHARED.is_dir():
        pytest.skip("the third-party data is not beside the checkout")
    return SHARED


@pytest.fixture(autouse=True)
def _spoken_english():
    """Let no test hear the language of the workspace that the one before opened."""
    from lakehouse.texts import DEFAULT, speak

    speak(DEFAULT)


@pytest.fixture
def consumer(tmp_path):
    """An HTTP endpoint of a consumer that runs; see ``http_consumer``."""
    from http_consumer import running_consumer

    with running_consumer(tmp_path / "consumer") as one:
        yield one


@pytest.fixture(scope="module")
def postgresql():
    """A PostgreSQL server that runs; see ``postgresql_server``. Skipped where there is none."""
    from postgresql_server import PostgresqlServer, binaries

    folder = binaries()
    if folder is None:
        pytest.skip("there is no PostgreSQL server on this machine")
    server = PostgresqlServer(folder)
    try:
        server.start()
        yield server
    finally:
        server.remove()


@pytest.fixture(scope="module")
def kafka_broker():
    """A broker of Kafka that runs; see ``kafka_broker``. Skipped where its JARs cannot be had."""
    from kafka_broker import KafkaBroker, jars

    folder = jars()
    if isinstance(folder, str):
        reason = folder
        pytest.skip(reason)
    broker = KafkaBroker(folder)
    try:
        broker.start()
        yield broker
    finally:
        broker.remove()
