"""The kernel that places people: for a bucket of them what the rules of many segments say, up to the arm.

It decides by the functions of one process (``segments.choosing.decide``) over the rows of the leaf table, so both give the same
rows. A segment that ranks people, chooses companies or households, or names one that does, needs more than a bucket.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import pyarrow as pa

from lakehouse.query.desk import Desk, Relation, open_alone
from lakehouse.query.hashing import RowSums, row_sums
from lakehouse.query.words import identifier, literal
from segments.choosing.assignment import WHITELISTED
from segments.choosing.compile import rank_leaves
from segments.choosing.decide import hashed_sql, place_segment
from segments.language.nesting import levels_of
from segments.language.segment_leaves import nested_segments
from segments.language.spec import Segment
from vocabulary.policy import Policy

ARMS = pa.schema([("salt", pa.string()), ("one_id", pa.int64()), ("arm", pa.string()), ("arms", pa.int64())])
COUNTS = pa.schema([("code", pa.string()), ("unknown", pa.int64())])
SUMS = pa.schema([
    ("columns", pa.string()), ("rows", pa.int64()), ("low", pa.decimal128(38, 0)), ("high", pa.decimal128(38, 0)),
])  # fmt: skip
_PLACED = {
    "code": pa.string(), "one_id": pa.int64(), "reason": pa.string(), "channel": pa.string(), "ways": pa.int64(),
    "place": pa.string(), "given_arm": pa.string(), "variant": pa.string(), WHITELISTED: pa.bool_(),
}  # fmt: skip


def local_segments(segments: Iterable[Segment]) -> tuple[Segment, ...]:
    """Give the segments that ask for nothing but a person's own rows, each behind those it names."""
    local: dict[str, Segment] = {}
    for level in levels_of(list(segments)):
        for segment in level:
            if (
                not segment.is_collective
                and not rank_leaves(segment)
                and nested_segments(segment) <= set(local)
            ):
                local[segment.code] = segment
    return tuple(local.values())


@dataclass(frozen=True)
class PlacingKernel:
    """Place the people of a bucket in each of some segments.

    Gives ``placed``, one row per candidate and segment with the values that it publishes; ``counts``, how many answers of a segment
    are unknown; and ``sums``, what hashes of columns of the leaf table are made of.
    """

    segments: tuple[Segment, ...]
    policy: Policy
    offer_risks: Mapping[str, str | None]
    leaves: pa.Schema
    hashed_columns: tuple[tuple[str, ...], ...]
    zone: str

    @property
    def takes(self) -> Mapping[str, pa.Schema]:
        """The columns of every input."""
        return {"leaves": self.leaves, "arms": ARMS}

    @property
    def gives(self) -> Mapping[str, pa.Schema]:
        """The columns of every output."""
        values = [field for field in self.leaves if field.name.startswith("value_")]
        places = pa.schema([*(pa.field(name, kind) for name, kind in _PLACED.items()), *values])
        return {"placed": places, "counts": COUNTS, "sums": SUMS}

    def __call__(self, tables: Mapping[str, pa.Table]) -> Mapping[str, pa.Table]:
        """Place the people of a bucket."""
        with open_alone(self.zone, threads=1) as desk:
            leaves, arms = (
                desk.take("leaf_table", tables["leaves"]),
                desk.take("earlier_arms", tables["arms"]),
            )
            members: dict[str, Relation] = {}
            candidates, counts = [], []
            for segment in self.segments:
                places = place_segment(
                    desk,
                    segment,
                    policy=self.policy,
                    leaves=leaves,
                    arms=arms,
                    members=members,
                    offer_risk=self.offer_risks[segment.code],
                )
                members[segment.code] = places.members
                counts.append({"code": segment.code, "unknown": places.unknown})
                candidates.append(self._rows(desk, segment.code, places.candidates))
            sums = [sums_row(row_sums(desk, hashed_sql(columns, leaves))) for columns in self.hashed_columns]
        return {
            "placed": pa.concat_tables(candidates),
            "counts": pa.Table.from_pylist(counts, COUNTS),
            "sums": pa.Table.from_pylist(sums, SUMS),
        }

    def _rows(self, desk: Desk, code: str, candidates: Relation) -> pa.Table:
        schema = self.gives["placed"]
        names = {*candidates.columns}
        values = [
            identifier(n) if n in names else f"NULL AS {identifier(n)}" for n in schema.names if n != "code"
        ]
        columns = [f"{literal(code)} AS code", *values]
        return desk.arrow(f"SELECT {', '.join(columns)} FROM {candidates}").select(schema.names).cast(schema)


def sums_row(sums: RowSums) -> dict[str, object]:
    """Give sums as a row of ``SUMS``; 64-bit hashes of ten thousand billion rows have less than 38 digits."""
    return {"columns": "\t".join(sums.columns), "rows": sums.count, "low": sums.low, "high": sums.high}


def sums_of(row: Mapping[str, object]) -> RowSums:
    """Give the sums that a row of ``SUMS`` has."""
    low, high = (None if row[name] is None else int(str(row[name])) for name in ("low", "high"))
    return RowSums(tuple(str(row["columns"]).split("\t")), int(str(row["rows"])), low, high)
