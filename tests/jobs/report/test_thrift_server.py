"""``cdp serve`` asked by Hive's JDBC driver, which comes with Spark: published rows, names of tags, masks, the next night."""

from __future__ import annotations

import csv
import json
import os
import signal
import socket
import subprocess
import sys
from contextlib import contextmanager
from datetime import UTC, date, datetime
from pathlib import Path

import psutil
import pyarrow as pa
import pytest

from jobs.cli import run
from jobs.report import serving
from lakehouse.errors import StepFailed, UsageError
from lakehouse.query.published import newest_publication
from lakehouse.session.thrift import require_known_guests
from lakehouse.settings.settings import load_settings
from lakehouse.tables.lake import Lake
from tags.build.project import CURRENT, wide_contracts
from tags.compile.compilation import compile_tags
from tests.published_lake import FEED, NAMES, PHONES, publish

ROOT = Path(__file__).resolve().parents[3]
SMALL = """spark:
  driver_memory: 1200m
  shuffle_partitions: 4
  conf: {spark.executor.memory: 1g}
"""
NAMES_AND_COMMENTS = {"one_id": "the person", "aum_tier": "AUM tier (资产层级)"}


def test_only_this_machine_is_served_without_asking_who_it_is(tmp_path):
    (tmp_path / "cdp.yml").write_text("{}\n", encoding="utf-8")
    nobody_asks = load_settings(tmp_path)
    for host in ("127.0.0.1", "::1", "localhost", "127.0.0.2"):
        require_known_guests(nobody_asks, host)
    strangers = ("0.0.0.0", "::", "10.0.0.7", "localhost.example", "")
    for host in strangers:
        with pytest.raises(UsageError, match="whoever reaches"):
            require_known_guests(nobody_asks, host)
    for way, is_good in (("LDAP", True), ("kerberos", True), ("NONE", False), ("NOSASL", False), ("", False)):
        (tmp_path / "cdp.yml").write_text(
            f"spark: {{conf: {{spark.hadoop.hive.server2.authentication: '{way}'}}}}\n", encoding="utf-8"
        )
        settings = load_settings(tmp_path)
        if is_good:
            require_known_guests(settings, "0.0.0.0")
            conf = {**settings.spark.conf, "hive.server2.authentication": "NONE"}
            spark = settings.spark.model_copy(update={"conf": conf})
            with pytest.raises(UsageError):
                require_known_guests(settings.model_copy(update={"spark": spark}), "0.0.0.0")
        else:
            with pytest.raises(UsageError):
                require_known_guests(settings, "0.0.0.0")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--host", "0.0.0.0"], "whoever reaches 0.0.0.0"),
        (["--port", "0"], "--port"),
        (["--reveal", " "], "--reveal has to say why"),
        ([], "nothing was published yet"),
    ],
)
def test_what_cannot_be_served_is_one_sentence(tmp_path, capsys, words, said):
    (tmp_path / "cdp.yml").write_text("{}\n", encoding="utf-8")
    assert run(["serve", *words, "--workspace", str(tmp_path)]) == 2
    printed = capsys.readouterr()
    assert said in printed.err and "Traceback" not in printed.err


def test_a_reveal_is_recorded_before_each_night_that_is_shown(bank, monkeypatch):
    handlers, shows = [], []
    record = bank / "audit" / "reveals.jsonl"

    class Server:
        def show(self, publication, texts):
            lines = record.read_text(encoding="utf-8").splitlines() if record.exists() else []
            shows.append((publication.seq, [json.loads(line)["reason"] for line in lines]))

        def require_life(self):
            """It lives."""

    def start(settings, masks, host, port):
        shows.append(sorted(masks("trusted.customers", ["kind", "full_name"])))
        return Server()

    def publish_or_end(publication):
        if publication.seq == 1:
            publish_tables(Lake(load_settings(bank)), publication, publication.tables, 2)
        else:
            handlers[-1]()

    monkeypatch.setattr("lakehouse.session.thrift.start_thrift_server", start)
    monkeypatch.setattr(signal, "signal", lambda _, handler: handlers.append(handler))
    monkeypatch.setattr(serving, "LOOK_AGAIN_SECONDS", 0.01)
    address = ("127.0.0.1", 10_000)
    serving.serve_lake(load_settings(bank), *address, reveal=" case 1 ", ready=publish_or_end)
    assert shows == [[], (1, ["case 1"]), (2, ["case 1", "case 1"])]
    shows.clear()
    serving.serve_lake(load_settings(bank), *address, ready=publish_or_end)
    assert shows == [["full_name"], (2, ["case 1", "case 1"])], "without a reason nothing is revealed"
    (line,) = (bank / "audit" / "lookups.jsonl").read_text(encoding="utf-8").splitlines()
    disclosure = json.loads(line)
    assert (disclosure["command"], disclosure["is_revealed"], disclosure["one_ids"]) == ("serve", False, [])
    assert "trusted.customers" in disclosure["tables"]


@pytest.mark.parametrize("reveal", ["case 1", None])
def test_what_cannot_be_recorded_starts_no_server(bank, monkeypatch, reveal):
    monkeypatch.setattr(
        "lakehouse.session.thrift.start_thrift_server", lambda *_: pytest.fail("it is served")
    )
    (bank / "audit").write_text("a file where the folder belongs")
    with pytest.raises(StepFailed, match="cannot be recorded, so nothing is shown"):
        serving.serve_lake(load_settings(bank), "127.0.0.1", 10_000, reveal=reveal)


class Guest:
    """A JDBC client in a process of its own: Hive's beeline."""

    def __init__(self, port: int, folder: Path) -> None:
        import pyspark

        self.jars = Path(pyspark.__file__).parent / "jars"
        self.port, self.folder = port, folder

    def ask(self, statement: str) -> list[dict[str, str]]:
        """Give the rows of an answer; what is refused raises ``AssertionError``."""
        question = self.folder / "question.sql"
        question.write_text(statement + ";\n", encoding="utf-8")
        command = [
            "java", "-Dfile.encoding=UTF-8", "-cp", f"{self.jars}/*", "org.apache.hive.beeline.BeeLine", "-u", f"jdbc:hive2://127.0.0.1:{self.port}/",
            "-f", str(question), "--silent=true", "--outputformat=csv2",
        ]  # fmt: skip
        process = subprocess.run(
            command,
            capture_output=True,
            encoding="utf-8",
            check=False,
            env={**os.environ, "HOME": str(self.folder)},
        )
        assert process.returncode == 0, process.stderr[-500:]
        return list(csv.DictReader(line for line in process.stdout.splitlines() if line.strip()))


@pytest.fixture
def bank(tmp_path):
    """A published lake in a folder with a space and a quote: one person with tags, two with identifiers."""
    folder = tmp_path / "bank's 银行"
    folder.mkdir()
    (folder / "feeds").mkdir()
    (folder / "cdp.yml").write_text("generate_secrets: true\npacks: {bank: on}\n", encoding="utf-8")
    (folder / "feeds" / "members.yml").write_text(FEED, encoding="utf-8")
    publish(folder)
    return folder


def append_person(lake, one_id):
    row = {"one_id": one_id, "kind": "customer", "aum_tier": "T3", "null_exceptions": [], "as_of": date(2026, 11, 18)}  # fmt: skip
    lake.append(CURRENT, pa.Table.from_pylist([row], schema=lake.contracts.get(CURRENT).arrow_schema()))


def publish_tags(lake, folder, seq):
    newest = newest_publication(load_settings(folder))
    publish_tables(lake, newest, {**newest.tables, CURRENT: lake.version(CURRENT)}, seq)


def publish_tables(lake, newest, tables, seq):
    lake.append_rows(
        "ops.publications",
        [
            {
                "business_date": newest.business_date, "run_id": f"run-{seq}", "seq": seq, "fingerprint": "f", "summary": "{}",
                "published_at": datetime(2026, 11, 19, tzinfo=UTC), "tables": [{"table": name, "version": version} for name, version in tables.items()],
            }
        ],
    )  # fmt: skip


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_jdbc_client_sees_what_is_published_with_its_comments_and_masks_and_then_the_next_night(
    bank, tmp_path
):
    lake = lake_of_two_nights(bank)
    with served(bank, tmp_path) as (server, guest):
        look_at(server, guest, bank, lake)


@pytest.mark.cluster
@pytest.mark.timeout(1800)
def test_on_a_cluster_a_jdbc_client_sees_what_the_workers_read_with_its_comments(bank, tmp_path):
    from benchmarks.standalone import standalone_cluster

    with (bank / "cdp.yml").open("a", encoding="utf-8") as settings:
        settings.write(SMALL)
    lake = lake_of_two_nights(bank)
    folder = tmp_path / "cluster"
    folder.mkdir()
    with standalone_cluster(folder) as cluster, served(bank, tmp_path, master=cluster.url) as (server, guest):
        look_at(server, guest, bank, lake)
        # Each worker has an executor of the one application, and these have read the rows: the driver computes nothing.
        executors = {worker: [*folder.glob(f"{worker}/app-*/*/stderr")] for worker in ("work0", "work1")}
        assert all(executors.values()), executors
        assert len({file.parts[-3] for files in executors.values() for file in files}) == 1
        logs = "".join(file.read_text(errors="replace") for files in executors.values() for file in files)
        assert "Running task" in logs or "Finished task" in logs, logs[-2000:]


def lake_of_two_nights(bank):
    """The lake of a bank that has published one person with tags, and has written another that is not published."""
    lake = Lake(load_settings(bank))
    lake.contracts.add(*wide_contracts(compile_tags(bank)))
    lake.create([CURRENT])
    append_person(lake, 1)
    publish_tags(lake, bank, 90)
    append_person(lake, 2)
    return lake


@contextmanager
def served(bank, folder, *, master=None):
    """A server of a bank on a port of its own, and a guest of it; it ends with the block, and its log quotes no question."""
    with socket.socket() as place:
        place.bind(("127.0.0.1", 0))
        port = place.getsockname()[1]
    log = folder / "log"
    misleading = {**os.environ, "HIVE_SERVER2_THRIFT_BIND_HOST": "0.0.0.0", "HIVE_SERVER2_THRIFT_PORT": "1"}
    cluster = {"CDP_SPARK_MASTER": master, "SPARK_LOCAL_IP": "127.0.0.1"} if master else {}
    command = [sys.executable, "-m", "jobs.cli", "serve", "--port", str(port), "--workspace", str(bank)]
    with (
        log.open("w", encoding="utf-8") as errors,
        subprocess.Popen(
            command,
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=errors,
            encoding="utf-8",
            env={**misleading, **cluster},
        ) as server,
    ):
        try:
            yield server, Guest(port, folder)
            server.send_signal(signal.SIGTERM)
            assert server.wait(timeout=120) == 0
        finally:
            server.kill()
    log_text = log.read_text(encoding="utf-8")
    assert NAMES[1][:4] not in log_text and "Traceback" not in log_text, "a log quotes no question"


def look_at(server, guest, bank, lake):
    """What a guest asks before and after a night was published."""
    assert f"jdbc:hive2://127.0.0.1:{guest.port}/" in server.stdout.readline()
    places = {c.laddr.ip for c in psutil.net_connections("tcp") if c.laddr and c.laddr.port == guest.port}
    assert places <= {"127.0.0.1", "::ffff:127.0.0.1"}, (
        "what the environment says of the address does not count"
    )
    assert guest.ask("select one_id, aum_tier from tags.customer_tags") == [{"one_id": "1", "aum_tier": "T3"}]
    comments = {row["col_name"]: row["comment"] for row in guest.ask("describe tags.customer_tags")}
    assert NAMES_AND_COMMENTS.items() <= comments.items()
    people = guest.ask("select source_key, full_name from trusted.customers order by 1")
    assert [row["source_key"] for row in people] == ["1", "2"]
    assert all(row["full_name"].startswith("masked:") for row in people)
    assert len({row["full_name"] for row in people}) == 2
    values = str([people, guest.ask("select * from trusted.identifier_observations")])
    assert not [private for private in (*NAMES, *PHONES) if private in values]
    with pytest.raises(AssertionError):
        guest.ask(f"select no_such_column from trusted.customers where full_name = '{NAMES[1][:4]}'")
    publish_tags(lake, bank, 91)
    assert "tables as published" in server.stdout.readline()
    assert [row["one_id"] for row in guest.ask("select one_id from tags.customer_tags order by 1")] == [
        "1",
        "2",
    ]
