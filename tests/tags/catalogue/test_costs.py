"""What a tag costs: the seconds of models are divided by a rule, and nothing is counted twice. Plain values, no lake."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tags.compile.compilation import compile_tags
from tags.costs import column_sizes, tag_costs

COMPILATION = compile_tags(None)


def costs(seconds, rows, sizes=None):
    return tag_costs(COMPILATION, seconds, lambda name: rows.get(name, 0), sizes or {})


def scan(noun):
    return next(scan for scan in COMPILATION.plan.scans if scan.relation.noun == noun)


def test_the_seconds_of_the_wide_model_are_divided_whole():
    answer = costs(
        {"customer_tags": 60.0}, {"trusted.transactions": 1000, "trusted.events": 10, "identity.one_ids": 5}
    )
    assert set(answer) == {entry.code for entry in COMPILATION.entries}
    assert sum(cost.seconds for cost in answer.values()) == pytest.approx(60.0)


def test_a_tag_over_a_large_table_costs_more_than_one_over_a_small_one():
    answer = costs(
        {"customer_tags": 60.0},
        {"trusted.events": 1_000_000, "trusted.customers": 100, "identity.one_ids": 100},
    )
    events = next(s for s in COMPILATION.plan.scans if "trusted.events" in _tables(s))
    assert answer[events.entries[0].code].seconds > 100 * answer["age"].seconds > 0


def _tables(scan):
    from tags.costs import _inputs, _readings

    return _inputs(scan.model, _readings(COMPILATION), set())


def test_a_stored_model_is_paid_by_the_tags_that_read_it_and_by_no_other():
    rows = {"identity.one_ids": 1}
    stored = next(
        name for name in COMPILATION.models
        if sum(name in _models(s) for s in COMPILATION.plan.scans) not in (0, len(COMPILATION.plan.scans))
    )  # fmt: skip
    answer = costs({"customer_tags": 0.0, stored: 12.0}, rows)
    paying = {code for code, cost in answer.items() if cost.seconds}
    scans = [scan for plan in COMPILATION.plans for scan in plan.scans]
    readers = {e.code for s in scans if stored in _models(s) for e in s.entries}
    assert paying == readers
    assert sum(cost.seconds for cost in answer.values()) == pytest.approx(12.0)


def _models(scan):
    from tags.costs import _models as models_of
    from tags.costs import _readings

    return models_of(scan.model, _readings(COMPILATION))


def test_a_model_that_no_tag_reads_is_nobodys_and_an_empty_lake_is_divided_too():
    answer = costs({"customer_tags": 5.0, "a_model_of_the_site": 100.0}, {})
    assert sum(cost.seconds for cost in answer.values()) == pytest.approx(5.0)


def test_bytes_are_those_of_the_column_lists_included(tmp_path):
    rows = pa.table(
        {"one_id": list(range(10_000)), "word": ["x"] * 10_000, "list": [[str(at)] for at in range(10_000)]}
    )
    pq.write_table(rows, tmp_path / "a.parquet")
    sizes = column_sizes([tmp_path / "a.parquet", tmp_path / "a.parquet"])
    assert set(sizes) == {"one_id", "word", "list"}
    assert sizes["list"] > sizes["one_id"] > sizes["word"] > 0
    once = column_sizes([tmp_path / "a.parquet"])
    assert sizes == {name: 2 * size for name, size in once.items()}
    assert costs({}, {}, {"age": 7})["age"].bytes == 7
