"""The only clock: when an attempt began or ended, for the ledger in ``ops`` and for people. Never for data."""

from __future__ import annotations

from datetime import UTC, datetime


def now() -> datetime:
    """Give this moment in UTC."""
    return datetime.now(UTC)  # noqa: TID251 -- the ledger of attempts is the one place where time passes
