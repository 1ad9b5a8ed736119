"""Choosing: rows become ids in one place, and strategies that break their contract are refused."""

import re
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from querist.errors import BudgetError, ScoreError, SelectionError, SpecError
from querist.evidence.evidence import Evidence
from querist.evidence.needs import Aux, Probs
from querist.kernels.top import top_b
from querist.seeds import Key, Seed
from querist.strategies.base import (
    Picks,
    Scoring,
    State,
    Strategy,
    card_of,
    checked_score,
    choose,
    require_at_least,
    require_between,
)
from querist.strategies.margin import Margin

frozen = dataclass(frozen=True, kw_only=True)
KEY = Key(Seed(0).child("round", 1))
GIVEN = Aux(helper="score")


@frozen
class Given(Scoring):
    """Scores are handed in as evidence."""

    needs: ClassVar = (GIVEN,)

    def score(self, ev):
        return ev[GIVEN]

    def reason(self, utility):
        return f"scores {utility:g}"


@frozen
class Fixed(Strategy):
    """Returns what it is told."""

    picks: Any

    def select(self, ev, b, key):
        return self.picks


def evidence(score, ids=None):
    score = np.asarray(score)
    return Evidence(np.arange(len(score)) * 3 + 5 if ids is None else ids, {GIVEN: score}, c=2)


SCORES = st.lists(st.sampled_from([-1.0, -0.0, 0.0, 0.5, 1.0, 2.0]), min_size=1, max_size=30)


@settings(deadline=None)
@given(SCORES, st.data())
def test_n6_choose_is_a_full_sort_with_keyed_ties(score, data):
    ev = evidence(score)
    b = data.draw(st.integers(1, len(score)))
    order = sorted(range(len(score)), key=lambda i: (-score[i], int(KEY.hash(ev.candidates[i : i + 1])[0])))[:b]
    picked = choose(Given(), ev, b, KEY)
    assert picked.ids.tolist() == ev.candidates[order].tolist()
    assert picked.utility.tolist() == [score[i] for i in order]
    assert picked.reasons == tuple(f"scores {score[i]:g}" for i in order)
    assert picked.ids.dtype == np.int64
    assert top_b(np.array(score), KEY.hash(ev.candidates), b).tolist() == order


@settings(deadline=None)
@given(SCORES, st.integers(1, 12), st.data())
def test_n2_streaming_equals_the_whole_for_every_size_of_chunk(score, size, data):
    ev = evidence(score)
    b = data.draw(st.integers(1, len(score)))
    whole, streamed = choose(Given(), ev, b, KEY), choose(Given(), ev.stream(size), b, KEY)
    assert streamed.ids.tolist() == whole.ids.tolist()
    assert np.array_equal(streamed.utility, whole.utility)
    assert streamed.reasons == whole.reasons


@pytest.mark.parametrize("b", [0, -1, 4, 10**9, 1.0, 2.5, True, "2", None])
@pytest.mark.parametrize("chunked", [False, True])
def test_c5_impossible_budgets_are_refused(b, chunked):
    ev = evidence([1.0, 2.0, 3.0])
    with pytest.raises(BudgetError, match=rf"Expected a budget .*, got {re.escape(repr(b))}\."):
        choose(Given(), ev.stream(2) if chunked else ev, b, KEY)


def test_nothing_to_choose_from():
    for source in (evidence([]), iter([]), evidence([]).stream(3)):
        with pytest.raises(BudgetError, match="the 0 candidates, got 1"):
            choose(Given(), source, 1, KEY)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("chunked", [False, True])
def test_n1_scores_that_are_not_finite_are_refused_with_their_ids(bad, chunked):
    ev = evidence([1.0, bad, 3.0, bad])
    with pytest.raises(ScoreError, match=r"strategy 'Given' gave \d scores that are not finite, ids 8"):
        choose(Given(), ev.stream(2) if chunked else ev, 1, KEY)


@pytest.mark.parametrize("score", [np.ones(2), np.ones((3, 1)), np.float64(1), np.ones(4)])
def test_scores_of_the_wrong_shape_are_refused(score):
    @frozen
    class Misshapen(Scoring):
        def score(self, ev):
            return score

    with pytest.raises(SelectionError, match=r"strategy '.*Misshapen' returned scores of shape .* for 3 candidates"):
        checked_score(Misshapen(), evidence([1.0, 2.0, 3.0]))


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.bool_, np.uint64, np.float16, np.float32])
def test_scores_of_every_type_are_ordered(dtype):
    score = np.array([0, 1, 0, 1, 1]).astype(dtype)
    ev = evidence(score)
    picked = choose(Given(), ev, 3, KEY)
    assert set(picked.ids.tolist()) == set(ev.candidates[[1, 3, 4]].tolist())
    assert picked.ids.tolist() == choose(Given(), ev.stream(2), 3, KEY).ids.tolist()
    assert picked.utility.dtype == np.float64


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ([0, 0], "repeat or lie outside"),
        ([0, 3], r"lie outside 0\.\.2"),
        ([0, -1], "lie outside"),
        ([0], "expected 2 integers"),
        ([0, 1, 2], "expected 2 integers"),
        ([[0, 1]], r"shape \(1, 2\)"),
        ([0.0, 1.0], "float64 rows"),
        ([True, False], "bool rows"),
    ],
)
def test_c1_c2_c12_rows_that_are_no_selection_are_refused(rows, says):
    with pytest.raises(SelectionError, match=says):
        choose(Fixed(picks=Picks(np.array(rows))), evidence([1.0, 2.0, 3.0]), 2, KEY)


@pytest.mark.parametrize("utility", [[1.0], [1.0, 2.0, 3.0], [1.0, np.nan], [np.inf, 0.0], 1.0])
def test_utilities_that_are_not_one_finite_number_per_pick_are_refused(utility):
    with pytest.raises(SelectionError, match="utilities that are not 2 finite numbers"):
        choose(Fixed(picks=Picks(np.array([2, 0]), np.array(utility))), evidence([1.0, 2.0, 3.0]), 2, KEY)


@pytest.mark.parametrize("propensity", [[0.5], [0.0, 0.5], [1.1, 0.5], [np.nan, 0.5]])
def test_propensities_are_chances(propensity):
    picks = Picks(np.array([2, 0]), None, np.array(propensity))
    with pytest.raises(SelectionError, match=r"propensities that are not 2 numbers in \(0, 1\]"):
        choose(Fixed(picks=picks), evidence([1.0, 2.0, 3.0]), 2, KEY)


def test_c4_rows_become_ids_of_the_candidates():
    ev = evidence([1.0, 2.0, 3.0], ids=np.array([7, 400, 10**6]))
    picked = choose(Fixed(picks=Picks(np.array([2, 0]), None, np.array([0.5, 1.0]))), ev, 2, KEY)
    assert picked.ids.tolist() == [10**6, 7]
    assert picked.utility is None
    assert picked.propensity.tolist() == [0.5, 1.0]
    assert picked.reasons == ("", "")


def test_only_scorings_stream():
    with pytest.raises(SelectionError, match="looks at all candidates together and cannot be streamed"):
        choose(Fixed(picks=Picks(np.array([0]))), evidence([1.0]).stream(1), 1, KEY)


def test_c13_an_error_of_a_strategy_comes_through_once():
    calls = []

    @frozen
    class Fails(Strategy):
        def select(self, ev, b, key):
            calls.append(b)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        choose(Fails(), evidence([1.0]), 1, KEY)
    assert calls == [1]


def test_errors_call_strategies_by_their_own_name():
    @frozen
    class Unregistered(Margin):
        pass

    ev = Evidence(np.array([1, 2]), {Probs(): np.array([[0.5, 0.5], [0.2, 0.8]])}, c=2)
    for strategy, name in ((Margin(), "margin"), (Unregistered(), "test_.*Unregistered")):
        assert re.fullmatch(name, card_of(strategy).name)
    assert card_of(Unregistered()).flags == frozenset()
    assert len(choose(Margin(), ev, 1, KEY).ids) == 1


def test_settings_have_least_values():
    @frozen
    class Sized(Fixed):
        picks: Any = None
        size: int = 3
        more: int = 0

    require_at_least(Sized(), 0, "size", "more")
    with pytest.raises(SpecError, match="Expected more to be 1 or larger, got 0"):
        require_at_least(Sized(), 1, "size", "more")


@pytest.mark.parametrize(
    ("value", "least", "most", "words"),
    [
        (-0.1, 0.0, 1.0, "between 0 and 1, got -0.1"),
        (1.5, 0.0, 1.0, "between 0 and 1, got 1.5"),
        (-1.0, 0.0, float("inf"), "finite and 0 or larger, got -1.0"),
        (float("inf"), 0.0, float("inf"), "finite and 0 or larger, got inf"),
        (float("nan"), 0.0, float("inf"), "finite and 0 or larger, got nan"),
    ],
)
def test_settings_lie_between_bounds(value, least, most, words):
    @frozen
    class Sized(Fixed):
        picks: Any = None
        size: float = 0.5
        other: float = 0.0

    require_between(Sized(), least, most, "size", "other")
    with pytest.raises(SpecError, match=f"Expected other to be {words}"):
        require_between(Sized(other=value), least, most, "size", "other")


def test_needs_are_the_same_in_every_state_unless_a_strategy_says_otherwise():
    assert Margin().needs_at(State()) == Margin().needs_at(State(round=3, n_labelled=9, has_model=True)) == (Probs(),)
    assert Given().reason(0.5) == "scores 0.5"
    assert Fixed(picks=None).needs_at(State()) == ()
