"""Average linkage against plain loops, SciPy and scikit-learn, and what must hold where distances tie."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from scipy.cluster.hierarchy import average, cut_tree, fcluster
from scipy.spatial.distance import pdist
from sklearn.cluster import AgglomerativeClustering
from sklearn.metrics import adjusted_rand_score

from querist.kernels import linkage as module
from querist.kernels.linkage import average_linkage
from querist.kernels.workers import workers
from querist.seeds import Seed

SCIPY = {"cosine": "cosine", "squared": "sqeuclidean"}


def tie(n, seed=0):
    return Seed(seed).key().hash(np.arange(n))


def clouds(n, d=6, groups=9, seed=0):
    """Uneven clouds away from the origin, in float32."""
    rng = np.random.default_rng(seed)
    centre = 2 + rng.normal(size=(groups, d))
    return (centre[rng.integers(groups, size=n) // 2] + 0.5 * rng.normal(size=(n, d))).astype(np.float32)


def distances(x, metric):
    """All pairs in float64; zero rows are at 1 from others under cosine, equal rows at 0."""
    x = np.asarray(x, np.float64)
    if metric == "cosine":
        norm = np.linalg.norm(x, axis=1)
        unit = x / np.where(norm == 0, 1, norm)[:, None]
        gap = 1 - unit @ unit.T
        gap[np.ix_(norm == 0, norm == 0)] = 0
    else:
        gap = np.square(x[:, None] - x[None]).sum(axis=2)
    gap[(x[:, None] == x[None]).all(axis=2)] = 0
    return gap


def means(gap, label):
    """Mean distances between clusters."""
    member = np.eye(label.max() + 1)[label]
    size = member.sum(axis=0)
    return member.T @ gap @ member / size[:, None] / size


def naive(gap, k):
    """Merge the nearest pair until k clusters are left, from all pairs every time."""
    label, heights = np.arange(len(gap)), []
    while label.max() + 1 > k:
        apart = means(gap, label)
        np.fill_diagonal(apart, np.inf)
        a, b = np.unravel_index(apart.argmin(), apart.shape)
        heights.append(apart[a, b])
        label[label == max(a, b)] = min(a, b)
        label = np.unique(label, return_inverse=True)[1]
    return label, heights


def same_partition(one, other):
    return adjusted_rand_score(one, other) == 1.0 and len(set(one)) == len(set(other))


@pytest.mark.parametrize("metric", SCIPY)
@pytest.mark.parametrize("seed", range(4))
def test_equals_naive_merging(metric, seed):
    x = clouds(24, d=3, seed=seed)
    for k in (1, 5, 20, 23, 24):
        found = average_linkage(x, tie(24), k=k, metric=metric)
        label, heights = naive(distances(x, metric), k)
        assert same_partition(found.label_N, label)
        np.testing.assert_allclose(found.height, heights, rtol=1e-9, atol=1e-15)


@pytest.mark.parametrize("metric", SCIPY)
@pytest.mark.parametrize(("n", "d"), [(2, 2), (17, 1), (250, 2), (400, 30), (900, 6)])
def test_equals_the_tree_of_scipy_cut_at_every_size(metric, n, d):
    x = clouds(n, d) - (0 if d > 1 else 2)
    if metric == "cosine" and d == 1:
        pytest.skip("in one dimension all cosine distances tie")
    tree = average(pdist(x.astype(np.float64), SCIPY[metric]))
    for k in sorted({1, 2, 3, n // 9 + 1, n // 3 + 1, int(n / 1.25), n - 1, n}):
        found = average_linkage(x, tie(n), k=k, metric=metric)
        assert same_partition(found.label_N, cut_tree(tree, k)[:, 0])
        np.testing.assert_allclose(found.height, tree[: n - k, 2], rtol=1e-9, atol=1e-15)


@pytest.mark.parametrize("metric", SCIPY)
def test_equals_scipy_at_every_threshold(metric):
    x = clouds(300)
    tree = average(pdist(x.astype(np.float64), SCIPY[metric]))
    for at in (0, 40, 150, 250, 298):
        below = float(tree[at, 2]) * (1 + 1e-9)
        found = average_linkage(x, tie(300), below=below, metric=metric)
        assert found.label_N.max() + 1 == 299 - at
        assert same_partition(found.label_N, fcluster(tree, below, "distance"))
        assert found.height.max() < below
        # Both limits at once: the one that leaves more clusters holds.
        for k in (1, 300 - at, min(300, 310 - at)):
            both = average_linkage(x, tie(300), k=k, below=below, metric=metric)
            assert both.label_N.max() + 1 == max(k, 299 - at)
    # The limit itself is not below it.
    assert average_linkage(x, tie(300), below=0.0, metric=metric).label_N.max() == 299


def test_equals_scikit_learn_on_three_thousand_rows():
    x = clouds(3000, d=12, groups=80)
    for below in (0.02, 0.1):
        peer = AgglomerativeClustering(None, metric="cosine", linkage="average", distance_threshold=below).fit(x)
        assert 10 < peer.n_clusters_ < 2500
        assert same_partition(average_linkage(x, tie(3000), below=below).label_N, peer.labels_)


@pytest.mark.parametrize("setting", [{"LISTED": 1}, {"LISTED": 3, "BLOCK": 7, "CHUNK": 11}, {"CHUNK": 64}])
def test_lists_and_blocks_of_any_size_give_the_same_bits(setting, monkeypatch):
    x = clouds(700)
    straight = [average_linkage(x, tie(700), k=k, metric=metric) for k in (1, 300) for metric in SCIPY]
    for name, value in setting.items():
        monkeypatch.setattr(module, name, value)
    again = [average_linkage(x, tie(700), k=k, metric=metric) for k in (1, 300) for metric in SCIPY]
    for one, other in zip(straight, again, strict=True):
        np.testing.assert_array_equal(one.label_N, other.label_N)
        np.testing.assert_array_equal(one.height, other.height)


@pytest.mark.parametrize("listed", [2, 5, 16])
def test_what_is_not_listed_is_never_nearer_than_the_bound(listed, monkeypatch):
    monkeypatch.setattr(module, "LISTED", listed)
    merge, slack = module._Clusters.merge, []

    def spy(self, pairs):
        gap = distances(self.centre_m_d[self.active], "squared")
        gap += self.spread_m[self.active][:, None] + self.spread_m[self.active]
        np.fill_diagonal(gap, np.inf)
        np.testing.assert_allclose(gap.min(axis=1), self.gap_m[self.active], rtol=1e-12)
        for place, i in enumerate(self.active.tolist()):
            held = self._listed_m_t[i]
            held = self.parent_m[held[held >= 0]]
            outside = np.where(np.isin(self.active, held), np.inf, gap[place]).min()
            if outside < np.inf:
                slack.append(outside - self._bound_m[i])
        return merge(self, pairs)

    monkeypatch.setattr(module._Clusters, "merge", spy)
    average_linkage(clouds(250), tie(250), metric="squared")
    assert min(slack) > -1e-12
    assert np.median(slack) < 0.5, "the bound says something"


def test_what_falls_out_of_a_joint_list_lowers_the_bound():
    # Cluster 5 went into cluster 0; the four that they listed are at 1, 2, 3 and 4, and two of them can be kept.
    centre = np.array([[0.0], [1], [2], [3], [4], [0]])
    parent, partner = np.array([0, 1, 2, 3, 4, 0]), np.array([5, -1, -1, -1, -1, -1])
    listed = np.array([[1, 3], *4 * [[-1, -1]], [2, 4]], np.int32)
    bound, near, gap = np.full(6, 100.0), np.full(6, -1), np.full(6, np.inf)
    clusters = (centre, np.zeros(6), tie(6), parent, partner, listed, bound, near, gap)
    module._nearest_listed(np.array([0]), *clusters)
    assert listed[0].tolist() == [1, 2]
    assert (bound[0], near[0], gap[0]) == (9.0, 1, 1.0)


def test_threads_change_nothing():
    x = clouds(1500)
    alone = average_linkage(x, tie(1500), k=100)
    with workers(3):
        shared = average_linkage(x, tie(1500), k=100)
    np.testing.assert_array_equal(alone.label_N, shared.label_N)
    np.testing.assert_array_equal(alone.height, shared.height)


def test_clusters_are_numbered_by_their_first_rows_whatever_the_hashes():
    x = clouds(200)
    partitions = [average_linkage(x, tie(200, seed), k=30).label_N.tolist() for seed in range(4)]
    assert all(p == partitions[0] for p in partitions)
    assert list(dict.fromkeys(partitions[0])) == list(range(30))


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_any_precision_size_and_place_of_the_points(dtype):
    x = clouds(120).astype(dtype)
    ranges = ((0, 1.0), (1000, 1.0), (0, 1e-120), (0, 1e120)) if dtype == np.float64 else ((0, 1.0),)
    for shift, scale in ranges:
        for metric, unit in (("squared", scale**2), ("cosine", 1.0)):
            tree = average(pdist((x + shift).astype(np.float64), SCIPY[metric]))
            found = average_linkage((x + shift) * scale, tie(120), k=20, metric=metric)
            assert same_partition(found.label_N, cut_tree(tree, 20)[:, 0])
            np.testing.assert_allclose(found.height / unit, tree[:100, 2], rtol=1e-8, atol=1e-14)


def test_reads_a_file(tmp_path):
    x = clouds(150)
    np.save(tmp_path / "x.npy", x)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    assert average_linkage(mapped, tie(150), k=9).label_N.tolist() == average_linkage(x, tie(150), k=9).label_N.tolist()


@pytest.mark.parametrize("metric", SCIPY)
def test_one_row_and_equal_rows(metric):
    one = average_linkage(np.ones((1, 3), np.float32), tie(1), metric=metric)
    assert one.label_N.tolist() == [0]
    assert not len(one.height)
    same = np.ones((9, 3), np.float32)
    for k in (1, 4, 9):
        found = average_linkage(same, tie(9), k=k, metric=metric)
        assert found.label_N.max() + 1 == k
        assert found.height.tolist() == [0.0] * (9 - k)
    assert average_linkage(same, tie(9), below=0.1, metric=metric).label_N.max() == 0
    # Minus zero is zero, and copies count as members.
    x = np.array([[0.0, 1.0], [-0.0, 1.0], [0.0, 1.0], [1.0, 2.0], [3.0, 0.0]], np.float32)
    found = average_linkage(x, tie(5), k=1, metric=metric)
    slant = 5**-0.5
    expected = [0, 0, 1 - 2 * slant, (4 - slant) / 4] if metric == "cosine" else [0, 0, 2, (3 * 10 + 8) / 4]
    np.testing.assert_allclose(found.height, expected, atol=1e-12)


def test_which_copy_stays_alone_is_drawn_by_hash():
    same, alone = np.ones((6, 2), np.float32), np.zeros(6)
    for seed in range(300):
        label = average_linkage(same, tie(6, seed), k=2).label_N
        alone[np.flatnonzero(np.bincount(label)[label] == 1)] += 1
    assert alone.sum() == 300
    assert alone.min() > 20


def test_rows_of_zeros_are_at_right_angles_to_all_others():
    x = np.array([[0, 0], [1, 0], [-0.0, 0], [-1, 0], [2, 0]], np.float32)
    found = average_linkage(x, tie(5), metric="cosine")
    np.testing.assert_allclose(found.height, [0, 0, 1, 1.5], atol=1e-15)
    assert average_linkage(x, tie(5), below=0.5).label_N.tolist() == [0, 1, 0, 2, 1]


def test_N10_a_row_of_zeros_leaves_the_clusters_of_all_others_alone():
    x = np.random.default_rng(0).normal(size=(80, 8)).astype(np.float32)
    x[31] = 0.0
    others = np.delete(np.arange(80), 31)
    whole, without = (average_linkage(x[rows], tie(80)[rows], below=0.8) for rows in (np.arange(80), others))
    assert (whole.label_N == whole.label_N[31]).sum() == 1
    assert 5 < without.label_N.max() < 70
    np.testing.assert_array_equal(
        whole.label_N[others][:, None] == whole.label_N[others], without.label_N[:, None] == without.label_N
    )
    np.testing.assert_allclose(whole.height, without.height, rtol=1e-12)


@st.composite
def lattices(draw):
    """Points of a small grid: most distances tie, and many rows are equal."""
    n, d = draw(st.integers(1, 30)), draw(st.integers(1, 3))
    cells = draw(st.lists(st.lists(st.integers(-2, 2), min_size=d, max_size=d), min_size=n, max_size=n))
    return np.array(cells, np.float32)


@settings(max_examples=150, deadline=None)
@given(lattices(), st.integers(0, 9), st.sampled_from(["cosine", "squared"]), st.data())
def test_where_distances_tie_some_right_tree_is_cut(x, seed, metric, data):
    """Every merge must join clusters that no other cluster was nearer to, up to rounding."""
    n = len(x)
    gap, k = distances(x, metric), data.draw(st.integers(1, n))
    found = average_linkage(x, tie(n, seed), k=k, metric=metric)
    assert found.label_N.max() + 1 == k
    assert (np.diff(found.height) >= 0).all()
    # The partitions at all smaller cuts are nested, and each step joins one of the nearest pairs.
    for cut in range(n, k, -1):
        before, after = (average_linkage(x, tie(n, seed), k=j, metric=metric).label_N for j in (cut, cut - 1))
        joined = {(b, a) for b, a in zip(before.tolist(), after.tolist(), strict=True)}
        assert len(joined) == cut
        targets = [a for _, a in joined]
        (twice,) = {a for a in targets if targets.count(a) == 2}
        one, other = (b for b, a in joined if a == twice)
        apart = means(gap, before)
        np.fill_diagonal(apart, np.inf)
        assert apart[one, other] <= apart.min() + 1e-9


def test_ties_by_the_thousand_end_soon():
    """All pairs of axes are equally far apart: only hashes say who is nearest, and many pairs are mutual."""
    for x in (np.eye(400, dtype=np.float32), np.concatenate([np.eye(300), -np.eye(300)]).astype(np.float32)):
        found = average_linkage(x, tie(len(x)), metric="squared")
        assert found.height[0] == pytest.approx(2.0)
        assert len(found.height) == len(x) - 1
    rounds = []
    merge = module._Clusters.merge
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module._Clusters, "merge", lambda self, pairs: rounds.append(len(pairs)) or merge(self, pairs))
        average_linkage(np.eye(400, dtype=np.float32), tie(400), metric="squared")
    assert len(rounds) < 40


def test_lists_spare_almost_all_comparisons(monkeypatch):
    compared = []
    compare = module._Clusters._compare

    def spy(self, rows, limit):
        compared.append(len(rows))
        compare(self, rows, limit)

    monkeypatch.setattr(module._Clusters, "_compare", spy)
    average_linkage(clouds(3000, groups=60), tie(3000))
    assert compared[0] == 3000
    assert sum(compared[1:]) < 3000


def test_memory_is_linear():
    x = np.random.default_rng(0).normal(size=(20_000, 8)).astype(np.float32)
    average_linkage(x[:100], tie(100))
    tracemalloc.start()
    try:
        assert average_linkage(x, tie(20_000), k=16_000).label_N.max() == 15_999
        peak = tracemalloc.get_traced_memory()[1] / 2**20
    finally:
        tracemalloc.stop()
    assert peak < 16  # N x N in float32 would be 1.6 GB
