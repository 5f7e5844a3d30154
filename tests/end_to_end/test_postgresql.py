"""A table of a real PostgreSQL server as a source: started for the test, read, stopped, missed."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import sys
import tempfile
from itertools import takewhile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DRIVER = "org.postgresql:postgresql:42.7.8"
FEED = """\
feed: customers
source: crm
description: Customers of the CRM's database.
mode: snapshot
required: true
extract:
  jdbc: {url: "jdbc:postgresql://127.0.0.1:PORT/postgres", table: public.people, user: reader,
         password_secret: crm_reader, where: "changed_on <= date '{date}'", driver: org.postgresql.Driver}
columns: [id, name, born]
targets:
  - table: trusted.customers
    columns: {source_key: id, kind: "'customer'", full_name: name, birth_date: "try_to_date(born, 'yyyy-MM-dd')"}
"""
TEMPORARY = Path(tempfile.gettempdir())
TABLE = """\
create role reader login password 'a password for tests';
create table people (id bigint primary key, name text, born date, changed_on date not null);
insert into people values (1, 'Ann', '1980-01-01', '2026-11-01'), (2, 'Bob', null, '2026-11-18'), (3, 'Cid', null, '2026-11-19');
grant select on people to reader;
"""


def binaries() -> Path | None:
    """Give the folder of the newest PostgreSQL server on this machine."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    named = shutil.which("initdb")
    return found[-1].parent if found else Path(named).parent if named else None


@pytest.fixture
def server(tmp_path):
    """A running server: its port, and a function that stops it."""
    folder = binaries()
    if folder is None:
        pytest.skip("there is no PostgreSQL server on this machine")
    data = tmp_path / "pg"
    data.mkdir()
    user = []
    if os.geteuid() == 0:
        # The server refuses to run as root.
        owner = pwd.getpwnam("nobody")
        os.chown(data, owner.pw_uid, owner.pw_gid)
        for parent in takewhile(
            lambda folder: folder.owner() == "root" and folder != TEMPORARY, (tmp_path, *tmp_path.parents)
        ):
            parent.chmod(0o755)
        user = ["setpriv", f"--reuid={owner.pw_uid}", f"--regid={owner.pw_gid}", "--clear-groups"]
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]

    def run(*command: str, **options) -> None:
        subprocess.run([*user, *command], check=True, capture_output=True, cwd=data, **options)

    run(
        str(folder / "initdb"),
        "-D",
        str(data / "db"),
        "-A",
        "scram-sha-256",
        "--auth-local=trust",
        "-U",
        "postgres",
    )
    log = data / "log"
    options = f"-p {port} -h 127.0.0.1 -k {data}"
    run(str(folder / "pg_ctl"), "-D", str(data / "db"), "-o", options, "-l", str(log), "-w", "start")
    is_up = True

    def stop() -> None:
        nonlocal is_up
        if is_up:
            run(str(folder / "pg_ctl"), "-D", str(data / "db"), "-m", "fast", "-w", "stop")
        is_up = False

    run(
        str(folder / "psql"),
        "-h",
        str(data),
        "-p",
        str(port),
        "-U",
        "postgres",
        "-v",
        "ON_ERROR_STOP=1",
        input=TABLE.encode(),
    )
    yield port, stop
    stop()


@pytest.mark.slow
def test_a_database_is_read_once_a_night_and_missed_in_one_sentence(server, make_workspace):
    port, stop = server
    workspace = make_workspace(
        {
            "cdp.yml": f"generate_secrets: true\nspark: {{conf: {{spark.jars.packages: '{DRIVER}'}}}}\n",
            "feeds/customers.yml": FEED.replace("PORT", str(port)),
        }
    )
    (workspace / "inbox").mkdir()

    def ingest(day: str, password: str = "a password for tests") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "jobs.submit.ingest", "--workspace", str(workspace), "--date", day],
            cwd=ROOT, capture_output=True, text=True, check=False, env={**os.environ, "CDP_SECRET_CRM_READER": password},
        )  # fmt: skip

    refused = ingest("2026-11-18", "another password")
    assert (refused.returncode, "refused the login" in refused.stderr) == (2, True), refused.stderr
    done = ingest("2026-11-18")
    assert done.returncode == 0, done.stderr
    assert '"customers": {"delivered": 2, "accepted": 2, "refused": 0, "duplicates": 0}' in done.stdout
    stop()
    again = ingest("2026-11-18")
    assert again.returncode == 0, "the night has its extract"
    missed = ingest("2026-11-19")
    assert missed.returncode == 1
    assert "the source of feed 'customers' did not answer" in missed.stderr
    assert "a password" not in missed.stderr + refused.stderr
    assert not list((workspace / "inbox").rglob("2026-11-19/*.parquet"))
