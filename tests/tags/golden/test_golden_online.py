"""Every online tag by cases worked out by hand: all books are drawn into one lake, which is built once for each of their days."""

from __future__ import annotations

import datetime as dt
import importlib
import pkgutil
from pathlib import Path

import pyarrow as pa
import pytest

from tags.compile.compilation import compile_tags
from tests.tags.golden import books
from tests.tags.golden.cases import FIRST_ONE_ID, Case, D, fill, fill_people
from tests.tags.golden.evaluator.comparison import differences, entity_differences, unanswered
from tests.tags.golden.evaluator.entities import things
from tests.tags.golden.evaluator.world import PUBLISHED, TABLES, World
from vocabulary.entities import PERSON, TAG_ENTITIES

BOOKS = [
    importlib.import_module(f"{books.__name__}.{module.name}")
    for module in pkgutil.iter_modules(books.__path__)
]
CASES: list[Case] = [case for book in BOOKS for case in book.CASES]
ENTITIES = [TAG_ENTITIES[code] for code in ("product", "branch")]
DAYS = sorted({case.on for case in CASES})
AFTER = dt.date(2026, 4, 1)
SCORED = ("days_since_active_txn", "active_txn_days_180d", "aum_avg_last_month")


def one_ids() -> dict[str, int]:
    """Give the OneID of every person of the books."""
    names = [name for book in BOOKS for name in book.PEOPLE]
    assert len(names) == len(set(names)), "two people of the books are called alike"
    chosen = {name: one_id for book in BOOKS for name, one_id in getattr(book, "ONE_IDS", {}).items()}
    return {name: chosen.get(name, FIRST_ONE_ID + at) for at, name in enumerate(names)}


@pytest.fixture(scope="module", params=["duckdb", pytest.param("spark", marks=pytest.mark.slow)])
def answers(request, tmp_path_factory):
    """The answers of every day: by person, product or branch the row of the wide table and, by tag, the reasons that are recorded.

    Of the days before nobody has a score, so that the declared cut points count; the day ``AFTER`` all has scores by the fifths of the last of them.
    """
    import tags
    from lakehouse.settings.settings import load_settings
    from lakehouse.tables.lake import open_lake

    workspace = tmp_path_factory.mktemp("golden")
    (workspace / "cdp.yml").write_text(f"time_zone: Asia/Shanghai\nengine: {request.param}\n")
    spark = request.getfixturevalue("spark") if request.param == "spark" else None
    lake = open_lake(load_settings(workspace), spark=spark)
    draw_books(lake)
    people = {one_id: name for name, one_id in one_ids().items()}
    rows = {}
    for day in (*DAYS, AFTER):
        if day != AFTER and rows:
            without = lake.read_arrow(PUBLISHED)
            for code in SCORED:
                without = without.set_column(
                    without.schema.get_field_index(code),
                    without.schema.field(code),
                    pa.nulls(len(without), without.schema.field(code).type),
                )
            lake.overwrite(PUBLISHED, without)
        tags.build_tags(lake, day)
        rows[day] = {people[row["one_id"]]: row for row in lake.read_arrow("tags.customer_tags").to_pylist()}
        rows[day] |= {
            "/".join(row[name] for name in entity.key): row
            for entity in ENTITIES
            for row in lake.read_arrow(entity.current).to_pylist()
        }
    rows[PUBLISHED] = lake.read_arrow(PUBLISHED).to_pylist()
    return rows


def draw_books(lake) -> None:
    """Write all people and rows of the books."""
    people = one_ids()
    profiles = [profile for book in BOOKS for profile in book.PROFILES]
    kinds = {name: kind for book in BOOKS for name, kind in getattr(book, "KINDS", {}).items()}
    fill_people(lake, people, profiles, kinds)
    for book in BOOKS:
        for table, rows in book.ROWS:
            fill(lake, table, rows, Path(book.__file__).stem, people)


def reason(row, entry) -> str | None:
    """Give why the tag of a person is null: as recorded, else by the null rule."""
    recorded = {exception["tag"]: exception["reason"] for exception in row["null_exceptions"]}
    return recorded.get(entry.code, entry.default_reason)


def test_every_answer_is_the_one_worked_out_by_hand(answers):
    registry = compile_tags(None).registry
    faults = []
    for case in CASES:
        row = answers[case.on][case.person]
        if fault := case.fault(row[case.tag], reason(row, registry[case.tag])):
            faults.append(fault)
    assert not faults, "\n".join(faults)


@pytest.fixture(scope="module")
def drawn():
    """What the books draw, as the evaluator reads it, without a lake."""
    drawing = Drawing()
    draw_books(drawing)
    return drawing.tables


class Drawing:
    """Takes the place of a lake and keeps what is drawn as rows."""

    def __init__(self) -> None:
        self.tables: dict[str, list[dict]] = {table: [] for table in TABLES}

    def append(self, table, rows) -> None:
        self.tables[table] += rows.to_pylist()


def test_the_evaluator_answers_every_case(drawn):
    people = {
        day: {person.one_id: person for person in World(drawn, day, nights=DAYS).people()} for day in DAYS
    }
    things_of = {
        day: {"/".join(one.key): one for entity in ENTITIES for one in things(World(drawn, day), entity.code)}
        for day in DAYS
    }
    faults = []
    for case in CASES:
        person = (
            people[case.on][one_ids()[case.person]]
            if case.person in one_ids()
            else things_of[case.on][case.person]
        )
        if fault := case.fault(person[case.tag], person.reason(case.tag)):
            faults.append(fault)
    assert not faults, "\n".join(faults)


def test_the_evaluator_knows_every_online_tag():
    missing = unanswered(compile_tags(None).registry.online())
    assert not missing, (
        f"write what these tags are in plain Python, in tests/tags/golden/evaluator: {', '.join(missing)}"
    )


def test_the_build_says_of_everybody_in_the_books_what_the_evaluator_says(answers, drawn):
    entries = compile_tags(None).registry.online()
    faults = [
        fault
        for day in DAYS
        for fault in [
            *differences(_rows_of(PERSON, answers[day]), drawn, entries, day, nights=DAYS),
            *entity_differences(
                {entity.code: _rows_of(entity, answers[day]) for entity in ENTITIES}, drawn, entries, day
            ),
        ]
    ]
    assert not faults, "\n".join(faults[:40])


def test_a_quarter_is_scored_by_the_fifths_of_what_was_published_before_it(answers, drawn):
    entries = [entry for entry in compile_tags(None).registry.online() if entry.code.startswith("rfm_")]
    assert max(DAYS) < AFTER and len(entries) == 4
    tables = {**drawn, PUBLISHED: answers[PUBLISHED]}
    night = _rows_of(PERSON, answers[AFTER])
    assert differences(night, tables, entries, AFTER, nights=DAYS) == []
    assert differences(night, drawn, entries, AFTER, nights=DAYS) != []


def _rows_of(entity, rows):
    """The rows of one entity among those of all."""
    return [row for row in rows.values() if set(entity.key) <= set(row)]


def test_a_wrong_value_a_wrong_reason_and_a_missing_person_are_each_told(drawn):
    entries, day = compile_tags(None).registry.online(PERSON), D
    night = []
    for person in World(drawn, day, nights=DAYS).people():
        reasons = [
            {"tag": entry.code, "reason": person.reason(entry.code)}
            for entry in entries
            if person.reason(entry.code) != entry.default_reason and person[entry.code] is None
        ]
        answers = {entry.code: person[entry.code] for entry in entries}
        night.append({"one_id": person.one_id, "null_exceptions": reasons, **answers})
    assert differences(night, drawn, entries, day, nights=DAYS) == []
    numbers = one_ids()
    rows = {row["one_id"]: row for row in night}
    rows[numbers["r7"]]["rfm_recency"] = 4
    for exception in rows[numbers["march"]]["null_exceptions"]:
        exception["reason"] = "unknown" if exception["tag"] == "aum_avg_last_month" else exception["reason"]
    rows[numbers["in0"]]["is_mau"] = 1
    del rows[numbers["t0"]]
    assert sorted(differences(rows.values(), drawn, entries, day, nights=DAYS)) == [
        f"{numbers['t0']} is known and has no row",
        f"aum_avg_last_month of {numbers['march']} on {day} is null (unknown), by its definition (not_applicable)",
        f"is_mau of {numbers['in0']} on {day} is 1, by its definition True",
        f"rfm_recency of {numbers['r7']} on {day} is 4, by its definition 5",
    ]
