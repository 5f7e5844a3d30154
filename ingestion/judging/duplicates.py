"""Records that say the same: equal to the letter, or rows of one key of a table.

Sorting millions of records to find the few that stand twice costs far more than reading them. So every record gets a
64-bit hash of what could be said twice, hashes that stand once are done with, and the exact comparison, by window
functions over the values themselves, sees only records whose hash another one shares. A record whose hash stands alone
shares neither text nor key with any, so its answer is known; equal hashes of different values cost time, nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa

from ingestion.feeds.feeds import Feed, key_policy
from ingestion.judging import mapping
from ingestion.judging.mapping import TableMap

# Eight bytes a record and key while they are sorted; more are grouped on disk.
MOST_SORTED = 50_000_000
DELIVERED_ORDER = "_business_date, _file, _row"


@dataclass(frozen=True)
class Records:
    """The records of a feed in DuckDB: ``records`` as delivered, ``outcome`` of each, ``mapped`` with rows and reasons."""

    feed: Feed
    maps: Sequence[TableMap]
    connection: duckdb.DuckDBPyConnection
    is_history: bool

    def run(self, statement: str) -> list[tuple[Any, ...]]:
        """Run a statement and give its rows."""
        return self.connection.execute(statement).fetchall()

    def count(self, table: str) -> int:
        """Give the number of rows."""
        return int(self.run(f"SELECT count(*) FROM {table}")[0][0])


def find_duplicates(records: Records, known: Mapping[str, str]) -> dict[str, int]:
    """Make tables of what is a duplicate; give their numbers of rows by name, and how many records are ``refused``.

    ``twins`` (records equal to an earlier one of their night), ``conflicts`` (records refused with ``reason`` because one
    delivery states their key in different ways), ``dup<k>`` (``_file, _row, _entry`` of rows whose key another row holds).
    """
    repeated = {table.index for table in records.maps if _keep_repeated(records, table)}
    _find_twins(records, repeated)
    _make_doubted(records, known, repeated)
    _find_conflicts(records)
    names = ["twins", "conflicts"]
    for table in records.maps:
        _find_key_duplicates(records, table, known.get(table.name))
        names.append(f"dup{table.index}")
    return {name: records.count(name) for name in names} | {
        "refused": records.count("outcome WHERE NOT is_ok")
    }


def _keep_several(records: Records, name: str, hashes: str) -> bool:
    """Keep the hashes that stand more than once as table ``name`` (``h``); tell whether there are any."""
    if records.count("outcome") > MOST_SORTED:
        found = f"SELECT h FROM ({hashes}) AS t(h) GROUP BY h HAVING count(*) > 1"
        records.run(f"CREATE TABLE {name} AS {found}")
        return records.count(name) > 0
    # Sorted arrays tell in a fifth of the time.
    told = records.connection.sql(hashes).to_arrow_table()
    sorted_ = np.sort(told.column(0).to_numpy())
    several = pa.table({"h": np.unique(sorted_[1:][sorted_[1:] == sorted_[:-1]])})
    records.connection.register("several_hashes", several)
    records.run(f"CREATE TABLE {name} AS FROM several_hashes")
    records.connection.unregister("several_hashes")
    return several.num_rows > 0


def _looks_back(records: Records, table: TableMap) -> int:
    """Give over how many days nights of one pass look for each other's keys."""
    is_fact = table.contract.shape == "fact"
    return records.feed.dedupe_window(table.name) if records.is_history and is_fact else 0


def make_outcome(records: Records, judged: str) -> None:
    """Keep of every record what counting and the search for doubles need, in table ``outcome``.

    That is ``_file, _row, _night, is_sure, is_ok``, its ``reasons`` if not, else ``said``, the hash of its text where that is
    asked for, and the key's hash ``h<k>_<i>`` of every row it has. ``judged`` is SQL of the mapped records with that hash.
    """
    paths = [row[0] for row in records.run("SELECT DISTINCT _file FROM records ORDER BY 1")]
    # A path costs each row two bytes instead of its text; as names of an enum they keep their order.
    listed = ", ".join("'" + path.replace("'", "''") + "'" for path in paths) or "''"
    records.run(f"CREATE TYPE path AS ENUM ({listed})")
    records.run(f"CREATE TABLE outcome AS {_outcome(records, judged)}")


def correct_outcome(records: Records, judged: str) -> None:
    """Take what ``judged`` says in place of what nobody was sure of."""
    records.run("DELETE FROM outcome WHERE NOT is_sure")
    records.run(f"INSERT INTO outcome BY NAME {_outcome(records, judged)}")


def _outcome(records: Records, judged: str) -> str:
    hashes = []
    for table in records.maps:
        # States and facts without a look back are compared within a night only.
        within = [] if _looks_back(records, table) else ["_night"]
        for i in range(len(table.entries)):
            key = mapping.hashed([*(table.place(i, name) for name in table.key), *within])
            hashes.append(f"CASE WHEN is_ok AND in{table.index}_{i} THEN {key} END AS h{table.index}_{i}")
    told = ["CASE WHEN NOT is_ok THEN reasons END AS reasons", "CASE WHEN is_ok THEN said END AS said"]
    given = ["CAST(_file AS path) AS _file", "_row", "_night", "is_sure", "is_ok", *told, *hashes]
    return f"SELECT {', '.join(given)} FROM ({judged})"


def _keys(table: TableMap) -> str:
    """Give the SQL of the keys' hashes ``h`` of a table's rows, with their records' places."""
    return " UNION ALL ".join(
        f"SELECT _file, _row, h{table.index}_{i} AS h FROM outcome WHERE h{table.index}_{i} IS NOT NULL"
        for i in range(len(table.entries))
    )


def _keep_repeated(records: Records, table: TableMap) -> bool:
    """Keep the hashes of keys that stand more than once as ``repeated<k>``; tell whether there are any."""
    return _keep_several(records, f"repeated{table.index}", f"SELECT h FROM ({_keys(table)})")


def _find_twins(records: Records, repeated: set[int]) -> None:
    records.run("CREATE TABLE twins (_file VARCHAR, _row BIGINT)")
    if records.feed.exact_duplicates == "keep":
        return
    told = mapping.telling_table(records.feed, records.maps)
    if told is not None:
        is_any, found = told.index in repeated, f"repeated{told.index} ON h{told.index}_0 = h"
    else:
        is_any = _keep_several(records, "twin_hashes", "SELECT said FROM outcome WHERE said IS NOT NULL")
        found = "twin_hashes ON said = h"
    if not is_any:
        return
    records.run(
        f"CREATE TABLE twin_rows AS SELECT CAST(_file AS VARCHAR) AS _file, _row FROM outcome SEMI JOIN {found}"
    )
    said = ", ".join(f"c{at}" for at in range(len(records.feed.columns)))
    records.run(
        f"""INSERT INTO twins SELECT _file, _row FROM (
        SELECT _file, _row, row_number() OVER (PARTITION BY {said}, _night ORDER BY {DELIVERED_ORDER}) AS n
        FROM records SEMI JOIN twin_rows USING (_file, _row)) WHERE n > 1"""
    )


def _make_doubted(records: Records, known: Mapping[str, str], repeated: set[int]) -> None:
    """Keep whole the records of which a key's hash stands more than once, or was known before."""
    records.run("CREATE TABLE doubts (_file VARCHAR, _row BIGINT)")
    for table in records.maps:
        several = f"FROM repeated{table.index}"
        if table.name in known:
            within = [] if _looks_back(records, table) else [_only_night(records)]
            told = mapping.hashed([*table.key, *within])
            several += f" UNION SELECT {told} FROM ({known[table.name]})"
        if table.name in known or table.index in repeated:
            records.run(
                f"INSERT INTO doubts SELECT _file, _row FROM ({_keys(table)}) SEMI JOIN ({several}) USING (h)"
            )
    if records.count("doubts"):
        records.run("CREATE TABLE doubted AS FROM mapped SEMI JOIN doubts USING (_file, _row)")
    else:
        records.run("CREATE TABLE doubted AS FROM mapped LIMIT 0")


def _only_night(records: Records) -> str:
    """Give the night, as SQL, of records that are all of one."""
    night = records.run("SELECT min(_night) FROM outcome")[0][0]
    return f"DATE '{night}'" if night is not None else "NULL::DATE"


def _standing(table: TableMap) -> str:
    """Give the SQL of the doubted records that stand so far and have a row of a table."""
    has = " OR ".join(f"in{table.index}_{i}" for i in range(len(table.entries)))
    return (
        f"(FROM (FROM doubted WHERE is_ok AND ({has})) ANTI JOIN twins USING (_file, _row) "
        "ANTI JOIN conflicts USING (_file, _row))"
    )


def _find_conflicts(records: Records) -> None:
    """Refuse all records of a key that one delivery states in different ways: nobody can say which is right."""
    records.run("CREATE TABLE conflicts (_file VARCHAR, _row BIGINT, reason VARCHAR)")
    for table in records.maps:
        if not table.is_single or key_policy(records.feed, table.name)[0] != "refuse":
            continue
        key = ", ".join(table.place(0, name) for name in table.key)
        row = ", ".join(f"{c.name} := {table.place(0, c.name)}" for c in table.mapped(0))
        records.run(
            f"""INSERT INTO conflicts SELECT _file, _row, 'same_key:{table.name}' FROM (
            SELECT _file, _row, count(DISTINCT struct_pack({row})) OVER (PARTITION BY {key}, _business_date) AS n
            FROM {_standing(table)}) WHERE n > 1"""
        )


def _order(feed: Feed, table: TableMap) -> str:
    """Give the order that picks one of several rows of a key; it ends in the row's place, which is unique."""
    policy, by = key_policy(feed, table.name)
    forward = f"{DELIVERED_ORDER}, _entry"
    backward = ", ".join(f"{part.strip()} DESC" for part in forward.split(","))
    stated = f"_order {'DESC' if policy == 'last' else 'ASC'} NULLS LAST, " if by else ""
    ending = backward if policy == "last" else forward
    # Of a state delivered for two days the later day is the state, whatever the rule for one day says.
    day = "_business_date DESC, " if table.contract.shape == "state" else ""
    return f"{day}{stated}{ending}"


def _find_key_duplicates(records: Records, table: TableMap, known: str | None) -> None:
    k = table.index
    records.run(f"CREATE TABLE dup{k} (_file VARCHAR, _row BIGINT, _entry INTEGER)")
    order = f"order{k} AS _order" if key_policy(records.feed, table.name)[1] else "NULL AS _order"
    rows = " UNION ALL ".join(
        f"SELECT _file, _row, _business_date, _night, {i} AS _entry, {order}, "
        + ", ".join(f"{table.place(i, name)} AS {name}" for name in table.key)
        + f" FROM {_standing(table)} WHERE in{k}_{i}"
        for i in range(len(table.entries))
    )
    keys = ", ".join(table.key)
    records.run(
        f"""CREATE OR REPLACE TABLE key_rows AS SELECT _file, _row, _entry, _night, {keys}, row_number() OVER (
        PARTITION BY {keys}, _night ORDER BY {_order(records.feed, table)}) > 1 AS is_later FROM ({rows})"""
    )
    if known is not None:
        records.run(
            f"INSERT INTO dup{k} SELECT _file, _row, _entry FROM key_rows SEMI JOIN ({known}) USING ({keys})"
        )
        records.run(f"DELETE FROM key_rows USING dup{k} AS d WHERE {_same_row('key_rows', 'd')}")
    records.run(f"INSERT INTO dup{k} SELECT _file, _row, _entry FROM key_rows WHERE is_later")
    records.run("DELETE FROM key_rows WHERE is_later")
    days = _looks_back(records, table)
    if days:
        _find_repeats(records, table, days)


def _same_row(left: str, right: str) -> str:
    return " AND ".join(f"{left}.{name} = {right}.{name}" for name in ("_file", "_row", "_entry"))


def _find_repeats(records: Records, table: TableMap, days: int) -> None:
    """Mark what a night brings again of a key that a night before it kept, within the days the feed looks back.

    A repeated row is not kept, so it hides no later one: the nights of a key are told in order.
    """
    keys = ", ".join(table.key)
    told = records.run(
        f"""SELECT * FROM (SELECT dense_rank() OVER (ORDER BY {keys}) AS n, count(*) OVER (PARTITION BY {keys}) AS c,
        _night, _file, _row, _entry FROM key_rows) WHERE c > 1 ORDER BY n, _night"""
    )
    again = []
    for _, rows in groupby(told, key=lambda row: row[0]):
        kept = None
        for row in rows:
            if kept is None or (row[2] - kept).days > days:
                kept = row[2]
            else:
                again.append(row[3:])
    if again:
        records.connection.executemany(f"INSERT INTO dup{table.index} VALUES (?, ?, ?)", again)
