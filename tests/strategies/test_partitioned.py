"""The partitioned wrapper."""

import numpy as np
import pytest

from querist.errors import SpecError
from querist.seeds import Seed
from querist.strategies.badge import Badge
from querist.strategies.base import State, choose, strategies
from querist.strategies.margin import Margin
from querist.strategies.partitioned import Partitioned
from querist.strategies.random import Random
from querist.strategies.typiclust import TypiClust
from querist.strategies.uherding import UHerding
from querist.testing.contract import StrategyContract
from querist.testing.fakes import fake_evidence


class TestPartitioned(StrategyContract):
    make = Partitioned
    deterministic = False


class TestPartitionedUherding(StrategyContract):
    make = staticmethod(lambda: Partitioned(base=UHerding()))
    deterministic = False


class TestPartitionedTypiClust(StrategyContract):
    make = staticmethod(lambda: Partitioned(base=TypiClust(), parts=2))
    deterministic = False


@pytest.mark.parametrize("base", [Margin(), UHerding(), TypiClust(), Badge(), Random()])
def test_one_part_is_the_base(base):
    ev = fake_evidence(base)
    one, other = (choose(s, ev, 13, Seed(0).key()) for s in (Partitioned(base=base, parts=1), base))
    assert one.ids.tolist() == other.ids.tolist()
    assert np.array_equal(one.utility, other.utility) if other.utility is not None else one.utility is None
    assert one.propensity is None if other.propensity is None else np.array_equal(one.propensity, other.propensity)


@pytest.mark.parametrize("b", [1, 6, 7, 8, 9, 59, 60])
def test_C8_shares_differ_by_one_at_most_and_sum_to_the_batch(b):
    ev, key = fake_evidence(Margin()), Seed(3).key()
    picked = choose(Partitioned(parts=7), ev, b, key)
    part = np.empty(60, int)
    part[np.argsort(key.child("parts").hash(ev.candidates))] = np.arange(60) % 7
    share = np.bincount(part[np.searchsorted(ev.candidates, picked.ids)], minlength=7)
    assert share.sum() == b
    assert share.max() - share.min() <= 1


def test_picks_come_from_the_parts_in_turn_and_are_the_best_of_each():
    ev, key = fake_evidence(Margin()), Seed(3).key()
    picked = choose(Partitioned(parts=4), ev, 8, key)
    order = np.argsort(key.child("parts").hash(ev.candidates))
    score = Margin().score(ev)
    best = [order[j::4][np.argsort(-score[order[j::4]])][:2] for j in range(4)]
    rows = [best[j][lap] for lap in range(2) for j in range(4)]
    assert picked.ids.tolist() == ev.candidates[rows].tolist()
    assert picked.utility.tolist() == score[rows].tolist()


def test_odds_within_parts_are_not_given_out_as_those_of_the_batch():
    ev = fake_evidence(Margin())
    assert choose(Partitioned(base=Random(), parts=3), ev, 9, Seed(0).key()).propensity is None


def test_more_parts_than_candidates_are_as_many_parts():
    ev = fake_evidence(Margin(), n=5)
    assert len(choose(Partitioned(parts=99), ev, 5, Seed(0).key()).ids) == 5
    with pytest.raises(SpecError, match="parts"):
        Partitioned(parts=0)


def test_needs_reasons_and_settings():
    state = State(round=1, n_labelled=5, has_model=True)
    assert Partitioned(base=UHerding()).needs_at(state) == UHerding().needs_at(state)
    assert Partitioned().reason(-0.25) == Margin().reason(-0.25)
    assert strategies.build("partitioned(badge, parts=3)") == Partitioned(base=Badge(), parts=3)
    assert strategies.build({"name": "partitioned", "preset": "S4"}).parts == 1
