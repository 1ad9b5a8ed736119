"""Strategies that reach for what they must not know: every one of them is caught."""

import copy
import pickle
from dataclasses import FrozenInstanceError, dataclass
from typing import ClassVar

import numpy as np
import pytest

from querist.errors import LeakError, NeedError, SelectionError, UnmetNeedError, UsageError
from querist.evidence.needs import Features, Gradients, Labels, Need, Previous, Probs, Sealed
from querist.labels.oracle import Query, SimulatedOracle
from querist.registry import Card
from querist.session.select import select
from querist.session.session import Session
from querist.session.setting import Setting
from querist.strategies.base import Picks, Scoring, State, Strategy
from querist.strategies.composition import flags_of
from querist.strategies.kmeans_single_batch import KMeansSingleBatch
from querist.strategies.margin import Margin
from querist.strategies.stochastic import Stochastic
from querist.testing.contract import StrategyContract
from querist.testing.plants import Plant

frozen = dataclass(frozen=True, kw_only=True)


def session(dataset, strategy, **arguments):
    return Session(Setting(dataset), strategy=strategy, **{"initial": "random", "seed": 0, **arguments})


def after_initial_pool(dataset, strategy):
    """Return a session that asks its strategy next."""
    made = session(dataset, strategy)
    made.tell(SimulatedOracle(dataset.labels, dataset.pool).answer(made.ask(9)))
    return made


def contract_fails(check, strategy, raises=AssertionError):
    """The conformance kit must fail a strategy, with a message that says what to change."""
    Plant(check, type("Contract", (StrategyContract,), {"make": strategy})(), raises).verify()


# ------------------------------------------------------------------------------------------------- through its evidence


def test_reads_labels_it_did_not_declare(dataset):
    """It scores rows by labels that it never asked for."""

    @frozen
    class Peeks(Scoring):
        def score(self, ev):
            return ev[Labels(frame="candidates")].astype(float)

    with pytest.raises(NeedError, match="was read but not declared"):
        after_initial_pool(dataset, Peeks()).ask(5)


def test_reads_probabilities_it_did_not_declare_and_hides_it(dataset):
    """It tries what else there is and swallows the error: no session shows it, the conformance kit does."""

    @frozen
    class Tries(Margin):
        def score(self, ev):
            try:
                return ev[Probs(frame="all")][ev.rows("candidates")].max(axis=1)
            except NeedError:
                return super().score(ev)

    contract_fails("test_reads_only_what_it_declares", Tries)


@pytest.mark.parametrize(
    "need",
    [
        Labels(frame="candidates"), Labels(frame="all"), Sealed(), Sealed(frame="labelled"), Sealed(frame="all"),
        Sealed(frame="targets"), Features(frame="targets"), Gradients(frame="all"), Previous(need=Sealed()),
    ],
    ids=str,
)  # fmt: skip
def test_declares_what_only_an_oracle_knows(dataset, need):
    """It is honest about wanting labels nobody bought, or rows of the test split."""

    @frozen
    class Wants(Strategy):
        needs: ClassVar[tuple[Need, ...]] = (need,)

        def select(self, ev, b, key):
            return Picks(np.arange(b))

    with pytest.raises(UnmetNeedError, match="Wants"):
        session(dataset, Wants())


def test_declares_sealed_labels_from_the_third_round_on(dataset):
    """It behaves while it is looked at, which are the first two rounds, and asks for sealed labels later."""

    @frozen
    class Patient(Margin):
        def needs_at(self, state: State):
            return (*self.needs, Sealed()) if state.round >= 2 else self.needs

    made = after_initial_pool(dataset, Patient())
    for _ in range(2):
        made.tell(dict.fromkeys(made.ask(4).ids.tolist(), 0))
    with pytest.raises(UnmetNeedError, match="registered with the flag 'oracle'"):
        made.ask(4)


def test_inherits_the_name_of_an_oracle(dataset):
    """It is derived from a rule that is flagged as an oracle, and hopes to inherit the permission without the flag."""
    from querist.strategies.class_uniform_oracle import ClassUniformOracle

    @frozen
    class Heir(ClassUniformOracle):
        pass

    with pytest.raises(UnmetNeedError, match="Heir"):
        session(dataset, Heir())


def test_sealed_labels_are_not_for_arrays_either():
    """An oracle rule is called on plain arrays, with all labels at hand."""
    with pytest.raises(UnmetNeedError, match="Sealed"):
        select("class_uniform_oracle", 2, features=np.eye(6), labelled=np.arange(3), labels=np.arange(3), classes=3)


def test_writes_to_its_evidence(dataset):
    """It turns the probabilities round in place, for whoever reads them next."""

    @frozen
    class Writes(Margin):
        def score(self, ev):
            p = ev[Probs()]
            np.subtract(1, p, out=p)
            return super().score(ev)

    with pytest.raises(ValueError, match="read-only"):
        after_initial_pool(dataset, Writes()).ask(5)


def test_unlocks_its_evidence_and_writes_to_it():
    """It takes the lock off the array first, which numpy lets it: the conformance kit compares before and after."""

    @frozen
    class Unlocks(Margin):
        def score(self, ev):
            p = ev[Probs()]
            p.flags.writeable = True
            p[:] = p[:, ::-1]
            return super().score(ev)

    contract_fails("test_evidence_is_left_alone", Unlocks)


def test_picks_outside_the_candidates(dataset):
    """It returns ids, some of them of the test split, where rows of the candidates are expected."""

    @frozen
    class Ids(Margin):
        def select(self, ev, b, key):
            return Picks(ev.candidates[-b:])

    with pytest.raises(SelectionError, match="repeat or lie outside"):
        after_initial_pool(dataset, Ids()).ask(5)


def test_picks_rows_of_another_frame():
    """It returns rows of the frame `all`, which are other items whenever a labelled id is smaller."""

    @frozen
    class OtherFrame(Strategy):
        needs: ClassVar = (Features(frame="all"),)

        def select(self, ev, b, key):
            rows = ev.rows("candidates")
            return Picks(rows[np.argsort(ev[Features(frame="all")][rows, 0])[:b]] % len(ev.candidates))

    contract_fails("test_rows_are_rows_of_candidates", OtherFrame)


# ---------------------------------------------------------------------------------------------------- past its evidence


@pytest.mark.parametrize(
    "reach",
    [
        np.asarray, list, lambda sealed: sealed[0], lambda sealed: sealed == 1, copy.copy, copy.deepcopy,
        pickle.dumps, lambda sealed: np.concatenate([sealed, sealed]), lambda sealed: np.array([sealed]).astype(int),
        max, sorted,
    ],
)  # fmt: skip
def test_reaches_for_the_labels_of_the_dataset(dataset, reach):
    """It holds the dataset and turns the sealed labels into anything readable."""

    @frozen
    class Reaches(Margin):
        def score(self, ev):
            reach(dataset.labels)
            return super().score(ev)

    with pytest.raises(LeakError, match="sealed labels were read"):
        after_initial_pool(dataset, Reaches()).ask(5)


def test_breaks_the_seal(dataset, watch):
    """It knows how the seal is opened: the spy on labels looks who calls."""

    @frozen
    class Breaks(Margin):
        def score(self, ev):
            return spied.session.dataset.labels.unseal()[ev.candidates].astype(float)

    spied = watch(strategy=Breaks(), initial="random")
    with pytest.raises(LeakError, match=r"unsealed by .*test_strategy_leaks.py"):
        spied.play(9, 5)


@pytest.mark.parametrize("how", ["unseals", "asks an oracle of its own"])
def test_knows_labels_nobody_bought_by_any_means(dataset, twins, record, how):
    """However it gets at them, other labels of items nobody bought must not change its picks; here they do."""

    @frozen
    class Knows(Margin):
        def score(self, ev):
            if how == "unseals":
                return (current.labels.unseal()[ev.candidates] == 1).astype(float)
            answers = SimulatedOracle(current.labels, current.pool).answer(Query(ev.candidates))
            return np.array([answers[i] == 1 for i in ev.candidates.tolist()], dtype=float)

    current = dataset
    one = record(current, strategy=Knows(), initial="random")
    current = twins.relabelled(dataset, np.setdiff1d(dataset.pool, list(one.labels)))
    assert record(current, strategy=Knows(), initial="random").asked != one.asked


# ---------------------------------------------------------------------------------------------------------------- state


def test_remembers_on_itself(dataset):
    """It writes down what it picked on itself: configuration is frozen."""

    @frozen
    class Remembers(Margin):
        def score(self, ev):
            self.seen = ev.candidates
            return super().score(ev)

    with pytest.raises(FrozenInstanceError):
        after_initial_pool(dataset, Remembers()).ask(5)


@frozen
class ForcesMemory(Margin):
    """It gets round the frozen configuration."""

    def score(self, ev):
        last = vars(self).get("last", 0.0)
        object.__setattr__(self, "last", last + 1.0)
        return np.cos(last + 7 * super().score(ev))


MEMORY = []


@frozen
class GlobalMemory(Margin):
    """It keeps what it saw in its module."""

    def score(self, ev):
        MEMORY.append(len(ev.candidates))
        return np.cos(len(MEMORY) + 7 * super().score(ev))


@pytest.mark.parametrize("strategy", [ForcesMemory, GlobalMemory])
def test_remembers_by_force_or_in_its_module(dataset, record, strategy):
    """Two sessions in turn differ from the same sessions alone, and the conformance kit sees it."""
    contract_fails("test_keeps_no_state_between_calls", strategy)
    MEMORY.clear()
    alone = record(dataset, strategy=strategy(), initial="random").asked
    MEMORY.clear()
    oracle, shared = SimulatedOracle(dataset.labels, dataset.pool), strategy()
    pair = [session(dataset, shared, repeat=i) for i in range(2)]
    for b in (6, 5, 4):
        for made in pair:
            made.tell(oracle.answer(made.ask(b)))
    assert pair[0].book.asked != alone


def test_draws_from_a_global_generator(watch):
    """It draws without a key, so its picks depend on whoever drew before."""

    @frozen
    class Draws(Margin):
        def score(self, ev):
            return np.random.random(len(ev.candidates))  # noqa: NPY002

    contract_fails("test_global_generators_are_left_alone", Draws)
    with pytest.raises(AssertionError, match="global random state of numpy"):
        watch(strategy=Draws(), initial="random").play(9, 5)


# ------------------------------------------------------------------------------------------------------------- wrappers


@frozen
class OracleMargin(Margin):
    """A scoring rule that reads sealed labels."""

    needs: ClassVar = (Sealed(),)

    def score(self, ev):
        return ev[Sealed()].astype(float)


def test_hides_sealed_labels_in_a_wrapper(dataset):
    """A rule that wraps another has its needs: sealed labels stay refused."""
    with pytest.raises(UnmetNeedError, match="Sealed"):
        session(dataset, Stochastic(base=OracleMargin()))


def test_wraps_an_oracle_that_is_flagged(dataset):
    """A rule around a flagged oracle gets what that gets, and carries its flag."""

    @frozen
    class Flagged(OracleMargin):
        card = Card(name="flagged", component=OracleMargin, flags=frozenset({"oracle"}))

    wrapper = Stochastic(base=Flagged())
    assert len(after_initial_pool(dataset, wrapper).ask(5).ids) == 5
    assert flags_of(wrapper) == {"oracle"}


def test_hides_a_one_shot_rule_in_a_wrapper(dataset):
    """It wraps a rule made for unlabelled pools and runs it round after round."""

    @frozen
    class Wraps(Strategy):
        base: Strategy = KMeansSingleBatch()
        needs: ClassVar = KMeansSingleBatch.needs

        def select(self, ev, b, key):
            return self.base.select(ev, b, key)

    with pytest.raises(UsageError, match="from an unlabelled pool"):
        after_initial_pool(dataset, Wraps()).ask(5)
