"""A segment says by when its audience must be there; a night that releases it later warns of it."""

from __future__ import annotations

from datetime import date, datetime
from types import SimpleNamespace

import pytest

from jobs.night.punctuality import warn_of_late_audiences
from jobs.workspace.make import make_workspace as make
from lakehouse.ledger.progress import warnings_kept
from lakehouse.settings.settings import load_settings

DAY = date(2026, 1, 5)
CODE = "members_below_40"
LATE = f"segment {CODE}: its audience of 2026-01-05 was released after its ready_by, 07:30 of 2026-01-06"


@pytest.fixture
def settings(tmp_path):
    make(tmp_path / "shop", "minimal")
    file = tmp_path / "shop" / "segments" / f"{CODE}.yml"
    text = file.read_text(encoding="utf-8")
    file.write_text(text.replace("contact:", 'schedule: {ready_by: "07:30"}\ncontact:', 1), encoding="utf-8")
    settings = load_settings(tmp_path / "shop")
    assert settings.time_zone == "Asia/Shanghai"
    return settings


def staged(code=CODE, *, is_repeated=False, is_dry=False):
    return SimpleNamespace(segment=code, is_repeated=is_repeated, is_dry=is_dry)


@pytest.mark.parametrize(
    ("released_at", "audiences", "warnings"),
    [
        ("2026-01-06T07:30:00+08:00", [staged()], []),
        ("2026-01-05T23:30:01+00:00", [staged(), staged()], [LATE]),
        ("2026-01-07T02:00:00+08:00", [staged()], [LATE]),
        ("2026-01-07T02:00:00+08:00", [staged(is_repeated=True), staged(is_dry=True), staged("other")], []),
    ],
)
def test_only_what_is_released_after_its_time_is_warned_of_and_once(
    settings, released_at, audiences, warnings
):
    with warnings_kept() as kept:
        warn_of_late_audiences(settings, DAY, audiences, datetime.fromisoformat(released_at))
    assert kept.take() == warnings
