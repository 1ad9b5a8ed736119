"""The wrapper that lets its base see fewer candidates."""

import numpy as np
import pytest

from querist.errors import SpecError
from querist.evidence.needs import Features, Neighbours, Probs
from querist.seeds import Seed
from querist.strategies.badge import Badge
from querist.strategies.base import State, choose, strategies
from querist.strategies.margin import Margin
from querist.strategies.max_herding import MaxHerding
from querist.strategies.random import Random
from querist.strategies.subsampled import Subsampled
from querist.strategies.typiclust import TypiClust
from querist.strategies.uherding import UHerding
from querist.testing.contract import StrategyContract
from querist.testing.fakes import fake_evidence


class TestNeighbours(StrategyContract):
    make = Subsampled
    symmetric = False  # equally near neighbours go by position


class TestNeighboursTypiClust(StrategyContract):
    make = staticmethod(lambda: Subsampled(base=TypiClust(), k=3))
    symmetric = False


class TestSample(StrategyContract):
    make = staticmethod(lambda: Subsampled(m=20))
    deterministic = False


class TestSampleUherding(StrategyContract):
    make = staticmethod(lambda: Subsampled(base=UHerding(), m=20))
    deterministic = False


@pytest.mark.parametrize("base", [Margin(), UHerding(), TypiClust(), Badge(), Random()])
@pytest.mark.parametrize("m", [60, 1000])
def test_a_sample_of_all_is_the_base(base, m):
    ev = fake_evidence(base)
    one, other = (choose(s, ev, 13, Seed(0).key()) for s in (Subsampled(base=base, m=m), base))
    assert one.ids.tolist() == other.ids.tolist()
    assert np.array_equal(one.utility, other.utility) if other.utility is not None else one.utility is None


def test_Q16_the_sample_has_m_rows_is_drawn_anew_every_round_and_is_a_setting():
    strategy, ev = Subsampled(m=10), fake_evidence(Margin())
    seen = []
    for t in range(40):
        key = Seed(0).child("round", t).key()
        picked = choose(strategy, ev, 10, key)
        seen.append(set(picked.ids.tolist()))
        assert seen[-1] == set(ev.candidates[np.argsort(key.child("subset").hash(ev.candidates))[:10]].tolist())
        score = Margin().score(ev)[np.searchsorted(ev.candidates, picked.ids)]
        assert picked.utility.tolist() == sorted(score, reverse=True)
    assert len(set().union(*seen)) == 60
    assert seen[0] != seen[1]
    assert "in a random sample of 10" in picked.reasons[0]


def near(ev, k):
    x = ev[Features(frame="all")].astype(float)
    apart = np.square(x[:, None] - x).sum(2)
    np.fill_diagonal(apart, np.inf)
    found = np.unique(np.argsort(apart[ev.rows("labelled")], axis=1)[:, :k])
    return np.intersect1d(ev.all[found], ev.candidates)


@pytest.mark.parametrize("k", [1, 3, 10])
def test_C4_seals_chooses_among_the_neighbours_of_labelled_rows(k):
    ev = fake_evidence((Features(frame="all"), Probs(), Neighbours(frame="all", k=k)))
    around = near(ev, k)
    picked = choose(Subsampled(k=k), ev, len(around), Seed(0).key())
    assert sorted(picked.ids.tolist()) == around.tolist()
    score = Margin().score(ev)[np.searchsorted(ev.candidates, picked.ids)]
    assert picked.utility.tolist() == sorted(score, reverse=True)


def test_C1_a_part_smaller_than_the_batch_is_completed_at_random():
    ev = fake_evidence((Features(frame="all"), Probs(), Neighbours(frame="all", k=1)))
    around, rests = near(ev, 1), set()
    for seed in range(20):
        picked = choose(Subsampled(k=1), ev, len(around) + 3, Seed(seed).key())
        assert set(picked.ids[: len(around)].tolist()) == set(around.tolist())
        assert picked.utility[len(around) :].tolist() == [0.0] * 3
        rests.add(tuple(picked.ids[len(around) :]))
    assert len(rests) > 15
    assert "at random because too few" in picked.reasons[-1]


def test_before_there_are_labels_seals_is_the_base():
    strategy = Subsampled(base=TypiClust())
    assert strategy.needs_at(State()) == TypiClust().needs_at(State())
    ev = fake_evidence(TypiClust(), labelled=0)
    one, other = (choose(s, ev, 9, Seed(0).key()).ids.tolist() for s in (strategy, TypiClust()))
    assert one == other


@pytest.mark.parametrize("m", [20, 6])
def test_a_base_that_looks_at_a_sample_still_says_so(m):
    strategy = Subsampled(base=MaxHerding(limit=15), m=m)
    picked = choose(strategy, fake_evidence(strategy), 8, Seed(0).key())
    assert picked.certificate.rows == m + 12  # and what is labelled
    assert "gains were estimated from" in picked.reasons[0]


def test_needs_settings_and_mistakes():
    state = State(round=1, n_labelled=5, has_model=True)
    assert Subsampled(k=7).needs_at(state) == (Probs(), Neighbours(frame="all", k=7))
    assert Subsampled(m=7).needs_at(state) == (Probs(),)
    assert strategies.build("subsampled(uherding, m=500)") == Subsampled(base=UHerding(), m=500)
    for wrong in ({"k": 0}, {"m": 0}):
        with pytest.raises(SpecError, match="1 or larger"):
            Subsampled(**wrong)
