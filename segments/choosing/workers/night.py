"""A night's segments placed by Spark: the leaf table and the arms of earlier nights, given to the kernel by buckets of people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from operator import add
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lakehouse.query.files import folder_call
from lakehouse.query.words import identifier, literal
from segments.choosing.assignment import WHITELISTED
from segments.choosing.compile import published_tags, value_column
from segments.choosing.decide import SegmentPlaces, columns_read, places_of
from segments.choosing.workers.placing import PlacingKernel, local_segments, sums_of

if TYPE_CHECKING:
    from lakehouse.query.desk import Desk
    from lakehouse.tables.lake import Lake
    from segments.choosing.inputs import NightInputs
    from segments.language.spec import Segment
    from vocabulary.policy import Policy

# The rows of a leaf table have some hundred columns: of so many times fewer people than other rows a bucket is made, and of fewer
# still where there are more segments, each of which may choose all of them.
ROW_SHARE = 10


@dataclass(frozen=True)
class PlacedByWorkers:
    """What workers have decided: places by segment, and what was hashed of the leaf table by its columns."""

    places: dict[str, SegmentPlaces] = field(default_factory=dict)
    hashes: dict[tuple[str, ...], dict[str, Any]] = field(default_factory=dict)


def place_by_workers(
    lake: Lake, desk: Desk, segments: Sequence[Segment], inputs: NightInputs, policy: Policy
) -> PlacedByWorkers:
    """Give the places of those segments that a bucket of people is enough for; nothing where Spark did not write the leaf table."""
    local, leaves = local_segments(segments), inputs.leaves
    if leaves.folder is None or not local:
        return PlacedByWorkers()
    from pyspark.sql.pandas.types import to_arrow_schema

    from lakehouse.engine.spark import SparkEngine

    folder = leaves.folder.parent
    engine = SparkEngine(lake.spark, folder, lake.register)
    try:
        rows = engine.read("leaves", leaves.folder)
        people = engine.records(f"SELECT count(*) AS people FROM {rows}")[0]["people"]
        if not people:
            return PlacedByWorkers()
        most = max(lake.settings.engine.bucket_rows // max(ROW_SHARE, len(local)), 1)
        buckets = max(engine.width, -(-people // most))
        column_sets = {
            columns for segment in segments for columns in columns_read(segment, leaves.columns_of).values()
        }
        kernel = PlacingKernel(
            local,
            policy,
            {segment.code: inputs.offer_risk(segment) for segment in local},
            to_arrow_schema(engine.frame(rows).schema),
            tuple(sorted(column_sets)),
            lake.settings.time_zone,
        )
        arms = folder / "arms"
        arms.mkdir()
        desk.run(
            f"COPY (SELECT * FROM {inputs.earlier.arms}) TO {literal(str(arms / 'arms.parquet'))} (FORMAT parquet)"
        )
        parts = {"leaves": rows, "arms": engine.read("arms", arms)}
        bucket = engine.bucket_of(["one_id"], buckets)
        in_buckets = {
            name: engine.define(f"{name}_in_buckets", f"SELECT *, {bucket} AS bucket FROM {part}")
            for name, part in parts.items()
        }
        answers = engine.run(kernel, in_buckets, by="bucket", buckets=buckets)
        places_folder = folder / "placed"
        engine.frame(answers["placed"]).write.partitionBy("code").parquet(str(places_folder))
        counts = engine.records(
            f"SELECT code, sum(unknown) AS unknown FROM {answers['counts']} GROUP BY code"
        )
        sums = engine.records(f"SELECT * FROM {answers['sums']}")
    finally:
        engine.close()
    unknown = {row["code"]: int(row["unknown"]) for row in counts}
    places = {
        segment.code: _places(
            desk,
            segment,
            inputs,
            policy,
            _rows_of(desk, kernel, places_folder, segment),
            unknown[segment.code],
        )
        for segment in local
    }
    return PlacedByWorkers(places, _hashes(column_sets, sums))


def _rows_of(desk: Desk, kernel: PlacingKernel, places_folder: Path, segment: Segment) -> str:
    """Give the placed people of a segment as SQL names them; there are no files where nobody is chosen."""
    folder = places_folder / f"code={segment.code}"
    if folder.is_dir():
        return folder_call(folder)
    return str(desk.lend("nobody placed", kernel.gives["placed"].empty_table()))


def _places(
    desk: Desk, segment: Segment, inputs: NightInputs, policy: Policy, rows: str, unknown: int
) -> SegmentPlaces:
    values = [value_column(tag) for tag in published_tags(segment)]
    whitelist = [WHITELISTED] if segment.spec.rollout.list_leaf is not None else []
    columns = ["one_id", "reason", "channel", "ways", *values, *whitelist, "place", "given_arm", "variant"]
    names = ", ".join(identifier(name) for name in columns)
    candidates = desk.keep(f"placed_{segment.code}", f"SELECT {names} FROM {rows}")
    return places_of(desk, segment, policy, inputs.earlier.arms, candidates, inputs.leaves.rows, unknown)


def _hashes(
    column_sets: set[tuple[str, ...]], rows: Sequence[Mapping[str, Any]]
) -> dict[tuple[str, ...], dict[str, Any]]:
    parts: dict[tuple[str, ...], list[Any]] = {}
    for row in rows:
        sums = sums_of(row)
        parts.setdefault(sums.columns, []).append(sums)
    hashes = {}
    for columns in column_sets:
        total = reduce(add, parts[tuple(sorted(("one_id", *columns)))])
        hashes[columns] = {"people": total.count, "hash": total.content}
    return hashes
