"""Reference pages of the tables, generated from the contracts; a test fails when they are stale."""

from __future__ import annotations

from lakehouse.contracts.contract import DATABASES, Contract, contract, written_contract_names

HEADER = "<!-- Generated from lakehouse/contracts by `make docs`; edit the contracts. -->\n\n"


def reference_pages() -> dict[str, str]:
    """Give Markdown text by file name (``<database>.md``), one page per database that has contracts."""
    pages = {}
    for database in DATABASES:
        found = [contract(name) for name in written_contract_names(database)]
        if found:
            body = "\n".join(_section(c) for c in found)
            pages[f"{database}.md"] = f"{HEADER}# Tables of `{database}`\n\n{_contents(found)}\n{body}"
    return pages


def _contents(found: list[Contract]) -> str:
    lines = ["| table | shape | one row per |", "| --- | --- | --- |"]
    lines += [
        f"| [{c.table}](#{c.name.replace('.', '')}) | {c.shape} | {c.grain.removeprefix('one row per ')} |"
        for c in found
    ]
    return "\n".join(lines) + "\n"


def _section(found: Contract) -> str:
    facts = [f"{found.shape}, key ({', '.join(found.key)}), owner {found.owner}"]
    if found.event_date:
        facts.append(f"as of D means `_arrived_on <= D` and `{found.event_date} <= D`")
    if found.retention_days:
        facts.append(f"kept {found.retention_days} days ({found.retention_why})")
    if found.not_covered:
        facts.append(f"does not cover: {'; '.join(found.not_covered)}")
    lines = [f"## {found.name}", "", f"{found.description} {found.grain[0].upper()}{found.grain[1:]}.", ""]
    lines += [f"- {fact}" for fact in facts]
    lines += ["", "| column | type | level | meaning |", "| --- | --- | --- | --- |"]
    for column in found.columns.values():
        allowed = f" One of {', '.join(f'`{value}`' for value in column.allowed)}." if column.allowed else ""
        mark = "" if not column.required else " (required)"
        meaning = f"{column.description}{mark}.{allowed}".replace("|", "\\|")
        lines.append(f"| {column.name} | `{column.type}` | {column.level} | {meaning} |")
    if found.bounds:
        lines += [
            "",
            "| bound | measure | over | between | breach | why |",
            "| --- | --- | --- | --- | --- | --- |",
        ]
        for bound in found.bounds:
            low, high = ("" if v is None else f"{v:g}" for v in (bound.min, bound.max))
            measure = bound.measure.replace("|", "\\|")
            lines.append(
                f"| {bound.name} | `{measure}` | {bound.over} | {low} … {high} | {bound.severity} | {bound.why} |"
            )
    return "\n".join(lines) + "\n"
