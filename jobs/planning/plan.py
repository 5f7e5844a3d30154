"""What a changed workspace would move of the newest published night: people, tags, audiences, publications.

Everything is computed by the functions of a night, on a clone of the published lake that is thrown away. Only what the change can
reach is computed: other rules of identity replay the night after the published one, changed tags are built on its people, and
audiences are decided on its tags. Nothing is staged and nothing is sent; nothing of the lake, the ledger or the audiences changes.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import identity
import tags
from identity.measuring.difference import Difference, difference
from identity.rules.rules import FILE_NAME as RULES
from identity.rules.rules import read_rules
from jobs.night.churn import check_audiences
from jobs.night.steps import RECORDED_STEPS, check_gate, resolve
from jobs.planning.audience_moves import (
    AudienceMove,
    PublicationMove,
    audience_moves,
    movers,
    publication_moves,
)
from jobs.planning.both_lakes import BothLakes, open_both
from jobs.planning.changes import FileChange, file_changes, refuse_models, settings_of_copy
from jobs.planning.extent import Extent, extent_of_rules, read_extent
from jobs.planning.lake_clone import clone_published, plan_folder
from jobs.planning.new_sources import SourceRows, read_sources
from jobs.planning.night_times import NightTimes, night_times
from jobs.planning.tag_moves import TagMove, tag_moves
from jobs.planning.workspace_files import copy_folder, copy_revision, find_revision, hashes_of
from jobs.workspace.surroundings import read_surroundings
from lakehouse.errors import CdpError, GateStopped, UsageError
from lakehouse.query.desk import limit_memory
from lakehouse.query.published import Published, open_publication
from lakehouse.settings.optional_files import require_ordinary
from lakehouse.settings.settings import Settings, find_workspace, load_settings
from lakehouse.tables.lake import Lake, open_lake
from lakehouse.texts import speak
from vocabulary.tag_facts import read_tag_facts

if TYPE_CHECKING:
    import pyarrow as pa

    from vocabulary.audience import Audience

SOURCES, IDENTITY, TAGS, AUDIENCES = "sources", "identity", "tags", "audiences"
_OF_AUDIENCES = tuple(f"segments.{name}" for name in ("members", "runs", "suppressions", "contact_losses"))


@dataclass
class ChangePlan:
    """What would move. ``refusal`` is what a gate says that would stop the night; nothing is known of what comes after it.

    ``computed`` are the parts that the change can reach; the others are None and as they are published. ``rules`` are the
    versions of the published rules of identity and of those of the plan. ``truth`` has precision and recall where the workspace
    knows it. ``gaps`` is what the change still needs before a night, ``notes`` what a reader of the numbers should know.
    """

    business_date: str
    workspace: str
    files: list[FileChange] = field(default_factory=list)
    computed: list[str] = field(default_factory=list)
    rules: tuple[str, str] = ("", "")
    refusal: str = ""
    notes: list[str] = field(default_factory=list)
    gaps: list[str] = field(default_factory=list)
    sources: list[SourceRows] = field(default_factory=list)
    people: Difference | None = None
    truth: dict[str, tuple[float, float]] = field(default_factory=dict)
    tags: list[TagMove] | None = None
    audiences: list[AudienceMove] | None = None
    publications: list[PublicationMove] | None = None
    night: NightTimes = field(default_factory=NightTimes)

    @property
    def is_moving(self) -> bool:
        """Whether anybody or anything moves, or the night would be refused."""
        people = self.people
        return bool(
            self.refusal
            or (people and (people.merges or people.splits or people.moved_records))
            or self.tags
            or any(move.enter or move.leave or move.obstacle for move in self.audiences or ())
            or any(move.enter or move.leave or move.update for move in self.publications or ())
        )

    @property
    def one_ids(self) -> list[int]:
        """The OneIDs of all people that are given as examples, each once."""
        rows = [row for move in (*(self.tags or ()), *(self.audiences or ())) for row in move.people]
        people = self.people
        parts = [
            part for example in (*people.merge_examples, *people.split_examples) for part in example["parts"]
        ] if people else []  # fmt: skip
        return sorted({row["one_id"] for row in (*rows, *parts) if "one_id" in row})

    def summary(self) -> dict[str, Any]:
        """Give all of it as plain values, for JSON."""

        def each(moves: list[Any] | None) -> list[dict[str, Any]] | None:
            return None if moves is None else [move.summary() for move in moves]

        return {
            "business_date": self.business_date,
            "workspace": self.workspace,
            "files": [{"path": change.path, "kind": change.kind} for change in self.files],
            "computed": self.computed,
            "rules": list(self.rules),
            "refused": self.refusal,
            "is_moving": self.is_moving,
            "notes": self.notes,
            "gaps": self.gaps,
            "sources": each(self.sources),
            "people": None if self.people is None else self.people.summary(),
            "truth": self.truth,
            "tags": each(self.tags),
            "audiences": each(self.audiences),
            "publications": each(self.publications),
            "night": self.night.summary(),
        }


# ------------------------------------------------------------------------------------- which change


def plan_folder_change(
    settings: Settings, folder: Path, *, people: int = 0, run_models: bool = False
) -> ChangePlan:
    """Plan the workspace in another folder; the one in use itself raises ``UsageError``."""
    other = find_workspace(folder)
    if other == settings.workspace:
        raise UsageError(
            f"{other} is the workspace in use; name the folder of a changed one, or none to compare with the last commit"
        )
    paths = load_settings(other)
    speak(settings.language)
    without = frozenset({paths.lake, paths.inbox, paths.published, paths.reports} - {other})
    with _change(settings, str(folder), people) as change:
        copy_folder(settings.workspace, change.before, is_own=True, without=_folders_of(settings))
        copy_folder(other, change.after, without=without)
        inbox = other / "inbox"
        return change.plan(
            refuses_models=not run_models,
            inbox=inbox if inbox.is_dir() and not inbox.is_symlink() else settings.inbox,
        )


def plan_revision_change(
    settings: Settings, revision: str, *, people: int = 0, run_models: bool = False
) -> ChangePlan:
    """Plan the workspace as it is at a revision of the repository that it lies in."""
    target = find_revision(settings.workspace, revision)
    with _change(settings, revision, people) as change:
        copy_folder(settings.workspace, change.before, is_own=True, without=_folders_of(settings))
        copy_revision(target, change.after)
        return change.plan(refuses_models=not run_models, inbox=settings.inbox)


def plan_own_change(settings: Settings, *, people: int = 0) -> ChangePlan:
    """Plan what is changed in the workspace in use since the last commit; its models are those that the next night runs."""
    head = find_revision(settings.workspace, "HEAD")
    with _change(settings, str(settings.workspace), people) as change:
        copy_revision(head, change.before)
        copy_folder(settings.workspace, change.after, is_own=True, without=_folders_of(settings))
        return change.plan(refuses_models=False, inbox=settings.inbox)


def plan_rules_change(settings: Settings, rules: Path, *, only_identity: bool = False) -> ChangePlan:
    """Plan other rules of identity in the workspace in use; wrong rules raise before anything else."""
    require_ordinary(rules)
    if not rules.is_file():
        raise UsageError(f"there is no file {rules}")
    read_rules(rules)
    with _change(settings, str(settings.workspace), 0) as change:
        copy_folder(settings.workspace, change.before, is_own=True, without=_folders_of(settings))
        shutil.copytree(change.before, change.after, dirs_exist_ok=True)
        shutil.copyfile(rules, change.after / RULES)
        return change.plan(
            refuses_models=False, inbox=settings.inbox, is_trial=True, only_identity=only_identity
        )


def _folders_of(settings: Settings) -> frozenset[Path]:
    folders = {settings.lake, settings.inbox, settings.published, settings.reports, settings.generated}
    return frozenset(folders - {settings.workspace})


# ------------------------------------------------------------------------------------- the plan


@dataclass
class _Change:
    """A change on its way to a plan: the publication, the folder that is thrown away, and the copies of both workspaces in it."""

    settings: Settings
    published: Published
    folder: Path
    name: str
    people: int

    @property
    def before(self) -> Path:
        return self.folder / "before"

    @property
    def after(self) -> Path:
        return self.folder / "workspace"

    def plan(
        self, *, refuses_models: bool, inbox: Path, is_trial: bool = False, only_identity: bool = False
    ) -> ChangePlan:
        """Find what the change can reach, compute that on the clone, and compare."""
        publication = self.published.publication
        plan = ChangePlan(publication.business_date.isoformat(), self.name)
        plan.files = file_changes(hashes_of(self.before), hashes_of(self.after))
        if refuses_models:
            refuse_models(plan.files, self.name)
        clone = self.folder / "lake"
        paths = {"lake": clone, "lock_dir": clone, "inbox": inbox}
        paths |= {name: self.folder / name for name in ("published", "reports")}
        settings, notes = settings_of_copy(self.settings, self.before, self.after, paths)
        plan.notes += notes
        _lend(self.settings, self.after)
        clone_published(self.settings, publication, clone)
        if only_identity:
            extent = extent_of_rules(settings, self.published)
        else:
            extent = read_extent(settings, self.before, self.published, plan.files)
        plan.notes += extent.notes
        plan.gaps += extent.gaps
        plan.night = night_times(self.settings, tuple(step.name for step in RECORDED_STEPS))
        run = _Run(self, plan, open_lake(settings, contracts=extent.contracts), extent, is_trial)
        try:
            run.compute(only_identity=only_identity)
        except GateStopped as stopped:
            plan.refusal = str(stopped)
        return plan


@contextmanager
def _change(settings: Settings, name: str, people: int) -> Iterator[_Change]:
    """Give the change, to be filled; what is said of a file of a copy names the file that was copied."""
    limit_memory(settings)
    with open_publication(settings) as published, plan_folder(settings) as folder:
        change = _Change(settings, published, folder, name, people)
        change.before.mkdir()
        change.after.mkdir()
        try:
            yield change
        except CdpError as wrong:
            for copy in (change.after, change.before):
                wrong.message = wrong.message.replace(str(copy), name)
                wrong.file = wrong.file and wrong.file.replace(str(copy), name)
            raise


def _lend(settings: Settings, copy: Path) -> None:
    """Lend a copy the keys and the decisions of the workspace in use; what is made there stays there."""
    (copy / "secrets").mkdir(mode=0o700)
    for key in sorted((settings.workspace / "secrets").glob("*.key")):
        (copy / "secrets" / key.name).symlink_to(key.resolve())
    records = [*settings.workspace.glob("audit/segments*"), *settings.workspace.glob("approvals/*/*.json*")]
    for record in records:
        if record.is_file():
            place = copy / record.relative_to(settings.workspace)
            place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            shutil.copyfile(record, place)


@dataclass
class _Run:
    """The computation of a plan on the clone, part by part."""

    change: _Change
    plan: ChangePlan
    lake: Lake
    extent: Extent

    is_trial: bool
    """Whether rules of identity are tried: the night is replayed in any case, and examples name the keys of records."""

    def compute(self, *, only_identity: bool) -> None:
        """Compute what the change can reach; a gate that would stop the night raises ``GateStopped``."""
        extent, plan = self.extent, self.plan
        plan.rules = (extent.published_rules[0], extent.rules_version)
        are_people_reached = self.is_trial or extent.are_people_reached
        if are_people_reached:
            self._replay_identity()
        if only_identity:
            return
        are_tags_reached = are_people_reached or extent.are_tags_reached
        day = self._day
        if are_tags_reached:
            plan.computed.append(TAGS)
            # Other people, or other rows below tags, move every tag.
            only = None if are_people_reached else extent.tag_codes
            tags.build_tags(self.lake, day, only=only)
            check_gate(self.lake, TAGS, day)
        if not (are_tags_reached or extent.are_audiences_reached):
            return
        plan.computed.append(AUDIENCES)
        audiences, obstacles = self._decide_audiences()
        with open_both(self.change.published, self.lake) as both:
            self._compare(both, audiences, obstacles)
        check_gate(self.lake, "segments", day)
        if not are_people_reached:
            check_audiences(self.lake, day)

    @property
    def _day(self) -> date:
        return self.change.published.publication.business_date

    def _replay_identity(self) -> None:
        """Replay the night after the published one under the published rules, then under those of the plan."""
        plan, lake, extent = self.plan, self.lake, self.extent
        next_day = self._day + timedelta(days=1)
        plan.computed.append(IDENTITY)
        identity.resolve(lake, next_day, rules=extent.published_rules[1])
        people = _people(lake)
        plan.sources = read_sources(lake, self._day, extent.sources)
        if plan.sources:
            plan.computed.insert(0, SOURCES)
            check_gate(lake, "trusted", self._day)
        # Rows that are read for the published date are none that the night after it would look for.
        counts = resolve(lake, next_day, full=bool(plan.sources))
        check_gate(lake, IDENTITY, next_day)
        plan.people = difference(people, _people(lake))
        if not self.is_trial:
            plan.people = without_keys(plan.people, self.change.people)
        published_measures = self.change.published.publication.summary.get(IDENTITY, {})
        plan.truth = {
            name: (published_measures[name], counts[name])
            for name in ("precision", "recall")
            if name in published_measures and name in counts
        }

    def _decide_audiences(self) -> tuple[tuple[Audience, ...], dict[str, str]]:
        import segments

        settings, day = self.lake.settings, self._day
        surroundings = read_surroundings(settings)
        segments.refuse_findings(segments.offer_findings(self.lake, surroundings))
        for table in _OF_AUDIENCES:
            if self.lake.exists(table):  # a workspace without segments decides nothing anew
                empty = self.lake.contracts.get(table).arrow_schema().empty_table()
                self.lake.replace_partition(table, empty, as_of=day)
        result = segments.evaluate(self.lake, day, surroundings, segments.read_authority(settings))
        return result.audiences, {one.segment.code: one.sentence for one in result.barriers}

    def _compare(
        self, both: BothLakes, audiences: tuple[Audience, ...], obstacles: Mapping[str, str]
    ) -> None:
        plan, people = self.plan, self.change.people
        if TAGS in plan.computed:
            facts = [
                read_tag_facts(folder, shipped=tags.REGISTRY)
                for folder in (self.change.before, self.change.after)
            ]
            plan.tags = tag_moves(both, facts[0] | facts[1], people=people)
        moves = movers(both, (self.change.before, self.change.after))
        names = [*obstacles, *(audience.code for audience in audiences)]
        plan.audiences = audience_moves(both, moves, obstacles, names, people=people)
        plan.publications = publication_moves(both, moves, audiences, [move.tag for move in plan.tags or ()])


def without_keys(people: Difference, most: int) -> Difference:
    """Give a difference with so many examples at most, which name OneIDs and no key of a record."""

    def examples(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [{name: value for name, value in row.items() if name != "between"} for row in rows[:most]]

    return replace(
        people, merge_examples=examples(people.merge_examples), split_examples=examples(people.split_examples)
    )


def _people(lake: Lake) -> pa.Table:
    rows = lake.read_arrow("identity.memberships", columns=["source", "source_key", "one_id", "valid_to"])
    return rows.filter(rows["valid_to"].is_null()).drop_columns(["valid_to"])
