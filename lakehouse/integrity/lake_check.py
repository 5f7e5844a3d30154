"""The check of a whole lake: publications, files, digests, contracts. It changes nothing and needs no JVM.

The quick check reads logs and looks at each published file. The deep one also reads every file, holds each published
row against its contract, and looks at the contents of every earlier publication.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from lakehouse.contracts.contract import DATABASES, Contract
from lakehouse.contracts.reading import Contracts, contract_names
from lakehouse.errors import CdpError
from lakehouse.integrity.chain import chain_faults, read_head
from lakehouse.integrity.digests import (
    FileDigest,
    file_faults,
    read_digests,
    relative_paths,
    size_fault,
)
from lakehouse.integrity.states import published_digests
from lakehouse.query.deletions import deleted_paths
from lakehouse.query.desk import Desk, newest_sql, open_alone, open_table, table_folder
from lakehouse.query.published import Publication, publications
from lakehouse.query.words import identifiers
from lakehouse.settings.settings import Settings

if TYPE_CHECKING:
    from deltalake import DeltaTable


@dataclass
class LakeFindings:
    """What a check found: ``faults`` and ``notes`` are sentences; ``counts`` says how much of what was checked."""

    faults: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)


def check_lake(settings: Settings, contracts: Contracts, *, deep: bool = False) -> LakeFindings:
    """Check the publications of a lake, the files they name and, where ``deep``, bytes, contracts and earlier contents."""
    findings = LakeFindings()
    try:
        entries = publications(settings)
        findings.faults += chain_faults(entries, read_head(settings))
        digests_by_table = read_digests(settings)
    except CdpError as wrong:
        findings.faults.append(str(wrong))
        return findings
    findings.counts["publications"] = len(entries)
    if not entries:
        return findings
    unverified = [entry for entry in entries if entry.contents is None]
    if unverified:
        findings.notes.append(
            f"{len(unverified)} publications up to {unverified[-1].business_date} name no digests: what they published cannot be verified"
        )
    _check_newest(settings, entries[-1], digests_by_table, findings)
    _check_files(settings, digests_by_table, findings, deep=deep)
    if deep:
        _check_earlier(settings, entries, digests_by_table, findings)
        _note_orphans(settings, digests_by_table, findings)
        damaged_tables = {fault.partition(":")[0] for fault in findings.faults}
        for name in sorted(entries[-1].tables.keys() - damaged_tables):
            findings.faults += _contract_faults(settings, contracts, name, entries[-1].tables[name])
        findings.counts["contracts"] = len(entries[-1].tables)
    return findings


def _check_newest(
    settings: Settings,
    newest: Publication,
    digests_by_table: dict[str, dict[str, FileDigest]],
    findings: LakeFindings,
) -> None:
    """Open every published table, and look at the files of those whose digests nobody recorded yet."""
    for name in sorted(newest.tables):
        try:
            _, faults = published_digests(settings, newest, [name], digests_by_table)
            findings.faults += faults
            if open_table(settings, name).version() < newest.tables[name]:
                findings.faults.append(f"{name}: its log ends before the published version")
            if newest.contents is None:
                findings.faults += _missing_files(settings, name, newest.tables[name])
        except CdpError as wrong:
            findings.faults.append(str(wrong))
    for name in contract_names("ops"):
        if (table_folder(settings, name) / "_delta_log").is_dir():
            findings.faults += _missing_files(settings, name, None)
    findings.counts["tables"] = len(newest.tables)


def _missing_files(settings: Settings, name: str, version: int | None) -> list[str]:
    """Look at the files of a table whose digests nobody records."""
    try:
        paths = relative_paths(open_table(settings, name, version))
    except CdpError as wrong:
        return [str(wrong)]
    folder = table_folder(settings, name)
    return [f"{name}: {path} is missing" for path in paths if not (folder / path).is_file()]


def _check_files(
    settings: Settings,
    digests_by_table: dict[str, dict[str, FileDigest]],
    findings: LakeFindings,
    *,
    deep: bool,
) -> None:
    deleted = {name: deleted_paths(settings, name) for name in digests_by_table}
    every = [digest for of_table in digests_by_table.values() for digest in of_table.values()]
    # A file that may be gone but is still there has the bytes that were published, or is a fault.
    digests = [
        digest
        for digest in every
        if digest.path not in deleted[digest.table]
        or (table_folder(settings, digest.table) / digest.path).is_file()
    ]
    if len(digests) < len(every):
        findings.notes.append(
            f"{len(every) - len(digests)} files of earlier publications were deleted because their rows are kept no longer (ops.file_deletions)"
        )
    findings.counts["files"] = len(digests)
    if deep:
        faults = file_faults(settings, digests)
        findings.counts["bytes"] = sum(digest.bytes for digest in digests)
    else:
        looks = ((digest, size_fault(table_folder(settings, digest.table), digest)) for digest in digests)
        faults = [(digest, fault) for digest, fault in looks if fault]
    findings.faults += [f"{digest.table}: {fault}" for digest, fault in faults]


def _check_earlier(
    settings: Settings,
    entries: list[Publication],
    digests_by_table: dict[str, dict[str, FileDigest]],
    findings: LakeFindings,
) -> None:
    """Compare the contents of earlier publications with their logs; a version whose log is gone is said, not a fault."""
    versions_compared = set(entries[-1].tables.items())
    lost_versions: Counter[str] = Counter()
    for entry in reversed(entries[:-1]):
        for name, version in sorted(entry.tables.items()):
            if (name, version) in versions_compared:
                continue
            versions_compared.add((name, version))
            try:
                findings.faults += published_digests(settings, entry, [name], digests_by_table)[1]
            except CdpError:
                lost_versions[name] += 1
    findings.notes += [
        f"{name}: {count} earlier published versions can no longer be opened"
        for name, count in sorted(lost_versions.items())
    ]


def _note_orphans(
    settings: Settings, digests_by_table: dict[str, dict[str, FileDigest]], findings: LakeFindings
) -> None:
    """Say how many files no publication and no newest version names: attempts that were not published leave them."""
    orphans: list[str] = []
    for log in sorted(settings.lake.glob("*/*/_delta_log")):
        folder = log.parent
        name = f"{folder.parent.name}.{folder.name}"
        if folder.parent.name not in DATABASES or folder.parent.name == "ops":
            continue
        try:
            paths = {*digests_by_table.get(name, {}), *relative_paths(open_table(settings, name))}
        except CdpError:
            continue
        files = {str(f.relative_to(folder)) for f in folder.rglob("*.parquet") if log not in f.parents}
        orphans += sorted(f"{name}/{path}" for path in files - paths)
    if orphans:
        findings.notes.append(
            f"{len(orphans)} files belong to no publication, as attempts leave them that were repeated or refused; "
            f"the first is {orphans[0]}"
        )


def _contract_faults(
    settings: Settings, contracts: Contracts, name: str, version: int | None = None
) -> list[str]:
    """Hold the rows of a published table against its contract: columns, types, required, allowed, key.

    A column that the contract has gained since, and that may be null, is null until the next night adds it.
    """
    import duckdb

    try:
        contract = contracts.get(name)
        table = open_table(settings, name, version)
        faults = list(_column_faults(contract, table))
        if table.file_uris():
            with open_alone(folders=[settings.lake]) as desk:
                rows = newest_sql(settings, name, version)
                if set(contract.columns) - {field.name for field in table.schema().fields}:
                    rows += f" UNION ALL BY NAME SELECT * FROM {desk.lend(name, contract.arrow_schema().empty_table())}"
                faults += _row_faults(desk, contract, rows)
        return [f"{name}: {fault}" for fault in faults]
    except CdpError as wrong:
        return [str(wrong)]
    except (duckdb.Error, OSError, ValueError) as wrong:
        return [f"{name}: its rows cannot be read ({type(wrong).__name__})"]


def _column_faults(contract: Contract, table: DeltaTable) -> Iterator[str]:
    import pyarrow as pa

    types = {f.name: f.type for f in pa.schema(table.schema().to_arrow())}
    for column in contract.arrow_schema():
        if column.name not in types and contract.columns[column.name].required:
            yield f"the column {column.name} of its contract is missing"
        elif column.name in types and not _is_same(types[column.name], column.type):
            yield f"{column.name} is {types[column.name]}, its contract says {column.type}"


def _row_faults(desk: Desk, contract: Contract, rows: str) -> Iterator[str]:
    rules = [rule for rule, _ in contract.rules()] if contract.checked else []
    counters = ", ".join(f"count(*) FILTER (NOT coalesce({rule}, false))" for rule in rules)
    counts = desk.rows(f"SELECT {counters} FROM ({rows})")[0] if rules else ()
    yield from (
        f"{count} rows break the contract: {rule}" for rule, count in zip(rules, counts, strict=True) if count
    )
    key = unique_columns(contract)
    if key:
        count = desk.value(
            f"SELECT count(*) FROM (SELECT 1 FROM ({rows}) GROUP BY {identifiers(key)} HAVING count(*) > 1)"
        )
        if count:
            yield f"{count} keys ({', '.join(key)}) stand there more than once"


def unique_columns(contract: Contract) -> tuple[str, ...]:
    """Give the columns that no two rows of a table share.

    A state says one thing of a key at a time; a fact may come again after the days its feed looks back, so its rows are
    told by their place in the delivered file.
    """
    if contract.shape == "state":
        return ("_feed", *contract.key, "valid_from")
    return () if contract.shape in ("fact", "log") else contract.key


def _is_same(one: object, other: object) -> bool:
    """Tell whether two types are one, whatever a list calls its elements and a text its offsets."""

    def name(kind: object) -> str:
        text = str(kind).replace("large_", "").replace("string_view", "string")
        return text.replace("element: ", "item: ").replace(" not null", "")

    return name(one) == name(other)
