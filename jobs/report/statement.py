"""A reader's SQL statement and its rows, over what is published."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb

from jobs.report.catalogue.queries import count_query
from lakehouse.errors import UsageError
from lakehouse.query.published import require_publication
from lakehouse.query.question import parse_question
from lakehouse.query.reading import Answer, answer, answer_alone, check_tables
from lakehouse.settings.settings import Settings, load_settings

if TYPE_CHECKING:
    from lakehouse.contracts.contract import Contract

log = logging.getLogger("cdp.sql")


def rows_of(
    statement: str, workspace: Path | None, as_of: date | None = None, *, reveal: str | None = None
) -> Answer:
    """Run a statement over the newest publication, or over that of ``as_of``.

    Identifiers are masked unless ``reveal`` says why they are needed; that is recorded before the statement runs.
    A statement that names no table of ours needs no workspace. A wrong statement raises ``UsageError``.
    """
    question = parse_question(statement)
    if reveal is not None and not reveal.strip():
        raise UsageError("--reveal has to say why the values are needed")
    try:
        if not question.needs_publication:
            return answer_alone(question)
        settings = load_settings(workspace)
        publication = require_publication(settings, as_of)
        check_tables(question, publication)
        count_query(settings, statement, question)
        if reveal is None:
            return answer(question, settings, publication, ReaderMasks(settings))
        from jobs.report.reveals import record_reveal

        entry = record_reveal(settings, reveal.strip(), publication, question.tables)
        log.warning("%s reveals values of %s: %s", entry["user"], ", ".join(question.tables), entry["reason"])
        return answer(question, settings, publication, lambda table, columns: frozenset())
    except duckdb.Error as wrong:
        raise UsageError(f"the SQL failed: {str(wrong).splitlines()[0]}") from None


class ReaderMasks:
    """What readers see masked, by the written contracts and, for tags of a site's own, by those of its workspace."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def __call__(self, table: str, columns: Iterable[str]) -> frozenset[str]:
        """Give which of the columns of a table are masked."""
        # Here, since a statement without tables needs no contract.
        from lakehouse.contracts.reading import contract, contract_names, masked_columns

        if table not in contract_names():
            return masked_columns(None, columns)
        contract_of_table = contract(table)
        if contract_of_table.database == "tags" and not set(columns) <= set(contract_of_table.columns):
            contract_of_table = self._of_workspace(contract_of_table)
        return masked_columns(contract_of_table, columns)

    def _of_workspace(self, contract_of_table: Contract) -> Contract:
        import tags

        own = {entry.name: entry for entry in tags.tag_contracts(self.settings)}
        return own.get(contract_of_table.name, contract_of_table)
