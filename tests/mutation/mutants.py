"""Changes the rules that decide about people, one place at a time, and asks the tests whether they see it.

A mutant is a rule module with one operator, number, ``True`` or word of SQL exchanged. Python's exchanges are mutmut's; those
of SQL are here, since most rules are texts of SQL. A forked process imports the changed module from memory: no file is
touched, and libraries are loaded once.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import signal
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory

import libcst as cst
from libcst.metadata import ByteSpanPositionProvider, MetadataWrapper
from mutmut.mutation import mutators

ROOT = Path(__file__).resolve().parents[2]
# The modules whose rules decide about people, and the tests that must see a change. None of these needs Spark.
RULE_TESTS = "tests/segments/test_segment_rules.py"
CONTACT_TESTS = [
    "tests/segments/contacting/test_contact_arbitration.py",
    "tests/segments/test_contact_rules.py",
]
RULES = {
    "segments/choosing/suppression.py": [RULE_TESTS, "tests/segments/test_segment_suppression.py", "tests/segments/test_segment_decisions.py"],
    "segments/choosing/assignment.py": [RULE_TESTS, "tests/segments/test_segment_decisions.py"],
    "vocabulary/buckets.py": [RULE_TESTS, "tests/segments/test_segment_logic.py"],
    "segments/language/conditions.py": [RULE_TESTS, "tests/segments/test_segment_logic.py", "tests/segments/test_segment_checks.py"],
    "segments/language/operators.py": [RULE_TESTS, "tests/segments/test_segment_logic.py", "tests/segments/test_segment_checks.py"],
    "vocabulary/contact_rules.py": [RULE_TESTS, "tests/segments/test_shared_rules.py", "tests/segments/test_segment_suppression.py"],
    "vocabulary/policy.py": [RULE_TESTS, "tests/segments/test_segment_suppression.py", "tests/segments/test_segment_decisions.py"],
    "identity/joining/limits.py": ["tests/identity/joining/test_case_book.py", "tests/identity/joining/test_guards.py"],
    "identity/joining/constraints.py": ["tests/identity/joining/test_case_book.py", "tests/identity/joining/test_guards.py"],
    "identity/joining/guards.py": ["tests/identity/joining/test_case_book.py", "tests/identity/joining/test_guards.py"],
    "lakehouse/states/rule.py": ["tests/lakehouse/states/test_scoped_states.py", "tests/lakehouse/states/test_state_rule.py"],
    "lakehouse/gates/gates.py": ["tests/lakehouse/gates/test_gates.py"],
    "segments/approving/standing.py": ["tests/segments/approving/test_approvals.py"],
    "segments/language/checks/possible_answers.py": ["tests/segments/language/test_possible_answers.py"],
    "segments/language/templates.py": ["tests/segments/language/test_templates.py"],
    "segments/language/parameters.py": ["tests/segments/language/test_templates.py"],
    "segments/contacting/arbitration.py": CONTACT_TESTS,
    "segments/contacting/windows.py": CONTACT_TESTS,
    "segments/contacting/scores.py": CONTACT_TESTS,
    "segments/contacting/losses.py": CONTACT_TESTS,
    "segments/contacting/crowd.py": CONTACT_TESTS,
    "segments/contacting/market.py": CONTACT_TESTS,
    "segments/contacting/prices.py": CONTACT_TESTS,
    "lakehouse/expressions/clocks.py": ["tests/lakehouse/expressions/test_language.py"],
    "lakehouse/query/question.py": ["tests/lakehouse/query/test_question.py"],
    "delivery/contract/verify_audience.py": ["tests/delivery/test_contract.py", "tests/delivery/test_signatures.py"],
}  # fmt: skip
PYTHON = (
    mutators.operator_number, mutators.operator_name, mutators.operator_remove_unary_ops, mutators.operator_keywords,
    mutators.operator_swap_op, mutators.operator_if_exp,
)  # fmt: skip
SQL = tuple(
    (re.compile(pattern), text)
    for pattern, text in (
        (r"\bAND\b", "OR"), (r"\bOR\b", "AND"), (r"\bIS NOT NULL\b", "IS NULL"), (r"\bIS NULL\b", "IS NOT NULL"),
        (r"\bIS DISTINCT FROM\b", "IS NOT DISTINCT FROM"), (r"\bNOT (?!NULL|DISTINCT)", ""),
        (r"(?<= )<=(?= |$)", "<"), (r"(?<= )<(?= |$)", "<="), (r"(?<= )>=(?= |$)", ">"), (r"(?<= )>(?= |$)", ">="),
        (r"(?<= )=(?= |$)", "<>"), (r"(?<= )<>(?= |$)", "="), (r"\bmax\(", "min("), (r"\bmin\(", "max("),
        (r"\bbool_or\(", "bool_and("), (r"\btrue\b", "false"), (r"\bfalse\b", "true"), (r"\bLEFT JOIN\b", "JOIN"),
        (r", 15\)", ", 14)"), (r"'(insert|update|delete)'", "'nothing'"),
    )
)  # fmt: skip
HEAVY = ("duckdb", "pyarrow.parquet", "sqlglot", "pydantic", "yaml", "ruamel.yaml", "numpy", "scipy.sparse.csgraph", "pytest", "deltalake")  # fmt: skip
SECONDS = 300
"""What one mutant's tests may take: a rule that never ends is seen too."""


@dataclass(frozen=True)
class Mutant:
    """One changed place: the lines before and after, and the whole text of the changed module."""

    module: str
    before: str
    after: str
    text: str

    @property
    def name(self) -> str:
        """What the list of judged mutants calls it; equal changes of equal lines are one."""
        return f"{self.module}: {self.before} => {self.after}"

    def place(self, seed: str) -> str:
        """Give the mutant's place in the order of a seed; it depends on nothing but the change."""
        return sha256(f"{seed}|{self.name}".encode()).hexdigest()


def mutants_of(module: str) -> list[Mutant]:
    """Give every mutant of a module, in the order of its text."""
    source = (ROOT / module).read_text(encoding="utf-8")
    whole = MetadataWrapper(cst.parse_module(source), unsafe_skip_copy=True)
    spans = whole.resolve(ByteSpanPositionProvider)
    content = source.encode()
    mutants: dict[str, Mutant] = {}
    for node in _nodes(whole.module, set(_skipped(whole.module))):
        for changed in _changes(node):
            span = spans[node]
            code = whole.module.code_for_node(changed).encode()
            text = (content[: span.start] + code + content[span.start + span.length :]).decode()
            before, after = _changed_lines(source, text)
            mutant = Mutant(module, before, after, text)
            if before != after:
                mutants.setdefault(mutant.name, mutant)
    return list(mutants.values())


def _changes(node: cst.CSTNode) -> Iterator[cst.CSTNode]:
    if isinstance(node, cst.SimpleString | cst.FormattedStringText):
        for pattern, text in SQL:
            for match in pattern.finditer(node.value):
                yield node.with_changes(value=node.value[: match.start()] + text + node.value[match.end() :])
        return
    kinds = dict.fromkeys(kind for kind, _ in mutators.mutation_operators)
    for operator in PYTHON:
        wanted = [kind for kind, other in mutators.mutation_operators if other is operator]
        if any(isinstance(node, kind) for kind in wanted if kind in kinds):
            yield from operator(node)


def _skipped(tree: cst.Module) -> Iterator[cst.CSTNode]:
    """Give nodes that decide nothing: texts about code, sentences of errors, types."""
    for node in _all_nodes(tree):
        if isinstance(node, cst.Annotation | cst.Decorator | cst.Raise | cst.Import | cst.ImportFrom):
            yield node
        if isinstance(node, cst.Expr) and isinstance(node.value, cst.SimpleString):
            yield node


def _nodes(node: cst.CSTNode, skipped: set[cst.CSTNode]) -> Iterator[cst.CSTNode]:
    if node in skipped:
        return
    yield node
    for child in node.children:
        yield from _nodes(child, skipped)


def _all_nodes(node: cst.CSTNode) -> Iterator[cst.CSTNode]:
    yield node
    for child in node.children:
        yield from _all_nodes(child)


def _changed_lines(source: str, text: str) -> tuple[str, str]:
    """Give the first line that differs, as it was and as it is."""
    pairs = zip(source.splitlines(), text.splitlines(), strict=False)
    return next((" ".join(old.split()), " ".join(new.split())) for old, new in pairs if old != new)


def survivors(mutants: list[Mutant], *, workers: int = 2) -> list[Mutant]:
    """Give the mutants that no test sees.

    A process of its own forks the tests of each mutant, since this one has threads and modules that a fork must not have.
    Tests that fail on unchanged modules raise ``RuntimeError``: they would see everything.
    """
    unchanged = [
        Mutant(module, "", "", (ROOT / module).read_text(encoding="utf-8"))
        for module in dict.fromkeys(m.module for m in mutants)
    ]
    orders = [{"module": m.module, "text": m.text, "tests": RULES[m.module]} for m in (*unchanged, *mutants)]
    command = [sys.executable, "-m", "tests.mutation.mutants", str(workers)]
    import subprocess

    process = subprocess.run(
        command, input=json.dumps(orders), capture_output=True, text=True, cwd=ROOT, check=False
    )
    if process.returncode:
        raise RuntimeError(process.stderr[-2000:])
    answers = {int(at): words for at, words in json.loads(process.stdout).items()}
    for at, one in enumerate(unchanged):
        if words := answers.pop(at):
            raise RuntimeError(f"the tests of {one.module} fail although nothing is changed:\n{words}")
    return [mutants[at - len(unchanged)] for at, words in answers.items() if not words]


def _serve(orders: list[dict], workers: int) -> dict[int, str]:
    """Give by order the last words of its tests where one failed; nothing where all passed."""
    for name in HEAVY:
        importlib.import_module(name)
    waiting = list(enumerate(orders))
    running: dict[int, int] = {}
    answers: dict[int, str] = {}
    with TemporaryDirectory() as folder:
        while waiting or running:
            while waiting and len(running) < workers:
                at, order = waiting.pop(0)
                running[_fork(order, Path(folder) / str(at))] = at
            pid, status = os.wait()
            at = running.pop(pid)
            words = (Path(folder) / f"{at}.txt").read_text(encoding="utf-8", errors="replace")
            answers[at] = f"{words[-2000:]}\nended with {status}" if status else ""
    return answers


def _fork(order: dict, place: Path) -> int:
    """Start the tests of an order: their files go below ``place``, where no other's tests are, their words to ``place``.txt."""
    words = os.open(place.with_suffix(".txt"), os.O_WRONLY | os.O_CREAT)
    pid = os.fork()
    if pid:
        os.close(words)
        return pid
    signal.alarm(SECONDS)
    os.dup2(words, 1)
    os.dup2(words, 2)
    code = 1
    try:
        sys.meta_path.insert(0, _Changed(order["module"], order["text"]))
        import pytest

        code = int(pytest.main(["-x", "-q", "--basetemp", str(place), *order["tests"]]))
    finally:
        os._exit(code)


class _Changed:
    """Finds one module in a text instead of its file."""

    def __init__(self, module: str, text: str) -> None:
        self.name = module.removesuffix(".py").replace("/", ".")
        self.file = ROOT / module
        self.text = text

    def find_spec(self, name: str, path: object = None, target: object = None) -> object:
        """Give the changed module's place."""
        return (
            importlib.util.spec_from_loader(name, self, origin=str(self.file)) if name == self.name else None
        )

    def create_module(self, spec: object) -> None:
        """Leave it to Python."""

    def exec_module(self, module: object) -> None:
        """Run the changed text."""
        module.__file__ = str(self.file)
        exec(compile(self.text, str(self.file), "exec"), module.__dict__)


if __name__ == "__main__":
    json.dump(_serve(json.load(sys.stdin), int(sys.argv[1])), sys.stdout)
