"""What each tag costs: its part of the seconds of the models it comes from, and the bytes of its column.

The wide model answers all tags in one statement, so its seconds are divided by a rule. Each scan in it weighs as many rows as the
tables hold that it reads, and each rule as many as there are people; a scan's part is divided equally among its tags. The
seconds of a model that is stored by itself are divided equally among the tags whose scans read it, directly or not.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lakehouse.contracts.contract import DBT_DATABASE
from tags.compile.compiler import Writer
from vocabulary.relations import RELATED

if TYPE_CHECKING:
    from lakehouse.settings.settings import Settings
    from tags.compile.compilation import Compilation

TABLE = "ops.tag_costs"
_REF = re.compile(r"ref\(\s*'(\w+)'\s*\)")
# A staging model reads its table by a macro, which is named as the model is.
_STAGING = "stg_trusted__"
_SOURCE = re.compile(r"source\(\s*'(\w+)'\s*,\s*'(\w+)'\s*\)")


@dataclass(frozen=True)
class TagCost:
    """Seconds of a night's models, and bytes of the published column."""

    seconds: float
    bytes: int


def tag_costs(
    compilation: Compilation,
    seconds: Mapping[str, float],
    row_count: Callable[[str], int],
    sizes: Mapping[str, int],
) -> dict[str, TagCost]:
    """Give the cost of every computed tag by its code.

    ``seconds`` are those of each model that was stored, ``sizes`` the bytes of each column. ``row_count`` gives the rows of a table,
    or of a stored model as ``tags_work.<model>``. Seconds of models that no tag reads are nobody's.
    """
    reads = _readings(compilation)
    stored_models = {name for name in seconds if name in reads}
    costs = dict.fromkeys((entry.code for entry in compilation.entries), 0.0)
    # What people's tags cost is theirs, also where a tag of a branch counts them.
    wide_models = {writer.entity.wide_model for writer in compilation.writers}
    models_read = {name: names for name, names in reads.items() if name not in wide_models}
    readers: dict[str, set[str]] = {}
    for scan in (scan for plan in compilation.plans for scan in plan.scans):
        for name in _models(scan.model, models_read) & stored_models - wide_models:
            readers.setdefault(name, set()).update(entry.code for entry in scan.entries)
    for writer in compilation.writers:
        of_wide_model = seconds.get(writer.entity.wide_model, 0.0)
        weights = _weights(writer, reads, stored_models, row_count)
        whole = sum(weights.values())
        for code, weight in weights.items():
            costs[code] += of_wide_model * (weight / whole if whole else 1 / len(weights))
    for name, codes_of_model in readers.items():
        for code in codes_of_model:
            costs[code] += seconds[name] / len(codes_of_model)
    return {code: TagCost(cost, sizes.get(code, 0)) for code, cost in costs.items()}


def _weights(
    writer: Writer,
    reads: Mapping[str, set[str]],
    stored_models: set[str],
    row_count: Callable[[str], int],
) -> dict[str, float]:
    """Give by tag of one entity its weight in the wide model."""
    weights: dict[str, float] = {}
    for scan in writer.plan.scans:
        codes = [entry.code for entry in scan.entries]
        rows = sum(row_count(name) for name in _inputs(scan.model, reads, stored_models))
        for code in codes:
            weights[code] = rows / len(codes)
    entity = writer.entity
    rows_of_entity = row_count(entity.table or (RELATED if entity.model else "identity.one_ids"))
    for entry in writer.plan.entries:
        weights.setdefault(entry.code, rows_of_entity)
    return weights


def column_sizes(files: Iterable[Path]) -> dict[str, int]:
    """Give the compressed bytes of every column in Parquet files, by its name."""
    import pyarrow.parquet as pq

    sizes: dict[str, int] = {}
    for file in files:
        metadata = pq.ParquetFile(file).metadata
        for group in range(metadata.num_row_groups):
            for number in range(metadata.num_columns):
                column = metadata.row_group(group).column(number)
                name = column.path_in_schema.split(".")[0]
                sizes[name] = sizes.get(name, 0) + column.total_compressed_size
    return sizes


def newest_costs(settings: Settings) -> dict[str, TagCost]:
    """Give the costs of the newest published business date by tag; none where that night kept none."""
    from lakehouse.query.desk import open_newest, table_folder
    from lakehouse.query.published import newest_publication

    publication = newest_publication(settings)
    if publication is None or not (table_folder(settings, TABLE) / "_delta_log").is_dir():
        return {}
    with open_newest(settings) as desk:
        rows = desk.rows(
            f"SELECT tag, seconds, bytes FROM {TABLE} WHERE as_of = ?", [publication.business_date]
        )
    return {tag: TagCost(seconds, size) for tag, seconds, size in rows}


def _readings(compilation: Compilation) -> dict[str, set[str]]:
    """Give by model what it names: other models, and tables as ``database.table``."""
    texts = {writer.entity.wide_model: writer.wide_sql() for writer in compilation.writers}
    texts |= compilation.shared
    texts |= {
        scan.model: writer.scan_sql(scan)
        for writer in compilation.writers
        for scan in writer.plan.scans
        if scan.aggregated
    }
    for folder in compilation.model_folders:
        for file in sorted(folder.rglob("*.sql")):
            texts.setdefault(file.stem, file.read_text(encoding="utf-8"))
    return {
        name: {
            *_REF.findall(text),
            *(f"{database}.{table}" for database, table in _SOURCE.findall(text)),
            *([f"trusted.{name.removeprefix(_STAGING)}"] if name.startswith(_STAGING) else []),
        }
        for name, text in texts.items()
    }


def _models(model: str, reads: Mapping[str, set[str]]) -> set[str]:
    """Give a model and all models that it reads, directly or not."""
    models, waiting = {model}, [model]
    while waiting:
        fresh = {name for name in reads.get(waiting.pop(), ()) if name in reads} - models
        models |= fresh
        waiting += fresh
    return models


def _inputs(model: str, reads: Mapping[str, set[str]], stored_models: set[str]) -> set[str]:
    """Give what is read where a model is part of another statement: tables, and stored models as ``tags_work.<model>``."""
    if model in stored_models:
        return {f"{DBT_DATABASE}.{model}"}
    inputs: set[str] = set()
    visits, waiting = {model}, [model]
    while waiting:
        for name in reads.get(waiting.pop(), ()):
            if name in stored_models:
                inputs.add(f"{DBT_DATABASE}.{name}")
            elif name not in reads:
                inputs.add(name)
            elif name not in visits:
                visits.add(name)
                waiting.append(name)
    return inputs
