"""Half from the top of a score, half from its bottom."""

import numpy as np
import pytest

from querist.seeds import Seed
from querist.strategies.base import State, choose, strategies
from querist.strategies.entropy import Entropy
from querist.strategies.half_mix import HalfMix
from querist.strategies.least_confidence import LeastConfidence
from querist.testing.contract import StrategyContract
from querist.testing.fakes import fake_evidence


class TestHalfMix(StrategyContract):
    make = HalfMix


class TestHalfMixEntropy(StrategyContract):
    make = staticmethod(lambda: HalfMix(base=Entropy()))


@pytest.mark.parametrize("b", [1, 2, 9, 10, 59, 60])
def test_picks_are_head_and_tail_of_the_sorted_list_and_an_odd_pick_is_low(b):
    ev = fake_evidence(HalfMix())
    score = LeastConfidence().score(ev)
    order = np.argsort(-score)
    picked = choose(HalfMix(), ev, b, Seed(0).key())
    expected = [*order[: b // 2], *order[::-1][: b - b // 2]]
    assert picked.ids.tolist() == ev.candidates[expected].tolist()
    assert picked.utility.tolist() == score[expected].tolist()


def test_N6_ties_at_both_ends_are_drawn_and_never_twice():
    ev, counts = fake_evidence(HalfMix(), n=6, kind="duplicates"), np.zeros((2, 6))
    for seed in range(300):
        ids = choose(HalfMix(), ev, 4, Seed(seed).key()).ids
        assert len(set(ids.tolist())) == 4
        for end, part in enumerate((ids[:2], ids[2:])):
            counts[end, np.searchsorted(ev.candidates, part)] += 1
    assert (np.abs(counts - 100) < 45).all()  # 5.5 standard deviations


def test_names_needs_and_reasons():
    assert strategies.build("uncertainty_mix") == HalfMix(base=LeastConfidence())
    assert strategies.build("half_mix(entropy)") == HalfMix(base=Entropy())
    assert HalfMix().needs_at(State()) == LeastConfidence().needs_at(State())
    assert HalfMix().reason(0.5).startswith("it is at the top or at the bottom of a score: ")
