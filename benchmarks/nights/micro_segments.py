"""Micro-segments of a million people by twelve tags: computed, assigned, and computed anew with the numbers that people had.

Beside it stands SciPy's own k-means on the same coordinates, ten starts of which the best counts: doubles, one thread, no numbers that
last. Both must divide people alike. Every part is a process of its own.
"""

from __future__ import annotations

import datetime as dt
import os
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.measure import Outcome, Row, timed
from benchmarks.processes import in_process, write_answer

if TYPE_CHECKING:
    from lakehouse.tables.lake import Lake

NAME = "micro_segments"
QUESTION = "What do micro-segments of a million people by twelve tags cost?"
PEOPLE = int(os.environ.get("CDP_BENCH_PEOPLE", "1000000"))
FIRST_ONE_ID, SEED, GROUPS = 1_000_000_000_001, 20261128, 8
NIGHT, LATER, NEXT_QUARTER = dt.date(2026, 11, 18), dt.date(2026, 11, 19), dt.date(2027, 1, 4)
LIMIT_SECONDS = 900.0
LEAST_AGREEMENT = 0.99
TAGS = (
    "age", "tenure_days", "login_days_30d", "active_txn_count_90d", "active_txn_amount_90d", "aum_eod",
    "demand_balance", "time_deposit_balance", "wealth_balance", "fund_balance", "loan_balance", "points_balance",
)  # fmt: skip
DECLARATION = f"""\
spec: micro_segment/v1
code: value_groups
name: {{zh: 价值客群, en: Value groups}}
owner: {{business: retail, tech: data_platform}}
tags: [{", ".join(f"{{tag: {tag}, transform: log1p}}" for tag in TAGS)}]
accepts: {{level: C2, why: a benchmark, approver: nobody}}
groups: {GROUPS}
seed: 1
frozen: quarter
"""


def run(repeats: int) -> Outcome:
    """Measure a night that computes, one that assigns, one that computes anew; and the kernel beside SciPy's."""
    rows, notes = [], []
    for way in ("nights", "kernel"):
        with tempfile.TemporaryDirectory(prefix="micro_", ignore_cleanup_errors=True) as name:
            (Path(name) / "repeats").write_text(str(repeats))
            answer = in_process(__name__, way, Path(name), limit=LIMIT_SECONDS)
        if "wrong" in answer:
            notes.append(f"{way}: {answer['wrong']}")
            continue
        rows += [Row(**row, peak_mb=answer["peak_mb"]) for row in answer["rows"]]
    notes += [
        f"{PEOPLE:,} people drawn around {GROUPS} middles, all values logarithms; centres are computed from 200,000 of them by a salted hash.",
        f"`kernel` is the arithmetic alone, without tables; the same answer is an adjusted Rand index of {LEAST_AGREEMENT} at least.",
        "Memory is the most that the process held in all its parts, the drawn people included.",
    ]
    return Outcome(rows, notes)


def drawn_values(people: int) -> dict[str, np.ndarray]:
    """Give values of the tags, whole numbers from 0, the same for the same number of people."""
    chance = np.random.default_rng(SEED)
    group = chance.integers(0, GROUPS, people)
    values = {}
    for tag in TAGS:
        middles = chance.uniform(1, 9, GROUPS)
        values[tag] = np.rint(np.exp(chance.normal(middles[group], 0.7))).astype(np.int64)
    return values


def drawn_lake(folder: Path, people: int) -> Lake:
    """Give a lake of these people, of whom one in a hundred has refused profiling."""
    import pyarrow as pa

    import tags
    from lakehouse.contracts.reading import contract
    from lakehouse.settings.settings import load_settings
    from lakehouse.tables.lake import open_lake

    (folder / "micro_segments").mkdir(parents=True)
    (folder / "cdp.yml").write_text("generate_secrets: true\n")
    (folder / "micro_segments" / "value_groups.yml").write_text(DECLARATION)
    settings = load_settings(folder)
    lake = open_lake(settings, contracts=tags.tag_contracts(settings))
    ids = np.arange(people) + FIRST_ONE_ID
    lake.append(
        "identity.one_ids",
        _whole_rows(contract("identity.one_ids").arrow_schema(), {"one_id": ids, "kind": "customer"}),
    )
    keys = pa.array(np.char.add("c", ids.astype(str)))
    columns = {"one_id": ids, "source": "core", "source_key": keys, "profile_id": ids, "valid_from": NIGHT}
    lake.append("identity.memberships", _whole_rows(contract("identity.memberships").arrow_schema(), columns))
    refusals = {
        "source": "core", "source_key": keys.filter(pa.array(ids % 100 == 0)), "purpose": "profiling", "channel": "ALL", "decision": "REFUSE",
        "decided_at": dt.datetime(2026, 1, 1, tzinfo=dt.UTC), "valid_from": NIGHT,
    }  # fmt: skip
    lake.append("trusted.consents", _whole_rows(contract("trusted.consents").arrow_schema(), refusals))
    schema = lake.contracts.get("tags.customer_tags").arrow_schema()
    lake.overwrite(
        "tags.customer_tags", _whole_rows(schema, {"one_id": ids, "as_of": NIGHT, **drawn_values(people)})
    )
    return lake


def _whole_rows(schema: Any, columns: dict[str, Any]) -> Any:
    """Give rows with these columns or constants; what is required beside has a plain value."""
    import pyarrow as pa

    count = max(len(c) for c in columns.values() if isinstance(c, np.ndarray | pa.Array))
    plain: dict[str, Any] = {"status": "active", "created_on": NIGHT, "_feed": "f", "_file": "x", "_row": 1, "profile_count": 1, "anchor_profile_id": 1}  # fmt: skip
    arrays = []
    for field in schema:
        value = columns.get(field.name, plain.get(field.name))
        if isinstance(value, np.ndarray | pa.Array):
            arrays.append(
                pa.array(value).cast(field.type)
                if not pa.types.is_decimal(field.type)
                else pa.array(value, pa.int64()).cast(pa.decimal128(19, 0)).cast(field.type)
            )
        else:
            arrays.append(
                pa.nulls(count, field.type)
                if value is None
                else pa.repeat(pa.scalar(value, field.type), count)
            )
    return pa.table(arrays, schema=schema)


def nights(folder: Path) -> list[dict[str, Any]]:
    """Measure the step of three nights on one lake."""
    import tags
    from segments.grouping.night import assign_people
    from segments.language.checks.findings import Surroundings
    from vocabulary.tag_facts import read_tag_facts

    lake = drawn_lake(folder / "bank", PEOPLE)
    surroundings = Surroundings(read_tag_facts(lake.settings.workspace, shipped=tags.REGISTRY), {})
    rows = []
    for case, day in (
        ("the first night of a quarter", NIGHT),
        ("a night within it", LATER),
        ("the first of the next, with lasting numbers", NEXT_QUARTER),
    ):
        timing = timed(lambda day=day: assign_people(lake, day, surroundings), 1, at_least=1)  # type: ignore[misc]
        rows.append(
            {
                "case": case,
                "way": "the step of the night",
                "seconds": timing.seconds,
                "cpu_seconds": timing.cpu_seconds,
            }
        )
    return rows


def kernel(repeats: int) -> list[dict[str, Any]]:
    """Measure the arithmetic on the people that centres are computed from, and SciPy's beside it."""
    from decimal import Decimal

    from scipy.cluster.vq import kmeans2

    from segments.grouping.fitting import STARTS, fit_centres, nearest
    from segments.grouping.people import FIT_PEOPLE
    from segments.grouping.quality import adjusted_rand
    from segments.grouping.scaling import coordinates, scale_of

    columns = [values.astype(np.float64) for values in drawn_values(min(PEOPLE, FIT_PEOPLE)).values()]
    scales = [
        scale_of(tag, values, transform="log1p", clip=Decimal("0.01"))
        for tag, values in zip(TAGS, columns, strict=True)
    ]
    points = coordinates(columns, [scale for scale in scales if scale is not None])
    own = timed(lambda: fit_centres(points, GROUPS, 1), repeats)
    doubles = np.ascontiguousarray(points, dtype=np.float64)

    def by_scipy() -> np.ndarray:
        ways = [kmeans2(doubles, GROUPS, iter=30, minit="++", seed=start) for start in range(STARTS)]
        return min(ways, key=lambda way: float(((doubles - way[0][way[1]]) ** 2).sum()))[1]

    other = timed(by_scipy, repeats)
    is_equal = bool(adjusted_rand(nearest(points, own.answer.points), other.answer) >= LEAST_AGREEMENT)
    case = f"centres of {len(points):,} people"
    return [
        {
            "case": case,
            "way": way,
            "seconds": timing.seconds,
            "cpu_seconds": timing.cpu_seconds,
            "is_equal": answer,
        }
        for way, timing, answer in (("whole numbers", own, None), ("SciPy's kmeans2", other, is_equal))
    ]


def main(way: str, folder: Path) -> None:
    """Measure one way and write what it took."""
    rows = nights(folder) if way == "nights" else kernel(int((folder / "repeats").read_text()))
    write_answer(folder, {"rows": rows})


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
