"""``cdp tags``: what tags mean, what they compile to, and the dbt project; ``cdp dbt``: dbt on that project.

None of these starts a JVM but dbt with the target spark.
"""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import click

from jobs.cli.options import complete_tags, format_option, newest_date_option, workspace_option

if TYPE_CHECKING:
    from tags.build.versions import DefinitionChange
    from vocabulary.registry import Entry


@click.group("tags")
def group() -> None:
    """List, search, show and compile tags, and tell who uses them."""


@group.command("list")
@click.option("--family", default=None, help="Only this family, such as basic, value or risk.")
@click.option("--status", default=None, help="Only this status, such as online or draft.")
@click.option(
    "--cost", "with_cost", is_flag=True, help="What computing and keeping each costs, the dearest first."
)
@format_option
@workspace_option
def list_tags(
    family: str | None, status: str | None, with_cost: bool, form: str, workspace: Path | None
) -> None:
    """List every registered tag: code, family, kind, status, values, null rule, level and names.

    With --cost: seconds of the newest published night and bytes of the column, by the rule of docs/tags.md.
    """
    from jobs.cli.printing import print_rows
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
    rows = []
    for entry in entries:
        site = " *" if form == "table" and entry.code in registry.site else ""
        values = f"set of {entry.value.type}" if entry.value.cardinality == "set" else entry.value.type
        rows.append((
            entry.code + site, entry.family, entry.kind, entry.status, values, entry.null_rule, entry.level,
            entry.name.en, entry.name.zh,
        ))  # fmt: skip
    columns = ("code", "family", "kind", "status", "values", "null", "level", "name_en", "name_zh")
    if with_cost:
        print_rows(*_cost_rows(entries, workspace), form)
    else:
        print_rows(columns, rows, form)
    if form != "table":
        return
    online = sum(entry.status in ("online", "deprecated") for entry in entries)
    note = "; * added or changed by the workspace" if registry.site else ""
    click.echo(f"{len(entries)} tags, {online} online{note}", err=True)


def _cost_rows(entries: list[Entry], workspace: Path | None) -> tuple[tuple[str, ...], list[tuple[Any, ...]]]:
    from lakehouse.settings.settings import load_settings
    from tags.costs import newest_costs

    costs = newest_costs(load_settings(workspace))
    rows = [
        (
            e.code,
            e.family,
            e.status,
            round(costs[e.code].seconds, 3),
            costs[e.code].bytes,
            e.name.en,
            e.name.zh,
        )
        for e in sorted(entries, key=lambda e: -costs[e.code].seconds if e.code in costs else 0.0)
        if e.code in costs
    ]
    return ("code", "family", "status", "seconds", "bytes", "name_en", "name_zh"), rows


@group.command("search")
@click.argument("words", nargs=-1, required=True)
@format_option
@workspace_option
def search(words: tuple[str, ...], form: str, workspace: Path | None) -> None:
    """Search tags by words in either language: code, names, definitions, family and owners; the best come first.

    A tag must have all the words. Signs are no patterns, and case and width do not count.
    """
    from jobs.cli.printing import print_rows
    from lakehouse.settings.settings import load_settings
    from tags.search import search_tags, searchable_tags

    folder = _folder(workspace)
    index = None
    if folder is not None:
        settings = load_settings(folder)
        # A folder that a group shall read is made by what knows the group.
        if settings.generated.is_dir() or not (settings.files.group or settings.files.published_group):
            index = settings.generated / "tag_search.json"
    rows = [
        (tag.code, tag.family, tag.status, tag.owner_business, tag.name_en, tag.name_zh)
        for tag in search_tags(searchable_tags(folder, index), " ".join(words))
    ]
    print_rows(("code", "family", "status", "owner", "name_en", "name_zh"), rows, form)


@group.command("show")
@click.argument("name", metavar="CODE|NAME", shell_complete=complete_tags)
@format_option
@workspace_option
def show(name: str, form: str, workspace: Path | None) -> None:
    """Show a tag: definition, values, nulls, parameters, compiled SQL, lineage, readers and last coverage."""
    from jobs.cli.printing import print_document
    from jobs.report.tag_page import tag_page

    page = tag_page(_folder(workspace), name)
    print_document(page.summary, page.lines(), form)


@group.command("impact")
@click.argument("name", metavar="CODE|NAME", shell_complete=complete_tags)
@format_option
@workspace_option
def impact(name: str, form: str, workspace: Path | None) -> None:
    """Show what would feel a change of a tag: tags that read it, segments and destinations, however far away.

    How a segment uses it: condition, rank, people (of a company or household), column, offer, value (the order of contacts).
    """
    from jobs.cli.printing import print_rows
    from jobs.report.tag_usage import BLIND_SPOTS, tag_impact
    from lakehouse.settings.settings import load_settings

    things = tag_impact(load_settings(workspace), name)
    rows = [(t.kind, t.name, ", ".join(t.how), ", ".join(t.through)) for t in things]
    print_rows(("kind", "name", "how", "through"), rows, form)
    click.echo(BLIND_SPOTS, err=True)


@group.command("unused")
@format_option
@workspace_option
def unused(form: str, workspace: Path | None) -> None:
    """List the computed tags that no segment, no published column and no other computed tag of the workspace uses, and what to do.

    Idle since the last use that nights and counted statements know of: 90 days ask the owner, 120 propose to deprecate it, 180 to take
    it offline. Nothing is changed by this command. seconds and bytes are what it cost on the newest published date.
    """
    from jobs.cli.printing import print_rows
    from jobs.report.idle_tags import idle_tags
    from jobs.report.tag_usage import BLIND_SPOTS
    from lakehouse.settings.settings import load_settings
    from tags.catalogue import owners

    rows = [
        (
            t.entry.code, t.entry.family, t.entry.status, owners(t.entry)[0], t.last_used_on, t.idle_days, t.proposal,
            None if t.cost is None else round(t.cost.seconds, 3), None if t.cost is None else t.cost.bytes,
            t.entry.name.en, t.entry.name.zh,
        )
        for t in idle_tags(load_settings(workspace))
    ]  # fmt: skip
    names = (
        "code", "family", "status", "owner", "last_used_on", "idle_days", "proposal", "seconds", "bytes", "name_en", "name_zh",
    )  # fmt: skip
    print_rows(names, rows, form)
    click.echo(BLIND_SPOTS, err=True)


@group.command("duplicates")
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


@group.command("diff")
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


@group.command("compile")
@click.option("--into", type=click.Path(path_type=Path, file_okay=False), default=None,
              help="Write the dbt project here (default: <workspace>/.cdp/dbt).")  # fmt: skip
@click.option("--check", is_flag=True, help="Check only; write nothing.")
@format_option
@workspace_option
def compile_(into: Path | None, check: bool, form: str, workspace: Path | None) -> None:
    """Check every tag and write the workspace's dbt project; the first fault is named with file and line."""
    from jobs.cli.printing import print_document
    from lakehouse.query.published import newest_publication
    from lakehouse.settings.file_rights import closed_files
    from lakehouse.settings.settings import load_settings
    from tags import check_versions
    from tags.build.project import write_project
    from tags.build.user_project import user_folder, write_user_project
    from tags.compile.compilation import compile_tags

    settings = load_settings(workspace)
    compilation = compile_tags(settings.workspace)
    check_versions(settings)
    plan = compilation.plan
    outcome = (
        f"{len(plan.entries)} tags: {len(plan.scans)} relations read, {len(plan.layers) - 1} layers of rules"
    )
    summary: dict[str, object] = {
        "tags": len(plan.entries),
        "relations": len(plan.scans),
        "layers": len(plan.layers) - 1,
    }
    if check:
        print_document(summary, [f"{outcome}; nothing is wrong"], form)
        return
    if into is None:
        folder = user_folder(settings)
        files = write_user_project(settings, newest_publication(settings))
    else:
        folder = into
        with closed_files(settings):
            files = write_project(compilation, folder, settings)
    summary |= {"files": len(files), "folder": str(folder)}
    print_document(summary, [f"{outcome}; {len(files)} files in {folder}"], form)


@click.command(
    "dbt", context_settings={"ignore_unknown_options": True}, options_metavar="COMMAND [FLAGS OF DBT]"
)
@click.option("--target", type=click.Choice(["duckdb", "spark"]), default=None,
              help="The engine (default: duckdb, or spark where a model of the workspace needs it).")  # fmt: skip
@workspace_option
@click.argument("words", nargs=-1, metavar="", type=click.UNPROCESSED)
def dbt(target: str | None, workspace: Path | None, words: tuple[str, ...]) -> int:
    """Run dbt on the workspace's project, over the tables of the newest published night.

    COMMAND is one of build, run, test, show, ls, parse, compile and docs generate; flags, output and exit code are dbt's.
    What it builds stands below <workspace>/.cdp/dbt, and nothing of it in the lake.
    """
    from jobs.workspace.dbt_commands import run_dbt_command
    from lakehouse.settings.settings import load_settings

    return run_dbt_command(load_settings(workspace), words, target)


def _folder(workspace: Path | None) -> Path | None:
    """Give the workspace where there is one; the shipped registry alone can be read without."""
    from lakehouse.errors import SettingsInvalid
    from lakehouse.settings.settings import find_workspace, load_settings

    try:
        folder = find_workspace(workspace)
    except SettingsInvalid:
        if workspace is not None:
            raise
        return None
    return load_settings(folder).workspace
