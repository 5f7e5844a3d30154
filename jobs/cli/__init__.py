"""The ``cdp`` command: a lazy group, so that only the called command's module is imported."""

from __future__ import annotations

import atexit
import gc
import os
import sys
from importlib import import_module
from typing import Any

import click

from lakehouse.errors import CdpError, refusal
from lakehouse.ledger.json_stderr import json_stderr
from lakehouse.texts import DEFAULT, catalogue, language_now, speak, text

# name → (module, attribute, one line of help); the help stands here so that `cdp --help` imports nothing.
COMMANDS: dict[str, tuple[str, str, str]] = {
    "doctor": (
        "jobs.cli.doctor",
        "command",
        "Check Java, Python, memory, disk, JARs and the workspace.",
    ),
    "fsck": ("jobs.cli.fsck", "command", "Check that everything stored is what was published."),
    "jars": ("jobs.cli.jars", "group", "Fetch Delta's JARs once, for use without a network."),
    "init": ("jobs.cli.workspace", "init", "Make a workspace to start from."),
    "schema": ("jobs.cli.workspace", "schema", "Write JSON Schemas of the workspace's files for editors."),
    "simulate": ("jobs.cli.simulate", "command", "Write the simulated bank's files and its truth."),
    "simulate-receipts": (
        "jobs.cli.simulate",
        "receipts_command",
        "Answer published audiences as an engine would.",
    ),
    "demo": ("jobs.cli.simulate", "demo", "Simulate a bank and run its nights in one process."),
    "nightly": ("jobs.cli.night", "nightly", "Run the night of a business date."),
    "backfill": ("jobs.cli.night", "backfill", "Run the nights of a range of business dates in order."),
    "ingest": ("jobs.cli.night", "ingest", "Run only the ingestion step of a night."),
    "build-tags": ("jobs.cli.night", "build_tags", "Run only the tag step of a night."),
    "publish": ("jobs.cli.night", "publish", "Run only the publishing step of a night."),
    "deliver": ("jobs.cli.night", "deliver", "Send audiences to destinations that were down."),
    "plan": ("jobs.cli.workspace", "plan", "Show what a changed workspace would move, before it is in use."),
    "feeds": ("jobs.cli.feeds", "group", "Draft feeds from files, list them, check how a sample maps."),
    "identity": ("jobs.cli.identity", "group", "Resolve, show, decide, correct and evaluate OneIDs."),
    "tags": ("jobs.cli.tags", "group", "List, search, show and compile tags, and tell who uses them."),
    "dbt": ("jobs.cli.tags", "dbt", "Run dbt on the tag models, over the published night."),
    "segments": (
        "jobs.cli.segments",
        "group",
        "Check, preview, compare, approve, stop, explain and verify segments and audiences.",
    ),
    "customer": ("jobs.cli.customer", "group", "Show all that is known of one person, masked."),
    "sql": ("jobs.cli.sql", "command", "Query published tables without a JVM."),
    "tables": ("jobs.cli.sql", "tables", "List published tables and their columns."),
    "serve": ("jobs.cli.serve", "command", "Serve published tables to tools that speak JDBC, by Spark."),
    "runs": ("jobs.cli.night", "runs", "Show the ledger of attempts."),
}


class LazyGroup(click.Group):
    """A click group whose commands are imported when they are called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Give the names in the order of ``COMMANDS``."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and give one command."""
        if cmd_name not in COMMANDS:
            return None
        module, attribute, _ = COMMANDS[cmd_name]
        command: click.Command = getattr(import_module(module), attribute)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands with their one line of help, importing none."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, _, text) in COMMANDS.items()])

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        """Answer an unknown command with the nearest known one."""
        from lakehouse.settings.yaml_files import did_you_mean

        if args and not args[0].startswith("-") and args[0] not in COMMANDS:
            raise click.UsageError(f"unknown command '{args[0]}'{did_you_mean(args[0], list(COMMANDS))}", ctx)
        return super().resolve_command(ctx, args)


@click.group(
    cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110}
)
@click.option("--verbose", is_flag=True, help="Say more while working.")
@click.version_option(package_name="oneid-cdp", prog_name="cdp")
def cdp(verbose: bool) -> None:
    """OneID, tags, segments: a customer data platform on your own files and tables.

    Exit codes: 0 done, 1 failed (may be retried), 2 bad usage or settings, 3 a gate refused, 4 lock held,
    99 nothing to do.
    """
    from lakehouse.ledger.progress import set_up_logging

    set_up_logging(verbose=verbose)


# Trees of SQL and manifests are many small objects and hardly a circle: looking for circles took a tenth of a night.
FEW_COLLECTIONS = (50_000, 20, 100)


def main() -> None:
    """Run the command line; a ``CdpError`` becomes one sentence on stderr and its exit code.

    Where stderr is no terminal, each of its lines is a JSON object.

    The process ends without tearing down native libraries: under load one of their threads was seen to outlive the
    interpreter and to abort it ("terminate called without an active exception"), which turned exit 0 into 134.
    """
    with json_stderr():
        try:
            code = run(sys.argv[1:])
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 1
        atexit._run_exitfuncs()
        sys.stdout.flush()
    os._exit(code)


def run(arguments: list[str]) -> int:
    """Run one command and give its exit code."""
    gc.set_threshold(*FEW_COLLECTIONS)
    speak(DEFAULT)
    try:
        code = cdp.main(arguments, standalone_mode=False)
        return code if isinstance(code, int) else 0
    except CdpError as wrong:
        click.echo(f"cdp: {wrong}{_hint(wrong)}", err=True)
        return wrong.exit_code
    except click.exceptions.NoArgsIsHelpError as wrong:
        click.echo(wrong.ctx.get_help() if wrong.ctx else str(wrong))
        return 0
    except click.ClickException as wrong:
        wrong.show()
        return 2
    except (click.Abort, KeyboardInterrupt):
        click.echo("cdp: interrupted; nothing was published, run the same command again", err=True)
        return 1
    except Exception as wrong:
        sentence = refusal(wrong)
        if sentence is None:
            raise
        click.echo(f"cdp: {sentence}", err=True)
        return sentence.exit_code


def _hint(wrong: CdpError) -> str:
    """Give what to do about this kind of error, or about the kind it is one of; an English sentence says that already."""
    if language_now() == DEFAULT:
        return ""
    keys = [f"hint.{kind.__name__}" for kind in type(wrong).__mro__]
    key = next(key for key in keys if key in catalogue())
    return f" （{text('hint.label')}：{text(key)}）"
