"""Contact policy of a night: fifty segments over a million people, decided in one job, each case in a process of its own.

Beside it stands what a user would write for the simplest case, one cap over all channels: a window function in DuckDB. It has no
channels, no habits, no rules to name, and no capacities.
"""

from __future__ import annotations

import sys
import tempfile
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.measure import Outcome, Row, timed
from benchmarks.processes import in_process, write_answer

if TYPE_CHECKING:
    from segments.contacting.problem import ContactProblem

NAME = "contact_policy"
QUESTION = "How long does a night's contact policy take for fifty segments over a million people?"
PEOPLE, SEGMENTS, SEED = 1_000_000, 50, 20261120
FIRST = 1_000_000_000_001
NIGHT = date(2026, 11, 20)
LIMIT_SECONDS = 900.0
# share of people in a segment, caps of channels and habits too, capacities
CASES = {
    "sparse": (0.1, True, False),
    "sparse, one cap": (0.1, False, False),
    "sparse, capacities": (0.1, True, True),
    "everybody": (1.0, True, False),
    "everybody, capacities": (1.0, True, True),
}
WINDOW = "sparse, one cap, by a window"


def run(repeats: int) -> Outcome:
    """Measure each case; the window function is held against the same question."""
    rows, notes, answers = [], [], {}
    for way in (*CASES, WINDOW):
        with tempfile.TemporaryDirectory() as name:
            (Path(name) / "repeats").write_text(str(repeats))
            answers[way] = in_process(
                "benchmarks.nights.contact_policy", way, Path(name), limit=LIMIT_SECONDS
            )
    for way, answer in answers.items():
        if "wrong" in answer:
            notes.append(f"{way}: {answer['wrong']}")
            continue
        _, has_more, has_capacities = CASES.get(way, CASES["sparse, one cap"])
        rules = "a cap over all channels, one of SMS, habits" if has_more else "a cap over all channels"
        case = f"{answer['candidacies']:,} candidacies, {rules}" + (
            ", two capacities" if has_capacities else ""
        )
        is_equal = answer["digest"] == answers["sparse, one cap"].get("digest") if way == WINDOW else None
        rows.append(
            Row(
                case, "DuckDB window function" if way == WINDOW else "one job of contact policy", answer["seconds"],
                cpu_seconds=answer["cpu_seconds"], peak_mb=answer["peak_mb"], is_equal=is_equal, note=answer["note"],
            )
        )  # fmt: skip
    notes += [
        f"{PEOPLE:,} people, {SEGMENTS} segments with three channels each and ten different priorities, expected values drawn; "
        "half a million earlier contacts; a third of the people have a habit. `sparse` chooses a tenth of the people for each "
        "segment, `everybody` all for all.",
        "Timed is the job from Arrow tables to Arrow tables of contacts and losses with rule, winner and margin; the window "
        "function gives contacts only. Peak memory includes the question.",
    ]
    return Outcome(rows, notes)


def drawn_question(
    share: float, *, has_more: bool, has_capacities: bool, people: int = PEOPLE
) -> ContactProblem:
    """Give a question of fifty segments, the same for the same arguments."""
    import pyarrow as pa

    from segments.contacting.problem import (
        CapacityRule,
        CapRule,
        ContactProblem,
        ContactWay,
        SegmentOffer,
    )
    from segments.contacting.windows import SendWindow

    chance = np.random.default_rng(SEED)
    begin = datetime(2026, 11, 21, 1, tzinfo=UTC)
    window = SendWindow(begin, begin + timedelta(hours=12))
    ways = tuple(ContactWay(channel, None, window) for channel in ("PUSH", "WECHAT", "SMS"))
    marketing = frozenset({"marketing"})
    caps = (CapRule("global", 2, 7, marketing),)
    if has_more:
        caps += (CapRule("SMS", 1, 1, marketing),)
    offers = []
    for number in range(SEGMENTS):
        ids = np.flatnonzero(chance.random(people) < share) + FIRST
        columns = {
            "one_id": ids,
            "ways": chance.integers(1, 8, len(ids)).astype(np.uint8),
            "value": np.round(chance.random(len(ids)) * 1000, 2),
        }
        offers.append(
            SegmentOffer(
                f"s{number:02d}", int(chance.integers(0, 10)) * 10, "marketing", ways, caps, pa.table(columns),
                picks_habit=has_more,
            )
        )  # fmt: skip
    contact_count = people // 2
    history = {
        "one_id": chance.integers(0, people, contact_count) + FIRST,
        "code": pa.repeat(pa.scalar("s01"), contact_count),
        "run_id": pa.repeat(pa.scalar("r"), contact_count),
        "contact_on": pa.array(
            np.datetime64(NIGHT) - chance.integers(0, 10, contact_count).astype("timedelta64[D]")
        ),
        "channel": pa.array(["PUSH", "WECHAT", "SMS"]).take(pa.array(chance.integers(0, 3, contact_count))),
        "placement": pa.nulls(contact_count, pa.string()),
        "purpose": pa.repeat(pa.scalar("marketing"), contact_count),
    }
    habits = {
        "one_id": np.arange(people // 3) + FIRST,
        "channel": pa.array(["PUSH", "WECHAT", "SMS"]).take(pa.array(chance.integers(0, 3, people // 3))),
    }
    groups = {
        "one_id": np.arange(people) + FIRST,
        "branch": pa.array(np.char.add("b", (np.arange(people) % 200).astype(str))),
        "employee": pa.nulls(people, pa.string()),
    }
    capacities = (CapacityRule("SMS", people // 10), CapacityRule("WECHAT", people // 1000, "branch"))
    return ContactProblem(
        offers,
        pa.table(history),
        pa.table(habits),
        pa.table(groups),
        (),
        capacities if has_capacities else (),
    )


def by_window(question: ContactProblem) -> dict[str, np.ndarray]:
    """Give whom each segment contacts under one cap of two in seven days, by a window function over the scores."""
    import duckdb
    import pyarrow as pa

    from segments.contacting.scores import base_score, tie_part, value_scale

    values = [offer.rows["value"].to_numpy() for offer in question.offers]
    scale = value_scale(max(float(part.max()) for part in values))
    parts = [
        pa.table(
            {
                "one_id": offer.rows["one_id"],
                "segment": pa.repeat(pa.scalar(number, pa.int16()), offer.rows.num_rows),
                "score": base_score(offer.priority, values[number], scale)
                + tie_part(offer.code, offer.rows["one_id"].to_numpy()),
            }
        )
        for number, offer in enumerate(question.offers)
    ]
    with duckdb.connect() as connection:
        connection.register("candidacies", pa.concat_tables(parts))
        connection.register("history", question.history)
        rows = connection.sql(
            "WITH past AS (SELECT one_id, count(*) AS contacts FROM history "
            "WHERE contact_on > DATE '2026-11-21' - 7 GROUP BY one_id), "
            "ordered AS (SELECT *, row_number() OVER (PARTITION BY one_id ORDER BY score DESC, segment) AS place FROM candidacies) "
            "SELECT o.segment, o.one_id FROM ordered o LEFT JOIN past p ON p.one_id = o.one_id "
            "WHERE place + coalesce(contacts, 0) <= 2 ORDER BY ALL"
        ).to_arrow_table()
    segment, one_id = rows["segment"].to_numpy(), rows["one_id"].to_numpy()
    return {offer.code: one_id[segment == number] for number, offer in enumerate(question.offers)}


def main(way: str, folder: Path) -> None:
    """Measure one way and write what it took."""
    from lakehouse.query.hashing import text_hash
    from segments.contacting.arbitration import arbitrate

    share, has_more, has_capacities = CASES.get(way, CASES["sparse, one cap"])
    question = drawn_question(share, has_more=has_more, has_capacities=has_capacities)
    repeats = int((folder / "repeats").read_text())
    note = ""
    if way == WINDOW:
        timing = timed(lambda: by_window(question), repeats)
        contacts = timing.answer
    else:
        # The long ones say the same every time.
        at_least = 1 if has_capacities or share == 1 else 2
        timing = timed(lambda: arbitrate(question), at_least if at_least == 1 else repeats, at_least=at_least)
        contacts = {code: part.contacts["one_id"].to_numpy() for code, part in timing.answer.by_code.items()}
        gap = timing.answer.gap
        note = "" if gap is None else f"gap to the linear bound {gap:.2%}"
    answer: dict[str, Any] = {
        "seconds": timing.seconds,
        "cpu_seconds": timing.cpu_seconds,
        "candidacies": sum(offer.rows.num_rows for offer in question.offers),
        "digest": text_hash(*(f"{code}:{ids.tobytes().hex()}" for code, ids in sorted(contacts.items()))),
        "note": note,
    }
    write_answer(folder, answer)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
