"""The compilation of a workspace's tags: registry, scans and the writer of their SQL."""

from __future__ import annotations

import pickle
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from hashlib import sha256
from pathlib import Path

from tags.compile.compiler import Writer
from tags.compile.places import PROJECT, REGISTRY
from tags.compile.plan import ScanPlan, plan_scans
from tags.compile.relations import SiteColumns, TagSource, TagSources
from tags.compile.shared_models import shared_models
from vocabulary.attributes import read_attributes
from vocabulary.lookups import read_lookups
from vocabulary.packs import deciding_files
from vocabulary.policy import Policy, read_policy
from vocabulary.registry import Registry, load_registry, registry_files


@dataclass(frozen=True, eq=False)
class Compilation:
    """What a workspace's tags compile to; the same texts give the same object for as long as it is kept."""

    registry: Registry
    plan: ScanPlan
    writer: Writer
    model_folders: tuple[Path, ...]
    """The folders of hand-written dbt models: the product's and, where there is one, the workspace's."""
    shared: Mapping[str, str]
    """The text of each model whose rules tags share with suppression, by name."""
    models: Mapping[str, TagSource]
    """The hand-written models whose YAML lists columns, by name."""


def compile_tags(workspace: Path | None, *, shipped: Path = REGISTRY, is_checked: bool = True) -> Compilation:
    """Compile the tags of a workspace; without ``is_checked`` nothing but lookups of names is verified."""
    folders = _model_folders(workspace)
    registries = [file for file, _ in registry_files(shipped, workspace)]
    models = sorted(file for folder in folders for file in folder.rglob("*") if file.is_file())
    texts = tuple(file.read_bytes() for file in (*registries, *models))
    site = _site_columns(workspace)
    deciding = tuple(file.read_bytes() for file in deciding_files(workspace) if file.is_file())
    state = sha256(pickle.dumps((texts, _policy(workspace), _facts_of(site), deciding))).digest()
    compilation = _compile(workspace, shipped, (*registries, *models), state)
    if is_checked and state not in _SOUND:
        from tags.compile.checks import check
        from tags.compile.lineage import Lineage

        check(compilation.registry, compilation.plan, Lineage(folders, compilation.shared), site)
        _SOUND.add(state)
    return compilation


def narrowed(compilation: Compilation, workspace: Path | None, codes: Collection[str]) -> Compilation:
    """Give what computes these tags alone, and those that they read; the others are as if they were drafts."""
    entries = compilation.registry.entries
    needed_codes, waiting = set(codes), list(codes)
    while waiting:
        for code in entries[waiting.pop()].tag_inputs:
            if code not in needed_codes:
                needed_codes.add(code)
                waiting.append(code)
    narrow = {
        code: entry if code in needed_codes else entry.model_copy(update={"status": "draft"})
        for code, entry in entries.items()
    }
    return compile_registry(replace(compilation.registry, entries=narrow), workspace, is_checked=False)


def compile_registry(registry: Registry, workspace: Path | None, *, is_checked: bool = True) -> Compilation:
    """Compile other entries than a workspace's own, such as an earlier version of a tag, over its models and columns."""
    compilation = _compilation(registry, workspace)
    if is_checked:
        from tags.compile.checks import check
        from tags.compile.lineage import Lineage

        lineage = Lineage(_model_folders(workspace), compilation.shared)
        check(registry, compilation.plan, lineage, _site_columns(workspace))
    return compilation


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
    return Compilation(
        registry,
        plan,
        Writer(registry, plan),
        tuple(folders),
        shared_models(_policy(workspace)),
        sources.models,
    )


def _model_folders(workspace: Path | None) -> list[Path]:
    folders = [PROJECT / "models" / "staging", PROJECT / "models" / "intermediate"]
    if workspace and (workspace / "models").is_dir():
        folders.append(workspace / "models")
    return folders


def _policy(workspace: Path | None) -> Policy:
    return read_policy(workspace) if workspace else Policy()


def _site_columns(workspace: Path | None) -> SiteColumns:
    return SiteColumns(read_attributes(workspace), read_lookups(workspace))


def _facts_of(site: SiteColumns) -> tuple[list[str], list[str]]:
    lookups = [repr(step) for steps in site.lookups.by_table.values() for step in steps.values()]
    return sorted(map(repr, site.attributes.by_code.values())), sorted(lookups)
