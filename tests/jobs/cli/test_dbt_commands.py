"""What a person who works with dbt has after a night: a project that runs as it stands, and cannot touch a night or the lake."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from jobs.cli import run
from jobs.workspace import dbt_commands
from jobs.workspace.dbt_commands import require_words
from lakehouse.errors import StepFailed, UsageError
from lakehouse.ledger.ledger import publish
from lakehouse.query.published import newest_publication
from lakehouse.settings.settings import load_settings
from lakehouse.tables.lake import open_lake
from tags.build.computation import run_dbt
from tags.build.project import source_tables
from tags.build.user_project import user_folder, write_user_project
from tags.compile.compilation import compile_tags
from tests.tags.golden.test_golden import D, fill


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    """A workspace after its night, in a folder whose name dbt, a shell and a URI would read in their own way."""
    import tags

    folder = tmp_path_factory.mktemp("dbt") / "a bank's {{ nobody() }} place"
    folder.mkdir()
    (folder / "cdp.yml").write_text("time_zone: Asia/Shanghai\nengine: {name: duckdb, memory: 2GB}\n")
    settings = load_settings(folder)
    lake = open_lake(settings)
    lake.create([*source_tables(compile_tags(folder)), "tags.customer_tags"])
    fill(lake)
    tags.build_tags(lake, D)
    publish(lake, D, "drawn", {})
    write_user_project(settings, newest_publication(settings))
    return folder


def dbt(folder, *words, **environment):
    """Run dbt as its user does: in the folder of the project, with nothing else said."""
    command = [Path(sys.executable).parent / "dbt", "--no-use-colors", *words]
    names = {name: value for name, value in os.environ.items() if not name.startswith("DBT_")}
    return subprocess.run(
        command, cwd=folder, capture_output=True, text=True, env={**names, **environment}, check=False
    )


def contents(folder):
    return {
        str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }


@pytest.mark.slow
def test_dbt_runs_in_the_folder_of_the_project_and_leaves_the_lake_as_it_was(workspace):
    settings = load_settings(workspace)
    project, before = user_folder(settings), (contents(settings.lake), contents(settings.generated / "night"))
    shown = dbt(
        project,
        "show",
        "--inline",
        "select count(*) as people from {{ ref('customer_tags') }}",
        "--output",
        "json",
    )
    assert shown.returncode == 0, shown.stdout
    assert '"people": 7' in shown.stdout
    built = dbt(project, "build")
    assert built.returncode == 0, built.stdout
    assert "ERROR=0" in built.stdout and "unit_test" in built.stdout.lower()
    pages = dbt(project, "docs", "generate")
    assert pages.returncode == 0, pages.stdout
    manifest = json.loads((project / "target" / "manifest.json").read_text())
    catalog = json.loads((project / "target" / "catalog.json").read_text())
    source = manifest["sources"]["source.cdp.identity.memberships"]
    assert source["columns"]["one_id"]["description"]
    assert {"model.cdp.customer_tags", "model.cdp.int_account_owners"} <= set(catalog["nodes"])
    assert "source.cdp.identity.memberships" in catalog["sources"]
    assert (contents(settings.lake), contents(settings.generated / "night")) == before


@pytest.mark.slow
def test_a_command_of_cdp_passes_on_words_target_and_exit_code(workspace, capfd):
    def cdp(*words):
        code = run(["dbt", *words, "--workspace", str(workspace)])
        answer = capfd.readouterr()
        return code, answer.out + answer.err

    code, text = cdp("ls", "--resource-type", "source", "--target", "duckdb", "--quiet")
    assert code == 0 and "source:cdp.trusted.customers" in text
    code, text = cdp(
        "show", "--inline", "select {{ business_date() }} as day", "--vars", "business_date: 2026-01-02"
    )
    assert code == 0 and "2026-01-02" in text
    # A model that fails is 1, a flag that dbt does not have is 2: dbt's own codes.
    code, text = cdp("show", "--inline", "select naam from {{ ref('customer_tags') }}")
    assert code in (1, 2) and "naam" in text
    assert cdp("ls", "--no-such-flag")[0] == 2


@pytest.mark.slow
def test_rows_that_dbt_shows_are_a_recorded_reveal_by_right_and_stay_out_of_its_log(workspace, capfd):
    record, log = (
        workspace / "audit" / "reveals.jsonl",
        user_folder(load_settings(workspace)) / "logs" / "dbt.log",
    )
    record.unlink(missing_ok=True)
    log.unlink(missing_ok=True)
    inline = ("--inline", "select 'a ' || 'row' as shown")
    assert run(["dbt", "show", *inline, "--workspace", str(workspace)]) == 0
    assert "a row" in capfd.readouterr().out
    assert not log.exists() or "a row" not in log.read_text(encoding="utf-8")
    (workspace / "roles.yml").write_text("roles: {privacy: {users: [nobody-here], may: [reveal]}}")
    try:
        for words in (("show", *inline), ("compile", *inline), ("build", "--inline=select 1")):
            assert run(["dbt", *words, "--workspace", str(workspace)]) == 2
            printed = capfd.readouterr()
            assert "this is recorded" in printed.err and "a row" not in printed.out
    finally:
        (workspace / "roles.yml").unlink()
    entries = [json.loads(line) for line in record.read_text(encoding="utf-8").splitlines()]
    assert [(entry["reason"], entry.get("refusal")) for entry in entries] == [
        ("dbt show", None), ("dbt show", "role"), ("dbt compile", "role"), ("dbt build", "role")
    ]  # fmt: skip
    assert "tags.customer_tags" in entries[0]["tables"]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ([], "wants a command of dbt"),
        (["frobnicate"], "does not run 'frobnicate'"),
        (["biuld"], "did you mean 'build'"),
        (["clean"], "does not run 'clean'"),
        (["run-operation", "x"], "does not run 'run-operation'"),
        (["--quiet", "build"], "before its flags such as --quiet"),
        (["docs", "serve"], "cdp dbt docs generate --static"),
        (["build", "--project-dir", "/"], "does not take --project-dir"),
        (["build", "--profiles-dir=/tmp"], "does not take --profiles-dir"),
        (["build", "--profile", "mine"], "does not take --profile"),
        (["docs", "generate", "--target-path=../../lake"], "does not take --target-path"),
        (["build", "--log-path", "../../lake"], "does not take --log-path"),
        (["build", "-tspark"], "write --target duckdb or --target spark"),
    ],
)
def test_what_would_point_elsewhere_or_is_no_command_is_refused_in_one_sentence(words, sentence):
    with pytest.raises(UsageError) as refusal:
        require_words(words)
    assert sentence in refusal.value.message and "\n" not in refusal.value.message


@pytest.mark.slow
def test_a_workspace_without_a_night_no_workspace_and_no_java_are_told(
    make_workspace, workspace, tmp_path, capsys, monkeypatch
):
    from lakehouse.session import session

    assert run(["dbt", "build", "--workspace", str(make_workspace())]) == 2
    assert "run `cdp nightly --date D` first" in capsys.readouterr().err
    assert run(["dbt", "build", "--workspace", str(tmp_path / "nowhere")]) == 2
    assert "nowhere" in capsys.readouterr().err
    monkeypatch.setattr(session, "java_version", lambda: None)
    assert run(["dbt", "build", "--target", "spark", "--workspace", str(workspace)]) == 2
    assert "Java was not found" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("code", [0, 1, 2])
def test_dbt_is_started_with_the_project_the_words_and_no_flag_of_the_environment(
    workspace, monkeypatch, code
):
    starts = []

    def start(command, *, cwd, env, check):
        starts.append((command, cwd, env))
        return subprocess.CompletedProcess(command, code)

    monkeypatch.setattr(dbt_commands.subprocess, "run", start)
    monkeypatch.setenv("DBT_TARGET_PATH", "/elsewhere")
    words = [
        "show",
        "--vars",
        "{business_date: 2026-01-02}",
        "--workspace",
        str(workspace),
        "--target",
        "duckdb",
        "--limit",
        "3",
    ]
    assert run(["dbt", *words]) == code
    ((command, folder, environment),) = starts
    assert command[command.index("show") :] == [
        *(
            "show",
            "--vars",
            "{business_date: 2026-01-02}",
            "--limit",
            "3",
            "--log-level-file",
            "none",
            "--project-dir",
            ".",
            "--profiles-dir",
            ".",
        ),
        *("--profile", "cdp", "--target", "duckdb", "--target-path", "target", "--log-path", "logs"),
    ]
    assert folder == user_folder(load_settings(workspace)) and "DBT_TARGET_PATH" not in environment


@pytest.mark.slow
def test_a_flag_in_the_environment_points_nowhere_else(workspace, tmp_path, capfd, monkeypatch):
    for name in ("PROJECT_DIR", "PROFILES_DIR", "TARGET_PATH", "LOG_PATH", "PROFILE", "TARGET"):
        monkeypatch.setenv(f"DBT_{name}", str(tmp_path / "elsewhere"))
        monkeypatch.setenv(f"DBT_ENGINE_{name}", str(tmp_path / "elsewhere"))
    assert run(["dbt", "parse", "--workspace", str(workspace)]) == 0, capfd.readouterr()
    assert not (tmp_path / "elsewhere").exists()


def test_no_file_of_the_project_holds_a_secret_of_the_site(make_workspace):
    folder = make_workspace(
        {
            "cdp.yml": "engine: {name: duckdb, spill: '/tmp/{{ env_var(\"HOME\") }}'}\nspark: {conf: {spark.hadoop.fs.s3a.secret.key: geheim}}\n"
        }
    )
    settings = load_settings(folder)
    lake = open_lake(settings)
    lake.create([*source_tables(compile_tags(folder)), "tags.customer_tags"])
    import tags

    lake.contracts.add(*tags.tag_contracts(settings))
    publish(lake, D, "empty", {})
    write_user_project(settings, newest_publication(settings))
    project = user_folder(settings)
    texts = "".join(file.read_text() for file in project.glob("*.yml"))
    assert "geheim" not in texts and "/tmp/{{ env_var" not in texts
    profile = yaml.safe_load((project / "profiles.yml").read_text())["cdp"]
    assert profile["outputs"]["duckdb"]["path"].startswith("databases/2026-03-31-")
    assert not any(
        mode & 0o077 for mode in (file.stat().st_mode for file in (project / "databases").iterdir())
    )


@pytest.mark.slow
def test_a_night_takes_nothing_from_the_project_of_a_person(workspace, tmp_path):
    """Whatever a person leaves in their project, the night's own builds; the next night replaces the person's database."""
    import tags

    settings = load_settings(workspace)
    project = user_folder(settings)
    left = project / "models" / "mine.sql"
    left.write_text("select {{ 1/0 }} as x")
    (project / "macros").mkdir(exist_ok=True)
    (project / "dbt_project.yml").write_text("name: [broken")
    old = next((project / "databases").glob("*.duckdb"))
    with old.open("rb"):
        lake = open_lake(settings)
        tags.build_tags(lake, D)
        publish(lake, D, "again", {})
        write_user_project(settings, newest_publication(settings))
    assert not left.exists() and not old.exists()
    assert len(list((project / "databases").glob("*.duckdb"))) == 1
    assert yaml.safe_load((project / "dbt_project.yml").read_text())["vars"]["business_date"] == "2026-03-31"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "change", "test"),
    [
        ("int_aum_by_month", lambda sql: sql.replace("is_aum AND", "NOT is_aum AND"), "days_before_the_first_balance_count_nothing"),
        ("int_people", lambda sql: f"select * from ({sql}) union all select * from ({sql})", "one_row_per"),
    ],
)  # fmt: skip
def test_a_broken_model_fails_its_unit_test_or_the_test_of_its_key(workspace, tmp_path, model, change, test):
    settings = load_settings(workspace)
    project = tmp_path / "project"
    shutil.copytree(settings.generated / "night" / "dbt", project, symlinks=True)
    file = next((project / "duckdb").rglob(f"{model}.sql"))
    head, mark, body = file.read_text().partition("}}\n")
    assert change(body) != body
    file.write_text(f"{head}{mark}{change(body)}")
    sources = source_tables(compile_tags(workspace))
    with pytest.raises(StepFailed, match=test):
        run_dbt(
            open_lake(settings),
            project,
            D,
            sources,
            "duckdb",
            command=("test", "--select", f"{model},test_type:unit", f"{model},tag:deep"),
        )


@pytest.mark.slow
def test_the_products_own_folder_can_be_parsed(tmp_path):
    root = Path(__file__).resolve().parents[3] / "dbt_project"
    copy = tmp_path / "dbt_project"
    shutil.copytree(root, copy, ignore=shutil.ignore_patterns("target", "logs"))
    answer = dbt(copy, "ls", "--quiet", "--resource-type", "model")
    assert answer.returncode == 0, answer.stdout
    names = {line.rpartition(".")[2] for line in answer.stdout.split()}
    assert {"customer_tags", "int_people", "stg_trusted__customers"} <= names
