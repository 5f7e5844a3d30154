"""Sending operations batch by batch: each is answered before the next leaves, and repeated while its failure may pass."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

from delivery.audience_files import json_value
from delivery.endpoints.outcome import EndpointFailed, Outcome, Shipment

FIRST_PAUSE = 0.5
LONGEST_PAUSE = 30.0

Row = dict[str, Any]
# Gives recipient_key → code of the rows of a batch, which has a number, that were not taken.
Take = Callable[[int, list[Row]], Mapping[str, str]]
Answer = TypeVar("Answer")


def send_batches(shipment: Shipment, size: int, take: Take, *, deadline: float) -> Outcome:
    """Send the operations in batches of ``size``; see ``delivery.endpoints.outcome.Endpoint``."""
    answers = trials = 0
    rejects: dict[str, str] = {}
    for number, rows in enumerate(_batches(shipment, size), start=1):
        trials += len(rows)
        try:
            rejects |= insist(lambda number=number, rows=rows: take(number, rows), deadline=deadline)  # type: ignore[misc]
        except EndpointFailed as wrong:
            return Outcome(answers, trials, rejects, str(wrong), wrong.is_down)
        answers = trials
    return Outcome(answers, trials, rejects)


def insist(exchange: Callable[[], Answer], *, deadline: float) -> Answer:
    """Give the answer of an exchange; it is repeated while its failure may pass and time is left."""
    pause = FIRST_PAUSE
    while True:
        try:
            return exchange()
        except EndpointFailed as wrong:
            rest = wrong.pause if wrong.pause is not None else pause
            if wrong.is_final or time.monotonic() + rest >= deadline:
                raise
            time.sleep(rest)
            pause = min(2 * pause, LONGEST_PAUSE)


def finite(cell: Any) -> Any:
    """Give a value as JSON knows it, which has no infinite number and no number that is none."""
    return str(cell) if isinstance(cell, float) and not math.isfinite(cell) else cell


def _batches(shipment: Shipment, size: int) -> Iterator[list[Row]]:
    for batch in shipment.operations.to_batches():
        for begin in range(0, batch.num_rows, size):
            rows = batch.slice(begin, size).to_pylist()
            yield [_row(row) for row in rows]


def _row(row: Row) -> Row:
    if row["op"] == "EXIT":
        return {"op": "EXIT", "recipient_key": row["recipient_key"]}
    return {name: json_value(value) for name, value in row.items()}
