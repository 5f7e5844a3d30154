"""A table of a real PostgreSQL server as a source: started for the test, read, stopped, missed."""

from __future__ import annotations

import os
import subprocess
import sys
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
TABLE = """\
create role reader login password 'a password for tests';
create table people (id bigint primary key, name text, born date, changed_on date not null);
insert into people values (1, 'Ann', '1980-01-01', '2026-11-01'), (2, 'Bob', null, '2026-11-18'), (3, 'Cid', null, '2026-11-19');
grant select on people to reader;
"""


@pytest.mark.slow
def test_a_database_is_read_once_a_night_and_missed_in_one_sentence(postgresql, make_workspace):
    postgresql.sql(TABLE)
    workspace = make_workspace(
        {
            "cdp.yml": f"generate_secrets: true\nspark: {{conf: {{spark.jars.packages: '{DRIVER}'}}}}\n",
            "feeds/customers.yml": FEED.replace("PORT", str(postgresql.port)),
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
    postgresql.stop()
    again = ingest("2026-11-18")
    assert again.returncode == 0, "the night has its extract"
    missed = ingest("2026-11-19")
    assert missed.returncode == 1
    assert "the source of feed 'customers' did not answer" in missed.stderr
    assert "a password" not in missed.stderr + refused.stderr
    assert not list((workspace / "inbox").rglob("2026-11-19/*.parquet"))
