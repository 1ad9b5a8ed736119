"""Scores from random subspaces, against a loop over rounds."""

import numpy as np
import pytest
from scipy.stats import kstest, triang

from querist.kernels import subspaces
from querist.kernels.subspaces import subspace_scores, triangular


def naive(x, tie, rounds, generator, dims, neighbours, exponent):
    n, d = x.shape
    x = x.astype(np.float64)
    low, peak, high = x.min(axis=0), np.median(x, axis=0), x.max(axis=0)
    axes = generator.random((rounds, d)).argpartition(dims - 1, axis=1)[:, :dims]
    u = generator.random((rounds, dims))
    score = np.zeros(n)
    for r in range(rounds):
        point = triangular(u[r], low[axes[r]], peak[axes[r]], high[axes[r]])
        gap = np.abs(x[:, axes[r]] - point).sum(axis=1)
        pick = min(np.flatnonzero(gap == gap.min()), key=lambda i: tie[i])
        score[pick] += 1
        gap = np.abs(x[:, axes[r]] - x[pick, axes[r]]).sum(axis=1)
        others = np.delete(np.arange(n), pick)
        if (gap[others] == 0).any():
            share = (gap[others] == 0).astype(float)
        else:
            near = gap[others] <= np.sort(gap[others])[min(neighbours, n - 1) - 1]
            share = np.where(near, gap[others] ** -exponent, 0.0)
        score[others] -= share / share.sum()
    return score


@pytest.mark.parametrize("neighbours", [1, 4, 100])
@pytest.mark.parametrize("dims", [1, 2, 3])
@pytest.mark.parametrize("kind", ["normal", "grid", "constant column"])
def test_equals_a_loop_over_rounds(neighbours, dims, kind):
    rng = np.random.default_rng(neighbours + dims)
    x = rng.normal(size=(37, 4)).astype(np.float32)
    if kind == "grid":
        x = np.round(x)
    if kind == "constant column":
        x[:, 2] = 1.5
    tie = rng.permutation(37).astype(np.uint64)
    got = subspace_scores(x, tie, 200, np.random.default_rng(5), dims=dims, neighbours=neighbours, exponent=2.5)
    expected = naive(x, tie, 200, np.random.default_rng(5), dims, neighbours, 2.5)
    assert got == pytest.approx(expected, abs=1e-9)


def test_a_permutation_of_rows_permutes_scores():
    rng = np.random.default_rng(0)
    x, tie, order = rng.normal(size=(50, 6)), np.arange(50).astype(np.uint64), rng.permutation(50)
    straight = subspace_scores(x, tie, 500, np.random.default_rng(1))
    assert subspace_scores(x[order], tie[order], 500, np.random.default_rng(1)) == pytest.approx(straight[order])


def test_blocks_of_rounds_draw_like_single_ones(monkeypatch):
    x, tie = np.random.default_rng(0).normal(size=(30, 3)), np.arange(30).astype(np.uint64)
    monkeypatch.setattr(subspaces, "BLOCK", 64)
    ends = [subspace_scores(x, tie, rounds, np.random.default_rng(1)).sum() for rounds in (1, 64, 65, 200)]
    assert ends == pytest.approx([0.0] * 4, abs=1e-9)  # what the nearest gains, its neighbours lose


def test_one_row_only_gains_and_few_columns_are_all_used():
    assert subspace_scores(np.ones((1, 5)), np.zeros(1, np.uint64), 7, np.random.default_rng(0)).tolist() == [7.0]
    x = np.random.default_rng(0).normal(size=(9, 1))
    scores = subspace_scores(x, np.arange(9).astype(np.uint64), 50, np.random.default_rng(0), dims=4)
    assert np.isfinite(scores).all()
    assert np.ptp(scores) > 0


def test_tiny_distances_do_not_overflow():
    x = np.random.default_rng(0).normal(size=(20, 2)) * 1e-30
    assert np.isfinite(subspace_scores(x, np.arange(20).astype(np.uint64), 100, np.random.default_rng(0))).all()


def test_triangular_draws_follow_the_law():
    u = np.random.default_rng(0).random(20_000)
    for low, peak, high in ((0.0, 0.3, 2.0), (-1.0, -1.0, 1.0), (-1.0, 1.0, 1.0)):
        law = triang((peak - low) / (high - low), loc=low, scale=high - low)
        assert kstest(triangular(u, low, peak, high), law.cdf).pvalue > 1e-6
    assert triangular(u[:5], 2.0, 2.0, 2.0).tolist() == [2.0] * 5


def test_neighbours_that_a_sample_of_distances_misjudges_are_all_found():
    rng = np.random.default_rng(0)
    near = np.arange(4100) % 4 == 0  # as often as rows are sampled: the sample is full of them
    x = np.where(near, rng.random(4100), 100 + rng.random(4100))[:, None].astype(np.float32)
    x[:, 0] += rng.normal(size=4100).astype(np.float32) * 1e-3
    tie = rng.permutation(4100).astype(np.uint64)
    got = subspace_scores(x, tie, 40, np.random.default_rng(5), neighbours=200, exponent=1.0)
    assert got == pytest.approx(naive(x, tie, 40, np.random.default_rng(5), 1, 200, 1.0), abs=1e-9)
