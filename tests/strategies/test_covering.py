"""Strategies that cover the pool: what they say about their batch, and what they do beyond the limit."""

from dataclasses import replace

import numpy as np
import pytest

from querist.errors import SpecError
from querist.evidence.evidence import Evidence
from querist.evidence.needs import Features
from querist.seeds import Seed
from querist.session.select import select
from querist.strategies.base import choose, strategies
from querist.strategies.facility_location import FacilityLocation
from querist.strategies.k_medoids import KMedoids
from querist.strategies.max_herding import MaxHerding
from querist.strategies.prob_cover import ProbCover
from querist.strategies.uherding import UHerding
from querist.testing.contract import StrategyContract

NAMES = ["facility_location", "k_medoids", "max_herding", "prob_cover", "uherding"]


class TestEstimatedFacilityLocation(StrategyContract):
    make = staticmethod(lambda: FacilityLocation(limit=20))
    cold = True


class TestEstimatedKMedoids(StrategyContract):
    make = staticmethod(lambda: KMedoids(limit=20))
    cold = True


class TestEstimatedMaxHerding(StrategyContract):
    make = staticmethod(lambda: MaxHerding(limit=20))
    cold = True


class TestEstimatedProbCover(StrategyContract):
    make = staticmethod(lambda: ProbCover(limit=20))
    cold = True


class TestEstimatedUHerding(StrategyContract):
    make = staticmethod(lambda: UHerding(limit=20))
    cold = True


def pool(n=400, d=4, labelled=3):
    x = np.random.default_rng(0).normal(size=(n, d))
    x = (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)
    taken = np.arange(labelled)
    return Evidence(np.arange(labelled, n), {Features(frame="all"): x}, labelled=taken, c=3)


def cold(name, **settings):
    return replace(strategies.build(name), **settings)


@pytest.mark.parametrize("name", NAMES)
def test_a_sampled_batch_says_so_and_an_exact_one_does_not(name):
    ev = pool(labelled=0)
    exact, sampled = (choose(cold(name, limit=limit), ev, 9, Seed(0).key()) for limit in (400, 200))
    assert "estimated" not in " ".join(exact.reasons)
    assert "gains were estimated from 100 of 400 rows; the batch adds at least" in sampled.reasons[0]
    assert "confidence" in sampled.reasons[0]
    assert "estimated" not in " ".join(sampled.reasons[1:])
    assert sampled.certificate.sampled
    assert (sampled.certificate.references, sampled.certificate.rows) == (100, 400)
    if name != "k_medoids":  # swaps are no greedy steps, so nothing is claimed about them
        assert not exact.certificate.sampled
        assert exact.certificate.share > sampled.certificate.share > 0
        assert exact.certificate.share >= 1 - 1 / np.e


@pytest.mark.parametrize("name", NAMES)
def test_estimates_are_close_to_what_is_exact(name):
    settings = {"swaps": False} if name == "k_medoids" else {"delta": 0.6} if name == "prob_cover" else {}
    ev = pool(n=1500)
    exact, sampled = (choose(cold(name, limit=n, **settings), ev, 1, Seed(0).key()) for n in (1500, 1300))
    assert sampled.utility == pytest.approx(exact.utility, rel=0.25)
    other = choose(cold(name, limit=1300, **settings), ev, 40, Seed(1).key())
    assert len(set(other.ids.tolist())) == 40


def test_prob_cover_without_a_graph_proves_as_much(monkeypatch):
    from querist.strategies import prob_cover as module

    straight = choose(ProbCover(delta=0.4), pool(), 30, Seed(0).key())
    monkeypatch.setattr(module, "DEGREE", 0)
    without = choose(ProbCover(delta=0.4), pool(), 30, Seed(0).key())
    assert straight.ids.tolist() == without.ids.tolist()
    assert straight.certificate.added == pytest.approx(without.certificate.added)
    assert straight.certificate.most == pytest.approx(without.certificate.most)


def test_sizes_of_estimated_medoids_are_counted_on_all_rows():
    ev = pool()
    picked = choose(KMedoids(limit=100), ev, 12, Seed(0).key())
    x = ev[Features(frame="all")].astype(float)
    gap = np.square(x[:, None] - x[None, np.append(ev.labelled, picked.ids)]).sum(axis=2)
    nearest = np.bincount(gap.argmin(axis=1), minlength=15)[3:]
    assert picked.utility.tolist() == nearest.tolist()
    assert (np.diff(picked.utility) <= 0).all()


@pytest.mark.parametrize("name", NAMES)
def test_C18_limits_must_make_sense(name):
    with pytest.raises(SpecError, match="limit to be 1 or larger, got 0"):
        strategies.build({"name": name, "limit": 0})


def test_the_door_for_arrays_hands_the_certificate_over():
    x = np.random.default_rng(0).normal(size=(50, 3))
    assert select("max_herding", 4, features=x).certificate.rows == 50
    assert select("random", 4, features=x).certificate is None
