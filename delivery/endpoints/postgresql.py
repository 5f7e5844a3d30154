"""Sending operations to a table of a PostgreSQL database, in transactions that also write how far they came.

Each segment has a table of its name in the schema of the destination, with a row for each person: recipient_key, the published
columns, and the run that set the row. ``_cdp_audiences`` beside it has a row for each table: whose it is, the run it was brought
to, and the last batch with its answer. So a batch whose answer was lost is found there, and a table of somebody else is left alone.
"""

from __future__ import annotations

import json
import math
import re
import socket
import ssl
import struct
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pg8000.native import Connection, DatabaseError, Error
from scramp import ScramException

from delivery.endpoints.batches import Row, finite, insist, send_batches
from delivery.endpoints.networks import resolve_host
from delivery.endpoints.outcome import CODE, EndpointFailed, Outcome, Shipment
from delivery.endpoints.settings import MOST_NAME_BYTES, PostgresqlSettings
from lakehouse.query.words import identifier

AUDIENCES = "_cdp_audiences"
# Column → type, as PostgreSQL writes it. The first column is the key of its table.
AUDIENCE_COLUMNS = {
    "segment": "text", "destination": "text", "key_id": "text", "version": "text", "purpose": "text", "run_id": "text",
    "seq": "bigint", "as_of": "date", "valid_until": "timestamp with time zone", "manifest_sha256": "text",
    "is_complete": "boolean", "people": "bigint", "attempt": "bigint", "batch": "bigint", "rejects": "text",
    "written_at": "timestamp with time zone",
}  # fmt: skip
KEY = "recipient_key"
RUN = "_run_id"
_TYPES = {
    "string": "text", "int": "integer", "bigint": "bigint", "double": "double precision", "boolean": "boolean", "date": "date",
}  # fmt: skip
# Refusals of a row by what the database's team demands of it: data, integrity, its own triggers, views with a check.
_ROW_CLASSES = ("22", "23", "44")
_TRIGGER = "P0001"
_CODES = {
    "23502": "NOT_NULL_VIOLATION", "23503": "FOREIGN_KEY_VIOLATION", "23505": "UNIQUE_VIOLATION", "23514": "CHECK_VIOLATION",
    "23P01": "EXCLUSION_VIOLATION", _TRIGGER: "REFUSED_BY_TRIGGER",
}  # fmt: skip
NOT_STORED = "NOT_STORED"
NOT_REMOVED = "NOT_REMOVED"
_REASONS = {
    "25006": "it is read-only", "28000": "it does not let the user in", "28P01": "it refused the user or the password",
    "3D000": "it has no such database", "3F000": "it has no such schema", "42501": "the user may not do that there",
    "53100": "its disk is full", "53300": "it has no connection left", "57014": "it took too long",
}  # fmt: skip
# Answers after which the same may be taken a moment later: connections, locks, room, a restart.
_PASSING_CLASSES = ("08", "40", "53", "57", "58")
_LOCK = "55P03"
# After these nothing else can be sent there now either.
_DOWN_CLASSES = ("08", "25", "28", "3D", "53", "57", "58", "XX")


@dataclass(frozen=True)
class PostgresqlEndpoint:
    """A schema of a PostgreSQL database, with the password of the user who writes there."""

    settings: PostgresqlSettings
    password: bytes = field(repr=False)
    certificates: Path | None = None

    def keeps(self, manifest: Mapping[str, Any]) -> bool:
        """Tell whether the table of a segment is there with as many rows as it had when it was complete."""
        table = _Table(self.settings.schema_name, manifest)
        with _Session(self) as session, session.transaction() as connection:
            return table.is_intact(connection)

    def send(self, shipment: Shipment, *, deadline: float) -> Outcome:
        """Send the operations, a transaction for each batch; see ``delivery.endpoints.outcome.Endpoint``."""
        outcome = Outcome(0, 0)
        with _Session(self) as session:

            def prepare() -> None:
                with session.transaction() as connection:
                    table.prepare(connection, shipment)

            def take(number: int, rows: list[Row]) -> Mapping[str, str]:
                with session.transaction() as connection:
                    return table.take(connection, shipment, number, rows)

            def complete() -> None:
                with session.transaction() as connection:
                    table.complete(connection, shipment)

            try:
                table = _Table(self.settings.schema_name, shipment.manifest)
                insist(prepare, deadline=deadline)
                outcome = send_batches(shipment, self.settings.batch_rows, take, deadline=deadline)
                if outcome.failure is None:
                    insist(complete, deadline=deadline)
            except EndpointFailed as wrong:
                return replace(outcome, failure=str(wrong), is_down=wrong.is_down)
        return outcome


class _Session:
    """A connection that is opened when it is needed and given up after every failure; each transaction has a bound in time."""

    def __init__(self, endpoint: PostgresqlEndpoint) -> None:
        self.endpoint = endpoint
        self.connection: Connection | None = None
        self.wire: socket.socket | None = None

    def __enter__(self) -> _Session:
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """Give a connection in a transaction that is committed at the end; what fails raises ``EndpointFailed``."""
        expiry = threading.Timer(self.endpoint.settings.timeout_seconds, self._cut)
        expiry.daemon = True
        expiry.start()
        is_done = False
        try:
            connection = self.connection or self._connect()
            milliseconds = math.ceil(1000 * self.endpoint.settings.timeout_seconds)
            # Of this transaction alone, since poolers hand a connection on. Constraints that wait for the end name no row.
            connection.run(
                f"BEGIN; SET LOCAL statement_timeout = {milliseconds}; "
                f"SET LOCAL idle_in_transaction_session_timeout = {milliseconds}; SET CONSTRAINTS ALL IMMEDIATE"
            )
            yield connection
            connection.run("COMMIT")
            is_done = True
        except ssl.SSLError:
            raise EndpointFailed(
                "its certificate is not one that we trust", is_final=True, is_down=True
            ) from None
        except DatabaseError as wrong:
            raise _failure(_state(wrong)) from None
        except (Error, OSError, ValueError, LookupError, struct.error, ScramException) as wrong:
            if "refuses SSL" in str(wrong):
                raise EndpointFailed(
                    "it offers no TLS; set plain_connection: true where the network itself is protected",
                    is_final=True,
                    is_down=True,
                ) from None
            raise EndpointFailed(f"it did not answer ({type(wrong).__name__})", is_down=True) from None
        finally:
            expiry.cancel()
            if not is_done:
                self._close()

    def _close(self) -> None:
        wire, connection, self.wire, self.connection = self.wire, self.connection, None, None
        try:
            if connection is not None:
                connection.close()
        except (Error, OSError, ValueError):
            return
        finally:
            if wire is not None:
                wire.close()

    def _connect(self) -> Connection:
        settings = self.endpoint.settings
        limit = settings.timeout_seconds
        address = resolve_host(settings.host, settings.port, settings.networks)
        raw = socket.create_connection((address, settings.port), timeout=limit)
        # The library wraps the socket it is given; this one stays ours, so that waiting can be ended from outside.
        self.wire = raw.dup()
        try:
            self.connection = Connection(
                settings.user,
                host=settings.host,
                database=settings.database,
                password=self.endpoint.password,
                ssl_context=False if settings.plain_connection else self._trust(),
                application_name="oneid-cdp",
                sock=raw,
            )
        except BaseException:
            raw.close()
            raise
        return self.connection

    def _trust(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=self.endpoint.certificates)

    def _cut(self) -> None:
        """End what the connection waits for, whatever it waits for."""
        wire = self.wire
        if wire is None:
            return
        try:
            wire.shutdown(socket.SHUT_RDWR)
        except OSError:
            return


class _Table:
    """The table of one segment and its row in the table of audiences."""

    def __init__(self, schema_name: str, manifest: Mapping[str, Any]) -> None:
        self.manifest = manifest
        self.schema_name = schema_name
        self.segment = str(manifest["segment"])
        self.audiences = f"{identifier(schema_name)}.{identifier(AUDIENCES)}"
        self.name = f"{identifier(schema_name)}.{identifier(self.segment)}"
        published = {column["name"]: column["type"] for column in manifest["schema"] if column["name"] != KEY}
        self.values = {name: _type(name, kind) for name, kind in published.items()}
        self.columns = {KEY: "text", **self.values, RUN: "text"}

    def is_intact(self, connection: Connection) -> bool:
        """Tell whether the table is there, is ours, and has the rows that it had."""
        for name in (AUDIENCES, self.segment):
            if not _columns_of(connection, self.schema_name, name):
                return False
        row = self._own_row(connection)
        if row is None:
            return False
        return not row["is_complete"] or row["people"] == self._count(connection)

    def prepare(self, connection: Connection, shipment: Shipment) -> None:
        """Make the tables, or require them as they must be, and take the table of the segment for ours where it is empty."""
        for name in self.columns:
            if len(name.encode()) > MOST_NAME_BYTES:
                raise EndpointFailed(
                    f"the column {name} has a longer name than a column of PostgreSQL can have", is_final=True
                )
        if len(self.segment.encode()) > MOST_NAME_BYTES:
            raise EndpointFailed(
                "the segment has a longer name than a table of PostgreSQL can have", is_final=True
            )
        _require_table(connection, self.schema_name, AUDIENCES, AUDIENCE_COLUMNS)
        is_new = _require_table(connection, self.schema_name, self.segment, self.columns)
        row = self._own_row(connection, lock=True)
        if row is None:
            if not is_new and self._count(connection):
                raise EndpointFailed(
                    f"the table {self.segment} has rows that did not come from here; name another schema, or have it emptied",
                    is_final=True,
                )
            connection.run(
                f"INSERT INTO {self.audiences} (segment, destination, key_id, is_complete, attempt, batch, written_at) "
                "VALUES (:segment, :destination, :key_id, false, 0, 0, CURRENT_TIMESTAMP)",
                segment=self.segment,
                destination=self.manifest["destination"],
                key_id=self._key_id(),
            )
        elif row["attempt"] > shipment.attempt:
            raise EndpointFailed(
                f"the table {self.segment} was filled by a later attempt than the lake knows of; where an earlier lake was restored, "
                f"have the table and its row in {AUDIENCES} removed",
                is_final=True,
            )

    def take(
        self, connection: Connection, shipment: Shipment, number: int, rows: Sequence[Row]
    ) -> Mapping[str, str]:
        """Give the codes of the rows of a batch that were not taken; of one that was committed before, those of then."""
        row = self._own_row(connection, lock=True)
        if row is None or row["attempt"] > shipment.attempt:
            raise EndpointFailed(
                f"the row of {self.segment} in {AUDIENCES} was changed meanwhile", is_final=True
            )
        if (row["attempt"], row["batch"]) == (shipment.attempt, number):
            return _remembered_rejects(row["rejects"], {one[KEY] for one in rows})
        rejects = self._apply(connection, rows)
        self._note(connection, shipment, number, rejects)
        return rejects

    def complete(self, connection: Connection, shipment: Shipment) -> None:
        """Say in the table of audiences that all rows of the run were answered, and how many there are."""
        row = self._own_row(connection, lock=True)
        if row is None or row["attempt"] > shipment.attempt:
            raise EndpointFailed(
                f"the row of {self.segment} in {AUDIENCES} was changed meanwhile", is_final=True
            )
        self._note(connection, shipment, 0, {}, people=self._count(connection))

    def _apply(self, connection: Connection, rows: Sequence[Row]) -> dict[str, str]:
        """Give recipient_key → code of the rows that the database refuses; the others are written.

        Rows that are refused together are tried in halves, until each one that is refused stands alone.
        """
        connection.run("SAVEPOINT rows")
        try:
            return self._write(connection, rows)
        except DatabaseError as wrong:
            state = _state(wrong)
            if state[:2] not in _ROW_CLASSES and state != _TRIGGER:
                raise
        connection.run("ROLLBACK TO SAVEPOINT rows")
        if len(rows) == 1:
            return {rows[0][KEY]: _CODES.get(state, f"SQLSTATE_{state}")}
        middle = len(rows) // 2
        return self._apply(connection, rows[:middle]) | self._apply(connection, rows[middle:])

    def _write(self, connection: Connection, rows: Sequence[Row]) -> dict[str, str]:
        """Remove who leaves, set who stays; give the code of what the database left as it was without saying so."""
        leavers = json.dumps([row[KEY] for row in rows if row["op"] == "EXIT"])
        people = [row for row in rows if row["op"] != "EXIT"]
        keys = json.dumps([row[KEY] for row in people])
        key = identifier(KEY)
        connection.run(
            f"DELETE FROM {self.name} WHERE {key} IN (SELECT json_array_elements_text(CAST(:keys AS json)))",
            keys=leavers,
        )
        connection.run(
            self._upsert(),
            rows=json.dumps(
                [{name: finite(cell) for name, cell in row.items()} for row in people],
                ensure_ascii=False,
                allow_nan=False,
            ),
            run_id=str(self.manifest["run_id"]),
        )
        remaining = connection.run(
            f"SELECT {key} FROM {self.name} WHERE {key} IN (SELECT json_array_elements_text(CAST(:keys AS json)))",
            keys=leavers,
        )
        missing = connection.run(
            "SELECT k FROM json_array_elements_text(CAST(:keys AS json)) AS k "
            f"WHERE NOT EXISTS (SELECT FROM {self.name} AS t WHERE t.{key} = k)",
            keys=keys,
        )
        return {row[0]: NOT_REMOVED for row in remaining} | {row[0]: NOT_STORED for row in missing}

    def _upsert(self) -> str:
        """Give the statement that sets rows; one that has the values already stays as it is, with the run that set it."""
        names = [identifier(name) for name in self.columns]
        shape = ", ".join(f"{identifier(name)} {kind}" for name, kind in self.columns.items() if name != RUN)
        values = [f"x.{identifier(name)}" for name in self.columns if name != RUN]
        changes = "DO NOTHING"
        if self.values:
            own = ", ".join(f"t.{identifier(name)}" for name in self.values)
            others = ", ".join(f"EXCLUDED.{identifier(name)}" for name in self.values)
            sets = ", ".join(
                f"{identifier(name)} = EXCLUDED.{identifier(name)}" for name in [*self.values, RUN]
            )
            changes = f"DO UPDATE SET {sets} WHERE ROW({own}) IS DISTINCT FROM ROW({others})"
        return (
            f"INSERT INTO {self.name} AS t ({', '.join(names)}) "
            f"SELECT {', '.join(values)}, CAST(:run_id AS text) "
            f"FROM json_to_recordset(CAST(:rows AS json)) AS x({shape}) "
            f"ON CONFLICT ({identifier(KEY)}) {changes}"
        )

    def _own_row(self, connection: Connection, *, lock: bool = False) -> dict[str, Any] | None:
        """Give the row of the table of audiences; None where there is none. The row of another destination raises ``EndpointFailed``."""
        names = ("destination", "key_id", "is_complete", "people", "attempt", "batch", "rejects")
        rows = connection.run(
            f"SELECT {', '.join(names)} FROM {self.audiences} WHERE segment = :segment{' FOR UPDATE' if lock else ''}",
            segment=self.segment,
        )
        if not rows:
            return None
        row = dict(zip(names, rows[0], strict=True))
        if (row["destination"], row["key_id"]) != (self.manifest["destination"], self._key_id()):
            raise EndpointFailed(
                f"the table {self.segment} belongs to another destination, or has recipients of an earlier key; name another schema, "
                f"or have the table and its row in {AUDIENCES} removed",
                is_final=True,
            )
        return row

    def _note(
        self,
        connection: Connection,
        shipment: Shipment,
        number: int,
        rejects: Mapping[str, str],
        people: int | None = None,
    ) -> None:
        names = ("version", "purpose", "run_id", "seq", "as_of", "valid_until")
        sets = ", ".join(f"{name} = CAST(:{name} AS {AUDIENCE_COLUMNS[name]})" for name in names)
        connection.run(
            f"UPDATE {self.audiences} SET {sets}, manifest_sha256 = :manifest_sha256, is_complete = CAST(:is_complete AS boolean), "
            "people = CAST(:people AS bigint), attempt = CAST(:attempt AS bigint), batch = CAST(:batch AS bigint), "
            "rejects = :rejects, written_at = CURRENT_TIMESTAMP WHERE segment = :segment",
            **{name: str(self.manifest[name]) for name in names},
            manifest_sha256=shipment.manifest_sha256,
            is_complete=people is not None,
            people=people,
            attempt=shipment.attempt,
            batch=number,
            rejects=json.dumps(dict(rejects)),
            segment=self.segment,
        )

    def _count(self, connection: Connection) -> int:
        return int(connection.run(f"SELECT count(*) FROM {self.name}")[0][0])

    def _key_id(self) -> str:
        return str(self.manifest["key"]["key_id"])


def _remembered_rejects(text: str, keys: set[str]) -> dict[str, str]:
    """Give the answer to a batch that was committed before; one that another hand wrote raises ``EndpointFailed``."""
    try:
        rejects = json.loads(text)
    except (ValueError, RecursionError):
        rejects = None
    if isinstance(rejects, dict) and all(
        key in keys and isinstance(code, str) and CODE.fullmatch(code) for key, code in rejects.items()
    ):
        return rejects
    raise EndpointFailed(f"what {AUDIENCES} says of the last batch cannot be true", is_final=True)


def _require_table(connection: Connection, schema_name: str, name: str, columns: Mapping[str, str]) -> bool:
    """Make a table whose first column is its key, or refuse one that has other columns; tell whether it was made."""
    there = _columns_of(connection, schema_name, name)
    key = next(iter(columns))
    if not there:
        shape = ", ".join(f"{identifier(column)} {kind}" for column, kind in columns.items())
        connection.run(
            f"CREATE TABLE {identifier(schema_name)}.{identifier(name)} ({shape}, PRIMARY KEY ({identifier(key)}))"
        )
        return True
    faults = [f"{column} is missing" for column in columns if column not in there]
    faults += [f"{column} is not of the audience" for column in there if column not in columns]
    faults += [
        f"{column} is {there[column]} and must be {kind}"
        for column, kind in columns.items()
        if column in there and there[column] != kind
    ]
    if faults:
        raise EndpointFailed(
            f"the table {name} has other columns than it must have: {faults[0]}; have it altered, or name another schema",
            is_final=True,
        )
    if not _has_key(connection, schema_name, name, key):
        raise EndpointFailed(f"the table {name} needs {key} as its primary key", is_final=True)
    return False


def _columns_of(connection: Connection, schema_name: str, name: str) -> dict[str, str]:
    """Give the columns of a table with their types, nothing where there is none; a view raises ``EndpointFailed``."""
    rows = connection.run(
        "SELECT c.relkind::text, a.attname::text, format_type(a.atttypid, a.atttypmod) FROM pg_class c "
        "JOIN pg_namespace n ON n.oid = c.relnamespace "
        "LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped "
        "WHERE n.nspname = :schema_name AND c.relname = :name ORDER BY a.attnum",
        schema_name=schema_name,
        name=name,
    )
    if any(kind not in ("r", "p") for kind, _, _ in rows):
        raise EndpointFailed(f"{name} is there and is no table; name another schema", is_final=True)
    return {column or "": kind for _, column, kind in rows}


def _has_key(connection: Connection, schema_name: str, name: str, key: str) -> bool:
    rows = connection.run(
        "SELECT 1 FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid JOIN pg_namespace n ON n.oid = c.relnamespace "
        "JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = i.indkey[0] "
        "WHERE n.nspname = :schema_name AND c.relname = :name AND a.attname = :key "
        "AND i.indisprimary AND i.indisvalid AND i.indnkeyatts = 1",
        schema_name=schema_name,
        name=name,
        key=key,
    )
    return bool(rows)


def _type(name: str, kind: str) -> str:
    """Give PostgreSQL's type for one of a manifest."""
    if kind.startswith("array<"):
        return f"{_type(name, kind[6:-1])}[]"
    if match := re.fullmatch(r"decimal\((\d+),(\d+)\)", kind):
        return f"numeric({match[1]},{match[2]})"
    if kind not in _TYPES:
        raise EndpointFailed(f"the column {name} is of a type that no table can have: {kind}", is_final=True)
    return _TYPES[kind]


def _state(wrong: DatabaseError) -> str:
    """Give the code of an error, five letters or digits; what else the server says of it may hold values."""
    fields = wrong.args[0] if wrong.args and isinstance(wrong.args[0], dict) else {}
    state = str(fields.get("C", ""))
    return state if re.fullmatch(r"[0-9A-Z]{5}", state) else "XX000"


def _failure(state: str) -> EndpointFailed:
    reason = _REASONS.get(state)
    message = f"{reason} (it answered {state})" if reason else f"it answered {state}"
    is_passing = state[:2] in _PASSING_CLASSES or state == _LOCK
    return EndpointFailed(message, is_final=not is_passing, is_down=state[:2] in _DOWN_CLASSES)
