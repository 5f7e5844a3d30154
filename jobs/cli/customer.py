"""``cdp customer``: what is known of one person."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import click

from jobs.cli.options import as_of_option, format_option, workspace_option

if TYPE_CHECKING:
    from jobs.report.customer import CustomerView


@click.group("customer")
def group() -> None:
    """Look at one person: profiles, tags, holdings, events, consents, contacts and segments."""


@group.command("show")
@click.argument("one_id", type=int, required=False)
@click.option("--identifier", metavar="NAMESPACE=VALUE", help="The person that carries this identifier.")
@click.option("--profile", metavar="SOURCE/KEY", help="The person this record belongs to.")
@click.option(
    "--last",
    "most",
    type=click.IntRange(1, 1000),
    default=20,
    show_default=True,
    help="Show so many last events and contacts.",
)
@click.option(
    "--reveal",
    metavar="REASON",
    help="Show identifiers unmasked; who, when and why are recorded in audit/reveals.jsonl.",
)
@format_option
@as_of_option
@workspace_option
def show(
    one_id: int | None,
    identifier: str | None,
    profile: str | None,
    most: int,
    reveal: str | None,
    form: str,
    as_of: date | None,
    workspace: Path | None,
) -> None:
    """Show all that is published of one person, identifiers masked. Needs no JVM.

    Name the person by ONE_ID, by --identifier or by --profile. Every look-up is recorded in audit/lookups.jsonl, also one that finds nobody.
    """
    from identity.explaining.show import find_one_id
    from jobs.cli.printing import print_document
    from jobs.report.customer import read_customer
    from jobs.report.reveals import recorded_misses
    from lakehouse.errors import UsageError
    from lakehouse.query.published import open_publication
    from lakehouse.settings.settings import load_settings

    if sum(name is not None for name in (one_id, identifier, profile)) != 1:
        raise UsageError("name one person: a OneID, --identifier NAMESPACE=VALUE or --profile SOURCE/KEY")
    if reveal is not None and not reveal.strip():
        raise UsageError("--reveal has to say why the values are needed")
    with open_publication(load_settings(workspace), as_of) as published:
        if one_id is None:
            with recorded_misses(published.settings, "customer show", published.publication):
                one_id = find_one_id(published, identifier=identifier, profile=profile)
        view = read_customer(published, one_id, most=most, reveal=reveal)
    print_document(view.summary(), _lines(view), form)


def _lines(view: CustomerView) -> list[str]:
    from jobs.cli.printing import block_lines
    from lakehouse.texts import text

    lines = [
        text("customer.head", one_id=view.one_id, kind=view.kind, status=view.status, day=view.business_date)
    ]
    if view.merged_from is not None:
        lines.append(text("customer.merged", one_id=view.merged_from))
    values = [row for row in view.tags if row["value"] is not None]
    sections = {
        "profiles": view.profiles,
        "identifiers": view.identifiers,
        "golden": [{"attribute": name, "value": value} for name, value in view.golden.items()],
        "tags": [{**row, "value": _value(row["value"])} for row in values],
        "holdings": view.holdings,
        "events": view.events,
        "consents": view.consents,
        "contacts": view.contacts,
        "segments": [{name: row[name] for name in ("code", "version", "variant", "channel", "entered_on", "outcome")} for row in view.segments],
        "micro_segments": view.micro_segments,
    }  # fmt: skip
    for name, rows in sections.items():
        lines += ["", f"— {text(f'customer.{name}')} ({len(rows)})"]
        if rows:
            lines += block_lines(list(rows[0]), [tuple(row.values()) for row in rows])[1:]
    lines.append("")
    if len(values) < len(view.tags):
        lines.append(text("customer.empty", count=len(view.tags) - len(values)))
    if not view.is_revealed:
        lines.append(text("customer.masks"))
    return lines


def _value(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
