"""The dbt project for a person who works with dbt: ``<workspace>/.cdp/dbt``, over the tables of the published night.

A night has a project, a database and folders of its own, so nothing that is done here meets it. What a person
builds stands in a DuckDB file of this project, or in a catalogue of Spark below it, and never in the lake: sources are
views over the published files, or Delta tables at their published versions.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from lakehouse.contracts.contract import DBT_DATABASE
from lakehouse.errors import UsageError
from lakehouse.expressions.duckdb import function_statements
from lakehouse.query.database import replacement, write_database
from lakehouse.query.published import Publication
from lakehouse.session.session import conf_for_reader
from lakehouse.settings.file_rights import closed_files
from lakehouse.settings.settings import Settings
from lakehouse.settings.written_files import require_foreign_folder
from lakehouse.settings.yaml_files import load_plain_yaml
from tags.build.project import (
    DATABASE,
    DUCKDB,
    LINKED,
    PROJECT_NAME,
    profile,
    project,
    reason_for_spark,
    source_tables,
    without_templates,
    write_project,
    yaml_text,
)
from tags.compile.compilation import Compilation, compile_tags

# Below the folder of generated files.
USER = "dbt"
DATABASE_FOLDER = "databases"
SPARK = "spark"


def user_folder(settings: Settings) -> Path:
    """Give the folder of the project."""
    return settings.generated / USER


def own_project_folder(settings: Settings, folder: Path) -> Path:
    """Give a folder that a user names for a project: new, empty, or a project that was written before; another raises ``UsageError``.

    Old models of a project are removed, so that a folder of somebody else's would lose files.
    """
    place = require_foreign_folder(settings, folder)
    if not place.exists() or not any(place.iterdir()):
        return place
    file = place / "dbt_project.yml"
    tree = load_plain_yaml(file) if file.is_file() else None
    is_own = isinstance(tree, dict) and tree.get("name") == PROJECT_NAME and (place / LINKED).is_dir()
    if not is_own or any(
        (place / name).is_symlink() for name in ("dbt_project.yml", LINKED, "models", DUCKDB)
    ):
        raise UsageError("is no project that cdp wrote; name a new folder, nothing was written", file=folder)
    return place


def write_user_project(
    settings: Settings, publication: Publication | None, *, is_checked: bool = True
) -> list[Path]:
    """Write the project and its database over a publication, where they are not yet; give the project's files.

    Without a publication the project can be parsed and has nothing to read. ``UsageError`` where the models read a table
    that was not published. Without ``is_checked`` the tags are not verified, which a night has done.
    """
    compilation = compile_tags(settings.workspace, is_checked=is_checked)
    folder = user_folder(settings)
    with closed_files(settings):
        if publication is None:
            return write_project(compilation, folder, settings)
        names = sorted({*source_tables(compilation), *_results(compilation).values()})
        if unknown := next((name for name in names if name not in publication.tables), None):
            raise UsageError(
                f"the night of {publication.business_date} published no table {unknown}, which the models read; "
                "run `cdp nightly` first"
            )
        reason = reason_for_spark(compilation)
        database = f"{DATABASE_FOLDER}/{_database_name(settings, publication, names)}"
        if reason is None and not (folder / database).is_file():
            _write_database(settings, folder / database, names, publication, _results(compilation))
        texts = {
            "dbt_project.yml": yaml_text(_project_over(compilation, settings, publication)),
            "profiles.yml": yaml_text(
                profile(
                    settings,
                    database=database,
                    spark_conf=conf_for_reader(settings, SPARK),
                    target=DUCKDB if reason is None else SPARK,
                )
            ),
        }
        files = write_project(compilation, folder, settings, texts)
    _remove_older_databases(folder, folder / database)
    return files


def _project_over(compilation: Compilation, settings: Settings, publication: Publication) -> dict[str, Any]:
    variables = {
        "business_date": publication.business_date.isoformat(),
        "lake": without_templates(str(settings.lake)),
        "published": {name: publication.tables[name] for name in source_tables(compilation)},
    }
    return project(compilation) | {"vars": variables}


def _database_name(settings: Settings, publication: Publication, names: list[str]) -> str:
    """Name a database by what it shows: another lake, night or set of functions is another file."""
    versions = (f"{name} {publication.tables[name]}" for name in names)
    parts = [str(settings.lake), settings.time_zone, str(publication.seq), *versions, *function_statements()]
    digest = hashlib.sha256("\n".join(parts).encode()).hexdigest()[:12]
    return f"{publication.business_date}-{digest}.duckdb"


def _results(compilation: Compilation) -> dict[str, str]:
    """Give by wide model the table that a night published of it."""
    return {writer.entity.wide_model: writer.entity.current for writer in compilation.writers}


def _write_database(
    settings: Settings,
    file: Path,
    names: list[str],
    publication: Publication,
    results: dict[str, str],
) -> None:
    with replacement(file) as part:
        write_database(
            settings,
            part,
            [name for name in names if name not in results.values()],
            function_statements(),
            schema=DBT_DATABASE,
            anew=True,
            versions=publication.tables,
            results=results,
        )


def _remove_older_databases(folder: Path, database: Path) -> None:
    """Remove what earlier nights left; a dbt that still works on one of them keeps its open file."""
    (folder / DATABASE).unlink(missing_ok=True)
    for file in (folder / DATABASE_FOLDER).glob("*.duckdb*"):
        if not file.name.startswith(database.name) and file.is_file():
            file.unlink(missing_ok=True)
