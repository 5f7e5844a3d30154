"""Writes the whole dbt project of a workspace: the product's models, the generated ones and the site's own.

Paths are relative and texts depend on the registry, the contracts and nothing else, so that what is written for
the demo bank can be committed (``dbt_project/compiled``) and compared.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from lakehouse.contracts.contract import DBT_DATABASE, Contract
from lakehouse.contracts.reading import FOLDER as CONTRACTS
from lakehouse.contracts.reading import build_contract, contract, contract_names
from lakehouse.errors import SettingsInvalid
from lakehouse.settings.settings import Settings
from tags.build.dialect import duckdb_model_of
from tags.compile.compilation import Compilation, compile_tags
from tags.compile.compiler import ROWS_OF_WIDE, Writer, rows_of_scan
from tags.compile.places import PROJECT
from tags.compile.sql_text import CUT_POINTS, note
from vocabulary.entities import PERSON, TAG_ENTITIES, Entity
from vocabulary.relations import RELATED

CURRENT = PERSON.current
DAILY = PERSON.daily
COMPILED = PROJECT / "compiled"
MARTS = PROJECT / "models" / "marts"
PROJECT_NAME = "cdp"
LINKED = "linked"
# What the target of DuckDB builds: the same models in its words.
DUCKDB = "duckdb"
# Named as no database of the lake is: DuckDB calls the file by it, beside the schemas inside.
DATABASE = "models.duckdb"
TIME_ZONE = "Asia/Shanghai"
_DUMPER = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
_SOURCE = re.compile(r"source\(\s*'(\w+)'\s*,\s*'(\w+)'\s*\)")


def write_project(
    compilation: Compilation,
    folder: Path,
    settings: Settings,
    texts_of_reader: Mapping[str, str] | None = None,
) -> list[Path]:
    """Write the dbt project into ``folder`` and give its files; files of tags that are gone are removed.

    Its two targets are ``spark`` and, where every model can be said there, ``duckdb``. ``texts_of_reader`` stand in the
    place of the files that they name.

    The product's and the site's own models are linked, not named by ``../`` paths: dbt repeats a model's path below
    its target folder, and from there ``../`` would lead out of the workspace.
    """
    texts = {
        **project_files(compilation),
        "profiles.yml": yaml_text(profile(settings)),
        **(texts_of_reader or {}),
    }
    if reason_for_spark(compilation) is None:
        texts |= duckdb_files(compilation)
    (folder / LINKED).mkdir(parents=True, exist_ok=True)
    for name, source in _links(compilation).items():
        link = folder / LINKED / name
        if not link.is_symlink() or link.readlink() != source:
            # A workspace that was copied may hold the files that a link led to.
            if link.is_dir() and not link.is_symlink():
                shutil.rmtree(link)
            link.unlink(missing_ok=True)
            link.symlink_to(source, target_is_directory=True)
    for generated in (folder / "models", folder / DUCKDB):
        for old in sorted(generated.rglob("*")) if generated.is_dir() else []:
            if old.is_file() and old.relative_to(folder).as_posix() not in texts:
                old.unlink()
    for name, text in texts.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        if not file.is_file() or file.read_text(encoding="utf-8") != text:
            # Whoever reads the project meanwhile sees the whole text or the one before.
            part = file.with_name(f".{file.name}.{os.getpid()}")
            part.write_text(text, encoding="utf-8")
            part.replace(file)
    return [folder / name for name in texts]


@lru_cache(maxsize=4)
def project_files(compilation: Compilation) -> Mapping[str, str]:
    """Give the text of every file of the dbt project by its path below the project, but for the target of DuckDB.

    Its profile is that of a workspace without settings of its own.
    """
    files = {
        "dbt_project.yml": yaml_text(project(compilation)),
        "profiles.yml": yaml_text(profile(None)),
        "models/sources.yml": yaml_text(_sources(compilation)),
        "models/tags.yml": yaml_text(_documentation(compilation)),
    }
    files |= {f"models/{name}.sql": text for name, text in _generated(compilation).items()}
    for writer in compilation.writers:
        files[f"models/{writer.entity.wide_model}.sql"] = writer.wide_sql()
        for scan in writer.plan.scans:
            if scan.aggregated:
                files[f"models/{scan.model}.sql"] = writer.scan_sql(scan)
    return dict(sorted(files.items()))


@lru_cache(maxsize=4)
def duckdb_files(compilation: Compilation) -> Mapping[str, str]:
    """Give what the target of DuckDB builds, by path below the project; a model it cannot say raises ``SettingsInvalid``."""
    files = {
        f"{DUCKDB}/{name}": duckdb_model_of(name, text) if name.endswith(".sql") else text
        for name, text in project_files(compilation).items()
        if name.startswith("models/")
    }
    for link, folder in _links(compilation).items():
        if link == "macros":
            continue
        for file in sorted(folder.rglob("*")):
            if file.suffix not in (".sql", ".yml"):
                continue
            text = file.read_text(encoding="utf-8")
            name = f"{DUCKDB}/{LINKED}/{link}/{file.relative_to(folder).as_posix()}"
            files[name] = duckdb_model_of(str(file), text) if file.suffix == ".sql" else text
    return files


@lru_cache(maxsize=4)
def reason_for_spark(compilation: Compilation) -> str | None:
    """Give why only Spark can build the models of a workspace, as one sentence; None where DuckDB can."""
    try:
        duckdb_files(compilation)
    except SettingsInvalid as wrong:
        return str(wrong)
    return None


def yaml_text(tree: Any) -> str:
    """Give a generated file of YAML, with a note of what it is made from."""
    note = "# Written by `cdp tags compile`. Edit the registry or the contracts, not this file.\n"
    return note + yaml.dump(tree, Dumper=_DUMPER, sort_keys=False, allow_unicode=True, width=110)


def _generated(compilation: Compilation) -> dict[str, str]:
    """Give the generated models that are no scans of tags, by name."""
    return {**compilation.shared, **(compilation.marts.texts if compilation.marts else {})}


def _model_folders(compilation: Compilation) -> tuple[Path, ...]:
    """Give the folders of hand-written models; tags may read none of the marts, which read them."""
    return (*compilation.model_folders, *([MARTS] if compilation.marts else []))


def _links(compilation: Compilation) -> dict[str, Path]:
    """Give the folders the project reads from elsewhere, by the name of their link."""
    folders = _model_folders(compilation)
    models = {("site" if f.name == "models" else f.name): f.resolve() for f in folders}
    return models | {"macros": (PROJECT / "macros").resolve()}


def project(compilation: Compilation) -> dict[str, Any]:
    """Give the tree of ``dbt_project.yml``. Only a night says by ``work_root`` where Spark's tables lie."""
    return {
        "name": PROJECT_NAME,
        "version": "1.0.0",
        "config-version": 2,
        "profile": "cdp",
        "model-paths": [
            _of_target(path)
            for path in ("models", *(f"{LINKED}/{name}" for name in _links(compilation) if name != "macros"))
        ],
        "macro-paths": [f"{LINKED}/macros"],
        "test-paths": [],
        "seed-paths": [],
        "snapshot-paths": [],
        "analysis-paths": [],
        "models": {"cdp": {"+file_format": "parquet", "+location_root": "{{ var('work_root', none) }}"}},
        "flags": {"send_anonymous_usage_stats": False, "use_colors": False, "printer_width": 110},
    }


def _of_target(path: str) -> str:
    return f"{{{{ '{DUCKDB}/' if target.type == 'duckdb' else '' }}}}{path}"


def profile(
    settings: Settings | None,
    *,
    database: str = DATABASE,
    spark_conf: Mapping[str, str] | None = None,
    target: str = DUCKDB,
) -> dict[str, Any]:
    """Give the tree of ``profiles.yml``: DuckDB in the file ``database``, and the Spark session of this process.

    Where there is none, dbt starts one by ``spark_conf``.
    """
    spark: dict[str, Any] = {
        "type": "spark",
        "method": "session",
        "schema": DBT_DATABASE,
        "host": "NA",
        "threads": 2,
    }
    if spark_conf:
        spark["server_side_parameters"] = {
            name: without_templates(value) for name, value in spark_conf.items()
        }
    duckdb: dict[str, Any] = {
        "type": "duckdb",
        "path": database,
        "schema": DBT_DATABASE,
        "threads": 1,
        "settings": {
            "TimeZone": settings.time_zone if settings else TIME_ZONE,
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
        },
    }
    if settings and settings.engine.memory:
        duckdb["settings"]["memory_limit"] = settings.engine.memory
    if settings and settings.engine.spill:
        duckdb["settings"]["temp_directory"] = without_templates(settings.engine.spill)
    return {"cdp": {"target": target, "outputs": {"duckdb": duckdb, "spark": spark}}}


def without_templates(text: str) -> str:
    """Give a text of the site, such as a path, in which dbt sees no template; dbt renders profiles, and variables, too."""
    return text.replace("{", "{{ '{' }}")


def _sources(compilation: Compilation) -> dict[str, Any]:
    """Every trusted table, and of the other databases what the models name; all from the contracts."""
    names = {f"{database}.{table}" for database, table in _named_sources(compilation)} | set(
        contract_names("trusted")
    )
    blocks: dict[str, list[dict[str, Any]]] = {}
    for name in sorted(names):
        source = contract(name)
        about = {
            "name": source.table,
            "description": f"{source.description} Grain: {source.grain}.",
            "columns": [
                {"name": name, "description": column.description} for name, column in source.columns.items()
            ],
        }
        blocks.setdefault(source.database, []).append(about)
    return {
        "version": 2,
        "sources": [{"name": db, "schema": db, "tables": tables} for db, tables in sorted(blocks.items())],
    }


def _named_sources(compilation: Compilation) -> set[tuple[str, str]]:
    sources: set[tuple[str, str]] = set()
    for folder in _model_folders(compilation):
        for file in sorted(folder.rglob("*.sql")):
            sources |= set(_SOURCE.findall(file.read_text(encoding="utf-8")))
    for text in _generated(compilation).values():
        sources |= set(_SOURCE.findall(text))
    if any(param.cut_points for entry in compilation.entries for param in entry.params):
        database, _, table = CUT_POINTS.partition(".")
        sources.add((database, table))
    return sources


def source_tables(compilation: Compilation) -> list[str]:
    """Give the tables dbt reads, to be registered with Spark before it runs."""
    return sorted(
        {f"{db}.{table}" for db, table in _named_sources(compilation)} | set(contract_names("trusted"))
    )


def _documentation(compilation: Compilation) -> dict[str, Any]:
    models = [_documentation_of_wide(writer) for writer in compilation.writers]
    models += [
        {
            "name": scan.model,
            "description": rows_of_scan(scan),
            "config": {"meta": {"owner": "data_platform"}},
        }
        for plan in compilation.plans
        for scan in plan.scans
        if scan.aggregated
    ]
    return {"version": 2, "models": models}


def _documentation_of_wide(writer: Writer) -> dict[str, Any]:
    entity = writer.entity
    columns: list[dict[str, Any]] = [
        {"name": name, "description": column["description"]} for name, column in _own_columns(entity).items()
    ]
    columns += [
        {"name": e.code, "description": note(f"{e.name.zh} · {e.name.en}")} for e in writer.plan.entries
    ]
    return {
        "name": entity.wide_model,
        "description": f"{ROWS_OF_WIDE[entity.code].removesuffix(' on D.').removesuffix('.')}, with every online tag as of D.",
        "config": {"meta": {"owner": "data_platform"}},
        "columns": columns,
        "data_tests": [{"one_row_per": {"arguments": {"columns": list(entity.key)}}}],
    }


# ---------------------------------------------------------------------------- contracts of the wide tables


def wide_contract(compilation: Compilation, name: str) -> dict[str, Any]:
    """Give the contract tree of a wide table, such as ``tags.customer_tags`` or ``tags.product_tags_daily``, as the registry implies it."""
    entity = next(one for one in TAG_ENTITIES.values() if name in (one.current, one.daily))
    entries = [entry for entry in compilation.entries if entry.about == entity]
    daily = name == entity.daily
    columns: dict[str, dict[str, Any]] = _own_columns(entity)
    for entry in entries:
        columns[entry.code] = {
            "type": entry.value.spark_type,
            "level": entry.level,
            "description": f"{entry.name.en} ({entry.name.zh})",
        }
    columns["null_exceptions"] = {
        "type": "array<struct<tag:string,reason:string>>",
        "level": "C1",
        "description": "nulls whose reason is not the one of the tag's null rule, sorted by tag",
    }
    columns["as_of"] = {"type": "date", "required": True, "level": "C1", "description": "the business date"}
    whom, row, gaps = _WIDE_WORDS[entity.code]
    retention = {
        "days": 32,
        "deleted_by": "settings",
        "why": "a month of daily snapshots; older days can be rebuilt from facts",
    }
    return {
        "table": name,
        "description": f"Every online tag of every {whom}"
        + (", by business date." if daily else " as of the last business date."),
        "grain": f"one row per {'day and ' if daily else ''}{row}",
        "shape": "log" if daily else "derived",
        "key": ["as_of", *entity.key] if daily else list(entity.key),
        "owner": "data_platform",
        "partition_by": ["as_of"] if daily else [],
        "checked": False,
        **({"retention": retention} if daily else {}),
        "not_covered": [*gaps, "tags that are not online"],
        "columns": columns,
    }


# Of each entity what its wide table is about, what a row is, and what it leaves out.
_WIDE_WORDS: dict[str, tuple[str, str, list[str]]] = {
    "customer": ("known person", "OneID of kind customer or prospect", ["anonymous devices and cookies"]),
    "product": (
        "product (产品)",
        "source and product_id of trusted.products",
        ["products that only rows of other tables name"],
    ),
    "branch": (
        "branch (机构)",
        "source and branch_id of trusted.branches",
        ["branches that only rows of other tables name"],
    ),
    "employee": (
        "employee (员工)",
        "source and employee_id of trusted.employees",
        ["employees whom only rows of other tables name"],
    ),
    "company": (
        "company (企业)",
        "source and company_id of those to which somebody known belongs",
        ["companies to which nobody belongs on the business date"],
    ),
    "household": (
        "household (家庭)",
        "source and household_id of those to which somebody known belongs",
        ["households to which nobody belongs on the business date"],
    ),
}


def _own_columns(entity: Entity) -> dict[str, dict[str, Any]]:
    """Give the columns of a wide table that are no tags: those of its key, as their contract has them."""
    if entity.model is not None:
        ends = contract(RELATED).columns
        kinds = {
            "source": ("to_source", "the source of its key"),
            entity.key[1]: ("to_key", f"the key of the {entity.code} in that source"),
        }
        return {
            name: {"type": ends[end].type, "required": True, "level": ends[end].level, "description": text}
            for name, (end, text) in kinds.items()
        }
    if entity.table is None:
        return {
            "one_id": {"type": "bigint", "required": True, "level": "C1", "description": "the person"},
            "kind": {
                "type": "string", "required": True, "level": "C1",
                "description": "customer (has or had a contract) or prospect",
            },
        }  # fmt: skip
    columns = contract(entity.table).columns
    return {
        name: {
            "type": columns[name].type,
            "required": True,
            "level": columns[name].level,
            "description": columns[name].description,
        }
        for name in entity.key
    }


# The wide tables, of each entity the newest and the daily one; one whose entity has no tags is empty.
WIDE_TABLES = tuple(name for entity in TAG_ENTITIES.values() for name in (entity.current, entity.daily))


def wide_contracts(compilation: Compilation) -> list[Contract]:
    """Give the contracts of all wide tables for a workspace's registry."""
    return [build_contract(wide_contract(compilation, name), file="tags/registry") for name in WIDE_TABLES]


def product_files() -> dict[Path, str]:
    """Give what is committed of the compiler's output: the demo bank's project and the wide tables' contracts."""
    compilation = compile_tags(PROJECT.parent / "examples" / "bank")
    files = {COMPILED / name: text for name, text in project_files(compilation).items()}
    files |= {PROJECT / name: text for name, text in _files_of_clone(compilation).items()}
    for name in WIDE_TABLES:
        files[CONTRACTS / f"{name.replace('.', '/')}.yml"] = yaml_text(wide_contract(compilation, name))
    return files


def _files_of_clone(compilation: Compilation) -> dict[str, str]:
    """Give what lets dbt parse the product's own folder: the demo bank's models as they are committed, without a lake."""
    folders = [COMPILED / "models", *(folder.resolve() for folder in _model_folders(compilation))]
    paths = {
        "model-paths": [folder.relative_to(PROJECT.resolve()).as_posix() for folder in folders],
        "macro-paths": ["macros"],
    }
    return {
        "dbt_project.yml": yaml_text(project(compilation) | paths),
        "profiles.yml": yaml_text(profile(None, database=":memory:")),
    }


def refresh_product_files() -> list[Path]:
    """Rewrite the committed output of the compiler and give the files."""
    shutil.rmtree(COMPILED, ignore_errors=True)
    files = product_files()
    for file, text in files.items():
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    return list(files)


if __name__ == "__main__":
    refresh_product_files()
