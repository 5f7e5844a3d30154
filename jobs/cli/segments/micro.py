"""``cdp segments micro``: the micro-segments of a set, computed from or shown as of a publication. No JVM."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import click

from jobs.cli.options import format_option, newest_date_option, workspace_option

if TYPE_CHECKING:
    from segments.explaining.profile import TagDistance
    from segments.grouping.describing import MicroProfile, MicroSegment

_PERIODS = {"month": "micro.published_month", "quarter": "micro.published_quarter"}


@click.command("micro")
@click.argument("name", metavar="CODE|FILE")
@click.option(
    "--tags",
    "most",
    type=click.IntRange(1),
    default=5,
    show_default=True,
    help="Show so many tags of each micro-segment, those that differ most.",
)
@click.option(
    "--picture",
    type=click.Path(path_type=Path, dir_okay=False),
    default=None,
    help="Also draw where the micro-segments are as SVG here.",
)
@newest_date_option
@format_option
@workspace_option
def micro(
    name: str, most: int, picture: Path | None, day: date | None, form: str, workspace: Path | None
) -> None:
    """Show micro-segments: people who are alike by some tags, how many, and in what they differ from all of them.

    CODE is a set of the workspace, FILE a declaration anywhere. What the newest night computed by the same declaration is shown as it
    is published; another declaration is tried on the publication, and nothing is written. `distance` and `standardised` are those
    of `cdp segments profile`. Of fewer than ten people no value is shown. Needs no JVM.
    """
    from jobs.cli.printing import print_document
    from jobs.workspace.surroundings import read_surroundings
    from lakehouse.settings.settings import load_settings
    from lakehouse.settings.written_files import SVG, written_file
    from segments.grouping.describing import describe, draw_micro_segments

    settings = load_settings(workspace)
    answer = describe(settings, read_surroundings(settings), name, day, most=most)
    if picture is not None:
        with written_file(settings, picture, SVG) as part:
            draw_micro_segments(answer, part)
    print_document(answer.summary(), _micro_lines(answer), form)


def _micro_lines(answer: MicroProfile) -> list[str]:
    from jobs.cli.printing import text_table
    from lakehouse.texts import text

    count = len(answer.micro_segments)
    lines = [
        text("micro.head", code=answer.code, name=answer.name, day=answer.business_date, people=answer.people, count=count),
        text(_PERIODS[answer.frozen], day=answer.computed_on)
        if answer.is_published
        else text("micro.tried"),
        text("micro.left_out", base=answer.base_count, refused=answer.refused_count, unvalued=answer.unvalued_count),
        text("micro.quality", silhouette=answer.silhouette, stability=answer.stability),
    ]  # fmt: skip
    if answer.moved_ratio is not None:
        lines.append(text("micro.moved", share=f"{answer.moved_ratio:.1%}"))
    lines += [text("micro.constant", tag=tag) for tag in answer.constant_tags]
    if answer.differing_people:
        lines.append(text("micro.differing", people=answer.differing_people))
    rows = [(one.label, one.name, one.people, f"{one.ratio:.1%}") for one in answer.micro_segments]
    lines += text_table(("micro.label", "micro.name", "micro.people", "micro.share"), rows)
    for one in answer.micro_segments:
        lines += _segment_lines(one)
    return lines


def _segment_lines(one: MicroSegment) -> list[str]:
    from jobs.cli.printing import text_table
    from lakehouse.texts import text

    title = f"{one.label} {one.name}" if one.name else str(one.label)
    if not one.tags:
        return ["", text("micro.small", title=title, people=one.people)]
    heads = ("profile.tag", "profile.distance", "profile.standardised", "profile.strongest")
    table = text_table(heads, [_row(tag) for tag in one.tags])
    return ["", text("micro.title", title=title, people=one.people), *table[1:]]


def _row(tag: TagDistance) -> tuple[object, ...]:
    from lakehouse.texts import text

    strongest = tag.strongest
    value = text("profile.no_value") if strongest.value is None else strongest.value
    share = text("micro.class", value=value, own=f"{strongest.segment:.0%}", all=f"{strongest.base:.0%}")
    standardised = None if tag.standardised is None else f"{tag.standardised:+.2f}"
    return (tag.tag, f"{tag.distance:.3f}", standardised, share)
