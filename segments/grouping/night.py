"""The step of a night that puts people into micro-segments: computed on the first night of a period, used until the next.

A rerun of a night takes back what that night and later ones said, and reads numbers of days before it, so it says the same.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from typing import TYPE_CHECKING

import numpy as np

from lakehouse.contracts.contracted import contracted_sql
from lakehouse.contracts.reading import contract
from lakehouse.query.desk import open_alone
from lakehouse.query.words import literal
from segments.choosing.compile import LeafTable, Leaves
from segments.choosing.leaf_tables import Engine, make_leaf_table
from segments.grouping.declaration import MicroSet, check_micro_sets
from segments.grouping.fits import (
    FITS,
    Fit,
    Labels,
    NothingToFit,
    assigned_rows,
    compute_fit,
    fit_of,
    period_of,
)
from segments.grouping.people import MicroPeople, find_people
from segments.language.checks.findings import Surroundings
from segments.language.leaves.micro_segments import TABLE
from segments.language.lists import StaticList

if TYPE_CHECKING:
    import pyarrow as pa

    from lakehouse.query.desk import Desk
    from lakehouse.query.reader import TableReader
    from lakehouse.tables.lake import Lake

log = logging.getLogger("cdp.segments")


def assign_people(
    lake: Lake, business_date: date, surroundings: Surroundings, *, engine: Engine | None = None
) -> None:
    """Bring ``segments.micro_fits`` and ``segments.micro_segments`` to a business date, for every set of the workspace.

    A faulty declaration raises ``SettingsInvalid``. A set that cannot be computed keeps its earlier centres, or has nobody, with a
    warning.
    """
    sets = check_micro_sets(lake.settings, surroundings)
    rows = lake.read_arrow(FITS).to_pylist()
    if not sets and not rows:
        return
    fits = fits_before([fit_of(row) for row in rows], business_date)
    codes = {one.code for one in sets}
    fits = [
        replace(fit, valid_to=business_date) if fit.valid_to is None and fit.code not in codes else fit
        for fit in fits
    ]
    parts: list[pa.Table] = []
    if sets:
        zone, folders = lake.settings.time_zone, [lake.settings.lake]
        with lake.exchange("micro_segments") as folder, open_alone(zone, folders=folders) as desk:

            def make_leaves(table: LeafTable, lists: dict[str, StaticList]) -> Leaves:
                return make_leaf_table(lake, desk, table, lists, business_date, folder, engine=engine)

            people = find_people(lake, desk, sets, business_date, make_leaves)
            for one in sets:
                fits, fit = _fit_for(lake, desk, one, people[one.code], fits, business_date)
                if fit is not None:
                    part = assigned_rows(fit, people[one.code], business_date)
                    log.info("micro-segments %s: %d people in %d", one.code, part.num_rows, len(fit.centres))
                    parts.append(part)
    _write(lake, fits, rows, parts, business_date)


def fits_before(fits: Sequence[Fit], business_date: date) -> list[Fit]:
    """Give the computations as they stood before ``business_date`` or a later night said anything."""
    return [
        replace(fit, valid_to=None) if fit.valid_to is not None and fit.valid_to >= business_date else fit
        for fit in fits
        if fit.valid_from < business_date
    ]


def labels_before(reader: TableReader, desk: Desk, code: str, business_date: date) -> Labels:
    """Give the numbers that people had in a set on the newest night before a date."""
    table = desk.define("micro-segments", contracted_sql(reader, desk, TABLE))
    where = f"code = {literal(code)} AND as_of < {literal(business_date)}"
    rows = desk.arrow(
        f"SELECT one_id, label FROM {table} WHERE {where}\n"
        f"AND as_of = (SELECT max(as_of) FROM {table} WHERE {where}) ORDER BY one_id"
    )
    return Labels(rows["one_id"].to_numpy(), rows["label"].to_numpy().astype(np.int64))


def _fit_for(
    lake: Lake, desk: Desk, one: MicroSet, people: MicroPeople, fits: list[Fit], business_date: date
) -> tuple[list[Fit], Fit | None]:
    """Give all computations, and that which counts for a set on the date: the current one, or a new one where it is due."""
    current = next((fit for fit in fits if fit.code == one.code and fit.valid_to is None), None)
    is_same = current is not None and current.definition_hash == one.definition_hash
    if is_same and current is not None and current.period_on == period_of(business_date, one.spec.frozen):
        return fits, current
    history = [fit for fit in fits if fit.code == one.code]
    before = labels_before(lake, desk, one.code, business_date) if history else None
    try:
        new = compute_fit(one, people, business_date, history, before)
    except NothingToFit as reason:
        what = "the earlier ones count" if is_same else "nobody is in one"
        log.warning("micro-segments %s: %s; %s", one.code, reason, what)
        if is_same:
            return fits, current
        new = None
    _tell(one, new)
    closing = [replace(fit, valid_to=business_date) if fit is current else fit for fit in fits]
    return (closing if new is None else [*closing, new]), new


def _tell(one: MicroSet, fit: Fit | None) -> None:
    """Log which tags told nobody from anybody, and how many people have another number than on the night before."""
    if fit is None:
        return
    for tag in [tag for tag in one.codes if tag not in fit.codes]:
        log.warning("micro-segments %s: everybody is alike in %s, which is left out", one.code, tag)
    if fit.moved_ratio is not None:
        log.info("micro-segments %s: computed anew, %.1f %% moved", one.code, fit.moved_ratio * 100)


def _write(
    lake: Lake, fits: list[Fit], before: list[dict[str, object]], parts: list[pa.Table], business_date: date
) -> None:
    import pyarrow as pa

    rows = [fit.row() for fit in sorted(fits, key=lambda fit: (fit.code, fit.valid_from))]
    if rows != before:
        lake.overwrite(FITS, pa.Table.from_pylist(rows, schema=contract(FITS).arrow_schema()))
    schema = contract(TABLE).arrow_schema()
    table = pa.concat_tables([part.select(schema.names).cast(schema) for part in parts]) if parts else None
    lake.replace_partition(TABLE, table if table is not None else schema.empty_table(), as_of=business_date)
