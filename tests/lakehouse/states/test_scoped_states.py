"""A part of a state table changes by the rules of the whole, and rows outside the part are left alone."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import pyarrow as pa
import pytest

from lakehouse.contracts.reading import contract
from lakehouse.settings.settings import load_settings
from lakehouse.states.rule import Scope
from lakehouse.tables.lake import Lake

TABLE = "identity.memberships"
D1 = date(2026, 11, 18)


@pytest.fixture
def lakes(make_workspace):
    """Two lakes with the table: one changed in parts, one as a whole."""
    both = []
    for name in ("parts", "whole"):
        lake = Lake(load_settings(make_workspace(name=name)))
        lake.create([TABLE])
        both.append(lake)
    return both


def rows_of(lake):
    return sorted(tuple(row.values()) for row in lake.read_arrow(TABLE).to_pylist())


def statements(state, profiles=None):
    names = [n for n in contract(TABLE).columns if n not in ("_feed", "valid_from", "valid_to")]
    rows = [
        {"one_id": one, "source": "core", "source_key": str(p), "profile_id": p, "_file": "f", "_row": 0}
        for p, one in sorted(state.items())
        if profiles is None or p in profiles
    ]
    schema = contract(TABLE).arrow_schema()
    return pa.Table.from_pylist(rows, schema=pa.schema([schema.field(n) for n in names]))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(6))
def test_nights_written_in_parts_leave_the_rows_of_nights_written_whole(lakes, seed):
    parts, whole = lakes
    rng = np.random.default_rng(seed)
    state = {p: p for p in range(12)}
    for lake in lakes:
        lake.change_states(TABLE, statements(state), feed="identity", business_date=D1, mode="snapshot")
    for step in range(1, 9):
        day = D1 + timedelta(days=int(np.ceil(step / 2)))  # every day twice: the second is a rerun
        touched = set(rng.choice(14, size=5, replace=False).tolist())
        for profile in touched:
            choice = int(rng.integers(4))
            if choice == 0:
                state.pop(profile, None)
            elif choice < 3:
                state[profile] = int(rng.integers(1, 4))
        scope = Scope("profile_id", pa.array(sorted(touched), pa.int64()))
        parts.change_states(
            TABLE,
            statements(state, touched),
            feed="identity",
            business_date=day,
            mode="snapshot",
            scope=scope,
        )
        whole.change_states(TABLE, statements(state), feed="identity", business_date=day, mode="snapshot")
        assert rows_of(parts) == rows_of(whole), f"seed {seed}, step {step}"


def test_a_part_that_did_not_change_makes_no_commit(lakes):
    lake = lakes[0]
    lake.change_states(TABLE, statements({1: 1, 2: 2}), feed="identity", business_date=D1, mode="snapshot")
    version = lake.version(TABLE)
    for day in (D1, D1 + timedelta(days=1)):
        lake.change_states(
            TABLE, statements({1: 1}), feed="identity", business_date=day, mode="snapshot",
            scope=Scope("profile_id", pa.array([1])),
        )  # fmt: skip
    assert lake.version(TABLE) == version
