"""``cdp tags diff`` and ``duplicates``: a tag beside another version of it, and beside the other tags."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import click

from jobs.cli.options import complete_tags, format_option, newest_date_option, workspace_option

if TYPE_CHECKING:
    from tags.build.versions import DefinitionChange


@click.command("duplicates")
@format_option
@workspace_option
def duplicates(form: str, workspace: Path | None) -> None:
    """List pairs of tags that say the same: registered ones that ask the same, published ones that answer the same of over 99 % of people.

    Counted are people about whom at least one of the two says more than null, no, zero, an empty set or its default, on the newest
    publication. first_users and second_users are the segments and computed tags that use each.
    """
    from jobs.cli.printing import print_rows
    from jobs.report.tag_usage import tag_users
    from lakehouse.query.published import Published, newest_publication
    from lakehouse.settings.settings import load_settings
    from tags import REGISTRY
    from tags.duplicates import duplicate_tags
    from vocabulary.registry import load_registry

    settings = load_settings(workspace)
    registry = load_registry(settings.workspace, shipped=REGISTRY)
    publication = newest_publication(settings)
    if publication is None or "tags.customer_tags" not in publication.tables:
        click.echo("nothing was published yet: only questions are compared", err=True)
        pairs = duplicate_tags(registry, None)
    else:
        with Published(settings, publication) as published:
            pairs = duplicate_tags(registry, published)
    users = tag_users(settings)
    rows = [
        (
            p.first, p.second, p.reason, None if p.equal_ratio is None else round(p.equal_ratio, 6), p.first_count,
            p.second_count, len(users.get(p.first, ())), len(users.get(p.second, ())),
        )
        for p in pairs
    ]  # fmt: skip
    names = (
        "first",
        "second",
        "same",
        "equal_ratio",
        "first_count",
        "second_count",
        "first_users",
        "second_users",
    )
    print_rows(names, rows, form)


@click.command("diff")
@click.argument("first", metavar="CODE[@VERSION]", shell_complete=complete_tags)
@click.argument("second", metavar="[CODE[@VERSION]]", required=False, shell_complete=complete_tags)
@click.option(
    "--people",
    type=click.IntRange(0, 100),
    default=10,
    show_default=True,
    help="Show so many who move; that is recorded in audit/lookups.jsonl. 0 shows none.",
)
@newest_date_option
@format_option
@workspace_option
def diff(
    first: str, second: str | None, people: int, day: date | None, form: str, workspace: Path | None
) -> None:
    """Show who moves between two versions of a tag: how many people from which value to which.

    CODE@VERSION is a version that a night published (tags.definitions), CODE the one of the workspace's files. With one
    argument, CODE is compared as it was published last, or CODE@VERSION, with the workspace's. Both are computed anew on the
    tables of the newest publication, or of that of --date, by today's tags that they read. Needs no JVM and writes nothing to the lake.
    """
    from jobs.cli.printing import print_document
    from jobs.report.reveals import record_lookup
    from lakehouse.query.published import require_publication
    from lakehouse.settings.settings import load_settings
    from tags import REGISTRY
    from tags.build.versions import compare_definitions
    from tags.definitions import find_definition, newest_definition
    from vocabulary.registry import load_registry

    settings = load_settings(workspace)
    registry = load_registry(settings.workspace, shipped=REGISTRY)
    if second is not None:
        pair = find_definition(settings, registry, first), find_definition(settings, registry, second)
    elif "@" in first:
        before = find_definition(settings, registry, first)
        pair = before, find_definition(settings, registry, before.code)
    else:
        after = find_definition(settings, registry, first)
        pair = newest_definition(settings, after.code), after
    change = compare_definitions(settings, *pair, day, people=people)
    if change.people:
        publication = require_publication(settings, change.business_date)
        record_lookup(settings, "tags diff", publication, [row["one_id"] for row in change.people])
    print_document(change.summary(), _change_lines(change), form)


def _change_lines(change: DefinitionChange) -> list[str]:
    from jobs.cli.printing import block_lines, text_table
    from lakehouse.texts import text

    def words(value: str | None) -> str:
        if value is None:
            return text("profile.no_value")
        return value if change.is_by_value else text(f"tags_diff.{value}")

    lines = [text("tags_diff.head", first=change.first, second=change.second, day=change.business_date)]
    edits = "; ".join(
        f"{text(f'tags_diff.{part}')}: {', '.join(keys)}" for part, keys in change.changes.items()
    )
    lines.append(text("tags_diff.changes", changes=edits) if edits else text("diff.same"))
    lines.append(
        text(
            "tags_diff.moves", moved=change.moved_count, people=change.people_count,
            first_nulls=change.first_null_count, second_nulls=change.second_null_count,
        )
    )  # fmt: skip
    lines += text_table(
        ("tags_diff.before", "tags_diff.after", "preview.people"),
        [(words(row["before"]), words(row["after"]), row["people"]) for row in change.moves],
    )
    if change.people:
        lines += block_lines(list(change.people[0]), [tuple(row.values()) for row in change.people])
    return lines


COMMANDS = (diff, duplicates)
