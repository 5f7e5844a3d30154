"""One question, who is connected to whom, and three ways to answer it, chosen by size.

``driver`` streams links into arrays and is the quickest wherever nodes fit. ``contract`` lets Spark's partitions join
what they see and gives the driver what is left between them. ``rounds`` shrinks on Spark what does not fit even then.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq

from identity.components.contract import components_by_contraction
from identity.components.driver import components_on_driver
from identity.components.links import Bounds, bounds_of_frame, is_spark, links_of, with_two_ends
from identity.components.rounds import components_by_rounds
from lakehouse.session.parquet import parquet_frame
from lakehouse.settings.settings import ComponentSettings

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

log = logging.getLogger("cdp.identity")


@dataclass(frozen=True)
class Components:
    """The answer: ``rows`` of ``node_id, component``, one per node that links name, and the mode that gave it.

    ``rows`` is an Arrow table in mode ``driver``, else a Spark frame that reads from the folder given; both are what
    ``Lake.overwrite`` takes. A component is with_two_ends by its smallest node.
    """

    rows: Any
    mode: str


def components(
    links: Any,
    folder: Path,
    *,
    settings: ComponentSettings | None = None,
    spark: Callable[[], SparkSession] | None = None,
) -> Components:
    """Give the connected components of links: an Arrow table or dataset, a folder of Parquet, or a Spark frame.

    The first two columns are a link's ends, integers; links may repeat and be loops. ``folder`` is an empty one of the
    lake's exchange and has to outlive the answer. ``spark`` gives the session where one is needed and links do not
    bring it. A link without an end raises ``ContractBroken``.
    """
    options = settings or ComponentSettings()
    session = (lambda: links.sparkSession) if is_spark(links) else spark
    source = None if is_spark(links) else links_of(links, folder)
    bounds = bounds_of_frame(with_two_ends(links)) if source is None else source.bounds
    mode = _mode(bounds, options, has_spark=session is not None)
    log.info("components: %d links, at most %d nodes, mode %s", bounds.links, bounds.nodes, mode)
    if mode == "driver" or session is None:
        return Components(components_on_driver(source or links_of(links, folder)), "driver")
    frame = with_two_ends(links) if source is None else source.frame(session(), folder)
    work = _Work(folder, options)
    if mode == "rounds":
        return Components(work.rounds(frame), mode)
    partitions = max(2, -(-bounds.links // options.partition_links))
    return Components(components_by_contraction(frame, folder, partitions=partitions, solve=work.rest), mode)


def _mode(bounds: Bounds, settings: ComponentSettings, *, has_spark: bool) -> str:
    if settings.mode != "auto":
        return settings.mode
    if bounds.nodes <= settings.driver_nodes:
        return "driver"
    if not has_spark:
        log.warning("components: %d nodes are above driver_nodes, but there is no Spark", bounds.nodes)
        return "driver"
    return "contract"


@dataclass(frozen=True)
class _Work:
    """What a mode hands on: the rest of its links, to the driver or to rounds."""

    folder: Path
    settings: ComponentSettings

    def rest(self, links: DataFrame, count: int) -> DataFrame:
        """Solve what partitions left between them."""
        fits = 2 * count <= self.settings.driver_nodes
        log.info("components: %d links between partitions, %s", count, "driver" if fits else "rounds")
        return self.driver(links) if fits else self.rounds(links)

    def rounds(self, links: DataFrame) -> DataFrame:
        """Solve by rounds until the rest fits on the driver."""
        folder = self.folder / "rounds"
        folder.mkdir()
        return components_by_rounds(links, folder, fits=self.settings.driver_nodes, solve=self.driver)

    def driver(self, links: DataFrame) -> DataFrame:
        """Solve on the driver and hand the answer back by Parquet."""
        rest_folder = self.folder / "rest"
        rest_folder.mkdir()
        answer = components_on_driver(links_of(links, rest_folder))
        target = self.folder / "solved"
        target.mkdir()
        pq.write_table(answer, target / "components.parquet")
        return parquet_frame(links.sparkSession, target)
