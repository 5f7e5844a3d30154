"""Workspaces of the examples for tests: without what nights made, and with a folder of real files as the inbox."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
MADE_BY_NIGHTS = ("lake", "published", "reports", ".cdp")


def copy_of_example(name: str, folder: Path) -> Path:
    """Copy an example as it stands in the repository, whatever was run in it."""
    ignored = shutil.ignore_patterns(*MADE_BY_NIGHTS, "inbox", "truth", "secrets")
    shutil.copytree(EXAMPLES / name, folder, ignore=ignored)
    return folder


def copy_with_data(name: str, folder: Path, data: Path) -> Path:
    """Copy an example whose inbox is a folder of real files; skip the test where that is absent."""
    if not data.is_dir():
        pytest.skip(f"the files of {name} are not beside the checkout")
    copy_of_example(name, folder)
    file = folder / "cdp.yml"
    file.write_text(file.read_text().replace(f"../../../shared/data/{data.name}", str(data)))
    return folder


def copy_before_nights(workspace: Path, folder: Path) -> Path:
    """Copy a workspace with its secrets and what was delivered to it, and with nothing of its nights."""
    shutil.copytree(workspace, folder, ignore=shutil.ignore_patterns(*MADE_BY_NIGHTS))
    return folder
