"""``cdp identity``: resolve a date, show a person, decide about records, correct others, measure."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from jobs.cli.options import (
    DAY,
    as_of_option,
    date_option,
    format_option,
    signature_options,
    two_records,
    workspace_option,
)
from lakehouse.clock import now

if TYPE_CHECKING:
    from jobs.report.evaluation import MapEvaluation
    from lakehouse.tables.lake import Lake


@click.group("identity")
def group() -> None:
    """Resolve, show, decide, correct and evaluate OneIDs."""


@group.command("run")
@date_option()
@click.option("--full", is_flag=True, help="Decide every record again, not only what something reached.")
@workspace_option
def run(business_date: date, full: bool, workspace: Path | None) -> int:
    """Run only the identity step; nothing becomes visible before the night is published."""
    from jobs.night.single import run_single
    from lakehouse.settings.settings import load_settings

    click.echo(run_single(load_settings(workspace), "resolve", business_date, full=full))
    return 0


@group.command("show")
@click.argument("one_id", type=int, required=False)
@click.option("--identifier", metavar="NAMESPACE=VALUE", help="The person that carries this identifier.")
@click.option("--profile", metavar="SOURCE/KEY", help="The person this record belongs to.")
@click.option(
    "--reveal",
    metavar="REASON",
    help="Show keys of records that are identifiers themselves; who, when and why are recorded in audit/reveals.jsonl.",
)
@format_option
@as_of_option
@workspace_option
def show(
    one_id: int | None,
    identifier: str | None,
    profile: str | None,
    reveal: str | None,
    form: str,
    as_of: date | None,
    workspace: Path | None,
) -> None:
    """Show a person's profiles, links and history; values are masked. Needs no JVM.

    Name the person by ONE_ID, by --identifier or by --profile.
    """
    from identity.explaining.show import describe, find_one_id, show_person
    from jobs.cli.printing import print_document
    from jobs.report.reveals import record_lookup, record_reveal, recorded_misses
    from lakehouse.errors import UsageError
    from lakehouse.query.published import open_publication
    from lakehouse.settings.settings import load_settings

    if sum(name is not None for name in (one_id, identifier, profile)) != 1:
        raise UsageError("name one person: a OneID, --identifier NAMESPACE=VALUE or --profile SOURCE/KEY")
    published = open_publication(load_settings(workspace), as_of)
    if reveal is not None and not reveal.strip():
        raise UsageError("--reveal has to say why the values are needed")
    with recorded_misses(published.settings, "identity show", published.publication):
        if one_id is None:
            one_id = find_one_id(published, identifier=identifier, profile=profile)
        if reveal is not None:
            record_reveal(published.settings, reveal, published.publication, ["identity.memberships"])
        person = show_person(published, one_id, is_revealed=reveal is not None)
    record_lookup(
        published.settings, "identity show", published.publication, [one_id], is_revealed=reveal is not None
    )
    print_document(person.summary(), describe(person), form)


@group.command("why")
@two_records
@format_option
@as_of_option
@workspace_option
def why(profile_a: str, profile_b: str, form: str, as_of: date | None, workspace: Path | None) -> None:
    """Tell why two records are one person: statement by statement, with file and record. Needs no JVM."""
    from identity.explaining.explain import describe_why
    from identity.explaining.explain import why as explain_why
    from jobs.cli.printing import print_document
    from jobs.report.reveals import record_lookup, recorded_misses
    from lakehouse.query.published import open_publication
    from lakehouse.settings.settings import load_settings

    published = open_publication(load_settings(workspace), as_of)
    with recorded_misses(published.settings, "identity why", published.publication):
        explanation = explain_why(published, profile_a, profile_b)
    record_lookup(published.settings, "identity why", published.publication, [explanation.one_id])
    print_document(explanation.summary(), describe_why(explanation), form)


@group.command("why-not")
@two_records
@format_option
@as_of_option
@workspace_option
def why_not(profile_a: str, profile_b: str, form: str, as_of: date | None, workspace: Path | None) -> None:
    """Tell why two records are two people: what did not join them, and what forbids it. Needs no JVM."""
    from identity.explaining.explain import describe_why_not
    from identity.explaining.explain import why_not as explain_why_not
    from jobs.cli.printing import print_document
    from jobs.report.reveals import record_lookup, recorded_misses
    from lakehouse.query.published import open_publication
    from lakehouse.settings.settings import load_settings

    published = open_publication(load_settings(workspace), as_of)
    with recorded_misses(published.settings, "identity why-not", published.publication):
        explanation = explain_why_not(published, profile_a, profile_b)
    record_lookup(published.settings, "identity why-not", published.publication, explanation.one_ids)
    print_document(explanation.summary(), describe_why_not(explanation), form)


@group.command("try")
@click.option(
    "--rules",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    help="The identity.yml to be tried.",
)
@click.option("--only-identity", is_flag=True, help="Leave tags and audiences out; needs no JVM.")
@format_option
@workspace_option
def try_(rules: Path, only_identity: bool, form: str, workspace: Path | None) -> int:
    """Show what other rules would make of the night after the newest published one: people, tags, audiences. Changes nothing.

    It is `cdp plan` for one file; people are held against what the published rules make of the same night.
    """
    from jobs.cli.printing import print_document
    from jobs.planning.plan import plan_rules_change
    from jobs.planning.wording import describe_rules
    from lakehouse.settings.settings import load_settings

    plan = plan_rules_change(load_settings(workspace), rules, only_identity=only_identity)
    print_document(plan.summary(), describe_rules(plan), form)
    return 3 if plan.refusal else 0


@group.command("evaluate")
@click.option(
    "--truth",
    type=click.Path(path_type=Path),
    default=None,
    help="CSV with source, source_key, person (default: `truth` of cdp.yml).",
)
@click.option("--allow-missing", is_flag=True, help="Leave out truth about profiles that are not in the map.")
@click.option(
    "--out", type=click.Path(path_type=Path, dir_okay=False), default=None, help="Also write the JSON here."
)
@click.option("--baselines", is_flag=True, help="Also measure connected components and average linkage.")
@format_option
@as_of_option
@workspace_option
def evaluate(
    truth: Path | None,
    allow_missing: bool,
    out: Path | None,
    baselines: bool,
    form: str,
    as_of: date | None,
    workspace: Path | None,
) -> None:
    """Measure the published map against known truth; the last line is a JSON object. Needs no JVM."""
    from jobs.cli.printing import print_document
    from jobs.report.evaluation import evaluate_map
    from lakehouse.settings.settings import load_settings
    from lakehouse.settings.written_files import json_kind, written_file

    settings = load_settings(workspace)
    evaluation = evaluate_map(
        settings, truth, allow_missing=allow_missing, with_baselines=baselines, as_of=as_of
    )
    text = json.dumps(evaluation.summary())
    if out is not None:
        with written_file(
            settings, out, json_kind("file of measures", "profiles", "people", "precision", "recall")
        ) as part:
            part.write_text(text + "\n", encoding="utf-8")
    print_document(evaluation.summary(), [*_measure_lines(evaluation), text], form)


def _measure_lines(evaluation: MapEvaluation) -> list[str]:
    measures = {**evaluation.numbers, **evaluation.shape, **evaluation.night}
    lines = [
        f"{name.replace('_', ' '):<24}{value if not isinstance(value, dict) else json.dumps(value):>14}"
        for name, value in measures.items()
    ]
    return lines + [
        f"{name.replace('_', ' '):<24}precision {numbers['precision']}, recall {numbers['recall']}, "
        f"b cubed f1 {numbers['b_cubed_f1']}, largest {numbers['largest']}"
        for name, numbers in (evaluation.baselines or {}).items()
    ]


@group.command("changes")
@click.option("--since", type=DAY, required=True, help="The first night whose changes are told.")
@format_option
@as_of_option
@workspace_option
def changes(since: date, form: str, as_of: date | None, workspace: Path | None) -> None:
    """List records whose OneID became another one: the correction feed for systems that keep OneIDs. Needs no JVM."""
    from identity.explaining.changes import COLUMNS, changes_since
    from jobs.cli.printing import print_rows
    from lakehouse.query.published import open_publication
    from lakehouse.settings.settings import load_settings

    rows = changes_since(open_publication(load_settings(workspace), as_of), since)
    print_rows(list(COLUMNS), rows, form)


@group.command("caps")
@click.option(
    "--picture",
    type=click.Path(path_type=Path, dir_okay=False),
    default=None,
    help="Also draw it as SVG here.",
)
@format_option
@as_of_option
@workspace_option
def caps(picture: Path | None, form: str, as_of: date | None, workspace: Path | None) -> None:
    """Suggest how many records may carry one value, per namespace, from the published links; nothing is set."""
    from identity.measuring.suggested_limits import COLUMNS as LIMIT_COLUMNS
    from identity.measuring.suggested_limits import describe_limits, draw_limits, suggest_limits
    from identity.rules.rules import load_rules
    from jobs.cli.printing import print_rows
    from lakehouse.query.published import open_publication
    from lakehouse.settings.settings import load_settings
    from lakehouse.settings.written_files import SVG, written_file

    settings = load_settings(workspace)
    limits = suggest_limits(open_publication(settings, as_of), load_rules(settings))
    if picture is not None:
        with written_file(settings, picture, SVG) as part:
            draw_limits(limits, part)
    summaries = [limit.summary() for limit in limits]
    if form == "table":
        click.echo("\n".join(describe_limits(limits)))
    else:
        print_rows(list(LIMIT_COLUMNS), [tuple(s[name] for name in LIMIT_COLUMNS) for s in summaries], form)


@group.group("decide")
def decide() -> None:
    """Say that two records are, or are not, one person; it holds from the next night that is run."""


def _decide(kind: Any, a: str, b: str, author: str, reason: str, workspace: Path | None) -> None:
    from identity.reading.decisions import decide as write_decision
    from identity.reading.decisions import waits

    # A decision is one append to a table no night writes: it need not wait for the lock.
    with _decisions_lake(workspace) as lake:
        decision = write_decision(lake, kind, a, b, author=author, reason=reason, decided_at=now())
        is_early = waits(lake, decision)
    click.echo(json.dumps({"decision_id": decision.decision_id, "kind": decision.kind, "waits": is_early}))
    if is_early:
        click.echo("no night has met one of these records yet: the decision waits until one does", err=True)


@contextmanager
def _decisions_lake(workspace: Path | None) -> Iterator[Lake]:
    from lakehouse.settings.file_rights import closed_files
    from lakehouse.settings.settings import load_settings
    from lakehouse.tables.lake import Lake

    settings = load_settings(workspace)
    with closed_files(settings):
        lake = Lake(settings)
        lake.create(["identity.decisions", "identity.nodes"])
        yield lake


@decide.command("must-link")
@two_records
@signature_options
@workspace_option
def must_link(profile_a: str, profile_b: str, author: str, reason: str, workspace: Path | None) -> None:
    """Say that two records are one person, above all links; a limit may still refuse it (identity.refused_links)."""
    _decide("must_link", profile_a, profile_b, author, reason, workspace)


@decide.command("cannot-link")
@two_records
@signature_options
@workspace_option
def cannot_link(profile_a: str, profile_b: str, author: str, reason: str, workspace: Path | None) -> None:
    """Say that two records are two persons, whatever joins them."""
    _decide("cannot_link", profile_a, profile_b, author, reason, workspace)


@decide.command("revoke")
@click.argument("decision_id")
@signature_options
@workspace_option
def revoke(decision_id: str, author: str, reason: str, workspace: Path | None) -> None:
    """Take a decision back; the log keeps both."""
    from identity.reading.decisions import revoke as write_revocation

    with _decisions_lake(workspace) as lake:
        revocation = write_revocation(lake, decision_id, author=author, reason=reason, decided_at=now())
    click.echo(json.dumps({"decision_id": revocation, "kind": "revoke", "revokes": decision_id}))
