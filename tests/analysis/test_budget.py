"""First budgets: coverage against all pairs, expected classes against every possible draw, and the formula."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, strategies as st

from querist.analysis.budget import (
    coverage_curve,
    expected_classes,
    labels_to_see,
    labels_until_flat,
    published_formula,
    suggest,
)
from querist.errors import DataError, UsageError
from querist.kernels.coverage import gaussian, greedy_cover


def points(n=40, d=5, seed=0):
    x = np.random.default_rng(seed).normal(size=(n, d))
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)


@pytest.mark.parametrize("sigma", [0.3, 1.0, 4.0])
def test_coverage_is_the_mean_of_the_largest_similarities(sigma):
    x, picks = points().astype(np.float64), np.array([7, 3, 21, 3, 30])
    similar = np.exp(-np.square(x[:, None] - x[picks]).sum(axis=2) / sigma**2)
    expected = [similar[:, : t + 1].max(axis=1).mean() for t in range(len(picks))]
    np.testing.assert_allclose(coverage_curve(x, picks, sigma), expected, rtol=1e-12)
    assert coverage_curve(x, picks[:0]).shape == (0,)
    with pytest.raises(UsageError, match="sigma"):
        coverage_curve(x, picks, 0.0)


def test_gains_are_those_that_greedy_coverage_reports():
    x = points(60)
    rows, gain = greedy_cover(
        x, gaussian(1.0), np.empty(0, np.intp), np.ones(60, bool), np.arange(60, dtype=np.uint64), 12
    )
    np.testing.assert_allclose(np.diff(coverage_curve(x, rows), prepend=0.0), gain / 60, atol=1e-9)


@given(st.lists(st.integers(0, 4), min_size=1, max_size=4).filter(lambda sizes: 0 < sum(sizes) <= 9))
def test_expected_classes_is_the_mean_over_every_possible_draw(sizes):
    owner = np.repeat(np.arange(len(sizes)), sizes)
    found = expected_classes(sizes, len(owner))
    for n in range(len(owner) + 1):
        draws = list(combinations(range(len(owner)), n))
        assert found[n] == pytest.approx(np.mean([len(set(owner[list(draw)])) for draw in draws]), abs=1e-12)
    for share in (0.3, 0.95, 1.0):
        wanted = share * np.count_nonzero(sizes)
        assert labels_to_see(sizes, share) == next(n for n in range(len(owner) + 1) if found[n] >= wanted - 1e-9)


def test_expected_classes_refuses_what_cannot_be_drawn():
    for sizes, most in (([2, 3], 6), ([-1, 3], 1), ([2], -1)):
        with pytest.raises(DataError, match="draws"):
            expected_classes(sizes, most)
    with pytest.raises(UsageError, match="share"):
        labels_to_see([2, 3], 0.0)


def test_labels_go_on_as_long_as_any_of_them_adds_enough():
    curve = np.cumsum([0.5, 0.0005, 0.2, 0.0005, 0.0005])
    assert labels_until_flat(curve) == 3
    assert labels_until_flat(curve, 0.3) == 1
    assert labels_until_flat(curve, 0.6) == 0
    assert labels_until_flat(curve, 0.0004) is None
    assert labels_until_flat(np.empty(0)) is None


@pytest.mark.parametrize(("c", "labels"), [(2, 86), (10, 510), (100, 14_600), (8, 392)])
def test_published_formula(c, labels):
    assert published_formula(c) == labels == c * int(np.floor(1.052 * c + 41.33))


def test_suggestions_are_one_per_fact_and_say_where_they_come_from():
    assert suggest() == ()
    curve = np.cumsum([0.5, 0.2, 0.0001, 0.0001])
    found = suggest(covered={"somebody": curve, "else": curve[:2]}, size_k=[5, 5], groups="clusters", c=10)
    assert [s.labels for s in found] == [2, None, labels_to_see([5, 5]), 510]
    assert "coverage is then 70%" in found[0].why
    assert "after 2 labels it still does" in found[1].why
    assert "2 clusters" in found[2].why
    assert "51 per class" in found[3].why
