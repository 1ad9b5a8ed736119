"""k-means against plain loops in float64, and what must hold of any clustering."""

import numpy as np
import pytest
from hypothesis import given, strategies as st
from sklearn.cluster import KMeans
from sklearn.datasets import load_digits

from querist.kernels import kmeans_lloyd, kmeans_starts
from querist.kernels.kmeans import Clusters, kmeans, medoids
from querist.kernels.kmeans_starts import starts
from querist.kernels.workers import workers
from querist.progress import listening
from querist.seeds import Seed


def generator(seed=0):
    return np.random.default_rng(seed)


def squared(x, y):
    return np.square(np.asarray(x, np.float64)[:, None] - np.asarray(y, np.float64)[None]).sum(axis=2)


def plain_lloyd(x, centres, iterations):
    for _ in range(iterations):
        label = squared(x, centres).argmin(axis=1)
        centres = np.stack(
            [x[label == c].mean(axis=0) if (label == c).any() else centres[c] for c in range(len(centres))]
        )
    return centres, squared(x, centres).argmin(axis=1)


@st.composite
def points(draw):
    """Points on a small grid: exact in float32, with duplicates, constant rows and d = 1."""
    n, d = draw(st.integers(1, 15)), draw(st.integers(1, 4))
    x = np.array(draw(st.lists(st.lists(st.integers(-2, 2), min_size=d, max_size=d), min_size=n, max_size=n)))
    return x.astype(draw(st.sampled_from([np.float32, np.float64])))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("iterations", [1, 3, 30])
@pytest.mark.parametrize(("n", "k"), [(200, 7), (12, 5)])
def test_equals_plain_lloyd_from_the_same_starts(dtype, iterations, n, k):
    for seed in range(12):
        x = generator(seed).normal(size=(n, 3)).astype(dtype)
        clusters = kmeans(x, k, generator(seed), iterations=iterations)
        centres, label = plain_lloyd(x.astype(np.float64), starts(x, k, generator(seed)), iterations)
        assert clusters.label_N.tolist() == label.tolist()
        np.testing.assert_allclose(clusters.centres_k_d, centres, atol=1e-12)
        np.testing.assert_allclose(clusters.gap_N, squared(x, centres).min(axis=1), atol=1e-12)


@given(points(), st.data())
def test_every_row_belongs_to_its_nearest_centre(x, data):
    k = data.draw(st.integers(1, len(x)))
    clusters = kmeans(x, k, generator(), restarts=data.draw(st.integers(1, 3)), iterations=data.draw(st.integers(1, 9)))
    gap = squared(x, clusters.centres_k_d)
    np.testing.assert_allclose(clusters.gap_N, gap[np.arange(len(x)), clusters.label_N], atol=1e-12)
    np.testing.assert_allclose(clusters.gap_N, gap.min(axis=1), atol=1e-5)
    assert clusters.size_k.sum() == len(x)
    assert clusters.inertia == pytest.approx(clusters.gap_N.sum())


@given(points(), st.integers(0, 9))
def test_with_as_many_clusters_as_rows_all_distinct_rows_are_centres(x, seed):
    clusters = kmeans(x, len(x), generator(seed))
    assert np.isfinite(clusters.centres_k_d).all()
    assert clusters.inertia == pytest.approx(0, abs=1e-9)


@given(st.integers(0, 10**6), st.integers(4, 12), st.integers(2, 5))
def test_converged_centres_are_the_means_of_their_members(seed, n, k):
    # Cubed, so that rows are uneven and clusters shrink to single rows on the way.
    x = generator(seed).normal(size=(n, 2)) ** 3
    clusters = kmeans(x, min(n, k), generator(seed), iterations=100)
    for c in np.flatnonzero(clusters.size_k):
        np.testing.assert_allclose(clusters.centres_k_d[c], x[clusters.label_N == c].mean(axis=0), atol=1e-6)


def test_restarts_and_iterations_only_help():
    x = generator(1).normal(size=(300, 5)).astype(np.float32)
    by_restarts = [kmeans(x, 12, generator(2), restarts=r, iterations=5).inertia for r in (1, 2, 4, 8)]
    by_iterations = [kmeans(x, 12, generator(2), iterations=i).inertia for i in (1, 2, 4, 8, 16)]
    assert by_restarts == sorted(by_restarts, reverse=True)
    assert by_iterations == sorted(by_iterations, reverse=True)
    assert by_restarts[-1] < by_restarts[0]


def test_R2_R3_the_generator_decides_and_nothing_else():
    x = generator(1).normal(size=(100, 4)).astype(np.float32)
    one, same = (kmeans(x, 9, generator(5), iterations=2) for _ in range(2))
    np.testing.assert_array_equal(one.centres_k_d, same.centres_k_d)
    others = {kmeans(x, 9, generator(seed), iterations=2).inertia for seed in range(5)}
    assert len(others) == 5


def test_U4_block_size_does_not_matter(monkeypatch):
    x = generator(3).normal(size=(500, 4)).astype(np.float32)
    whole = kmeans(x, 6, generator(), restarts=2)
    monkeypatch.setattr(kmeans_lloyd, "BLOCK", 64)
    parts = kmeans(x, 6, generator(), restarts=2)
    np.testing.assert_array_equal(whole.label_N, parts.label_N)
    np.testing.assert_allclose(whole.centres_k_d, parts.centres_k_d, atol=1e-12)


@pytest.mark.parametrize("group", [4, 1000])
def test_U2_workers_change_no_bit(group, monkeypatch):
    monkeypatch.setattr(kmeans_lloyd, "GROUP", group)
    monkeypatch.setattr(kmeans_lloyd, "BLOCK", 64)
    x = generator(3).normal(size=(900, 4)).astype(np.float32)
    alone = kmeans(x, 30, generator(), restarts=2)
    with workers(3):
        together = kmeans(x, 30, generator(), restarts=2)
    for one, other in zip(alone, together, strict=True):
        np.testing.assert_array_equal(one, other)


def test_starts_are_sought_among_part_of_a_large_pool(monkeypatch):
    monkeypatch.setattr(kmeans_starts, "SEEDED_ON", 50)
    blobs = np.repeat(np.eye(4) * 10, 500, axis=0).astype(np.float32) + 0.1 * generator().normal(size=(2000, 4))
    clusters = kmeans(blobs.astype(np.float32), 4, generator(1), restarts=3)
    assert sorted(clusters.size_k) == [500] * 4


def test_separated_blobs_are_found_exactly():
    x = (np.repeat(np.eye(8) * 5, 30, axis=0) + 0.1 * generator().normal(size=(240, 8))).astype(np.float32)
    clusters = kmeans(x, 8, generator(1), restarts=5)
    assert all(len(set(clusters.label_N[30 * blob : 30 * blob + 30])) == 1 for blob in range(8))
    assert sorted(clusters.size_k) == [30] * 8


def test_inertia_is_as_low_as_that_of_scikit_learn():
    x = load_digits().data.astype(np.float32)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    theirs = np.mean([KMeans(20, n_init=5, max_iter=20, random_state=s).fit(x).inertia_ for s in range(3)])
    ours = np.mean([kmeans(x, 20, generator(s), restarts=5, iterations=20).inertia for s in range(3)])
    assert ours < 1.005 * theirs


def test_U8_inputs_stay_and_constant_rows_make_one_cluster():
    x = np.full((20, 3), 0.3, np.float32)
    x.flags.writeable = False
    clusters = kmeans(x, 5, generator(), restarts=2)
    assert sorted(clusters.size_k) == [0, 0, 0, 0, 20]
    assert clusters.inertia < 1e-12


@given(points(), st.data())
def test_C20_medoids_equal_a_search_of_every_cluster(x, data):
    n, k = len(x), data.draw(st.integers(1, 5))
    label = np.array(data.draw(st.lists(st.integers(0, k - 1), min_size=n, max_size=n)))
    open_ = np.array(data.draw(st.lists(st.booleans(), min_size=n, max_size=n)))
    tie = Seed(data.draw(st.integers(0, 9))).key().hash(np.arange(n))
    gap = np.square(x.astype(np.float64)).sum(axis=1)
    found = medoids(Clusters(np.zeros((k, x.shape[1])), label, gap), open_, tie)
    for c in range(k):
        members = [i for i in range(n) if label[i] == c and open_[i]]
        assert found[c] == (min(members, key=lambda i: (gap[i], tie[i])) if members else -1)


def test_C20_medoid_of_a_cluster_larger_than_any_neighbour_list():
    x = generator(4).normal(size=(5000, 6)).astype(np.float32)
    clusters = kmeans(x, 2, generator())
    open_ = generator(5).random(5000) < 0.5
    for c, row in enumerate(medoids(clusters, open_, Seed(0).key().hash(np.arange(5000)))):
        members = np.flatnonzero(open_ & (clusters.label_N == c))
        assert row == members[squared(x[members], clusters.centres_k_d[[c]])[:, 0].argmin()]


def test_progress_counts_the_iterations_of_all_restarts():
    x, heard = np.random.default_rng(0).normal(size=(60, 3)), []
    with listening(lambda *news: heard.append(news)):
        kmeans(x, 4, generator(), restarts=2, iterations=3)
    assert [news[1] for news in heard] == [0, 1, 2, 3, 4, 5, 6]
    assert {(what, total) for what, _, total in heard} == {("clustering", 6)}


def test_of_weighted_restarts_the_one_with_the_lowest_weighted_inertia_is_kept():
    x, weight = generator(4).normal(size=(150, 3)), generator(5).random(150) ** 4

    def inertia(clusters):
        return (weight * clusters.gap_N).sum()

    whole = kmeans(x, 9, generator(6), weight_N=weight, restarts=6, iterations=3)
    stream = generator(6)
    runs = [kmeans(x, 9, stream, weight_N=weight, iterations=3) for _ in range(6)]
    assert inertia(whole) == min(inertia(run) for run in runs)
    assert len({inertia(run) for run in runs}) > 3
    assert inertia(whole) < inertia(kmeans(x, 9, generator(6), restarts=6, iterations=3))
