"""The arithmetic of micro-segments: against small cases by hand, against SciPy's own k-means, and on any number of threads."""

from __future__ import annotations

import os
import subprocess
import sys
from decimal import Decimal
from itertools import permutations, product
from pathlib import Path

import numpy as np
import pytest

from segments.grouping.fitting import TooFewPeople, fit_centres, nearest
from segments.grouping.labels import lasting_labels
from segments.grouping.quality import adjusted_rand, silhouette
from segments.grouping.scaling import coordinates, scale_of

ROOT = Path(__file__).resolve().parents[3]


def test_two_groups_by_hand():
    # Values 1, 2, 3 and 9: mean 3.75, variance (7.5625 + 3.0625 + 0.5625 + 27.5625) / 4 = 9.6875.
    values = [np.array([1.0, 2.0, 3.0, 9.0])]
    scale = scale_of("x", values[0], transform="none", clip=Decimal(0))
    assert (scale.low, scale.middle, scale.high, scale.mean) == (1, 2, 9, Decimal("3.75"))
    assert scale.spread == Decimal("3.112475")
    points = coordinates(values, [scale])
    assert points.ravel().tolist() == [-884, -562, -241, 1687]
    result = fit_centres(points, 2, 1)
    assert result.points.ravel().tolist() == [-562, 1687] and result.sizes.tolist() == [3, 1]
    assert result.inertia == 322**2 + 0 + 321**2


def test_outliers_are_cut_nulls_are_the_median_and_what_is_no_number_is_null():
    values = np.array([*range(1, 100), 1e12, np.nan, np.inf, -np.inf])
    scale = scale_of("x", values, transform="none", clip=Decimal("0.01"))
    assert (scale.low, scale.middle, scale.high) == (1, 50, 99)
    points = coordinates([values], [scale]).ravel()
    assert points[99] == points[98] and len(set(points[100:].tolist())) == 1 and points[100] == points[49]


def test_a_logarithm_keeps_the_sign():
    scale = scale_of("x", np.array([-np.e + 1, 0, np.e - 1]), transform="log1p", clip=Decimal(0))
    assert (scale.low, scale.middle, scale.high) == (-1, 0, 1)


def test_nobody_with_a_value_has_no_scale_and_equal_people_a_constant_one():
    assert scale_of("x", np.array([np.nan]), transform="none", clip=Decimal(0)) is None
    assert scale_of("x", np.array([5.0, 5.0]), transform="none", clip=Decimal(0)).is_constant


def test_of_equally_near_centres_the_first_counts():
    assert nearest(np.array([[5], [6]]), np.array([[0], [10]])).tolist() == [0, 1]


def test_fewer_different_points_than_centres_are_refused():
    with pytest.raises(TooFewPeople) as few:
        fit_centres(np.array([[1], [1], [2]]), 3, 1)
    assert few.value.different == 2


def drawn_points(count=3000, columns=6):
    rng = np.random.default_rng(11)
    truth = rng.integers(0, 5, count)
    middles = rng.normal(0, 3000, (5, columns))
    return np.rint(middles[truth] + rng.normal(0, 600, (count, columns))).astype(np.int64), truth


def test_the_best_start_is_as_good_as_that_of_scipy():
    from scipy.cluster.vq import kmeans2

    points, truth = drawn_points()
    result = fit_centres(points, 5, 3)
    centres, places = kmeans2(points.astype(float), result.points.astype(float), minit="matrix")
    assert np.abs(centres - result.points).max() <= 1  # a fixed point of theirs, but for rounding
    assert adjusted_rand(places, nearest(points, result.points)) == 1
    assert adjusted_rand(truth, places) == 1
    assert fit_centres(points, 5, 4).inertia == result.inertia


def test_small_cases_are_nearly_as_good_as_the_best_partition_there_is():
    rng = np.random.default_rng(5)
    for _ in range(6):
        points = rng.integers(-50, 50, (7, 2))
        if len(np.unique(points, axis=0)) < 3:
            continue
        best = min(
            sum(
                float(((points[[i for i in range(7) if where[i] == k]] - points[[i for i in range(7) if where[i] == k]].mean(axis=0)) ** 2).sum())
                for k in set(where)
            )
            for where in product(range(3), repeat=7)
        )  # fmt: skip
        # Lloyd's algorithm may stop at a partition that no single point improves.
        assert fit_centres(points, 3, 1, starts=10).inertia <= 1.05 * best + 8


@pytest.mark.slow
def test_threads_do_not_count():
    program = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from test_micro_kernels import drawn_points\n"
        "from segments.grouping.fitting import fit_centres\n"
        "r = fit_centres(drawn_points(20_000, 12)[0], 7, 1); print(r.points.tolist(), r.sizes.tolist(), r.inertia)\n"
    )
    answers = set()
    for threads in ("1", "2", "4"):
        names = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
        environment = {**os.environ, **dict.fromkeys(names, threads), "PYTHONPATH": str(ROOT)}
        answers.add(
            subprocess.run(
                [sys.executable, "-c", program, str(Path(__file__).parent)],
                env=environment, capture_output=True, text=True, check=True,
            ).stdout
        )  # fmt: skip
    assert len(answers) == 1


@pytest.mark.parametrize(
    ("first", "second", "index"),
    [
        ([0, 0, 1, 1], [5, 5, 3, 3], "1"),
        ([0, 0, 1, 1], [0, 1, 0, 1], "-0.5"),
        (
            [0, 0, 0, 1, 1, 1],
            [0, 0, 1, 1, 2, 2],
            "0.2424",
        ),  # Hubert and Arabie's formula: (2 - 1.2) / (4.5 - 1.2)
        ([0, 0, 0], [1, 1, 1], "1"),
    ],
)
def test_adjusted_rand_by_hand(first, second, index):
    assert adjusted_rand(np.array(first), np.array(second)) == Decimal(index)


def test_a_silhouette_by_hand():
    # Of 0 and 1: inner 1, outer 10 and 9; the point at 10 is alone and has 0.
    points, places = np.array([[0], [1], [10]]), np.array([0, 0, 1])
    assert silhouette(points, places) == Decimal("0.5963")  # (9/10 + 8/9 + 0) / 3
    assert silhouette(points, np.zeros(3, dtype=np.int64)) is None


@pytest.mark.parametrize(
    ("overlap", "earlier", "count", "labels"),
    [
        ({(1, 0): 50, (2, 1): 40}, [1, 2], 2, [1, 2]),
        ({(1, 1): 50, (2, 0): 40}, [1, 2], 2, [2, 1]),
        ({(1, 0): 60, (1, 1): 40, (2, 2): 10}, [1, 2], 3, [1, 8, 2]),  # the larger part of a group that splits
        ({(1, 0): 60, (2, 0): 40}, [1, 2], 1, [1]),  # the larger of two that become one
        ({(1, 0): 100, (2, 0): 90, (2, 1): 3, (3, 1): 97}, [1, 2, 3], 2, [1, 3]),
        ({(1, 0): 100, (2, 0): 90, (2, 1): 4, (1, 1): 6}, [1, 2], 2, [1, 8]),  # 4 people are no half of 94 or of 10
        ({(1, 0): 5, (1, 1): 5}, [1], 2, [1, 8]),  # a tie: the larger centre comes first
        ({}, [1, 2], 2, [8, 9]),
    ],
)  # fmt: skip
def test_numbers_follow_the_people(overlap, earlier, count, labels):
    assert lasting_labels(overlap, earlier, count, 7) == labels


def test_as_many_people_as_can_keep_their_number():
    rng = np.random.default_rng(3)
    for _ in range(50):
        table = rng.integers(20, 100, (4, 4))
        overlap = {(row + 1, place): int(table[row, place]) for row in range(4) for place in range(4)}
        labels = lasting_labels(overlap, [1, 2, 3, 4], 4, 4)
        stays = sum(table[label - 1, place] for place, label in enumerate(labels) if label <= 4)
        best = max(
            sum(table[row, place] for place, row in enumerate(order)) for order in permutations(range(4))
        )
        assert stays <= best
        if max(labels) <= 4:
            assert stays == best
