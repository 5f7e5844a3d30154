"""Two hundred segments over a million people in one job, and one audience of nearly all of them on its way out.

Chosen are candidates with the reasons of law and policy, arms and control groups; contact policy has a benchmark of its own. Beside it
stand the same segments each alone, and what an analyst would write: the rules alone, as one query that counts them all. Published is one
audience as a night publishes it: files, manifest, signature, the consumer's own verification; then the night after, when one
person in a hundred has left. Every part is a process of its own.
"""

from __future__ import annotations

import datetime as dt
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.measure import Outcome, Row
from benchmarks.processes import in_process, write_answer
from benchmarks.reading.segment_preview import CODE, DAY, FIRST_ONE_ID, generate

if TYPE_CHECKING:
    from lakehouse.settings.settings import Settings
    from segments.language.spec import Segment

NAME = "audiences"
QUESTION = "What do two hundred segments over a million people cost, and an audience of nearly all of them?"
PEOPLE = int(os.environ.get("CDP_BENCH_PEOPLE", "1000000"))
SEGMENTS, ALONE = 200, 4
LIMIT_SECONDS = 1800.0
LEAVING = 100
SPECIFICATION = """\
spec: segment/v1
code: {code}
version: 1.0.0
name: {{zh: 客群, en: Segment}}
owner: {{business: retail, tech: data_platform}}
entity: customer
kind: dynamic
purpose: marketing
unknown: exclude
where:
  all:
{conditions}
holdout: {{local_percent: 10}}
contact: {{channels: [SMS]}}
publish:
  destinations: [marketing_engine]
  mode: [snapshot, delta]
  format: parquet
  columns: [channel, aum_tier]
  valid_hours: 30
"""
TIERS = ("T0", "T1", "T2", "T3", "T4")
ALONE_WAY, TOGETHER, BARE = (
    "each segment by queries of its own",
    "all in one job",
    "the rules alone, one DuckDB query",
)


def rule(number: int) -> tuple[list[str], str]:
    """Give the conditions of a segment as the specification has them, and as an analyst writes them."""
    tiers = [tier for place, tier in enumerate(TIERS) if (number + 1) >> place & 1] or ["T2"]
    last = 7 + number % 90
    grade = f"R{1 + number % 5}"
    conditions = [
        f"    - {{tag: aum_tier, in: [{', '.join(tiers)}]}}",
        f"    - {{tag: days_to_next_maturity, between: [0, {last}]}}",
        f"    - {{tag: max_sellable_risk, in: [{grade}, R5]}}",
    ]
    texts = ", ".join(f"'{tier}'" for tier in tiers)
    sql = (
        f"aum_tier IN ({texts}) AND days_to_next_maturity BETWEEN 0 AND {last}"
        f" AND max_sellable_risk IN ('{grade}', 'R5')"
    )
    return conditions, sql


def run(repeats: int) -> Outcome:
    """Measure choosing and publishing, each in a process of its own."""
    del repeats
    rows: list[Row] = []
    notes: list[str] = []
    with tempfile.TemporaryDirectory(prefix="audiences_", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        generate(folder / "bank", PEOPLE)
        for way in ("choose", "publish"):
            answer = in_process(__name__, way, folder, limit=LIMIT_SECONDS)
            if "wrong" in answer:
                notes.append(f"{way}: {answer['wrong']}")
                continue
            for row in answer["rows"]:
                rows.append(Row(**row, peak_mb=answer["peak_mb"]))
    notes += [
        f"{PEOPLE:,} people, {SEGMENTS} segments of three conditions each. `{ALONE_WAY}` is measured for {ALONE} of them and given for all.",
        "The bare query knows nothing of law, policy and control groups; its counts must be the candidates of the job.",
        "Memory is the most that the process held in all its parts.",
    ]
    return Outcome(rows, notes)


def choose(settings: Settings) -> list[dict[str, Any]]:
    """Choose all segments in one job and some of them alone, and count the rules by one query."""
    from lakehouse.query.published import open_publication

    specifications = [specification(f"s{number:03}", rule(number)[0]) for number in range(SEGMENTS)]
    segments = _segments(settings, specifications)
    rules = [rule(number)[1] for number in range(SEGMENTS)]
    with open_publication(settings) as published:
        counts = ", ".join(f"count(*) FILTER ({text})" for text in rules)
        bare, bare_row = _row(BARE, lambda: published.rows(f"SELECT {counts} FROM tags.customer_tags")[0])
    together, row = _row(TOGETHER, lambda: _candidates(settings, segments))
    one_by_one: list[int] = []

    def choose_some() -> None:
        for segment in segments[:: SEGMENTS // ALONE]:
            one_by_one.extend(_candidates(settings, [segment]))

    _, alone = _row(ALONE_WAY, choose_some)
    for name in ("seconds", "cpu_seconds"):
        alone[name] = [value * SEGMENTS / ALONE for value in alone[name]]
    alone["is_equal"] = one_by_one == together[:: SEGMENTS // ALONE]
    row["is_equal"] = together == list(bare)
    row["note"] = f"{sum(together):,} candidates in all"
    return [bare_row, row, alone]


def _candidates(settings: Settings, segments: list[Segment]) -> list[int]:
    """Choose and place segments as a night does, and count the candidates of each."""
    from jobs.workspace.surroundings import read_surroundings
    from lakehouse.query.published import open_publication
    from segments.choosing.inputs import read_inputs
    from segments.choosing.leaf_tables import leaves_by_duckdb
    from segments.explaining.snapshot import Snapshot, catalogue_on

    with open_publication(settings) as published:
        site = catalogue_on(published, read_surroundings(settings)).site
        inputs = read_inputs(
            published, published, segments, site, DAY,
            lambda leaf_table, lists, _: leaves_by_duckdb(published, published, leaf_table, lists, DAY),
        )  # fmt: skip
        places = Snapshot(published, site, inputs, inputs.leaves.rows).place_all(segments)
        return [int(published.value(f"SELECT count(*) FROM {places[s.code].candidates}")) for s in segments]


def publish(settings: Settings) -> list[dict[str, Any]]:
    """Publish an audience of everybody who may be contacted, and the night after it, when some have left."""
    import tags
    from lakehouse.tables.lake import open_lake

    folder = settings.workspace / "segments"
    for file in folder.glob("*.yml"):
        file.unlink()
    everybody = f"    - {{tag: aum_tier, in: [{', '.join(TIERS)}]}}"
    (folder / "everybody.yml").write_text(specification("everybody", [everybody]), encoding="utf-8")
    (settings.workspace / "contact_policy.yml").unlink(missing_ok=True)
    lake = open_lake(settings, contracts=tags.tag_contracts(settings))
    rows = []
    for number, case in enumerate(("an audience of nearly all", f"one in {LEAVING} has left")):
        day = DAY + dt.timedelta(days=number)
        if number:
            table = lake.read_arrow("tags.customer_tags")
            lake.overwrite("tags.customer_tags", table.filter(_staying(table)))
        rows += _published(lake, day, case)
    return rows


def _published(lake: Any, day: dt.date, case: str) -> list[dict[str, Any]]:
    import delivery
    from delivery.verification import verify
    from jobs.workspace.surroundings import read_surroundings
    from segments.choosing.evaluation import evaluate

    destinations = delivery.read_destinations(lake.settings)
    surroundings = read_surroundings(lake.settings)
    result, decision = _row(
        "decide the segment", lambda: evaluate(lake, day, surroundings, engine="duckdb"), case
    )
    audiences, writing = _row(
        "write files, manifest and keys", lambda: delivery.stage(lake, result.audiences, destinations), case
    )
    _, release = _row("release", lambda: delivery.release(lake, audiences), case)
    runs, verification = _row(
        "verify as a consumer does", lambda: verify(lake.settings.published, at=dt.datetime.combine(day + dt.timedelta(days=1), dt.time(8), dt.UTC)), case,
    )  # fmt: skip
    verification["is_equal"] = not any(one.faults for one in runs if one.superseded_by is None)
    writing["note"] = f"{result.audiences[0].people.num_rows:,} recipients"
    return [decision, writing, release, verification, *_application(lake.settings, day, case)]


def _application(settings: Settings, day: dt.date, case: str) -> list[dict[str, Any]]:
    """Apply what a consumer gets to what it holds, a set of keys: the snapshot the first night, each way on the next."""
    import pyarrow.parquet as pq

    (run,) = settings.published.glob(f"*/everybody/v=*/as_of={day}/run=*")
    rows = []
    for part in ("snapshot", "delta"):
        files = sorted((run / part).glob("*.parquet"))
        if not files or (part == "delta" and day == DAY):
            continue
        recipients: set[str] = set()

        def apply(files: list[Path] = files, part: str = part, recipients: set[str] = recipients) -> int:
            table = pq.read_table(files)
            keys = table["recipient_key"].to_pylist()
            if part == "snapshot":
                recipients.update(keys)
            else:
                for op, key in zip(table["op"].to_pylist(), keys, strict=True):
                    (recipients.discard if op == "EXIT" else recipients.add)(key)
            return table.num_rows

        count, row = _row(f"apply the {part} as a consumer does", apply, case)
        row["note"] = f"{count:,} rows, {sum(file.stat().st_size for file in files):,} bytes"
        rows.append(row)
    return rows


def _staying(table: Any) -> Any:
    import pyarrow as pa

    return pa.array((table["one_id"].to_numpy() - FIRST_ONE_ID) % LEAVING != 0)


def specification(code: str, conditions: list[str]) -> str:
    """Give the text of a segment."""
    return SPECIFICATION.format(code=code, conditions="\n".join(conditions))


def _segments(settings: Settings, texts: list[str]) -> list[Segment]:
    from segments.language.spec import parse_segment

    folder = settings.workspace / "segments"
    (folder / f"{CODE}.yml").unlink(missing_ok=True)
    segments = []
    for number, text in enumerate(texts):
        file = folder / f"s{number:03}.yml"
        file.write_text(text, encoding="utf-8")
        segments.append(parse_segment(text, file, settings.workspace))
    return segments


def _row(way: str, do: Callable[[], Any], case: str = "") -> tuple[Any, dict[str, Any]]:
    """Do something once; give what it gives, and its row."""
    began, busy = time.perf_counter(), time.process_time()
    answer = do()
    seconds, cpu = time.perf_counter() - began, time.process_time() - busy
    case = case or f"{PEOPLE:,} people, {SEGMENTS} segments"
    return answer, {"case": case, "way": way, "seconds": [seconds], "cpu_seconds": [cpu]}


def main() -> None:
    """Answer one way in this process; see ``benchmarks.processes``."""
    from lakehouse.settings.settings import load_settings

    way, folder = sys.argv[1], Path(sys.argv[2])
    settings = load_settings(folder / "bank")
    write_answer(folder, {"rows": {"choose": choose, "publish": publish}[way](settings)})


if __name__ == "__main__":
    main()
