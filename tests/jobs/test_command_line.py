"""The command line: options declared once, one exit code per kind of error, one sentence for each wrong call."""

from __future__ import annotations

import json
import runpy
import subprocess
import sys
from datetime import date
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from jobs import cli
from jobs.cli import options
from lakehouse import errors

ROOT = Path(__file__).resolve().parents[2]
KINDS = {
    "StepFailed": 1, "InputInvalid": 1, "ContractBroken": 1, "UsageError": 2, "SettingsInvalid": 2,
    "EnvironmentUnready": 2, "GateStopped": 3, "LockHeld": 4,
}  # fmt: skip


def run_with(monkeypatch, outcome):
    """Run `cdp probe`, a command that raises an error or gives a value."""

    @click.command("probe")
    def probe():
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    monkeypatch.setitem(cli.COMMANDS, "probe", ("", "", "A probe."))
    monkeypatch.setattr(cli.LazyGroup, "get_command", lambda self, ctx, name: probe)
    return cli.run(["probe"])


@pytest.mark.parametrize(("kind", "code"), KINDS.items())
def test_every_kind_of_error_has_its_exit_code_and_its_place(monkeypatch, capsys, kind, code):
    wrong = getattr(errors, kind)("something is wrong", file="feeds/cards.yml", line=3)
    assert run_with(monkeypatch, wrong) == code
    assert capsys.readouterr().err == "cdp: feeds/cards.yml:3: something is wrong\n"


def test_no_kind_of_error_is_left_out_of_this_table():
    kinds = {kind.__name__ for kind in errors.CdpError.__subclasses__()}
    assert kinds == set(KINDS)


@pytest.mark.parametrize(("outcome", "code"), [(None, 0), (0, 0), (2, 2), (99, 99), ("a text", 0)])
def test_a_command_gives_its_exit_code_or_none(monkeypatch, outcome, code):
    assert run_with(monkeypatch, outcome) == code


@pytest.mark.parametrize("interruption", [KeyboardInterrupt(), click.Abort()])
def test_an_interrupted_command_may_be_run_again(monkeypatch, capsys, interruption):
    assert run_with(monkeypatch, interruption) == 1
    assert "interrupted; nothing was published, run the same command again" in capsys.readouterr().err


def test_a_bug_is_no_sentence_but_a_traceback(monkeypatch):
    with pytest.raises(ZeroDivisionError):
        run_with(monkeypatch, ZeroDivisionError())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["sqll", "select 1"], "unknown command 'sqll'; did you mean 'sql'?"),
        (["nightly", "--date", "20260105"], "'20260105' is not a day; write it as yyyy-mm-dd"),
        (["nightly", "--date", "2026-02-30"], "'2026-02-30' is not a day; write it as yyyy-mm-dd"),
        (["nightly", "--dat", "2026-02-03"], "No such option '--dat'"),
        (["publish"], "Missing option '--date'"),
        (["backfill", "--to", "2026-01-05"], "Missing option '--from'"),
        (["ingest"], "say either --date D, or --from D --to D for a history"),
        (["ingest", "--from", "2026-01-05"], "say either --date D, or --from D --to D for a history"),
        (["ingest", "--date", "2026-01-05", "--to", "2026-01-06"], "say either --date D, or --from D --to D"),
        (["sql", "select 1", "--format", "xml"], "'xml' is not one of 'table', 'csv', 'json'"),
        (["sql", "select 1", "--as-of", "yesterday"], "'yesterday' is not a day"),
        (["identity", "why", "core/1"], "Missing argument 'SOURCE/KEY'"),
        (["identity", "show"], "name one person: a OneID, --identifier NAMESPACE=VALUE or --profile SOURCE/KEY"),
        (["identity", "decide", "must-link", "core/1", "core/2", "--reason", "a call"], "Missing option '--author'"),
        (["segments", "verify"], "name one folder, or say --all"),
        (["schema"], "name a kind (cdp, feed, identity, segment, tags, consent, destinations)"),
    ],
)  # fmt: skip
def test_a_wrong_call_is_one_sentence_and_exit_code_2(arguments, message, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert cli.run(arguments) == 2
    assert message in capsys.readouterr().err


def test_shared_options_arrive_under_one_name():
    @click.command()
    @options.date_option()
    @options.range_options(first="", last="", required=False)
    @options.two_records
    @options.signature_options
    @options.format_option
    @options.as_of_option
    @options.force_option()
    @options.workspace_option
    def command(**values):
        click.echo(sorted(values))

    output = (
        CliRunner()
        .invoke(command, ["a/1", "b/2", "--date", "2026-01-05", "--author", "me", "--reason", "why"])
        .output
    )
    assert output == (
        "['as_of', 'author', 'business_date', 'first', 'force', 'form', 'last', 'profile_a', "
        "'profile_b', 'reason', 'workspace']\n"
    )


def test_a_day_that_is_a_date_already_stays_as_it_is():
    assert options.DAY.convert(date(2026, 1, 5), None, None) == date(2026, 1, 5)


@pytest.mark.parametrize("name", ["nightly", "ingest", "resolve", "build_tags", "publish"])
def test_a_module_for_spark_submit_ends_like_its_command(name, tmp_path):
    process = subprocess.run(
        [sys.executable, ROOT / "jobs" / "submit" / f"{name}.py", "--date", "2026-01-05", "--workspace", tmp_path],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT)},
        check=False,
    )  # fmt: skip
    assert process.returncode == 2
    (line,) = process.stderr.splitlines()
    message = json.loads(line)["message"]
    assert message.startswith(f"{name}: ") and "is not a workspace" in message


@pytest.mark.parametrize("module", ["nightly", "ingest", "resolve", "build_tags", "publish"])
def test_a_module_of_a_cluster_refuses_a_wrong_flag_with_one_sentence_and_code_2(module, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", [module, "--dat", "2026-11-18"])
    with pytest.raises(SystemExit) as ended:
        runpy.run_module(f"jobs.submit.{module}", run_name="__main__")
    assert ended.value.code == 2 and "--dat" in capsys.readouterr().err
