"""One way to connected components, once, in this process (see ``component_engines``): seconds and a digest."""

from __future__ import annotations

import hashlib
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.processes import write_answer

if TYPE_CHECKING:
    from lakehouse.tables.lake import Lake

ENGINE = "identity.engine, driver, Delta to Delta"
FLOOR = "opening and commit alone, Delta to Delta"
BARE, OUR_KERNEL = "numba union-find on arrays", "our kernel on arrays"
FILE_WAYS = (
    "Ways from files to files: the engine (Delta), Splink (Parquet to Parquet), star rounds (Delta to Parquet), "
    "GraphX (a text file of edges, which is all it loads, to Parquet). The others: arrays to arrays."
)
_ANSWER = "identity.answer"
Timed = tuple[np.ndarray, np.ndarray, np.ndarray]  # seconds by clock and of the processor, nodes, components


def _now() -> np.ndarray:
    return np.array([time.perf_counter(), time.process_time()])


def _engine(folder: Path) -> Timed:
    import pyarrow.dataset as ds
    from deltalake import DeltaTable

    from identity.components import components as engine
    from identity.components.union_find import components

    lake = _lake(folder)
    components(np.array([0]), np.array([1]), 2, kernel="numba")
    _warm()
    lake.version(_ANSWER)  # as the other ways' sessions have opened a table before
    began = _now()
    links = ds.dataset(DeltaTable(str(folder / "links")).file_uris())
    with lake.exchange("components") as place:
        answer = engine(links, place, settings=lake.settings.components)
        lake.overwrite(_ANSWER, answer.rows)
    seconds = _now() - began
    assert answer.mode == "driver"
    return seconds, *_answer_rows(lake)


def _floor(folder: Path) -> Timed:
    """Open the table of links and commit an answer whose files were ready before: what no way between tables can save."""
    import pyarrow.dataset as ds
    from deltalake import DeltaTable

    from identity.components import components as engine
    from lakehouse.tables.packing import write_packed
    from lakehouse.tables.staged_files import StagedFile

    lake = _lake(folder)
    links = ds.dataset(DeltaTable(str(folder / "links")).file_uris())
    with lake.exchange("components") as place, lake.exchange("ready") as ready:
        answer = engine(links, place, settings=lake.settings.components)
        files = [StagedFile(file, {}) for file in write_packed(answer.rows, ready)]
        lake.version(_ANSWER)
        began = _now()
        DeltaTable(str(folder / "links")).file_uris()
        lake.take_files(_ANSWER, files)
        seconds = _now() - began
    return seconds, *_answer_rows(lake)


def _lake(folder: Path) -> Lake:
    from lakehouse.contracts.reading import build_contract
    from lakehouse.settings.settings import load_settings
    from lakehouse.tables.lake import Lake

    workspace = folder / "workspace"
    shutil.rmtree(workspace, ignore_errors=True)
    workspace.mkdir()
    (workspace / "cdp.yml").write_text("{}\n")
    lake = Lake(load_settings(workspace))
    columns = {name: {"type": "bigint", "required": True} for name in ("node_id", "component")}
    contract = {"table": _ANSWER, "shape": "derived", "key": ["node_id"], "columns": columns}
    lake.contracts.add(
        build_contract(contract | dict.fromkeys(("description", "grain", "owner"), "benchmark"))
    )
    lake.create([_ANSWER])
    return lake


def _answer_rows(lake: Lake) -> tuple[np.ndarray, np.ndarray]:
    rows = lake.read_arrow(_ANSWER)
    return rows["node_id"].to_numpy(), rows["component"].to_numpy()


def _warm() -> None:
    from identity.components.union_find import NamedForest

    forest = NamedForest(2, "numba")
    # Arrow's columns cannot be written to, and numba compiles for that by itself.
    ends = np.arange(2)
    ends.setflags(write=False)
    forest.join(ends[:1], ends[1:])
    forest.answer()


def _textbook(parent: Any, sources: Any, targets: Any) -> None:
    """Link to the smaller root and halve paths, then one pass that flattens: what anybody writes who needs a union-find."""
    for i in range(len(sources)):
        a, b = sources[i], targets[i]
        while parent[a] != a:
            parent[a] = parent[parent[a]]
            a = parent[a]
        while parent[b] != b:
            parent[b] = parent[parent[b]]
            b = parent[b]
        if a < b:
            parent[b] = a
        elif b < a:
            parent[a] = b
    for node in range(len(parent)):
        parent[node] = parent[parent[node]]


def _bare_numba(folder: Path) -> Timed:
    """Join 64-bit parents in memory: no reading, no writing, no answer but the array."""
    import numba

    sources, targets = np.load(folder / "links.npy")
    join = numba.njit(_textbook)
    join(np.arange(2), sources[:0], targets[:0])
    began = _now()
    parent = np.arange(max(sources.max(), targets.max()) + 1)
    join(parent, sources, targets)
    return _now() - began, np.arange(len(parent)), parent


def _our_kernel(folder: Path) -> Timed:
    """Join with the kernel a night uses, as bare as the textbook's."""
    from identity.components import kernels

    sources, targets = np.load(folder / "links.npy")
    kernels.union(np.arange(2), np.array([0]), np.array([1]))
    kernels.flatten(np.arange(2))
    began = _now()
    parent = np.arange(max(sources.max(), targets.max()) + 1)
    kernels.union(parent, sources, targets)
    kernels.flatten(parent)
    return _now() - began, np.arange(len(parent)), parent


def _scipy(folder: Path) -> Timed:
    from scipy.sparse import csr_matrix
    from scipy.sparse.csgraph import connected_components

    sources, targets = np.load(folder / "links.npy")
    began = _now()
    nodes = max(sources.max(), targets.max()) + 1
    graph = csr_matrix((np.ones(len(sources), dtype=np.int8), (sources, targets)), shape=(nodes, nodes))
    labels = connected_components(graph, directed=False)[1]
    return _now() - began, np.arange(nodes), labels


def _networkx(folder: Path) -> Timed:
    import networkx as nx

    sources, targets = np.load(folder / "links.npy")
    began = _now()
    graph = nx.Graph()
    graph.add_edges_from(zip(sources.tolist(), targets.tolist(), strict=True))
    groups = list(nx.connected_components(graph))
    seconds = _now() - began
    nodes = np.fromiter((n for g in groups for n in g), dtype=np.int64)
    return seconds, nodes, np.repeat(np.arange(len(groups)), [len(g) for g in groups])


def _splink(folder: Path) -> Timed:
    import duckdb
    import pyarrow as pa
    import pyarrow.parquet as pq
    from deltalake import DeltaTable
    from splink import DuckDBAPI
    from splink.clustering import cluster_pairwise_predictions_at_threshold as cluster

    files = DeltaTable(str(folder / "links")).file_uris()
    sources, targets = np.load(folder / "links.npy")
    nodes = np.unique(np.concatenate([sources, targets]))
    pq.write_table(pa.table({"node_id": nodes}), folder / "nodes.parquet")
    connection = duckdb.connect()
    began = _now()
    connection.execute(f"create view links as select * from read_parquet({files})")
    connection.execute(f"create view nodes as select * from '{folder}/nodes.parquet'")
    answer = cluster(
        connection.table("nodes"), connection.table("links"), DuckDBAPI(connection=connection),
        node_id_column_name="node_id", edge_id_column_name_left="profile_id",
        edge_id_column_name_right="identifier_id",
    )  # fmt: skip
    connection.execute(f"copy (select * from {answer.physical_name}) to '{folder}/splink.parquet'")
    seconds = _now() - began
    rows = pq.read_table(folder / "splink.parquet")
    return seconds, rows["node_id"].to_numpy(), rows["cluster_id"].to_numpy()


def _session(folder: Path) -> Any:
    from lakehouse.session.session import start_session
    from lakehouse.settings.settings import load_settings

    workspace = folder / "workspace"
    workspace.mkdir(exist_ok=True)
    (workspace / "cdp.yml").write_text("spark: {driver_memory: 8g, shuffle_partitions: 8}\n")
    spark = start_session(load_settings(workspace), name="benchmarks")
    spark.read.format("delta").load(str(folder / "links")).count()
    return spark


def _read(folder: Path, name: str) -> tuple[np.ndarray, np.ndarray]:
    import pyarrow.parquet as pq

    rows = pq.read_table(folder / name)
    return rows.column(0).to_numpy(), rows.column(1).to_numpy()


def _rounds(folder: Path) -> Timed:
    from identity.components import components
    from lakehouse.settings.settings import ComponentSettings

    spark = _session(folder)
    place = folder / "rounds"
    place.mkdir()
    began = _now()
    links = spark.read.format("delta").load(str(folder / "links"))
    answer = components(links, place, settings=ComponentSettings(mode="rounds", driver_nodes=1))
    answer.rows.write.parquet(str(folder / "rounds_answer"))
    return _now() - began, *_read(folder, "rounds_answer")


def _graphx(folder: Path) -> Timed:
    spark = _session(folder)
    links = spark.read.format("delta").load(str(folder / "links"))
    began = _now()
    links.selectExpr("concat(profile_id, ' ', identifier_id)").write.text(str(folder / "edges"))
    jvm, level = spark._jvm, spark._jvm.org.apache.spark.storage.StorageLevel.MEMORY_AND_DISK()
    graphx = jvm.org.apache.spark.graphx
    graph = graphx.GraphLoader.edgeListFile(
        spark.sparkContext._jsc.sc(), str(folder / "edges"), False, 4, level, level
    )
    tag = jvm.scala.reflect.ClassTag.Int()
    answer = graphx.lib.ConnectedComponents.run(graph, 2**31 - 1, tag, tag)
    answer.vertices().saveAsTextFile(str(folder / "graphx_answer"))
    seconds = _now() - began
    parts = sorted((folder / "graphx_answer").glob("part-*"))
    text = "\n".join(part.read_text().replace("(", "").replace(")", "").strip() for part in parts)
    pairs = np.fromstring(text.replace("\n", ","), dtype=np.int64, sep=",").reshape(-1, 2)
    return seconds, pairs[:, 0], pairs[:, 1]


ON_SPARK: dict[str, Callable[[Path], Timed]] = {"GraphX": _graphx, "star rounds on PySpark": _rounds}
WAYS: dict[str, Callable[[Path], Timed]] = {
    ENGINE: _engine,
    FLOOR: _floor,
    BARE: _bare_numba,
    OUR_KERNEL: _our_kernel,
    "scipy.sparse.csgraph on arrays": _scipy,
    "networkx": _networkx,
    "Splink on DuckDB": _splink,
    **ON_SPARK,
}


def digest(nodes: np.ndarray, components: np.ndarray, ends: np.ndarray) -> str:
    """Give a digest of the grouping of the nodes that ``ends`` name, whatever its components are called."""
    order = np.argsort(nodes, kind="stable")
    nodes, components = nodes[order], components[order]
    is_end = np.zeros(int(ends.max()) + 1, dtype=bool)
    is_end[ends[0]] = is_end[ends[1]] = True
    is_kept = is_end[nodes]
    nodes, components = nodes[is_kept], components[is_kept]
    codes = np.unique(components, return_inverse=True)[1]
    first = np.full(codes.max() + 1, nodes.max())
    np.minimum.at(first, codes, nodes)
    return hashlib.sha256(np.stack([nodes, first[codes]]).astype(np.int64).tobytes()).hexdigest()[:16]


def main(way: str, name: str) -> None:
    """Run one way over the links in a folder and write its answer there."""
    folder = Path(name)
    seconds, nodes, components = WAYS[way](folder)
    answer = {
        "seconds": seconds[0],
        "cpu": seconds[1],
        "digest": digest(nodes, components, np.load(folder / "links.npy")),
    }
    write_answer(folder, answer)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
