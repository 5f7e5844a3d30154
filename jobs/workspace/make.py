"""Making a workspace to start from: settings, folders, a key, the schemas of its files."""

from __future__ import annotations

import os
import secrets
import shutil
from pathlib import Path

from jobs.report.schemas import FOLDER, write_schemas
from lakehouse.errors import UsageError
from lakehouse.settings.settings import FILE_NAME

TEMPLATES = Path(__file__).resolve().parent / "templates"
CLONE = Path(__file__).resolve().parents[2]
# The files of an example that a site would write; setup.py says the same for the wheel.
EXAMPLE_PARTS = ("*.yml", "[a-z]*/*.yml", "lists/*")
# What runs make, and what nobody may commit.
GIT_IGNORED = (
    "lake/",
    "inbox/*",
    "!inbox/README.md",
    "published/",
    "reports/",
    "secrets/",
    "audit/",
    ".cdp/",
)


def make_workspace(folder: Path, example: str | None = None) -> None:
    """Make a workspace in a new or empty folder, with the files of an example where one is named.

    A folder that holds something or cannot be written raises ``UsageError``; then nothing was written.
    """
    _refuse_occupied(folder)
    _copy("workspace", folder)
    if example:
        _copy(example, folder)
    for name in ("lists", "models"):
        (folder / name).mkdir(exist_ok=True)
    (folder / ".gitignore").write_text("\n".join(GIT_IGNORED) + "\n", encoding="utf-8")
    _write_keys(folder)
    write_schemas(folder / FOLDER)


def _refuse_occupied(folder: Path) -> None:
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is a file; name a new or empty folder, nothing was written")
    if (folder / FILE_NAME).exists():
        raise UsageError(f"{folder} is a workspace already; nothing was written")
    if folder.is_dir() and any(entry.name != ".git" for entry in folder.iterdir()):
        raise UsageError(f"{folder} is not empty; name a new folder, nothing was written")
    parent = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    if not parent.is_dir() or not os.access(parent, os.W_OK):
        raise UsageError(f"{folder} cannot be made: {parent} cannot be written")


def _copy(template: str, folder: Path) -> None:
    """Copy a template; in a clone an example stands in ``examples/``, in a wheel beside the templates."""
    source = TEMPLATES / template
    if source.is_dir():
        shutil.copytree(source, folder, dirs_exist_ok=True)
        return
    for part in EXAMPLE_PARTS:
        for file in sorted((CLONE / "examples" / template).glob(part)):
            if file.is_file():
                place = folder / file.relative_to(CLONE / "examples" / template)
                place.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(file, place)


def _write_keys(folder: Path) -> None:
    """Make the key of sensitive identifiers, that of decisions and two for each destination; only their owner may read them."""
    from delivery.destinations import read_destinations
    from delivery.signature import verification_secret
    from delivery.staging import secret_name
    from identity.rules.workspace_key import SECRET
    from segments.approving.decisions import SECRET as DECISIONS_SECRET

    keys = folder / "secrets"
    keys.mkdir(mode=0o700, exist_ok=True)
    destinations = read_destinations(folder)
    names = (
        SECRET,
        DECISIONS_SECRET,
        *map(secret_name, destinations),
        *map(verification_secret, destinations),
    )
    for name in names:
        handle = os.open(keys / f"{name}.key", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w") as out:
            out.write(secrets.token_hex(32) + "\n")
