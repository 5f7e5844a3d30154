"""What is published, for people: each table with its rows, and each column, as their contracts describe them."""

from __future__ import annotations

from typing import Any

import ingestion
import tags
from jobs.report.statement import ReaderMasks
from lakehouse.contracts.contract import Contract, highest_level
from lakehouse.contracts.reading import Contracts
from lakehouse.errors import ContractBroken, UsageError
from lakehouse.query.published import Publication
from lakehouse.query.reading import Answer, published_table, types_of, unknown_table
from lakehouse.settings.settings import Settings

_NO_CONTRACT = "landed by a feed that the workspace no longer has"


def tables_of(settings: Settings, publication: Publication, search: str | None = None) -> Answer:
    """Give one row per published table, sorted by name; with ``search`` those it is found in, whatever the case."""
    contracts = contracts_of(settings)
    rows: list[tuple[Any, ...]] = []
    for name in sorted(publication.tables):
        contract = contract_or_none(contracts, name)
        if search is not None and search.casefold() not in _texts(name, contract):
            continue
        grain, level, description = (
            (contract.grain, highest_level(contract), contract.description)
            if contract
            else ("", "C2", _NO_CONTRACT)
        )
        rows.append((name, _row_count(settings, publication, name), level, grain, description))
    return Answer(("table", "rows", "level", "grain", "description"), rows)


def columns_of(settings: Settings, publication: Publication, table: str) -> Answer:
    """Give one row per column of a published table, in its order; an unknown table is answered with the nearest."""
    name = table.lower()
    if name not in publication.tables:
        raise UsageError(unknown_table(table, publication))
    contract = contract_or_none(contracts_of(settings), name)
    types = types_of(published_table(settings, publication, name))
    masked = ReaderMasks(settings)(name, types)
    rows: list[tuple[Any, ...]] = []
    for column, kind in types.items():
        entry = contract.columns.get(column) if contract else None
        rows.append(
            (
                column,
                entry.type if entry else kind,
                entry.level if entry else "C2",
                "yes" if column in masked else "",
                entry.description if entry else "",
            )
        )
    return Answer(("column", "type", "level", "masked", "description"), rows)


def contracts_of(settings: Settings) -> Contracts:
    """Give the contracts of the product's tables, of the feeds of a workspace and of its tags."""
    contracts = Contracts()
    contracts.add(*ingestion.landing_contracts(settings), *tags.tag_contracts(settings))
    return contracts


def contract_or_none(contracts: Contracts, name: str) -> Contract | None:
    """Give the contract of a table; None where it was landed by a feed that the workspace no longer has."""
    try:
        return contracts.get(name)
    except ContractBroken:
        return None


def _texts(name: str, contract: Contract | None) -> str:
    """Give all texts about a table in small letters, one a line."""
    texts = [name]
    if contract is not None:
        texts += [contract.description, contract.grain]
        texts += [text for column in contract.columns.values() for text in (column.name, column.description)]
    return "\n".join(texts).casefold()


def _row_count(settings: Settings, publication: Publication, name: str) -> int:
    """Give the number of rows from the Delta log alone."""
    import pyarrow as pa

    actions = pa.table(published_table(settings, publication, name).get_add_actions(flatten=True))
    return sum(actions.column("num_records").to_pylist())
