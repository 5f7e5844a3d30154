"""What the command line answers to wrong inputs, and to a few right ones: exit code and words, case by case.

The cases stand in ``unchanged_cases.yml``. A case works in a copy of its workspace; one that changes no file of the
bank with a finished night shares that bank.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import re
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import yaml

from benchmarks.unchanged_product import Answer, Product

CASES = Path(__file__).with_name("unchanged_cases.yml")
KEYS = {"in", "segment", "write", "replace", "append", "remove", "copy", "lock", "run"}
LONGEST = 1500
BEGINNING = 160
HOLDER = {
    "pid": 4242,
    "purpose": "nightly 2026-11-18",
    "since": "2026-11-18T22:00:00+00:00",
    "jvm_pid": None,
}

# start of a line of stderr → why it is no message of the product.
NOISE: dict[str, str] = {
    r"WARNING: Using incubator modules": "the JVM speaks",
    r"Setting default log level to|To adjust logging level use": "Spark speaks",
    r"\d\d/\d\d/\d\d \d\d:\d\d:\d\d (WARN|ERROR)": "Spark speaks, with the clock and the machine's name",
    r'\{"at": "[^"]*", "level": "(info|debug)"': "progress, with durations, in the order of threads",
}
# part of a message → what stands in its place, since it is the clock's.
CLOCK: dict[str, str] = {
    r'\{"at": "[^"]*", ': '{"at": "<clock>", ',
    r'"decision_id": "[0-9a-f]{12}"': '"decision_id": "<hash with the clock>"',
    r'"seconds": [0-9.]+': '"seconds": <seconds>',
}


def wrong_input_lines(
    product: Product, work: Path, examples: Callable[[str, str], Path], *, night: Path, cases: Path = CASES
) -> Iterator[str]:
    """Run every case; give a line for each.

    ``examples`` copies an example's workspace to a name below the work folder; ``night`` is the bank with a night.
    """
    tree = yaml.safe_load(cases.read_text(encoding="utf-8"))
    for name, case in tree["cases"].items():
        if strangers := sorted(case.keys() - KEYS):
            sys.exit(f"the case '{name}' has the unknown key '{strangers[0]}'")
        base = case.get("in", "nothing")
        folder = work / name
        if base in tree["workspaces"]:
            write_files(folder, tree["workspaces"][base])
        elif base == "night":
            folder = _night(case, night, folder)
        else:
            examples(base, str(folder.relative_to(product.work)))
        segment = tree["segment"].replace("RULE", case.get("segment", "").strip())
        try:
            change_files(folder, case, segment=segment)
        except ValueError as wrong:
            sys.exit(f"the case '{name}' cannot be set up: {wrong}")
        command = case["run"]
        for placeholder, value in tree["values"].items():
            command = command.replace(placeholder, value)
        with ExitStack() as locks:
            if case.get("lock"):
                locks.enter_context(_other_writer(folder / "lake"))
            answer = product.run(command, folder)
        # The bank with a night is <night> where a case shares it; a copy's summary names the report of the bank, too.
        places = {folder: "workspace", night: "night", product.root: "product", product.work: "work"}
        yield f"case {name} {describe(answer, places)}"
        if folder != night:
            shutil.rmtree(folder)


def _night(case: dict[str, Any], night: Path, folder: Path) -> Path:
    if not case.keys() & {"segment", "write", "replace", "append", "remove", "copy", "lock"}:
        return night
    shutil.copytree(night, folder)
    return folder


def write_files(folder: Path, files: dict[str, str | dict[str, str]]) -> None:
    """Write files below a folder: text, or ``{text, encoding}``."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        text, encoding = (
            (content, "utf-8") if isinstance(content, str) else (content["text"], content["encoding"])
        )
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode(encoding))


def change_files(folder: Path, case: dict[str, Any], *, segment: str) -> None:
    """Make a case's workspace wrong. What is not there to be changed raises ``ValueError``."""
    if "segment" in case:
        write_files(folder, {"segments/x.yml": segment})
    write_files(folder, case.get("write", {}))
    for pattern, pairs in case.get("replace", {}).items():
        for path in _matching(folder, pattern):
            text = path.read_text(encoding="utf-8")
            for old, new in pairs.items():
                if old not in text:
                    raise ValueError(f"{pattern} does not hold '{old}'")
                text = text.replace(old, new, 1)
            path.write_text(text, encoding="utf-8")
    for pattern, text in case.get("append", {}).items():
        for path in _matching(folder, pattern):
            path.write_text(path.read_text(encoding="utf-8") + text, encoding="utf-8")
    for pattern in case.get("remove", []):
        for path in _matching(folder, pattern):
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def _matching(folder: Path, pattern: str) -> list[Path]:
    paths = sorted(folder.glob(pattern))
    if not paths:
        raise ValueError(f"nothing is called {pattern}")
    return paths


@contextmanager
def _other_writer(lake: Path) -> Iterator[None]:
    """Hold the writer's lock as another process would."""
    lake.mkdir(parents=True, exist_ok=True)
    with (lake / ".cdp.lock").open("w", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.write(json.dumps(HOLDER))
        file.flush()
        yield


def describe(answer: Answer, places: dict[Path, str]) -> str:
    """Give an answer on one line, without paths of the machine, the clock, and what the product does not say."""
    return f"exit={answer.exit_code} stdout={_words(answer.stdout, places)} stderr={_words(answer.stderr, places)}"


def _words(text: str, places: dict[Path, str]) -> str:
    for path, name in places.items():
        text = text.replace(str(path), f"<{name}>")
    lines = [line for line in text.splitlines() if not any(re.match(start, line) for start in NOISE)]
    text = "\n".join(lines)
    for pattern, steady in CLOCK.items():
        text = re.sub(pattern, steady, text)
    if len(text) <= LONGEST:
        return json.dumps(text, ensure_ascii=False)
    digest = hashlib.sha256(text.encode()).hexdigest()[:32]
    return f"{json.dumps(text[:BEGINNING], ensure_ascii=False)}… lines={len(lines)} sha256={digest}"
