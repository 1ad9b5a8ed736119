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
    Refit,
    Sealed,
)
from querist.labels.book import Book
from querist.labels.ledger import MemoryLedger
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
        (Previous(need=Probs()), "previous round: there is none before round 1. Declare Previous in `needs_at`"),
        (Aux(helper="vaal"), "FakeLearner"),
        *((need.on("targets"), r"Let the session buy one: validation=n") for need in (Probs(), Features(), Labels())),
        (Sealed(frame="targets"), "labels of targets are never sealed"),
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


# ------------------------------------------------------------------------------------------------- the round before


@dataclass(frozen=True, kw_only=True)
class LooksBack(Strategy):
    """Asks for outputs of the round before on every frame there is, and keeps the evidence it was given in `seen`."""

    seen: ClassVar[list[Any]] = []
    of: tuple[Need[Any], ...] = (Probs(), Embeddings(), Logits())
    frames: ClassVar = ("candidates", "labelled", "all", "targets")

    def needs_at(self, state: State):
        if state.round < 1:
            return ()
        return tuple(Previous(need=need, frame=frame) for need in self.of for frame in self.frames)

    def select(self, ev: Any, b: int, key: Any):
        self.seen.append(ev)
        return Picks(np.arange(b))


@pytest.mark.parametrize("reopened", [False, True])
def test_previous_is_what_the_last_model_says_of_todays_rows(make, play, setting, reopened):
    """Fitted by hand on what was known when the round before began, also when nothing but the ledger is left."""
    LooksBack.seen.clear()
    settings = {"strategy": LooksBack(), "initial": "random", "validation": 4, "ledger": MemoryLedger()}
    session = make(**settings)
    play(session, 5, 6)
    models = []
    for b in (3, 2, 4, 3):
        models.append(FakeLearner().fit(session._fit_job().fit))
        if reopened:
            session = make(**settings)
        play(session, b)
    assert [ev.needs for ev in LooksBack.seen[:1]] == [frozenset()]
    for ev, model in zip(LooksBack.seen[1:], models, strict=False):
        assert len(ev.needs) == 12
        for need in LooksBack().of:
            for frame in LooksBack.frames:
                assert np.array_equal(
                    ev[Previous(need=need, frame=frame)], model.provide(need, setting.view(ev.ids(frame)))
                )
    changed = [not np.array_equal(models[t].weight, models[t + 1].weight) for t in range(3)]
    assert all(changed), "the models of two rounds are one, and the test could not tell them apart"


def test_the_last_model_is_fitted_again_only_if_it_is_lost_and_asked_for(make, play, monkeypatch):
    fitted = []
    fit = FakeLearner.fit
    monkeypatch.setattr(FakeLearner, "fit", lambda self, job: fitted.append(len(job.labelled)) or fit(self, job))
    for strategy, kept, lost in ((LooksBack(of=(Probs(),)), [], [5, 9]), (wants(Probs()), [], [9])):
        settings = {"strategy": strategy, "initial": "random", "ledger": MemoryLedger(), "validation": 3}
        session = make(**settings)
        play(session, 3, 5, 4)
        session.conclude()
        assert fitted == [5, 9]
        fitted.clear()
        play(session, 2)
        assert fitted == kept
        session = make(**{**settings, "ledger": MemoryLedger()})
        play(session, 3, 5, 4)
        fitted.clear()
        reopened = make(**{**settings, "ledger": session.ledger})
        play(reopened, 2)
        assert fitted == lost
        fitted.clear()


def test_gradients_of_the_round_before_use_true_labels_of_today(make, play):
    LooksBack.seen.clear()

    @dataclass(frozen=True, kw_only=True)
    class Slopes(LooksBack):
        frames: ClassVar = ("candidates", "labelled")

    play(make(strategy=Slopes(of=(Gradients(), Probs())), initial="random"), 5, 4, 3)
    ev = LooksBack.seen[-1]
    for frame, truth in (
        ("labelled", ev.labelled % 3),
        ("candidates", ev[Previous(need=Probs())].argmax(axis=1)),
    ):
        p, slopes = (ev[Previous(need=need, frame=frame)] for need in (Probs(), Gradients()))
        assert np.allclose(slopes.residual, p - np.eye(3)[truth])


@pytest.mark.parametrize(
    ("need", "words"),
    [
        (Features(), "only outputs of the model are remembered: the fake learner"),
        (Labels(), "only outputs of the model are remembered"),
        (Sealed(), "only outputs of the model are remembered"),
        (History(), "only outputs of the model are remembered"),
        (Previous(need=Probs()), "only outputs of the model are remembered"),
        (Draws(), "only outputs of the model are remembered"),
    ],
)
def test_an_impossible_look_back_is_refused_at_the_start(make, need, words):
    with pytest.raises(UnmetNeedError, match=words) as caught:
        make(strategy=LooksBackAt(need=need))
    assert "Previous(" in str(caught.value)


@dataclass(frozen=True, kw_only=True)
class LooksBackAt(Strategy):
    need: Need[Any]

    def needs_at(self, state: State):
        return (Previous(need=self.need),) if state.round >= 1 else ()

    def select(self, ev: Any, b: int, key: Any):
        return Picks(np.arange(b))


def test_a_wanted_look_back_is_left_out_of_the_first_round(make, play):
    seen = []

    @dataclass(frozen=True, kw_only=True)
    class Wants(Strategy):
        needs: ClassVar = (Probs(),)
        wants: ClassVar = (Previous(need=Probs()), Previous(need=Draws()))

        def select(self, ev: Any, b: int, key: Any):
            seen.append(set(ev.needs))
            return Picks(np.arange(b))

    play(make(strategy=Wants(), initial="random"), 4, 3, 3)
    assert seen == [{Probs()}, {Probs(), Previous(need=Probs())}]


@pytest.mark.parametrize("reopened", [False, True])
def test_history_grows_round_by_round(make, play, reopened):
    """Ids in pick order with their utilities, of queries alone, whoever replays them."""
    strategy = wants(History(), Probs())
    settings = {"strategy": strategy, "initial": "random", "validation": 2, "ledger": MemoryLedger()}
    session = make(**settings)
    for b in (1, 5, 4, 3, 2):
        session = make(**settings) if reopened else session
        play(session, b)
    queries = [asked for asked in session.book.asked if asked.purpose == "query"]
    for t, ev in enumerate(strategy.seen):  # pyright: ignore[reportAttributeAccessIssue]
        past = ev[History()]
        assert [ids.tolist() for ids in past.ids] == [list(asked.ids) for asked in queries[:t]]
        assert past.utilities == (None,) * t
        assert not any(np.isin(ids, ev.candidates).any() for ids in past.ids)


def test_history_has_the_utilities(make, play):
    @dataclass(frozen=True, kw_only=True)
    class Rated(Strategy):
        needs: ClassVar = (History(), Probs())

        def select(self, ev: Any, b: int, key: Any):
            seen.append(ev[History()])
            return Picks(np.arange(b), np.arange(b) / 8 + len(ev.labelled))

    seen: list[Any] = []
    play(make(strategy=Rated(), initial="random"), 4, 3, 2, 2)
    assert [u.tolist() for u in seen[-1].utilities] == [[4.0, 4.125, 4.25], [7.0, 7.125]]


# ---------------------------------------------------------------------------------------------------------- targets


TARGETS = (
    Probs(frame="targets"), Logits(frame="targets"), Embeddings(frame="targets"), Features(frame="targets"),
    Gradients(frame="targets"), Labels(frame="targets"),
)  # fmt: skip


def test_targets_are_the_validation_set(gathered, setting):
    ev, session = gathered(*TARGETS, Probs(), validation=7)
    held = sorted(i for i, why in session.book.charged.items() if why == "validation")
    assert ev.ids("targets").tolist() == held
    assert session.book.spent["validation"] == len(held) == 7
    assert ev[Labels(frame="targets")].tolist() == [i % 3 for i in held]
    assert not np.isin(held, setting.dataset.test).any()
    assert not np.isin(held, ev.all).any()
    p, slopes = ev[Probs(frame="targets")], ev[Gradients(frame="targets")]
    assert np.allclose(slopes.residual, p - np.eye(3)[ev[Labels(frame="targets")]])
    assert np.array_equal(slopes.embedding, ev[Embeddings(frame="targets")])
    assert np.array_equal(ev[Embeddings(frame="targets")], setting.dataset.items[np.array(held)].astype(np.float64))
    assert np.array_equal(ev[Features(frame="targets")], setting.features[Features(frame="all")][held])


@pytest.mark.parametrize("learner", ["linear", FakeLearner()], ids=["linear", "fake"])
def test_gradients_of_targets_are_those_of_the_labels_that_were_bought(make, play, learner):
    strategy = wants(Probs(frame="targets"), Gradients(frame="targets"), Labels(frame="targets"), Gradients())
    session = make(strategy=strategy, initial="random", learner=learner, validation=12)
    session.tell(dict.fromkeys(session.ask(3).ids.tolist(), 0))
    play(session, 3, 2)
    ev = strategy.seen[-1]  # pyright: ignore[reportAttributeAccessIssue]
    y = ev[Labels(frame="targets")]
    assert (ev[Probs(frame="targets")].argmax(axis=1) != y).any(), "the model agrees with labels that are wrong"
    assert np.allclose(ev[Gradients(frame="targets")].residual, ev[Probs(frame="targets")] - np.eye(3)[y])


def test_a_declined_target_is_no_target(make):
    strategy = wants(Labels(frame="targets"))
    session = make(strategy=strategy, initial="random", validation=3)
    query = session.ask(4)
    session.tell({i: None if rank == 1 else 0 for rank, i in enumerate(query.ids.tolist())})
    for _ in range(2):
        session.tell(dict.fromkeys(session.ask(4).ids.tolist(), 1))
    session.ask(2)
    ev = strategy.seen[-1]  # pyright: ignore[reportAttributeAccessIssue]
    assert sorted(ev[Labels(frame="targets")].tolist()) == [0, 0, 1]
    assert query.ids[1] not in ev.ids("targets")


def test_labels_and_features_of_targets_are_there_before_there_is_a_model(make, play):
    strategy = wants(Labels(frame="targets"), Features(frame="targets"))
    session = make(strategy=strategy, initial=strategy, validation=5)
    play(session, 5, 3)
    ev = strategy.seen[0]  # pyright: ignore[reportAttributeAccessIssue]
    assert len(ev[Labels(frame="targets")]) == len(ev[Features(frame="targets")]) == 5
    assert len(ev.labelled) == 0


@pytest.mark.parametrize("need", [Sealed(frame="targets"), Refit(frame="targets"), Neighbours(k=2, frame="targets")])
def test_of_targets_nothing_else_is_known(make, need):
    with pytest.raises(UnmetNeedError, match="targets"):
        make(strategy=wants(need), validation=4)


def test_everything_promised_about_targets_is_kept(make, play):
    accepted = []
    for need in NEEDS:
        try:
            session = make(strategy=wants(need.on("targets")), initial="random", validation=4)
        except UnmetNeedError:
            continue
        play(session, 4, 5, 5)
        accepted.append(type(need).__name__)
    expected = ["Embeddings", "Features", "Features", "Gradients", "Head", "History", "Labels", "Logits", "Probs"]
    assert sorted(accepted) == expected
