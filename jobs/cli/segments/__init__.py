"""``cdp segments``: check, show, preview, explain and verify segments and audiences. No JVM."""

from __future__ import annotations

import json
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from jobs.cli.options import complete_segments, format_option, newest_date_option, workspace_option
from jobs.cli.segments.comparing import diff, overlap, profile
from jobs.cli.segments.deciding import COMMANDS as DECISIONS
from jobs.cli.segments.indexing import index
from jobs.cli.segments.kit import test_kit
from jobs.cli.segments.micro import micro
from jobs.cli.segments.preview import preview
from jobs.cli.segments.unused import unused

if TYPE_CHECKING:
    from segments.explaining.explain import Explanation


@click.group("segments")
def group() -> None:
    """List segments, check, preview, compare, approve and stop them, explain a person's case, verify published audiences."""


for command in (preview, index, diff, overlap, profile, micro, unused, test_kit, *DECISIONS):
    group.add_command(command)


@group.command("list")
@format_option
@workspace_option
def list_segments(form: str, workspace: Path | None) -> None:
    """List the segments of the workspace with the numbers of their newest published run."""
    from jobs.cli.printing import print_rows
    from lakehouse.query.published import newest_publication, open_publication
    from lakehouse.settings.settings import load_settings
    from segments.language.spec import read_segments

    settings = load_settings(workspace)
    counts = {}
    if newest_publication(settings) is not None:
        rows = (
            open_publication(settings)
            .sql("SELECT code, as_of, counts FROM segments.runs ORDER BY as_of")
            .fetchall()
        )
        counts = {code: (as_of, json.loads(numbers)) for code, as_of, numbers in rows}
    rows = []
    for segment in read_segments(settings.workspace):
        as_of, numbers = counts.get(segment.code, (None, {}))
        name = getattr(segment.spec.name, settings.language)
        rows.append((
            segment.code, segment.version, segment.spec.purpose, numbers.get("published"), numbers.get("candidates"),
            as_of, name,
        ))  # fmt: skip
    print_rows(("code", "version", "purpose", "published", "candidates", "as_of", "name"), rows, form)


@group.command("check")
@click.argument("names", metavar="[CODE|FILE]...", nargs=-1, shell_complete=complete_segments)
@format_option
@workspace_option
def check(names: tuple[str, ...], form: str, workspace: Path | None) -> int:
    """Check every definition of the workspace: exit 2 with file, line, code and a hint for each fault.

    With CODE, a segment of the workspace, or FILE, any segment file, only what is found there and in what it rests on.
    """
    from jobs.cli.printing import print_rows
    from jobs.workspace.check import checked_catalogue, segment_findings
    from lakehouse.settings.settings import load_settings
    from segments.explaining.check_scope import CheckScope, scope_of

    settings = load_settings(workspace)
    catalogue = checked_catalogue(settings)
    scope: CheckScope | None = None
    if names:
        scope = scope_of(catalogue, names)
        catalogue = scope.catalogue
    findings = segment_findings(settings, catalogue)
    if scope is not None:
        findings = [finding for finding in findings if scope.concerns(finding)]
    faulty_files = {finding.file for finding in findings if not finding.is_warning}
    if form != "table":
        print_rows(
            ("file", "line", "code", "message"), [(f.file, f.line, f.code, f.message) for f in findings], form
        )
        return 2 if faulty_files else 0
    for finding in findings:
        click.echo(str(finding), err=True)
    files = scope.own_files if scope is not None else set(catalogue.segment_files)
    sentence = f"{len(files)} segments checked, {len(faulty_files & files)} with faults"
    others = len(faulty_files - files)
    click.echo(f"{sentence}, and {others} other files" if others else sentence)
    return 2 if faulty_files else 0


@group.command("sql")
@click.argument("code", shell_complete=complete_segments)
@newest_date_option
@workspace_option
def show_sql(code: str, day: date | None, workspace: Path | None) -> None:
    """Show the Spark SQL a segment is compiled to: its leaf table, then its logic."""
    from jobs.workspace.surroundings import read_surroundings
    from lakehouse.errors import UsageError
    from lakehouse.query.published import newest_publication
    from lakehouse.settings.settings import load_settings
    from segments.choosing.compile import segment_sql
    from segments.language.catalogue import read_catalogue

    settings = load_settings(workspace)
    catalogue = read_catalogue(settings, read_surroundings(settings))
    segment = catalogue.segment(code)
    newest = newest_publication(settings)
    if day is None and newest is None:
        raise UsageError("nothing was published yet; say the business date with --date")
    business_date = day or newest.business_date  # type: ignore[union-attr]
    click.echo(segment_sql(segment, business_date=business_date, policy=catalogue.site.policy))


@group.command("verify")
@click.argument("folder", type=click.Path(path_type=Path), required=False)
@click.option("--all", "is_all", is_flag=True, help="Verify every audience the workspace published.")
@click.option(
    "--at",
    "at",
    default=None,
    help="Also fail an audience that is over by then: now, or an instant with its offset.",
)
@click.option(
    "--key-file",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    default=None,
    help="File with the destination's verification key; also CDP_SECRET_VERIFICATION_KEY_<NAME>, or the workspace's.",
)
@format_option
@workspace_option
def verify(
    folder: Path | None,
    is_all: bool,
    at: str | None,
    key_file: Path | None,
    form: str,
    workspace: Path | None,
) -> int:
    """Verify audiences from their files: signature, bytes, rows, equations, sequence, pointer.

    FOLDER may be a copy anywhere; with the verification key it is told from what another hand wrote.
    With --all also that every audience that was delivered is there, as it was delivered.
    Exit 0 when all is as the manifests say, 1 with one sentence for each failure.
    """
    from delivery.verification import verify as verify_folder
    from jobs.cli.printing import print_rows
    from jobs.workspace.audiences import published_roots, verification_keys
    from jobs.workspace.soundness import mirror_faults
    from lakehouse.errors import UsageError
    from lakehouse.settings.settings import load_settings

    if (folder is None) == (not is_all):
        raise UsageError("name one folder, or say --all")
    instant = _instant(at)
    verifications = []
    faults: list[str] = []
    keys = verification_keys(workspace, key_file)
    if folder is not None:
        verifications += verify_folder(folder, at=instant, keys=keys, needs_signature=True)
    else:
        settings = load_settings(workspace)
        roots, faults = published_roots(settings), mirror_faults(settings)
        if not roots and not faults:
            raise UsageError(f"nothing was published yet in {settings.workspace}")
        for root in roots:
            verifications += verify_folder(root, at=instant, keys=keys)
    is_bad = bool(faults) or any(verification.failures for verification in verifications)
    if form != "table":
        rows: list[tuple[object, ...]] = [(None, None, None, "mirror", fault) for fault in faults]
        for v in verifications:
            pairs: list[tuple[object, object]] = [(f.kind, f.sentence) for f in v.faults] or [(None, None)]
            rows += [(str(v.folder), v.published, v.valid_until, *pair) for pair in pairs]
        print_rows(("folder", "published", "valid_until", "kind", "failure"), rows, form)
        return 1 if is_bad else 0
    for fault in faults:
        click.echo(fault, err=True)
    for verification in verifications:
        for failure in verification.failures:
            click.echo(f"{verification.folder}: {failure}", err=True)
        if not verification.failures and verification.published is not None:
            signature = "signature good" if verification.is_signature_checked else "signature not checked"
            word = "old " if verification.superseded_by else "good"
            click.echo(
                f"{word}  {verification.published:>8} people, valid until {verification.valid_until}, {signature}  "
                f"{verification.folder}"
            )
            if verification.stage is not None:
                approved_by = ", ".join(verification.approved_by) or "nobody, none is asked for"
                click.echo(f"      stage {verification.stage}, approved by {approved_by}")
    unchecked = {v.destination for v in verifications if v.destination and not v.is_signature_checked}
    for name in sorted(unchecked):
        if keys(name) is None:
            sentence = (
                f"signatures for {name} were not checked: give the verification key with --key-file or "
                f"CDP_SECRET_VERIFICATION_KEY_{name.upper()}; without it a forged audience is not seen"
            )
        else:
            sentence = (
                f"audiences for {name} from before its key were compared with what the lake delivered only"
            )
        click.echo(sentence, err=True)
    return 1 if is_bad else 0


@group.command("explain")
@click.argument("code", shell_complete=complete_segments)
@click.option("--one-id", type=int, required=True, help="The person.")
@newest_date_option
@format_option
@workspace_option
def explain(code: str, one_id: int, day: date | None, form: str, workspace: Path | None) -> None:
    """Explain why a person is, or is not, in a segment's audience."""
    from jobs.cli.printing import print_document
    from jobs.report.reveals import record_lookup, recorded_misses, refuse_other_branches
    from jobs.workspace.surroundings import read_surroundings
    from lakehouse.query.published import open_publication
    from lakehouse.settings.settings import load_settings
    from segments.explaining.explain import explain as explain_person

    settings = load_settings(workspace)
    with open_publication(settings, day) as published:
        refuse_other_branches(published, "segments explain", one_id)
        publication = published.publication
    with recorded_misses(settings, "segments explain", publication):
        explanation = explain_person(settings, read_surroundings(settings), code, one_id, day)
    record_lookup(settings, "segments explain", publication, [explanation.one_id])
    print_document(explanation.summary(), _explanation_lines(explanation), form)


def _explanation_lines(explanation: Explanation) -> list[str]:
    from lakehouse.texts import reason_text, text

    def answer(value: bool | None) -> str:
        return text(f"answer.{ {True: 'true', False: 'false', None: 'unknown'}[value] }")

    lines = [
        text(
            "explain.head",
            code=explanation.code,
            version=explanation.version,
            one_id=explanation.one_id,
            day=explanation.business_date,
        )
    ]
    if explanation.redirected_from is not None:
        before = explanation.redirected_from
        lines.append(text("explain.merged", before=before, after=explanation.one_id))
    lines += [text("explain.note", note=note) for note in explanation.notes]
    for line in explanation.lines:
        value = f"   [{line.evidence}]" if line.evidence else ""
        verdict = "-" if line.is_withheld else answer(line.answer)
        lines.append(f"  {verdict:<8} {'  ' * line.depth}{line.text}{value}")
    unknown = text(f"unknown.{explanation.unknown_means}")
    lines.append(text("explain.rule", answer=answer(explanation.answer), unknown=unknown))
    if explanation.suppression:
        reason = explanation.suppression
        lines.append(text("explain.suppressed", reason=reason, meaning=reason_text(reason)))
    if explanation.is_member:
        arm, channel = explanation.variant or "-", explanation.channel or "-"
        lines.append(text("explain.arm", arm=arm, holdout=explanation.holdout, channel=channel))
    if explanation.loss is not None:
        lines.append(text("explain.lost", loss=explanation.loss.sentence))
    lines += [
        text("explain.published", destination=d["destination"], run=d["run_id"], recipient=d["recipient_key"])
        for d in explanation.deliveries
    ]
    return [*lines, text("explain.outcome", outcome=explanation.outcome)]


def _instant(text: str | None) -> datetime | None:
    from lakehouse.clock import now
    from lakehouse.errors import UsageError

    if text is None:
        return None
    if text == "now":
        return now()
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(f"'{text}' is no instant; write one like 2026-11-21T09:00:00+08:00") from None
    if instant.tzinfo is None:
        raise UsageError("the instant needs its offset, like +08:00")
    return instant
