"""``cdp segments preview``: the figures of a segment before a night publishes them."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import click

from jobs.cli.options import complete_segments, format_option, newest_date_option, workspace_option

if TYPE_CHECKING:
    from segments.explaining.preview import Preview


@click.command("preview")
@click.argument("name", metavar="CODE|FILE", shell_complete=complete_segments)
@click.option(
    "--people",
    type=click.IntRange(0, 100),
    default=10,
    show_default=True,
    help="Show so many people of the audience; that is recorded in audit/lookups.jsonl. 0 shows none.",
)
@newest_date_option
@format_option
@workspace_option
def preview(name: str, people: int, day: date | None, form: str, workspace: Path | None) -> int:
    """Show what a segment would publish: its size after each condition, who is kept out and why, arms, channels, overlap.

    CODE is a segment of the workspace; FILE is any segment file, also one that is not in the workspace yet. The figures are those
    that a night publishes from the same inputs: the tables of the newest publication, or of that of --date. Needs no JVM, takes
    no lock and changes nothing in the lake. Exit 3 where a gate of the segment would stop the night.
    """
    from jobs.cli.printing import print_document
    from jobs.report.reveals import reader_scope, record_lookup
    from jobs.workspace.surroundings import read_surroundings
    from lakehouse.query.published import require_publication
    from lakehouse.settings.settings import load_settings
    from segments.explaining.preview import preview as preview_segment

    settings = load_settings(workspace)
    figures = preview_segment(
        settings, read_surroundings(settings), name, day, people=people, branches=reader_scope(settings)
    )
    if figures.people:
        publication = require_publication(settings, figures.business_date)
        record_lookup(settings, "segments preview", publication, [row["one_id"] for row in figures.people])
    print_document(figures.summary(), _lines(figures), form)
    return 3 if figures.refusal else 0


def _lines(figures: Preview) -> list[str]:
    from jobs.cli.printing import block_lines, text_table
    from lakehouse.texts import reason_text, text

    counts = figures.counts
    lines = [
        text(
            "preview.head",
            code=figures.code,
            version=figures.version,
            name=figures.name,
            day=figures.business_date,
        )
    ]
    lines += [text("preview.note", note=note) for note in figures.notes]
    lines += text_table(
        ("preview.condition", "preview.people", "preview.unknown"),
        [(step.condition, step.people, step.unknown) for step in figures.funnel],
    )
    lines += text_table(
        ("preview.leaf", "preview.yes", "preview.no", "preview.unknown"),
        [(leaf.leaf, leaf.yes, leaf.no, leaf.unknown) for leaf in figures.leaves],
    )
    suppressed = counts["suppressed_by_reason"]
    out = [(text("preview.candidates"), counts["candidates"])]
    out += [(f"− {reason} ({reason_text(reason)})", number) for reason, number in suppressed.items()]
    out += [(text("preview.eligible"), counts["eligible"])]
    kept_out = ("not_in_rollout", "control_global", "holdout_local", "contaminated")
    out += [(f"− {text(f'preview.{place}')}", counts[place]) for place in kept_out if counts[place]]
    out += [(text("preview.arm", arm=arm), number) for arm, number in counts["variants"].items()]
    losses = counts["dropped_by_contact"]
    out += [(f"− {reason} ({reason_text(reason)})", number) for reason, number in losses.items()]
    out += [(text("preview.published"), counts["published"])]
    lines += text_table(("preview.step", "preview.people"), out)
    lines += text_table(
        ("preview.variant", "preview.channel", "preview.people"),
        [(row["variant"], row["channel"], row["people"]) for row in figures.channels],
    )
    lines += text_table(
        ("preview.overlap", "preview.version", "preview.state", "preview.people", "preview.shared"),
        [(o.segment, o.version, text(f"preview.{o.state}"), o.people, o.shared) for o in figures.overlaps],
    )
    if figures.difference is not None:
        difference = figures.difference
        lines += [
            "",
            text(
                "preview.difference", version=difference.version, staying=difference.staying,
                entering=difference.entering, leaving=difference.leaving,
            ),
        ]  # fmt: skip
    if figures.people:
        names = list(figures.people[0])
        lines += block_lines(names, [tuple(row[name] for name in names) for row in figures.people])
    if figures.refusal:
        lines += ["", text("preview.refusal", refusal=figures.refusal)]
    return lines
