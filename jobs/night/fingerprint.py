"""What a night depends on: delivered files, the workspace's settings, and the product itself.

Two attempts with the same fingerprint give the same rows, so the second has nothing to do.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable
from datetime import date
from functools import cache
from pathlib import Path

from lakehouse.query.hashing import file_hash, text_hash
from lakehouse.settings.settings import FILE_NAME, Settings
from lakehouse.settings.yaml_files import load_plain_yaml
from lakehouse.tables.lake import Lake

log = logging.getLogger("cdp.nightly")

ROOMS = (
    "lakehouse",
    "vocabulary",
    "ingestion",
    "identity",
    "tags",
    "segments",
    "delivery",
    "jobs",
    "dbt_project",
)
SETTINGS_SUFFIXES = (".yml", ".yaml", ".sql", ".csv")
NOT_SETTINGS = {".cdp", "lake", "inbox", "published", "reports", "truth", "secrets"}
# Keys of cdp.yml that say how a night runs: by which engine, with how much memory, where. No row depends on them.
RUNNING = ("engine", "components", "jars", "lock_dir", "export", "count_queries")
# Nor on what says how Spark runs, but for the settings of its SQL.
_OF_SPARK_SQL = "spark.sql."


def fingerprint_of(lake: Lake, business_date: date) -> str:
    """Give the hash of everything the night of ``business_date`` would compute from."""
    import ingestion
    import segments

    inputs = ingestion.inputs_of_night(lake, business_date)
    decisions = lake.version("identity.decisions") if lake.exists("identity.decisions") else 0
    parts = [f"{path}={digest}" for path, digest in sorted(inputs)]
    settings, product = workspace_hash(lake.settings), product_hash()
    log.debug(
        "%s depends on %d files (%s), settings %s, product %s, decisions %d",
        business_date, len(parts), text_hash(*parts)[:12], settings[:12], product[:12], decisions,
    )  # fmt: skip
    # Where nothing was ever decided about segments, a night is of what it was of before there were such decisions.
    state = segments.read_authority(lake.settings).state
    return text_hash(business_date, settings, product, decisions, *parts, *([state] if state else []))


def fingerprint_of_history(
    settings: Settings, first: date, last: date, inputs: Iterable[tuple[str, str]]
) -> str:
    """Give the hash of everything a history of ``first`` to ``last`` computes from; ``inputs`` are (path, sha256)."""
    parts = [f"{path}={digest}" for path, digest in inputs]
    return text_hash("history", first, last, workspace_hash(settings), product_hash(), *parts)


def workspace_hash(settings: Settings) -> str:
    """Give the hash of every settings file of the workspace, by relative name and content; of cdp.yml, what has meaning."""
    generated = {settings.lake, settings.inbox, settings.published, settings.reports}
    files = sorted(
        file
        for file in settings.workspace.rglob("*")
        if file.is_file()
        and file.suffix in SETTINGS_SUFFIXES
        and file.relative_to(settings.workspace).parts[0] not in NOT_SETTINGS
        and not any(folder in file.parents for folder in generated)
    )
    own = settings.workspace / FILE_NAME
    hashes = ((file, _meaning_hash(file) if file == own else file_hash(file)) for file in files)
    return text_hash(*(f"{file.relative_to(settings.workspace)}={digest}" for file, digest in hashes))


def _meaning_hash(file: Path) -> str:
    """Give the hash of what cdp.yml says of a night's rows; an engine or a memory may change after a night failed."""
    tree = {key: value for key, value in (load_plain_yaml(file) or {}).items() if key not in RUNNING}
    spark = tree.pop("spark", None) or {}
    conf = {key: value for key, value in (spark.get("conf") or {}).items() if key.startswith(_OF_SPARK_SQL)}
    return text_hash(json.dumps({**tree, "spark": conf}, sort_keys=True, ensure_ascii=False, default=str))


@cache
def product_hash() -> str:
    """Give the hash of the product's own code and definitions."""
    root = Path(__file__).resolve().parents[2]
    suffixes = {".py", ".yml", ".sql"}
    files = sorted(
        file
        for room in ROOMS
        for file in (root / room).rglob("*")
        if file.is_file() and file.suffix in suffixes and "__pycache__" not in file.parts
    )
    return text_hash(*(f"{file.relative_to(root)}={file_hash(file)}" for file in files))
