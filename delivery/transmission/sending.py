"""Sending released audiences on: each that an endpoint has not answered completely, again from where it stopped.

The folder of a destination is the record of what was released. What is sent is the newest run there, if it is signed and is the one
the lake delivered, without the people who withdrew meanwhile. A destination that is down costs a bound of time and a warning.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from delivery.audience_files import read_rows
from delivery.contract.verify_audience import MANIFEST, verify_run
from delivery.destinations import Destination, destination_folder
from delivery.disclosures import DIRECTORY
from delivery.endpoints.outcome import Endpoint, EndpointFailed, Outcome, Shipment
from delivery.manifest import read_latest, read_manifest
from delivery.signature import verification_secret
from delivery.staging import recipient_key, secret_name
from delivery.standing import hours_left, standing_run
from delivery.transmission.books import Books
from delivery.transmission.changes import doubtful_holdings, hashed_rows, operations_of
from delivery.transmission.endpoints import endpoint_of
from lakehouse.errors import CdpError, StepFailed
from lakehouse.query.hashing import file_hash
from vocabulary.audience import StandingRun

if TYPE_CHECKING:
    import pyarrow as pa

    from lakehouse.tables.lake import Lake

log = logging.getLogger("cdp.segments")
AUDIENCE = "audience"

# Gives this moment, for what expires and for the rows of attempts.
Clock = Callable[[], datetime]
# Gives the people (one_id) of a run who have not withdrawn by today.
StayingPeople = Callable[[StandingRun], "pa.Table"]


@dataclass(frozen=True)
class Transmission:
    """What came of one attempt to send one audience."""

    destination: str
    segment: str
    run_id: str
    status: str
    accepted: int = 0
    rejected: int = 0
    withheld: int = 0
    message: str | None = None

    def summary(self) -> dict[str, Any]:
        """Give what a summary says of it."""
        return {key: value for key, value in vars(self).items() if value is not None}


def transmit(
    lake: Lake,
    business_date: date,
    destinations: Mapping[str, Destination],
    staying_people: StayingPeople,
    clock: Clock,
) -> tuple[Transmission, ...]:
    """Send every audience that its endpoint has not answered completely; give the attempts. Whatever fails is a warning.

    A directory is no audience, and is never sent.
    """
    rows = lake.read_arrow("segments.deliveries", columns=["destination", "code"]).to_pylist()
    transmissions = []
    for name, destination in sorted(destinations.items()):
        # Who recipients are lies in the folder, and goes over no wire.
        codes = sorted(
            {row["code"] for row in rows if row["destination"] == name and row["code"] != DIRECTORY}
        )
        if destination.endpoint is None or not codes:
            continue
        courier = _Courier(lake, name, destination, business_date, staying_people, clock)
        transmissions += [one for code in codes if (one := courier.carry(code)) is not None]
    return tuple(transmissions)


def warn_of_former_places(lake: Lake, destinations: Mapping[str, Destination]) -> None:
    """Warn of people whom an endpoint holds that ``destinations.yml`` names no more: nobody tells it when they withdraw."""
    rows = lake.read_arrow("segments.transmissions", columns=["destination", "code", "place"]).to_pylist()
    places: dict[tuple[str, str], set[str | None]] = {}
    for row in rows:
        places.setdefault((row["destination"], row["code"]), set()).add(row["place"])
    for (name, code), former in sorted(places.items()):
        destination = destinations.get(name)
        place = destination.endpoint.place if destination is not None and destination.endpoint else None
        if place is not None and former <= {place, None}:
            continue
        if number := Books(lake, name, code, place).held_elsewhere():
            log.warning(
                "%d people of segment %s stay where destination %s sent them before and can no longer be told to leave: give it that "
                "endpoint back until it is empty, or have them removed there",
                number, code, name,
            )  # fmt: skip


class _Courier:
    """Who sends the audiences of one destination, until it is down or its time is over."""

    def __init__(
        self,
        lake: Lake,
        name: str,
        destination: Destination,
        business_date: date,
        staying_people: StayingPeople,
        clock: Clock,
    ) -> None:
        self.lake, self.name, self.business_date = lake, name, business_date
        self.destination = destination
        self.staying_people = staying_people
        self.clock = clock
        self.endpoint: Endpoint = endpoint_of(lake.settings, name, destination)
        assert destination.endpoint is not None
        self.place = destination.endpoint.place
        # Only sending costs of it: to read and verify a large audience is not the destination's fault.
        self.seconds_left = destination.endpoint.give_up_after_seconds
        self.is_down = False

    def carry(self, code: str) -> Transmission | None:
        """Send one segment's newest run; None where there is nothing to send."""
        try:
            return self._carry(code)
        except CdpError as wrong:
            log.warning("the audience of segment %s was not sent to %s: %s", code, self.name, wrong)
            return Transmission(self.name, code, "", "FAILED", message=str(wrong))

    def _carry(self, code: str) -> Transmission | None:
        import pyarrow.compute as pc

        root = destination_folder(self.lake.settings, self.name, self.destination) / code
        latest = read_latest(root)
        if latest is None:
            raise StepFailed("what was released is not there", file=root)
        books = Books(self.lake, self.name, code, self.place)
        is_there = books.last_run() == latest["run_id"]
        staying = books.refused_keys(latest["run_id"], "EXIT") if is_there else set()
        if is_there and not staying:
            return None
        if datetime.fromisoformat(latest["valid_until"]) <= self.clock():
            self._warn_of_expiry(code, len(staying))
            return None
        run = root / latest["path"]
        manifest = read_manifest(run)
        if manifest.get("kind", AUDIENCE) != AUDIENCE:
            raise StepFailed("what was released there is no audience, and nothing else is sent", file=run)
        attempt = books.next_attempt()
        if self.is_down or self.seconds_left <= 0:
            return self._pend(books, manifest, attempt)
        self._require_released(run)
        try:
            holdings = self._holdings(books, manifest)
        except EndpointFailed as wrong:
            self.is_down = wrong.is_down
            outcome = Outcome(0, 0, failure=str(wrong))
            row = books.note(
                manifest, attempt, "FAILED", written_at=self.clock(), outcome=outcome, message=str(wrong)
            )
            return self._say(row)
        people, withheld_keys = self._people(run, manifest)
        operations = operations_of(
            people, holdings, run_id=manifest["run_id"], news=_news(run, manifest, books.last_run())
        )
        if is_there:
            operations = operations.filter(pc.equal(operations["op"], "EXIT"))
        hashes = dict(zip(people["recipient_key"].to_pylist(), people["row_hash"].to_pylist(), strict=True))
        held_keys = _held_keys(holdings)
        shipment = Shipment(manifest, file_hash(run / MANIFEST), attempt, operations, held_keys)
        books.begin(shipment, hashes)
        began = time.monotonic()
        outcome = self.endpoint.send(shipment, deadline=began + self.seconds_left)
        self.seconds_left -= time.monotonic() - began
        books.end(shipment, hashes, outcome)
        self.is_down = outcome.is_down
        rejects = books.refused_keys(manifest["run_id"])
        status = "FAILED" if outcome.failure else "PARTIAL" if rejects else "SENT"
        row = books.note(
            manifest, attempt, status, written_at=self.clock(), outcome=outcome, operations=operations.num_rows,
            withheld_keys=withheld_keys, message=outcome.failure,
        )  # fmt: skip
        return self._say(row)

    def _warn_of_expiry(self, code: str, staying: int) -> None:
        if staying:
            log.warning(
                "%d people who left the audience of segment %s are still held by %s, which refused to remove them until it expired: have "
                "them removed there, or publish the segment again",
                staying, code, self.name,
            )  # fmt: skip
        else:
            log.warning("the audience of segment %s for %s expired before it was sent", code, self.name)

    def _holdings(self, books: Books, manifest: Mapping[str, Any]) -> pa.Table:
        """Give what the endpoint holds by the books; all of it is in doubt where the endpoint has lost what was sent."""
        holdings = books.holdings()
        if not holdings.num_rows or self.endpoint.keeps(manifest):
            return holdings
        log.warning(
            "%s no longer has what was sent there of segment %s: all of it is sent again",
            self.name,
            books.segment,
        )
        return doubtful_holdings(holdings)

    def _pend(self, books: Books, manifest: Mapping[str, Any], attempt: int) -> Transmission:
        message = "the destination was down or its time was over"
        return self._say(books.note(manifest, attempt, "PENDING", written_at=self.clock(), message=message))

    def _say(self, row: Mapping[str, Any]) -> Transmission:
        status, code = row["status"], row["code"]
        if status in ("FAILED", "PENDING"):
            log.warning(
                "the audience of segment %s is not all at %s: %s; it goes on with the next night or with cdp deliver",
                code, self.name, row["message"],
            )  # fmt: skip
        elif status == "PARTIAL":
            log.warning(
                "%s rejected %d people of segment %s; see segments.delivery_rejects",
                self.name,
                row["rejected"],
                code,
            )
        else:
            log.info("audience %s sent to %s: %d changes", code, self.name, row["accepted"])
        names = ("destination", "run_id", "status", "accepted", "rejected", "withheld", "message")
        return Transmission(segment=code, **{name: row[name] for name in names})

    def _require_released(self, run: Path) -> None:
        """Refuse a run that its signature does not cover, or that is not the one the lake delivered."""
        key = self.lake.settings.secret(verification_secret(self.name))
        failures = verify_run(run, keys=lambda _: key).failures
        if failures:
            raise StepFailed(f"the released audience no longer verifies: {failures[0]}", file=run)
        rows = self.lake.read_arrow(
            "segments.deliveries", columns=["manifest_sha256"],
            filters=[("destination", "=", self.name), ("run_id", "=", read_manifest(run)["run_id"])],
        ).to_pylist()  # fmt: skip
        if [row["manifest_sha256"] for row in rows] != [file_hash(run / MANIFEST)]:
            raise StepFailed("the released audience is not the one that the lake delivered", file=run)

    def _people(self, run: Path, manifest: Mapping[str, Any]) -> tuple[pa.Table, frozenset[str]]:
        """Give the rows that may be sent, with their hash, and the keys of the people who withdrew."""
        import pyarrow as pa

        last_day = date.fromisoformat(manifest["as_of"])
        day = max(self.business_date, last_day)
        # An audience that has not expired is used on this day at least.
        hours = max(1, hours_left(manifest["valid_until"], day, self.lake.settings.zone))
        standing = standing_run(self.lake, run, self.name, day, hours)
        people = self.staying_people(standing)
        secret = self.lake.settings.secret(secret_name(self.name))

        def keys(rows: pa.Table) -> list[str]:
            return [recipient_key(secret, one_id) for one_id in rows["one_id"].to_pylist()]

        columns = {name: people[name] for name in people.column_names if name != "one_id"}
        rows = pa.table({"recipient_key": pa.array(keys(people), pa.string()), **columns})
        everybody = read_rows(run / "snapshot", manifest["format"])["recipient_key"].to_pylist()
        all_keys = {key.strip('"') for key in everybody}
        return hashed_rows(rows), frozenset(all_keys - set(rows["recipient_key"].to_pylist()))


def _held_keys(holdings: pa.Table) -> frozenset[str]:
    return frozenset(holdings.filter(holdings["is_held"])["recipient_key"].to_pylist())


def _news(run: Path, manifest: Mapping[str, Any], last_run: str | None) -> pa.Table | None:
    """Give whose change is news since the run that the endpoint has; None where that is not the run before."""
    import pyarrow as pa

    if "delta" not in manifest["mode"] or last_run is None or manifest["previous_run_id"] != last_run:
        return None
    keys = read_rows(run / "delta", manifest["format"])["recipient_key"].to_pylist()
    return pa.table({"recipient_key": pa.array([key.strip('"') for key in keys], pa.string())})
