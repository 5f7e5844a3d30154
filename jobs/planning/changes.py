"""What differs between two workspaces, file by file, and what of a changed one a plan does not take over."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from jobs.planning.workspace_files import MODELS
from lakehouse.errors import UsageError
from lakehouse.settings.settings import FILE_NAME, Settings, load_settings
from lakehouse.settings.yaml_files import load_plain_yaml
from lakehouse.texts import speak

# What tags and suppression are compiled from beside the registry.
OF_TAGS = ("attributes.yml", "lookups.yml", "consent.yml")
FEEDS = "feeds"
# What no person, tag or audience depends on.
_OF_NOTHING = ("expectations", "marts.yml")
# Of cdp.yml, what rows were read by: a plan reads none of them again.
_OF_ROWS = ("time_zone", "currency")
# Of cdp.yml, what a plan takes over. Where things lie and how a night runs is as in the workspace in use.
_IN_EFFECT = ("thresholds", "language")


@dataclass(frozen=True)
class FileChange:
    """One settings file: its path in the workspace, and whether it is ``added``, ``removed`` or ``changed``."""

    path: str
    kind: str

    @property
    def place(self) -> str:
        """The folder or, at the top of the workspace, the file."""
        return self.path.partition("/")[0]


def file_changes(before: Mapping[str, str], after: Mapping[str, str]) -> list[FileChange]:
    """Compare two workspaces by the hashes of their files."""
    changes = []
    for path in sorted({*before, *after}):
        if before.get(path) != after.get(path):
            kind = "added" if path not in before else "removed" if path not in after else "changed"
            changes.append(FileChange(path, kind))
    return changes


def are_models_reached(changes: Sequence[FileChange]) -> bool:
    """Tell whether what tags read has changed below them: models, attributes, look-ups, or the rules of consent."""
    return any(change.place in (MODELS, *OF_TAGS) for change in changes)


def are_audiences_reached(changes: Sequence[FileChange]) -> bool:
    """Tell whether a file has changed from which audiences are decided; what is not known to be another's is theirs."""
    others = (FEEDS, "identity.yml", "tags", MODELS, *_OF_NOTHING)
    return any(change.place not in others for change in changes)


def refuse_models(changes: Sequence[FileChange], name: str) -> None:
    """Refuse a workspace of somebody else whose dbt models are not those in use: a model is code."""
    models = [change for change in changes if change.place == MODELS and change.kind != "removed"]
    if models:
        raise UsageError(
            f"{models[0].path} of {name} is not the model in use, and a model is code that dbt runs with your rights; "
            "read it, then say --run-models"
        )


def settings_of_copy(
    settings: Settings, own: Path, copy: Path, paths: Mapping[str, Path]
) -> tuple[Settings, list[str]]:
    """Give the settings under which a copied workspace is tried, and a sentence about what is not taken over.

    ``own`` is the copy of the workspace in use. Lake, secrets, engine and every folder are those of ``settings`` or of ``paths``;
    another time zone or currency raises ``UsageError``, since no row is read again.
    """
    other = load_settings(copy)
    speak(settings.language)
    trees = [load_plain_yaml(folder / FILE_NAME) or {} for folder in (own, copy)]
    keys = sorted({key for tree in trees for key in tree if trees[0].get(key) != trees[1].get(key)})
    rows = [key for key in _OF_ROWS if getattr(settings, key) != getattr(other, key)]
    if rows:
        raise UsageError(
            f"{FILE_NAME} has another {rows[0]}; rows that are there were read by the one in use, and a plan reads none again: "
            "run the nights anew in a workspace of its own"
        )
    ignored_keys = [key for key in keys if key not in (*_IN_EFFECT, *_OF_ROWS)]
    notes = [f"{FILE_NAME}: {', '.join(ignored_keys)} as in the workspace in use"] if ignored_keys else []
    values = {"workspace": copy, "thresholds": other.thresholds, "export": None, **paths}
    return settings.model_copy(update=values), notes
