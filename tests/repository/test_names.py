"""Names are nouns and verbs: a bare participle says that something happened to a thing and not what the thing is."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ROOMS = (
    "lakehouse", "vocabulary", "ingestion", "identity", "tags", "segments", "delivery", "jobs", "simulator", "benchmarks",
)  # fmt: skip
PARTICIPLES = frozenset(
    """
    accepted admitted allowed answered applied asked assigned attached begun broken brought built called carried
    changed checked chosen claimed closed collected combined come compared compiled computed counted created cut
    decided declared delivered derived described done drafted drawn dropped ended expected filled filtered fitted
    found gathered given gone grouped handed held hidden joined kept known laid left listed loaded looked lost made
    mapped marked matched meant measured merged met moved named needed obtained offered ordered owned packed parsed
    passed picked placed planned prepared printed proposed pulled put raised ranked reached read received refused
    registered rejected removed rendered replaced resolved restored returned rewritten said sampled scanned seen
    selected sent settled shown skipped sorted spoken staged started stated stopped stored suggested taken taught
    told touched translated tried turned undone used wanted weighed written
    """.split()  # noqa: SIM905 (a block of words reads better than a list of strings)
)
# Verbs and nouns that look like participles: `put` and `read` name what a function does.
VERBS = frozenset({"cut", "put", "read", "come", "left"})


def names_of(tree: ast.AST) -> Iterator[tuple[int, str, str]]:
    """Give line, kind and name of every function, parameter and variable that a module defines.

    Fields of classes are left out: many are keys of YAML files and columns of tables, which keep their spelling.
    """
    fields = {
        id(statement.target)
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef)
        for statement in node.body
        if isinstance(statement, ast.AnnAssign)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.lineno, "function", node.name
            arguments = node.args
            for argument in [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]:
                yield argument.lineno, "parameter", argument.arg
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) and id(node) not in fields:
            yield node.lineno, "value", node.id


def participles(text: str) -> list[tuple[int, str, str]]:
    """Give line, kind and name of every name that is a bare participle."""
    return [
        (line, kind, name)
        for line, kind, name in names_of(ast.parse(text))
        if name.strip("_") in PARTICIPLES and not (kind == "function" and name.strip("_") in VERBS)
    ]


def sources(room: str) -> list[Path]:
    return sorted((ROOT / room).rglob("*.py"))


@pytest.mark.parametrize("room", ROOMS)
def test_no_function_parameter_value_or_module_is_named_by_a_bare_participle(room):
    wrong = [
        f"{file.relative_to(ROOT)}:{line} {kind} {name}"
        for file in sources(room)
        for line, kind, name in participles(file.read_text(encoding="utf-8"))
    ]
    wrong += [str(file.relative_to(ROOT)) for file in sources(room) if file.stem.strip("_") in PARTICIPLES]
    assert wrong == []


def test_a_participle_is_seen_and_a_noun_is_not():
    text = "def told(given, rows):\n    found = rows\n    refused_rows = [given for given in found]\n    return found\n"
    assert participles(text) == [
        (1, "function", "told"), (1, "parameter", "given"), (2, "value", "found"), (3, "value", "given"),
    ]  # fmt: skip


def test_no_two_classes_of_the_product_have_one_name():
    places = defaultdict(list)
    for room in ROOMS[:-1]:
        for file in sources(room):
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                    places[node.name].append(f"{file.relative_to(ROOT)}:{node.lineno}")
    assert {name: files for name, files in places.items() if len(files) > 1} == {}
