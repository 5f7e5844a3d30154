"""The compilation of a workspace's tags: registry, scans and the writer of their SQL."""

from __future__ import annotations

import pickle
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from tags.compile.compiler import Writer
from tags.compile.places import PROJECT, REGISTRY
from tags.compile.plan import ScanPlan, plan_scans
from tags.compile.relations import SiteColumns, TagSource, TagSources
from tags.compile.shared_models import shared_models
from vocabulary.attributes import read_attributes
from vocabulary.lookups import read_lookups
from vocabulary.policy import Policy, read_policy
from vocabulary.registry import Registry, load_registry


@dataclass(frozen=True)
class Compilation:
    """What a workspace's tags compile to."""

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
    registry = load_registry(workspace, shipped=shipped)
    folders = [PROJECT / "models" / "staging", PROJECT / "models" / "intermediate"]
    if workspace and (workspace / "models").is_dir():
        folders.append(workspace / "models")
    site = SiteColumns(read_attributes(workspace), read_lookups(workspace))
    sources = TagSources(folders, site)
    plan = plan_scans(registry, sources)
    shared = shared_models(read_policy(workspace) if workspace else Policy())
    if is_checked:
        _check_once(registry, plan, folders, shared, site)
    return Compilation(registry, plan, Writer(registry, plan), tuple(folders), shared, sources.models)


# What was found sound in this process: a night, its check and the doctor each compile the same texts.
_SOUND: set[bytes] = set()


def _check_once(
    registry: Registry, plan: ScanPlan, folders: Sequence[Path], shared: Mapping[str, str], site: SiteColumns
) -> None:
    """Check the tags unless entries and models of the very same texts were checked before."""
    entries = {place.file for place in registry.places.values()}
    models = {file for folder in folders for file in folder.rglob("*") if file.is_file()}
    texts = [file.read_bytes() for file in sorted(entries | models)]
    key = sha256(pickle.dumps((texts, sorted(shared.items()), _facts_of(site)))).digest()
    if key not in _SOUND:
        from tags.compile.checks import check
        from tags.compile.lineage import Lineage

        check(registry, plan, Lineage(folders, shared), site)
        _SOUND.add(key)


def _facts_of(site: SiteColumns) -> tuple[list[str], list[str]]:
    lookups = [repr(step) for steps in site.lookups.by_table.values() for step in steps.values()]
    return sorted(map(repr, site.attributes.by_code.values())), sorted(lookups)
