"""What other identity rules would do: the night after the newest published one, on a clone of the lake that is thrown away.

It begins from the published map, as the next night will, on the records that are there and under the rules to be tried; tags
and segments are those of the published night, for the people that this makes. Nothing of the lake, the ledger or the
audiences changes. People are held against those that the published rules make of the same night.
"""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import asdict, dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import identity
from identity.measuring.difference import Difference, difference
from identity.rules.rules import FILE_NAME as RULES
from identity.rules.rules import Rules, read_rules
from jobs.night.steps import build_tags, check_gate, resolve
from jobs.workspace.surroundings import read_surroundings
from lakehouse.contracts.contracted import contracted_sql
from lakehouse.errors import GateStopped, UsageError
from lakehouse.query.desk import Desk, open_newest
from lakehouse.query.published import Published, open_publication
from lakehouse.settings.file_rights import closed_files
from lakehouse.settings.settings import Settings
from lakehouse.tables.clone import clone_lake
from lakehouse.tables.lake import Lake, open_lake

if TYPE_CHECKING:
    import pyarrow as pa

DATABASES = ("trusted", "identity", "tags", "segments", "quality", "ops")
TAGS = "tags.customer_tags"
_FOLDER = "try_"
# Values of a text shown to people; the JSON has all.
_VALUES = 5


@dataclass
class Trial:
    """What would change. ``refusal`` is what the gate says that would stop the night; nothing is known of what comes after it.

    ``tags`` are those that other numbers of people would have (a boolean tag counts who is), ``audiences`` all of them,
    with who would enter and who would leave by OneID. ``truth`` has precision and recall where the workspace knows it.
    """

    business_date: str
    rules: tuple[str, str]
    refusal: str = ""
    people: Difference | None = None
    truth: dict[str, tuple[float, float]] = field(default_factory=dict)
    tags: list[dict[str, Any]] | None = None
    audiences: list[dict[str, Any]] | None = None

    def summary(self) -> dict[str, Any]:
        """Give all of it as plain values, for JSON."""
        values = asdict(self) | {"people": None if self.people is None else self.people.summary()}
        return {"refused" if name == "refusal" else name: value for name, value in values.items()}


def try_rules(settings: Settings, rules: Path, *, only_identity: bool = False) -> Trial:
    """Run the newest published night under the rules of a file and compare; wrong rules raise before anything else."""
    if not rules.is_file():
        raise UsageError(f"there is no file {rules}")
    new_rules = read_rules(rules)
    published = open_publication(settings)
    day = published.publication.business_date
    version, published_rules = _published_rules(published)
    trial = Trial(day.isoformat(), (version, new_rules.version))
    _forget_killed(settings)
    with closed_files(settings), Lake(settings).exchange(f"{_FOLDER}{os.getpid()}") as folder:
        clone_lake(settings, folder / "lake", published.publication.tables, DATABASES)
        lake = open_lake(_workspace(settings, rules, folder))
        identity.resolve(lake, day + timedelta(days=1), rules=published_rules)
        people = _people(lake)
        _run(lake, published, people, trial, only_identity=only_identity)
    return trial


def _published_rules(published: Published) -> tuple[str, Rules]:
    """Give the rules that the published map was made under, and their version then."""
    day = published.publication.business_date
    rows = published.rows(
        "SELECT rules_version, rules FROM identity.nights WHERE _arrived_on <= ? ORDER BY _arrived_on DESC LIMIT 1",
        [day],
    )
    if not rows:
        raise UsageError(f"the publication of {day} has no night of identity to begin from")
    version, text = rows[0]
    return version, Rules.model_validate(json.loads(text))


def _people(lake: Lake) -> pa.Table:
    rows = lake.read_arrow("identity.memberships", columns=["source", "source_key", "one_id", "valid_to"])
    return rows.filter(rows["valid_to"].is_null()).drop_columns(["valid_to"])


def _forget_killed(settings: Settings) -> None:
    """Remove clones of trials whose process is gone."""
    for clone in (settings.lake / "_exchange").glob(f"{_FOLDER}*"):
        try:
            os.kill(int(clone.name.removeprefix(_FOLDER)), 0)
        except ProcessLookupError:
            shutil.rmtree(clone, ignore_errors=True)
        except (ValueError, PermissionError):
            continue


def _workspace(settings: Settings, rules: Path, folder: Path) -> Settings:
    """Make a workspace like the one of ``settings`` but for its rules, its lake and where it publishes."""
    workspace = folder / "workspace"
    workspace.mkdir()
    own = {settings.lake, settings.published, settings.reports, settings.inbox, settings.generated}
    for entry in settings.workspace.iterdir():
        if entry.name != RULES and entry.resolve() not in own:
            (workspace / entry.name).symlink_to(entry.resolve())
    (workspace / RULES).write_bytes(rules.read_bytes())
    paths = {"lake": folder / "lake", "published": folder / "published", "reports": folder / "reports"}
    return settings.model_copy(update={"workspace": workspace, **paths})


def _run(lake: Lake, published: Published, people: pa.Table, trial: Trial, *, only_identity: bool) -> None:
    day = published.publication.business_date
    next_day = day + timedelta(days=1)
    try:
        counts = resolve(lake, next_day)
        check_gate(lake, "identity", next_day)
    except GateStopped as stopped:
        trial.refusal = str(stopped)
        return
    trial.people = difference(people, _people(lake))
    published_measures = published.publication.summary.get("identity", {})
    trial.truth = {
        name: (published_measures[name], counts[name])
        for name in ("precision", "recall")
        if name in published_measures and name in counts
    }
    if only_identity:
        return
    try:
        build_tags(lake, day)
        check_gate(lake, "tags", day)
        trial.tags = _tags(published, lake)
        trial.audiences = _audiences(published, lake)
    except GateStopped as stopped:
        trial.refusal = str(stopped)


def _tags(published: Published, lake: Lake) -> list[dict[str, Any]]:
    """Count who has each tag, before and after; of boolean tags who is, of texts also by value."""
    codes = {code for (code,) in published.rows("SELECT code FROM tags.catalogue")}
    before = _holders(published, codes)
    with open_newest(lake.settings) as desk:
        after = _holders(desk, codes)
    changes = []
    for tag in sorted({*before, *after}):
        was, becomes = before.get(tag, {}), after.get(tag, {})
        if was != becomes:
            values = sorted({*was, *becomes})
            by_value = {v: (was.get(v, 0), becomes.get(v, 0)) for v in values if was.get(v) != becomes.get(v)}
            changes.append(
                {"tag": tag, "before": sum(was.values()), "after": sum(becomes.values()), "values": by_value}
            )
    return changes


def _holders(desk: Desk, codes: set[str]) -> dict[str, dict[str, int]]:
    numbers: dict[str, dict[str, int]] = {}
    for name, kind, *_ in desk.rows(f"DESCRIBE SELECT * FROM {TAGS}"):
        if name not in codes:
            continue
        if kind == "VARCHAR":
            rows = desk.rows(f'SELECT "{name}", count(*) FROM {TAGS} WHERE "{name}" IS NOT NULL GROUP BY ALL')
            numbers[name] = {str(value): n for value, n in rows}
        else:
            count = f'count(*) FILTER (WHERE "{name}")' if kind == "BOOLEAN" else f'count("{name}")'
            numbers[name] = {"": int(desk.value(f"SELECT {count} FROM {TAGS}"))}
    return numbers


# Whom contact policy left out of an audience.
LOSSES = "segments.contact_losses"


def _audiences(published: Published, lake: Lake) -> list[dict[str, Any]]:
    import delivery
    import segments

    day = published.publication.business_date

    def sent_sql(losses: str) -> str:
        return (
            f"SELECT code, one_id FROM segments.members WHERE as_of = DATE '{day}' AND holdout = 'NONE'\n"
            f"EXCEPT SELECT code, one_id FROM ({losses}) WHERE as_of = DATE '{day}'"
        )

    result = segments.evaluate(lake, day, read_surroundings(lake.settings))
    destinations = delivery.read_destinations(lake.settings)
    audiences = delivery.worklist_audiences(lake, result.audiences, destinations)
    delivery.discard(delivery.stage(lake, audiences, destinations))
    with open_newest(lake.settings) as desk:
        before = desk.lend(
            "members_before", published.arrow(sent_sql(contracted_sql(published, published, LOSSES)))
        )
        after = desk.define("members_after", sent_sql(f"FROM {LOSSES}"))
        rows = desk.rows(
            f"""
            SELECT code, count(b.one_id), count(a.one_id), count(*) FILTER (WHERE b.one_id IS NULL),
                   count(*) FILTER (WHERE a.one_id IS NULL)
            FROM {before} b FULL JOIN {after} a USING (code, one_id) GROUP BY code
            """
        )
    numbers = dict.fromkeys((*result.summary(), *published.publication.summary["segments"]), (0, 0, 0, 0))
    numbers |= {code: tuple(counts) for code, *counts in rows}
    names = ("before", "after", "enter", "leave")
    return [{"audience": code, **dict(zip(names, numbers[code], strict=True))} for code in sorted(numbers)]


def describe(trial: Trial) -> list[str]:
    """Give the lines a terminal shows."""
    lines = [
        f"the night after {trial.business_date} under rules {trial.rules[1]}, published under {trial.rules[0]}"
    ]
    people = trial.people
    if people is not None:
        lines += [
            f"  people          {people.people_before:>9,} → {people.people_after:,}",
            f"  merges          {people.merges:>9,}",
            f"  splits          {people.splits:>9,}",
            f"  records moved   {people.moved_records:>9,} of {people.records:,}",
        ]
        lines += [f"  {name:<15} {was:>9} → {becomes}" for name, (was, becomes) in trial.truth.items()]
        for word, examples in (("joined", people.merge_examples), ("parted", people.split_examples)):
            for example in examples:
                parts = ", ".join(f"{part['one_id']} ({part['records']})" for part in example["parts"])
                lines.append(f"  {word}: {parts}; for example {' and '.join(example['between'])}")
    if trial.tags is not None:
        lines += _lines_of_tags(trial.tags)
    if trial.audiences is not None:
        lines.append("  audiences")
        lines += [
            f"    {a['audience']:<40} {a['before']:>9,} → {a['after']:,}  ({a['enter']:,} enter, {a['leave']:,} leave)"
            for a in trial.audiences
        ]
    if trial.refusal:
        lines.append(f"  the night would be refused: {trial.refusal}")
    return lines


def _lines_of_tags(tags: list[dict[str, Any]]) -> list[str]:
    """Give a line per tag; tags of everybody, which all change alike, share one."""
    if not tags:
        return ["  every tag has as many people as now"]
    alike: dict[tuple[int, int], list[str]] = {}
    for tag in tags:
        if list(tag["values"]) == [""]:
            alike.setdefault((tag["before"], tag["after"]), []).append(tag["tag"])
    lines = ["  tags"]
    for (before, after), names in sorted(alike.items(), key=lambda item: item[1]):
        title = names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"
        lines.append(f"    {title:<40} {before:>9,} → {after:,}")
    for tag in tags:
        if list(tag["values"]) != [""]:
            lines.append(f"    {tag['tag']:<40} {tag['before']:>9,} → {tag['after']:,}")
            by_size = sorted(tag["values"].items(), key=lambda item: (-abs(item[1][1] - item[1][0]), item[0]))
            lines += [
                f"      {value:<38} {was:>9,} → {becomes:,}" for value, (was, becomes) in by_size[:_VALUES]
            ]
    return lines
