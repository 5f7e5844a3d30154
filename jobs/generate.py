"""Everything in the repository that is generated, in one place: ``make docs`` writes it, a test compares it."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def generated_files() -> dict[Path, str]:
    """Give the text of every generated file by its path below the repository."""
    from jobs.schemas import schema_files
    from lakehouse.reference import reference_pages
    from tags.project import product_files

    compiled = {file.resolve().relative_to(ROOT): text for file, text in product_files().items()}
    pages = {Path("docs/reference") / name: text for name, text in reference_pages().items()}
    return (
        compiled
        | pages
        | {Path("docs/reference/schema") / name: text for name, text in schema_files().items()}
    )


def main() -> None:
    """Write every generated file."""
    for path, text in generated_files().items():
        target = ROOT / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
