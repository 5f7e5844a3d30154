"""What workers of a cluster are sent and asked, without a cluster."""

from __future__ import annotations

import importlib.metadata
import pickle
import subprocess
import sys
from datetime import date
from pathlib import Path

import pyarrow as pa
import pytest

from identity.components.contract import stars_of_batches
from identity.nights.buckets.kernels import GoldenKernel, PeopleKernel, ValuesKernel
from identity.rules.rules import read_rules
from ingestion.records.reading import _SparkReader
from lakehouse.engine.spark import _Task
from lakehouse.session import workers
from lakehouse.session.workers import WorkerQuestion, write_archive

ON_A_WORKER = """
import pickle, sys
sys.path.insert(0, sys.argv[1])
task = pickle.loads(open(sys.argv[2], "rb").read())
module = sys.modules[type(task).__module__ if not hasattr(task, "__name__") else task.__module__]
assert sys.argv[1] in module.__file__, module.__file__
print(len(list(task([]))))
"""


@pytest.fixture
def lake(tmp_path):
    (tmp_path / "lake" / "_exchange").mkdir(parents=True)
    token = tmp_path / "lake" / "_exchange" / "token"
    token.write_text("app-1", encoding="utf-8")
    return token


def tasks():
    rules = read_rules(Path("no identity.yml here"))
    nobody = pa.table({"source": pa.array([], pa.string()), "full_name": pa.array([], pa.string())})
    return [
        _Task(ValuesKernel(rules, b"k")),
        _Task(PeopleKernel(rules, date(2026, 11, 18), (), nobody, 7, b"k")),
        _Task(GoldenKernel(rules.golden)),
        stars_of_batches,
    ]


@pytest.mark.slow
@pytest.mark.parametrize("task", tasks(), ids=lambda task: type(getattr(task, "kernel", task)).__name__)
def test_a_worker_that_has_nothing_but_the_archive_can_do_every_task(task, tmp_path):
    archive = write_archive(tmp_path)
    (tmp_path / "task").write_bytes(pickle.dumps(task))
    command = [sys.executable, "-I", "-c", ON_A_WORKER, str(archive), str(tmp_path / "task")]
    process = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert (process.returncode, process.stdout) == (0, "0\n"), process.stderr


def test_the_archive_is_named_by_what_it_holds_and_the_same_for_the_same(tmp_path):
    one, other = write_archive(tmp_path / "a"), write_archive(tmp_path / "b")
    assert one.name == other.name
    assert one.read_bytes() == other.read_bytes()
    assert _SparkReader.__module__.replace(".", "/") + ".py" in one.read_bytes().decode("latin-1")


def test_a_key_is_in_no_text_of_a_kernel():
    assert not any("b'k'" in repr(task) for task in tasks())


def ask(lake, **other):
    own = {"token": str(lake), "text": "app-1", "archive": "workers.py", "versions": ()}
    return list(WorkerQuestion(**(own | other))([]))


def test_a_worker_that_has_all_has_no_fault(lake):
    assert ask(lake, versions=(("numpy", importlib.metadata.version("numpy")),)) == []


@pytest.mark.parametrize(
    ("other", "words"),
    [
        ({"versions": (("pyarrowz", "1"),)}, "has no pyarrowz: give the workers the driver's Python environment"),
        ({"versions": (("numpy", "1.0"),)}, "the driver 1.0: give the workers"),
        ({"archive": "oneid_cdp_1.zip"}, "runs another copy of the product"),
        ({"text": "app-2"}, "sees another folder"),
        ({"token": "/nowhere/lake/_exchange/token"}, "cannot read and write the lake at /nowhere/lake (No such file"),
    ],
)  # fmt: skip
def test_what_a_worker_lacks_is_one_sentence(lake, other, words):
    (fault,) = ask(lake, **other)
    assert words in fault
    assert fault.startswith("a worker (")
    assert "\n" not in fault


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[PYTHON_VERSION_MISMATCH] Python in worker has different version: 3.9 than that in driver: 3.11", "the workers have another Python than the driver"),
        ("ModuleNotFoundError: No module named 'numpy'\n", "the workers have no Python module numpy: give them"),
        ('java.io.IOException: Cannot run program "/opt/py/bin/python3": error=2', "the workers cannot start Python"),
        ("x\norg.apache.spark.SparkException: Job aborted\n", "cannot run a task (org.apache.spark.SparkException: Job aborted)"),
        ("", "no reason is given"),
    ],
)  # fmt: skip
def test_what_keeps_workers_from_running_a_task_is_one_sentence(text, words):
    sentence = workers._sentence(text)
    assert words in sentence
    assert "\n" not in sentence
