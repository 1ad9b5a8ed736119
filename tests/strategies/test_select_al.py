"""SelectAL."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest

from querist.data.memory import from_arrays
from querist.errors import SpecError
from querist.evidence.evidence import Evidence
from querist.evidence.needs import Features, Gradients, Labels, Probs, Refit, Sealed
from querist.labels.oracle import SimulatedOracle
from querist.seeds import Seed
from querist.session.session import Session
from querist.strategies.badge import Badge
from querist.strategies.base import Picks, State, Strategy, choose
from querist.strategies.entropy import Entropy
from querist.strategies.margin import Margin
from querist.strategies.max_herding import MaxHerding
from querist.strategies.random import Random
from querist.strategies.select_al import REFIT, UNJUDGED, SelectAL, as_pool
from querist.strategies.typiclust import TypiClust
from querist.testing.contract import StrategyContract
from querist.testing.fakes import fake_evidence
from querist.testing.spy import recording


class TestSelectAL(StrategyContract):
    make = SelectAL
    cold = True

    def test_declares_nothing_it_never_reads(self):
        """Which rule chooses depends on the labels, so more worlds than usual are looked at."""
        strategy, read, declared = self.strategy(), set(), set()
        for seed in range(12):
            ev = recording(self.evidence(strategy, seed=seed, labelled=20))
            choose(strategy, ev, self.b, self.key())
            read, declared = read | ev.read, declared | ev.needs
        assert declared == read


class TestSelectALOfGradients(StrategyContract):
    make = staticmethod(lambda: SelectAL(low=MaxHerding(), high=Badge(), share=0.3, folds=3, repeats=2))
    cold = True
    test_declares_nothing_it_never_reads = None


@dataclass(frozen=True, kw_only=True)
class First(Strategy):
    """Picks the rows of some ids first, then the others by id."""

    ids: tuple[int, ...] = ()
    needs: ClassVar = ()

    def select(self, ev, b, key):
        return Picks(np.lexsort((ev.candidates, ~np.isin(ev.candidates, self.ids)))[:b])


def memory(x, y, labelled, fits=None):
    """A learner that predicts the label of the nearest row it was fitted on."""

    def refit(rows):
        if fits is not None:
            fits.append(rows.tolist())
        gap = np.square(x[labelled][:, None] - x[labelled][rows][None]).sum(axis=2)
        return np.eye(y.max() + 1)[y[labelled][rows][gap.argmin(axis=1)]]

    return refit


@dataclass(frozen=True, kw_only=True)
class Wishing(First):
    """Could use features."""

    wants: ClassVar = (Features(),)


PLACE = tuple(range(0, 16, 2))  # all labelled rows of the first place: without them its class is unknown
SPREAD = (20, 22, 40, 42, 44, 60, 62, 64)  # some of every other place: copies are left


def world(low, high, fits=None):
    """Forty labelled rows in four places, eight in the first; each place has a label of its own."""
    labelled = np.arange(0, 80, 2)
    place = np.minimum((np.arange(80) + 4) // 20, 3)
    x = place[:, None].astype(float)
    ids = np.setdiff1d(np.arange(80), labelled)
    strategy = SelectAL(low=low, high=high, share=0.2)
    values = {Labels(): place[labelled], REFIT: memory(x, place, labelled, fits)}
    return strategy, Evidence(ids, values, labelled=labelled, c=4)


def test_a_planted_subset_that_is_missed_selects_the_rule_that_wants_it():
    strategy, ev = world(First(ids=PLACE), First(ids=SPREAD))
    assert strategy.decide(ev, Seed(0).key()) > 0
    strategy, ev = world(First(ids=SPREAD), First(ids=PLACE))
    assert strategy.decide(ev, Seed(0).key()) < 0
    strategy, ev = world(First(ids=SPREAD), First(ids=SPREAD))
    assert strategy.decide(ev, Seed(0).key()) == 0


def naive(ev, low, high, y, folds, repeats, key, refit):
    """The difference that decides, counted row by row."""
    l, m = len(ev.labelled), round(0.2 * len(ev.labelled))
    rate = {}
    for name in ("low", "high", "random"):
        wrong = 0
        for r in range(repeats):
            tie = key.child("folds", r).hash(ev.labelled)
            fold = {int(row): place % folds for place, row in enumerate(np.argsort(tie))}
            subset = {"low": low, "high": high}.get(name)
            if subset is None:
                subset = ev.labelled[np.argsort(key.child("random", r).hash(ev.labelled))[:m]]
            out = {int(np.flatnonzero(ev.labelled == i)[0]) for i in subset}
            for f in range(folds):
                fitted = [row for row in range(l) if fold[row] != f and row not in out]
                p = refit(np.array(fitted))
                wrong += sum(p[row].argmax() != y[row] for row in range(l) if fold[row] == f)
        rate[name] = wrong / (repeats * l)
    return rate


def test_the_utility_is_the_difference_of_cross_validated_errors():
    low, high = PLACE, SPREAD
    strategy, ev = world(First(ids=PLACE), First(ids=SPREAD))
    key = Seed(3).key()
    rate = naive(ev, low, high, ev[Labels()], 5, 4, key.child("decide"), ev[REFIT])
    picked = choose(strategy, ev, 6, key)
    assert picked.utility == pytest.approx(np.full(6, rate["low"] - rate["random"]))
    assert rate["low"] > max(rate["random"], rate["high"])
    assert picked.ids.tolist() == choose(First(ids=PLACE), ev, 6, key).ids.tolist()


def test_the_decision_and_its_errors_are_told():
    picked = choose(*world(First(ids=PLACE), First(ids=SPREAD)), 3, Seed(0).key())
    assert picked.reasons[0].startswith(
        f"chosen by the rule for low budgets: without labels of its kind {picked.utility[0]:.1%} more"
    )
    picked = choose(*world(First(ids=SPREAD), First(ids=PLACE)), 3, Seed(0).key())
    assert "the rule for high budgets" in picked.reasons[0]
    strategy, ev = world(First(ids=SPREAD), First(ids=SPREAD))
    picked = choose(strategy, ev, 3, Seed(0).key())
    assert picked.reasons[0].startswith("drawn at random: labels of neither rule")
    assert picked.ids.tolist() == choose(Random(), ev, 3, Seed(0).key()).ids.tolist()


def test_what_is_held_out_is_never_fitted_on_and_subsets_are_of_one_size():
    fits = []
    strategy, ev = world(First(ids=PLACE), First(ids=SPREAD), fits=fits)
    strategy.decide(ev, Seed(0).key())
    assert len(fits) == 5 + 3 * 4 * 5
    assert {len(rows) for rows in fits[:5]} == {32}
    per_repeat = [fits[start : start + 5] for start in range(5, len(fits), 5)]
    # A row that is kept is in the fits of all folds but its own; one that is left out is in none.
    for rows in per_repeat:
        counts = np.bincount(np.concatenate(rows), minlength=40)
        assert sorted(set(counts.tolist())) == [0, 4]
        assert (counts == 0).sum() == 8


def test_L4_only_bought_labels_are_read():
    needs = SelectAL().needs_at(State(round=1, n_labelled=20, has_model=True))
    assert not any(isinstance(need, Sealed) for need in needs)
    assert Labels() in needs
    assert {need.frame for need in needs if isinstance(need, Refit)} == {"labelled"}
    needs = SelectAL(low=MaxHerding(), high=Badge()).needs_at(State(n_labelled=20, has_model=True))
    assert Gradients(frame="labelled") in needs


def test_what_the_rules_can_do_without_is_asked_for():
    fitted = State(round=1, n_labelled=20, has_model=True)
    for strategy in (SelectAL(low=Wishing()), SelectAL(high=Wishing())):
        assert strategy.wants_at(fitted) == (Features(),)
        assert strategy.wants_at(State()) == ()


def test_with_few_labels_or_none_the_rule_for_low_budgets_chooses():
    strategy = SelectAL()
    assert strategy.needs_at(State()) == TypiClust().needs_at(State())
    for labelled in (0, 1, 9):
        ev = fake_evidence(strategy, labelled=labelled)
        picked = choose(strategy, ev, 5, Seed(0).key())
        assert picked.ids.tolist() == choose(TypiClust(), ev, 5, Seed(0).key()).ids.tolist()
        assert set(picked.utility.tolist()) == {UNJUDGED}
        assert "too few labels" in picked.reasons[0]
    assert set(choose(strategy, fake_evidence(strategy, labelled=10), 5, Seed(0).key()).utility) != {UNJUDGED}


@pytest.mark.parametrize("rule", [TypiClust(), MaxHerding(), Margin(), Entropy(), Badge()])
def test_labelled_rows_become_a_pool_for_any_rule_with_predictions_of_models_that_did_not_see_them(rule):
    strategy = SelectAL(low=TypiClust(), high=rule)
    ev = fake_evidence(strategy, labelled=15)
    p = np.random.default_rng(0).dirichlet(np.ones(4), 15)
    part = as_pool(ev, rule, p)
    assert part.candidates.tolist() == ev.labelled.tolist()
    assert len(part.labelled) == 0
    if Probs() in part.needs:
        assert part[Probs()].tolist() == p.tolist()
    if Features(frame="all") in part.needs:
        assert part[Features(frame="all")].tolist() == ev[Features(frame="all")][ev.rows("labelled")].tolist()
    if Gradients() in part.needs:
        assert part[Gradients()].residual == pytest.approx(p - np.eye(4)[p.argmax(axis=1)])
        assert part[Gradients()].embedding.tolist() == ev[Gradients(frame="labelled")].embedding.tolist()
    assert len(choose(rule, part, 4, Seed(0).key()).ids) == 4


@pytest.mark.parametrize("wrong", [{"share": 0.0}, {"share": 0.6}, {"folds": 1}, {"repeats": 0}])
def test_C18_settings_must_make_sense(wrong):
    with pytest.raises(SpecError, match=f"Expected {next(iter(wrong))} to be"):
        SelectAL(**wrong)


def test_it_runs_in_a_session_with_the_learner_refitted():
    rng = np.random.default_rng(0)
    y = np.arange(150) % 3
    x = (2 * np.eye(3)[y] + rng.normal(size=(150, 3))).astype(np.float32)
    data = from_arrays("small", x, y, classes=("a", "b", "c"), test_share=0.2)
    session = Session(data, strategy="select_al", learner="linear", seed=0)
    oracle = SimulatedOracle(data.labels, data.pool)
    for _ in range(4):
        assert session.tell(oracle.answer(session.ask(10))) is not None
    utilities = [asked.utility[0] for asked in session.book.asked]
    assert utilities[0] == UNJUDGED
    assert all(abs(u) <= 1 for u in utilities[1:])
