"""``cdp segments diff``, ``overlap`` and ``profile``: a segment beside another version of it, other segments, its base."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import click

from jobs.cli.options import (
    as_of_option,
    complete_segments,
    format_option,
    newest_date_option,
    workspace_option,
)

if TYPE_CHECKING:
    from segments.explaining.live import SharedPeople
    from segments.explaining.profile import Profile
    from segments.explaining.versions import VersionChange

# Causes beside the reasons of suppression.
_CAUSES = ("rule", "rollout", "control", "merge")


@click.command("diff")
@click.argument("code", shell_complete=complete_segments)
@click.option("--from", "first", metavar="VERSION", required=True, help="The version to compare with.")
@click.option("--to", "second", metavar="VERSION", required=True, help="The version that is compared.")
@click.option(
    "--people",
    type=click.IntRange(0, 100),
    default=10,
    show_default=True,
    help="Show so many who enter and so many who leave; that is recorded in audit/lookups.jsonl. 0 shows none.",
)
@newest_date_option
@format_option
@workspace_option
def diff(
    code: str, first: str, second: str, people: int, day: date | None, form: str, workspace: Path | None
) -> None:
    """Show whom another version of a segment contacts: who enters, who leaves, and why.

    Both versions are decided on the tables of the newest publication, or of that of --date. A version is one that a night
    evaluated (segments.definitions), or that of the file in the workspace. Needs no JVM.
    """
    from jobs.cli.printing import print_document
    from jobs.report.reveals import reader_scope, record_lookup
    from jobs.workspace.surroundings import read_surroundings
    from lakehouse.query.published import require_publication
    from lakehouse.settings.settings import load_settings
    from segments.explaining.versions import compare_versions

    settings = load_settings(workspace)
    surroundings = read_surroundings(settings)
    branches = reader_scope(settings)
    change = compare_versions(
        settings, surroundings, code, first, second, day, people=people, branches=branches
    )
    if change.people:
        publication = require_publication(settings, change.business_date)
        record_lookup(settings, "segments diff", publication, [row["one_id"] for row in change.people])
    print_document(change.summary(), _change_lines(change), form)


def _change_lines(change: VersionChange) -> list[str]:
    from jobs.cli.printing import block_lines, text_table
    from lakehouse.texts import text

    lines = [
        text(
            "diff.head", code=change.code, first=change.first, second=change.second, day=change.business_date
        )
    ]
    lines += [text("preview.note", note=note) for note in change.notes]
    if change.is_same_definition:
        lines.append(text("diff.same"))
    lines += text_table(
        ("diff.version", "preview.candidates", "preview.eligible", "preview.published"),
        [
            (version, counts["candidates"], counts["eligible"], counts["published"])
            for version, counts in (
                (change.first, change.first_counts),
                (change.second, change.second_counts),
            )
        ],
    )
    lines += [
        "",
        text(
            "diff.moves", staying=change.staying, entering=change.entering, leaving=change.leaving,
            other_arm=change.other_arm, other_channel=change.other_channel,
        ),
    ]  # fmt: skip
    lines += text_table(
        ("diff.op", "diff.cause", "preview.people"),
        [(row["op"], _cause(row["cause"]), row["people"]) for row in change.causes],
    )
    if change.people:
        lines += block_lines(list(change.people[0]), [tuple(row.values()) for row in change.people])
    return lines


def _cause(cause: str) -> str:
    from lakehouse.texts import reason_text, text

    return text(f"diff.{cause}") if cause in _CAUSES else f"{cause} ({reason_text(cause)})"


@click.command("overlap")
@as_of_option
@format_option
@workspace_option
def overlap(as_of: date | None, form: str, workspace: Path | None) -> None:
    """Show how many people every two published audiences share.

    The table for people is a matrix, a segment's own size on its diagonal; CSV and JSON have one row a pair.
    """
    from jobs.cli.printing import print_rows
    from lakehouse.query.published import open_publication
    from lakehouse.settings.settings import load_settings
    from segments.explaining.live import shared_people

    with open_publication(load_settings(workspace), as_of) as published:
        pairs = shared_people(published)
    if form == "table":
        print_rows(*_matrix(pairs), form)
        return
    names = ("segment", "other", "people", "other_people", "shared")
    print_rows(
        names,
        [(p.segment, p.other, p.people, p.other_people, p.shared) for p in pairs if p.segment != p.other],
        form,
    )


def _matrix(pairs: list[SharedPeople]) -> tuple[list[str], list[tuple[object, ...]]]:
    codes = list(dict.fromkeys(pair.segment for pair in pairs))
    shared = {(pair.segment, pair.other): pair.shared for pair in pairs}
    return ["segment", *codes], [(code, *(shared[code, other] for other in codes)) for code in codes]


@click.command("profile")
@click.argument("name", metavar="CODE|FILE", shell_complete=complete_segments)
@click.option(
    "--tags",
    "most",
    type=click.IntRange(1),
    default=20,
    show_default=True,
    help="Show so many tags, those that differ most.",
)
@click.option(
    "--picture",
    type=click.Path(path_type=Path, dir_okay=False),
    default=None,
    help="Also draw their classes as SVG here.",
)
@newest_date_option
@format_option
@workspace_option
def profile(
    name: str, most: int, picture: Path | None, day: date | None, form: str, workspace: Path | None
) -> None:
    """Show in which tags the members of a segment differ most from its base, or from everybody where it has none.

    `distance` is the share of people who would have to change class for both to look alike (total variation; people without a
    value are a class), `chance` what a random group of this size would have, `stability` the population stability index,
    `standardised` the difference of means in standard deviations. Needs no JVM.
    """
    from dataclasses import replace

    from jobs.cli.printing import print_document
    from jobs.workspace.surroundings import read_surroundings
    from lakehouse.settings.settings import load_settings
    from lakehouse.settings.written_files import SVG, written_file
    from segments.explaining.profile import draw_profile
    from segments.explaining.profile import profile as profile_segment

    settings = load_settings(workspace)
    answer = profile_segment(settings, read_surroundings(settings), name, day)
    answer = replace(answer, tags=answer.tags[:most])
    if picture is not None:
        with written_file(settings, picture, SVG) as part:
            draw_profile(answer, part)
    print_document(answer.summary(), _profile_lines(answer), form)


def _profile_lines(answer: Profile) -> list[str]:
    from jobs.cli.printing import text_table
    from lakehouse.texts import text

    lines = [
        text(
            "profile.head", code=answer.code, version=answer.version, day=answer.business_date, people=answer.people,
            base_people=answer.base_people, base=answer.base,
        )
    ]  # fmt: skip
    rows = []
    for tag in answer.tags:
        strongest = tag.strongest
        value = text("profile.no_value") if strongest.value is None else strongest.value
        shares = text(
            "profile.share", value=value, segment=f"{strongest.segment:.0%}", base=f"{strongest.base:.0%}"
        )
        standardised = None if tag.standardised is None else f"{tag.standardised:+.2f}"
        rows.append(
            (
                tag.tag,
                f"{tag.distance:.3f}",
                f"{tag.chance:.3f}",
                f"{tag.stability:.3f}",
                standardised,
                shares,
            )
        )
    heads = ("tag", "distance", "chance", "stability", "standardised", "strongest")
    return lines + text_table([f"profile.{head}" for head in heads], rows)
