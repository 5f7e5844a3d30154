"""The bank that is indexed, made once; each test has a copy."""

from __future__ import annotations

import shutil

import pytest
from index_bank import LOOKERS, RICH
from segment_bank import DESTINATIONS_YML, TAGS_YML, D, bank_lake, lake_of, publish

from lakehouse.ledger.ledger import publish as make_visible
from lakehouse.settings.settings import load_settings


@pytest.fixture(scope="module")
def evening(tmp_path_factory):
    """The folder of a bank with one published night."""
    folder = tmp_path_factory.mktemp("evening")
    files = {
        "cdp.yml": "generate_secrets: true\n",
        "tags/test.yml": TAGS_YML,
        "destinations.yml": DESTINATIONS_YML,
        "lists/friends@1.csv": "source,source_key\ncore,c3\ncore,c4\ncore,nobody\n",
        "segments/rich.yml": RICH,
        "segments/lookers.yml": LOOKERS,
    }
    for name, content in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(content, encoding="utf-8")
    lake = bank_lake(load_settings(folder))
    publish(lake, D)
    make_visible(lake, D, "first", {})
    return folder


@pytest.fixture
def bank(evening, tmp_path):
    """The lake of a bank with one published night."""
    folder = shutil.copytree(evening, tmp_path / "bank")
    return lake_of(load_settings(folder))
