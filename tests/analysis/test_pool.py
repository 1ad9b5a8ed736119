"""A pool and what was chosen from it, against distances of all pairs."""

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from querist.analysis.pool import class_counts, near_across, near_within, nearest_labelled, pure_until


def points(n=50, d=4, seed=0):
    return np.random.default_rng(seed).normal(size=(n, d)).astype(np.float32)


class TestClasses:
    def test_counts_coverage_and_entropy_in_bits(self):
        found = class_counts(np.array([0, 0, 3, 3, 1, 1, 1, 1]), 5)
        assert found.count_c.tolist() == [2, 4, 0, 2, 0]
        assert found.coverage == 0.6
        assert found.entropy == pytest.approx(1.5)
        assert found.evenness == pytest.approx(1.5 / np.log2(5))

    def test_one_class_has_no_entropy_and_none_has_none(self):
        assert class_counts(np.array([2, 2]), 3).entropy == 0.0
        assert class_counts(np.arange(8), 8).evenness == pytest.approx(1.0)
        empty = class_counts(np.empty(0, np.int64), 3)
        assert np.isnan(empty.entropy)
        assert empty.coverage == 0.0


def test_nearest_labelled_is_the_smallest_distance_to_all_rounds_so_far():
    x, rounds = points(), [np.array([3, 9]), np.array([40]), np.array([0, 1, 2])]
    rows = np.arange(0, 50, 2)
    found = nearest_labelled(x, rows, rounds)
    gap = cdist(x, x)
    for t in range(3):
        expected = gap[rows][:, np.concatenate(rounds[: t + 1])].min(axis=1)
        np.testing.assert_allclose(found[t], expected, atol=1e-6)
    assert (np.diff(found, axis=0) <= 0).all()


def test_balls_are_pure_up_to_the_nearest_row_of_another_label():
    x, label = points(), np.arange(50) % 3
    rows = np.array([0, 5, 33])
    found = pure_until(x, label, rows)
    gap = cdist(x, x)
    assert found == pytest.approx([gap[i, label != label[i]].min() for i in rows], abs=1e-6)
    for i, radius in zip(rows, found, strict=True):
        assert len(set(label[gap[i] < radius - 1e-6])) == 1
        assert len(set(label[gap[i] <= radius + 1e-6])) > 1
    assert np.isinf(pure_until(x, np.zeros(50, np.int64), rows)).all()


class TestNear:
    def test_copies_and_near_copies_are_found_in_order(self):
        x = points()
        x[10], x[20] = x[11], x[21] + np.float32(1e-4)
        found = near_within(x)
        gap = cdist(x, x)
        np.fill_diagonal(gap, np.inf)
        nearest = gap.min(axis=1)
        assert found.threshold == pytest.approx(0.1 * np.median(nearest[nearest > 0]), abs=1e-6)
        assert found.rows == (nearest < found.threshold).sum() == 4
        assert found.worst[:2].tolist() == [[10, 11], [20, 21]]
        assert (np.diff(found.distance) >= 0).all()
        assert len({tuple(pair) for pair in found.worst.tolist()}) == len(found.worst)
        np.testing.assert_allclose(found.distance, gap[found.worst[:, 0], found.worst[:, 1]], atol=1e-6)

    def test_a_threshold_of_ones_own(self):
        found = near_within(points(), threshold=1.0)
        gap = cdist(points(), points())
        np.fill_diagonal(gap, np.inf)
        assert found.rows == (gap.min(axis=1) < 1.0).sum()

    def test_copies_alone_and_single_rows(self):
        assert near_within(np.ones((4, 2), np.float32)).rows == 4
        assert near_within(np.ones((1, 2), np.float32)).rows == 0

    def test_across_splits_counts_held_rows_and_names_the_partner(self):
        x = points()
        x[40] = x[7]
        held, pool = np.arange(35, 50), np.arange(35)
        found = near_across(x, held, pool, 0.5)
        gap = cdist(x[held], x[pool])
        assert found.rows == (gap.min(axis=1) < 0.5).sum()
        assert found.worst[0].tolist() == [40, 7]
        assert found.distance[0] == 0.0
        np.testing.assert_allclose(np.sort(gap.min(axis=1)), found.distance, atol=1e-6)
        assert near_across(x, held[:0], pool, 0.5).rows == 0
