"""Walls of the house: who may import whom, open whose files, and ask DuckDB; each rule is also seen to fail."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LINTER = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]
ROOMS = tuple(LINTER["root_packages"])
# The dbt project is the tag factory's SQL: it has no Python, so no import shows who opens it.
OWNER_OF_FOLDER = {room: room for room in ROOMS} | {"dbt_project": "tags"}
# What is generated for the whole repository may name every folder of it, and a night depends on all of the product.
MAY_NAME_FOLDERS = ("jobs/report/generate.py", "jobs/night/fingerprint.py")
MOST_MODULES = 14


def lint_imports(root: Path) -> str:
    """Give what the import linter prints about the rooms below ``root``."""
    program = Path(sys.executable).parent / "lint-imports"
    command = [program, "--no-cache", "--config", root / "pyproject.toml"]
    answer = subprocess.run(command, cwd=root, capture_output=True, text=True, env={"PYTHONPATH": str(root)})
    return answer.stdout + answer.stderr


def test_no_import_runs_up_and_no_circle_stands():
    report = lint_imports(ROOT)
    assert f"Contracts: {len(LINTER['contracts'])} kept, 0 broken." in report, report


PLANTS = {
    "rooms": ("tags/compile/planted.py", "from identity.nights import log\n"),
    "lakehouse": ("lakehouse/query/planted.py", "from lakehouse.tables import lake\n"),
    "ingestion": ("ingestion/feeds/planted.py", "def f():\n    from ingestion.nights import night\n"),
    "identity": ("identity/joining/planted.py", "from identity.nights import log\n"),
    "tags": ("tags/compile/planted.py", "from tags.build import project\n"),
    "segments": ("segments/language/planted.py", "from segments.explaining import explain\n"),
    "jobs": ("jobs/night/planted.py", "from jobs.cli import options\n"),
    "simulator": ("simulator/world/planted.py", "from simulator.truth import evidence\n"),
    "circles": ("vocabulary/planted.py", "from vocabulary import planted_too\n"),
}


def test_every_layer_rule_sees_a_wrong_import(tmp_path):
    for room in ROOMS:
        shutil.copytree(ROOT / room, tmp_path / room, ignore=shutil.ignore_patterns("*.pyc", "*.yml"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path / "pyproject.toml")
    for file, text in PLANTS.values():
        with (tmp_path / file).open("a", encoding="utf-8") as out:
            out.write(text)
    (tmp_path / "vocabulary" / "planted_too.py").write_text("from vocabulary import planted\n")
    report = lint_imports(tmp_path)
    assert {contract["id"] for contract in LINTER["contracts"]} == set(PLANTS)
    kept = [c["id"] for c in LINTER["contracts"] if f"{c['name']} BROKEN" not in report]
    assert kept == [], report


# ------------------------------------------------------------------------------------------- paths


def wrong_paths(room: str, text: str) -> list[tuple[int, str]]:
    """Give line and text of every place where a module of ``room`` makes a path into another room's folder.

    A path counts that begins at ``__file__`` (or at a name made from it), and a text that names a file of a room.
    """
    tree = ast.parse(text)
    anchors = {
        target.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign) and _mentions(node.value, {"__file__"})
        for target in node.targets
        if isinstance(target, ast.Name)
    } | {"__file__", "files"}
    others = {folder for folder, owner in OWNER_OF_FOLDER.items() if owner != room}
    wrong = []
    for node in ast.walk(tree):
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div) and _mentions(node.left, anchors):
            part = node.right
            if isinstance(part, ast.Constant) and str(part.value).split("/")[0] in others:
                wrong.append((node.lineno, str(part.value)))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            folder, _, rest = node.value.partition("/")
            if folder in others and re.fullmatch(r"[\w/.*-]+\.(py|yml|sql|csv|j2)", rest):
                wrong.append((node.lineno, node.value))
    return sorted(set(wrong))


def _mentions(node: ast.AST, names: set[str]) -> bool:
    return any(isinstance(inner, ast.Name) and inner.id in names for inner in ast.walk(node))


def modules(*folders: str) -> Iterator[tuple[str, Path, str]]:
    for room in folders or ROOMS:
        for file in sorted((ROOT / room).rglob("*.py")):
            yield room, file.relative_to(ROOT), file.read_text(encoding="utf-8")


def test_no_room_opens_the_files_of_another():
    wrong = [
        f"{file}:{line} {text}"
        for room, file, source in modules()
        if str(file) not in MAY_NAME_FOLDERS
        for line, text in wrong_paths(room, source)
    ]
    assert wrong == []


@pytest.mark.parametrize(
    "text",
    [
        "from pathlib import Path\nx = Path(__file__).parents[2] / 'tags' / 'registry'\n",
        "from pathlib import Path\nROOT = Path(__file__).parents[2]\n\n\ndef f():\n    return ROOT / 'tags'\n",
        "def f():\n    return open('tags/registry/basic.yml')\n",
        "from importlib.resources import files\nx = files('segments').parent / 'dbt_project'\n",
    ],
)
def test_a_wrong_path_is_seen(text):
    assert len(wrong_paths("segments", text)) == 1
    assert wrong_paths("tags", text) == []


# --------------------------------------------------------------------------------------- relations

# Makes tables of a database that is not the lake.
OTHER_DATABASES = (Path("delivery/endpoints/postgresql.py"), Path("lakehouse/session/thrift.py"))

_MAKES = re.compile(r"\bCREATE\s+(OR\s+REPLACE\s+)?(TEMP(ORARY)?\s+)?(TABLE|VIEW|MACRO)\b", re.IGNORECASE)


def wrong_questions(text: str) -> list[tuple[int, str]]:
    """Give line and what is wrong of every place that makes a relation, or asks DuckDB, by itself.

    Whoever goes through the desk gets a relation whose name it cannot type, so it must hand it over.
    """
    wrong = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Attribute) and node.attr in ("connection", "cursor"):
            wrong.append((node.lineno, f".{node.attr}"))
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            receiver = node.func.value.id if isinstance(node.func.value, ast.Name) else ""
            if node.func.attr == "connect" and receiver == "duckdb":
                wrong.append((node.lineno, "duckdb.connect"))
            elif node.func.attr == "register" and receiver != "lake":
                wrong.append((node.lineno, f"{receiver}.register"))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and _MAKES.search(node.value):
            wrong.append((node.lineno, "CREATE"))
    return sorted(set(wrong))


def test_relations_are_made_at_the_desk_and_handed_over():
    wrong = [
        f"{file}:{line} {what}"
        for _, file, source in modules()
        if file.parts[:2] not in (("lakehouse", "query"), ("lakehouse", "tables"))
        and file not in OTHER_DATABASES
        for line, what in wrong_questions(source)
    ]
    assert wrong == []


def test_a_relation_beside_the_desk_is_seen():
    text = (
        "import duckdb\n"
        "connection = duckdb.connect()\n"
        "connection.register('rows', rows)\n"
        "desk.run('CREATE OR REPLACE TEMP TABLE touched AS SELECT 1')\n"
        "desk.connection.execute('FROM touched')\n"
    )
    assert wrong_questions(text) == [
        (2, "duckdb.connect"), (3, "connection.register"), (4, "CREATE"), (5, ".connection"),
    ]  # fmt: skip


# ----------------------------------------------------------------------------------------- folders


def crowded_folders(root: Path, folders: tuple[str, ...]) -> dict[str, int]:
    """Give every folder below these with more than ``MOST_MODULES`` modules, and how many."""
    counts: dict[str, int] = {}
    for folder in folders:
        for file in (root / folder).rglob("*.py"):
            if file.name != "__init__.py":
                place = str(file.parent.relative_to(root))
                counts[place] = counts.get(place, 0) + 1
    return {place: count for place, count in counts.items() if count > MOST_MODULES}


def test_no_folder_holds_more_modules_than_a_reader_can_keep_in_mind(tmp_path):
    assert crowded_folders(ROOT, (*ROOMS, "benchmarks", "tests")) == {}
    (tmp_path / "tags").mkdir()
    for number in range(MOST_MODULES + 1):
        (tmp_path / "tags" / f"m{number}.py").touch()
    assert crowded_folders(tmp_path, ("tags",)) == {"tags": MOST_MODULES + 1}
