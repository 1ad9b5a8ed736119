"""The desk: what a session can know, who provides it, and how a refusal reads."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pytest

from querist.errors import NeedError, UnmetNeedError
from querist.evidence.needs import (
    Aux,
    Draws,
    Embeddings,
    Features,
    Gradients,
    History,
    Labels,
    Logits,
    Need,
    Neighbours,
    Previous,
    Probs,
    Sealed,
)
from querist.labels.book import Book
from querist.session.desk import Desk
from querist.session.machine import COLD, WARM
from querist.session.session import Session
from querist.strategies.base import Picks, State, Strategy, card_of, strategies
from querist.strategies.class_uniform_oracle import ClassUniformOracle
from querist.testing.fakes import NEEDS, FakeLearner, fake_dataset


def wants(*needs: Need[Any]) -> Strategy:
    """A strategy that declares needs, and keeps the evidence it was given in `seen`."""

    @dataclass(frozen=True, kw_only=True)
    class Wants(Strategy):
        seen: ClassVar[list[Any]] = []

        def needs_at(self, state: State):
            return needs

        def select(self, ev: Any, b: int, key: Any):
            self.seen.append(ev)
            return Picks(np.arange(b))

    return Wants()


@pytest.fixture
def gathered(make, play):
    """Return the evidence of the third query of a session, and the session."""

    def gathered(*needs: Need[Any], **settings: Any):
        strategy = wants(*needs)
        session: Session = make(strategy=strategy, initial="random", **settings)
        play(session, 5, 4, *([3] if settings else []), 3)
        return strategy.seen[-1], session  # pyright: ignore[reportAttributeAccessIssue]

    return gathered


def test_labels_are_those_bought_for_training(gathered):
    ev, session = gathered(Labels(), validation=4)
    bought = {i: y for i, y in session.book.labels.items() if session.book.charged[i] != "validation"}
    before = set(session.book.asked[-1].ids)
    expected = {i: y for i, y in bought.items() if i not in before}
    assert dict(zip(ev.labelled.tolist(), ev[Labels()].tolist(), strict=True)) == expected


def test_validation_items_are_neither_candidates_nor_labelled(gathered):
    ev, session = gathered(Features(frame="all"), validation=4)
    held = [i for i, why in session.book.charged.items() if why == "validation"]
    assert len(held) == 4
    assert not np.isin(held, ev.all).any()
    assert len(ev[Features(frame="all")]) == len(ev.all) == 86


def test_features_are_those_of_the_ids(gathered, setting):
    for frame in ("candidates", "labelled", "all"):
        for normalise in (True, False):
            need = Features(frame=frame, normalise=normalise)
            ev, _ = gathered(need)
            assert np.array_equal(ev[need], setting.features[need.on("all")][ev.ids(frame)])


def test_features_by_the_name_of_the_encoder(gathered):
    ev, _ = gathered(Features(encoder="pixels"), Features())
    assert np.array_equal(ev[Features(encoder="pixels")], ev[Features()])


def test_outputs_of_the_model_fit_together(gathered):
    ev, _ = gathered(Probs(), Logits(), Embeddings(), Probs(frame="labelled"), Gradients(frame="labelled"), Labels())
    p = np.exp(ev[Logits()] - ev[Logits()].max(axis=1, keepdims=True))
    assert np.allclose(p / p.sum(axis=1, keepdims=True), ev[Probs()])
    assert len(ev[Embeddings()]) == len(ev.candidates)
    truth = np.eye(3)[ev[Labels()]]
    assert np.allclose(ev[Gradients(frame="labelled")].residual, ev[Probs(frame="labelled")] - truth)


def test_history_is_that_of_the_queries(gathered):
    ev, session = gathered(History())
    past = ev[History()]
    assert [ids.tolist() for ids in past.ids] == [list(session.book.asked[1].ids)]
    assert past.utilities == (None,)


def test_sealed_labels_are_true_and_for_oracles_alone(make, play):
    session = make(strategy="class_uniform_oracle")
    play(session, 9)
    assert np.bincount([i % 3 for i in session.book.labels]).tolist() == [3, 3, 3]
    with pytest.raises(UnmetNeedError, match="flag 'oracle'"):
        make(strategy=wants(Sealed()))


def test_a_variation_of_an_oracle_is_no_oracle_until_it_is_registered_as_one(make):
    @dataclass(frozen=True, kw_only=True)
    class Sneaky(ClassUniformOracle):
        pass

    assert card_of(Sneaky()).flags == frozenset()
    with pytest.raises(UnmetNeedError, match="flag 'oracle'"):
        make(strategy=Sneaky())


@pytest.mark.parametrize(
    ("need", "words"),
    [
        (Labels(frame="candidates"), "labelled frame only"),
        (Labels(frame="all"), "labelled frame only"),
        (Features(encoder="dino"), "made by 'pixels', not by 'dino'"),
        (Gradients(frame="all"), "declare them on 'candidates' and on 'labelled'"),
        (Draws(), "learner 'FakeLearner': the fake learner has one linear layer"),
        (Neighbours(k=3, encoder="dino"), "neighbours: the features of this session are made by 'pixels'"),
        (Neighbours(k=3, frame="targets"), "no targets"),
        (Previous(need=Probs()), "keeps Labels and History only"),
        (Aux(helper="vaal"), "FakeLearner"),
        *((need, "no targets") for need in (Probs(frame="targets"), Features(frame="targets"))),
    ],
)
def test_what_nobody_provides_is_refused_with_reasons(make, need, words):
    with pytest.raises(UnmetNeedError, match=words) as caught:
        make(strategy=wants(Probs(), need))
    assert str(need) in str(caught.value)
    assert "Probs()" not in str(caught.value).replace("need=Probs()", "")


def test_everything_promised_is_kept(make, play):
    """Whatever the plan accepts can be gathered and passes the check of its need, in every frame."""
    accepted = 0
    frames = ("candidates", "labelled", "all", "targets")
    for need in {need.on(frame) for need in NEEDS for frame in frames}:  # pyright: ignore[reportArgumentType]
        try:
            session = make(strategy=wants(need), initial="random")
        except UnmetNeedError:
            continue
        play(session, 5, 5)
        accepted += 1
    assert accepted >= 15


def test_before_the_first_labels_there_is_no_model(setting):
    desk = Desk(setting, FakeLearner(), Book())
    with pytest.raises(UnmetNeedError, match="Start with a strategy that needs none"):
        desk.plan(strategies.build("margin"), COLD)
    desk.plan(strategies.build("margin"), WARM)
    desk.plan(strategies.build("typiclust"), COLD)


def test_reading_what_was_not_declared(make, play):
    @dataclass(frozen=True, kw_only=True)
    class Curious(Strategy):
        needs: ClassVar = (Features(),)

        def select(self, ev: Any, b: int, key: Any):
            ev[Labels()]
            return Picks(np.arange(b))

    with pytest.raises(NeedError, match=r"Labels.* was read but not declared"):
        play(make(strategy=Curious()), 3)


def test_needs_may_change_with_the_state(make, play):
    seen = []

    @dataclass(frozen=True, kw_only=True)
    class Grows(Strategy):
        def needs_at(self, state: State):
            return (Probs(),) if state.has_model else (Features(),)

        def select(self, ev: Any, b: int, key: Any):
            seen.append(set(ev.needs))
            return Picks(np.arange(b))

    play(make(strategy=Grows()), 3, 3)
    assert seen == [{Features()}, {Probs()}]


def test_a_head_of_embeddings_is_never_given_frozen_features():
    data = fake_dataset(shape=(8, 8))
    with pytest.raises(UnmetNeedError, match=r"learner 'scratch': its head judges embeddings of its own"):
        Session(data, learner="scratch", strategy={"name": "drop_query", "space": "features"}, initial="random")
    assert Session(data, learner="scratch", strategy="drop_query", initial="random").strategy.space == "embeddings"
    assert Session(data, learner="linear", strategy="drop_query", initial="random").strategy.space == "features"


@pytest.mark.parametrize("wrap", [lambda learner: learner, lambda learner: {"name": "committee", "base": learner}])
def test_a_learner_on_the_features_of_another_encoder_is_refused_before_anything_is_labelled(wrap):
    data = fake_dataset()
    with pytest.raises(UnmetNeedError, match=r"learner 'linear' reads Features\(.*'handcrafted'.*made by 'pixels'"):
        Session(data, learner=wrap({"name": "linear", "encoder": "handcrafted"}))
    Session(data, learner=wrap({"name": "linear", "encoder": "pixels"}))
