"""``cdp tags``: what tags mean, what they compile to, and the dbt project. None of these starts a JVM."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import click

from jobs.cli.options import workspace_option


@click.group("tags")
def group() -> None:
    """List, show and compile tags."""


@group.command("list")
@click.option("--family", default=None, help="Only this family, such as basic, value or risk.")
@click.option("--status", default=None, help="Only this status, such as online or draft.")
@workspace_option
def list_tags(family: str | None, status: str | None, workspace: Path | None) -> None:
    """List every registered tag: code, family, kind, status, values, null rule, level and names."""
    from lakehouse.errors import UsageError
    from lakehouse.settings.yaml_files import did_you_mean
    from tags import REGISTRY
    from vocabulary.registry import Status, load_registry

    registry = load_registry(_folder(workspace), shipped=REGISTRY)
    families = list(dict.fromkeys(entry.family for entry in registry.entries.values()))
    if family is not None and family not in families:
        raise UsageError(f"there is no family '{family}'{did_you_mean(family, families)}")
    statuses = get_args(Status)
    if status is not None and status not in statuses:
        raise UsageError(f"there is no status '{status}'{did_you_mean(status, list(statuses))}")
    entries = [
        entry
        for entry in registry.entries.values()
        if (family is None or entry.family == family) and (status is None or entry.status == status)
    ]
    rows = [("code", "family", "kind", "status", "values", "null", "level", "name", "名称")]
    for entry in entries:
        site = " *" if entry.code in registry.site else ""
        values = f"set of {entry.value.type}" if entry.value.cardinality == "set" else entry.value.type
        rows.append((
            entry.code + site, entry.family, entry.kind, entry.status, values, entry.null_rule, entry.level,
            entry.name.en, entry.name.zh,
        ))  # fmt: skip
    widths = [max(len(row[at]) for row in rows) for at in range(len(rows[0]) - 1)]
    for row in rows:
        click.echo(
            "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[-1]])
        )
    online = sum(entry.status in ("online", "deprecated") for entry in entries)
    note = "; * added or changed by the workspace" if registry.site else ""
    click.echo(f"{len(entries)} tags, {online} online{note}")


@group.command("show")
@click.argument("code")
@workspace_option
def show(code: str, workspace: Path | None) -> None:
    """Show a tag: definition, values, nulls, parameters, compiled SQL, lineage, readers and last coverage."""
    from tags.catalogue import lineage, owners, readers
    from tags.compile.compilation import compile_tags

    folder = _folder(workspace)
    compilation = compile_tags(folder, is_checked=False)
    registry = compilation.registry
    entry = registry[code]
    value = entry.value
    values = ", ".join(value.domain or []) or _range(value.min, value.max)
    business, tech = owners(entry)
    place = registry.places[code]
    facts = [
        ("name", f"{entry.name.zh} · {entry.name.en}"),
        ("定义", " ".join(entry.definition.zh.split())),
        ("meaning", " ".join(entry.definition.en.split())),
        ("family", f"{entry.family}, {entry.kind}, {entry.status}, version {entry.version}"),
        ("values", " ".join(filter(None, [value.spark_type, value.unit and f"({value.unit})", values]))),
        ("nulls", f"{entry.null_rule}" + "".join(f"; {n.reason} when {n.when}" for n in entry.null_when)),
        ("level", entry.level + (f" (declassified: {entry.declassified.why})" if entry.declassified else "")),
        ("purposes", ", ".join(entry.purposes)),
        ("owners", f"{business} (meaning), {tech} (computation)"),
        ("written in", f"{place.file.name}:{place.line('code')}"),
    ]
    facts += [("parameter", f"{p.name} = {p.value} since {p.since}") for p in entry.params]
    if entry.tie_rule:
        facts.append(("ties", entry.tie_rule))
    for name, text in facts:
        click.echo(f"{name:<11}{text}")
    if entry in compilation.plan.entries:
        click.echo("sql")
        for line in compilation.writer.tag_sql(entry).splitlines():
            click.echo(f"    {line}")
    click.echo("comes from")
    for column in lineage(registry, code):
        click.echo(f"    {column}")
    if entry.tag_inputs:
        click.echo(f"reads tags  {', '.join(entry.tag_inputs)}")
    if read_by := readers(registry).get(code):
        click.echo(f"read by     {', '.join(read_by)}")
    click.echo(f"coverage    {_coverage(folder, code)}")


@group.command("compile")
@click.option("--into", type=click.Path(path_type=Path, file_okay=False), default=None,
              help="Write the dbt project here (default: <workspace>/.cdp/dbt).")  # fmt: skip
@click.option("--check", is_flag=True, help="Check only; write nothing.")
@workspace_option
def compile_(into: Path | None, check: bool, workspace: Path | None) -> None:
    """Check every tag and write the workspace's dbt project; the first fault is named with file and line."""
    from lakehouse.settings.file_rights import closed_files
    from lakehouse.settings.settings import load_settings
    from tags.build.project import write_project
    from tags.compile.compilation import compile_tags

    settings = load_settings(workspace)
    compilation = compile_tags(settings.workspace)
    plan = compilation.plan
    outcome = (
        f"{len(plan.entries)} tags: {len(plan.scans)} relations read, {len(plan.layers) - 1} layers of rules"
    )
    if check:
        click.echo(f"{outcome}; nothing is wrong")
        return
    folder = into or settings.generated / "dbt"
    with closed_files(settings):
        files = write_project(compilation, folder)
    click.echo(f"{outcome}; {len(files)} files in {folder}")


def _folder(workspace: Path | None) -> Path | None:
    """Give the workspace where there is one; the shipped registry alone can be read without."""
    from lakehouse.errors import SettingsInvalid
    from lakehouse.settings.settings import find_workspace

    try:
        return find_workspace(workspace)
    except SettingsInvalid:
        if workspace is not None:
            raise
        return None


def _range(low: object, high: object) -> str:
    if low is None and high is None:
        return ""
    return f"{'' if low is None else low}…{'' if high is None else high}"


def _coverage(folder: Path | None, code: str) -> str:
    """Give the coverage of the last published night, or say why there is none."""
    from lakehouse.query.published import newest_publication, open_publication
    from lakehouse.settings.settings import load_settings

    if folder is None:
        return "no workspace"
    settings = load_settings(folder)
    publication = newest_publication(settings)
    if publication is None or "quality.tag_quality" not in publication.tables:
        return "nothing was published yet"
    row = (
        open_publication(settings)
        .sql(
            "SELECT filled_count, eligible_count, coverage_ratio, as_of FROM quality.tag_quality "
            "WHERE tag = ? AND as_of = ?",
            [code, publication.business_date],
        )
        .fetchone()
    )
    if row is None:
        return f"not computed on {publication.business_date}"
    ratio = "none eligible" if row[2] is None else f"{100 * row[2]:.1f} %"
    return f"{ratio} ({row[0]} of {row[1]} eligible people on {row[3]})"
