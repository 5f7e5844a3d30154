"""The compilation of a workspace's tags: registry, scans and the writer of their SQL."""

from __future__ import annotations

import pickle
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from hashlib import sha256
from pathlib import Path

from lakehouse.settings.optional_files import optional_file, optional_folder
from tags.compile.compiler import Writer
from tags.compile.entry_texts import population_inputs
from tags.compile.lineage import Lineage
from tags.compile.marts.models import MartModels, deciding_mart_files, mart_models
from tags.compile.places import PROJECT, REGISTRY
from tags.compile.plan import ScanPlan, plan_of, plan_scans
from tags.compile.relations import SiteColumns, TagSource, TagSources
from tags.compile.shared_models import shared_models
from vocabulary.attributes import read_attributes
from vocabulary.entities import OTHER_ENTITIES
from vocabulary.lookups import read_lookups
from vocabulary.packs import deciding_files
from vocabulary.policy import Policy, read_policy
from vocabulary.registry import Entry, Registry, load_registry, registry_files


@dataclass(frozen=True, eq=False)
class Compilation:
    """What a workspace's tags compile to; the same texts give the same object for as long as it is kept.

    ``plan`` and ``writer`` are those of people's tags, ``others`` the writers of the other entities that have computed tags.
    """

    registry: Registry
    plan: ScanPlan
    writer: Writer
    model_folders: tuple[Path, ...]
    """The folders of hand-written dbt models: the product's and, where there is one, the workspace's."""
    shared: Mapping[str, str]
    """The text of each model whose rules tags share with suppression, by name."""
    models: Mapping[str, TagSource]
    """The hand-written models whose YAML lists columns, by name."""
    others: tuple[Writer, ...] = ()
    marts: MartModels | None = None
    """What marts read; None where the workspace has none."""

    @property
    def writers(self) -> tuple[Writer, ...]:
        """The writers of all entities, that of people first."""
        return (self.writer, *self.others)

    @property
    def plans(self) -> tuple[ScanPlan, ...]:
        """The plans of all entities, that of people first."""
        return tuple(writer.plan for writer in self.writers)

    @property
    def entries(self) -> tuple[Entry, ...]:
        """The computed tags of all entities."""
        return tuple(entry for writer in self.writers for entry in writer.plan.entries)

    @cached_property
    def lineage(self) -> Lineage:
        """What the columns of the models come from."""
        return Lineage(self.model_folders, self.shared)

    def writer_of(self, entry: Entry) -> Writer:
        """Give the writer of the entity that a computed tag is about."""
        return next(writer for writer in self.writers if writer.entity == entry.about)

    def part(self, codes: Collection[str]) -> Compilation:
        """Give what computes some tags of any entity, and the tags that they and their populations read."""
        by_code = {entry.code: entry for entry in self.entries}
        part_codes = _with_inputs(by_code, codes)
        plans = [
            plan_of(writer.plan, part_codes & {entry.code for entry in writer.plan.entries})
            for writer in self.writers
        ]
        writers = [Writer(self.registry, plan) for plan in plans]
        others = tuple(writer for writer in writers[1:] if writer.plan.entries)
        return replace(self, plan=plans[0], writer=writers[0], others=others)


def compile_tags(workspace: Path | None, *, shipped: Path = REGISTRY, is_checked: bool = True) -> Compilation:
    """Compile the tags of a workspace; without ``is_checked`` nothing but lookups of names is verified."""
    folders = _model_folders(workspace)
    registries = [file for file, _ in registry_files(shipped, workspace)]
    models = sorted(file for folder in folders for file in folder.rglob("*") if not file.is_dir())
    texts = tuple(file.read_bytes() for file in (*registries, *models) if optional_file(file))
    site = _site_columns(workspace)
    files_of_marts = deciding_mart_files(workspace)
    deciding = tuple(
        file.read_bytes() for file in (*deciding_files(workspace), *files_of_marts) if optional_file(file)
    )
    state = sha256(pickle.dumps((texts, _policy(workspace), _facts_of(site), deciding))).digest()
    compilation = _compile(workspace, shipped, (*registries, *models), state)
    if is_checked and state not in _SOUND:
        _require_sound(compilation, site)
        _SOUND.add(state)
    return compilation


def narrowed(compilation: Compilation, workspace: Path | None, codes: Collection[str]) -> Compilation:
    """Give what computes these tags alone, and those that they and their populations read; the others are as if they were drafts."""
    entries = compilation.registry.entries
    needed_codes = _with_inputs(entries, codes)
    narrow = {
        code: entry if code in needed_codes else entry.model_copy(update={"status": "draft"})
        for code, entry in entries.items()
    }
    return compile_registry(replace(compilation.registry, entries=narrow), workspace, is_checked=False)


def _with_inputs(entries: Mapping[str, Entry], codes: Collection[str]) -> set[str]:
    """Give codes with those of all tags that they, and the populations they are counted over, are read from."""
    needed_codes, waiting = set(codes), list(codes)
    while waiting:
        entry = entries[waiting.pop()]
        for code in (*entry.tag_inputs, *population_inputs(entry)):
            if code in entries and code not in needed_codes:
                needed_codes.add(code)
                waiting.append(code)
    return needed_codes


def compile_registry(registry: Registry, workspace: Path | None, *, is_checked: bool = True) -> Compilation:
    """Compile other entries than a workspace's own, such as an earlier version of a tag, over its models and columns."""
    compilation = _compilation(registry, workspace)
    if is_checked:
        _require_sound(compilation, _site_columns(workspace))
    return compilation


def _require_sound(compilation: Compilation, site: SiteColumns) -> None:
    """Raise ``SettingsInvalid`` for the first fault of a computed tag, be it one that shows only when its SQL is written."""
    from tags.compile.checks.entries import check
    from tags.compile.checks.populations import check_populations

    for writer in compilation.writers:
        check(compilation.registry, writer.plan, compilation.lineage, site)
        check_populations(compilation.registry, writer.plan)
        writer.wide_sql()
        for scan in writer.plan.scans:
            if scan.aggregated:
                writer.scan_sql(scan)


# What was found sound in this process, wherever it lay: a night, its check and the doctor each compile the same texts.
_SOUND: set[bytes] = set()


@lru_cache(maxsize=4)
def _compile(workspace: Path | None, shipped: Path, files: tuple[Path, ...], state: bytes) -> Compilation:
    """Compile what lies in these files; ``state`` tells one content of them from another."""
    return _compilation(load_registry(workspace, shipped=shipped), workspace)


def _compilation(registry: Registry, workspace: Path | None) -> Compilation:
    folders = _model_folders(workspace)
    sources = TagSources(folders, _site_columns(workspace))
    plan = plan_scans(registry, sources)
    others = [plan_scans(registry, sources, entity) for entity in OTHER_ENTITIES if registry.online(entity)]
    return Compilation(
        registry,
        plan,
        Writer(registry, plan),
        tuple(folders),
        shared_models(_policy(workspace)),
        sources.models,
        tuple(Writer(registry, other) for other in others),
        mart_models(registry, workspace),
    )


def _model_folders(workspace: Path | None) -> list[Path]:
    folders = [PROJECT / "models" / "staging", PROJECT / "models" / "intermediate"]
    if workspace and optional_folder(workspace / "models"):
        folders.append(workspace / "models")
    return folders


def _policy(workspace: Path | None) -> Policy:
    return read_policy(workspace) if workspace else Policy()


def _site_columns(workspace: Path | None) -> SiteColumns:
    return SiteColumns(read_attributes(workspace), read_lookups(workspace))


def _facts_of(site: SiteColumns) -> tuple[list[str], list[str]]:
    lookups = [repr(step) for steps in site.lookups.by_table.values() for step in steps.values()]
    return sorted(map(repr, site.attributes.by_code.values())), sorted(lookups)
