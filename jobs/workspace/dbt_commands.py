"""dbt over the published night: which of its commands and flags one may use here, and how it is run."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Sequence

from lakehouse.errors import UsageError
from lakehouse.settings.file_rights import closed_files
from lakehouse.settings.settings import Settings, is_cluster
from lakehouse.settings.yaml_files import did_you_mean

COMMANDS = ("build", "run", "test", "show", "ls", "list", "parse", "compile", "docs")
TARGETS = ("duckdb", "spark")
# Each would point dbt to another project, profile or folder than those of the workspace.
REFUSED = ("--project-dir", "--profiles-dir", "--profile", "--target-path", "--log-path", "-t")
# What the program `dbt` is, by this Python and with nothing of the project's folder importable.
_PROGRAM = "from dbt.cli.main import cli; cli(prog_name='dbt')"
# Rows that are shown stay out of dbt's log file.
QUIET_FILE = ("--log-level-file", "none")
PAGES = "cdp dbt docs generate --static"


def run_dbt_command(settings: Settings, words: Sequence[str], target: str | None) -> int:
    """Run dbt with ``words`` on the workspace's project over the newest published night; give dbt's exit code.

    What cannot be meant, and a night or a Java that is missing, raises before dbt starts. Rows are shown unmasked, which is recorded
    before, as every reveal.
    """
    from jobs.report.reveals import record_dbt_reveal
    from lakehouse.query.published import require_publication
    from lakehouse.session.session import require_java
    from tags import reason_for_spark
    from tags.build.user_project import user_folder, write_user_project

    require_words(words)
    publication = require_publication(settings)
    reason = reason_for_spark(settings)
    if target == "duckdb" and reason is not None:
        raise UsageError(f"the target duckdb cannot have these models: {reason}; use --target spark")
    target = target or ("duckdb" if reason is None else "spark")
    if target == "spark":
        require_java()
    write_user_project(settings, publication)
    if shows_rows(words):
        record_dbt_reveal(settings, publication, words[0])
        words = [*words, *QUIET_FILE]
    command = [
        *(sys.executable, "-P", "-c", _PROGRAM, *words),
        *("--project-dir", ".", "--profiles-dir", ".", "--profile", "cdp", "--target", target),
        *("--target-path", "target", "--log-path", "logs"),
    ]
    environment = _environment(settings, target)
    with closed_files(settings):
        return subprocess.run(command, cwd=user_folder(settings), env=environment, check=False).returncode


def shows_rows(words: Sequence[str]) -> bool:
    """Tell whether a command of dbt prints rows of tables: ``show`` does, and what is written on the command line may."""
    return words[0] == "show" or any(word.partition("=")[0] == "--inline" for word in words)


def require_words(words: Sequence[str]) -> None:
    """Raise ``UsageError`` unless ``words`` are a command of dbt that is run here, with flags that point nowhere else."""
    command = words[0] if words else ""
    if command not in COMMANDS:
        what = f"`cdp dbt` does not run '{command}'" if command else "`cdp dbt` wants a command of dbt"
        if command.startswith("-"):
            what = f"`cdp dbt` wants the command of dbt before its flags such as {command}"
        raise UsageError(f"{what}; it runs {', '.join(COMMANDS)}{did_you_mean(command, list(COMMANDS))}")
    if command == "docs" and tuple(words[1:2]) != ("generate",):
        raise UsageError(
            f"`cdp dbt docs` is `{PAGES}`, which writes one page to open: target/static_index.html"
        )
    for word in words:
        flag = word.partition("=")[0]
        if flag in REFUSED or (word.startswith("-t") and not word.startswith("--")):
            instead = "write --target duckdb or --target spark" if word.startswith("-t") else (
                "the project, the profile and the folders of `cdp dbt` are those of the workspace"
            )  # fmt: skip
            raise UsageError(f"`cdp dbt` does not take {flag if flag in REFUSED else '-t'}: {instead}")


def _environment(settings: Settings, target: str) -> dict[str, str]:
    """Give the environment of dbt; the site's own conf of Spark goes with it, since no file may hold it."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("DBT_")}
    conf = dict(settings.spark.conf)
    if is_cluster(settings) and os.environ.get("CDP_SPARK_MASTER"):
        conf["spark.master"] = os.environ["CDP_SPARK_MASTER"]
    if target == "spark":
        environment.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
        environment.setdefault("PYSPARK_PYTHON", sys.executable)
        if conf:
            words = [word for name, value in conf.items() for word in ("--conf", f"{name}={value}")]
            environment["PYSPARK_SUBMIT_ARGS"] = shlex.join([*words, "pyspark-shell"])
    return environment
