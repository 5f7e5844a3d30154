"""Measures of an entity resolution against known truth; both sides are partitions of the same profiles.

Pairwise precision and recall count pairs of profiles; B-cubed averages over profiles (Bagga and Baldwin 1998), so
that one big cluster cannot hide many small ones; splits and merges are the steps of the generalised merge distance
(Menestrina et al. 2010) that lead from our grouping to the true one.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lakehouse.errors import InputInvalid
from lakehouse.settings.optional_files import require_ordinary

if TYPE_CHECKING:
    from lakehouse.tables.lake import Lake

TRUTH_COLUMNS = ("source", "source_key", "person")


@dataclass(frozen=True)
class Measures:
    """How well OneIDs match true persons, over profiles that both know."""

    profiles: int
    people: int
    one_ids: int
    precision: float
    recall: float
    f1: float
    b_cubed_precision: float
    b_cubed_recall: float
    b_cubed_f1: float
    exact_people: int
    exact_ratio: float
    splits: int
    merges: int
    merge_distance: int
    largest: int
    largest_true: int
    mixed_one_ids: int
    profiles_without_truth: int
    truth_without_profile: int

    def summary(self) -> dict[str, Any]:
        """Give all numbers, shares rounded to six digits."""
        return {k: round(v, 6) if isinstance(v, float) else v for k, v in asdict(self).items()}


def evaluate(
    memberships: pa.Table | Lake, truth: pa.Table | Path, *, allow_missing: bool | None = None
) -> Measures:
    """Measure ``memberships`` (source, source_key, one_id; open rows) against ``truth`` (source, source_key, person).

    ``truth`` is a table, a CSV file or a folder with ``profiles.csv``. Truth about profiles the map does not hold
    raises ``InputInvalid`` unless ``allow_missing`` (records that were refused or not delivered yet); profiles
    without truth are only counted. Given a lake, its open map of this moment is measured and missing profiles are
    allowed, since a night is not wrong because its truth runs ahead.
    """
    if not isinstance(memberships, pa.Table):
        rows = memberships.read_arrow(
            "identity.memberships", columns=["source", "source_key", "one_id", "valid_to"]
        )
        memberships = rows.filter(pc.is_null(rows["valid_to"]))
        allow_missing = True if allow_missing is None else allow_missing
    name = str(truth) if isinstance(truth, Path) else "the truth"
    true_rows = read_truth(truth) if isinstance(truth, Path) else truth
    places = _pair_index(true_rows, memberships)
    missing = int((places < 0).sum())
    if missing and not allow_missing:
        first = int(np.flatnonzero(places < 0)[0])
        source = true_rows["source"][first].as_py()
        raise InputInvalid(
            f"{missing} of {true_rows.num_rows} profiles of the truth are not in the map (the first is of source "
            f"'{source}'); check that both are of the same night, or pass --allow-missing",
            file=name,
            line=first + 2,
        )
    is_in_map = places >= 0
    ours = memberships["one_id"].to_numpy()[places[is_in_map]]
    people = pc.dictionary_encode(true_rows["person"].combine_chunks()).indices.to_numpy()[is_in_map]
    return measure(
        ours,
        people,
        profiles_without_truth=memberships.num_rows - int(is_in_map.sum()),
        truth_without_profile=missing,
    )


def measure(
    ours: np.ndarray, truth: np.ndarray, *, profiles_without_truth: int = 0, truth_without_profile: int = 0
) -> Measures:
    """Measure two labellings of the same profiles."""
    ours = np.unique(ours, return_inverse=True)[1]
    truth = np.unique(truth, return_inverse=True)[1]
    size = len(ours)
    width = int(truth.max(initial=0)) + 1
    cells, counts = np.unique(ours.astype(np.int64) * width + truth, return_counts=True)
    our_sizes, true_sizes = np.bincount(ours), np.bincount(truth)
    our_of, true_of = (
        our_sizes[cells // width] if size else cells,
        true_sizes[cells % width] if size else cells,
    )

    def pairs(sizes: np.ndarray) -> int:
        return int((sizes.astype(np.int64) * (sizes.astype(np.int64) - 1) // 2).sum())

    right_pairs, our_pairs, true_pairs = pairs(counts), pairs(our_sizes), pairs(true_sizes)
    precision, recall = (
        right_pairs / our_pairs if our_pairs else 1.0,
        right_pairs / true_pairs if true_pairs else 1.0,
    )
    b_precision = float((counts * counts / our_of).sum() / size) if size else 1.0
    b_recall = float((counts * counts / true_of).sum() / size) if size else 1.0
    pieces_of_ours = np.bincount(cells // width) if size else cells
    pieces_of_truth = np.bincount(cells % width) if size else cells
    exact = int(((counts == our_of) & (counts == true_of)).sum())
    return Measures(
        profiles=size,
        people=len(true_sizes),
        one_ids=len(our_sizes),
        precision=precision,
        recall=recall,
        f1=_harmonic(precision, recall),
        b_cubed_precision=b_precision,
        b_cubed_recall=b_recall,
        b_cubed_f1=_harmonic(b_precision, b_recall),
        exact_people=exact,
        exact_ratio=exact / len(true_sizes) if len(true_sizes) else 1.0,
        splits=int((pieces_of_ours - 1).sum()),
        merges=int((pieces_of_truth - 1).sum()),
        merge_distance=int((pieces_of_ours - 1).sum() + (pieces_of_truth - 1).sum()),
        largest=int(our_sizes.max(initial=0)),
        largest_true=int(true_sizes.max(initial=0)),
        mixed_one_ids=int((pieces_of_ours > 1).sum()),
        profiles_without_truth=profiles_without_truth,
        truth_without_profile=truth_without_profile,
    )


def read_truth(file: Path) -> pa.Table:
    """Read a truth file (CSV with header source, source_key, person; gz by its suffix), refusing repeated profiles.

    Of a folder the file ``profiles.csv`` or ``profiles.csv.gz`` is read.
    """
    from pyarrow import csv

    if file.is_dir():
        plain = file / "profiles.csv"
        file = plain if plain.exists() else plain.with_suffix(".csv.gz")
    require_ordinary(file)
    try:
        options = csv.ConvertOptions(
            column_types=dict.fromkeys(TRUTH_COLUMNS, pa.string()), strings_can_be_null=False
        )
        rows = csv.read_csv(file, convert_options=options)
    except FileNotFoundError:
        raise InputInvalid("the truth file does not exist", file=file) from None
    except pa.ArrowInvalid as wrong:
        raise InputInvalid(
            f"the truth file is no CSV with a header: {str(wrong).splitlines()[0]}", file=file
        ) from None
    absent = [c for c in TRUTH_COLUMNS if c not in rows.column_names]
    if absent:
        raise InputInvalid(
            f"the truth file has no column '{absent[0]}'; it needs source, source_key, person",
            file=file,
            line=1,
        )
    rows = rows.select(list(TRUTH_COLUMNS))
    if rows.group_by(["source", "source_key"]).aggregate([]).num_rows != rows.num_rows:
        raise InputInvalid("the truth names a profile twice", file=file)
    return rows


def _pair_index(rows: pa.Table, others: pa.Table) -> np.ndarray:
    def keys_of(rows: pa.Table) -> pa.ChunkedArray:
        parts = [rows[c].cast(pa.string()) for c in ("source", "source_key")]
        return pc.binary_join_element_wise(*parts, "\x1f")

    return pc.fill_null(pc.index_in(keys_of(rows), value_set=keys_of(others)), -1).to_numpy()


def _harmonic(a: float, b: float) -> float:
    return 2 * a * b / (a + b) if a + b else 0.0
