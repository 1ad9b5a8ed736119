"""k-medoids."""

import numpy as np
import pytest

from querist.evidence.evidence import Evidence
from querist.evidence.needs import Features
from querist.kernels.coverage import closeness, greedy_cover
from querist.seeds import Seed
from querist.strategies.base import choose, strategies
from querist.strategies.k_medoids import KMedoids
from querist.testing.contract import StrategyContract


class TestKMedoids(StrategyContract):
    make = KMedoids
    deterministic = True
    cold = True


class TestGreedyKMedoids(StrategyContract):
    make = staticmethod(lambda: KMedoids(swaps=False))
    deterministic = True
    cold = True


def evidence(x, labelled=()):
    labelled = np.array(labelled, np.int64)
    return Evidence(np.setdiff1d(np.arange(len(x)), labelled), {Features(frame="all"): x}, labelled=labelled, c=2)


def directions(n, d=5, seed=0):
    x = np.random.default_rng(seed).normal(size=(n, d))
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)


def blobs(sizes, seed=0):
    k = len(sizes)
    x = np.repeat(np.eye(k), sizes, axis=0) + 0.05 * np.random.default_rng(seed).normal(size=(sum(sizes), k))
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)


def total(x, medoids):
    apart = np.sqrt(np.square(x[:, None].astype(float) - x[None, medoids].astype(float)).sum(axis=2))
    return apart.min(axis=1).sum()


@pytest.mark.parametrize("labelled", [[], [2, 9, 30]])
def test_no_swap_lowers_the_sum_of_distances(labelled):
    x = directions(40)
    picked = choose(KMedoids(), evidence(x, labelled), 5, Seed(0).key()).ids
    reached = total(x, [*labelled, *picked])
    for out in picked:
        for row in np.setdiff1d(np.arange(40), [*labelled, *picked]):
            assert total(x, [*labelled, *np.setdiff1d(picked, [out]), row]) >= reached - 1e-9
    start = choose(KMedoids(swaps=False), evidence(x, labelled), 5, Seed(0).key()).ids
    assert reached <= total(x, [*labelled, *start])


def test_C18_swaps_matter_and_without_them_it_is_facility_location_with_another_similarity():
    x = directions(300, d=3)
    ev = evidence(x)
    start = choose(KMedoids(swaps=False), ev, 12, Seed(0).key()).ids
    swapped = choose(KMedoids(), ev, 12, Seed(0).key()).ids
    assert total(x, swapped) < total(x, start)
    tie = Seed(0).key().hash(np.arange(300))
    rows, _ = greedy_cover(x, closeness(2.0), np.empty(0, np.intp), np.ones(300, bool), tie, 12)
    assert sorted(rows) == sorted(start)


def test_separated_blobs_get_one_medoid_each_and_the_largest_comes_first():
    sizes = [30, 22, 26, 40, 24, 28]
    blob = np.repeat(np.arange(6), sizes)
    picked = choose(KMedoids(), evidence(blobs(sizes)), 6, Seed(0).key())
    assert blob[picked.ids].tolist() == [3, 0, 5, 2, 4, 1]
    assert picked.utility.tolist() == sorted(sizes, reverse=True)
    assert picked.reasons[0] == "it is the nearest pick or label of 40 rows"


def test_labelled_blobs_need_no_other_medoid():
    sizes = [30, 30, 30]
    picked = choose(KMedoids(), evidence(blobs(sizes), [4, 65]), 1, Seed(0).key())
    assert picked.ids[0] // 30 == 1
    assert picked.utility.tolist() == [30]


def test_C2_when_all_is_covered_it_goes_on_farthest_first():
    x = np.repeat(directions(4), 5, axis=0)
    picked = choose(KMedoids(), evidence(x, [0]), 12, Seed(0).key())
    assert sorted(picked.ids[:3] // 5) == [1, 2, 3]
    assert picked.utility.tolist() == [5, 5, 5] + [0] * 9
    assert len(set(picked.ids.tolist())) == 12
    assert picked.reasons[-1].startswith("everything is covered")


def test_is_registered():
    assert strategies.build("k_medoids") == KMedoids()
