"""Pairing: what is said without data is what a session then does."""

from dataclasses import dataclass
from typing import ClassVar

import pytest

from querist.errors import UnmetNeedError
from querist.evidence.needs import Embeddings, Features, InputGradients, Probs, Sealed
from querist.learners.base import learners
from querist.session.pairing import needs_of, starts, unmet
from querist.session.session import Session
from querist.strategies.base import Strategy, card_of, strategies
from querist.strategies.guide import plain, required
from querist.testing.fakes import fake_dataset

# A session cannot open without the files that some name.
NAMES = [name for name in strategies.names() if not required(strategies.card(name).component)]
LINEAR = learners.build("linear")


@dataclass(frozen=True, kw_only=True)
class Greedy(Strategy):
    """Wants to know everything."""

    needs: ClassVar = (Probs(), Sealed(), InputGradients())

    def select(self, ev, b, key):
        raise NotImplementedError


def refused(data, learner, strategy) -> str:
    """Return what a session says that cannot open; nothing if it can."""
    try:
        Session(data, learner=learner, strategy=strategy)
    except UnmetNeedError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("learner", ["linear", "committee(members=100)", "knn"])
def test_a_session_opens_where_nothing_is_unmet_and_else_says_the_same(learner):
    data, provider = fake_dataset(), learners.build(learner)
    counts = [0, 0]
    for name in NAMES:
        built = plain(strategies.card(name))
        assert not isinstance(built, str)
        reasons = unmet(built, provider)
        refusal = refused(data, provider, built)
        if refusal:
            assert reasons
            for need, _, why in (reason.partition(": ") for reason in reasons):
                assert need in refusal
                assert why in refusal
        else:  # what an earlier round said is asked for from the second round on
            assert not [reason for reason in reasons if not reason.startswith("Previous")]
        counts[bool(reasons)] += 1
    assert min(counts) > 3


def test_what_can_begin_is_what_a_session_begins_with():
    data = fake_dataset()
    for name in NAMES:
        built = plain(strategies.card(name))
        assert not isinstance(built, str)
        if not unmet(built, learners.build("committee(members=100)")) or not unmet(built, LINEAR):
            learner = LINEAR if not unmet(built, LINEAR) else learners.build("committee(members=100)")
            chosen = card_of(Session(data, learner=learner, strategy=built).initial).name
            assert chosen == (name if starts(built) else "random"), name


def test_every_unmet_need_has_a_line_with_the_reason_of_the_learner():
    lines = unmet(Greedy(), LINEAR)
    assert [line.partition("(")[0] for line in lines] == ["Sealed", "InputGradients"]
    assert "no learner sees labels" in lines[0]
    assert "no path back to the input" in lines[1]


def test_a_learner_of_another_encoder_is_refused():
    with pytest.raises(UnmetNeedError, match="handcrafted"):
        unmet(strategies.build("margin"), learners.build("linear(encoder='handcrafted')"))


def test_needs_are_those_on_frozen_features_in_any_round():
    assert needs_of(strategies.build("facility_location")) == (Features(frame="all"),)
    assert needs_of(strategies.build({"name": "facility_location", "space": "embeddings"})) == (
        Embeddings(frame="all"),
    )
    assert needs_of(strategies.build("random")) == ()
