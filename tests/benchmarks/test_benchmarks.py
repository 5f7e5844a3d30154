"""The benchmarks compare like with like: same input, same answer, and a disagreement is shown."""

from __future__ import annotations

from importlib import import_module

import numpy as np
import pytest

from benchmarks import pages
from benchmarks.__main__ import BENCHMARKS
from benchmarks.components import connected_components, link_graphs
from benchmarks.measure import Outcome, Row, timed
from benchmarks.processes import in_process
from benchmarks.reading import fused_scan


def test_every_name_of_a_benchmark_is_a_module_and_a_file_of_results():
    modules = {name: import_module(module) for name, module in BENCHMARKS.items()}
    assert all(module.QUESTION and callable(module.run) for module in modules.values())
    assert {getattr(module, "NAME", name) for name, module in modules.items()} == set(BENCHMARKS)
    assert {file.stem for file in pages.FOLDER.glob("*.json")} <= set(BENCHMARKS)


@pytest.mark.slow
def test_a_way_in_a_process_of_its_own_hands_its_answer_back(tmp_path):
    np.save(tmp_path / "links.npy", np.ascontiguousarray(link_graphs.forest(1_000).T))
    module = "benchmarks.components.component_ways"
    answers = [
        in_process(module, way, tmp_path, limit=60) for way in ("scipy.sparse.csgraph on arrays", "networkx")
    ]
    assert answers[0]["digest"] == answers[1]["digest"] and answers[0]["peak_mb"] > 0
    assert in_process(module, "no such way", tmp_path, limit=60)["wrong"].startswith("failed: KeyError")


def test_every_way_finds_the_same_components():
    sources, targets, nodes = connected_components.identity_links(20_000, seed=3)
    answers = {
        way: smallest(find(sources, targets, nodes), nodes)
        for way, (find, smallest) in connected_components.WAYS.items()
    }
    reference = answers[connected_components.REFERENCE]
    assert [way for way, answer in answers.items() if not np.array_equal(answer, reference)] == []
    assert len(np.unique(reference)) < nodes / 2


def test_the_same_seed_gives_the_same_links():
    first, again, other = (connected_components.identity_links(5_000, seed)[0] for seed in (1, 1, 2))
    assert np.array_equal(first, again) and not np.array_equal(first, other)


def test_twenty_tags_are_one_scan_together_and_twenty_alone():
    together, alone = fused_scan.compiled_queries()
    assert together.count("from stg_trusted__transactions") == 1
    assert len(alone) == len(fused_scan.TAGS) == 20
    assert all(f" as {code}" in together for code in fused_scan.TAGS)
    # A window alone is not even read beyond its days: the single queries are not slowed down on purpose.
    assert (
        "where transacted_on >= date_sub(date'2026-11-20', 29)"
        in alone[list(fused_scan.TAGS).index("inflow_30d")]
    )


def test_repeats_end_with_the_budget_but_not_before_two():
    assert len(timed(lambda: None, 5).seconds) == 5
    assert len(timed(lambda: None, 5, budget=0).cpu_seconds) == 2


def test_a_page_shows_every_run_and_a_disagreement(tmp_path):
    outcome = Outcome([Row("case", "way", [3.0, 1.0, 2.0], is_equal=False)], ["a note"])
    machine = {
        "processor": "p",
        "cores": 2,
        "memory_gb": 8,
        "system": "s",
        "python": "3",
        "java": 17,
        "packages": {"numpy": "2"},
        "commit": "c",
        "load_1m": 0,
    }
    pages.keep(tmp_path, "some", "A question?", outcome, machine, "2026-11-20T00:00+00:00")
    pages.keep(tmp_path, "some", "A question?", Outcome(skip_reason="nothing there"), machine, "later")
    page = pages.write_page(tmp_path).read_text()
    assert "| case | way | 2 | 1 – 3 |  | 3 |  |  | NO |" in page
    assert "a note" in page and "2026-11-20" in page
    assert '"seconds": [\n        3.0,\n        1.0,\n        2.0' in (tmp_path / "some.json").read_text()


def test_the_model_of_a_night_is_the_line_that_was_drawn_and_never_falls():
    from benchmarks.scale import fit

    a, b = fit([5_000, 20_000, 100_000], [10.5, 12.0, 20.0])
    assert (round(a, 6), round(b, 9)) == (10.0, 0.0001)
    assert fit([1, 2, 4], [8.0, 4.0, 2.0])[1] == 0.0
    assert fit([100, 1_000], [1.0, 20.0])[0] == 0.0
