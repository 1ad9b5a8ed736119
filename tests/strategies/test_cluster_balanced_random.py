"""Random draws in equal shares from clusters."""

import numpy as np
import pytest

from querist.errors import DataError, SpecError, UsageError
from querist.evidence.evidence import Evidence
from querist.evidence.needs import Features
from querist.seeds import Seed
from querist.strategies.base import State, choose, strategies
from querist.strategies.cluster_balanced_random import ClusterBalancedRandom
from querist.strategies.composition import identity_of
from querist.strategies.random import Random
from querist.testing.contract import StrategyContract


class TestClusterBalancedRandom(StrategyContract):
    make = ClusterBalancedRandom
    cold = True
    deterministic = False


class TestClusterBalancedRandomOfManyClusters(StrategyContract):
    make = staticmethod(lambda: ClusterBalancedRandom(clusters=20))
    cold = True


def blobs(sizes, d=3, seed=0):
    rng = np.random.default_rng(seed)
    centres = 20 * np.eye(len(sizes), max(d, len(sizes)))
    return (np.repeat(centres, sizes, axis=0) + rng.normal(size=(sum(sizes), centres.shape[1]))).astype(np.float32)


def evidence(x, labelled=(), c=3):
    labelled = np.array(labelled, np.int64)
    return Evidence(np.setdiff1d(np.arange(len(x)), labelled), {Features(frame="all"): x}, labelled=labelled, c=c)


def bare(n, labelled=(), c=3):
    labelled = np.array(labelled, np.int64)
    return Evidence(np.setdiff1d(np.arange(n), labelled), {}, labelled=labelled, c=c)


def test_one_cluster_is_random():
    ev, key = evidence(blobs([20, 20])), Seed(0).key()
    expected = choose(Random(), ev, 15, key).ids.tolist()
    assert choose(ClusterBalancedRandom(clusters=1), ev, 15, key).ids.tolist() == expected


def test_shares_of_a_batch_are_equal_and_a_small_cluster_passes_its_share_on():
    ev = evidence(blobs([40, 30, 3]))
    group = np.repeat([0, 1, 2], [40, 30, 3])
    for b, expected in ((6, [2, 2, 2]), (9, [3, 3, 3]), (13, [5, 5, 3]), (73, [40, 30, 3])):
        assert np.bincount(group[choose(ClusterBalancedRandom(), ev, b, Seed(1).key()).ids]).tolist() == expected


def test_C1_C8_what_is_left_over_goes_to_clusters_in_keyed_order():
    ev, group = evidence(blobs([20, 20, 20])), np.repeat([0, 1, 2], 20)
    extra = np.zeros(3)
    for seed in range(60):
        count = np.bincount(group[choose(ClusterBalancedRandom(), ev, 4, Seed(seed).key()).ids], minlength=3)
        assert sorted(count) == [1, 1, 2]
        extra += count == 2
    assert (extra > 5).all()


def test_R2_the_clustering_is_that_of_the_session_and_the_draw_that_of_the_round():
    x = np.random.default_rng(0).normal(size=(60, 3)).astype(np.float32)
    strategy, seed = ClusterBalancedRandom(clusters=4), Seed(0)
    keys = [seed.child("round", t, "select").key() for t in (0, 0, 1)]
    groups = [strategy.group_of(evidence(x), key).tolist() for key in keys]
    assert groups[0] == groups[2]
    picks = [choose(strategy, evidence(x), 8, key).ids.tolist() for key in keys]
    assert picks[0] == picks[1] != picks[2]


@pytest.mark.parametrize("numbers", [[7, 7, -3, -3, 40, 40], [0.5, 0.5, 2.0, 2.0, 9.0, 9.0]])
def test_M22_stored_cluster_numbers_may_have_gaps(tmp_path, numbers):
    np.save(tmp_path / "groups.npy", np.repeat(numbers, 5))
    strategy = ClusterBalancedRandom(groups=str(tmp_path / "groups.npy"))
    assert strategy.needs_at(State()) == ()
    ids = choose(strategy, bare(30, [0, 1]), 9, Seed(0).key()).ids
    assert np.bincount(ids // 10).tolist() == [3, 3, 3]


def test_a_specification_records_what_the_file_holds_and_not_where_it_lies(tmp_path):
    for name in ("a.npy", "b.npy"):
        np.save(tmp_path / name, np.arange(6) % 2)
    one, other = (identity_of(ClusterBalancedRandom(groups=str(tmp_path / name))) for name in ("a.npy", "b.npy"))
    assert one == other
    np.save(tmp_path / "b.npy", np.arange(6) % 3)
    assert identity_of(ClusterBalancedRandom(groups=str(tmp_path / "b.npy"))) != one
    assert identity_of(ClusterBalancedRandom())["groups"] is None


def test_files_that_do_not_fit_are_refused(tmp_path):
    np.save(tmp_path / "short.npy", np.zeros(5))
    with pytest.raises(DataError, match=r"strategy cluster_balanced_random: .* has 5 rows"):
        choose(ClusterBalancedRandom(groups=str(tmp_path / "short.npy")), bare(9), 2, Seed(0).key())
    with pytest.raises(DataError, match="there is none"):
        choose(ClusterBalancedRandom(groups=str(tmp_path / "none.npy")), bare(9), 2, Seed(0).key())


def test_the_number_of_clusters_is_declared():
    x = blobs([5, 5])
    with pytest.raises(UsageError, match="pass classes=C, or set its clusters"):
        choose(ClusterBalancedRandom(), evidence(x, c=1), 2, Seed(0).key())
    with pytest.raises(SpecError, match="Expected clusters to be 1 or larger, got 0"):
        ClusterBalancedRandom(clusters=0)
    assert strategies.build({"name": "cluster_balanced_random", "preset": "S3_cifar100"}).clusters == 20
