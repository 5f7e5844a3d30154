"""What was sent where, from the tables of the lake; and what an endpoint holds from us, which follows from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from delivery.endpoints.outcome import Outcome, Shipment
from lakehouse.query.desk import open_scratch
from lakehouse.query.words import literal, literals

if TYPE_CHECKING:
    import pyarrow as pa

    from lakehouse.query.desk import Relation
    from lakehouse.tables.lake import Lake

TRANSMISSIONS = "segments.transmissions"
ROWS = "segments.transmission_rows"
REJECTS = "segments.delivery_rejects"
COMPLETE = ("SENT", "PARTIAL")
WITHDRAWN = "WITHDRAWN"


# Of an attempt, whether the endpoint holds the person after it; and which attempts tell that. Who refuses a person has not said that
# it does not hold them: it may have taken them before, by an attempt whose answer was lost.
_IS_HELD = "(NOT is_accepted OR op <> 'EXIT')"
_TELLS = "NOT is_unsent AND NOT (is_rejected AND op = 'ENTER')"


@dataclass(frozen=True)
class Books:
    """What was sent to one destination of one segment, as it concerns the ``place`` where its endpoint is now.

    An attempt that recorded no place was made at this one.
    """

    lake: Lake
    destination: str
    segment: str
    place: str | None

    def transmissions(self) -> list[dict[str, Any]]:
        """Give the attempts, oldest first."""
        rows = self._rows_of(TRANSMISSIONS).to_pylist()
        return sorted(rows, key=lambda row: row["attempt"])

    def last_run(self) -> str | None:
        """Give the run that was answered completely last at the place; None where none was."""
        others = self._attempts_elsewhere()
        runs = [
            row["run_id"]
            for row in self.transmissions()
            if row["status"] in COMPLETE and row["attempt"] not in others
        ]
        return runs[-1] if runs else None

    def next_attempt(self) -> int:
        """Give the number of the next attempt; one whose process was killed has used its number up."""
        numbers = [row["attempt"] for row in self.transmissions()]
        numbers += self._rows_of(ROWS, "attempt")["attempt"].unique().to_pylist()
        return 1 + max(numbers, default=0)

    def holdings(self) -> pa.Table:
        """Give recipient_key, row_hash, is_doubtful, run_id, op, is_held, is_rejected of each person who was ever tried.

        The last attempt that left the house decides, of those at the place. What was tried and has no answer is doubtful: it
        perhaps arrived, whatever is refused after it. What an endpoint refused to change or to remove it holds still, in a form that
        nobody knows. Who was only tried elsewhere and is held there is doubtful here: two addresses may be one system.
        """
        with open_scratch() as desk:
            rows = desk.lend("transmission_rows", self._rows_of(ROWS))
            elsewhere = f"attempt IN ({literals(sorted(self._attempts_elsewhere()) or [0])})"
            return desk.arrow(
                f"WITH {_attempts_sql(rows)},\n"
                f"left_house AS (SELECT *, {elsewhere} AS is_elsewhere FROM attempts WHERE NOT is_unsent),\n"
                f"newest AS (FROM left_house {_of_each_person('is_elsewhere, attempt DESC')}),\n"
                f"telling AS (SELECT recipient_key, {_IS_HELD} AS is_held FROM left_house WHERE {_TELLS}\n"
                f"  {_of_each_person('is_elsewhere, attempt DESC')}),\n"
                "answers AS (SELECT n.*, coalesce(t.is_held, false) AS is_held FROM newest n LEFT JOIN telling t USING (recipient_key))\n"
                "SELECT recipient_key, CASE WHEN is_accepted AND NOT is_elsewhere THEN row_hash END AS row_hash,\n"
                "  is_elsewhere OR NOT is_accepted AND (NOT is_rejected OR op = 'ENTER') AS is_doubtful, run_id, op,\n"
                "  is_rejected AND NOT is_elsewhere AS is_rejected, is_held\n"
                "FROM answers WHERE is_held OR NOT is_elsewhere"
            )

    def held_elsewhere(self) -> int:
        """Give how many people other places hold of whom nobody told them to remove them; without a place of now, all places."""
        with open_scratch() as desk:
            others = sorted(self._attempts_elsewhere())
            if not others:
                return 0
            rows = desk.lend("transmission_rows", self._rows_of(ROWS))
            places = desk.lend("places", self._place_rows(others))
            return int(
                desk.value(
                    f"WITH {_attempts_sql(rows)},\n"
                    f"newest AS (SELECT a.*, p.place FROM attempts a JOIN {places} p USING (attempt) WHERE {_TELLS}\n"
                    "  QUALIFY row_number() OVER (PARTITION BY recipient_key, p.place ORDER BY attempt DESC) = 1)\n"
                    f"SELECT count(DISTINCT recipient_key) FROM newest WHERE {_IS_HELD}"
                )
            )

    def _places(self) -> dict[int, str | None]:
        """Give the place of each attempt that was written to its end."""
        return {row["attempt"]: row["place"] for row in self.transmissions()}

    def _place_rows(self, attempts: list[int]) -> pa.Table:
        import pyarrow as pa

        places = self._places()
        columns = {
            "attempt": pa.array(attempts, pa.int32()),
            "place": pa.array([places[one] for one in attempts], pa.string()),
        }
        return pa.table(columns)

    def _attempts_elsewhere(self) -> set[int]:
        """Give the attempts at other places; those that recorded none are elsewhere only where there is no place any more."""
        here = () if self.place is None else (self.place, None)
        return {attempt for attempt, place in self._places().items() if place not in here}

    def refused_keys(self, run_id: str, op: str | None = None) -> set[str]:
        """Give the people whom the endpoint refused when it was last asked in a run; of one ``op``, those of whom it refused that."""
        others = literals(sorted(self._attempts_elsewhere()) or [0])
        with open_scratch() as desk:
            rows = desk.lend("transmission_rows", self._rows_of(ROWS))
            keys = desk.rows(
                f"WITH {_attempts_sql(rows)},\n"
                f"newest AS (FROM attempts WHERE NOT is_unsent AND run_id = {literal(run_id)} AND attempt NOT IN ({others})\n"
                f"  {_of_each_person('attempt DESC')})\n"
                f"SELECT recipient_key FROM newest WHERE is_rejected AND op = coalesce({literal(op)}, op)"
            )
        return {key for (key,) in keys}

    def begin(self, shipment: Shipment, hashes: Mapping[str, str]) -> None:
        """Write what will be tried, before anything leaves."""
        self._write_rows(shipment, hashes, 0, shipment.operations.num_rows, lambda _: "TRIED")

    def end(self, shipment: Shipment, hashes: Mapping[str, str], outcome: Outcome) -> None:
        """Write what was answered and what never left."""
        rejects = outcome.rejects
        self._write_rows(
            shipment, hashes, 0, outcome.answers, lambda key: "REJECTED" if key in rejects else "ACCEPTED"
        )
        self._write_rows(shipment, hashes, outcome.trials, shipment.operations.num_rows, lambda _: "UNSENT")

    def note(
        self,
        manifest: Mapping[str, Any],
        attempt: int,
        status: str,
        *,
        written_at: datetime,
        outcome: Outcome | None = None,
        operations: int = 0,
        withheld_keys: frozenset[str] = frozenset(),
        message: str | None = None,
    ) -> dict[str, Any]:
        """Write the attempt itself and who was rejected or withheld in it; give its row."""
        from datetime import date

        outcome = outcome or Outcome(0, 0)
        names = {
            "destination": self.destination,
            "code": self.segment,
            "attempt": attempt,
            "run_id": manifest["run_id"],
        }
        reasons = [*outcome.rejects.items(), *((key, WITHDRAWN) for key in sorted(withheld_keys))]
        self.lake.append_rows(
            REJECTS, [{**names, "recipient_key": key, "reason": why} for key, why in reasons]
        )
        row = {
            **names, "place": self.place, "as_of": date.fromisoformat(manifest["as_of"]), "seq": manifest["seq"], "status": status,
            "operations": operations, "accepted": outcome.answers - len(outcome.rejects),
            "rejected": len(outcome.rejects), "withheld": len(withheld_keys), "message": message, "tried_at": written_at,
        }  # fmt: skip
        self.lake.append_rows(TRANSMISSIONS, [row])
        return row

    def _rows_of(self, table: str, *columns: str) -> pa.Table:
        filters = [("destination", "=", self.destination), ("code", "=", self.segment)]
        return self.lake.read_arrow(table, columns=list(columns) or None, filters=filters)

    def _write_rows(
        self, shipment: Shipment, hashes: Mapping[str, str], begin: int, end: int, state: Any
    ) -> None:
        import pyarrow as pa

        piece = shipment.operations.slice(begin, end - begin)
        if not piece.num_rows:
            return
        keys = piece["recipient_key"].to_pylist()

        def same(value: object, kind: pa.DataType) -> pa.Array:
            return pa.repeat(pa.scalar(value, kind), len(keys))

        rows = {
            "destination": same(self.destination, pa.string()),
            "code": same(self.segment, pa.string()),
            "attempt": same(shipment.attempt, pa.int32()),
            "run_id": same(shipment.run_id, pa.string()),
            "recipient_key": pa.array(keys, pa.string()),
            "op": piece["op"],
            "state": pa.array([state(key) for key in keys], pa.string()),
            "row_hash": pa.array([hashes.get(key) for key in keys], pa.string()),
        }
        self.lake.append(ROWS, pa.table(rows))


def _of_each_person(order: str) -> str:
    return f"QUALIFY row_number() OVER (PARTITION BY recipient_key ORDER BY {order}) = 1"


def _attempts_sql(rows: Relation) -> str:
    """Give the part ``attempts``: a row per person and attempt, with what was answered."""
    return (
        "attempts AS (SELECT recipient_key, attempt, any_value(run_id) AS run_id, any_value(op) AS op,\n"
        "  any_value(row_hash) AS row_hash, bool_or(state = 'UNSENT') AS is_unsent,\n"
        "  bool_or(state = 'ACCEPTED') AS is_accepted, bool_or(state = 'REJECTED') AS is_rejected\n"
        f"  FROM {rows} GROUP BY ALL)"
    )
