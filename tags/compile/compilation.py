"""The compilation of a workspace's tags: registry, scans and the writer of their SQL."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tags.compile.compiler import Writer
from tags.compile.places import PROJECT, REGISTRY
from tags.compile.plan import ScanPlan, plan_scans
from tags.compile.relations import TagSource, TagSources
from tags.compile.shared_models import shared_models
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
    sources = TagSources(folders)
    plan = plan_scans(registry, sources)
    shared = shared_models(read_policy(workspace) if workspace else Policy())
    if is_checked:
        from tags.compile.checks import check
        from tags.compile.lineage import Lineage

        check(registry, plan, Lineage(folders, shared))
    return Compilation(registry, plan, Writer(registry, plan), tuple(folders), shared, sources.models)
