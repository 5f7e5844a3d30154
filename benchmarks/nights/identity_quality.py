"""Who is one person, against a known truth: the simulated bank by mess and seed, over nights, beside what else one would use.

Every case is a process of its own: a bank is simulated, the feeds that tell of people are ingested and resolved night by
night, and the map of the last night is measured. Then every table of identity but the dictionaries is emptied and the map is built
again. The baselines get the same records and identifiers, blocked values left out.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.measure import Outcome, Row
from benchmarks.processes import ROOT, in_process, write_answer

if TYPE_CHECKING:
    import pyarrow as pa

    from lakehouse.tables.lake import Lake

NAME = "identity_quality"
QUESTION = "How right is the map of OneIDs, how steady over nights, and how right would simpler ways be?"
# mess, people, nights, seed
CASES = (
    ("light", 5_000, 3, 7),
    ("default", 5_000, 3, 7),
    ("heavy", 5_000, 3, 7),
    ("heavy", 20_000, 3, 20261125),
    ("default", 5_000, 30, 11),
    ("heavy", 5_000, 30, 11),
)
LIMIT = float(os.environ.get("CDP_BENCH_LIMIT", "1800"))
TOLD_OF_PEOPLE = {"trusted.customers", "trusted.identifier_observations"}
DICTIONARIES = {"identity.nodes", "identity.keys", "identity.one_ids", "identity.decisions"}
MEASURES = ("precision", "recall", "b_cubed_f1", "exact_ratio", "merge_distance", "largest", "largest_true")


def run(repeats: int) -> Outcome:
    """Measure every case once: the same seed gives the same answer."""
    del repeats
    rows: list[Row] = []
    notes = [
        "Seconds are those of all nights' `identity.resolve`. `moved`: records whose OneID was another one on the next night, "
        "summed over nights; `quietly`: though no record of their person changed and no rule or decision reached it; "
        "`untouched`: though nothing reached their component. `rebuilt otherwise`: records with another OneID after a rebuild "
        "from nothing but the dictionaries.",
    ]
    measures: list[dict[str, Any]] = []
    for mess, people, nights, seed in CASES:
        case = f"{mess} mess, {people:,} people, {nights} nights, seed {seed}"
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
            result = in_process(
                "benchmarks.nights.identity_quality",
                f"{mess}/{people}/{nights}/{seed}",
                Path(name),
                limit=LIMIT,
            )
        if "wrong" in result:
            notes.append(f"{case}: {result['wrong']}.")
            continue
        rows.append(Row(case, "identity.resolve, all nights", [result["seconds"]], peak_mb=result["peak_mb"]))
        measures += [{"case": case, "way": way, **values} for way, values in result["ways"].items()]
        notes.append(
            f"{case}: {result['profiles']:,} records of {result['people']:,} people; {result['violations']} people break a limit; "
            f"{result['moved']} moved, {result['quietly']} quietly ({result['quiet_share']:.4%} of the records a night began with), "
            f"{result['untouched']} untouched; {result['rebuilt_otherwise']} rebuilt otherwise, {result['minted_again']} minted again."
        )
        print(f"  {case}: {result['ways']}; {notes[-1]}", file=sys.stderr, flush=True)
    return Outcome(rows, notes, measures=measures)


def measure(mess: str, people: int, nights: int, seed: int, folder: Path) -> dict[str, Any]:
    """Simulate, ingest and resolve the nights of a bank in an empty folder; give what was measured."""
    import time

    from identity import resolve
    from identity.measuring.baselines import baselines
    from identity.measuring.evaluate import evaluate
    from identity.rules.rules import load_rules
    from ingestion import ingest
    from ingestion.feeds.feeds import load_feeds
    from lakehouse.ledger.ledger import publish
    from lakehouse.query.published import open_publication
    from lakehouse.settings.settings import load_settings
    from lakehouse.tables.lake import open_lake
    from simulator.simulation import simulate
    from simulator.world.bank import BankPlan
    from simulator.world.rates import rates_of

    workspace = folder / "bank"
    outputs = shutil.ignore_patterns("lake", "inbox", "truth", "reports", "published", "secrets", ".cdp")
    shutil.copytree(ROOT / "examples" / "bank", workspace, ignore=outputs)
    plan = BankPlan(people=people, nights=nights, seed=seed, history_months=1, rates=rates_of(mess))
    simulate(plan, workspace)
    settings = load_settings(workspace)
    lake = open_lake(settings)
    feeds = [feed.feed for feed in load_feeds(workspace) if TOLD_OF_PEOPLE & set(feed.tables)]
    seconds = 0.0
    for number in range(nights):
        day = plan.business_date(number)
        ingest(lake, day, only=feeds)
        began = time.perf_counter()
        resolve(lake, day)
        seconds += time.perf_counter() - began
    publish(lake, day, "benchmark", {})
    truth = workspace / "truth"
    quality = evaluate(lake, truth).summary()
    others = baselines(open_publication(settings), load_rules(settings), truth, allow_missing=True)
    log = lake.read_arrow("identity.nights").to_pylist()
    known_profiles = sum(row["known_profiles"] for row in log)
    before = _map(lake)
    for table in (
        "node_states",
        "links",
        "components",
        "memberships",
        "lineage_events",
        "redirects",
        "refused_links",
        "nights",
    ):
        lake.overwrite(f"identity.{table}", lake.read_arrow(f"identity.{table}").slice(0, 0))
    rebuilt = resolve(lake, day)
    after = _map(lake)
    return {
        "seconds": seconds,
        "ways": {
            name: {key: values[key] for key in MEASURES}
            for name, values in (("OneID", quality), *((n.replace("_", " "), t) for n, t in others.items()))
        },
        "profiles": quality["profiles"],
        "people": quality["people"],
        "violations": max(row["violations"] for row in log),
        "moved": sum(sum(json.loads(row["moved"]).values()) for row in log),
        "quietly": sum(row["moved_quietly"] for row in log),
        "quiet_share": sum(row["moved_quietly"] for row in log) / known_profiles if known_profiles else 0.0,
        "untouched": sum(row["moved_untouched"] for row in log),
        "rebuilt_otherwise": sum(after.get(key) != one_id for key, one_id in before.items()),
        "minted_again": rebuilt.minted,
    }


def _map(lake: Lake) -> dict[int, int]:
    rows: pa.Table = lake.read_arrow("identity.memberships", columns=["profile_id", "one_id", "valid_to"])
    return {row["profile_id"]: row["one_id"] for row in rows.to_pylist() if row["valid_to"] is None}


def main() -> None:
    """Measure the case named by the first argument in the folder named by the second; write the answer there."""
    mess, people, nights, seed = sys.argv[1].split("/")
    folder = Path(sys.argv[2])
    answer = measure(mess, int(people), int(nights), int(seed), folder)
    write_answer(folder, answer)


if __name__ == "__main__":
    main()
