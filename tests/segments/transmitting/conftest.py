"""The bank of an evening, made once for all tests of a module."""

from __future__ import annotations

import pytest
from transmitting_bank import release_evening


@pytest.fixture(scope="module")
def evening(tmp_path_factory):
    """The folder of a bank whose segment ``rich`` was released on D; each test has a copy."""
    folder = tmp_path_factory.mktemp("evening")
    release_evening(folder)
    return folder


@pytest.fixture
def other_consumer(tmp_path):
    """A second endpoint, at another address."""
    from http_consumer import running_consumer

    with running_consumer(tmp_path / "other_consumer") as one:
        yield one
