"""Hundreds of aggregate tags over five million transactions and five million events of 200,000 people.

Three ways that give the same cells: the tags step of a night (compile, dbt on DuckDB, measures, gates, Delta); bare DuckDB, an aggregate of a
``CASE`` per tag (twice as quick as ``FILTER``), a query per relation and one join, as an analyst would write it by hand over the same files; and
a plain dbt-spark project of one model per tag, of which ten are measured and the rest is given in proportion. Each is a process of its own.
``CDP_BENCH_TAG_COUNTS`` names other numbers of tags.
"""

from __future__ import annotations

import datetime as dt
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.measure import Outcome, Row
from benchmarks.processes import in_process, write_answer

if TYPE_CHECKING:
    import pyarrow as pa

    from lakehouse.settings.settings import Settings

QUESTION = "What do hundreds of tags over a few relations cost?"
COUNTS = tuple(int(n) for n in os.environ.get("CDP_BENCH_TAG_COUNTS", "300,1000").split(","))
PEOPLE = int(os.environ.get("CDP_BENCH_TAG_PEOPLE", "200000"))
ROWS = int(os.environ.get("CDP_BENCH_TAG_ROWS", "5000000"))
MODELS = 10
STEP = 275
TAGS_A_FILE = 500
LIMIT = float(os.environ.get("CDP_BENCH_LIMIT", "3600"))
DAY = dt.date(2026, 11, 20)
HISTORY_DAYS = 365
SEED = 20261120
FIRST_ONE_ID = 1_000_000_000_000
ACCOUNTS_PER_PERSON = 1.25
BATCH = 1_000_000
CHANNELS = ("APP", "WECHAT", "COUNTER", "ATM", "WEB")
TYPES = ("PURCHASE", "TRANSFER", "PAYMENT", "CASH", "HOUSEHOLD", "PAYROLL", "FEE", "WEALTH_BUY")
EVENTS = ("page_view", "login", "search", "click", "add_to_cart", "purchase", "share", "logout")
PRODUCT, BARE, MODEL_PER_TAG = (
    "cdp, the tags step",
    "bare DuckDB, one query a relation",
    "dbt-spark, one model a tag",
)
SAMPLE = "cdp tags compile --check --sample --all, inside a process"
SEARCH, SEARCHED = "cdp tags search, inside a process", 3_000
SETTINGS = "packs: {base: false, bank: false, retail: false, interest: false}\nspark: {driver_memory: 6g}\nengine: {memory: 8GB}\n"


@dataclass(frozen=True)
class Tag:
    """One generated tag: the relation it counts, its measure, its condition and its window in days."""

    code: str
    relation: str
    measure: str
    of: str
    where: str
    days: int
    kind: str

    @property
    def columns(self) -> set[str]:
        """The columns of its relation that the tag reads, its day apart."""
        columns = {"channel"} if "channel" in self.where else set()
        return columns | {self.where.split(" = ")[0]} | ({self.of} if self.of else set())

    def bare_sql(self) -> str:
        """Give the aggregate as it is written by hand; ``day`` is the row's date."""
        condition = f"{self.where} AND day > DATE '{DAY}' - {self.days}"
        value_sql = f"CASE WHEN {condition} THEN {self.of or 1} END"
        value = (
            f"count(DISTINCT {value_sql})"
            if self.measure == "count_distinct"
            else f"{self.measure}({value_sql})"
        )
        return f"coalesce({value}, 0)" if self.measure == "sum" else value


def generated_tags(count: int) -> list[Tag]:
    """Give so many tags, half over transactions and half over events, no two of them equal."""
    windows = (7, 14, 30, 45, 60, 90, 120, 180, 365)
    tags = []
    for number in range(count):
        relation, at = ("transactions", "events")[number % 2], number // 2
        texts = TYPES if relation == "transactions" else EVENTS
        column = "transaction_type" if relation == "transactions" else "event_name"
        wheres = [f"{column} = '{text}'" for text in texts]
        wheres += [f"{column} = '{text}' AND channel = '{channel}'" for text in texts for channel in CHANNELS]
        amount = "amount_base" if relation == "transactions" else "amount"
        measures = [
            ("count", "", "int"),
            ("sum", amount, "decimal"),
            ("max", amount, "decimal"),
            ("count_distinct", "channel", "int"),
        ]
        # A step that shares no factor with the number of choices meets each of them once, and all kinds early.
        rest = at * STEP % (len(wheres) * len(windows) * len(measures))
        where, rest = wheres[rest % len(wheres)], rest // len(wheres)
        days, rest = windows[rest % len(windows)], rest // len(windows)
        measure, of, kind = measures[rest]
        tags.append(Tag(f"tag_{number:04}", relation, measure, of, where, days, kind))
    return tags


def run(repeats: int) -> Outcome:
    """Measure each way for each number of tags, beside one another."""
    del repeats
    rows: list[Row] = []
    notes: list[str] = []
    with tempfile.TemporaryDirectory(prefix="many_tags_", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        generate(folder / "bank")
        for count in COUNTS:
            (folder / "count").write_text(str(count))
            digests = set()
            for way, title in (
                ("bare", BARE),
                ("product", PRODUCT),
                ("sample", SAMPLE),
                ("models", MODEL_PER_TAG),
            ):
                if way == "models" and count != COUNTS[0]:
                    continue
                answer = in_process(__name__, way, folder, limit=LIMIT)
                if "wrong" in answer:
                    notes.append(f"{count} tags, {title}: {answer['wrong']}")
                    continue
                factor = count / MODELS if way == "models" else 1
                if "digest" in answer:
                    digests.add(answer["digest"])
                rows.append(Row(
                    f"{count:,} tags", title, [answer["seconds"] * factor], cpu_seconds=[answer["cpu_seconds"] * factor],
                    peak_mb=answer["peak_mb"], is_equal=len(digests) == 1 if way == "product" else None, note=answer.get("note", ""),
                ))  # fmt: skip
        (folder / "count").write_text(str(SEARCHED))
        answer = in_process(__name__, "search", folder, limit=LIMIT)
        if "wrong" in answer:
            notes.append(f"{SEARCH}: {answer['wrong']}")
        else:
            rows.append(Row(
                f"{SEARCHED:,} tags", SEARCH, answer["all_seconds"], first_seconds=answer["first_seconds"],
                peak_mb=answer["peak_mb"], note=answer["note"],
            ))  # fmt: skip
    notes += [
        f"{PEOPLE:,} people, {ROWS:,} transactions and {ROWS:,} events in {HISTORY_DAYS} days. `{PRODUCT}` is a whole step of a night: "
        "it also tests keys, measures every tag, keeps history and writes four tables.",
        f"`{MODEL_PER_TAG}`: {MODELS} models are run by `dbt run`, its time is given for all of them. Nothing joins them.",
    ]
    return Outcome(rows, notes)


# ---------------------------------------------------------------------------- what is measured


def product(folder: Path) -> dict[str, Any]:
    """Run the tags step as a night does."""
    import tags
    from lakehouse.tables.lake import open_lake
    from tags.build.computation import build_tags
    from tags.compile.compilation import compile_tags

    settings, site_tags = _site(folder)
    lake = open_lake(settings, contracts=tags.tag_contracts(settings))
    result, times = _timed(lambda: build_tags(lake, DAY))
    writer = compile_tags(settings.workspace)
    note = f"{result.nodes} dbt nodes, {len(writer.plan.scans)} scans"
    return {**times, "digest": _digest(settings, [tag.code for tag in site_tags]), "note": note}


def bare(folder: Path) -> dict[str, Any]:
    """Run what is written by hand, over the files of the same tables, into one Parquet file."""
    import duckdb

    settings, site_tags = _site(folder)
    connection = duckdb.connect()
    target = folder / "bare.parquet"

    def compute() -> None:
        connection.execute(bare_sql(settings, site_tags, target))

    _, times = _timed(compute)
    return {**times, "digest": _digest_of(f"read_parquet('{target}')", [tag.code for tag in site_tags])}


def bare_sql(settings: Settings, site_tags: list[Tag], target: Path) -> str:
    """Give the query by hand."""

    def files(table: str) -> str:
        database, name = table.split(".")
        return f"read_parquet('{settings.lake / database / name}/**/*.parquet', hive_partitioning=false)"

    sources = {
        "transactions": f"{files('trusted.transactions')} JOIN account_people USING (source, account_id)",
        "events": f"{files('trusted.events')} JOIN members USING (source, source_key)",
    }
    days = {"transactions": "transacted_on", "events": "occurred_on"}
    parts = {}
    for relation, source in sources.items():
        own = [tag for tag in site_tags if tag.relation == relation]
        first = f"day > DATE '{DAY}' - {max(tag.days for tag in own)}"
        columns = ", ".join(f"{tag.bare_sql()} AS {tag.code}" for tag in own)
        parts[relation] = (
            f"SELECT one_id, {columns} FROM (SELECT *, {days[relation]} AS day FROM {source}) WHERE {first} GROUP BY one_id"
        )
    values = ", ".join(
        f"coalesce({tag.code}, 0) AS {tag.code}" if tag.measure != "max" else tag.code for tag in site_tags
    )
    return (
        f"COPY (WITH members AS (SELECT source, source_key, one_id FROM {files('identity.memberships')}),\n"
        f"account_people AS (SELECT c.to_source AS source, c.to_key AS account_id, m.one_id FROM {files('trusted.relationships')} c\n"
        "  JOIN members m ON m.source = c.from_source AND m.source_key = c.from_key),\n"
        f"t AS ({parts['transactions']}),\ne AS ({parts['events']})\n"
        f"SELECT p.one_id, {values} FROM {files('identity.one_ids')} p\n"
        f"LEFT JOIN t USING (one_id) LEFT JOIN e USING (one_id)) TO '{target}'"
    )


def sample(folder: Path) -> dict[str, Any]:
    """Check all tags over a sample of people, before any night."""
    from tags.sample.tag_sample import sample_tags

    settings, _ = _site(folder)
    answer, times = _timed(lambda: sample_tags(settings, every=True))
    return {**times, "note": f"{answer.people:,} people"}


def search(folder: Path) -> dict[str, Any]:
    """Search a registry of thousands of tags; the first search after a change of it writes the list that the others read."""
    settings, _ = _site(folder)
    index = settings.generated / "tag_search.json"
    index.unlink(missing_ok=True)
    seconds = []
    for words in ("标签 1", "tag_0042", "data_platform 99", "card spend", "About tag_2"):
        tags, times = _timed(partial(_met_tags, settings.workspace, index, words))
        seconds.append(times["seconds"])
    return {
        "first_seconds": seconds[0],
        "all_seconds": seconds[1:],
        "note": f"{len(tags):,} tags met the last words",
    }


def _met_tags(workspace: Path, index: Path, words: str) -> list[Any]:
    from tags.search import search_tags, searchable_tags

    return search_tags(searchable_tags(workspace, index), words)


def models(folder: Path) -> dict[str, Any]:
    """Run ten models of a plain dbt-spark project."""
    from dbt.cli.main import dbtRunner

    from lakehouse.session.session import start_session, stop_session

    settings, site_tags = _site(folder)
    project = folder / "plain"
    shutil.rmtree(project, ignore_errors=True)
    (project / "models").mkdir(parents=True)
    (project / "dbt_project.yml").write_text(
        "name: plain\nprofile: plain\nversion: 1.0.0\nmodel-paths: [models]\n"
    )
    (project / "profiles.yml").write_text(
        "plain: {target: s, outputs: {s: {type: spark, method: session, schema: plain, host: NA, threads: 2}}}\n"
    )
    spark = start_session(settings, name="benchmarks")
    for table in ("trusted.transactions", "trusted.events", "trusted.relationships", "identity.memberships"):
        database, name = table.split(".")
        spark.read.format("delta").load(str(settings.lake / database / name)).createOrReplaceTempView(name)
    for tag in site_tags[:MODELS]:
        source, day = (
            (
                "transactions r JOIN relationships c ON c.to_source = r.source AND c.to_key = r.account_id"
                " JOIN memberships m ON m.source = c.from_source AND m.source_key = c.from_key",
                "transacted_on",
            )
            if tag.relation == "transactions"
            else ("events r JOIN memberships m USING (source, source_key)", "occurred_on")
        )
        sql = tag.bare_sql().replace("day >", f"{day} >")
        (project / "models" / f"{tag.code}.sql").write_text(
            "{{ config(materialized='table', file_format='delta') }}\n"
            + f"SELECT m.one_id, {sql} AS {tag.code} FROM {source} GROUP BY m.one_id\n"
        )
    arguments = [
        "--project-dir",
        str(project),
        "--profiles-dir",
        str(project),
        "--log-level",
        "none",
        "--no-version-check",
    ]

    def compute() -> None:
        outcome = dbtRunner().invoke(["run", *arguments])
        if not outcome.success:
            raise RuntimeError(str(outcome.exception or outcome.result))

    _, times = _timed(compute)
    stop_session(wait=True)
    return {**times, "note": f"{MODELS} models measured"}


def _site(folder: Path) -> tuple[Settings, list[Tag]]:
    """Write the tags of the workspace and give its settings."""
    from lakehouse.settings.settings import load_settings

    site_tags = generated_tags(int((folder / "count").read_text()))
    place = folder / "bank" / "tags"
    place.mkdir(exist_ok=True)
    for file in place.glob("many_*.yml"):
        file.unlink()
    for first in range(0, len(site_tags), TAGS_A_FILE):
        text = "family: site\ntags:\n" + "".join(map(_entry, site_tags[first : first + TAGS_A_FILE]))
        (place / f"many_{first:04}.yml").write_text(text, encoding="utf-8")
    return load_settings(folder / "bank"), site_tags


def _entry(tag: Tag) -> str:
    value = {"int": "{type: int}", "decimal": "{type: decimal}"}[tag.kind]
    of = f", of: {tag.of}" if tag.of else ""
    rule = "NA" if tag.measure == "max" else "Z"
    default = "" if tag.measure == "max" else "    default: 0\n"
    return (
        f"  - code: {tag.code}\n    name: {{zh: 标签{tag.code}, en: {tag.code}}}\n    definition: {{zh: 标签{tag.code}的说明, en: About {tag.code}}}\n"
        f"    kind: fact\n    value: {value}\n    null_rule: {rule}\n{default}    level: C2\n    purposes: [service]\n"
        f"    inputs: [{', '.join(sorted(f'trusted.{tag.relation}.{column}' for column in tag.columns))}]\n"
        f'    compute: {{aggregate: {{from: trusted.{tag.relation}, measure: {tag.measure}{of}, where: "{tag.where}", window_days: {tag.days}}}}}\n'
        "    owner: data_platform\n    version: 1.0.0\n    status: online\n"
    )


def _digest(settings: Settings, codes: list[str]) -> str:
    from lakehouse.query.desk import open_newest

    with open_newest(settings) as desk:
        return _sums(lambda sql: desk.rows(sql), "tags.customer_tags", codes)


def _digest_of(relation: str, codes: list[str]) -> str:
    import duckdb

    return _sums(lambda sql: duckdb.connect().execute(sql).fetchall(), relation, codes)


def _sums(rows: Callable[[str], list[tuple[Any, ...]]], relation: str, codes: list[str]) -> str:
    """Give one word for all cells, whatever their order and their type's scale."""
    words = ", ".join(f"sum(hash(one_id, CAST({code} AS DECIMAL(38, 2))) % 1000000007)" for code in codes)
    return str(hash(tuple(int(x) for x in rows(f"SELECT {words} FROM {relation}")[0])))


def _timed(do: Callable[[], Any]) -> tuple[Any, dict[str, float]]:
    import psutil

    def cpu() -> float:
        times = [p.cpu_times() for p in (psutil.Process(), *psutil.Process().children(recursive=True))]
        return sum(one.user + one.system for one in times)

    began, busy = time.perf_counter(), cpu()
    answer = do()
    return answer, {"seconds": time.perf_counter() - began, "cpu_seconds": cpu() - busy}


# ---------------------------------------------------------------------------- the data


def generate(folder: Path) -> None:
    """Write a workspace whose lake has the people, their accounts, transactions and events, and a publication."""
    import tags
    from benchmarks.reading.segment_preview import _whole
    from jobs.workspace.make import make_workspace
    from lakehouse.ledger.ledger import publish
    from lakehouse.settings.settings import load_settings
    from lakehouse.tables.lake import open_lake

    make_workspace(folder, None)
    (folder / "cdp.yml").write_text(SETTINGS)
    settings = load_settings(folder)
    lake = open_lake(settings, contracts=tags.tag_contracts(settings))
    for table, columns in _tables(np.random.default_rng(SEED)):
        size = len(next(iter(columns.values())))
        lake.append(table, _whole(lake.contracts.get(table).arrow_schema(), columns, size))
    publish(lake, DAY, "generated", {})


def _tables(random: np.random.Generator) -> Iterator[tuple[str, dict[str, pa.Array]]]:
    import pyarrow as pa
    import pyarrow.compute as pc

    def same(value: object, size: int) -> pa.Array:
        return pa.repeat(pa.scalar(value), size)

    def texts(numbers: np.ndarray) -> pa.Array:
        return pa.array(numbers).cast(pa.string())

    def words(choices: tuple[str, ...], size: int) -> pa.Array:
        return pa.array(choices).take(pa.array(random.integers(0, len(choices), size)))

    people = np.arange(PEOPLE)
    one_ids, keys, core = pa.array(FIRST_ONE_ID + people), texts(people), same("core", PEOPLE)
    yield "identity.one_ids", {
        "one_id": one_ids, "kind": same("customer", PEOPLE), "status": same("active", PEOPLE), "anchor_profile_id": pa.array(people),
        "created_on": same(DAY, PEOPLE), "profile_count": same(1, PEOPLE),
    }  # fmt: skip
    yield (
        "identity.memberships",
        {
            "one_id": one_ids,
            "source": core,
            "source_key": keys,
            "profile_id": pa.array(people),
            "valid_from": same(DAY, PEOPLE),
        },
    )
    yield "trusted.customers", {"source": core, "source_key": keys, "kind": same("customer", PEOPLE)}
    accounts = int(PEOPLE * ACCOUNTS_PER_PERSON)
    owners = np.concatenate([people, random.integers(0, PEOPLE, accounts - PEOPLE)])
    numbers = texts(np.arange(accounts))
    yield (
        "trusted.accounts",
        {
            "source": same("core", accounts),
            "account_id": numbers,
            "account_type": same("current", accounts),
            "currency": same("CNY", accounts),
            "status": same("open", accounts),
        },
    )
    yield "trusted.relationships", {
        "source": same("core", accounts), "from_source": same("core", accounts), "from_key": texts(owners), "relationship_type": same("person_account", accounts),
        "role": same("owner", accounts), "to_source": same("core", accounts), "to_key": numbers,
    }  # fmt: skip
    first = np.datetime64(DAY - dt.timedelta(days=HISTORY_DAYS - 1))
    for begin in range(0, ROWS, BATCH):
        size = min(BATCH, ROWS - begin)
        for relation in ("trusted.transactions", "trusted.events"):
            days = pa.array(first + random.integers(0, HISTORY_DAYS, size).astype("timedelta64[D]"))
            cents = pa.array(np.maximum(1, random.lognormal(9.0, 1.2, size)).astype(np.int64)).cast(
                pa.decimal128(19, 0)
            )
            amount = pc.multiply(cents, pa.scalar(Decimal("0.01"))).cast(pa.decimal128(18, 2))
            common = {
                "source": same("core", size),
                "channel": words(CHANNELS, size),
                "_arrived_on": same(DAY, size),
                "currency": same("CNY", size),
                "amount": amount,
            }
            ids = texts(np.arange(begin, begin + size))
            if relation == "trusted.transactions":
                account = (accounts * random.random(size) ** 1.5).astype(np.int64)
                yield relation, {
                    **common, "transaction_id": ids, "account_id": texts(account), "transacted_on": days, "amount_base": amount,
                    "transacted_at": days.cast(pa.timestamp("us", tz="UTC")), "direction": words(("credit", "debit"), size), "transaction_type": words(TYPES, size),
                    "initiator": same("C", size), "is_reversal": same(False, size),
                }  # fmt: skip
            else:
                person = (PEOPLE * random.random(size) ** 1.5).astype(np.int64)
                yield relation, {
                    **common, "event_id": ids, "source_key": texts(person), "event_name": words(EVENTS, size), "occurred_on": days,
                    "occurred_at": days.cast(pa.timestamp("us", tz="UTC")), "is_success": same(True, size),
                }  # fmt: skip


def main() -> None:
    """Answer one way in this process; see ``benchmarks.processes``."""
    folder = Path(sys.argv[2])
    write_answer(
        folder,
        {"bare": bare, "product": product, "sample": sample, "models": models, "search": search}[sys.argv[1]](
            folder
        ),
    )


if __name__ == "__main__":
    main()
