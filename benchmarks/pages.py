"""Results on disk: one JSON file per benchmark with the raw numbers, one page with the tables of all of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from benchmarks.measure import Outcome

FOLDER = Path(__file__).parent / "results"
PAGE = "README.md"


def keep(
    folder: Path, name: str, question: str, outcome: Outcome, machine: dict[str, Any], measured_at: str
) -> None:
    """Write a benchmark's JSON; a skipped one leaves the file of an earlier run."""
    folder.mkdir(parents=True, exist_ok=True)
    if outcome.skip_reason:
        return
    result = {
        "benchmark": name,
        "question": question,
        "measured_at": measured_at,
        "machine": machine,
        "notes": outcome.notes,
        "rows": [row.as_dict() for row in outcome.rows],
        "measures": outcome.measures,
    }
    (folder / f"{name}.json").write_text(
        json.dumps(result, indent=2, ensure_ascii=False) + "\n", encoding="utf-8"
    )


def write_page(folder: Path) -> Path:
    """Write the page of all results that stand in ``folder``; give its path."""
    results = [json.loads(file.read_text(encoding="utf-8")) for file in sorted(folder.glob("*.json"))]
    lines = [
        "# Results",
        "",
        "Written by `make bench` from the JSON files beside this page, which hold every single run. A figure is worth",
        "something only with its machine and its day, so both stand above each table; compare figures of one table only.",
        "Where the load is above the number of cores, other programs were running: seconds by the clock are then too high",
        "on every line, and CPU seconds (median of the runs) are the better measure.",
    ]
    for result in results:
        lines += ["", *_section(result)]
    page = folder / PAGE
    page.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return page


def _section(result: dict[str, Any]) -> list[str]:
    machine = result["machine"]
    versions = ", ".join(f"{name} {number}" for name, number in machine["packages"].items() if number)
    lines = [
        f"## {result['benchmark']}",
        "",
        result["question"],
        "",
        f"Measured {result['measured_at']} at commit {machine['commit']} on {machine['cores']} cores ({machine['processor']}), "
        f"{machine['memory_gb']} GB, {machine['system']}, Python {machine['python']}, Java {machine['java']}; {versions}. "
        f"Load when it began / ended: {machine['load_1m']} / {machine.get('load_1m_at_end', '?')}.",
        "",
        "| case | way | median s | least – most s | CPU s | runs | first call s | memory MB | same answer |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | --- |",
    ]
    for row in result["rows"]:
        lines.append(
            f"| {row['case']} | {row['way']} | {_seconds(row['median_seconds'])} | "
            f"{_seconds(row['min_seconds'])} – {_seconds(row['max_seconds'])} | "
            f"{_seconds(row['median_cpu_seconds'])} | {len(row['seconds'])} | "
            f"{_seconds(row['first_seconds'])} | {_whole(row['peak_mb'])} | {_answer(row['is_equal'])} |"
        )
    lines += _measures(result.get("measures", []))
    lines += ["", *(f"- {note}" for note in result["notes"])]
    return lines


def _measures(measures: list[dict[str, Any]]) -> list[str]:
    if not measures:
        return []
    names = list(measures[0])
    lines = [
        "",
        f"| {' | '.join(n.replace('_', ' ') for n in names)} |",
        f"| --- | --- |{' ---: |' * (len(names) - 2)}",
    ]
    for row in measures:
        lines.append(
            f"| {' | '.join(f'{v:.4f}' if isinstance(v, float) else str(v) for v in row.values())} |"
        )
    return lines


def _seconds(value: float | None) -> str:
    return "" if value is None else f"{value:.3g}" if value < 100 else f"{value:.0f}"


def _whole(value: float | None) -> str:
    return "" if value is None else f"{value:,.0f}"


def _answer(value: bool | None) -> str:
    return {True: "yes", False: "NO", None: ""}[value]
