"""Reference pages of the tables, generated from the contracts; a test fails when they are stale."""

from __future__ import annotations

from lakehouse.contracts.contract import DATABASES, Contract
from lakehouse.contracts.reading import contract, contract_names

HEADER = "<!-- Generated from lakehouse/contracts by `make docs`; edit the contracts. -->\n\n"


def reference_pages() -> dict[str, str]:
    """Give Markdown text by file name (``<database>.md``), one page per database that has contracts."""
    pages = {}
    for database in DATABASES:
        contracts = [contract(name) for name in contract_names(database)]
        if contracts:
            body = "\n".join(_section(c) for c in contracts)
            pages[f"{database}.md"] = f"{HEADER}# Tables of `{database}`\n\n{_contents(contracts)}\n{body}"
    return pages


def _contents(contracts: list[Contract]) -> str:
    lines = ["| table | shape | one row per |", "| --- | --- | --- |"]
    lines += [
        f"| [{c.table}](#{c.name.replace('.', '')}) | {c.shape} | {c.grain.removeprefix('one row per ')} |"
        for c in contracts
    ]
    return "\n".join(lines) + "\n"


def _retention(contract: Contract) -> str:
    """Say how long rows are kept, why, and whether anything deletes older ones."""
    if contract.retention_days == 1:
        return f"as of the newest night ({contract.retention_why})"
    days = f"{contract.retention_days} days"
    if contract.deleted_by == "night":
        return f"kept {days}: a night takes out what is older ({contract.retention_why})"
    if contract.deleted_by == "settings":
        return f"kept {days}, or as long as `retention` of `cdp.yml` says: a night takes out what is older ({contract.retention_why})"
    return f"kept {days} at least: nothing deletes its rows by their age ({contract.retention_why})"


def _section(contract: Contract) -> str:
    facts = [f"{contract.shape}, key ({', '.join(contract.key)}), owner {contract.owner}"]
    if contract.event_date:
        facts.append(f"as of D means `_arrived_on <= D` and `{contract.event_date} <= D`")
    if contract.retention_days:
        facts.append(_retention(contract))
    if contract.not_covered:
        facts.append(f"does not cover: {'; '.join(contract.not_covered)}")
    lines = [
        f"## {contract.name}",
        "",
        f"{contract.description} {contract.grain[0].upper()}{contract.grain[1:]}.",
        "",
    ]
    lines += [f"- {fact}" for fact in facts]
    lines += ["", "| column | type | level | meaning |", "| --- | --- | --- | --- |"]
    for column in contract.columns.values():
        values = f" One of {', '.join(f'`{value}`' for value in column.allowed)}." if column.allowed else ""
        mark = " (required)" if column.required else ""
        mark += " (unreadable refuses the record)" if column.is_guarding else ""
        mask = " Masked for readers." if column.masked else ""
        meaning = f"{column.description}{mark}.{values}{mask}".replace("|", "\\|")
        lines.append(f"| {column.name} | `{column.type}` | {column.level} | {meaning} |")
    if contract.references:
        lines += ["", "| must be known | by | refused as | why |", "| --- | --- | --- | --- |"]
        for reference in contract.references:
            names = ", ".join(reference.columns)
            lines.append(f"| {reference.table} | {names} | `{reference.reason}` | {reference.why} |")
    if contract.bounds:
        lines += [
            "",
            "| bound | measure | over | between | breach | why |",
            "| --- | --- | --- | --- | --- | --- |",
        ]
        for bound in contract.bounds:
            low, high = ("" if v is None else f"{v:g}" for v in (bound.min, bound.max))
            measure = bound.measure.replace("|", "\\|")
            lines.append(
                f"| {bound.name} | `{measure}` | {bound.over} | {low} … {high} | {bound.severity} | {bound.why} |"
            )
    return "\n".join(lines) + "\n"
