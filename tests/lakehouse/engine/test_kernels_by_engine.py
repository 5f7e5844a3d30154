"""What an engine computes is what the other one computes: kernels by bucket, numbers in an order, statements."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from pyspark import cloudpickle

from lakehouse.engine.duckdb import DuckDBEngine
from lakehouse.engine.spark import SparkEngine
from lakehouse.query.desk import open_alone

# The workers of the session do not know this module.
cloudpickle.register_pickle_by_value(sys.modules[__name__])

ORDERS = pa.schema({"shop": pa.int64(), "item": pa.string(), "cents": pa.int64()})
PRICES = pa.schema({"shop": pa.int64(), "factor": pa.int32()})


@dataclass(frozen=True)
class Takings:
    """Give the takings of every shop of a bucket, and what cost nothing; ``calls`` counts buckets."""

    takes: ClassVar = {"orders": ORDERS, "prices": PRICES}
    gives: ClassVar = {
        "takings": pa.schema({"shop": pa.int64(), "cents": pa.int64()}),
        "gifts": pa.schema({"item": pa.string()}),
        "calls": pa.schema({"rows": pa.int64()}),
        "nothing": pa.schema({"item": pa.string()}),
    }

    def __call__(self, tables: Mapping[str, pa.Table]) -> Mapping[str, pa.Table]:
        orders, prices = tables["orders"], tables["prices"]
        factors = dict(zip(prices["shop"].to_pylist(), prices["factor"].to_pylist(), strict=True))
        totals: dict[int, int] = {}
        for shop, cents in zip(orders["shop"].to_pylist(), orders["cents"].to_pylist(), strict=True):
            totals[shop] = totals.get(shop, 0) + cents * factors.get(shop, 1)
        gifts = orders.filter(pc.equal(orders["cents"], 0)).select(["item"])
        return {
            "takings": pa.table({"shop": list(totals), "cents": list(totals.values())}, schema=self.gives["takings"]),
            "gifts": gifts,
            "calls": pa.table({"rows": [orders.num_rows + prices.num_rows]}),
            "nothing": self.gives["nothing"].empty_table(),
        }  # fmt: skip


@pytest.fixture(params=["duckdb", pytest.param("spark", marks=pytest.mark.slow)])
def engine(request, tmp_path):
    if request.param == "duckdb":
        with open_alone(folders=[tmp_path]) as desk:
            yield DuckDBEngine(desk)
    else:
        yield SparkEngine(request.getfixturevalue("spark"), tmp_path, lambda names: None)


def orders(size=500):
    rng = np.random.default_rng(5)
    return pa.table(
        {
            "item": [f"it'em {n}" if n % 7 else None for n in range(size)],
            "shop": rng.integers(0, 40, size),
            "cents": rng.integers(0, 5, size),
        }
    )


def rows_of(engine, rows):
    return sorted(map(repr, engine.records(f"SELECT * FROM {rows}")))


@pytest.mark.slow
def test_a_kernel_is_called_once_per_bucket_with_all_rows_of_it(engine):
    all_orders = orders()
    prices = pa.table({"factor": pa.array([3, 2], pa.int32()), "shop": [39, 7]})
    inputs = {
        "orders": engine.define("o", f"SELECT *, CAST(shop % 6 AS INT) AS b FROM {engine.take('orders', all_orders)}"),
        "prices": engine.define("p", f"SELECT *, CAST(shop % 6 AS INT) AS b FROM {engine.take('prices', prices)}"),
    }  # fmt: skip
    answers = engine.run(Takings(), inputs, by="b", buckets=6)
    whole = Takings()({"orders": all_orders.select(ORDERS.names), "prices": prices.select(PRICES.names)})
    assert rows_of(engine, answers["takings"]) == sorted(map(repr, whole["takings"].to_pylist()))
    assert rows_of(engine, answers["gifts"]) == sorted(map(repr, whole["gifts"].to_pylist()))
    calls = [row["rows"] for row in engine.records(f"SELECT rows FROM {answers['calls']}")]
    assert (len(calls), sum(calls)) == (6, 502)
    assert rows_of(engine, answers["nothing"]) == []


def test_buckets_without_rows_are_not_called(engine):
    few = engine.define("o", f"SELECT *, 3 AS b FROM {engine.take('orders', orders(2))}")
    none = engine.define("p", f"SELECT *, 0 AS b FROM {engine.take('prices', PRICES.empty_table())}")
    answers = engine.run(Takings(), {"orders": few, "prices": none}, by="b", buckets=5)
    assert engine.records(f"SELECT rows FROM {answers['calls']}") == [{"rows": 2}]


@pytest.mark.slow
def test_rows_are_numbered_in_their_order_whatever_stands_in_them(engine):
    names = [
        "b",
        "a",
        "Z",
        "é",
        "张",
        "\U0001f600",
        "\ufffd",
        "",
        "a b",
        "it's",
        *(f"x{n}" for n in range(200)),
    ]
    numbered = engine.number(
        "numbered", f"SELECT name FROM {engine.take('names', pa.table({'name': names}))}",
        order=("name",), name="place", after=1000,
    )  # fmt: skip
    places = {row["name"]: row["place"] for row in engine.records(f"SELECT name, place FROM {numbered}")}
    expected = sorted(names, key=lambda name: name.encode())
    assert places == {name: 1001 + at for at, name in enumerate(expected)}
    none = engine.number(
        "none", f"SELECT name FROM {numbered} WHERE place < 0", order=("name",), name="n", after=5
    )
    assert engine.records(f"SELECT * FROM {none}") == []


def test_variables_are_read_and_literals_left_alone(engine):
    from datetime import date

    engine.let(day=date(2026, 11, 18), name="O'Hara \\ $day")
    assert engine.records("SELECT $day AS a, '$day' AS b, $name AS c") == [
        {"a": date(2026, 11, 18), "b": "$day", "c": "O'Hara \\ $day"}
    ]


def test_equal_rows_have_one_bucket_and_there_are_no_others(engine):
    rows = engine.take("orders", orders())
    buckets = engine.records(f"SELECT DISTINCT item, {engine.bucket_of(('item',), 7)} AS b FROM {rows}")
    assert len(buckets) == len({row["item"] for row in buckets})
    assert {row["b"] for row in buckets} == set(range(7))


@pytest.mark.slow
def test_rows_of_files_and_what_is_computed_of_them_come_to_a_desk(engine, tmp_path):
    pq.write_table(orders(), folder_of(tmp_path, "k=1 [x]") / "0.parquet")
    rows = engine.read("orders", tmp_path / "k=1 [x]")
    dear = engine.define("dear", f"SELECT shop, cents FROM {rows} WHERE cents > 2")
    none = engine.keep("none", f"SELECT shop FROM {rows} WHERE cents > 9")
    with open_alone(folders=[tmp_path]) as other:
        desk = getattr(engine, "desk", other)
        for one in (rows, dear, none, engine.keep("kept", f"SELECT * FROM {dear}")):
            relation = engine.at_desk(one, desk)
            assert sorted(relation.columns) == sorted(one.columns)
            assert sorted(
                map(repr, desk.records(f"SELECT {', '.join(one.columns)} FROM {relation}"))
            ) == rows_of(engine, one)
        assert desk.value(f"SELECT count(*) FROM {engine.at_desk(none, desk)}") == 0


def test_equal_values_have_one_hash_and_others_have_others(engine):
    rows = engine.take("orders", orders())
    hashes = engine.records(f"SELECT item, shop, {engine.hash_of(['item', 'shop + 1'])} AS h FROM {rows}")
    values = {(row["item"], row["shop"]) for row in hashes}
    assert len({row["h"] for row in hashes}) == len(values) > 40


def folder_of(folder, name):
    (folder / name).mkdir()
    return folder / name
