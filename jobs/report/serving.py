"""What is published, for tools that speak JDBC: Spark's Thrift server, which follows the nights."""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from jobs.report.export import texts_of
from jobs.report.statement import ReaderMasks
from lakehouse.errors import UsageError
from lakehouse.query.published import newest_publication, require_publication
from lakehouse.settings.settings import Settings

if TYPE_CHECKING:
    from lakehouse.query.masks import Masks
    from lakehouse.query.published import Publication

log = logging.getLogger("cdp.sql")

# A night is seen so long after it was published, at the latest.
LOOK_AGAIN_SECONDS = 20


def serve_lake(
    settings: Settings,
    host: str,
    port: int,
    *,
    reveal: str | None = None,
    ready: Callable[[Publication], None] = lambda publication: None,
) -> None:
    """Serve the newest publication until the process is told to end; ``ready`` is called whenever one is shown.

    Identifiers are masked unless ``reveal`` says why they are needed. Either is recorded before anything is shown, since nobody
    sees who is looked up through it.
    """
    from py4j.protocol import Py4JError

    from lakehouse.session.session import stop_session
    from lakehouse.session.thrift import require_known_guests, start_thrift_server

    if reveal is not None and not reveal.strip():
        raise UsageError("--reveal has to say why the values are needed")
    require_known_guests(settings, host)
    publication = require_publication(settings)
    _record(settings, publication, reveal)
    masks: Masks = ReaderMasks(settings) if reveal is None else lambda table, columns: {}
    end = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: end.set())
    server = start_thrift_server(settings, masks, host, port)
    try:
        seq = None
        while not end.is_set():
            newest = newest_publication(settings) or publication
            if newest.seq != seq:
                if newest.seq != publication.seq:
                    _record(settings, newest, reveal)
                server.show(newest, texts_of(settings, newest))
                seq = newest.seq
                ready(newest)
            end.wait(LOOK_AGAIN_SECONDS)
            if not end.is_set():
                server.require_life()
    finally:
        # Who ends this process by its group has ended Spark as well.
        with suppress(Py4JError):
            stop_session()


def _record(settings: Settings, publication: Publication, reveal: str | None) -> None:
    """Record that a publication is shown, and by what reason its values; a night may bring tables that the one before had not."""
    from jobs.report.reveals import record_disclosure, record_reveal

    if reveal is None:
        record_disclosure(settings, "serve", publication)
        return
    entry = record_reveal(settings, reveal.strip(), publication, sorted(publication.tables))
    log.warning("%s reveals values of all tables to who connects: %s", entry["user"], entry["reason"])
