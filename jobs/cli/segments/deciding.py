"""``cdp segments approve`` and its like: decisions about segments, each recorded in audit/segments.jsonl. No JVM."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from jobs.cli.options import DAY, complete_segments, format_option, workspace_option

if TYPE_CHECKING:
    from lakehouse.settings.settings import Settings
    from segments.approving.deciding import Decider
    from segments.approving.decisions import Action
    from segments.language.catalogue import Catalogue

_code = click.argument("code", shell_complete=complete_segments)
_role = click.option("--role", required=True, help="The role of roles.yml in which you decide.")
_note = click.option("--note", default=None, help="What you want to say beside it.")


def _reason(*, required: bool) -> Any:
    # With a default, even that of None, click takes a required option for given.
    return click.option(
        "--reason", required=required, help="Why, for whoever asks years later; nobody's data."
    )


@click.command("approve")
@_code
@click.option("--stage", required=True, type=click.Choice(["whitelist", "small", "full"]),
              help="For this stage of the roll-out and those below it.")  # fmt: skip
@_role
@click.option("--until", type=DAY, default=None, help="The last business date it counts for.")
@_note
@workspace_option
def approve(
    code: str, stage: str, role: str, until: date | None, note: str | None, workspace: Path | None
) -> None:
    """Approve a segment as it is now: its definition with the bounds of its parameters, what it names, the lists it reads."""
    from segments.approving.deciding import approve as approve_segment

    settings, catalogue, decider = _surroundings(workspace, role)
    decision = approve_segment(settings, catalogue, code, stage, decider, until=until, note=note)  # type: ignore[arg-type]
    ends = f" until {until}" if until else ""
    click.echo(
        f"{code} {decision.version} is approved for {stage}{ends} by {role} ({decision.user}), approval {decision.decision_id}"
    )
    _tell_standing(settings, catalogue, code)


@click.command("revoke")
@_code
@_role
@click.option(
    "--approval", "approval_id", default=None, help="Only this approval; else every one of the role."
)
@_note
@workspace_option
def revoke(code: str, role: str, approval_id: str | None, note: str | None, workspace: Path | None) -> None:
    """Take back the approvals a role gave for a segment; the next night does not publish it without them."""
    from segments.approving.deciding import revoke as revoke_approvals

    settings, catalogue, decider = _surroundings(workspace, role)
    for decision in revoke_approvals(settings, catalogue, code, decider, approval_id=approval_id, note=note):
        click.echo(f"approval {decision.revokes} of {role} for {code} is revoked ({decision.user})")
    _tell_standing(settings, catalogue, code)


@click.command("approvals")
@click.argument("code", required=False, shell_complete=complete_segments)
@click.option("--date", "day", type=DAY, default=None, help="Business date (default: today).")
@format_option
@workspace_option
def approvals(code: str | None, day: date | None, form: str, workspace: Path | None) -> None:
    """List where segments stand: version, stage, and what keeps them back; with CODE every approval and whether it counts."""
    from jobs.cli.printing import print_document, print_rows
    from segments.approving.standing import basis_of, read_authority, standings

    settings, catalogue = _read(workspace)
    every = standings(catalogue.segments, read_authority(settings), day or _today(settings))
    if code is None:
        lines = [
            (one, s.segment.version, s.segment.spec.rollout.effective_stage, s.barrier.kind if s.barrier else "free",
             s.barrier.sentence if s.barrier else None)
            for one, s in every.items()
        ]  # fmt: skip
        print_rows(("code", "version", "stage", "state", "why"), lines, form)
        return
    standing = every[catalogue.segment(code).code]
    segment, barrier = standing.segment, standing.barrier
    stage = segment.spec.rollout.effective_stage
    # Asked for or not: another system has to name it before there is anything to decide.
    basis = standing.basis or basis_of(segment, {s.code: s for s in catalogue.segments}, settings.workspace)
    names = ("approval", "by", "user", "stage", "version", "approved_at", "until", "state")
    rows = [
        (a.approval_id, a.by, a.user, a.stage, a.version, a.approved_at.isoformat(), a.until, a.state)
        for a in standing.approvals
    ]
    if form != "table":
        document = {
            "code": code,
            "version": segment.version,
            "stage": stage,
            "definition_hash": segment.definition_hash,
            "basis": basis,
            "state": barrier.kind if barrier else "free",
            "why": barrier.sentence if barrier else None,
            "approvals": [dict(zip(names, row, strict=True)) for row in rows],
        }
        print_document(document, [], form)
        return
    click.echo(f"{code} {segment.version}, stage {stage}")
    click.echo(f"definition_hash  {segment.definition_hash}")
    click.echo(f"basis            {basis}")
    _tell_standing(settings, catalogue, code, day)
    print_rows(names, rows, form)


@click.command("hold")
@_code
@_role
@_reason(required=True)
@workspace_option
def hold(code: str, role: str, reason: str, workspace: Path | None) -> None:
    """Publish nothing more of a segment, from a night that runs now on, until the same role releases it."""
    _stop("hold", code, role, reason, workspace)
    click.echo("what was released stands until it expires; `cdp segments recall` takes it back")


@click.command("release")
@_code
@_role
@_reason(required=False)
@workspace_option
def release(code: str, role: str, reason: str | None, workspace: Path | None) -> None:
    """End the hold, or the recall, of a role."""
    _stop("release", code, role, reason, workspace)


@click.command("pause")
@_code
@_role
@_reason(required=False)
@workspace_option
def pause(code: str, role: str, reason: str | None, workspace: Path | None) -> None:
    """Let a segment rest until it is resumed; arms, members and numbers of deliveries go on where they were."""
    _stop("pause", code, role, reason, workspace)


@click.command("resume")
@_code
@_role
@_reason(required=False)
@workspace_option
def resume(code: str, role: str, reason: str | None, workspace: Path | None) -> None:
    """End the pause of a role."""
    _stop("resume", code, role, reason, workspace)


@click.command("recall")
@_code
@_role
@_reason(required=True)
@click.option("--now", "at_once", is_flag=True, help="At once, under the lock; else the next night does it.")
@workspace_option
def recall(code: str, role: str, reason: str, at_once: bool, workspace: Path | None) -> None:
    """Take back what still stands of a segment: a new run with EXIT for all, and no other until the same role releases it."""
    settings = _stop("recall", code, role, reason, workspace)
    if not at_once:
        click.echo("the next night takes everybody out; --now does it at once")
        return
    _recall_at_once(settings, code)


@click.command("begin-anew")
@_role
@_reason(required=True)
@workspace_option
def begin_anew(role: str, reason: str, workspace: Path | None) -> None:
    """Begin the record of decisions anew, where it is lost and no backup has it: nothing decided before counts any more."""
    from jobs.report.reveals import operating_user
    from lakehouse.clock import now
    from lakehouse.query.published import newest_publication
    from lakehouse.settings.settings import load_settings
    from segments.approving.deciding import Decider
    from segments.approving.deciding import begin_anew as begin_record_anew

    settings = load_settings(workspace)
    decider = Decider(operating_user(), role, now().replace(microsecond=0))
    newest = newest_publication(settings)
    mark = newest.summary.get("decisions") if newest else None
    decision, aside = begin_record_anew(settings, decider, reason, mark)
    click.echo(
        f"the record of decisions begins anew by {role} ({decision.user}), recorded as {decision.decision_id}"
    )
    if aside is not None:
        click.echo(f"the older one lies in {aside}")
    click.echo("decide every hold, pause, recall and approval again before the next night")


def _recall_at_once(settings: Settings, code: str) -> None:
    from jobs.night.recall import recall_at_once

    runs = recall_at_once(settings, code)
    for run in runs:
        click.echo(f"{run.destination}: run {run.run_id} (seq {run.seq}) takes everybody out of {code}")
    if not runs:
        click.echo(f"no audience of {code} stands any more")


def _stop(action: Action, code: str, role: str, reason: str | None, workspace: Path | None) -> Settings:
    from segments.approving.deciding import stop

    settings, catalogue, decider = _surroundings(workspace, role)
    codes = _delivered_codes(settings) if action in ("recall", "release") else ()
    decision = stop(settings, catalogue, action, code, decider, note=reason, delivered_codes=codes)
    click.echo(f"{action} of {code} by {role} ({decision.user}) is recorded as {decision.decision_id}")
    return settings


def _delivered_codes(settings: Settings) -> set[str]:
    from lakehouse.query.published import newest_publication, open_publication

    newest = newest_publication(settings)
    if newest is None or "segments.deliveries" not in newest.tables:
        return set()
    with open_publication(settings) as published:
        return {code for (code,) in published.rows("SELECT DISTINCT code FROM segments.deliveries")}


def _tell_standing(settings: Settings, catalogue: Catalogue, code: str, day: date | None = None) -> None:
    from segments.approving.standing import read_authority, standings

    every = standings(catalogue.segments, read_authority(settings), day or _today(settings))
    barrier = every[code].barrier if code in every else None
    click.echo(f"not published: {barrier.sentence}" if barrier else "free: the next night publishes it")


def _read(workspace: Path | None) -> tuple[Settings, Catalogue]:
    from jobs.workspace.surroundings import read_surroundings
    from lakehouse.settings.settings import load_settings
    from segments.language.catalogue import read_catalogue

    settings = load_settings(workspace)
    return settings, read_catalogue(settings, read_surroundings(settings))


def _surroundings(workspace: Path | None, role: str) -> tuple[Settings, Catalogue, Decider]:
    from jobs.report.reveals import operating_user
    from lakehouse.clock import now
    from segments.approving.deciding import Decider

    settings, catalogue = _read(workspace)
    return settings, catalogue, Decider(operating_user(), role, now().replace(microsecond=0))


def _today(settings: Settings) -> date:
    from lakehouse.clock import now

    return now().astimezone(settings.zone).date()


COMMANDS = (approve, revoke, approvals, hold, release, pause, resume, recall, begin_anew)
