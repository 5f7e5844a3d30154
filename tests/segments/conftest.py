"""Makes the modules beside it known to the tests in the folders below: pytest puts the folder of a conftest on the path."""

from __future__ import annotations

import hashlib
import json
import shutil

import pytest
from segment_bank import D, bank_lake, lake_of, publish

from lakehouse.ledger.ledger import publish as make_visible
from lakehouse.settings.settings import load_settings


@pytest.fixture(scope="session")
def finished_nights(tmp_path_factory):
    """The folder of the workspaces that ``make_night`` has made."""
    return tmp_path_factory.mktemp("nights")


@pytest.fixture
def make_night(make_workspace, finished_nights):
    """A function that writes files (name → text) into a new workspace, publishes the bank's night there, and gives its lake.

    The night of the same files is made once a process and copied.
    """

    def make(files):
        folder = make_workspace(files)
        settings = load_settings(folder)
        finished = finished_nights / hashlib.sha256(json.dumps(files).encode()).hexdigest()
        if finished.exists():
            shutil.copytree(finished, folder, dirs_exist_ok=True)
            return lake_of(settings)
        lake = bank_lake(settings)
        publish(lake, D)
        make_visible(lake, D, "first", {})
        shutil.copytree(folder, finished)
        return lake

    return make
