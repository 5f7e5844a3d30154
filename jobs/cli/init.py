"""``cdp init``: a workspace to start from."""

from __future__ import annotations

import os
import secrets
import shutil
from pathlib import Path

import click

TEMPLATES = Path(__file__).resolve().parent / "templates"
EXAMPLES = ("minimal",)
# What runs make, and what nobody may commit.
GIT_IGNORED = ("lake/", "inbox/*", "!inbox/README.md", "published/", "reports/", "secrets/", ".cdp/")


@click.command("init")
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--example", type=click.Choice(EXAMPLES), help="Begin with a feed, its file and a segment.")
def command(folder: Path, example: str | None) -> None:
    """Make a workspace in DIR, a new or empty folder (a .git in it does not count)."""
    _refuse_taken(folder)
    _copy("workspace", folder)
    if example:
        _copy(example, folder)
    for name in ("lists", "models"):
        (folder / name).mkdir(exist_ok=True)
    (folder / ".gitignore").write_text("\n".join(GIT_IGNORED) + "\n", encoding="utf-8")
    _write_key(folder / "secrets")
    from jobs.report.schemas import FOLDER, write_schemas

    write_schemas(folder / FOLDER)
    click.echo(f"{folder} is a workspace. Next:")
    for step in _next_steps(example):
        click.echo(f"  {step}")


def _refuse_taken(folder: Path) -> None:
    from lakehouse.errors import UsageError
    from lakehouse.settings.settings import FILE_NAME

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
    shutil.copytree(TEMPLATES / template, folder, dirs_exist_ok=True)


def _write_key(folder: Path) -> None:
    """Make the key that sensitive identifiers are hashed with; only its owner may read it."""
    folder.mkdir(mode=0o700, exist_ok=True)
    handle = os.open(folder / "identity_key.key", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w") as out:
        out.write(secrets.token_hex(32) + "\n")


def _next_steps(example: str | None) -> list[str]:
    kept = (
        "keep a copy of secrets/identity_key.key: without it nobody is recognised any more (git ignores it)"
    )
    if example:
        return ["cdp doctor", "cdp feeds check members", "cdp nightly --date 2026-01-05", kept]
    return [
        "look at time_zone and currency in cdp.yml",
        "cdp doctor                        what this machine lacks",
        "cdp feeds draft FILE --write      a feed from a delivered file",
        kept,
    ]
