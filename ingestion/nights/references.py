"""Records that refer to what we do not know, such as receipts of runs that we never delivered.

Each is refused by itself and counted. Where they are many, somebody sends us another system's answers, or forges them, and the
night stops before it writes any.
"""

from __future__ import annotations

from ingestion.feeds.feeds import UnknownReferences
from ingestion.nights.work import FeedWork
from lakehouse.errors import GateStopped


def check_unknown_references(work: FeedWork, unknown_count: int) -> None:
    """Tell of records that refer to what is not known; more than the feed's bound raise ``GateStopped``."""
    if not unknown_count:
        return
    bounds, feed = work.feed.unknown_references, work.feed
    what = f"{unknown_count} of {work.record_count} records refer to what is not known and are refused"
    work.warnings.append(f"feed '{feed.feed}': {what} (quality.refused_rows)")
    if not isinstance(bounds, UnknownReferences) or unknown_count < bounds.from_records:
        return
    if unknown_count > bounds.ratio * work.record_count:
        raise GateStopped(
            f"feed '{feed.feed}': {what}; from {bounds.from_records} on more than {bounds.ratio:.0%} stop the night: take the file out "
            "of the inbox and ask who sent it, or, if it is right, write 'unknown_references: any' into the feed",
            file=feed.file,
        )
