"""``cdp serve``: the published tables for tools that speak JDBC or ODBC."""

from __future__ import annotations

from pathlib import Path

import click

from jobs.cli.options import workspace_option


@click.command("serve")
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option("--port", type=click.IntRange(1, 65_535), default=10_000, show_default=True, help="The port.")
@click.option(
    "--reveal",
    metavar="REASON",
    help="Show identifiers unmasked; who, when, why and which tables are recorded in audit/reveals.jsonl.",
)
@workspace_option
def command(host: str, port: int, reveal: str | None, workspace: Path | None) -> None:
    """Serve the published tables by Spark's Thrift server until it is stopped; each night is shown once it is published.

    Whoever may connect may do what this user may. Another address than this machine's needs an authentication of Spark.
    """
    from jobs.report.serving import serve_lake
    from lakehouse.settings.settings import load_settings

    serve_lake(
        load_settings(workspace),
        host,
        port,
        reveal=reveal,
        ready=lambda publication: click.echo(
            f"{len(publication.tables)} tables as published on {publication.business_date}: jdbc:hive2://{host}:{port}/"
        ),
    )
