"""Parquet files as a Spark frame, each path taken to the letter."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from pyspark.sql import DataFrame, SparkSession
    from pyspark.sql.types import StructType


def parquet_frame(
    spark: SparkSession, *paths: Path | str, schema: StructType | None = None, base: str | None = None
) -> DataFrame:
    """Give the rows of files or folders; ``base`` is the folder below which folders' names are partitions.

    Spark takes ``?``, ``*`` and braces of a path for a pattern, unless it is told that there is none.
    """
    reader = spark.read.option("__globPaths__", "false")
    if base is not None:
        reader = reader.option("basePath", base)
    if schema is not None:
        reader = reader.schema(schema)
    return reader.parquet(*(str(path) for path in paths))
