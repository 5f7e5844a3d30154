"""Segments: what a selection of people means (YAML), who is chosen, who is kept out, and what is handed on.

Cheap to import; ``evaluate``, ``release``, ``discard`` and ``publish`` load what they need when called.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import date

    from lakehouse.settings.settings import Settings
    from lakehouse.tables.lake import Lake
    from segments.choosing.evaluation import SegmentsResult


def check_specs(settings: Settings) -> None:
    """Read and check every specification of a workspace; the first fault raises with file and line."""
    from segments.choosing import evaluation as room

    room.check_specs(settings)


def evaluate(lake: Lake, business_date: date) -> SegmentsResult:
    """Decide every segment of the workspace and stage the audiences; see ``segments.choosing.evaluation``."""
    from segments.choosing import evaluation as room

    return room.evaluate(lake, business_date)


def release(lake: Lake, result: SegmentsResult) -> None:
    """Make staged audiences visible to their destinations; see ``segments.choosing.evaluation``."""
    from segments.choosing import evaluation as room

    room.release(lake, result)


def discard(result: SegmentsResult) -> None:
    """Remove what was staged and will not be released."""
    from segments.choosing import evaluation as room

    room.discard(result)


def publish(lake: Lake, business_date: date) -> SegmentsResult:
    """Evaluate and release at once."""
    result = evaluate(lake, business_date)
    release(lake, result)
    return result
