"""The engine's answer equals networkx in every mode, from every kind of table; the mode is chosen by size and said."""

from __future__ import annotations

import logging

import networkx as nx
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from hypothesis import given, note
from hypothesis import settings as examples
from hypothesis import strategies as st

from identity.components import choice, components
from identity.components.contract import STARS, stars_of_batches
from identity.components.driver import components_on_driver
from identity.components.links import links_of
from lakehouse.errors import ContractBroken, SettingsInvalid
from lakehouse.settings.settings import ComponentSettings, load_settings

KERNELS = ["scipy", "numba"]


def oracle(pairs):
    graph = nx.Graph()
    graph.add_edges_from(pairs)
    return {node: min(group) for group in nx.connected_components(graph) for node in group}


def table(pairs):
    ends = np.array(pairs, dtype=np.int64).reshape(-1, 2)
    return pa.table({"profile_id": ends[:, 0], "identifier_id": ends[:, 1]})


def told(rows):
    rows = rows if isinstance(rows, pa.Table) else rows.toArrow()
    nodes, groups = rows["node_id"].to_pylist(), rows["component"].to_pylist()
    assert len(nodes) == len(set(nodes)), "a node stands twice"
    return dict(zip(nodes, groups, strict=True))


def awkward(seed):
    """Chains, a hub, cliques with a bridge, pairs, duplicates both ways round and loops, numbered at random with holes."""
    rng = np.random.default_rng(seed)
    chain = [(i, i + 1) for i in range(40)]
    hub = [(100, 101 + i) for i in range(60)]
    cliques = [(a, b) for base in (200, 210) for a in range(base, base + 7) for b in range(base, a)]
    pairs = [*chain, *hub, *cliques, (203, 214), (300, 300), (301, 301), (301, 302)]
    pairs += [(400 + 2 * i, 401 + 2 * i) for i in range(20)]
    pairs += [tuple(p) for p in rng.integers(500, 560, (int(rng.integers(10, 60)), 2)).tolist()]
    pairs += pairs[:10] + [(b, a) for a, b in pairs[20:60]]
    number = rng.permutation(900)
    return [(int(number[a]), int(number[b])) for a, b in rng.permutation(np.array(pairs)).tolist()]


@pytest.mark.parametrize("kernel", KERNELS)
@examples(max_examples=150, deadline=None, derandomize=True)
@given(
    pairs=st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40)), max_size=60),
    scale=st.sampled_from([(1, 0), (1, 7), (3, 0), (10**12, -5), (-(10**9), 3), (1, 2**31)]),
)
def test_the_driver_equals_networkx_whatever_the_ids(kernel, pairs, scale):
    note(f"kernel {kernel}, scale {scale}")
    pairs = [(a * scale[0] + scale[1], b * scale[0] + scale[1]) for a, b in pairs]
    found = components_on_driver(links_of(table(pairs), None), kernel=kernel)
    assert told(found) == oracle(pairs)
    assert found["node_id"].to_pylist() == sorted(oracle(pairs))


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("seed", range(10))
def test_files_a_filtered_dataset_and_an_arrow_table_give_the_same(kernel, seed, tmp_path):
    pairs = awkward(seed)
    rows = table(pairs)
    for part in range(3):
        pq.write_table(rows.slice(part * 70, 70), tmp_path / f"part-{part}.parquet", row_group_size=20)
    pq.write_table(rows.slice(210), tmp_path / "part-rest.parquet")
    for links in (rows, ds.dataset(rows), tmp_path, ds.dataset(tmp_path)):
        given_links = links_of(links, tmp_path)
        assert told(components_on_driver(given_links, kernel=kernel)) == oracle(pairs), f"seed {seed}"
    some = ds.dataset(tmp_path).filter(pc.field("profile_id") != pairs[0][0])
    kept = [pair for pair in pairs if pair[0] != pairs[0][0]]
    assert told(components_on_driver(links_of(some, tmp_path), kernel=kernel)) == oracle(kept)


def test_bounds_come_from_the_files_and_equal_a_count(tmp_path):
    pq.write_table(table([(5, 9), (3, 3)]), tmp_path / "a.parquet")
    pq.write_table(table([(7, 12)]), tmp_path / "b.parquet", write_statistics=False)
    bounds = links_of(tmp_path, tmp_path).bounds
    assert (bounds.links, bounds.low, bounds.high, bounds.nodes) == (3, 3, 12, 6)
    assert (
        links_of(ds.dataset(tmp_path / "a.parquet"), tmp_path).bounds
        == links_of(table([(5, 9), (3, 3)]), tmp_path).bounds
    )
    assert links_of(table([]), tmp_path).bounds.nodes == 0


def test_a_file_that_lacks_a_column_is_refused(tmp_path):
    pq.write_table(table([(5, 9), (3, 3)]), tmp_path / "a.parquet")
    pq.write_table(table([(7, 12)]).drop_columns("identifier_id"), tmp_path / "b.parquet")
    with pytest.raises(ContractBroken, match="1 links have no end in column 'identifier_id'"):
        components(ds.dataset(tmp_path), tmp_path)


def test_a_partition_gives_one_star_per_node():
    halves = [table([(8, 2), (5, 8)]).to_batches()[0], table([(9, 9), (2, 8)]).to_batches()[0]]
    stars = pa.Table.from_batches(stars_of_batches(iter(halves)), STARS)
    assert dict(zip(stars["node_id"].to_pylist(), stars["tree"].to_pylist(), strict=True)) == {
        2: 2,
        5: 2,
        8: 2,
        9: 9,
    }
    assert list(stars_of_batches(iter([]))) == []


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (pa.table({"profile_id": [1, None], "identifier_id": [2, 3]}), "1 links have no end in column 'profile_id'"),
        (pa.table({"profile_id": ["a"], "identifier_id": ["b"]}), "column 'profile_id' of links is string"),
    ],
)  # fmt: skip
def test_a_link_that_is_none_is_refused(rows, said, tmp_path):
    with pytest.raises(ContractBroken, match=said):
        components(rows, tmp_path)


def test_without_spark_the_driver_answers_and_says_so(tmp_path, caplog):
    caplog.set_level(logging.INFO, "cdp.identity")
    found = components(table([(1, 2), (3, 4)]), tmp_path, settings=ComponentSettings(driver_nodes=3))
    assert (found.mode, told(found.rows)) == ("driver", {1: 1, 2: 1, 3: 3, 4: 3})
    assert "2 links, at most 4 nodes, mode driver" in caplog.text and "no Spark" in caplog.text


def test_the_settings_name_modes_and_bounds(make_workspace):
    assert load_settings(make_workspace()).components == ComponentSettings()
    written = {"cdp.yml": "components: {mode: rounds, driver_nodes: 5}\n"}
    assert load_settings(make_workspace(written)).components.driver_nodes == 5
    for wrong in ("{mode: magic}", "{driver_nodes: 0}", "{driver_node: 5}"):
        with pytest.raises(SettingsInvalid):
            load_settings(make_workspace({"cdp.yml": f"components: {wrong}\n"}))


WAYS = {
    "contract": (ComponentSettings(driver_nodes=400, partition_links=100), "contract"),
    "rounds until it fits": (ComponentSettings(mode="rounds", driver_nodes=150), "rounds"),
}
TO_THE_END = {
    "contract, then rounds": (ComponentSettings(driver_nodes=1, partition_links=60), "contract"),
    "rounds to the end": (ComponentSettings(mode="rounds", driver_nodes=1), "rounds"),
}


@pytest.mark.slow
def test_every_mode_equals_networkx_on_spark(lake, spark, caplog, monkeypatch):
    """One graph of every shape through Spark's modes; each leaves something, and less than all, to the driver."""
    handed = _watched(monkeypatch, caplog)
    pairs = awkward(4)
    frame = _frame(spark, pairs)
    for way, (settings, mode) in WAYS.items():
        handed.clear()
        with lake.exchange("components") as folder:
            found = components(frame, folder, settings=settings)
            assert (found.mode, told(found.rows)) == (mode, oracle(pairs)), f"{way}, seed 4"
        assert f"mode {mode}" in caplog.text, way
        assert 0 < sum(handed) < len(pairs) / 2, way
    with lake.exchange("components") as folder:
        found = components(frame, folder)
        assert (found.mode, told(found.rows)) == ("driver", oracle(pairs))
    with lake.exchange("components") as folder, pytest.raises(ContractBroken, match="1 links have no end"):
        components(spark.createDataFrame([(1, None)], "a long, b long"), folder)
    assert list((lake.settings.lake / "_exchange").iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize("way", TO_THE_END)
def test_rounds_end_without_the_driver(way, lake, spark, caplog, monkeypatch):
    handed = _watched(monkeypatch, caplog)
    settings, mode = TO_THE_END[way]
    pairs = awkward(5)
    with lake.exchange("components") as folder:
        found = components(table(pairs), folder, settings=settings, spark=lambda: spark)
        assert (found.mode, told(found.rows)) == (mode, oracle(pairs)), "seed 5"
    assert handed == []


def _frame(spark, pairs):
    return spark.createDataFrame(pairs, "profile_id int, identifier_id long").repartition(3)


def _watched(monkeypatch, caplog):
    """Give the list that the driver's share of links will be noted in."""
    caplog.set_level(logging.INFO, "cdp.identity")
    handed: list[int] = []
    monkeypatch.setattr(choice, "components_on_driver", lambda links: _counted(links, handed))
    return handed


def _counted(links, handed):
    handed.append(links.bounds.links)
    return components_on_driver(links)
