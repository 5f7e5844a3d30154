"""Libraries that a night needs after its files are read, imported meanwhile: alone they take seconds of a small night."""

from __future__ import annotations

from contextlib import suppress
from importlib import import_module
from threading import Thread

from lakehouse.gates.gates import quieten_great_expectations

# The gates' and the tag step's.
_LATER = ("great_expectations", "dbt.cli.main")


def import_early() -> Thread:
    """Begin to import them. Whoever needs one earlier waits for it, and meets what is wrong with it where it is needed."""
    quieten_great_expectations()
    thread = Thread(target=_import_each, name="imports", daemon=True)
    thread.start()
    return thread


def _import_each() -> None:
    for name in _LATER:
        with suppress(Exception):
            import_module(name)
