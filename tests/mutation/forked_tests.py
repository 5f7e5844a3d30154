"""Runs tests of one tree in processes that a server forks: it has the libraries loaded and nothing of the tree.

A process of its own would load the libraries anew, which takes longer than most tests. The server reads no module of the tree, so a
changed file is read by the tests, and by processes that they start, as if nothing had been there before.
"""

from __future__ import annotations

import compileall
import gc
import importlib
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from py_compile import PycInvalidationMode
from select import select

# None of these is a plugin of pytest, which must see a plugin being loaded.
LIBRARIES = (
    "pytest", "duckdb", "numpy", "pandas", "pyarrow.parquet", "sqlglot", "pydantic", "yaml", "ruamel.yaml", "networkx",
    "scipy.sparse.csgraph", "pyspark.sql", "click", "rich.console", "jinja2",
)  # fmt: skip
_OF_PYTEST = re.compile(r"/(test_\w+|conftest)\.py$")


def compile_tree(tree: Path) -> None:
    """Compile the modules of ``tree``, each with the hash of its text: one that changes within a second is compiled anew.

    Files of tests are left to pytest, which goes by time and size.
    """
    compileall.compile_dir(tree, quiet=2, rx=_OF_PYTEST, invalidation_mode=PycInvalidationMode.CHECKED_HASH)


class ForkedTests:
    """The server of one tree: it starts with the first test, and again after one that took too long."""

    def __init__(self, tree: Path, environment: dict[str, str]) -> None:
        self.tree = tree
        self.environment = environment
        self._server: subprocess.Popen | None = None

    def run(self, words: list[str], files: Path, seconds: float) -> tuple[int, str, str]:
        """Give exit code, output and errors of pytest with ``words``; ``TimeoutExpired`` where it takes longer.

        What it prints goes to files beside ``files``.
        """
        if self._server is None:
            self._server = subprocess.Popen(
                [sys.executable, "-m", "tests.mutation.forked_tests"],
                cwd=self.tree, env=self.environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True,
            )  # fmt: skip
        output, errors = files.with_suffix(".out"), files.with_suffix(".err")
        order = {"words": words, "output": str(output), "errors": str(errors)}
        self._server.stdin.write(json.dumps(order).encode() + b"\n")
        self._server.stdin.flush()
        if not select([self._server.stdout], [], [], seconds)[0]:
            self.close()
            raise subprocess.TimeoutExpired(words, seconds)
        code = int(self._server.stdout.readline())
        texts = [file.read_text(encoding="utf-8", errors="replace") for file in (output, errors)]
        return code, texts[0], texts[1]

    def close(self) -> None:
        """End the server and what it has started."""
        if self._server is not None:
            os.killpg(self._server.pid, signal.SIGKILL)
            self._server.communicate()
            self._server = None


def _serve() -> int:
    """Fork a process for each order and write its exit code; a forked one gives its own instead."""
    for name in LIBRARIES:
        importlib.import_module(name)
    # What the libraries made is never collected: looking at it, at the end at the latest, takes longer than a short test.
    gc.freeze()
    while line := sys.stdin.readline():
        pid = os.fork()
        if not pid:
            return _run(json.loads(line))
        _, status = os.waitpid(pid, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)
    return 0


def _run(order: dict) -> int:
    """Be ``python -m pytest`` with the words of the order, and end as it ends."""
    import pytest

    for at, name in enumerate((os.devnull, order["output"], order["errors"])):
        file = os.open(name, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
        os.dup2(file, at)
        os.close(file)
    sys.argv = [str(Path(pytest.__file__).with_name("__main__.py")), *order["words"]]
    return int(pytest.main())


if __name__ == "__main__":
    sys.exit(_serve())
