"""Scores of draws against textbook references, vote by vote and term by term."""

import tracemalloc
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, strategies as st
from scipy.special import rel_entr, xlogy

from querist.kernels import draws as module, scores
from querist.kernels.draws import (
    entropy_of_mean,
    mean_divergence,
    mean_std,
    mutual_information,
    variation_ratio,
    vote_entropy,
)
from querist.kernels.workers import workers

SPREAD = [mean_std, mutual_information, mean_divergence]
ALL = [*SPREAD, entropy_of_mean, variation_ratio, vote_entropy]
DTYPES = [np.float16, np.float32, np.float64]


@st.composite
def members(draw, most_draws=6, dtype=np.float64):
    """Draws of a few rows, with exact zeros, exact ones, and classes that tie among them."""
    k, c, n = draw(st.integers(1, most_draws)), draw(st.integers(1, 5)), draw(st.integers(1, 6))
    counts = np.array(draw(st.lists(st.integers(0, 3), min_size=k * n * c, max_size=k * n * c))).reshape(k, n, c)
    counts[counts.sum(axis=2) == 0, 0] = 1
    return list((counts / counts.sum(axis=2, keepdims=True)).astype(dtype))


def generic(k=7, n=400, c=13, seed=0, dtype=np.float32):
    return list(np.random.default_rng(seed).dirichlet(np.full(c, 0.3), size=(k, n)).astype(dtype))


def entropy(p):
    return -xlogy(p, p).sum(axis=-1)


def textbook(draws):
    """Every score by its definition, in float64."""
    p = np.stack(draws).astype(np.float64)
    mean = p.mean(axis=0)
    return {
        mean_std: p.std(axis=0).mean(axis=1),
        entropy_of_mean: entropy(mean),
        mutual_information: entropy(mean) - entropy(p).mean(axis=0),
        mean_divergence: rel_entr(p, mean).sum(axis=2).mean(axis=0),
    }


def votes(draws, i):
    """The votes on the classes of row i, as fractions."""
    count = [Fraction(0)] * draws[0].shape[1]
    for p in draws:
        winners = [y for y, value in enumerate(p[i]) if value == p[i].max()]
        for y in winners:
            count[y] += Fraction(1, len(winners))
    return count


@given(members())
def test_equal_the_textbook(draws):
    for score, expected in textbook(draws).items():
        np.testing.assert_allclose(score(draws), expected, atol=1e-14)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("k", "n", "c"), [(20, 300, 10), (5, 100, 100), (3, 40, 1000), (2, 500, 2), (40, 64, 3)])
def test_equal_the_textbook_on_real_numbers(k, n, c, dtype):
    draws = generic(k, n, c, dtype=dtype)
    for score, expected in textbook(draws).items():
        np.testing.assert_allclose(score(draws), expected, rtol=1e-12, atol=1e-15)


@given(members())
def test_count_votes_as_by_hand(draws):
    k = len(draws)
    for i, (ratio, spread) in enumerate(zip(variation_ratio(draws), vote_entropy(draws), strict=True)):
        share = [v / k for v in votes(draws, i)]
        assert ratio == pytest.approx(float(1 - max(share)), abs=1e-9)
        assert spread == pytest.approx(entropy(np.array(share, float)), abs=1e-7)


def test_hand_made_votes():
    a, b, c = [0.6, 0.3, 0.1], [0.3, 0.6, 0.1], [0.1, 0.3, 0.6]
    both = [0.45, 0.45, 0.1]
    rows = np.array([[a, a, a, a], [a, a, a, b], [a, a, b, b], [a, b, c, c], [a, a, a, both], [both] * 4])
    draws = list(rows.transpose(1, 0, 2))
    assert variation_ratio(draws).tolist() == [0, 0.25, 0.5, 0.5, 0.125, 0.5]
    log = np.log
    expected = [
        0,
        -0.75 * log(0.75) - 0.25 * log(0.25),
        log(2),
        1.5 * log(2),
        entropy(np.array([0.875, 0.125])),
        log(2),
    ]
    assert vote_entropy(draws) == pytest.approx(expected, abs=1e-11)
    assert vote_entropy(draws)[0] == 0


@given(members(most_draws=9, dtype=np.float32))
def test_stay_in_range(draws):
    k, c = len(draws), draws[0].shape[1]
    information = mutual_information(draws)
    assert ((information >= 0) & (information <= min(np.log(k), np.log(c)) + 1e-6)).all()
    assert ((entropy_of_mean(draws) >= -1e-6) & (entropy_of_mean(draws) <= np.log(c) + 1e-6)).all()
    assert (entropy_of_mean(draws) - np.mean([scores.entropy(p) for p in draws], axis=0) >= -1e-12).all()
    assert ((variation_ratio(draws) >= 0) & (variation_ratio(draws) <= 1 - 1 / c + 1e-9)).all()
    assert ((vote_entropy(draws) >= 0) & (vote_entropy(draws) <= np.log(c) + 1e-7)).all()
    assert ((mean_std(draws) >= 0) & (mean_std(draws) <= 0.5)).all()


def test_variation_ratio_without_ties_lies_on_the_grid_of_votes():
    for k, c in ((3, 10), (5, 4), (25, 7)):
        ratio = variation_ratio(generic(k, 500, c))
        np.testing.assert_allclose(k * ratio, np.round(k * ratio), atol=1e-12)
        assert ratio.max() <= 1 - 1 / min(k, c) + 1e-12


def test_vote_entropy_of_votes_that_all_differ_is_log_k():
    draws = list(np.eye(5)[:4, None, :])
    assert vote_entropy(draws) == pytest.approx([np.log(4)], abs=1e-11)


@given(members(), st.randoms(use_true_random=False))
def test_the_order_of_draws_and_classes_is_irrelevant(draws, random):
    order, classes = list(range(len(draws))), list(range(draws[0].shape[1]))
    random.shuffle(order)
    random.shuffle(classes)
    shuffled = [draws[j][:, classes] for j in order]
    for score in ALL:
        np.testing.assert_allclose(score(shuffled), score(draws), atol=1e-14)
    for score in (variation_ratio, vote_entropy):
        np.testing.assert_array_equal(score(shuffled), score(draws), "patterns of votes that are alike must be ties")


def test_N6_shares_of_votes_add_up_alike_in_any_order():
    """Thirds, fifths and sevenths, added up in plain floating point, would not."""
    rng = np.random.default_rng(0)
    tied = rng.permutation([1, 2, 3, 3, 5, 5, 6, 7, 7, 7])
    draws = [np.where(np.arange(8) < t, 1.0, 0.0)[None] / t for t in tied]
    for score in (variation_ratio, vote_entropy):
        values = {score([draws[j] for j in rng.permutation(10)])[0] for _ in range(50)}
        assert len(values) == 1


@given(members(most_draws=1))
def test_one_draw_is_the_plain_score(draws):
    np.testing.assert_allclose(entropy_of_mean(draws), scores.entropy(draws[0]), atol=1e-14)
    for score in SPREAD:
        assert not score(draws).any()


@pytest.mark.parametrize("score", SPREAD)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("k", [2, 3, 7, 20, 100])
def test_N4_draws_that_are_the_same_score_exactly_nothing(score, dtype, k):
    draws = generic(1, 300, 11, dtype=dtype) * k
    assert score(draws).tolist() == [0.0] * 300


@pytest.mark.parametrize("dtype", DTYPES)
def test_N1_certain_rows_are_finite_and_score_what_they_should(dtype):
    p = np.array([[[0, 1, 0, 0], [1, 0, 0, 0], [0.25] * 4], [[0, 1, 0, 0], [0, 0, 0, 1], [0.25] * 4]], dtype)
    expected = {
        mean_std: [0, 0.25, 0], entropy_of_mean: [0, np.log(2), np.log(4)], mutual_information: [0, np.log(2), 0],
        mean_divergence: [0, np.log(2), 0], variation_ratio: [0, 0.5, 0.75], vote_entropy: [0, np.log(2), np.log(4)],
    }  # fmt: skip
    for score, values in expected.items():
        assert score(list(p)) == pytest.approx(values, abs=1e-11)
        assert score(list(p))[0] == 0


def test_probabilities_a_rounding_below_zero_count_as_zero():
    draws = [np.array([[1.0, -1e-9]]), np.array([[0.0, 1.0]])]
    assert mutual_information(draws) == pytest.approx([np.log(2)], abs=1e-8)
    assert mean_divergence(draws) == pytest.approx([np.log(2)], abs=1e-8)
    assert entropy_of_mean([draws[0]]).tolist() == [0]


def test_the_logarithm_is_right_at_every_magnitude():
    p = np.concatenate([10.0 ** -np.arange(0.0, 300.0, 0.37), np.linspace(0, 1, 4097)[1:], [np.nextafter(1, 0)]])
    np.testing.assert_allclose(entropy_of_mean([p[:, None]]), -p * np.log(p), rtol=1e-15, atol=0)


@pytest.mark.parametrize("score", ALL)
@pytest.mark.parametrize("c", [1, 2, 3, 10, 64, 65])
def test_U4_a_row_has_the_same_bits_whatever_the_rows_beside_it(score, c, monkeypatch):
    draws = generic(4, 101, c)
    whole = score(draws)
    for block in (1, 10, 100, 1000):
        monkeypatch.setattr(module, "BLOCK", block)
        np.testing.assert_array_equal(score(draws), whole)
    order = np.random.default_rng(0).permutation(101)[:37]
    np.testing.assert_array_equal(score([p[order] for p in draws]), whole[order])


@pytest.mark.parametrize("score", ALL)
def test_U2_threads_change_nothing(score, monkeypatch):
    draws = generic(4, 997, 7)
    whole = score(draws)
    monkeypatch.setattr(module, "BLOCK", 100)
    monkeypatch.setattr(module, "TASK", 3)
    with workers(4):
        np.testing.assert_array_equal(score(draws), whole)


@pytest.mark.parametrize("score", ALL)
def test_take_any_layout_and_leave_it_alone(score):
    whole = np.stack(generic(4, 50, 6, dtype=np.float64))
    expected = score(list(whole))
    strided = np.asfortranarray(np.repeat(whole, 2, axis=1))[:, ::2]
    mixed = [p if j % 2 else p.astype(np.float32).astype(np.float64).astype(np.float32) for j, p in enumerate(whole)]
    for p in whole:
        p.flags.writeable = False
    before = strided.copy()
    np.testing.assert_array_equal(score(list(strided)), expected)
    np.testing.assert_array_equal(score(strided), expected)
    np.testing.assert_array_equal(strided, before)
    np.testing.assert_allclose(score(mixed), score([p.astype(np.float64) for p in mixed]), atol=1e-14)
    assert score(generic(3, 5, 4, dtype=np.float16)).dtype == np.float64


@pytest.mark.parametrize("score", ALL)
def test_no_copy_of_the_draws_is_made(score):
    draws = generic(10, 20_000, 20)
    score([p[:100] for p in draws])
    tracemalloc.start()
    try:
        score(draws)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < draws[0].nbytes  # one draw of ten


@pytest.mark.parametrize("score", ALL)
def test_no_rows_no_scores(score):
    assert score([np.empty((0, 3)), np.empty((0, 3))]).shape == (0,)
