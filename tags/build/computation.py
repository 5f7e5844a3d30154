"""One night's tags: compile, one ``dbt build`` into ``tags_work``, measure, and only then the tables readers see."""

from __future__ import annotations

import datetime as dt
import json
import logging
import os
import shutil
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lakehouse.contracts.contract import DBT_DATABASE, Bound
from lakehouse.contracts.reading import contract
from lakehouse.errors import GateStopped, StepFailed, memory_refusal
from lakehouse.expressions.duckdb import function_statements
from lakehouse.ledger.progress import show_progress
from lakehouse.query.database import export_tables, write_database
from lakehouse.query.desk import open_newest, open_scratch
from lakehouse.query.files import file_paths, parquet_sql
from lakehouse.query.words import identifier, literals, spark_literal
from lakehouse.session.parquet import parquet_frame
from lakehouse.session.session import sibling_session
from tags.build.causes import cause_of
from tags.build.changes import ENTITY_HISTORY, EVENTS, HISTORY, entity_changes, tag_changes, write_changes
from tags.build.cut_points import freeze_cut_points
from tags.build.engine import Engine, engine_for
from tags.build.lateness import LateTag, add_sources, carry_values, late_tags, night_before, tell_late
from tags.build.manifest import manifest_of
from tags.build.project import (
    CURRENT,
    DATABASE,
    WIDE_TABLES,
    source_tables,
    wide_contracts,
    without_templates,
    write_project,
)
from tags.build.retention import delete_old_days
from tags.catalogue import CATALOGUE, TagUsers, catalogue_rows, tell_switched_off
from tags.compile.compilation import Compilation, compile_tags, narrowed
from tags.compile.sql_text import CUT_POINTS
from tags.costs import TABLE as COSTS
from tags.costs import column_sizes, tag_costs
from tags.definitions import TABLE as DEFINITIONS
from tags.definitions import definition_rows, definitions_after, published_definitions, require_versions
from tags.quality.history import read_history
from tags.quality.judging import add_stability, judge_history, source_measures, tag_measures
from tags.quality.measures import measure_tags
from tags.quality.sources import read_sources, tables_read
from vocabulary.entities import OTHER_ENTITIES, PERSON, Entity

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import SparkSession

    from lakehouse.gates.gates import Measure
    from lakehouse.settings.settings import Settings
    from lakehouse.tables.lake import Lake

log = logging.getLogger("cdp.tags")

WORK = PERSON.work
QUALITY = "quality.tag_quality"
# The project that a night runs, below the folder of generated files; people have one of their own.
NIGHT = "night/dbt"
# What the check of money reads beside the wide model.
_OF_RECONCILE = ("int_account_owners",)
# Up to this many OneIDs every tag's answers fit into memory several times over, and the wide model's joins send
# them to every task. Above, Spark plans from what it measures while running.
SMALL_PEOPLE = 200_000
# A table of up to this many rows is read by one task: aggregating it then needs no exchange, and a third fewer stages.
SMALL_ROWS = 1_000_000
# With small people, planning anew after each of some sixty stages (32 against 25 CPU seconds for a handful of them)
# and asking Delta's statistics which files to skip cost more than they save.
_SMALL_CONF = {"spark.sql.adaptive.enabled": "false", "spark.databricks.delta.stats.skipping": "false"}


@dataclass(frozen=True)
class TagsResult:
    """What a night's tags came to: people with a row, and per tag how well it is filled."""

    people: int
    coverage: dict[str, Decimal | None]
    nodes: int
    reconciliation: dict[str, Decimal]

    def summary(self) -> dict[str, Any]:
        """Give ``{code: {coverage}}``; coverage is null where the tag applies to nobody."""
        return {
            code: {"coverage": None if ratio is None else float(ratio)}
            for code, ratio in self.coverage.items()
        }


def build_tags(
    lake: Lake,
    business_date: dt.date,
    allowances: Mapping[str, int] | None = None,
    *,
    only: Collection[str] | None = None,
    users: Mapping[str, TagUsers] | None = None,
) -> TagsResult:
    """Compute every online tag as of ``business_date`` and write the wide tables, the catalogue and quality.

    ``allowances`` are the days that a feed may be late by its own statement, ``users`` who uses a tag outside the registry.

    ``tags.customer_tags`` gets one row per OneID of kind customer or prospect, ``tags.customer_tags_daily`` the
    same under ``as_of``; products, branches and employees have such tables where they have tags. A value outside its domain, a null nobody can explain, or money that does not reconcile
    raises ``GateStopped`` before any of them is touched, and so does a look-up that finds two rows; a failing model raises
    ``StepFailed`` with its message.

    With ``only`` these tags are computed, and the others keep the values that the tables have for the same date and people.
    """
    whole = compile_tags(lake.settings.workspace)
    definitions = published_definitions(lake.settings)
    require_versions(whole.registry, definitions)
    tell_switched_off(lake.settings, whole.registry)
    compilation = whole if only is None else narrowed(whole, lake.settings.workspace, only)
    check_lookups(lake, compilation, business_date)
    lake.contracts.add(*wide_contracts(whole))
    lake.create(
        [*WIDE_TABLES, CATALOGUE, DEFINITIONS, QUALITY, COSTS, CUT_POINTS, HISTORY, EVENTS, ENTITY_HISTORY]
    )
    freeze_cut_points(lake, whole, business_date)
    project = lake.settings.generated / NIGHT
    write_project(compilation, project, lake.settings)
    sources = source_tables(compilation)
    engine = engine_for(lake, compilation, sources)
    selection = () if only is None else _selection(compilation)
    seconds = run_dbt(lake, project, business_date, sources, engine, selection=selection)
    log.info("%d tags in %d dbt nodes by %s", len(compilation.entries), len(seconds), engine)

    quality, measures = _quality_rows(lake, compilation, business_date, allowances or {})
    # What is held is of an earlier day than the balances, and does not add up with them.
    is_held = any(row["tag"] == "aum_eod" and row["value_on"] != business_date for row in quality)
    money = reconcile(lake) if _has_assets(compilation) and not is_held else {}
    _judge(lake, quality, money, broken_keys(lake, compilation), business_date, _tables_of(compilation))
    judge_history(lake, measures, business_date)

    for entity in (writer.entity for writer in compilation.writers if only is None or writer.plan.entries):
        frame = _work_rows(lake, engine, entity) if only is None else _merged_rows(lake, only, entity)
        lake.overwrite(entity.current, frame)
        lake.replace_partition(entity.daily, frame, as_of=business_date)
    if only is None:
        _empty_idle_tables(lake, whole)
    _write_rows(lake, CATALOGUE, catalogue_rows(whole, users))
    # From what was published, and not from what a night that was never finished left.
    definitions = definitions_after(definitions, whole.registry, business_date)
    _write_rows(lake, DEFINITIONS, definition_rows(definitions))
    own = [row for row in quality if only is None or row["tag"] in only]
    _write_rows(lake, QUALITY, own + _other_quality(lake, business_date, only), as_of=business_date)
    if only is None:
        _keep_changes(lake, compilation, business_date)
        delete_old_days(lake, business_date)
    people = quality[0]["people_count"] if quality and compilation.plan.entries else 0
    _write_costs(lake, compilation, seconds, business_date)
    return TagsResult(people, {row["tag"]: row["coverage_ratio"] for row in quality}, len(seconds), money)


def _write_costs(
    lake: Lake, compilation: Compilation, seconds: Mapping[str, float], business_date: dt.date
) -> None:
    """Keep what each tag cost; a diary like the ledger of attempts, which no publication names."""

    def row_count(name: str) -> int:
        if not name.startswith(f"{DBT_DATABASE}."):
            return lake.row_count(name)
        import pyarrow.parquet as pq

        return sum(pq.read_metadata(file).num_rows for file in Path(lake.path(name)).glob("*.parquet"))

    sizes: dict[str, int] = {}
    for writer in compilation.writers:
        columns = column_sizes(file_paths(lake.delta(writer.entity.current)))
        sizes |= {entry.code: columns.get(entry.code, 0) for entry in writer.plan.entries}
    costs = tag_costs(compilation, seconds, row_count, sizes)
    rows = [
        {"as_of": business_date, "tag": code, "seconds": cost.seconds, "bytes": cost.bytes}
        for code, cost in costs.items()
    ]
    _write_rows(lake, COSTS, rows, as_of=business_date)


def _keep_changes(lake: Lake, compilation: Compilation, business_date: dt.date) -> None:
    """Write what changed for whom since the night before."""
    with open_newest(lake.settings) as desk:
        rows = desk.define("wide", f"SELECT * FROM {CURRENT}")
        before = night_before(desk, business_date)
        changes = tag_changes(desk, rows, compilation.plan.entries, before, business_date)
        count = write_changes(lake, desk, changes, business_date)
        tables = [
            entity_changes(desk, writer.entity, writer.plan.entries, business_date)
            for writer in compilation.others
        ]
        rows_of_entities = [row for table in tables if table is not None for row in table.to_pylist()]
        if rows_of_entities or lake.row_count(ENTITY_HISTORY):
            _write_rows(lake, ENTITY_HISTORY, rows_of_entities, as_of=business_date)
    if before is not None:
        log.info("%d values of tags changed since %s", count, before.as_of)


def _empty_idle_tables(lake: Lake, compilation: Compilation) -> None:
    """Leave no row in the newest table of an entity that has no computed tag any more."""
    entities = [writer.entity for writer in compilation.writers]
    for entity in OTHER_ENTITIES:
        if entity not in entities and lake.row_count(entity.current):
            lake.overwrite(entity.current, lake.contracts.get(entity.current).arrow_schema().empty_table())


def check_lookups(lake: Lake, compilation: Compilation, business_date: dt.date) -> None:
    """Raise ``GateStopped`` where a look-up of a tag finds more than one row; the numbers are kept as those of any gate."""
    from lakehouse.gates.gates import judge_measures, measure

    bounds: dict[str, list[Bound]] = {}
    for step in (step for writer in compilation.writers for step in writer.lookups()):
        if step.bound not in bounds.setdefault(step.to, []):
            bounds[step.to].append(step.bound)
    if bounds:
        judge_measures(lake, "look_ups", bounds, measure(lake, bounds, business_date), business_date)


def _work_rows(lake: Lake, engine: Engine, entity: Entity = PERSON) -> Any:
    """Give what dbt computed: in memory where it fits, which spares two Spark jobs, else as Spark's frame."""
    import pyarrow.parquet as pq

    columns = list(lake.contracts.get(entity.current).columns)
    if engine == "duckdb" or _is_small(lake):
        return pq.read_table(lake.path(entity.work), columns=columns)
    return parquet_frame(lake.spark, lake.path(entity.work)).select(*columns)


def _selection(compilation: Compilation) -> tuple[str, ...]:
    """Give the words by which dbt builds what the tags of a compilation need, and nothing else."""
    wide_models = [writer.entity.wide_model for writer in compilation.writers if writer.plan.entries]
    names = (*wide_models, *(_OF_RECONCILE if _has_assets(compilation) else ()))
    return ("--select", *(f"+{name}" for name in names))


def _merged_rows(lake: Lake, codes: Collection[str], entity: Entity = PERSON) -> pa.Table:
    """Give the rows of the wide table with these tags as dbt computed them, and the others as they are."""
    own = set(codes)
    with open_newest(lake.settings, lake.settings.time_zone) as desk:
        new = desk.define("new_rows", _work_sql(lake, entity.work))
        columns = [
            f"{'n' if name in own else 'o'}.{identifier(name)}"
            for name in lake.contracts.get(entity.current).columns
            if name != "null_exceptions"
        ]
        is_own = f"list_contains([{literals(sorted(own))}], e.tag)" if own else "false"
        exceptions = (
            f"list_sort(list_concat(list_filter(o.null_exceptions, lambda e: NOT {is_own}),\n"
            f"  list_filter(n.null_exceptions, lambda e: {is_own}))) AS null_exceptions"
        )
        rows = desk.arrow(
            f"SELECT {', '.join(columns)}, {exceptions} FROM {entity.current} o JOIN {new} n USING ({', '.join(entity.key)})"
        )
    if rows.num_rows != lake.row_count(entity.current):
        raise StepFailed(f"the {entity.plural} of the tags that are there are others; compute all tags")
    return rows.select(list(lake.contracts.get(entity.current).columns))


def _other_quality(lake: Lake, business_date: dt.date, only: Collection[str] | None) -> list[dict[str, Any]]:
    """Give the measures of the tags that were not computed, as they are."""
    if only is None:
        return []
    online = {entry.code for entry in compile_tags(lake.settings.workspace).entries} - set(only)
    rows = lake.read_arrow(QUALITY, filters=[("as_of", "=", business_date)]).to_pylist()
    return [row for row in rows if row["tag"] in online]


def _is_small(lake: Lake) -> bool:
    return lake.row_count("identity.one_ids") <= SMALL_PEOPLE


# ---------------------------------------------------------------------------- dbt


@contextmanager
def child_session(spark: SparkSession, conf: dict[str, str]) -> Iterator[SparkSession]:
    """Lend dbt a session of its own: it turns ANSI off and changes the overwrite mode of the one it uses."""
    from pyspark.sql import SparkSession

    child = sibling_session(spark)
    for name, value in conf.items():
        child.conf.set(name, value)
    before = SparkSession._instantiatedSession
    folder = Path.cwd()
    SparkSession._instantiatedSession = child
    try:
        yield child
    finally:
        SparkSession._instantiatedSession = before
        os.chdir(folder)  # dbt moves into its project


def run_dbt(
    lake: Lake,
    project: Path,
    business_date: dt.date,
    sources: list[str],
    engine: Engine,
    *,
    command: tuple[str, ...] = (),
    selection: tuple[str, ...] = (),
    excluded: tuple[str, ...] = ("tag:mart",),
    identity: str = "today",
    compare_on: dt.date | None = None,
) -> dict[str, float]:
    """Run ``dbt build`` (or ``command``) inside this process and give the seconds of each node, of a model by its name.

    Marts read what tags came to, so a build leaves them out unless nothing is ``excluded``. It is quiet but for its log file. A build starts from an empty ``tags_work``: what dbt leaves there is plain Parquet, read once and then copied.
    """
    _log_folder(lake.settings).mkdir(parents=True, exist_ok=True)
    small = not command and _is_small(lake)
    work = lake.settings.lake / DBT_DATABASE
    variables = {
        "business_date": business_date.isoformat(),
        "work_root": without_templates(spark_literal(str(work))[1:-1]),
        "small": small,
        "identity": identity,
        **({"compare_on": compare_on.isoformat()} if compare_on else {}),
    }
    options = dbt_options(lake.settings, project, engine, variables)
    arguments = [
        *(command or ("build", *selection, "--exclude", "tag:deep", "test_type:unit", *excluded)),
        *options,
    ]
    if not command:
        shutil.rmtree(work, ignore_errors=True)

    def run() -> Any:
        from dbt.cli.main import dbtRunner

        manifest = manifest_of(project, engine, options, variables)
        return dbtRunner(manifest, callbacks=[_show_node]).invoke(arguments)

    if engine == "duckdb":
        outcome = _run_in_process(lake, project, sources, run, is_build=not command)
    else:
        outcome = _run_on_spark(lake, sources, run, small=small, is_build=not command)
    results = results_of(outcome, lake.settings)
    if engine == "duckdb" and not command:
        models = [r.node.name for r in results if r.node.resource_type == "model"]
        export_tables(lake.settings, project / DATABASE, DBT_DATABASE, models, work)
    return {
        (r.node.name if r.node.resource_type == "model" else r.node.unique_id): float(r.execution_time)
        for r in results
    }


def dbt_options(
    settings: Settings, project: Path, engine: Engine, variables: Mapping[str, object]
) -> list[str]:
    """Give the options of every command of dbt in this process: quiet but for its log file, nothing outside the project."""
    return [
        *("--target", engine, "--project-dir", str(project), "--profiles-dir", str(project)),
        *("--target-path", str(project / "target"), "--log-path", str(_log_folder(settings))),
        *(
            "--log-level",
            "none",
            "--log-level-file",
            "info",
            "--no-use-colors",
            "--no-version-check",
            "--no-write-json",
        ),
        *("--vars", json.dumps(variables)),
    ]


def results_of(outcome: Any, settings: Settings) -> list[Any]:
    """Give the results of dbt's nodes; the first that failed, or a dbt that could not run, raises ``StepFailed`` with its cause."""
    log_file = _log_folder(settings) / "dbt.log"
    results = list(getattr(outcome.result, "results", None) or [])
    for result in results:
        if str(result.status) in ("error", "fail", "runtime error"):
            raise memory_refusal(RuntimeError(result.message)) or StepFailed(
                f"the dbt node '{result.node.name}' failed: {cause_of(result.message)}; see {log_file}"
            )
    if not outcome.success:
        raise StepFailed(f"dbt could not run: {cause_of(str(outcome.exception))}; see {log_file}")
    return results


def _log_folder(settings: Settings) -> Path:
    return settings.generated / "logs"


def _run_in_process(
    lake: Lake, project: Path, sources: list[str], run: Callable[[], Any], *, is_build: bool
) -> Any:
    """Run dbt on DuckDB, over a database of views made for this night."""
    write_database(
        lake.settings, project / DATABASE, sources, function_statements(), schema=DBT_DATABASE, anew=is_build
    )
    with dbt_on_duckdb(project):
        return run()


@contextmanager
def dbt_on_duckdb(project: Path) -> Iterator[None]:
    """Let dbt work in this process on the database of a project: the profile names it by where it lies."""
    from dbt.adapters.duckdb.connections import DuckDBConnectionManager

    folder = Path.cwd()
    os.chdir(project)
    try:
        yield
    finally:
        # It would keep the file open, and take the next workspace's for it.
        DuckDBConnectionManager.close_all_connections()
        os.chdir(folder)


def _run_on_spark(
    lake: Lake, sources: list[str], run: Callable[[], Any], *, small: bool, is_build: bool
) -> Any:
    if is_build:
        lake.spark.sql(f"DROP DATABASE IF EXISTS {DBT_DATABASE} CASCADE")
    if not small:
        lake.register(sources)
    with child_session(lake.spark, _SMALL_CONF if small else {}) as child:
        if small:
            _view_files(lake, child, sources)
        return run()


def _show_node(event: Any) -> None:
    """Show which of dbt's nodes begins; its other events have no place among a total."""
    if event.info.name == "LogStartLine":
        node = event.data
        show_progress(node.index, node.total, node.node_info.node_name)


def _view_files(lake: Lake, child: SparkSession, sources: list[str]) -> None:
    """Make a temporary view ``<database>__<table>`` over the files of each table's newest version."""
    for name in sources:
        schema = lake.contracts.get(name).spark_schema()
        files = file_paths(lake.delta(name))
        rows = (
            parquet_frame(child, *files, schema=schema, base=lake.path(name))
            if files
            else child.createDataFrame([], schema)
        )
        if lake.row_count(name) <= SMALL_ROWS:
            rows = rows.coalesce(1)
        rows.createOrReplaceTempView(name.replace(".", "__"))


# ---------------------------------------------------------------------------- judging


def _quality_rows(
    lake: Lake, compilation: Compilation, business_date: dt.date, allowances: Mapping[str, int]
) -> tuple[list[dict[str, Any]], list[Measure]]:
    """Give the rows of ``quality.tag_quality`` of what dbt built, after values are held, and what is judged by history."""
    entries, registry = compilation.entries, compilation.registry
    tables = {entry.code: tables_read(registry, entry) for entry in entries}
    rows: list[dict[str, Any]] = []
    late: list[LateTag] = []
    with open_newest(lake.settings) as desk:
        sources = read_sources(desk, set().union(*tables.values()), business_date, allowances)
        for plan in compilation.plans:
            entity, work = plan.entity, plan.entity.work
            before = night_before(desk, business_date, entity)
            wide = desk.define(f"wide rows of {entity.plural}", _work_sql(lake, work))
            late_of_entity = late_tags(registry, plan.entries, sources, before, business_date)
            if carry_values(desk, Path(lake.path(work)), wide, plan.entries, late_of_entity, before, entity):
                wide = desk.define(f"wide rows of {entity.plural}", _work_sql(lake, work))
            rows += measure_tags(desk, wide, plan, business_date, before.rows if before else None)
            late += late_of_entity
        tell_late(late, sources, tables)
        add_sources(rows, sources, late, tables, business_date)
        history = read_history(desk, business_date)
    add_stability(entries, rows, history)
    measures = [
        *tag_measures(lake.settings, entries, rows, history, tables),
        *source_measures(lake.settings, entries, sources, tables),
    ]
    return rows, measures


def _work_sql(lake: Lake, table: str) -> str:
    """Give SQL that reads the Parquet files that dbt left of a table."""
    return parquet_sql(sorted(Path(lake.path(table)).glob("*.parquet")))


def _has_assets(compilation: Compilation) -> bool:
    return any(entry.code == "aum_eod" for entry in compilation.plan.entries)


def reconcile(lake: Lake) -> dict[str, Decimal]:
    """Give the totals that must agree: what tags say people own, what nobody known owns, and what the accounts hold.

    ``balances`` is summed from the trusted balances (latest day, then latest arrival, per account and class), not
    from the spans that the tags read, and by another engine, so that the two ways check one another.
    """
    with open_newest(lake.settings) as desk:
        tagged = desk.define("tagged_people", _work_sql(lake, WORK))
        owners = desk.define("account_owners", _work_sql(lake, "tags_work.int_account_owners"))
        totals = desk.rows(
            f"""
            WITH latest AS (
                SELECT source, account_id, product_class,
                       arg_max_null(balance_base, row(balance_on, _arrived_on, _file, _row)) AS balance
                FROM trusted.balances CROSS JOIN (SELECT max(as_of) AS as_of FROM {tagged})
                WHERE _arrived_on <= as_of AND balance_on <= as_of AND product_class NOT IN ('custody', 'loan')
                GROUP BY source, account_id, product_class
            ),
            owned AS (
                SELECT latest.balance, people.one_id
                FROM latest
                LEFT JOIN {owners} owners ON owners.source = latest.source AND owners.account_id = latest.account_id
                LEFT JOIN {tagged} people ON people.one_id = owners.one_id
            )
            SELECT (SELECT coalesce(sum(aum_eod), 0) FROM {tagged}),
                   coalesce(sum(CASE WHEN one_id IS NULL THEN balance END), 0),
                   coalesce(sum(balance), 0)
            FROM owned
            """
        )[0]
    return {
        name: Decimal(value) for name, value in zip(("tagged", "unassigned", "balances"), totals, strict=True)
    }


def broken_keys(lake: Lake, compilation: Compilation) -> dict[str, int]:
    """Give by model the rows that its key does not name: nulls in it, and rows beyond the first of a key.

    Every model that dbt stored as a table is looked at, by DuckDB, in milliseconds. The others are parts of one statement
    each; to test their keys, Spark computes each of them once more.
    """
    counts = {}
    with open_scratch(folders=[lake.settings.lake]) as desk:
        for name, source in compilation.models.items():
            if not source.key or not Path(lake.path(f"tags_work.{name}")).is_dir():
                continue
            columns = [identifier(column) for column in source.key]
            has_key = " AND ".join(f"{column} IS NOT NULL" for column in columns)
            counts[name] = desk.value(
                f"SELECT count(*) - count(DISTINCT CASE WHEN {has_key} THEN row({', '.join(columns)}) END) "
                f"FROM ({_work_sql(lake, f'tags_work.{name}')})"
            )
    return counts


def _judge(
    lake: Lake,
    quality: list[dict[str, Any]],
    money: dict[str, Decimal],
    keys: dict[str, int],
    business_date: dt.date,
    tables: Mapping[str, str] | None = None,
) -> None:
    """Stop the night on values nobody defined or money that does not add up, and keep the numbers either way.

    ``tables`` are the wide tables of the tags by code; a tag without one is of people.
    """
    from lakehouse.gates.gates import judge_measures

    outside = [row["tag"] for row in quality if row["outside_domain_count"]]
    unexplained = [row["tag"] for row in quality if row["unexplained_count"]]
    models = [name for name, count in keys.items() if count]
    bounds = [
        Bound(
            "outside_domain",
            "tags.quality",
            "a value outside the registry's domain means something nobody defined",
            max=0,
        ),
        Bound(
            "unexplained_nulls",
            "tags.quality",
            "a null has a reason: something that the tag reads is missing, or its null_when holds",
            max=0,
        ),
        Bound("broken_keys", "tags.computation.broken_keys", "a row of a model is one of its key", max=0),
    ]
    bounds_of = dict.fromkeys(sorted({*(tables or {}).values()} - {CURRENT}), bounds[:2]) | {CURRENT: bounds}
    measures: dict[tuple[str, str], float | None] = {(CURRENT, "broken_keys"): float(sum(keys.values()))}
    for table in bounds_of:
        rows = [row for row in quality if (tables or {}).get(row["tag"], CURRENT) == table]
        measures[table, "outside_domain"] = float(sum(row["outside_domain_count"] for row in rows))
        measures[table, "unexplained_nulls"] = float(sum(row["unexplained_count"] for row in rows))
    if money:
        bounds.append(
            Bound(
                "aum_difference",
                "tags.computation.reconcile",
                "people's assets and unassigned money are all the money",
                min=0,
                max=0,
            )
        )
        bounds.append(
            Bound("aum_unassigned_ratio", "tags.computation.reconcile", "money of accounts without a known owner is in nobody's tags",
                  max=0.2, severity="warn")
        )  # fmt: skip
        difference = money["tagged"] + money["unassigned"] - money["balances"]
        measures[CURRENT, "aum_difference"] = float(difference)
        whole = money["balances"]
        measures[CURRENT, "aum_unassigned_ratio"] = float(money["unassigned"] / whole) if whole else 0.0
    try:
        judge_measures(lake, "tag_values", bounds_of, measures, business_date)
    except GateStopped as stopped:
        where = "; ".join(
            f"{what}: {', '.join(codes[:5])}"
            for what, codes in (("outside", outside), ("unexplained", unexplained), ("keys", models))
            if codes
        )
        raise GateStopped(f"{stopped.message}{f' [{where}]' if where else ''}") from None


def _tables_of(compilation: Compilation) -> dict[str, str]:
    """Give by code the wide table of every computed tag."""
    return {entry.code: entry.about.current for entry in compilation.entries}


def _write_rows(lake: Lake, table: str, rows: list[dict[str, Any]], **equals: Any) -> None:
    import pyarrow as pa

    frame = pa.Table.from_pylist(rows, schema=contract(table).arrow_schema())
    if equals:
        lake.replace_partition(table, frame, **equals)
    else:
        lake.overwrite(table, frame)
