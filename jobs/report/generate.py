"""Everything in the repository that is generated, in one place: ``make docs`` writes it, a test compares it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lakehouse.settings.yaml_files import load_yaml, plain

ROOT = Path(__file__).resolve().parents[2]
OPERATIONS = Path("docs/operations.md")
FAULTS_BEGIN, FAULTS_END = "<!-- faults: made by `make docs` -->", "<!-- faults: end -->"


def generated_files() -> dict[Path, str]:
    """Give the text of every generated file by its path below the repository."""
    from delivery.contract import schemas as contract_with_consumers
    from jobs.report.functions import functions_page
    from jobs.report.schemas import schema_files
    from lakehouse.contracts.reference import reference_pages
    from lakehouse.expressions.reference import reference_page
    from tags.build.project import product_files

    models = {file.resolve().relative_to(ROOT): text for file, text in product_files().items()}
    pages = {Path("docs/reference") / name: text for name, text in reference_pages().items()}
    pages[Path("docs/reference/expressions.md")] = f"{reference_page()}\n{functions_page()}"
    return (
        models
        | pages
        | {Path("docs/reference/schema") / name: text for name, text in schema_files().items()}
        | {
            Path("docs/reference/audience") / name: text
            for name, text in contract_with_consumers.schema_files().items()
        }
        | {OPERATIONS: with_faults((ROOT / OPERATIONS).read_text(encoding="utf-8"))}
    )


def with_faults(page: str) -> str:
    """Give the operations page with the table of faulty deliveries made from the case book of the tests."""
    cases = plain(load_yaml(ROOT / "tests" / "cases" / "ingestion" / "faults.yml"))
    rows = [f"| {case['fault']} | {_outcome(case)} |" for case in cases]
    table = "\n".join(["| what is wrong | what happens |", "| --- | --- |", *rows])
    before, _, rest = page.partition(FAULTS_BEGIN)
    _, _, after = rest.partition(FAULTS_END)
    return f"{before}{FAULTS_BEGIN}\n{table}\n{FAULTS_END}{after}"


def _outcome(case: dict[str, Any]) -> str:
    if "stops" in case:
        outcome = f"exit {case['stops']['exit']}: “… {case['stops']['says']} …”"
    elif "refuses" in case:
        outcome = f"the file is refused: “… {case['refuses']['says']} …”"
    else:
        takes = case["takes"]
        parts = [f"{takes[key]} {key}" for key in ("accepted", "refused", "duplicates") if key in takes]
        reasons = "".join(f" `{reason}`" for reason in takes.get("reasons", ()))
        outcome = f"the night goes on: {', '.join(parts)}{reasons}"
    text = f"{outcome}. {case['then']}" if "then" in case else outcome
    return text.replace("|", "\\|")


def main() -> None:
    """Write every generated file."""
    for path, text in generated_files().items():
        target = ROOT / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
