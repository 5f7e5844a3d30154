"""Rules of the repository: who may import whom, what has a contract, what must not be in a file."""

from __future__ import annotations

import ast
import re
import subprocess
from pathlib import Path

import pytest

from lakehouse.contracts.reading import FOLDER, contract, contract_names

ROOT = Path(__file__).resolve().parents[2]
# room → the rooms it may import
ARROWS = {
    "lakehouse": set(),
    "vocabulary": {"lakehouse"},
    "ingestion": {"lakehouse", "vocabulary"},
    "identity": {"lakehouse", "vocabulary"},
    "tags": {"lakehouse", "vocabulary"},
    "segments": {"lakehouse", "vocabulary"},
    "delivery": {"lakehouse", "vocabulary"},
    "simulator": {"lakehouse"},
    "jobs": {"lakehouse", "vocabulary", "ingestion", "identity", "tags", "segments", "delivery", "simulator"},
}


def tracked(*patterns: str) -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", *patterns], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return [ROOT / line for line in listed.stdout.splitlines() if (ROOT / line).exists()]


# The file that consumers copy needs nothing of the product, and how something is signed stands there alone.
SIGNATURES = ("segments/approving", "delivery.contract.verify_audience")


def wrong_arrows(root: Path) -> list[str]:
    """Name every import of one room by another that the design does not allow."""
    found = []
    for room, allowed in ARROWS.items():
        for file in sorted((root / room).rglob("*.py")):
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                names = []
                if isinstance(node, ast.Import):
                    names = [alias.name for alias in node.names]
                elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
                    names = [node.module]
                for name in names:
                    other = name.split(".")[0]
                    if (file.parent.relative_to(root).as_posix(), name) == SIGNATURES:
                        continue
                    if other in ARROWS and other != room and other not in allowed:
                        found.append(f"{file.relative_to(root)}:{node.lineno} imports {other}")
    return found


def test_rooms_import_only_in_the_direction_of_the_design():
    assert wrong_arrows(ROOT) == []


def test_a_wrong_arrow_is_seen(tmp_path):
    for room in ARROWS:
        (tmp_path / room).mkdir()
    (tmp_path / "tags" / "x.py").write_text("def f():\n    from identity.mint import mint\n")
    assert wrong_arrows(tmp_path) == ["tags/x.py:2 imports identity"]


def test_there_is_no_room_for_leftovers():
    names = {part for file in tracked("*.py") for part in file.relative_to(ROOT).with_suffix("").parts}
    assert names & {"utils", "util", "common", "core", "helpers", "helper", "misc"} == set()


@pytest.mark.parametrize("name", contract_names())
def test_every_contract_says_owner_grain_key_and_describes_its_columns(name):
    found = contract(name)
    assert found.owner and found.description
    assert found.grain.startswith("one row per")
    assert set(found.key) <= set(found.columns)
    assert [c.name for c in found.columns.values() if not c.description] == []
    assert [b.name for b in found.bounds if not b.why] == []


def test_contract_files_stand_where_their_name_says():
    for file in FOLDER.glob("*/*.yml"):
        assert contract(f"{file.parent.name}.{file.stem}").name == f"{file.parent.name}.{file.stem}"


def test_no_clock_and_no_chance_inside_a_room():
    banned = re.compile(
        r"datetime\.now|date\.today|time\.time\(|uuid4|current_timestamp\(|current_date\(|\brand\(|\bnow\(\)"
    )
    rooms = (
        "ingestion/*.py",
        "identity/*.py",
        "tags/*.py",
        "segments/*.py",
        "delivery/*.py",
        "dbt_project/models/*",
        "dbt_project/macros/*",
    )
    hits = [
        f"{file.relative_to(ROOT)}:{number}"
        for file in tracked(*rooms)
        for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1)
        if banned.search(line)
    ]
    assert hits == []


def test_lock_files_name_no_index_and_pin_every_hash():
    for file in ("requirements.txt", "requirements-dev.txt"):
        text = (ROOT / file).read_text()
        assert "://" not in text and "--index" not in text and "--find-links" not in text
        pins = re.findall(r"^\S+==\S+", text, flags=re.M)
        assert len(pins) > 50 and text.count("--hash=sha256:") >= len(pins)


def test_generated_files_are_fresh():
    """`make docs` writes them; a contract or registry entry that changed without it is seen here."""
    from jobs.report.generate import generated_files

    found = generated_files()
    assert {str(path).split("/")[0] for path in found} == {"docs", "dbt_project", "lakehouse"}
    stale = [
        str(p)
        for p, text in found.items()
        if not (ROOT / p).is_file() or (ROOT / p).read_text("utf-8") != text
    ]
    assert stale == [], "run make docs"
    kept = {path.relative_to(ROOT) for path in tracked("docs/reference", "dbt_project/compiled")}
    assert kept - found.keys() == set(), "these are no longer generated"
