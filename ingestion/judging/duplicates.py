"""Records that say the same: equal to the letter, or rows of one key of a table.

Sorting millions of records to find the few that stand twice costs far more than reading them. So every record gets a
64-bit hash of what could be said twice, hashes that stand once need no further look, and the exact comparison, by window
functions over the values themselves, sees only records whose hash another one shares. A record whose hash stands alone
shares neither text nor key with any; equal hashes of different values cost time, nothing else.

Hashes are compared by an engine (``lakehouse.engine``), in words that both know: by DuckDB at the desk of the records, or by
Spark, and then the desk reads in files what the comparison leaves, which is what may be said twice.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np
import pyarrow as pa

from ingestion.feeds.feeds import Feed, key_policy
from ingestion.judging import mapping
from ingestion.judging.mapping import TableMap
from ingestion.records.record_files import numbered_columns
from lakehouse.engine.engine import Engine, Rows
from lakehouse.query.desk import Desk, Relation
from lakehouse.query.words import literal, literals

# Of DuckDB: eight bytes a record and key while they are sorted; more are grouped on disk.
MOST_SORTED = 50_000_000
# Nights of keys, read in order, that are Python's values at a time.
NIGHTS_AT_ONCE = 65_536
DELIVERED_ORDER = "_business_date, _file, _row"
_PLACE = "CAST(NULL AS VARCHAR) AS _file, CAST(NULL AS BIGINT) AS _row"
_REPEATED_ROWS = pa.schema([("_file", pa.string()), ("_row", pa.int64()), ("_entry", pa.int32())])


@dataclass(frozen=True)
class Records:
    """The records of a feed at a desk, in three relations of one row per record; ``_file, _row`` is their key.

    ``delivered_records``: as read (``RecordFiles.sql``). ``outcome``: the few bytes that counting and the search for duplicates
    need (``outcome_sql``). ``mapped_records``: a view, computed at every use, of the typed columns of every table, ``is_ok`` and
    ``reasons`` (``ingestion.judging.mapping``).
    """

    feed: Feed
    maps: Sequence[TableMap]
    is_history: bool
    delivered_records: Relation
    outcome: Relation
    mapped_records: Relation


@dataclass(frozen=True)
class HashedRecords:
    """The records of a feed at the engine that compares hashes: what ``Records`` calls ``outcome`` and ``mapped_records``.

    At the engine duckdb these are the relations themselves.
    """

    engine: Engine
    outcome: Rows
    mapped_records: Rows


@dataclass(frozen=True)
class Duplicates:
    """Records that do not become rows though nothing in them is wrong. A relation without rows is None.

    ``twins`` (``_file, _row``): records equal to an earlier one of their night. ``conflicts`` (``_file, _row, reason``):
    records that are refused because they name what another table does not hold, or because one delivery states their key in
    different ways. ``repeated_rows``
    (``_file, _row, _entry``), by the index of a table: rows whose key another row has.
    """

    twins: Relation | None
    conflicts: Relation | None
    repeated_rows: Mapping[int, Relation | None]

    @property
    def without_rows(self) -> list[Relation]:
        """The records that become no row of any table."""
        return [relation for relation in (self.twins, self.conflicts) if relation is not None]


def outcome_sql(
    engine: Engine, feed: Feed, maps: Sequence[TableMap], judged: str, *, is_history: bool, file: str
) -> str:
    """Give SQL, for an engine, of what is kept of every record of ``judged``, one row each.

    Columns: ``_file, _row, _night, is_sure, is_ok``, its ``reasons`` if it is refused, else its ``losses`` and ``text_hash``
    where twins are looked for by it, and ``h<k>_<i>``, the hash of the key of every row it becomes. ``judged`` is SQL of mapped records
    with ``is_sure`` and ``text_hash``; ``file`` is the SQL of how the path is kept.
    """
    hashes = []
    for table in maps:
        # States and facts without a look back are compared within a night only.
        within = [] if _days_back(feed, table, is_history) else ["_night"]
        for i in range(len(table.entries)):
            key = engine.hash_of([*(table.place(i, name) for name in table.key), *within])
            hashes.append(f"CASE WHEN is_ok AND in{table.index}_{i} THEN {key} END AS h{table.index}_{i}")
    texts = [
        "CASE WHEN NOT is_ok THEN reasons END AS reasons",
        "CASE WHEN is_ok THEN losses END AS losses",
        "CASE WHEN is_ok THEN text_hash END AS text_hash",
    ]
    columns = [f"{file} AS _file", "_row", "_night", "is_sure", "is_ok", *texts, *hashes]
    return f"SELECT {', '.join(columns)} FROM ({judged})"


def name_paths(desk: Desk, records: Relation) -> None:
    """Make the type ``path`` for an outcome at the desk: a path costs each row two bytes instead of its text.

    As names of an enum they keep their order.
    """
    paths = [path for (path,) in desk.rows(f"SELECT DISTINCT _file FROM {records} ORDER BY 1")]
    desk.run(f"CREATE TYPE path AS ENUM ({literals(paths) or literal('')})")


def find_duplicates(
    desk: Desk,
    records: Records,
    hashed: HashedRecords,
    earlier_keys: Mapping[str, str],
    known_rows: Mapping[str, str],
) -> Duplicates:
    """Find the records and rows that repeat others, and records that name what nobody knows.

    ``earlier_keys`` is SQL of the engine, by table, of the keys that earlier nights brought; ``known_rows`` is SQL of the desk
    of the rows of tables that contracts refer to.
    """
    return _Search(desk, records, hashed, earlier_keys, known_rows).duplicates()


def _days_back(feed: Feed, table: TableMap, is_history: bool) -> int:
    """Give over how many days nights of one pass look for each other's keys."""
    is_fact = table.contract.shape == "fact"
    return feed.dedupe_window(table.name) if is_history and is_fact else 0


class _Search:
    """One search for duplicates: every step keeps relations for the next."""

    def __init__(
        self,
        desk: Desk,
        records: Records,
        hashed: HashedRecords,
        earlier_keys: Mapping[str, str],
        known_rows: Mapping[str, str],
    ) -> None:
        self.desk, self.records, self.hashed, self.engine = desk, records, hashed, hashed.engine
        self.earlier_keys, self.known_rows = earlier_keys, known_rows
        self.feed, self.maps = records.feed, records.maps

    def duplicates(self) -> Duplicates:
        # The hashes of keys that stand more than once, by table.
        shared = {
            table.index: self._shared_hashes(f"SELECT h FROM ({self._keys(table)})") for table in self.maps
        }
        # The keys of earlier nights that may return, by table.
        self.returned_keys = {table.index: self._returned_keys(table) for table in self.maps}
        self.twins = self._twins(shared)
        self.doubtful = self._doubtful(shared)
        self.conflicts = self._conflicts()
        repeated = {table.index: self._if_any(self._repeated_rows(table)) for table in self.maps}
        return Duplicates(self._if_any(self.twins), self._if_any(self.conflicts), repeated)

    def _count(self, relation: Relation) -> int:
        return int(self.desk.value(f"SELECT count(*) FROM {relation}"))

    def _if_any(self, relation: Relation) -> Relation | None:
        return relation if self._count(relation) else None

    def _keep(self, label: str, sql: str) -> tuple[Rows, Relation] | None:
        """Keep rows of the engine, and give them with their relation at the desk; None if there are none."""
        rows = self.engine.keep(label, sql)
        relation = self.engine.at_desk(rows, self.desk)
        return (rows, relation) if self._count(relation) else None

    def _shared_hashes(self, hashes: str) -> Rows | None:
        """Keep the hashes ``h`` that stand more than once; None if there are none."""
        if self.engine.name == "duckdb" and self._count(self.records.outcome) <= MOST_SORTED:
            # Sorted arrays tell in a fifth of the time.
            values = np.sort(self.desk.arrow(hashes).column(0).to_numpy())
            shared = np.unique(values[1:][values[1:] == values[:-1]])
            return self.engine.take("shared_hashes", pa.table({"h": shared})) if len(shared) else None
        sql = f"SELECT h FROM ({hashes}) AS t(h) GROUP BY h HAVING count(*) > 1"
        rows = self._keep("shared_hashes", sql)
        return None if rows is None else rows[0]

    def _keys(self, table: TableMap) -> str:
        """Give the SQL of the keys' hashes ``h`` of a table's rows, with their records' places."""
        hashes = [f"h{table.index}_{i}" for i in range(len(table.entries))]
        outcome = self.hashed.outcome
        return " UNION ALL ".join(
            f"SELECT _file, _row, {h} AS h FROM {outcome} WHERE {h} IS NOT NULL" for h in hashes
        )

    def _hash_of_key(self, table: TableMap) -> str:
        """Give the SQL of the hash of an earlier night's key, as a record of this pass has it."""
        days = _days_back(self.feed, table, self.records.is_history)
        return self.engine.hash_of([*table.key, *([] if days else [self._only_night()])])

    def _returned_keys(self, table: TableMap) -> tuple[Rows, Relation] | None:
        """Keep the keys of earlier nights whose hash a record of this pass has; None if there are none."""
        earlier = self.earlier_keys.get(table.name)
        if earlier is None:
            return None
        sql = f"SELECT *, {self._hash_of_key(table)} AS h FROM ({earlier})"
        return self._keep(
            "returned_keys",
            f"SELECT DISTINCT {', '.join(table.key)} FROM ({sql}) SEMI JOIN ({self._keys(table)}) USING (h)",
        )

    def _twins(self, shared: Mapping[int, Rows | None]) -> Relation:
        """Keep ``_file, _row`` of records equal to an earlier one of their night."""
        empty = f"SELECT {_PLACE} LIMIT 0"
        if self.feed.exact_duplicates == "keep":
            return self.desk.keep("twins", empty)
        identifying = mapping.identifying_table(self.feed, self.maps)
        if identifying is not None:
            hashes, column = shared[identifying.index], f"h{identifying.index}_0"
        else:
            sql = f"SELECT text_hash FROM {self.hashed.outcome} WHERE text_hash IS NOT NULL"
            hashes, column = self._shared_hashes(sql), "text_hash"
        if hashes is None:
            return self.desk.keep("twins", empty)
        rows = self.engine.keep(
            "possible_twins",
            f"SELECT CAST(_file AS STRING) AS _file, _row FROM {self.hashed.outcome} SEMI JOIN {hashes} ON {column} = h",
        )
        candidates = self.engine.at_desk(rows, self.desk)
        text = ", ".join(numbered_columns(self.feed))
        return self.desk.keep(
            "twins",
            f"""SELECT _file, _row FROM (
            SELECT _file, _row, row_number() OVER (PARTITION BY {text}, _night ORDER BY {DELIVERED_ORDER}) AS n
            FROM {self.records.delivered_records} SEMI JOIN {candidates} USING (_file, _row)) WHERE n > 1""",
        )

    def _doubtful(self, shared: Mapping[int, Rows | None]) -> Relation:
        """Keep the mapped records of which a key's hash stands more than once, or stood in an earlier night."""
        places = []
        for table in self.maps:
            hashes, again = shared[table.index], self.returned_keys[table.index]
            parts = [f"SELECT h FROM {hashes}"] if hashes is not None else []
            if again is not None:
                parts.append(f"SELECT {self._hash_of_key(table)} AS h FROM {again[0]}")
            if parts:
                places.append(
                    f"SELECT _file, _row FROM ({self._keys(table)}) SEMI JOIN ({' UNION '.join(parts)}) USING (h)"
                )
        doubts = self._keep("doubts", " UNION ALL ".join(places)) if places else None
        if doubts is None:
            return self.desk.keep("doubtful", f"FROM {self.records.mapped_records} LIMIT 0")
        sql = f"SELECT * FROM {self.hashed.mapped_records} SEMI JOIN {doubts[0]} USING (_file, _row)"
        return self.engine.at_desk(self.engine.keep("doubtful", sql), self.desk)

    def _only_night(self) -> str:
        """Give the night, as SQL, of records that are all of one."""
        night = self.desk.value(f"SELECT min(_night) FROM {self.records.outcome}")
        return literal(night) if night is not None else "CAST(NULL AS DATE)"

    def _standing(self, table: TableMap) -> str:
        """Give the SQL of the doubtful records that stand so far and become a row of a table."""
        has = " OR ".join(f"in{table.index}_{i}" for i in range(len(table.entries)))
        return (
            f"(FROM (FROM {self.doubtful} WHERE is_ok AND ({has})) ANTI JOIN {self.twins} USING (_file, _row) "
            f"ANTI JOIN {self.conflicts} USING (_file, _row))"
        )

    def _conflicts(self) -> Relation:
        """Keep records that name what nobody knows, and all of a key that one delivery states in different ways."""
        unknown = self._unknown_references()
        nothing = f"SELECT {_PLACE}, CAST(NULL AS VARCHAR) AS reason LIMIT 0"
        self.conflicts = self.desk.keep("conflicts", unknown or nothing)
        for table in self.maps:
            if not table.is_single or key_policy(self.feed, table.name)[0] != "refuse":
                continue
            key = ", ".join(table.place(0, name) for name in table.key)
            row = ", ".join(f"{c.name} := {table.place(0, c.name)}" for c in table.mapped_columns(0))
            self.desk.extend(
                self.conflicts,
                f"""SELECT _file, _row, 'same_key:{table.name}' FROM (
                SELECT _file, _row, count(DISTINCT struct_pack({row})) OVER (PARTITION BY {key}, _business_date) AS n
                FROM {self._standing(table)}) WHERE n > 1""",
            )
        return self.conflicts

    def _unknown_references(self) -> str | None:
        """Give SQL of the records that refer to rows another table did not hold before their night, each with one reason."""
        parts = []
        for table in self.maps:
            for at, reference in enumerate(table.contract.references):
                rows_known = self.known_rows.get(reference.table)
                for i in range(len(table.entries)) if rows_known is not None else ():
                    same = " AND ".join(
                        f"known.{name} = r.{table.place(i, name)}" for name in reference.columns
                    )
                    parts.append(
                        f"SELECT _file, _row, {at} AS place, {literal(reference.reason)} AS reason\n"
                        f"FROM (FROM {self.records.mapped_records} WHERE is_ok AND in{table.index}_{i}) r\n"
                        f"WHERE NOT EXISTS (FROM ({rows_known}) known WHERE {same}\n"
                        f"  AND (known.{reference.before} IS NULL OR known.{reference.before} < r._night))"
                    )
        if not parts:
            return None
        return (
            f"SELECT _file, _row, arg_min(reason, place) AS reason FROM ({' UNION ALL '.join(parts)})\n"
            f"ANTI JOIN {self.twins} USING (_file, _row) GROUP BY _file, _row"
        )

    def _repeated_rows(self, table: TableMap) -> Relation:
        """Keep ``_file, _row, _entry`` of the rows of a table whose key another row has."""
        k = table.index
        repeated = self.desk.keep(
            f"repeated_rows{k}", f"SELECT {_PLACE}, CAST(NULL AS INTEGER) AS _entry LIMIT 0"
        )
        order = f"order{k} AS _order" if key_policy(self.feed, table.name)[1] else "NULL AS _order"
        rows = " UNION ALL ".join(
            f"SELECT _file, _row, _business_date, _night, {i} AS _entry, {order}, "
            + ", ".join(f"{table.place(i, name)} AS {name}" for name in table.key)
            + f" FROM {self._standing(table)} WHERE in{k}_{i}"
            for i in range(len(table.entries))
        )
        keys = ", ".join(table.key)
        key_rows = self.desk.keep(
            f"key_rows{k}",
            f"""SELECT _file, _row, _entry, _night, {keys}, row_number() OVER (
            PARTITION BY {keys}, _night ORDER BY {_order(self.feed, table)}) > 1 AS is_later FROM ({rows})""",
        )
        returned_keys = self.returned_keys[k]
        if returned_keys is not None:
            self.desk.extend(
                repeated,
                f"SELECT _file, _row, _entry FROM {key_rows} SEMI JOIN {returned_keys[1]} USING ({keys})",
            )
            same = " AND ".join(f"{key_rows}.{name} = d.{name}" for name in ("_file", "_row", "_entry"))
            self.desk.run(f"DELETE FROM {key_rows} USING {repeated} AS d WHERE {same}")
        self.desk.extend(repeated, f"SELECT _file, _row, _entry FROM {key_rows} WHERE is_later")
        days = _days_back(self.feed, table, self.records.is_history)
        if days:
            again = self.desk.lend("again", self._rows_again(table, key_rows, days))
            self.desk.extend(repeated, f"SELECT _file, _row, _entry FROM {again}")
        self.desk.drop(key_rows)
        return repeated

    def _rows_again(self, table: TableMap, key_rows: Relation, days: int) -> pa.Table:
        """Give what a night brings again of a key that a night before it brought, within the days the feed looks back.

        A repeated row does not count as brought, so it hides no later one: the nights of a key are read in order.
        """
        keys = ", ".join(table.key)
        batches = self.desk.reader(
            f"""SELECT n, _night, _file, _row, _entry FROM (
            SELECT *, dense_rank() OVER (ORDER BY {keys}) AS n, count(*) OVER (PARTITION BY {keys}) AS c
            FROM {key_rows} WHERE NOT is_later) WHERE c > 1 ORDER BY n, _night""",
            NIGHTS_AT_ONCE,
        )
        again: list[pa.Table] = []
        key, last = 0, date.min
        for batch in batches:
            places = []
            for n, night, *place in zip(*(column.to_pylist() for column in batch.columns), strict=True):
                if n != key or (night - last).days > days:
                    key, last = n, night
                else:
                    places.append(dict(zip(_REPEATED_ROWS.names, place, strict=True)))
            again.append(pa.Table.from_pylist(places, schema=_REPEATED_ROWS))
        return pa.concat_tables([_REPEATED_ROWS.empty_table(), *again])


def _order(feed: Feed, table: TableMap) -> str:
    """Give the order that picks one of several rows of a key; it ends in the row's place, which is unique."""
    policy, by = key_policy(feed, table.name)
    forward = f"{DELIVERED_ORDER}, _entry"
    backward = ", ".join(f"{part.strip()} DESC" for part in forward.split(","))
    by_expression = f"_order {'DESC' if policy == 'last' else 'ASC'} NULLS LAST, " if by else ""
    ending = backward if policy == "last" else forward
    # Of a state delivered for two days the later day is the state, whatever the rule for one day says.
    day = "_business_date DESC, " if table.contract.shape == "state" else ""
    return f"{day}{by_expression}{ending}"
