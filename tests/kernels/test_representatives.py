"""Representatives of clusters, and the farthest-first completion of contract item G8."""

import numpy as np
from hypothesis import given, strategies as st

from querist.kernels.farthest_first import farthest_first
from querist.kernels.kmeans import Clusters, kmeans
from querist.kernels.representatives import complete, representatives, representatives_of_all
from querist.seeds import Seed

NOTHING = np.empty(0, np.intp)


def ties(n, seed=0):
    return Seed(seed).key().hash(np.arange(n))


def clustered(x, label, k):
    centres = np.stack([x[label == c].mean(axis=0) if (label == c).any() else np.zeros(x.shape[1]) for c in range(k)])
    return Clusters(centres, label, np.square(x - centres[label]).sum(axis=1))


@given(st.integers(1, 16), st.integers(1, 3), st.integers(0, 99), st.data())
def test_C1_always_b_distinct_open_rows(n, distinct, seed, data):
    rng = np.random.default_rng(seed)
    x = rng.integers(-1, 2, size=(distinct, 2))[rng.integers(distinct, size=n)].astype(np.float32)
    b = data.draw(st.integers(1, n))
    open_ = np.zeros(n, bool)
    open_[rng.choice(n, data.draw(st.integers(b, n)), replace=False)] = True
    rows, stands_for = representatives(x, kmeans(x, b, rng), np.flatnonzero(~open_), open_, ties(n), b)
    assert len(set(rows.tolist())) == b
    assert open_[rows].all()
    assert stands_for.shape == (b,)
    assert (np.diff(stands_for) <= 0).all()


def test_of_all_rows_each_cluster_gives_its_medoid_and_the_rest_is_farthest_first():
    x = np.array([[-2.0], [0.0], [0.5], [10.0], [11.0]])
    clusters = clustered(x, np.array([0, 0, 0, 2, 2]), 3)  # cluster 1 is empty
    tie = np.array([4, 3, 2, 1, 0], np.uint64)
    rows, stands_for = representatives_of_all(x, clusters, tie, 3)
    assert rows.tolist() == [1, 4, 0]
    assert stands_for.tolist() == [3, 2, 0]


def test_largest_cluster_first_then_farthest_from_everything():
    x = np.array([[0.0], [1.0], [2.0], [10.0], [11.0], [30.0], [31.0]])
    label = np.array([0, 0, 0, 1, 1, 3, 3])
    open_ = np.array([True, True, True, True, True, False, False])  # cluster 3 is labelled, cluster 2 empty
    rows, stands_for = representatives(x, clustered(x, label, 4), np.array([5, 6]), open_, ties(7), 4)
    assert rows[0] == 1
    assert rows[1] in (3, 4)
    assert stands_for.tolist() == [3, 2, 0, 0]
    # Rows 3 and 4 are one apart, rows 0 and 2 one from the medoid of their cluster: all tied, so the hash decides.
    left = {0, 2, 3, 4} - {int(rows[1])}
    assert set(rows[2:].tolist()) <= left
    assert rows[2] == min(left, key=lambda i: ties(7)[i])


def test_completion_equals_farthest_first_from_centres_and_rows():
    x = np.random.default_rng(0).normal(size=(30, 3)).astype(np.float32)
    open_ = np.arange(30) > 4
    taken = np.array([7, 20])
    rows = complete(x, taken, np.arange(5), open_, ties(30), 9)
    still = open_.copy()
    still[taken] = False
    more, _ = farthest_first(x, np.array([0, 1, 2, 3, 4, 7, 20]), still, ties(30), 7)
    assert rows.tolist() == [7, 20, *more.tolist()]
    assert open_[taken].all()  # the caller's mask is not closed


def test_completion_from_nothing_starts_with_the_smallest_hash():
    x = np.zeros((6, 2), np.float32)
    rows = complete(x, NOTHING, NOTHING, np.ones(6, bool), ties(6, 3), 6)
    assert rows.tolist() == ties(6, 3).argsort().tolist()
