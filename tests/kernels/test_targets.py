"""What a label would tell about the labels of other rows."""

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from scipy.special import rel_entr, xlogy

from querist.kernels import draws as draw_kernels, joint as joint_kernel, targets as kernel
from querist.kernels.targets import change, change_by_target, information_by_target, most_informative
from querist.kernels.workers import workers


def make(seed, n=30, c=4, k=5, alpha=0.5):
    return list(np.random.default_rng(seed).dirichlet(np.full(c, alpha), size=(k, n)))


def entropy(p):
    return -xlogy(p, p).sum()


def information(draws, i, t):
    """The mutual information of two labels, from their joint table."""
    joint = np.mean([np.outer(p[i], p[t]) for p in draws], axis=0)
    return entropy(joint.sum(axis=1)) + entropy(joint.sum(axis=0)) - entropy(joint)


def expected(draws, i, t, divergence):
    """The expected divergence of a target's prediction after the label of row i from the one before, label by label."""
    before = np.mean([p[t] for p in draws], axis=0)
    total = 0.0
    for y in range(draws[0].shape[1]):
        weight = np.array([p[i, y] for p in draws])
        if weight.sum() > 0:
            after = sum(w * p[t] for w, p in zip(weight / weight.sum(), draws, strict=True))
            total += weight.mean() * divergence(after, before)
    return total


def kl(q, p):
    return rel_entr(q, p).sum()


def square(q, p):
    return ((q - p) ** 2).sum()


def ties(n):
    return np.random.default_rng(9).integers(0, 2**63, size=n, dtype=np.uint64)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 999), st.integers(2, 6), st.integers(2, 6), st.sampled_from([0.05, 0.5, 5.0]))
def test_information_is_that_of_the_joint_table_and_of_the_expected_divergence(seed, c, k, alpha):
    draws = make(seed, n=8, c=c, k=k, alpha=alpha)
    table = information_by_target(draws, np.arange(8), np.arange(8))
    for i in range(8):
        for t in range(8):
            assert table[i, t] == pytest.approx(information(draws, i, t), abs=1e-6)
            assert table[i, t] == pytest.approx(expected(draws, i, t, kl), abs=1e-6)
    assert (table >= 0).all()
    assert table == pytest.approx(table.T, abs=1e-6)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 999), st.integers(2, 6), st.integers(2, 6), st.sampled_from([0.05, 0.5, 5.0]))
def test_change_is_the_expected_squared_distance(seed, c, k, alpha):
    draws = make(seed, n=8, c=c, k=k, alpha=alpha)
    table = change_by_target(draws, np.array([3, 1, 6]), np.array([5, 0]))
    assert table.shape == (2, 3)
    for i, row in enumerate((5, 0)):
        for t, target in enumerate((3, 1, 6)):
            assert table[i, t] == pytest.approx(expected(draws, row, target, square), rel=1e-5, abs=1e-9)
    whole = change(draws, np.array([3, 1, 6]))
    mean = [np.mean([expected(draws, i, t, square) for t in (3, 1, 6)]) for i in range(8)]
    assert whole == pytest.approx(mean, rel=1e-9, abs=1e-15)


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16])
@pytest.mark.parametrize(("n", "b", "alpha"), [(40, 1, 0.5), (40, 40, 0.5), (900, 30, 0.3), (900, 10, 20.0)])
def test_the_lazy_best_are_those_of_all(n, b, alpha, dtype, monkeypatch):
    monkeypatch.setattr(kernel, "FIRST", 4)
    draws = [p.astype(dtype) for p in make(n, n=n, k=6, alpha=alpha)]
    chosen, tie = np.random.default_rng(0).choice(n, 25, replace=False), ties(n)
    rows, value = most_informative(draws, chosen, b, tie)
    wide = [p.astype(np.float64) / p.astype(np.float64).sum(axis=1, keepdims=True) for p in draws]
    every = np.array([np.mean([information(wide, i, t) for t in chosen]) for i in range(n)])
    assert value == pytest.approx(np.sort(every)[::-1][:b], rel=1e-9, abs=1e-14)
    assert rows.tolist() == np.lexsort((tie, -every))[:b].tolist()


@pytest.mark.parametrize("alpha", [0.02, 0.5, 50.0])
def test_no_row_tells_more_than_its_bound(alpha):
    draws = make(4, n=60, k=4, alpha=alpha)
    shared = kernel.Targets(draws, np.arange(20))
    bound = np.log1p(kernel._quadratic(draws, shared, shared.mean_gram(relative=True))[:, 0])
    value = np.array([np.mean([information(draws, i, t) for t in range(20)]) for i in range(60)])
    assert (value <= bound * (1 + 1e-9) + 1e-15).all()
    assert (value >= 0.2 * bound).any()


def test_members_that_differ_by_rounding_tell_nothing():
    """What is left of 1e-8 squared is no information, and rows that have none must tie."""
    base = make(0, k=1)[0]
    draws = [base * (1 + 1e-8 * np.random.default_rng(j).normal(size=base.shape)) for j in range(3)]
    assert not information_by_target(draws, np.arange(30), np.arange(30)).any()
    rows, value = most_informative(draws, np.arange(10), 7, ties(30))
    assert rows.tolist() == np.argsort(ties(30))[:7].tolist()
    assert not value.any()


def test_few_rows_are_evaluated_where_few_matter(monkeypatch):
    """Where the draws agree about most rows, their bound says that nothing is to be had."""
    draws = make(0, n=20_000, k=4)
    calm = np.arange(20_000) >= 300
    for p in draws:
        p[calm] = 0.98 * draws[0][calm] + 0.02 * p[calm]
    seen = []
    evaluate = kernel._approximate_information
    monkeypatch.setattr(
        kernel, "_approximate_information", lambda d, t, rows: [seen.append(len(rows)), evaluate(d, t, rows)][1]
    )
    rows, _ = most_informative(draws, np.arange(100), 20, ties(20_000))
    assert rows.max() < 300
    assert sum(seen) < 2_000


def test_single_precision_is_as_good_as_it_says():
    rng = np.random.default_rng(3)
    for c, k, t, alpha in ((2, 5, 300, 1.0), (20, 25, 100, 0.1), (100, 10, 50, 1.0)):
        draws = [p.astype(np.float32) for p in rng.dirichlet(np.full(c, alpha), size=(k, 400))]
        shared, rows = kernel.Targets(draws, np.arange(t)), np.arange(60)
        exact = kernel._information(draws, shared, rows, np.empty((60, 1)))[:, 0]
        assert np.abs(kernel._approximate_information(draws, shared, rows) - exact).max() < kernel.ROUNDING / 3


def test_members_that_are_the_same_tell_exactly_nothing():
    draws = make(0, k=1) * 4
    assert not information_by_target(draws, np.arange(30), np.arange(30)).any()
    assert not change(draws, np.arange(30)).any()
    tie = ties(30)
    rows, value = most_informative(draws, np.arange(10), 7, tie)
    assert rows.tolist() == np.argsort(tie)[:7].tolist()
    assert not value.any()


def test_N1_probabilities_of_zero_and_one_and_classes_nobody_expects():
    sure = np.eye(3)[[0, 1, 0, 2]]
    other = np.eye(3)[[1, 0, 0, 2]]
    table = information_by_target([sure, other], np.arange(4), np.arange(4))
    both = np.log(2)
    assert table == pytest.approx(np.array([[both, both, 0, 0], [both, both, 0, 0], [0] * 4, [0] * 4]), abs=1e-7)
    moved = change_by_target([sure, other], np.arange(4), np.arange(4))
    assert moved == pytest.approx(np.array([[0.5, 0.5, 0, 0], [0.5, 0.5, 0, 0], [0] * 4, [0] * 4]), abs=1e-7)


def test_information_is_at_most_what_a_label_tells_about_the_draws():
    draws = make(5, n=200, k=7)
    table = information_by_target(draws, np.arange(60), np.arange(200))
    assert (table <= draw_kernels.mutual_information(draws)[:, None] + 1e-6).all()
    assert (table <= np.log(4) + 1e-6).all()


def test_duplicates_have_equal_bits_wherever_they_stand():
    base = make(1, n=3, k=5)
    draws = [np.tile(p, (400, 1)) for p in base]
    tie = ties(1200)
    rows, value = most_informative(draws, np.arange(7), 500, tie)
    assert len(np.unique(value)) <= 2
    best = rows[value == value[0]]
    same = np.flatnonzero(np.arange(1200) % 3 == rows[0] % 3)
    assert best.tolist() == same[np.argsort(tie[same])].tolist()
    assert len(np.unique(change(draws, np.arange(7)))) == 3


def test_more_classes_than_fit_at_once_and_threads_change_nothing(monkeypatch):
    draws = make(2, n=60, c=9, k=4)
    whole = information_by_target(draws, np.arange(20), np.arange(60))
    best = most_informative(draws, np.arange(20), 9, ties(60))
    with workers(3):
        assert information_by_target(draws, np.arange(20), np.arange(60)).tolist() == whole.tolist()
        again = most_informative(draws, np.arange(20), 9, ties(60))
        assert [part.tolist() for part in again] == [part.tolist() for part in best]
    monkeypatch.setattr(kernel, "ENTRIES", 200)
    assert information_by_target(draws, np.arange(20), np.arange(60)) == pytest.approx(whole, rel=1e-6, abs=1e-9)
    assert most_informative(draws, np.arange(20), 9, ties(60))[0].tolist() == best[0].tolist()


def test_the_mean_of_draws_is_exact_where_they_agree():
    p = np.random.default_rng(0).random((50, 7))
    assert draw_kernels.mean_of_draws([p] * 7).tolist() == p.tolist()
    draws = [q.astype(np.float32) for q in make(0)]
    assert draw_kernels.mean_of_draws(draws) == pytest.approx(
        np.stack(draws).astype(np.float64).mean(axis=0), abs=1e-15
    )


def test_both_files_have_one_logarithm():
    x = np.append(np.random.default_rng(0).random(4000, np.float32), np.array([0.0, 1.0, 1e-30], np.float32))
    ours, theirs = (np.array([module._plogp(value) for value in x]) for module in (kernel, joint_kernel))
    np.testing.assert_array_equal(ours, theirs)
    np.testing.assert_allclose(ours, xlogy(x.astype(float), x.astype(float)), atol=5e-7)
