"""A preview of a segment on generated tables of one, three and ten million people: by the tables, and by the index of people.

Everybody has a row of tags, one record, a phone, a birth date and a consent; the tags the segment asks for are drawn, the others are null.
``CDP_PREVIEW_PEOPLE`` names other sizes, with commas between them. The bare pass is what an analyst would write: the rule alone as one query of
DuckDB over the same files; it knows nothing of law, policy, arms and overlap, and its count must equal the candidates of the preview.
By the index twenty drafts are shown that nobody asked before, each with another bound, so that the slowest of them is the 95th percentile
or more; and one broad draft, whose candidates are a sixth of all people.
"""

from __future__ import annotations

import datetime as dt
import os
import resource
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from benchmarks.measure import Outcome, Row, timed
from benchmarks.processes import ROOT, command_peak_mb

if TYPE_CHECKING:
    from lakehouse.query.published import Published
    from lakehouse.settings.settings import Settings
    from segments.indexing.files import PeopleIndex
    from segments.language.checks.findings import Surroundings
    from segments.language.spec import Segment

QUESTION = "How long does it take to see what a segment would publish, on the tables of a whole bank?"
SIZES = (1_000_000, 3_000_000, 10_000_000, 100_000_000)
DRAFTS = 20
BOUND = "between: [0, 14]"
INDEX_BYTES_PER_PERSON = 800
DAY = dt.date(2026, 11, 18)
CODE = "maturing_wealth"
SEGMENT = """\
spec: segment/v1
code: maturing_wealth
version: 1.0.0
name: {zh: 即将到期, en: About to mature}
owner: {business: retail_wealth, tech: data_platform}
entity: customer
kind: dynamic
purpose: marketing
unknown: exclude
base: {tag: aum_tier, in: [T1, T2, T3, T4]}
where:
  all:
    - {tag: days_to_next_maturity, between: [0, 14]}
    - {tag: risk_assessment_state, in: [VALID, EXP30]}
    - {tag: max_sellable_risk, in: [R2, R3, R4, R5]}
exclude:
  - {tag: days_past_due, gte: 1, include_unknown: false}
  - {tag: is_account_controlled, eq: true}
guards: {size: {max: 9000000}}
holdout: {global: GCG-2026H2, local_percent: 10}
split: {experiment: exp-wealth-01, layer: wealth, range: [0, 10000], arms: {A: 50, B: 50}}
contact: {channels: [PUSH, WECHAT, SMS]}
publish:
  destinations: [marketing_engine]
  mode: [snapshot, delta]
  format: parquet
  columns: [variant, channel, aum_tier, days_to_next_maturity]
  ignore_changes_of: [days_to_next_maturity]
  valid_hours: 30
"""
BATCH = 500_000
FIRST_ONE_ID = 1_000_000_000_000
RULE = (
    "aum_tier IN ('T1', 'T2', 'T3', 'T4') AND days_to_next_maturity BETWEEN 0 AND 14"
    " AND risk_assessment_state IN ('VALID', 'EXP30') AND max_sellable_risk IN ('R2', 'R3', 'R4', 'R5')"
    " AND NOT coalesce(days_past_due >= 1, false) AND NOT is_account_controlled"
)


def run(repeats: int) -> Outcome:
    """Measure the preview inside a process and as a whole command, by the tables and by the index, beside the bare pass."""
    import psutil

    wish = os.environ.get("CDP_PREVIEW_PEOPLE")
    sizes = [int(size) for size in wish.split(",")] if wish else list(SIZES)
    rows: list[Row] = []
    notes: list[str] = []
    for people in sizes:
        folder = Path(tempfile.mkdtemp(prefix="segment_preview_"))
        fits = people * INDEX_BYTES_PER_PERSON < psutil.virtual_memory().available
        if not fits:
            notes.append(f"{people:,} people have no index: making it needs more memory than is free.")
        try:
            rows += _measure(people, folder / "bank", repeats, is_indexed=fits)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    notes.append(
        "The workspace has this one segment. The slowest of the runs is what a person waits at worst."
    )
    notes.append(
        "Law and policy read records, birth dates, consents and phones of everybody; the bare pass reads six columns of tags."
    )
    return Outcome(rows, notes)


def _measure(people: int, folder: Path, repeats: int, *, is_indexed: bool) -> Iterator[Row]:
    from dataclasses import replace

    from jobs.workspace.surroundings import read_surroundings
    from lakehouse.query.published import open_publication
    from segments.explaining.indexed import index_newest
    from segments.explaining.preview import preview

    settings = generate(folder, people)
    surroundings = read_surroundings(settings)
    case = f"{people:,} people"
    with open_publication(settings) as published:
        bare = timed(
            lambda: published.value(f"SELECT count(*) FROM tags.customer_tags WHERE {RULE}"), max(repeats, 5)
        )
    yield Row(case, "the rule alone, one DuckDB query", bare.seconds, cpu_seconds=bare.cpu_seconds)
    tables = timed(lambda: preview(settings, surroundings, CODE), repeats, budget=20)
    yield Row(
        case, "preview by the tables, inside a process", tables.seconds, cpu_seconds=tables.cpu_seconds,
        is_equal=tables.answer.counts["candidates"] == bare.answer,
        note=f"{bare.answer:,} candidates, {tables.answer.counts['published']:,} published",
    )  # fmt: skip
    yield _whole_process(case, "cdp segments preview by the tables, whole process", folder, repeats)
    if not is_indexed:
        return
    making = timed(lambda: index_newest(settings, surroundings), 1)
    size = making.answer[0].bytes
    note = f"{size / 1e6:.0f} MB"
    yield Row(
        case,
        "cdp segments index, inside a process",
        making.seconds,
        cpu_seconds=making.cpu_seconds,
        note=note,
    )
    count = timed(lambda: _count(settings, surroundings), 10)
    yield Row(
        case, "the rule alone, counted by the index", count.seconds, cpu_seconds=count.cpu_seconds,
        is_equal=count.answer == bare.answer, note="publication and index opened, files read and held against their digests",
    )  # fmt: skip
    with _open_index(settings, surroundings) as (segment, index, published):
        again = timed(lambda: _count_by(published, segment, index), 10)
    yield Row(
        case, "the rule alone, counted by an index that is open and read", again.seconds,
        cpu_seconds=again.cpu_seconds, is_equal=again.answer == bare.answer,
    )  # fmt: skip
    by_index = timed(lambda: preview(settings, surroundings, CODE), repeats)
    is_equal = replace(by_index.answer, notes=[]) == replace(tables.answer, notes=[])
    drafts = iter(list(_drafts(folder)))
    previews = timed(lambda: preview(settings, surroundings, str(next(drafts))), DRAFTS, budget=60)
    yield Row(
        case, f"preview by the index, {DRAFTS} drafts inside a process", previews.seconds,
        cpu_seconds=previews.cpu_seconds, is_equal=is_equal and not by_index.answer.notes,
        note=f"95 % within {np.percentile(previews.seconds, 95):.3f} s",
    )  # fmt: skip
    broad = timed(lambda: preview(settings, surroundings, str(_broad(folder))), 2)
    yield Row(
        case, "preview by the index of a broad draft", broad.seconds, cpu_seconds=broad.cpu_seconds,
        note=f"{broad.answer.counts['candidates']:,} candidates",
    )  # fmt: skip
    yield _whole_process(case, "cdp segments preview by the index, whole process", folder, max(repeats, 5))


def _whole_process(case: str, way: str, folder: Path, repeats: int) -> Row:
    command = [sys.executable, "-m", "jobs.cli", "segments", "preview", CODE, "--workspace", str(folder)]
    whole = timed(
        lambda: subprocess.run(command, cwd=ROOT, check=True, capture_output=True),
        repeats,
        budget=20,
        cpu=_children,
    )
    peak = command_peak_mb(command)
    return Row(case, way, whole.seconds, cpu_seconds=whole.cpu_seconds, peak_mb=peak)


@contextmanager
def _open_index(
    settings: Settings, surroundings: Surroundings
) -> Iterator[tuple[Segment, PeopleIndex, Published]]:
    """Give the segment, and the index and the publication, both opened anew."""
    from lakehouse.query.published import open_publication
    from segments.explaining.snapshot import catalogue_on
    from segments.indexing.files import open_index

    with open_publication(settings) as published:
        segment = catalogue_on(published, surroundings).segment(CODE)
        index = open_index(settings, published.publication)
        assert index is not None
        yield segment, index, published


def _count(settings: Settings, surroundings: Surroundings) -> int:
    """Count the candidates of the rule by the bits of an index that is opened anew."""
    with _open_index(settings, surroundings) as (segment, index, published):
        return _count_by(published, segment, index)


def _count_by(published: Published, segment: Segment, index: PeopleIndex) -> int:
    """Count the candidates of the rule; every condition is answered anew, and the index reads what it has not read yet."""
    from segments.indexing.answering import IndexedPeople

    people = IndexedPeople(published, [segment], index, {})
    ((yes, _),) = people.count(segment, [segment.rule], {})
    return yes


def _drafts(folder: Path) -> Iterator[Path]:
    """Write the segment with another bound for each draft."""
    for number in range(DRAFTS):
        draft = folder / f"draft_{number}.yml"
        draft.write_text(SEGMENT.replace(BOUND, f"between: [0, {number + 2}]"), encoding="utf-8")
        yield draft


def _broad(folder: Path) -> Path:
    """Write the segment without its narrowest condition."""
    draft = folder / "broad.yml"
    draft.write_text(
        SEGMENT.replace(f"    - {{tag: days_to_next_maturity, {BOUND}}}\n", ""), encoding="utf-8"
    )
    return draft


def _children() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def generate(folder: Path, people: int) -> Settings:
    """Write the workspace of the example bank with published tables of so many people; give its settings."""
    import tags
    from jobs.workspace.make import make_workspace
    from lakehouse.ledger.ledger import publish
    from lakehouse.settings.settings import load_settings
    from lakehouse.tables.lake import open_lake

    make_workspace(folder, "bank")
    for file in (folder / "segments").glob("*.yml"):
        file.unlink()
    (folder / "segments" / f"{CODE}.yml").write_text(SEGMENT, encoding="utf-8")
    settings = load_settings(folder)
    lake = open_lake(settings, contracts=tags.tag_contracts(settings))
    lake.create(["tags.customer_tags", "tags.customer_tags_daily"])
    random = np.random.default_rng(7)
    for first in range(0, people, BATCH):
        size = min(BATCH, people - first)
        for table, columns in _tables(random, first, size).items():
            lake.append(table, _whole(lake.contracts.get(table).arrow_schema(), columns, size))
    publish(lake, DAY, "generated", {})
    return settings


def _tables(random: np.random.Generator, first: int, size: int) -> dict[str, dict[str, pa.Array]]:
    numbers = np.arange(first, first + size, dtype=np.int64)
    keys = pa.array(numbers).cast(pa.string())

    def text(values: list[str], weights: list[float]) -> pa.Array:
        return pa.array(values).take(pa.array(random.choice(len(values), size=size, p=weights)))

    def number(least: int, most: int, empty: float) -> pa.Array:
        return pa.array(random.integers(least, most, size), mask=random.random(size) < empty)

    person = {"source": _same("core", size), "source_key": keys}
    born = dt.date(1950, 1, 1).toordinal() - dt.date(1970, 1, 1).toordinal()
    decision = pa.array([dt.datetime(2026, 1, 1, tzinfo=dt.UTC)] * size)
    return {
        "tags.customer_tags": {
            "one_id": pa.array(FIRST_ONE_ID + numbers),
            "aum_tier": text(["T0", "T1", "T2", "T3", "T4"], [0.5, 0.2, 0.2, 0.08, 0.02]),
            "days_to_next_maturity": number(0, 400, 0.7),
            "risk_assessment_state": text(["NONE", "VALID", "EXP30", "EXPIRED"], [0.5, 0.3, 0.1, 0.1]),
            "max_sellable_risk": text(["R1", "R2", "R3", "R4", "R5"], [0.2] * 5),
            "days_past_due": number(0, 30, 0.95),
            "is_account_controlled": pa.array(random.random(size) < 0.01),
            "as_of": _same(DAY, size),
        },
        "identity.memberships": {**person, "one_id": pa.array(FIRST_ONE_ID + numbers), "profile_id": pa.array(numbers), "valid_from": _same(DAY, size)},
        "identity.one_ids": {
            "one_id": pa.array(FIRST_ONE_ID + numbers), "kind": _same("customer", size), "status": _same("active", size),
            "anchor_profile_id": pa.array(numbers), "created_on": _same(DAY, size), "profile_count": _same(1, size),
        },
        "trusted.customers": {
            **person, "kind": _same("customer", size), "is_staff": pa.array(random.random(size) < 0.002),
            "birth_date": pa.array(random.integers(born, born + 60 * 365, size).astype(np.int32)).cast(pa.date32()),
        },
        "trusted.consents": {
            **person, "purpose": _same("marketing", size), "channel": _same("ALL", size), "decided_at": decision,
            "decision": text(["GRANT", "REFUSE"], [0.8, 0.2]),
        },
        "trusted.identifier_observations": {
            **person, "namespace": _same("phone", size), "role": _same("identity", size),
            "value": pa.array(13_000_000_000 + numbers).cast(pa.string()),
        },
    }  # fmt: skip


def _same(value: object, size: int) -> pa.Array:
    return pa.repeat(pa.scalar(value), size)


def _whole(schema: pa.Schema, columns: dict[str, pa.Array], size: int) -> pa.Table:
    """Give rows of a contract: pipeline columns are plain, what is not generated is null."""
    plain = {"_feed": "generated", "_file": "generated", "_row": 1, "valid_from": DAY}
    arrays = []
    for field in schema:
        if field.name in columns:
            arrays.append(columns[field.name].cast(field.type))
        elif field.name in plain:
            arrays.append(_same(plain[field.name], size).cast(field.type))
        else:
            arrays.append(pa.nulls(size, field.type))
    return pa.Table.from_arrays(arrays, schema=schema)
