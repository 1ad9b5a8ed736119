"""TAILOR."""

from dataclasses import dataclass, field

import numpy as np
import pytest

from querist.data.memory import from_arrays
from querist.errors import SpecError
from querist.evidence.evidence import Evidence
from querist.evidence.needs import Features, Gradients, History, Labels, Need, Past, Probs, Sealed
from querist.kernels.thompson import class_values, drawn_arms
from querist.labels.oracle import SimulatedOracle
from querist.registry import describe
from querist.seeds import Seed
from querist.session.session import Session
from querist.strategies.base import Picks, State, Strategy, choose, strategies
from querist.strategies.composition import flags_of
from querist.strategies.entropy import Entropy
from querist.strategies.galaxy import Galaxy
from querist.strategies.margin import Margin
from querist.strategies.random import Random
from querist.strategies.tailor import Tailor, by_round
from querist.strategies.typiclust import TypiClust
from querist.testing.contract import StrategyContract


class TestTailor(StrategyContract):
    make = Tailor
    cold = False
    deterministic = False


class TestTailorOfRulesThatStartCold(StrategyContract):
    make = staticmethod(lambda: Tailor(arms=(TypiClust(), Random())))
    cold = True


N, C = 200, 4


def pool(seed=0):
    rng = np.random.default_rng(seed)
    return rng.dirichlet(np.ones(C), N), np.repeat(np.arange(C), [150, 30, 15, 5])[rng.permutation(N)]


def evidence(p, y, rounds, initial):
    labelled = np.sort(np.concatenate([initial, *rounds]).astype(np.int64))
    ids = np.setdiff1d(np.arange(N), labelled)
    past = Past(tuple(np.array(r, np.int64) for r in rounds), (None,) * len(rounds))
    values = {Probs(): p[ids], Labels(): y[labelled], History(): past}
    return Evidence(ids, values, labelled=labelled, c=C)


@dataclass(frozen=True, kw_only=True)
class Told(Strategy):
    """Picks at random and remembers, for the test, how much was asked of it."""

    asked: list[int] = field(default_factory=list)

    def select(self, ev, b, key):
        self.asked.append(b)
        return Picks(np.argsort(key.hash(ev.candidates))[:b])


def test_who_picked_what_is_found_again_from_the_labels_and_the_seed_alone():
    p, y = pool()
    initial, session, b = np.arange(5), Seed(0), 8
    seen, count, past = np.zeros((3, C)), np.bincount(y[initial], minlength=C).astype(float), []
    for t in range(6):
        arm = drawn_arms(seen, class_values(count), b, session.child("arms", t).key().generator())
        arms = tuple(Told() for _ in range(3))  # new objects every round: nothing can be remembered
        ids = choose(Tailor(arms=arms), evidence(p, y, past, initial), b, session.child("round", t).key()).ids
        assert [sum(told.asked) for told in arms] == np.bincount(arm, minlength=3).tolist()
        seen *= 0.9
        np.add.at(seen, (arm, y[ids]), 1)
        count += np.bincount(y[ids], minlength=C)
        past.append(ids)
    assert seen.sum() > 10


def test_one_arm_is_that_strategy():
    p, y = pool()
    ev, key = evidence(p, y, [[10, 11], [12]], np.arange(5)), Seed(0).child("round", 2).key()
    for arm in (Margin(), Entropy(), Random()):
        plain = choose(arm, ev, 30, key).ids.tolist()
        assert choose(Tailor(arms=(arm,)), ev, 30, key).ids.tolist() == plain


def test_each_arm_takes_its_best_of_what_earlier_arms_left():
    p, y = pool()
    ev, key = evidence(p, y, [], np.arange(5)), Seed(1).key()
    twice = choose(Tailor(arms=(Margin(), Margin())), ev, 40, key)
    assert sorted(twice.ids.tolist()) == sorted(choose(Margin(), ev, 40, key).ids.tolist())


def test_the_utility_is_the_expected_worth_of_a_label_of_the_arm():
    p, y = pool()
    picked = choose(Tailor(arms=(Margin(), Random())), evidence(p, y, [], np.arange(5)), 10, Seed(0).key())
    value = class_values(np.bincount(y[:5], minlength=C).astype(float))
    assert picked.utility == pytest.approx(np.full(10, value.mean()))  # nothing is known about either yet
    assert f"{value.mean():.3g}" in picked.reasons[0]


def test_labels_that_never_came_and_initial_ones_count_for_no_arm():
    labelled, labels = np.array([2, 4, 6, 9]), np.array([0, 1, 1, 2])
    rounds, first = by_round(labelled, labels, [np.array([6, 5]), np.array([99, 2])], 3)
    assert [r.tolist() for r in rounds] == [[1, -1], [-1, 0]]
    assert first.tolist() == [0, 1, 1]
    rounds, first = by_round(labelled[:0], labels[:0], [np.array([6])], 3)
    assert [r.tolist() for r in rounds] == [[-1]]


def test_it_turns_to_the_arm_that_finds_rare_classes():
    p, y = pool()
    p = np.full((N, C), 0.02)
    p[np.arange(N), y] = 0.94
    rare = np.where(np.isin(y, (2, 3)), 0.5, 0.9)
    p[:, 0], p[:, 1:] = rare, ((1 - rare) / 3)[:, None]  # entropy is larger on the rare ones
    session, past, initial = Seed(0), [], np.arange(5)
    for t in range(6):
        ev, key = evidence(p, y, past, initial), session.child("round", t).key()
        past.append(choose(Tailor(arms=(Random(), Entropy())), ev, 4, key).ids)
    bought = np.concatenate(past)
    assert np.isin(y[bought], (2, 3)).mean() > 2 * np.isin(y, (2, 3)).mean()


def test_L1_rewards_are_read_from_bought_labels_alone():
    needs = Tailor().needs_at(State(has_model=True))
    assert not any(isinstance(need, Sealed) for need in needs)
    assert set(needs) == {History(), Labels(), Probs(), Gradients()}
    assert Tailor(arms=(TypiClust(),)).needs_at(State()) == (History(), Labels(), Features(frame="all"))
    assert all(isinstance(need, Need) for need in needs)


def test_it_is_built_from_a_table_and_described():
    built = strategies.build({"name": "tailor", "arms": ["margin", {"name": "random", "nested": True}], "discount": 1})
    assert built == Tailor(arms=(Margin(), Random(nested=True)), discount=1.0)
    assert strategies.build(describe(built)) == built


@pytest.mark.parametrize(
    ("wrong", "what"),
    [
        ({"arms": ()}, "at least one"),
        ({"discount": 1.5}, "discount to be"),
        ({"arms": (Margin(), Galaxy())}, "arms that choose several items at once"),
    ],
)
def test_C18_settings_must_make_sense(wrong, what):
    with pytest.raises(SpecError, match=f"Expected {what}"):
        Tailor(**wrong)


def test_a_single_arm_may_ask_one_by_one():
    assert flags_of(Tailor(arms=(Galaxy(),))) == {"sequential"}


def test_a_session_that_is_opened_again_goes_on_with_the_same_picks():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(120, 4)).astype(np.float32), np.arange(120) % 3
    data = from_arrays("small", x + y[:, None], y, classes=("a", "b", "c"), test_share=0.2)
    oracle = SimulatedOracle(data.labels, data.pool)

    def play(session, rounds):
        ids = []
        for _ in range(rounds):
            query = session.ask(6)
            ids.append(list(query.ids))
            session.tell(oracle.answer(query))
        return ids

    whole = play(Session(data, strategy="tailor", learner="linear", seed=0), 5)
    session = Session(data, strategy="tailor", learner="linear", seed=0)
    begun = play(session, 3)
    again = Session(data, strategy="tailor", learner="linear", seed=0, ledger=session.ledger)
    assert begun + play(again, 2) == whole
