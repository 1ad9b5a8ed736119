"""Lloyd's iterations with bounds against plain ones, and the bounds against true distances."""

import numpy as np
import pytest
from hypothesis import given, strategies as st

from querist.kernels import kmeans_lloyd as module
from querist.kernels.jit import dense
from querist.kernels.kmeans_lloyd import lloyd


def generator(seed=0):
    return np.random.default_rng(seed)


def squared(x, y):
    return np.square(np.asarray(x, np.float64)[:, None] - np.asarray(y, np.float64)[None]).sum(axis=2)


def plain(x, centres, iterations):
    label = squared(x, centres).argmin(axis=1)
    for _ in range(iterations):
        centres = np.stack(
            [x[label == c].mean(axis=0, dtype=float) if (label == c).any() else centres[c] for c in range(len(centres))]
        )
        label = squared(x, centres).argmin(axis=1)
    return centres, label


def blobs(N, d, seed=0):
    """Uneven groups of different spread, so that some bounds hold long and others never."""
    g = generator(seed)
    return g.normal(size=(12, d))[g.integers(12, size=N) ** 2 // 12] + g.choice(
        [0.02, 0.2, 1.0], size=(N, 1)
    ) * g.normal(size=(N, d))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("group", [1, 3, 10, 1000])
@pytest.mark.parametrize("crowded", [0.0, 0.5, 2.0])
def test_equals_plain_lloyd_whatever_is_passed_over(dtype, group, crowded, monkeypatch):
    monkeypatch.setattr(module, "GROUP", group)
    monkeypatch.setattr(module, "CROWDED", crowded)
    monkeypatch.setattr(module, "BLOCK", 100)
    x = blobs(700, 5).astype(dtype)
    start = x[generator(1).choice(700, 45, replace=False)].astype(np.float64)
    for iterations in (0, 1, 2, 5, 25):
        centres, label = lloyd(dense(x), start, iterations)
        expected = plain(x, start, iterations)
        assert label.tolist() == expected[1].tolist()
        np.testing.assert_allclose(centres, expected[0], atol=1e-12)


@given(st.integers(0, 10**6), st.sampled_from([1, 2, 5, 40]))
def test_ties_go_to_the_smallest_number_and_duplicates_of_a_centre_stay_empty(seed, group):
    # On a grid all distances are exact in float32, so that ties are ties.
    x = generator(seed).integers(-2, 3, size=(60, 2)).astype(np.float32)
    centres = generator(seed + 1).integers(-2, 3, size=(17, 2)).astype(np.float64)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "GROUP", group)
        label = lloyd(dense(x), centres, 0)[1]
    assert label.tolist() == squared(x, centres).argmin(axis=1).tolist()


@pytest.mark.parametrize("offset", [0.0, 30.0])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_bounds_never_exceed_the_distance_to_any_centre_but_the_own(dtype, offset, monkeypatch):
    monkeypatch.setattr(module, "GROUP", 6)
    monkeypatch.setattr(module, "CROWDED", 0.9)
    x = dense((blobs(400, 7) + offset).astype(dtype))
    centres = x[:60].astype(np.float64)
    search, kept = module._Search(x, centres), []
    for _ in range(12):
        search.assign(centres)
        gap = np.sqrt(squared(x, centres))
        gap[np.arange(400), search.label_N] = np.inf
        for g in range(len(search._groups)):
            assert (search._low_N_t[:, g] <= gap[:, search._of_k == g].min(axis=1, initial=np.inf) + 1e-12).all()
        own = np.sqrt(squared(x, centres)[np.arange(400), search.label_N])
        kept.append(float((search._low_N_t > own[:, None]).mean()))
        centres = centres + 0.02 * generator(len(kept)).normal(size=centres.shape)
    # The test would mean nothing if no bound ever kept a group from being looked at.
    assert max(kept[1:]) > 0.5 or offset


def test_most_groups_are_passed_over_after_a_while(monkeypatch):
    asked = []

    def counting(score_w_r, *rest):
        asked[-1] += score_w_r.size
        compare(score_w_r, *rest)

    compare = module._compare
    monkeypatch.setattr(module, "_compare", counting)
    absorb = module._absorb
    monkeypatch.setattr(module, "_absorb", lambda *args: (asked.append(0), absorb(*args)))
    mean = generator(0).normal(size=(40, 8))
    x = (mean[generator(1).integers(40, size=4000)] + 0.1 * generator(2).normal(size=(4000, 8))).astype(np.float32)
    asked.append(0)
    lloyd(dense(x), x[generator(2).choice(4000, 256, replace=False)].astype(np.float64), 12)
    assert asked[0] == 4000 * 256
    assert max(asked[4:]) < 0.12 * asked[0]
    assert asked[-1] < 0.05 * asked[0]


def test_the_starts_are_left_as_they_were():
    x = blobs(200, 3).astype(np.float32)
    start = x[:64].astype(np.float64)
    before = start.copy()
    lloyd(dense(x), start, 5)
    np.testing.assert_array_equal(start, before)


@pytest.mark.parametrize("scale", [1e-20, 1e-12, 1e12])
def test_any_scale_gives_the_same_clusters(scale):
    x = blobs(300, 4)
    start = x[:40]
    expected = lloyd(dense(x), start, 8)[1]
    assert lloyd(dense(scale * x), scale * start, 8)[1].tolist() == expected.tolist()


def test_memory_for_bounds_is_limited(monkeypatch):
    monkeypatch.setattr(module, "STATE", 500)
    monkeypatch.setattr(module, "GROUP", 4)
    x = blobs(100, 3)
    search = module._Search(dense(x), x[:40])
    assert search._low_N_t.size <= 500
    assert lloyd(dense(x), x[:40], 9)[1].tolist() == plain(x, x[:40], 9)[1].tolist()


def plain_with_weights(x, weight, centres, iterations):
    for _ in range(iterations):
        label = squared(x, centres).argmin(axis=1)
        centres = np.stack(
            [
                (weight[label == c, None] * x[label == c]).sum(axis=0) / weight[label == c].sum()
                if weight[label == c].sum() > 0
                else centres[c]
                for c in range(len(centres))
            ]
        )
    return centres, squared(x, centres).argmin(axis=1)


@pytest.mark.parametrize("iterations", [1, 3, 20])
def test_weights_equal_a_plain_weighted_mean(iterations):
    for seed in range(6):
        x, g = blobs(300, 4, seed), generator(seed)
        weight = g.choice([0.0, 0.2, 1.0, 3.7], size=300)
        start = x[g.choice(300, 20, replace=False)]
        centres, label = lloyd(dense(x), start, iterations, weight_N=weight)
        expected = plain_with_weights(x, weight, start, iterations)
        assert label.tolist() == expected[1].tolist()
        np.testing.assert_allclose(centres, expected[0], atol=1e-12)


def test_a_weight_of_two_is_a_row_that_is_there_twice():
    x, weight = blobs(200, 3), generator(2).integers(0, 4, size=200)
    start = x[generator(3).choice(200, 9, replace=False)]
    heavy, _ = lloyd(dense(x), start, 8, weight_N=weight.astype(float))
    often, _ = lloyd(dense(np.repeat(x, weight, axis=0)), start, 8)
    np.testing.assert_allclose(heavy, often, atol=1e-12)


def test_weights_of_one_change_no_bit():
    x = blobs(400, 5).astype(np.float32)
    start = x[:12].astype(np.float64)
    for one, other in zip(lloyd(dense(x), start, 9), lloyd(dense(x), start, 9, weight_N=np.ones(400)), strict=True):
        np.testing.assert_array_equal(one, other)
