"""A lake once more, to try something on: its own logs over the same data files, at the versions asked for.

Data files of a table never change, so links to them are enough; whatever is written into the clone stays there.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from lakehouse.query.files import file_paths, open_delta

if TYPE_CHECKING:
    from lakehouse.settings.settings import Settings

_VERSION = re.compile(r"^(\d{20})\.")


def clone_lake(settings: Settings, target: Path, versions: Mapping[str, int | None]) -> None:
    """Make a lake in the empty folder ``target`` from these tables, on the same disk where links work.

    Tables stand at the versions given, or at their newest one where that is None; one that is not there is left out.
    """
    for name, version in versions.items():
        database, _, table_name = name.partition(".")
        source = settings.lake / database / table_name
        if (source / "_delta_log").is_dir():
            table = open_delta(source, name, version)
            _clone(source, target / database / table_name, table.version(), file_paths(table))


def _clone(source: Path, target: Path, version: int, files: list[Path]) -> None:
    (target / "_delta_log").mkdir(parents=True)
    for entry in (source / "_delta_log").iterdir():
        match = _VERSION.match(entry.name)
        # A log is rewritten in place by some writers, and `_last_checkpoint` may name a later version: neither is linked.
        if match is not None and int(match.group(1)) <= version:
            shutil.copyfile(entry, target / "_delta_log" / entry.name)
    for file in files:
        place = target / file.relative_to(source)
        place.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(file, place)
        except OSError:  # a file system without links
            shutil.copyfile(file, place)
