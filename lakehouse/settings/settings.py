"""The settings of a workspace: one frozen object read from ``cdp.yml``; unknown keys are refused."""

from __future__ import annotations

import os
import re
import secrets as _secrets
import stat
from pathlib import Path
from typing import Annotated, Any, Literal, get_args
from zoneinfo import ZoneInfo, available_timezones

from pydantic import BaseModel, ConfigDict, Field, field_validator

from lakehouse.errors import SettingsInvalid
from lakehouse.settings.optional_files import is_there
from lakehouse.settings.yaml_files import load_yaml, parse_model
from lakehouse.texts import DEFAULT, LANGUAGES, speak

# deltalake decodes the first in a path, and cannot parse a path with the others.
UNREADABLE_SIGNS = ("%", "[", "]")
FILE_NAME = "cdp.yml"
SECRET_LENGTH = 16
SECRET_BYTES = 4096
EngineName = Literal["auto", "duckdb", "spark"]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class SparkSettings(_Strict):
    """How the embedded Spark session is sized; a cluster's own configuration wins where it is set."""

    driver_memory: str = "3g"
    cores: int | Literal["all"] = "all"
    shuffle_partitions: int = Field(default=4, ge=1)
    class_data_sharing: bool = True
    conf: dict[str, str] = Field(default_factory=dict)

    @field_validator("driver_memory")
    @classmethod
    def _size(cls, value: str) -> str:
        if not re.fullmatch(r"\d+[gm]", value):
            raise ValueError("write a size like 3g or 1500m")
        return value


class EngineSettings(_Strict):
    """Which engine does the work of the size of the data; both give the same rows.

    ``duckdb`` works in this process and needs no Java, ``spark`` gives all of it to Spark. ``auto`` is ``duckdb`` but for what
    only Spark can say and, on a cluster, for large pieces; and for tags that read more than ``rows_in_process`` rows.
    A kernel, such as that of identity, is given people of about ``bucket_rows`` rows at a time, which bounds what it needs; Spark,
    where it is the engine, compares the keys of a feed that brings more.
    ``memory`` is the most that DuckDB holds (8GB; without it four fifths of the machine's) before it writes to a folder below
    ``spill`` (without it the system's folder for temporary files).
    """

    name: EngineName = "auto"
    rows_in_process: int = Field(default=200_000_000, ge=1)
    bucket_rows: int = Field(default=5_000_000, ge=1)
    memory: str | None = None
    spill: str | None = None

    @field_validator("memory")
    @classmethod
    def _memory(cls, value: str | None) -> str | None:
        if value is not None and not re.fullmatch(r"[1-9]\d*[GM]B", value):
            raise ValueError("write a size like 8GB or 1500MB")
        return value


class ComponentSettings(_Strict):
    """How connected components are found: by size, or always in the named mode; see ``identity.components``.

    ``driver_nodes`` bounds the driver's memory, about 20 bytes a node; ``partition_links`` that of a Spark worker
    in ``contract``, about 60 bytes a link.
    """

    mode: Literal["auto", "driver", "contract", "rounds"] = "auto"
    driver_nodes: int = Field(default=200_000_000, ge=1)
    partition_links: int = Field(default=5_000_000, ge=1)


class FileSettings(_Strict):
    """Which groups may read what the product writes; without one only the owner may."""

    group: str | None = None
    published_group: str | None = None


class RetentionSettings(_Strict):
    """How long snapshots of tags are kept: ``tag_days`` days, and beyond them the last night of ``tag_month_ends`` months.

    What is not kept leaves the disk once no publication of the last ``reader_days`` days names it.
    """

    tag_days: int = Field(default=32, ge=2, le=1096)
    tag_month_ends: int = Field(default=25, ge=0, le=120)
    reader_days: int = Field(default=7, ge=1, le=1096)


class Threshold(_Strict):
    """A workspace's own bound for a measure, with the reason for the number and who set it (else whose file it is)."""

    min: float | None = None
    max: float | None = None
    severity: Literal["stop", "warn"] | None = None
    why: str
    by: str | None = None


class SettingsFile(_Strict):
    """What ``cdp.yml`` may say; every key has a default but the workspace's currency and time zone matter."""

    lake: str = "lake"
    inbox: str = "inbox"
    published: str = "published"
    reports: str = "reports"
    truth: str | None = None
    lock_dir: str | None = None
    jars: str | None = None
    time_zone: str = "Asia/Shanghai"
    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$")] = "CNY"
    language: Literal["zh", "en"] = "en"
    generate_secrets: bool = False
    engine: EngineSettings = Field(default_factory=EngineSettings)
    spark: SparkSettings = Field(default_factory=SparkSettings)
    components: ComponentSettings = Field(default_factory=ComponentSettings)
    files: FileSettings = Field(default_factory=FileSettings)
    export: str | None = None
    count_queries: bool = False
    retention: RetentionSettings = Field(default_factory=RetentionSettings)
    packs: dict[str, bool] = Field(default_factory=dict)
    thresholds: dict[str, Threshold] = Field(default_factory=dict)

    @field_validator("engine", mode="before")
    @classmethod
    def _engine_by_name(cls, value: Any) -> Any:
        return {"name": value} if isinstance(value, str) else value

    @field_validator("time_zone")
    @classmethod
    def _known_zone(cls, value: str) -> str:
        if value not in available_timezones():
            raise ValueError(f"unknown time zone '{value}'; write one like Asia/Shanghai or Europe/Prague")
        return value

    @field_validator("lake", "published")
    @classmethod
    def _local(cls, value: str) -> str:
        if "://" in value:
            raise ValueError("object stores are not supported yet; name a folder all writers share")
        return value


class Settings(BaseModel):
    """One workspace's settings with every path resolved against the workspace folder."""

    model_config = ConfigDict(frozen=True, arbitrary_types_allowed=True)

    workspace: Path
    lake: Path
    inbox: Path
    published: Path
    reports: Path
    truth: Path | None
    lock_dir: Path
    jars: Path | None
    time_zone: str
    currency: str
    language: str
    generate_secrets: bool
    engine: EngineSettings
    spark: SparkSettings
    components: ComponentSettings = ComponentSettings()
    files: FileSettings = FileSettings()
    export: Path | None = None
    count_queries: bool = False
    retention: RetentionSettings = RetentionSettings()
    thresholds: dict[str, Threshold]

    @property
    def zone(self) -> ZoneInfo:
        """The zone in which a business date begins and ends."""
        return ZoneInfo(self.time_zone)

    @property
    def generated(self) -> Path:
        """The folder for what the product generates beside the workspace: dbt project, logs, caches."""
        return self.workspace / ".cdp"

    def secret(self, name: str) -> bytes:
        """Give the secret ``name`` from ``CDP_SECRET_<NAME>`` or from ``secrets/<name>.key``.

        With ``generate_secrets: true`` (demo workspaces) a missing one is made once, readable by its owner only.
        """
        value = find_secret(name, self.workspace)
        if value is not None:
            return value
        file = secret_file(self.workspace, name)
        self.require_secret(name)
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        draft = file.with_name(f".{name}-{_secrets.token_hex(8)}")
        handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w") as out:
            out.write(_secrets.token_hex(32) + "\n")
        try:
            os.link(draft, file)  # whoever comes second has the key of the first
        except FileExistsError:
            pass
        finally:
            draft.unlink()
        return read_secret(file)

    def require_secret(self, name: str) -> None:
        """Raise ``SettingsInvalid`` where the secret ``name`` is missing and may not be made, or cannot be read."""
        file = secret_file(self.workspace, name)
        if find_secret(name, self.workspace) is not None or self.generate_secrets:
            return
        raise SettingsInvalid(
            f"the secret '{name}' is missing: set CDP_SECRET_{name.upper()} or write at least 16 random "
            f"characters to {file} (mode 0600); keep it, what was made with it cannot be matched or verified without it",
            file=self.workspace / FILE_NAME,
        )


def is_cluster(settings: Settings) -> bool:
    """Tell whether the settings or ``CDP_SPARK_MASTER`` name a master that is not in this process."""
    master = os.environ.get("CDP_SPARK_MASTER") or settings.spark.conf.get("spark.master") or "local"
    return not master.startswith("local")


def secret_file(workspace: Path, name: str) -> Path:
    """Give where a workspace keeps the secret ``name``."""
    return workspace / "secrets" / f"{name}.key"


def find_secret(name: str, workspace: Path | None) -> bytes | None:
    """Give the secret ``name`` from ``CDP_SECRET_<NAME>``, or from a workspace's file; None where neither is there."""
    value = os.environ.get(f"CDP_SECRET_{name.upper()}")
    if value:
        return value.encode()
    file = secret_file(workspace, name) if workspace else None
    return read_secret(file) if file and is_there(file) else None


def read_secret(file: Path) -> bytes:
    """Give the secret in a file; one that cannot be read, is too short or too long raises ``SettingsInvalid``.

    A device or a pipe is not read: it may never end, or never begin.
    """
    try:
        if not stat.S_ISREG(file.stat().st_mode):
            raise SettingsInvalid("the key is no regular file", file=file)
        with file.open("rb") as stream:
            text = stream.read(SECRET_BYTES + 1)
    except OSError as wrong:
        raise SettingsInvalid(f"the key cannot be read ({wrong.strerror})", file=file) from None
    if len(text) > SECRET_BYTES:
        raise SettingsInvalid(f"the key is longer than {SECRET_BYTES} bytes", file=file)
    text = text.strip()
    if len(text) < SECRET_LENGTH:
        raise SettingsInvalid(
            f"the key is shorter than {SECRET_LENGTH} characters; make a longer one", file=file
        )
    return text


def find_workspace(folder: str | Path | None = None) -> Path:
    """Give the workspace folder: ``folder``, else ``CDP_WORKSPACE``, else the current folder.

    A folder that is absent or holds no ``cdp.yml`` is refused.
    """
    path = Path(folder or os.environ.get("CDP_WORKSPACE") or ".").resolve()
    if not path.is_dir():
        raise SettingsInvalid(f"the workspace folder {path} does not exist")
    if not (path / FILE_NAME).is_file():
        raise SettingsInvalid(
            f"{path} is not a workspace (it has no {FILE_NAME}); name one with --workspace or CDP_WORKSPACE"
        )
    return path


def load_settings(workspace: str | Path | None = None, *, engine: str | None = None) -> Settings:
    """Read ``cdp.yml`` of the workspace (see ``find_workspace``); ``engine``, or ``CDP_ENGINE``, comes before the file's."""
    root = find_workspace(workspace)
    file = root / FILE_NAME
    tree = load_yaml(file)
    language = tree.get("language") if isinstance(tree, dict) else None
    speak(language if language in LANGUAGES else DEFAULT)  # before a fault of the file is told
    entries = parse_model(SettingsFile, tree, file=file)
    engine = engine or os.environ.get("CDP_ENGINE")
    if engine is not None:
        if engine not in get_args(EngineName):
            raise SettingsInvalid(
                f"there is no engine '{engine}'; name one of {', '.join(get_args(EngineName))}"
            )
        entries = entries.model_copy(update={"engine": entries.engine.model_copy(update={"name": engine})})

    def path_below_root(value: str) -> Path:
        return (root / Path(value).expanduser()).resolve()

    def optional(value: str | None) -> Path | None:
        return path_below_root(value) if value else None

    lake = path_below_root(entries.lake)
    sign = next((sign for sign in UNREADABLE_SIGNS if sign in str(lake)), None)
    if sign is not None:
        raise SettingsInvalid(
            f"the lake's folder {lake} has a '{sign}' in its path, which Delta readers take for an escape or an address; "
            "name another one with lake:",
            file=file,
        )

    if entries.engine.spill is not None:
        spill = {"spill": str(path_below_root(entries.engine.spill))}
        entries = entries.model_copy(update={"engine": entries.engine.model_copy(update=spill)})
    # The last part of its path is not followed: what replaces a file may not replace what a link names.
    export = root / Path(entries.export).expanduser() if entries.export else None
    values: dict[str, Any] = {
        "workspace": root,
        "export": export and export.parent.resolve() / export.name,
        "lake": lake,
        "inbox": path_below_root(entries.inbox),
        "published": path_below_root(entries.published),
        "reports": path_below_root(entries.reports),
        "truth": optional(entries.truth),
        "lock_dir": optional(entries.lock_dir) or path_below_root(entries.lake),
        "jars": optional(entries.jars),
    }
    names = (
        "count_queries",
        "time_zone",
        "currency",
        "language",
        "generate_secrets",
        "engine",
        "spark",
        "components",
        "files",
        "retention",
        "thresholds",
    )
    return Settings(**values, **{name: getattr(entries, name) for name in names})
