"""A history in one pass leaves what its nights would have left, one by one."""

from __future__ import annotations

from datetime import date

import pytest

import ingestion
from ingestion.nights.history import ingest_history
from lakehouse.errors import InputInvalid, UsageError
from lakehouse.query.hashing import table_hash
from lakehouse.settings.settings import load_settings
from lakehouse.tables.lake import open_lake

FEEDS = {
    "feeds/clients.yml": """\
        feed: clients
        source: core
        description: Clients, whole on the days they are sent.
        mode: snapshot
        files: {path: "clients/{date}.csv"}
        columns: [no, name, phone]
        targets:
          - table: trusted.customers
            columns: {source_key: no, kind: "'customer'", full_name: name}
          - table: trusted.identifier_observations
            each:
              - {source_key: no, namespace: "'phone'", value: phone, role: "'identity'", verified: true}
        """,
    "feeds/accounts.yml": """\
        feed: accounts
        source: core
        description: Changed accounts.
        mode: delta
        files: {path: "accounts/{date}.csv"}
        columns: [id, state]
        targets:
          - table: trusted.accounts
            columns: {account_id: id, account_type: "'savings'", currency: "'CNY'", status: state}
        """,
    "feeds/bookings.yml": """\
        feed: bookings
        source: core
        description: Bookings, looked for three days back.
        mode: events
        dedupe_days: 3
        files: {path: "bookings/{date}*.csv"}
        columns: [id, day, amount]
        targets:
          - table: trusted.transactions
            columns:
              transaction_id: id
              account_id: "'a'"
              transacted_on: "try_to_date(day, 'yyyy-MM-dd')"
              direction: "'debit'"
              amount: amount
              currency: "'CNY'"
              amount_base: amount
              transaction_type: "'OTHER'"
              initiator: "'C'"
        """,
}
DELIVERED = {
    "clients/2026-11-01.csv": "no,name,phone\nc0,Old,1\n",
    "clients/2026-11-02.csv": "no,name,phone\nc1,Ann,138\nc2,Bob,139\n",
    "clients/2026-11-04.csv": "no,name,phone\nc1,Ann,137\n",
    "clients/2026-11-05.csv": "no,name,phone\nc1,Ann,137\nc4,Dan,\n",
    "clients/2026-11-06.csv": "no,name,phone\nc1,Ann,137\nc4,Dan,\n",
    "clients/2026-11-07.csv": "no,name,phone\nc1,Anna,137\nc2,Bob,139\nc3\n",
    "accounts/2026-11-02.csv": "id,state\na,open\nb,open\n",
    "accounts/2026-11-05.csv": "id,state\na,closed\n",
    "accounts/2026-11-06.csv": "id,state\na,open\n",
    "bookings/2026-10-30.csv": "id,day,amount\nt0,x,1\n",
    "bookings/2026-11-02.csv": "id,day,amount\nt1,1970-01-01,1\nt2,1970-01-01,2\nt2,1970-01-01,2\n",
    "bookings/2026-11-04.csv": "id,day,amount\nt1,1970-01-01,9\nt3,1970-01-01,3\n",
    "bookings/2026-11-05 b.csv": "id,day,amount\nt4,1970-01-01,4\n",
    "bookings/2026-11-06.csv": "id,day,amount\nt1,1970-01-01,8\nt4,1970-01-01,4\nt3,1970-01-01,3\n",
    "bookings/2026-11-08.csv": "id,day,amount\nt1,1970-01-01,8\n",
}
FIRST, LAST = date(2026, 11, 2), date(2026, 11, 7)
TABLES = (
    "trusted.customers", "trusted.identifier_observations", "trusted.accounts", "trusted.transactions",
    "landing.clients", "landing.accounts", "landing.bookings", "landing.files", "landing.loads",
    "quality.refused_rows",
)  # fmt: skip


@pytest.fixture
def make_lake(make_workspace):
    """A function that gives an empty lake whose inbox holds everything delivered."""

    def make(name: str):
        workspace = make_workspace({**FEEDS, "cdp.yml": "generate_secrets: true\n"}, name=name)
        for path, text in DELIVERED.items():
            file = workspace / "inbox" / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        return open_lake(load_settings(workspace))

    return make


@pytest.mark.slow
def test_a_history_leaves_what_its_nights_leave(make_lake):
    by_night, at_once = make_lake("by_night"), make_lake("at_once")
    summed: dict[str, dict[str, int]] = {}
    for number in range(FIRST.day, LAST.day + 1):
        for feed, counts in ingestion.ingest(by_night, date(2026, 11, number)).summary().items():
            into = summed.setdefault(feed, dict.fromkeys(counts, 0))
            summed[feed] = {key: into[key] + counts[key] for key in counts}
    assert ingest_history(at_once, FIRST, LAST).summary() == summed
    assert summed == {
        "clients": {"delivered": 8, "accepted": 7, "refused": 1, "duplicates": 0},
        "accounts": {"delivered": 4, "accepted": 4, "refused": 0, "duplicates": 0},
        # t1 is looked for three days back: found on the 4th, kept again on the 6th; t3 and t4 come again in time.
        "bookings": {"delivered": 10, "accepted": 5, "refused": 1, "duplicates": 4},
    }
    for name in TABLES:
        assert table_hash(at_once.settings, name) == table_hash(by_night.settings, name), name
    kept = at_once.read_arrow("trusted.transactions").to_pylist()
    assert sorted((r["transaction_id"], r["_arrived_on"].day) for r in kept) == [
        ("t1", 2), ("t1", 6), ("t2", 2), ("t3", 4), ("t4", 5),
    ]  # fmt: skip
    # The night after a history goes on where it ended.
    for lake in (by_night, at_once):
        assert ingestion.ingest(lake, date(2026, 11, 8)).summary()["bookings"]["duplicates"] == 1
    with pytest.raises(UsageError, match="'accounts' was loaded up to 2026-11-06"):
        ingest_history(at_once, FIRST, LAST)


def test_two_feeds_that_look_for_each_others_keys_have_no_history_in_one_pass(make_lake):
    lake = make_lake("two")
    workspace = lake.settings.workspace
    text = (
        (workspace / "feeds" / "bookings.yml")
        .read_text()
        .replace("bookings", "more")
        .replace("more/", "bookings/")
    )
    (workspace / "feeds" / "more.yml").write_text(text)
    with pytest.raises(
        InputInvalid, match=r"'bookings' and 'more' of one source both fill trusted.transactions"
    ):
        ingest_history(lake, FIRST, LAST)
