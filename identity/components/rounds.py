"""Mode ``rounds``: large-star and small-star rounds on Spark frames, for links no single memory holds.

The two steps are those of Kiveris et al., Connected Components in MapReduce and Beyond (SoCC 2014); they keep what
is connected and pull every node towards the smallest it can see. Between rounds a node that hangs on one smaller node
and carries nothing is set aside with it, so that the rest shrinks, and as soon as the rest fits, the driver ends it.
Each round is written before the next reads it: a plan that grew with the rounds would be computed again and again.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from identity.components.driver import COMPONENT, NODE
from identity.components.links import SOURCE, TARGET
from lakehouse.errors import StepFailed
from lakehouse.session.parquet import parquet_frame

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

log = logging.getLogger("cdp.identity")
# O(log² nodes) rounds are proven; in practice a chain of a million nodes takes about ten.
_MOST_ROUNDS = 100


def components_by_rounds(
    links: DataFrame, folder: Path, *, fits: int, solve: Callable[[DataFrame], DataFrame]
) -> DataFrame:
    """Give ``node_id, component`` of every node of ``links`` (columns source, target), one row per node.

    ``solve`` ends the work once the rest has at most ``fits`` nodes. The answer is read from ``folder``.
    """
    from pyspark.sql import functions as F

    spark = links.sparkSession

    def stored_frame(frame: DataFrame, name: str) -> DataFrame:
        frame.write.mode("overwrite").parquet(str(folder / name))
        return parquet_frame(spark, folder / name)

    rest = stored_frame(_downwards(links, SOURCE, TARGET), "rest_0")
    aside: list[DataFrame] = []
    size = rest.count()
    while 2 * size > fits and size:
        turn = len(aside) + 1
        if turn > _MOST_ROUNDS:
            raise StepFailed(
                f"components did not end in {_MOST_ROUNDS} rounds: {size} links are left; raise "
                "`components.driver_nodes` in cdp.yml so that the rest fits on the driver"
            )
        stars = stored_frame(small_star(large_star(rest)), f"stars_{turn}")
        aside.append(stored_frame(_leaves(stars), f"aside_{turn}"))
        rest = stored_frame(stars.join(aside[-1].select("node"), "node", "left_anti"), f"rest_{turn}")
        size = rest.count()
        log.info("components: round %d, %d links left", turn, size)
        for obsolete in (f"stars_{turn}", f"rest_{turn - 1}"):
            shutil.rmtree(folder / obsolete)
    ends = rest.select(F.col("node").alias(SOURCE), F.col("least").alias(TARGET))
    answer = solve(ends) if size else _nobody(links)
    for turn, hung in reversed(list(enumerate(aside, 1))):
        answer = stored_frame(_with_hung(answer, hung), f"answer_{turn}")
    alone = links.select(F.col(SOURCE).alias(NODE)).distinct().join(answer, NODE, "left_anti")
    return answer.unionByName(alone.select(NODE, F.col(NODE).alias(COMPONENT)))


def large_star(links: DataFrame) -> DataFrame:
    """Tie every larger neighbour of a node to the smallest the node sees (columns node > least)."""
    from pyspark.sql import functions as F

    other_way_round = links.select(F.col("least").alias("node"), F.col("node").alias("other"))
    both = links.select("node", F.col("least").alias("other")).unionByName(other_way_round)
    least = both.groupBy("node").agg(F.least(F.col("node"), F.min("other")).alias("least"))
    ties = other_way_round.join(least, "node").select(F.col("other").alias("node"), "least")
    return ties.distinct()


def small_star(links: DataFrame) -> DataFrame:
    """Tie a node and its smaller neighbours to the smallest of them (columns node > least)."""
    from pyspark.sql import functions as F

    least = links.groupBy("node").agg(F.min("least").alias("least"))
    others = links.withColumnRenamed("least", "other").join(least, "node").where("other > least")
    return least.unionByName(others.select(F.col("other").alias("node"), "least")).distinct()


def _downwards(links: DataFrame, first: str, second: str) -> DataFrame:
    from pyspark.sql import functions as F

    ends = links.where(F.col(first) != F.col(second))
    return ends.select(
        F.greatest(first, second).alias("node"), F.least(first, second).alias("least")
    ).distinct()


def _leaves(links: DataFrame) -> DataFrame:
    """Give the nodes with one smaller neighbour and no larger one, with that neighbour."""
    from pyspark.sql import functions as F

    single = links.groupBy("node").agg(F.min("least").alias("least"), F.count("*").alias("ways"))
    carrying = links.select(F.col("least").alias("node")).distinct()
    return single.where("ways = 1").drop("ways").join(carrying, "node", "left_anti")


def _with_hung(answer: DataFrame, hung: DataFrame) -> DataFrame:
    """Add the nodes set aside in one round, and those they hang on where nothing else is known of them: roots."""
    from pyspark.sql import functions as F

    answer_by_least = answer.select(F.col(NODE).alias("least"), COMPONENT)
    joined_leaves = hung.join(answer_by_least, "least", "left").select(
        F.col("node").alias(NODE), F.coalesce(COMPONENT, "least").alias(COMPONENT)
    )
    roots = hung.select(F.col("least").alias(NODE)).distinct().join(answer, NODE, "left_anti")
    return answer.unionByName(joined_leaves).unionByName(roots.select(NODE, F.col(NODE).alias(COMPONENT)))


def _nobody(links: DataFrame) -> DataFrame:
    return links.sparkSession.createDataFrame([], f"{NODE} bigint, {COMPONENT} bigint")
