"""What is sent to an endpoint, and what came of it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from delivery.contract.messages import REJECT_CODE

if TYPE_CHECKING:
    import pyarrow as pa


CODE = re.compile(REJECT_CODE)


class EndpointFailed(Exception):
    """An endpoint did not take rows: one sentence without a value of them, a secret or a word of the endpoint.

    ``is_final``: the same again would fail again. ``is_down``: nothing else can be sent there now. ``pause`` is how many
    seconds the endpoint asked to be left alone.
    """

    def __init__(
        self, message: str, *, is_final: bool = False, is_down: bool = False, pause: float | None = None
    ) -> None:
        super().__init__(message)
        self.is_final = is_final
        self.is_down = is_down
        self.pause = pause


@dataclass(frozen=True)
class Shipment:
    """The operations of one attempt, and the run that they bring the endpoint to."""

    manifest: Mapping[str, Any]
    manifest_sha256: str
    attempt: int
    operations: pa.Table = field(repr=False)
    """op, recipient_key and the published columns; of an EXIT they are null. First who leaves, then by recipient_key."""
    held_keys: AbstractSet[str] = field(default=frozenset(), repr=False)
    """recipient_key of everybody whom the endpoint holds before the attempt, or perhaps holds."""

    @property
    def segment(self) -> str:
        """The segment."""
        return str(self.manifest["segment"])

    @property
    def run_id(self) -> str:
        """The run as its manifest names it."""
        return str(self.manifest["run_id"])

    def people_after(self, rejects: AbstractSet[str]) -> set[str]:
        """Give recipient_key of everybody whom the endpoint holds once all was answered, with these refused."""
        operations = zip(
            self.operations["recipient_key"].to_pylist(), self.operations["op"].to_pylist(), strict=True
        )
        changes = {key: op for key, op in operations if key not in rejects}
        return {key for key in self.held_keys | changes.keys() if changes.get(key) != "EXIT"}


@dataclass(frozen=True)
class Outcome:
    """How far an attempt came. Rows up to ``answers`` were answered, rows from there to ``trials`` perhaps arrived, others not."""

    answers: int
    trials: int
    rejects: Mapping[str, str] = field(default_factory=dict)
    """recipient_key → code of the answered rows that the endpoint did not take."""
    failure: str | None = None
    is_down: bool = False


class Endpoint(Protocol):
    """Where a shipment goes. The same operations again leave the endpoint as they left it before."""

    def keeps(self, manifest: Mapping[str, Any]) -> bool:
        """Tell whether what was sent of a manifest's segment is there still; ``EndpointFailed`` where that cannot be asked."""

    def send(self, shipment: Shipment, *, deadline: float) -> Outcome:
        """Send until all is answered, or the monotonic clock passes ``deadline``. What goes wrong stands in the outcome."""
