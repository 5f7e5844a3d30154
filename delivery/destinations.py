"""The places audiences go to: ``destinations.yml`` of a workspace."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from delivery.disclosures import Directory, Disclosure, WorklistSettings, disclosure_fault
from delivery.endpoints.settings import EndpointSettings, HttpSettings, KafkaSettings, PostgresqlSettings
from delivery.spreadsheet_cells import SpreadsheetRule
from lakehouse.errors import SettingsInvalid
from lakehouse.settings.optional_files import is_there
from lakehouse.settings.settings import Settings
from lakehouse.settings.yaml_files import did_you_mean, line_of, load_yaml, parse_model

DESTINATIONS_FILE = "destinations.yml"
# Kinds that have a key of their name.
KEYED_KINDS = ("http", "postgresql", "kafka", "worklist")


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Destination(_Strict):
    """One place audiences go to, with the highest personal level it may receive.

    Every audience is released into a folder, which is the record of it; other kinds are sent it from there. A directory lies in the
    folder whatever the kind, and is sent to none.
    """

    kind: Literal["folder", "http", "postgresql", "kafka", "worklist"] = "folder"
    description: str
    ceiling: Literal["C1", "C2"] = "C1"
    root: str | None = None
    spreadsheet: SpreadsheetRule = "neutralise"
    deliver: Literal["live", "dry"] = "live"
    directory: Directory | None = None
    http: HttpSettings | None = None
    postgresql: PostgresqlSettings | None = None
    kafka: KafkaSettings | None = None
    worklist: WorklistSettings | None = None

    @model_validator(mode="after")
    def _of_one_kind(self) -> Destination:
        for kind in KEYED_KINDS:
            if kind == self.kind and getattr(self, kind) is None:
                raise ValueError(f"a destination of kind {kind} needs {kind}:")
            if kind != self.kind and getattr(self, kind) is not None:
                raise ValueError(f"'{kind}' is no key of a destination of kind {self.kind}")
        if self.directory is not None and self.worklist is not None:
            raise ValueError("a worklist tells in its own rows who people are: it has no directory")
        return self

    @property
    def disclosure(self) -> Disclosure | None:
        """What the destination is told of its recipients beside the audiences; None where that is nothing."""
        return self.directory or self.worklist

    @property
    def endpoint(self) -> EndpointSettings | None:
        """The settings of the endpoint that audiences are sent to; None where they are read from the folder."""
        return self.http or self.postgresql or self.kafka


class DestinationsFile(_Strict):
    """``destinations.yml`` as written."""

    destinations: dict[Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")], Destination]


def read_destinations(workspace: Path) -> dict[str, Destination]:
    """Give the destinations of a workspace by name; without a ``destinations.yml`` there are none.

    A directory or worklist above its destination's ceiling, or that nobody approved as it stands, raises ``SettingsInvalid``.
    """
    file = workspace / DESTINATIONS_FILE
    if not is_there(file):
        return {}
    tree = load_yaml(file)
    destinations = parse_model(DestinationsFile, tree, file=file).destinations
    for name, destination in destinations.items():
        disclosure = destination.disclosure
        fault = disclosure and disclosure_fault(name, destination.ceiling, disclosure)
        if fault:
            key, sentence = fault
            line = line_of(tree, "destinations", name, _key_of(destination), key)
            raise SettingsInvalid(sentence, file=file, line=line)
    return destinations


def refuse_unknown_sources(workspace: Path, sources: Collection[str]) -> None:
    """Raise ``SettingsInvalid`` for a disclosure that names a source of which no feed speaks: it would find nobody."""
    for name, destination in read_destinations(workspace).items():
        key = _key_of(destination)
        for source in destination.disclosure.sources if destination.disclosure else ():
            if source not in sources:
                file = workspace / DESTINATIONS_FILE
                line = line_of(load_yaml(file), "destinations", name, key, "sources")
                raise SettingsInvalid(
                    f"the {key} of '{name}' names source '{source}', which no feed delivers{did_you_mean(source, sorted(sources))}",
                    file=file,
                    line=line,
                )


def _key_of(destination: Destination) -> str:
    """Give the key under which the disclosure of a destination stands."""
    return "worklist" if destination.worklist is not None else "directory"


DRY = "dry"


def dry_folder(settings: Settings, name: str) -> Path:
    """Give the folder of the workspace that holds what a destination would be given, and does not see."""
    return settings.generated / DRY / name


def destination_folder(settings: Settings, name: str, destination: Destination) -> Path:
    """Give the folder a destination reads: below its own root, else below the workspace's ``published``."""
    root = (
        (settings.workspace / Path(destination.root).expanduser()).resolve()
        if destination.root
        else settings.published
    )
    return root / name
