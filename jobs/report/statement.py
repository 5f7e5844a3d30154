"""A reader's SQL statement and its rows, over what is published."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb

from jobs.report.catalogue.queries import count_query
from lakehouse.errors import UsageError
from lakehouse.query.masks import Mask
from lakehouse.query.published import require_publication
from lakehouse.query.question import parse_question
from lakehouse.query.reading import Answer, StatementFailed, answer, answer_alone, check_tables
from lakehouse.settings.settings import Settings, load_settings

if TYPE_CHECKING:
    from lakehouse.contracts.contract import Contract
    from lakehouse.query.published import Publication
    from lakehouse.query.question import Question

log = logging.getLogger("cdp.sql")
# What tells people apart, in the tables that hold them.
PEOPLE_COLUMNS = frozenset(
    {
        "one_id",
        "from_one_id",
        "to_one_id",
        "winner",
        "source_key",
        "recipient_key",
        "entity_key",
        "profile_id",
    }
)
# So many of the people of an answer are written down one by one; of more their number is.
MOST_ONE_IDS = 1000
# Where rows name a tag, what they say of it.
_VALUES = ("from_value", "to_value")


def rows_of(
    statement: str, workspace: Path | None, as_of: date | None = None, *, reveal: str | None = None
) -> Answer:
    """Run a statement over the newest publication, or over that of ``as_of``.

    Identifiers are masked unless ``reveal`` says why they are needed; that is recorded before the statement runs. A statement
    that tells people apart is a look-up: it is recorded before its answer is given, or the sentence about its failure.
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
            return _recorded_answer(question, settings, publication)
        from jobs.report.reveals import record_reveal

        entry = record_reveal(settings, reveal.strip(), publication, question.tables)
        log.warning("%s reveals values of %s: %s", entry["user"], ", ".join(question.tables), entry["reason"])
        return answer(question, settings, publication, lambda table, columns: {})
    except duckdb.Error as wrong:
        raise UsageError(f"the SQL failed: {str(wrong).splitlines()[0]}") from None


def _recorded_answer(question: Question, settings: Settings, publication: Publication) -> Answer:
    try:
        rows = answer(question, settings, publication, ReaderMasks(settings))
    except StatementFailed as failure:
        if tells_people_apart(question, failure.columns_read):
            _record(settings, publication, question, Answer((), []))
        raise
    if tells_people_apart(question, rows.columns_read):
        _record(settings, publication, question, rows)
    return rows


def tells_people_apart(question: Question, columns_read: frozenset[str]) -> bool:
    """Tell whether a statement may show or pick out single people: it reads or names such a column, or all, of a table that has one.

    What a statement names counts beside what it reads, since DuckDB reads nothing where it knows that nobody is met. A table
    without a contract, which holds records as they were delivered, has such columns.
    """
    from lakehouse.contracts.reading import contract, contract_names

    with_contract = set(contract_names()) & set(question.tables)
    columns = {name for table in with_contract for name in contract(table).columns} & PEOPLE_COLUMNS
    names = {name.lower() for name in question.columns} | columns_read
    return with_contract < set(question.tables) or (
        bool(columns) and (question.has_star or bool(columns & names))
    )


def _record(settings: Settings, publication: Publication, question: Question, rows: Answer) -> None:
    """Record whom a statement showed: its tables, how many rows, and OneIDs where a column of the answer is called so."""
    from jobs.report.reveals import record_lookup

    one_ids = []
    if "one_id" in rows.columns:
        at = rows.columns.index("one_id")
        one_ids = sorted({row[at] for row in rows.rows if isinstance(row[at], int)})
    few = one_ids if len(one_ids) <= MOST_ONE_IDS else []
    record_lookup(settings, "sql", publication, few, statement=(question.tables, len(rows.rows)))


class ReaderMasks:
    """How readers see columns, by the written contracts and, for tags of a site's own, by those of its workspace.

    Tags that may only exclude are withheld wherever they stand: as columns, and as values of rows that name them.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def __call__(self, table: str, columns: Iterable[str]) -> dict[str, Mask]:
        """Give how readers see the columns of a table that they do not see as they are."""
        # Here, since a statement without tables needs no contract.
        from lakehouse.contracts.reading import contract, contract_names, masked_columns

        names = list(columns)
        if table not in contract_names():
            return masked_columns(None, names)
        contract_of_table = contract(table)
        if contract_of_table.database != "tags":
            return masked_columns(contract_of_table, names)
        if not set(names) <= set(contract_of_table.columns):
            contract_of_table = self._of_workspace(contract_of_table)
        masks = masked_columns(contract_of_table, names)
        withheld = self._withheld_tags
        masks |= {name: Mask(is_withheld=True) for name in names if name in withheld}
        if "tag" in names and withheld:
            masks |= {name: Mask(is_withheld=True, tags=withheld) for name in names if name in _VALUES}
        return masks

    @cached_property
    def _withheld_tags(self) -> frozenset[str]:
        from tags import REGISTRY
        from vocabulary.tag_facts import read_tag_facts

        facts = read_tag_facts(self.settings.workspace, shipped=REGISTRY)
        return frozenset(code for code, fact in facts.items() if fact.is_restricted)

    def _of_workspace(self, contract_of_table: Contract) -> Contract:
        import tags

        own = {entry.name: entry for entry in tags.tag_contracts(self.settings)}
        return own.get(contract_of_table.name, contract_of_table)
