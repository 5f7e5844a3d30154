"""``cdp segments index``: makes previews of large banks quick."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from jobs.cli.options import format_option, workspace_option


@click.command("index")
@click.option("--drop", is_flag=True, help="Delete what was made instead.")
@format_option
@workspace_option
def index(drop: bool, form: str, workspace: Path | None) -> None:
    """Make the index of the newest publication from which `segments preview` answers quickly.

    It holds for every person the tags, what law and policy say, and the answers to the conditions of the workspace's segments, as packed
    bits in `_preview` of the lake. A preview takes it where it holds all that is asked and is of the publication that is
    previewed; without it, or where a file of it is damaged, the preview reads the tables and says the same. Schedule it after
    `nightly`. Needs no JVM and waits for no night; of two at once the second ends with 4.
    """
    from jobs.cli.printing import print_document
    from jobs.workspace.surroundings import read_surroundings
    from lakehouse.settings.file_rights import closed_files
    from lakehouse.settings.settings import load_settings
    from lakehouse.texts import text
    from segments.explaining.indexed import index_newest
    from segments.indexing.files import remove_indexes

    settings = load_settings(workspace)
    if drop:
        deleted = remove_indexes(settings)
        print_document({"deleted": deleted}, [text("index.deleted", deleted=deleted)], form)
        return
    with closed_files(settings):
        size, faulty = index_newest(settings, read_surroundings(settings))
    lines = [text("preview.faulty", code=code) for code in faulty]
    lines.append(
        text("index.made", day=size.business_date, people=size.people, columns=size.columns, bytes=size.bytes)
    )
    print_document(asdict(size) | {"faulty": faulty}, lines, form)
