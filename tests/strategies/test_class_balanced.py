"""The class-balanced wrapper."""

import numpy as np
import pytest

from querist.errors import SpecError
from querist.evidence.evidence import Evidence
from querist.evidence.needs import Labels, Probs
from querist.seeds import Seed
from querist.strategies.badge import Badge
from querist.strategies.base import State, choose, strategies
from querist.strategies.class_balanced import ClassBalanced
from querist.strategies.margin import Margin
from querist.strategies.random import Random
from querist.strategies.typiclust import TypiClust
from querist.strategies.uherding import UHerding
from querist.testing.contract import StrategyContract
from querist.testing.fakes import fake_evidence


class TestClassBalanced(StrategyContract):
    make = ClassBalanced


class TestClassBalancedUherding(StrategyContract):
    make = staticmethod(lambda: ClassBalanced(base=UHerding()))


class TestClassBalancedTypiClust(StrategyContract):
    make = staticmethod(lambda: ClassBalanced(base=TypiClust()))


def evidence(predicted, bought, c):
    """A classifier that is fairly sure of each row, and labels that were bought."""
    rng = np.random.default_rng(0)
    p = rng.dirichlet(np.ones(c), len(predicted)) * 0.4
    p[np.arange(len(predicted)), predicted] += 0.6
    labelled = len(predicted) + np.arange(len(bought))
    values = {Probs(): p, Labels(): np.array(bought, dtype=np.int64)}
    return Evidence(np.arange(len(predicted)), values, labelled=labelled, c=c)


def test_a_perfect_classifier_with_ample_supply_ends_within_one_of_balance():
    predicted = np.arange(200) % 4
    for bought in ([], [0] * 7 + [1] * 2, [3, 3, 3, 3, 3, 2]):
        ev = evidence(predicted, bought, 4)
        picked = choose(ClassBalanced(), ev, 40, Seed(0).key())
        total = np.bincount(bought, minlength=4) + np.bincount(predicted[picked.ids], minlength=4)
        assert total.max() - total.min() <= 1


def test_within_a_class_the_base_chooses_and_the_smallest_class_comes_first():
    predicted = np.arange(60) % 3
    ev = evidence(predicted, [0, 0, 1, 1, 1], 3)
    picked, score = choose(ClassBalanced(), ev, 9, Seed(0).key()), Margin().score(ev)
    best = [np.flatnonzero(predicted == j)[np.argsort(-score[predicted == j])].tolist() for j in range(3)]
    assert predicted[picked.ids[:2]].tolist() == [2, 2]
    assert sorted(predicted[picked.ids[2:4]]) == [0, 2]
    for j in range(3):
        chosen = picked.ids[predicted[picked.ids] == j].tolist()
        assert chosen == best[j][: len(chosen)]
    assert np.bincount(predicted[picked.ids]).tolist() in ([3, 2, 4], [3, 1, 5], [2, 2, 5])
    assert picked.utility.tolist() == score[picked.ids].tolist()


def test_C1_a_class_nobody_predicts_passes_its_share_on():
    predicted = np.where(np.arange(50) < 3, 0, 1)
    ev = evidence(predicted, [2], 4)
    picked = choose(ClassBalanced(), ev, 20, Seed(0).key())
    assert np.bincount(predicted[picked.ids], minlength=4).tolist() == [3, 17, 0, 0]


def test_ignored_classes_are_used_when_nothing_else_is_left():
    predicted = np.where(np.arange(50) < 30, 0, 1)
    ev = evidence(predicted, [], 3)
    picked = choose(ClassBalanced(ignored=(0,)), ev, 25, Seed(0).key())
    assert predicted[picked.ids].tolist() == [1] * 20 + [0] * 5
    with pytest.raises(SpecError, match=r"classes in 0\.\.2, got \[3\]"):
        choose(ClassBalanced(ignored=(3,)), ev, 2, Seed(0).key())


@pytest.mark.parametrize("base", [Margin(), Badge(), TypiClust(), UHerding(), Random()])
def test_one_class_is_the_base(base):
    ev = fake_evidence((*ClassBalanced(base=base).needs_at(State(n_labelled=9, has_model=True)),), c=1)
    one, other = (choose(s, ev, 9, Seed(0).key()) for s in (ClassBalanced(base=base), base))
    assert one.ids.tolist() == other.ids.tolist()


def test_propensities_of_the_base_hold_within_groups():
    predicted = np.arange(30) % 3
    picked = choose(ClassBalanced(base=Random()), evidence(predicted, [], 3), 6, Seed(0).key())
    assert picked.propensity == pytest.approx([1 / 10] * 3 + [1 / 9] * 3)


def test_needs_and_composition():
    state = State(round=1, n_labelled=5, has_model=True)
    assert ClassBalanced().needs_at(state) == (Probs(), Labels())
    assert strategies.build("class_balanced(badge, ignored=[2])") == ClassBalanced(base=Badge(), ignored=(2,))
    assert ClassBalanced().reason(-0.5).startswith("few labels are of its predicted class; its two most likely")
