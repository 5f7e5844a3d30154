"""Mode ``contract``: every Spark partition joins what it can see; only what partitions disagree on goes further.

Links of one source node stand in one partition. A partition replaces its links by a spanning forest of stars
(node, smallest node it sees it connected to). A node that several partitions know connects their trees; those few
links between trees, and not the nodes, are what is left to solve.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from identity.components.driver import COMPONENT, NODE
from identity.components.links import SOURCE, TARGET
from lakehouse.session.parquet import parquet_frame

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

STARS = pa.schema([(NODE, pa.int64()), ("tree", pa.int64())])


def components_by_contraction(
    links: DataFrame, folder: Path, *, partitions: int, solve: Callable[[DataFrame, int], DataFrame]
) -> DataFrame:
    """Give ``node_id, component`` of every node of ``links`` (columns source, target), one row per node.

    ``solve`` gives the components of the links between trees, of which there are so many. The answer is read from
    ``folder``.
    """
    from pyspark.sql import functions as F

    stars = links.repartition(partitions, SOURCE).mapInArrow(stars_of_batches, "node_id bigint, tree bigint")
    trees_by_node = stars.groupBy(NODE).agg(F.collect_set("tree").alias("trees"))
    stars_by_node = trees_by_node.select(
        NODE,
        F.array_min("trees").alias("tree"),
        F.array_remove("trees", F.array_min("trees")).alias("others"),
    )
    stars_by_node.write.parquet(str(folder / "stars"))
    stars_by_node = parquet_frame(links.sparkSession, folder / "stars")
    between = (
        stars_by_node.where(F.size("others") > 0)
        .select(F.explode("others").alias(SOURCE), F.col("tree").alias(TARGET))
        .distinct()
    )
    between.write.parquet(str(folder / "between"))
    between = parquet_frame(links.sparkSession, folder / "between")
    solved = solve(between, between.count()).select(F.col(NODE).alias("tree"), COMPONENT)
    return stars_by_node.join(solved, "tree", "left").select(
        NODE, F.coalesce(COMPONENT, "tree").alias(COMPONENT)
    )


def stars_of_batches(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Give the stars of one partition's links: every node with the smallest node it is connected to here."""
    from identity.components.arrays import distinct
    from identity.components.union_find import components

    ends: list[list[Any]] = [[], []]
    for batch in batches:
        for column, parts in zip(batch.columns, ends, strict=True):
            parts.append(column.to_numpy(zero_copy_only=False))
    if not ends[0]:
        return
    sources, targets = (np.concatenate(parts) for parts in ends)
    nodes = distinct(np.concatenate([sources, targets]))
    labels = components(np.searchsorted(nodes, sources), np.searchsorted(nodes, targets), len(nodes))
    stars = pa.table([nodes, nodes[labels]], schema=STARS)
    yield from stars.to_batches(max_chunksize=1 << 18)
