"""Consumers that read while the platform publishes: whatever they hold is one whole run, the one before or the one after."""

from __future__ import annotations

import json
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace

import pyarrow as pa
import pytest
from test_consumers import LANGUAGES, consume, programs
from test_published_audiences import DESTINATIONS, PEOPLE, D, audience_of

from delivery.contract.verify_audience import verify
from delivery.destinations import read_destinations
from delivery.releasing import release_audience
from delivery.signature import verification_secret
from delivery.staging import STAGING, recipient_key, secret_name, stage_audience
from lakehouse.settings.settings import load_settings, secret_file

__all__ = ["consume", "programs"]  # fixtures
pytestmark = pytest.mark.slow
RELEASES, READS = 15, 6
AT = "2026-11-19T09:00:00+08:00"
# The reference consumer without a rest: one line after each read, with what it holds. Every second memory is lost, so that the
# next read is of the snapshot and not of the delta. It ends with a read after its input ended.
RESTLESS = """
import json, sys, threading
from datetime import datetime
from pathlib import Path

sys.path.insert(0, sys.argv[1])
import consume

root, key, at = Path(sys.argv[2]), Path(sys.argv[3]).read_bytes().strip(), datetime.fromisoformat(sys.argv[4])
over = threading.Event()
threading.Thread(target=lambda: (sys.stdin.read(), over.set()), daemon=True).start()
memory, is_last = {}, False
while not is_last:
    is_last = over.is_set()
    try:
        change, _, state = consume.consume(root, key, memory, at)
    except consume.Refusal as wrong:
        print(json.dumps({"outcome": wrong.kind}), flush=True)
        continue
    print(json.dumps({"outcome": change["outcome"], **state}), flush=True)
    memory = {} if state["seq"] % 2 and change["outcome"] != "snapshot" else state
"""
# The verifier in the same manner: after each look at the whole folder one line, with what it has against any run.
RESTLESS_VERIFIER = """
import json, sys, threading
from pathlib import Path

sys.path.insert(0, sys.argv[1])
from verify_audience import verify

over = threading.Event()
threading.Thread(target=lambda: (sys.stdin.read(), over.set()), daemon=True).start()
while not over.is_set():
    print(json.dumps([fault.sentence for verdict in verify(Path(sys.argv[2])) for fault in verdict.faults]), flush=True)
"""


class Press:
    """Releases of one segment, each with other people and each row with the number of its release."""

    def __init__(self, workspace, form):
        self.settings, self.form = load_settings(workspace), form
        self.destination = read_destinations(workspace)["engine"]
        self.root = self.settings.published / "engine" / "x"
        self.key_file = secret_file(workspace, verification_secret("engine"))
        self.editions: dict[int, tuple[str, dict[str, str]]] = {}

    def publish(self):
        number = len(self.editions) + 1
        # A third of the people leave and others come; whoever stays has another tier.
        audience = audience_of({n: ["FUND"] for n in range(number * 50, number * 50 + 150)}, D, self.form)
        people = audience.people.set_column(
            PEOPLE.get_field_index("tier"), "tier", pa.array([f"R{number}"] * 150)
        )
        audience = replace(audience, people=people)
        staged = stage_audience(audience, "engine", self.destination, settings=self.settings)
        release_audience(staged)
        secret = self.settings.secret(secret_name("engine"))
        rows = {recipient_key(secret, one_id): f"R{number}" for one_id in people["one_id"].to_pylist()}
        self.editions[number] = (staged.run_id, rows)

    def hold_against(self, state):
        """Hold what a consumer has to the one release that it names."""
        assert (state["run_id"], {key: row["tier"] for key, row in state["rows"].items()}) == self.editions[
            state["seq"]
        ]


@pytest.fixture
def press(make_workspace):
    """A function that gives a press whose first release is out."""

    def make(form):
        press = Press(make_workspace({"destinations.yml": DESTINATIONS}), form)
        press.publish()
        return press

    return make


def publish_beside(press, words, file, *, is_enough):
    """Release runs while a program without a rest writes lines into a file, until they are enough; give the lines."""

    def lines():
        return [json.loads(line) for line in file.read_text(encoding="utf-8").split("\n")[:-1]]

    with (
        file.open("w", encoding="utf-8") as out,
        subprocess.Popen(list(map(str, words)), stdin=subprocess.PIPE, stdout=out) as program,
    ):
        while not lines() and program.poll() is None:
            time.sleep(0.01)
        while program.poll() is None and (len(press.editions) < RELEASES or not is_enough(lines())):
            press.publish()
        program.stdin.close()
        assert program.wait() == 0
    return lines()


@pytest.mark.parametrize(
    "form", ["parquet", *(pytest.param(form, marks=pytest.mark.slow) for form in ("csv", "json_lines"))]
)
def test_a_consumer_without_a_rest_reads_whole_runs_while_many_are_released(press, programs, tmp_path, form):
    press = press(form)
    words = [*programs["python"][:-1], "-c", RESTLESS, programs["python"][-1].parent, press.root, press.key_file, AT]  # fmt: skip
    reads = publish_beside(
        press, words, tmp_path / "reads", is_enough=lambda lines: len({one.get("seq") for one in lines}) > 5
    )
    # Three releases within one read are refused in so many words, and the next read is another; nothing else is refused.
    whole = [one for one in reads if one["outcome"] != "superseded"]
    assert {one["outcome"] for one in whole} <= {"snapshot", "delta", "nothing new"}
    for one in whole:
        press.hold_against(one)
    numbers = [one["seq"] for one in whole]
    assert numbers == sorted(numbers) and numbers[-1] == len(press.editions)


@contextmanager
def many_releases(press):
    """Releases without end, in a thread, for as long as the block lasts."""
    is_over = threading.Event()

    def publish():
        while not is_over.is_set():
            press.publish()

    with ThreadPoolExecutor(1) as publisher:
        releases = publisher.submit(publish)
        try:
            yield
        finally:
            is_over.set()
        releases.result()


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_commands_hold_whole_runs_while_many_are_released(press, consume, language):
    press, held = press("json_lines"), []

    def read():
        code, answer = consume(language, press.root, press.key_file, AT)
        assert code == 0 or answer["kind"] == "superseded", answer
        if code == 0:
            held.append(json.loads(consume.memory.read_text(encoding="utf-8"))["x"])

    with many_releases(press):
        for _ in range(READS):
            read()
    read()
    for state in held:
        press.hold_against(state)
    assert len({state["seq"] for state in held}) > 1 and held[-1]["seq"] == len(press.editions)


def test_all_runs_verify_while_more_are_released(press, programs, tmp_path):
    press = press("csv")
    words = [
        *programs["python"][:-1],
        "-c",
        RESTLESS_VERIFIER,
        programs["python"][-1].parent,
        press.root.parent,
    ]
    faults = publish_beside(press, words, tmp_path / "faults", is_enough=lambda lines: len(lines) > 2)
    assert [one for one in faults if one] == []


def test_a_run_that_is_still_written_is_none_of_those_that_are_verified(press):
    press = press("csv")
    before = [verdict.folder for verdict in verify(press.settings.published)]
    (press.root / STAGING / "v=1" / "as_of=2026-11-18" / "run=unfinished").mkdir(parents=True)
    assert [verdict.folder for verdict in verify(press.settings.published)] == before
