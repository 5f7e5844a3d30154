"""``cdp tags``: what tags mean, what they compile to, and the dbt project; ``cdp dbt``: dbt on that project.

None of these starts a JVM but dbt with the target spark.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import click

from jobs.cli.options import complete_tags, format_option, workspace_option
from jobs.cli.tags import comparing, deciding, earning

if TYPE_CHECKING:
    from lakehouse.settings.settings import Settings
    from tags.compile.compilation import Compilation
    from vocabulary.registry import Entry, Registry

HELPER = "helper"


@click.group("tags")
def group() -> None:
    """List, search, show and compile tags, and tell who uses them."""


@group.command("list")
@click.option("--family", default=None, help="Only this family, such as basic, value or risk.")
@click.option("--status", default=None, help="Only this status, such as online, draft or helper.")
@click.option(
    "--cost", "with_cost", is_flag=True, help="What computing and keeping each costs, the dearest first."
)
@format_option
@workspace_option
def list_tags(
    family: str | None, status: str | None, with_cost: bool, form: str, workspace: Path | None
) -> None:
    """List every registered tag: code, pack, family, entity, kind, status, values, null rule, level and names.

    A tag of the status off is online in the registry and not computed here: --status off says why. A helper is computed, too: a
    building block of which shipped tags are made.

    With --cost: seconds of the newest published night and bytes of the column, by the rule of docs/tags.md.
    """
    from jobs.cli.printing import print_rows
    from lakehouse.errors import UsageError
    from lakehouse.settings.yaml_files import did_you_mean
    from tags import REGISTRY
    from vocabulary.packs import OFF
    from vocabulary.registry import Status, load_registry

    registry = load_registry(_folder(workspace), shipped=REGISTRY)
    families = list(dict.fromkeys(entry.family for entry in registry.entries.values()))
    if family is not None and family not in families:
        raise UsageError(f"there is no family '{family}'{did_you_mean(family, families)}")
    statuses = (*get_args(Status), OFF, HELPER)
    if status is not None and status not in statuses:
        raise UsageError(f"there is no status '{status}'{did_you_mean(status, list(statuses))}")
    entries = [
        entry
        for entry in registry.entries.values()
        if (family is None or entry.family == family)
        and (status is None or _status(registry, entry) == status)
    ]
    rows = []
    for entry in entries:
        site = " *" if form == "table" and entry.code in registry.site else ""
        values = f"set of {entry.value.type}" if entry.value.cardinality == "set" else entry.value.type
        rows.append((
            entry.code + site, entry.pack, entry.family, entry.entity, entry.kind, _status(registry, entry), values, entry.null_rule,
            entry.level, entry.name.en, entry.name.zh,
        ))  # fmt: skip
    columns = (
        "code",
        "pack",
        "family",
        "entity",
        "kind",
        "status",
        "values",
        "null",
        "level",
        "name_en",
        "name_zh",
    )
    if status == OFF:
        reasons = {entry.code: registry.absences[entry.code].sentence for entry in entries}
        print_rows(
            ("code", "pack", "family", "off_because", "name_en", "name_zh"),
            [(e.code, e.pack, e.family, reasons[e.code], e.name.en, e.name.zh) for e in entries],
            form,
        )
    elif with_cost:
        print_rows(*_cost_rows(registry, entries, workspace), form)
    else:
        print_rows(columns, rows, form)
    if form != "table":
        return
    note = " (cdp tags list --status off says why)" if registry.absences and status != OFF else ""
    note += "; * added or changed by the workspace" if registry.site else ""
    click.echo(f"{_counts(registry, entries)}{note}", err=True)


def _status(registry: Registry, entry: Entry) -> str:
    """Give the status of an entry as the list tells it: a helper that is computed is none of the tags that are online."""
    from vocabulary.registry import COMPUTED_STATUSES

    status = registry.status_of(entry)
    return HELPER if entry.is_helper and status in COMPUTED_STATUSES else status


def _counts(registry: Registry, entries: list[Entry]) -> str:
    """Say how many tags there are and are computed; helpers, of which others are made, are counted apart."""
    from vocabulary.packs import OFF
    from vocabulary.registry import COMPUTED_STATUSES

    own_tags = [entry for entry in entries if not entry.is_helper]
    numbers = {
        status: sum(registry.status_of(entry) == status for entry in own_tags)
        for status in ("deprecated", "review", "draft", "offline", OFF)
    }
    online = sum(registry.status_of(entry) in COMPUTED_STATUSES for entry in own_tags)
    parts = [f"{online} online", *(f"{count} {status}" for status, count in numbers.items() if count)]
    helpers = len(entries) - len(own_tags)
    return f"{len(own_tags)} tags: {', '.join(parts)}" + (f"; {helpers} helpers" if helpers else "")


def _cost_rows(
    registry: Registry, entries: list[Entry], workspace: Path | None
) -> tuple[tuple[str, ...], list[tuple[Any, ...]]]:
    from lakehouse.settings.settings import load_settings
    from tags.costs import newest_costs

    costs = newest_costs(load_settings(workspace))
    rows = [
        (
            e.code,
            e.family,
            _status(registry, e),
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
        (tag.code, tag.pack, tag.family, tag.status, tag.owner_business, tag.name_en, tag.name_zh)
        for tag in search_tags(searchable_tags(folder, index), " ".join(words))
    ]
    print_rows(("code", "pack", "family", "status", "owner", "name_en", "name_zh"), rows, form)


@group.command("show")
@click.argument("name", metavar="CODE|NAME", shell_complete=complete_tags)
@click.option(
    "--picture",
    type=click.Path(path_type=Path, dir_okay=False),
    default=None,
    help="Also draw the distribution of its values and its coverage night by night as SVG here.",
)
@format_option
@workspace_option
def show(name: str, picture: Path | None, form: str, workspace: Path | None) -> None:
    """Show a tag: definition, values, nulls, parameters, compiled SQL, lineage, people by value, coverage, readers, segments and cost."""
    from jobs.cli.printing import print_document
    from jobs.report.tag_page import tag_page

    page = tag_page(_folder(workspace), name)
    if picture is not None:
        _draw(page.summary["code"], picture, workspace)
    print_document(page.summary, page.lines(), form)


def _draw(code: str, file: Path, workspace: Path | None) -> None:
    from jobs.report.catalogue.tag_picture import draw_picture, read_picture
    from lakehouse.settings.settings import load_settings
    from lakehouse.settings.written_files import SVG, written_file
    from tags import REGISTRY
    from vocabulary.registry import load_registry

    settings = load_settings(workspace)
    drawing = read_picture(settings, load_registry(settings.workspace, shipped=REGISTRY)[code])
    with written_file(settings, file, SVG) as part:
        draw_picture(drawing, part)


@group.command("impact")
@click.argument("name", metavar="CODE|NAME|COLUMN", shell_complete=complete_tags)
@format_option
@workspace_option
def impact(name: str, form: str, workspace: Path | None) -> None:
    """Show what would feel a change of a tag: tags that read it, segments and destinations, however far away.

    Of a column, such as trusted.cards.status: tags that come from it, or whose rows it decides, and what would feel a change of them.
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
    from jobs.report.catalogue.idle_tags import idle_tags
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


@group.command("backfill")
@click.argument("names", metavar="CODE[,CODE]", shell_complete=complete_tags)
@click.option(
    "--months", type=int, required=True, help="How many month-ends before the month of the newest night."
)
@click.option("--identity", type=click.Choice(["today", "as-of"]), default="today", show_default=True,
              help="By today's OneIDs, or by those of each day.")  # fmt: skip
@format_option
@workspace_option
def backfill(names: str, months: int, identity: Any, form: str, workspace: Path | None) -> None:
    """Compute tags as of the last month-ends from what was known then, and publish them in the daily snapshots.

    A month-end is the last night of a month. Other values of these days stay as they are; tags.backfills says what was computed.
    """
    from jobs.cli.printing import print_rows
    from jobs.night.backfill import backfill_tags
    from lakehouse.settings.settings import load_settings

    codes = [name.strip() for name in names.split(",") if name.strip()]
    people = backfill_tags(load_settings(workspace), codes, months, identity)
    print_rows(("as_of", "people"), [(str(day), count) for day, count in people.items()], form)


@group.command("check")
@click.option(
    "--as-of", "day", type=click.DateTime(["%Y-%m-%d"]), required=True, help="A night that was published."
)
@format_option
@workspace_option
def check(day: datetime, form: str, workspace: Path | None) -> int:
    """Compute the tags of a past night again from what was known on it, and say which differ from its snapshot (exit 3).

    People differ by the value, by the reason of its null, or because only one side has them: missing are those whom the snapshot
    alone has, extra those whom only the computation gives. Left out are tags of another version, those whose values were held that
    night or computed by today's OneIDs since, and people who were erased since.
    """
    from jobs.cli.printing import print_rows
    from jobs.night.backfill import check_tags
    from lakehouse.settings.settings import load_settings

    tags = check_tags(load_settings(workspace), day.date())
    differing = [tag for tag in tags if tag.differing]
    print_rows(
        ("tag", "people", "differing", "missing", "extra"),
        [(t.tag, t.people, t.differing, t.missing, t.extra) for t in differing],
        form,
    )
    click.echo(f"{len(tags)} tags compared, {len(differing)} differ", err=True)
    return 3 if differing else 0


@group.command("compile")
@click.option("--into", type=click.Path(path_type=Path, file_okay=False), default=None,
              help="Write the dbt project here (default: <workspace>/.cdp/dbt).")  # fmt: skip
@click.option("--check", is_flag=True, help="Check only; write nothing.")
@click.option("--sample", "size", is_flag=False, flag_value=5_000, default=None, type=click.IntRange(1, 1_000_000), metavar="[PEOPLE]",
              help="With --check: compute the workspace's own tags for so many people of the newest publication (5000).")  # fmt: skip
@click.option("--all", "every", is_flag=True, help="With --sample: compute the shipped tags too.")
@format_option
@workspace_option
def compile_(
    into: Path | None, check: bool, size: int | None, every: bool, form: str, workspace: Path | None
) -> None:
    """Check every tag and write the workspace's dbt project; the first fault is named with file and line.

    With --sample it ends with 3 where a night would refuse what a tag gives these people.
    """
    from jobs.cli.printing import print_document
    from lakehouse.errors import UsageError
    from lakehouse.query.published import newest_publication
    from lakehouse.settings.file_rights import closed_files
    from lakehouse.settings.settings import load_settings
    from tags import check_versions, tag_contracts
    from tags.build.project import write_project
    from tags.build.user_project import own_project_folder, user_folder, write_user_project
    from tags.compile.compilation import compile_tags
    from tags.sample.binding import require_computable

    if size is not None and not check:
        raise UsageError("--sample computes and writes nothing; write --check --sample")
    if every and size is None:
        raise UsageError("--all says which tags --sample computes; write --check --sample --all")
    settings = load_settings(workspace)
    compilation = compile_tags(settings.workspace)
    tag_contracts(settings)
    check_versions(settings)
    if size is not None:
        _print_sample(settings, size, every, form)
        return
    relations = sum(len(plan.scans) for plan in compilation.plans)
    layers = max(len(plan.layers) for plan in compilation.plans) - 1
    off = len(compilation.registry.absences)
    outcome = f"{len(compilation.entries)} tags{f' and {off} off' if off else ''}: {relations} relations read, {layers} layers of rules"
    summary: dict[str, object] = {
        "tags": len(compilation.entries),
        "relations": relations,
        "layers": layers,
        "off": off,
    }
    if check:
        require_computable(settings, compilation)
        doubts = _doubts(settings, compilation)
        summary["findings"] = len(doubts)
        verdict = f"nothing is wrong, {len(doubts)} findings" if doubts else "nothing is wrong"
        print_document(summary, [f"{outcome}; {verdict}"], form)
        return
    if into is None:
        folder = user_folder(settings)
        files = write_user_project(settings, newest_publication(settings))
    else:
        folder = own_project_folder(settings, into)
        with closed_files(settings):
            files = write_project(compilation, folder, settings)
    summary |= {"files": len(files), "folder": str(folder)}
    print_document(summary, [f"{outcome}; {len(files)} files in {folder}"], form)


def _print_sample(settings: Settings, size: int, every: bool, form: str) -> None:
    """Print what the tags come to for a sample of people; raise where a night would refuse it."""
    from jobs.cli.printing import print_rows
    from lakehouse.ledger.lock import purpose_of_holder
    from tags.sample.tag_sample import sample_tags

    sample = sample_tags(settings, size=size, every=every)
    rows = [
        (
            tag.entry.code, tag.present, ", ".join(f"{reason} {count}" for reason, count in tag.nulls.items()),
            tag.outside, tag.unexplained, tag.overflow, tag.values, "refused" if tag.faults else "well",
        )
        for tag in sample.tags
    ]  # fmt: skip
    columns = ("code", "values", "nulls", "outside", "unexplained", "overflow", "where_values_lie", "verdict")
    print_rows(columns, rows, form)
    click.echo(
        f"{len(rows)} tags of {sample.people} people of the night of {sample.business_date}; nothing was written",
        err=True,
    )
    if (purpose := purpose_of_holder(settings.lock_dir)) is not None:
        click.echo(f"the lake is being written ({purpose}); what was read is what was published", err=True)
    sample.judge()


def _doubts(settings: Settings, compilation: Compilation) -> list[str]:
    """Say on standard error what is doubtful about the tags, and about events of marts, and give it."""
    from lakehouse.query.published import newest_publication, open_publication
    from tags.compile.findings import EVENTS, event_names_of, findings

    names = None
    publication = newest_publication(settings)
    if publication is not None and EVENTS in publication.tables:
        with open_publication(settings) as published:
            names = {name for (name,) in published.rows(f"SELECT DISTINCT event_name FROM {EVENTS}")}
    doubts = [str(finding) for finding in findings(compilation, names)]
    if compilation.marts and names:
        doubts += [str(complaint) for complaint in compilation.marts.declaration.unknown_events(names)]
    if names is None and (unknown := event_names_of(compilation)):
        click.echo(
            f"nothing was published yet: whether the events {', '.join(unknown)} are delivered is not known",
            err=True,
        )
    for doubt in doubts:
        click.echo(doubt, err=True)
    return doubts


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


for command in (*comparing.COMMANDS, *deciding.COMMANDS, *earning.COMMANDS):
    group.add_command(command)
