"""Two hundred segments over a million people in one job, and one audience of nearly all of them on its way out.

Chosen are candidates with the reasons of law and policy, arms and control groups; contact policy has a benchmark of its own. Beside it
stands what an analyst would write by hand in DuckDB: one query for each segment that asks for age, staff, consent and addresses as well;
one query for each segment with its rule alone; and the rules of all as one query that counts them. Published is one
audience as a night publishes it: files, manifest, signature, the consumer's own verification; then the night after, when one
person in a hundred has left. Every part is a process of its own.
"""

from __future__ import annotations

import datetime as dt
import os
import shutil
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
# Of whom seven in ten may be contacted.
PUBLISHED_PEOPLE = PEOPLE * 145 // 100
SEGMENTS = 200
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
TOGETHER = "all in one job"
LAWFUL = "by hand, one DuckDB query a segment, law and consent in each"
RULES = "by hand, one DuckDB query a segment, its rule alone"
BARE = "the rules alone, one DuckDB query that counts all"
# Whom the example bank's law and policy leave, written by hand for what the drawn bank has: no control, complaint or receipt.
LAWFUL_SQL = """\
CREATE OR REPLACE TEMP TABLE audience AS
WITH persons AS (
  SELECT source, source_key, one_id FROM identity.memberships WHERE valid_to IS NULL
), adults AS (
  SELECT one_id FROM trusted.customers JOIN persons USING (source, source_key) WHERE valid_to IS NULL GROUP BY one_id
  HAVING bool_and(birth_date <= DATE '{adult}') AND NOT bool_or(is_staff)
), granted AS (
  SELECT one_id FROM trusted.consents JOIN persons USING (source, source_key)
  WHERE purpose = 'marketing' AND channel IN ('SMS', 'ALL') GROUP BY one_id HAVING arg_max(decision, decided_at) = 'GRANT'
), reached AS (
  SELECT DISTINCT one_id FROM trusted.identifier_observations JOIN persons USING (source, source_key)
  WHERE namespace = 'phone' AND regexp_full_match("value", '1[3-9][0-9]{{9}}')
)
SELECT one_id, aum_tier, hash(one_id, '{code}') % 10000 < 1000 AS is_held_out
FROM tags.customer_tags JOIN adults USING (one_id) JOIN granted USING (one_id) JOIN reached USING (one_id)
JOIN identity.one_ids USING (one_id)
WHERE one_ids.kind = 'customer' AND {rule}
"""


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
        for way, people in (("choose", PEOPLE), ("publish", PUBLISHED_PEOPLE)):
            shutil.rmtree(folder / "bank", ignore_errors=True)
            generate(folder / "bank", people)
            answer = in_process(__name__, way, folder, limit=LIMIT_SECONDS)
            if "wrong" in answer:
                notes.append(f"{way}: {answer['wrong']}")
                continue
            for row in answer["rows"]:
                rows.append(Row(**row, peak_mb=answer["peak_mb"]))
    notes += [
        f"{PEOPLE:,} people, {SEGMENTS} segments of three conditions each. `{TOGETHER}` reads the specifications too, gives every candidate's "
        "one reason, arm and channel, and counts what becomes of them.",
        f"`{RULES}` and `{BARE}` know nothing of law, policy and control groups: their counts must be the candidates of the job, and those of "
        f"`{LAWFUL}` the candidates without a reason against them.",
        "Memory is the most that the process held in all its parts.",
    ]
    return Outcome(rows, notes)


def choose(settings: Settings) -> list[dict[str, Any]]:
    """Choose all segments in one job, and by the three ways of an analyst."""
    from lakehouse.query.published import open_publication

    codes = [f"s{number:03}" for number in range(SEGMENTS)]
    segments = _segments(settings, [specification(code, rule(at)[0]) for at, code in enumerate(codes)])
    rules = [rule(number)[1] for number in range(SEGMENTS)]
    adult = dt.date(DAY.year - 18, DAY.month, DAY.day)
    together, row = _row(TOGETHER, lambda: _candidates(settings, segments))
    with open_publication(settings) as published:
        counts = ", ".join(f"count(*) FILTER ({text})" for text in rules)
        bare, bare_row = _row(
            BARE, lambda: list(published.rows(f"SELECT {counts} FROM tags.customer_tags")[0])
        )

        def sizes(statements: list[str]) -> list[int]:
            sizes_by_segment = []
            for statement in statements:
                published.run(statement)
                sizes_by_segment.append(int(published.value("SELECT count(*) FROM audience")))
            return sizes_by_segment

        alone = "CREATE OR REPLACE TEMP TABLE audience AS SELECT one_id, aum_tier FROM tags.customer_tags WHERE {}"
        by_rule, rule_row = _row(RULES, lambda: sizes([alone.format(text) for text in rules]))
        lawful, lawful_row = _row(
            LAWFUL,
            lambda: sizes(
                [LAWFUL_SQL.format(adult=adult, code=c, rule=r) for c, r in zip(codes, rules, strict=True)]
            ),
        )
    candidates, free = [list(column) for column in zip(*together, strict=True)]
    row["is_equal"] = candidates == bare
    rule_row["is_equal"] = candidates == by_rule
    lawful_row["is_equal"] = free == lawful
    row["note"] = f"{sum(candidates):,} candidates in all, {sum(free):,} without a reason against them"
    return [row, bare_row, rule_row, lawful_row]


def _candidates(settings: Settings, segments: list[Segment]) -> list[tuple[int, int]]:
    """Choose and place segments as a night does; count the candidates of each, and those without a reason against them."""
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
        sizes = "SELECT count(*), count(*) FILTER (reason IS NULL) FROM {}"
        return [published.rows(sizes.format(places[s.code].candidates))[0] for s in segments]


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
