"""Personal levels in their order, from what says little of a person to what never leaves."""

from __future__ import annotations

from typing import get_args

from lakehouse.contracts.contract import Level

LEVELS: tuple[Level, ...] = get_args(Level)
