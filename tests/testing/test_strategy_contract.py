"""The checks of selections, scores and evidence: planted defects are caught, one at least per check."""

import contextlib
import itertools
import random
from typing import Any, ClassVar

import numpy as np
import pytest

from querist.errors import NeedError, SelectionError
from querist.evidence.needs import Draws, Features, Logits, Probs, Sealed
from querist.kernels.top import top_b
from querist.registry import Registry
from querist.strategies.base import Picks, Scoring, Strategy, _finish, choose
from querist.testing import strategy_contract
from querist.testing.contract import StrategyContract
from querist.testing.plants import Plants, frozen, own_checks

toys: Registry[Any] = Registry("toy", "querist.testing")
plants = Plants(StrategyContract)


class Leans(Scoring):
    """Wants confident rows."""

    needs: ClassVar = (Probs(),)

    def score(self, ev):
        return ev[Probs()].max(axis=1)


class Takes(Strategy):
    """Takes the `b` largest values of what a subclass computes, ties keyed."""

    needs: ClassVar = (Features(),)

    def value(self, ev):
        return ev[Features()].sum(axis=1)

    def select(self, ev, b, key):
        value = np.asarray(self.value(ev), dtype=float)
        return Picks(np.lexsort((key.hash(ev.candidates), -value))[:b], np.sort(-value)[:b] * -1)


@plants("test_returns_b_distinct_candidates", SelectionError)
class C2_Repeats(Strategy):  # noqa: N801
    def select(self, ev, b, key):
        return Picks(np.zeros(b, dtype=int))


@plants("test_returns_b_distinct_candidates", SelectionError)
class C1_TooFew(Strategy):  # noqa: N801
    def select(self, ev, b, key):
        return Picks(key.hash(ev.candidates).argsort()[: min(b, 5)])


@plants("test_returns_b_distinct_candidates", SelectionError)
class C7_OneMore(Strategy):  # noqa: N801
    def select(self, ev, b, key):
        return Picks(key.hash(ev.candidates).argsort()[: b + 1])


@plants("test_returns_b_distinct_candidates", SelectionError)
class C4_IdsForRows(Strategy):  # noqa: N801
    def select(self, ev, b, key):
        return Picks(ev.candidates[key.hash(ev.candidates).argsort()[:b]])


@plants("test_returns_b_distinct_candidates", SelectionError)
class C12_Floats(Strategy):  # noqa: N801
    def select(self, ev, b, key):
        return Picks(key.hash(ev.candidates).argsort()[:b].astype(float))


@plants("test_returns_b_distinct_candidates", ValueError)
class C5_PartialSort(Strategy):  # noqa: N801
    def select(self, ev, b, key):
        return Picks(np.argpartition(key.hash(ev.candidates), b)[:b])


@plants("test_same_key_same_picks")
class R2_Unseeded(Strategy):  # noqa: N801
    def select(self, ev, b, key):
        return Picks(np.random.default_rng().permutation(len(ev.candidates))[:b])


@plants("test_same_key_same_picks")
class Counts(Leans):
    calls: ClassVar = itertools.count()

    def score(self, ev):
        return super().score(ev) + next(self.calls)


@plants("test_key_matters_only_for_draws_and_ties")
class DrawsInSecret(Leans):
    def select(self, ev, b, key):
        return Picks(key.hash(ev.candidates).argsort()[:b])


@plants("test_key_matters_only_for_draws_and_ties", deterministic=False)
@plants("test_ties_are_drawn_uniformly")
class R3_HiddenSeed(Strategy):  # noqa: N801
    def select(self, ev, b, key):
        key.hash(ev.candidates)
        return Picks(np.random.default_rng(0).permutation(len(ev.candidates))[:b])


@plants("test_ties_are_drawn_uniformly")
@plants("test_order_of_rows_is_irrelevant")
class N6_PositionTies(Leans):  # noqa: N801
    def select(self, ev, b, key):
        rows = np.argsort(-self.score(ev), kind="stable")[:b]
        return Picks(rows, self.score(ev)[rows])


@plants("test_order_of_rows_is_irrelevant")
class PositionDraws(Strategy):
    def select(self, ev, b, key):
        return Picks(key.hash(np.arange(len(ev.candidates))).argsort()[:b])


@plants("test_ties_are_drawn_uniformly")
class LastOfTies(Strategy):
    """Reads a stream, so that only frequencies can give it away: the first row is never drawn."""

    def select(self, ev, b, key):
        rows = key.generator().permutation(len(ev.candidates))
        return Picks(np.roll(rows, -1)[:b] if rows[0] == 0 else rows[:b])


@plants("test_rows_are_rows_of_candidates", Exception)
class C4_RowsOfAll(Takes):  # noqa: N801
    needs: ClassVar = (Features(frame="all"),)

    def select(self, ev, b, key):
        value = ev[Features(frame="all")].sum(axis=1)
        value[ev.rows("labelled")] = -np.inf
        return Picks(np.argsort(-value)[:b] % len(ev.candidates))


@plants("test_rows_are_rows_of_candidates")
class C4_FirstRowsOfAll(Takes):  # noqa: N801
    needs: ClassVar = (Features(frame="all"),)

    def value(self, ev):
        return ev[Features(frame="all")].sum(axis=1)[: len(ev.candidates)]


@plants("test_rows_are_rows_of_candidates")
class OtherUtility(Leans):
    def select(self, ev, b, key):
        rows = super().select(ev, b, key).rows
        return Picks(rows, np.linspace(1.0, 0.5, b))


@plants("test_utility_is_one_finite_number_per_pick")
class UtilityOfAll(Leans):
    def select(self, ev, b, key):
        return Picks(super().select(ev, b, key).rows, self.score(ev)[: b + 1])


@plants("test_utility_is_one_finite_number_per_pick")
class UtilityNaN(Leans):
    def select(self, ev, b, key):
        return Picks(super().select(ev, b, key).rows, np.full(b, np.nan))


@plants("test_utility_is_one_finite_number_per_pick")
class SurePropensity(Leans):
    def select(self, ev, b, key):
        return Picks(super().select(ev, b, key).rows, None, np.full(b, 1.5))


@plants("test_logits_are_read_up_to_a_constant_per_row")
class N5_LargestLogit(Scoring):  # noqa: N801
    needs: ClassVar = (Logits(),)

    def score(self, ev):
        return ev[Logits()].max(axis=1)


@plants("test_streaming_equals_whole")
@plants("test_score_is_row_wise")
class Normalised(Leans):
    def score(self, ev):
        score = super().score(ev) - 0.2
        return score / score.max()


@plants("test_score_is_row_wise")
class Ranked(Leans):
    def score(self, ev):
        return super().score(ev).argsort().argsort()


@plants("test_scores_stay_above_their_lowest")
class Below(Leans):
    def score(self, ev):
        return super().score(ev) - 1.0


@plants("test_non_finite_scores_are_refused")
class N2_Unchecked(Leans):  # noqa: N801
    def select(self, ev, b, key):
        return Picks(np.lexsort((key.hash(ev.candidates), -np.asarray(self.score(ev))))[:b])


@plants("test_reads_only_what_it_declares")
class Undeclared(Leans):
    needs: ClassVar = ()


@plants("test_reads_only_what_it_declares")
class Swallows(Strategy):
    def select(self, ev, b, key):
        with contextlib.suppress(NeedError):
            ev[Sealed()]
        return Picks(key.hash(ev.candidates).argsort()[:b])


@plants("test_reads_only_what_it_declares")
class ColdOnModel(Takes):
    """Declares features alone when cold, then reads probabilities."""

    def needs_at(self, state):
        return (Features(), Probs()) if state.has_model else (Features(),)

    def value(self, ev):
        return ev[Features()].sum(axis=1) + ev[Probs()].max(axis=1)


@plants("test_declares_nothing_it_never_reads")
class Greedy(Leans):
    needs: ClassVar = (Probs(), Features())


@plants("test_evidence_is_left_alone")
class Overwrites(Leans):
    def select(self, ev, b, key):
        picks = super().select(ev, b, key)
        base = ev[Probs()].base
        base.flags.writeable = True
        base[picks.rows] = 1 / ev.c
        return picks


@plants("test_evidence_is_left_alone")
class N7_Reorders(Strategy):  # noqa: N801
    needs: ClassVar = (Draws(k=3),)

    def select(self, ev, b, key):
        ev[Draws(k=3)].reverse()
        return Picks(key.hash(ev.candidates).argsort()[:b])


@plants("test_evidence_is_left_alone", ValueError)
class InPlace(Leans):
    def score(self, ev):
        p = ev[Probs()]
        p /= 2.0
        return p.max(axis=1)


@plants("test_global_generators_are_left_alone")
class R1_GlobalNumpy(Strategy):  # noqa: N801
    def select(self, ev, b, key):
        np.random.seed(0)  # noqa: NPY002
        return Picks(np.random.permutation(len(ev.candidates))[:b])  # noqa: NPY002


@plants("test_global_generators_are_left_alone")
class R1_GlobalPython(Strategy):  # noqa: N801
    def select(self, ev, b, key):
        return Picks(np.array(random.sample(range(len(ev.candidates)), b)))


@plants("test_global_generators_are_left_alone")
class R2_CopiesGlobal(Strategy):  # noqa: N801
    """Leaves the global stream where it was, but follows it."""

    def select(self, ev, b, key):
        copy = np.random.RandomState()
        copy.set_state(np.random.get_state())  # noqa: NPY002
        return Picks(copy.permutation(len(ev.candidates))[:b])


@plants("test_keeps_no_state_between_calls")
class Remembers(Leans):
    seen: ClassVar[dict[str, Any]] = {}

    def score(self, ev):
        old = self.seen.get("score")
        new = self.seen["score"] = super().score(ev)
        return new + old if old is not None and len(old) == len(new) else new


@plants("test_keeps_no_state_between_calls", SelectionError)
class CachesFirst(Leans):
    cache: ClassVar[list[Any]] = []

    def score(self, ev):
        if not self.cache:
            self.cache.append(super().score(ev))
        return self.cache[0]


@plants("test_picks_follow_the_evidence")
class C15_Pretends(Leans):  # noqa: N801
    def score(self, ev):
        ev[Probs()]
        return np.linspace(0.0, 1.0, len(ev.candidates))


@plants("test_oracle_flag_is_honest")
class L6_Unflagged(Strategy):  # noqa: N801
    needs: ClassVar = (Sealed(),)

    def select(self, ev, b, key):
        return Picks(top_b(ev[Sealed()].astype(float), key.hash(ev.candidates), b))


@plants("test_oracle_flag_is_honest")
@toys.register("toy_boast", flags=("oracle",))
@frozen
class Boasts(Leans):
    """Flagged for nothing."""


@pytest.mark.parametrize("plant", plants, ids=str)
def test_plants_are_caught(plant):
    plant.verify()


def contract(make):
    return type("Contract", (StrategyContract,), {"make": make})()


def test_impossible_budgets_are_caught(monkeypatch):
    def lenient(strategy, evidence, b, key):
        ev = evidence if hasattr(evidence, "candidates") else next(iter(evidence))
        b = min(max(b, 1), len(ev.candidates))
        return _finish(strategy, ev.candidates, strategy.select(ev, b, key), b)

    monkeypatch.setattr(strategy_contract, "choose", lenient)
    with pytest.raises(AssertionError, match="were not refused"):
        contract(frozen(Leans)).test_refuses_impossible_budgets()


def test_every_check_has_a_plant():
    # These two have tests of their own, above and in test_fresh.py.
    elsewhere = {"test_refuses_impossible_budgets", "test_same_picks_in_a_fresh_interpreter"}
    assert plants.checks | elsewhere == own_checks(StrategyContract)


def test_votes_counted_as_unsigned_integers_are_ordered():
    @frozen
    class Votes(Scoring):
        needs: ClassVar = (Probs(),)

        def score(self, ev):
            return (ev[Probs()].max(axis=1) * 4).astype(np.uint8)

    checks = contract(Votes)
    ev = checks.evidence(Votes())
    picked = choose(Votes(), ev, 20, checks.key())
    assert (np.diff(picked.utility) <= 0).all()
    assert picked.utility.min() >= np.sort(Votes().score(ev))[-20]
    checks.test_streaming_equals_whole()
