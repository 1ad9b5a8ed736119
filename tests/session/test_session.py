"""Ask and tell: what is bought when, what it costs, what is tested, and what is refused."""

from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import numpy as np
import pytest

from querist.arrays import SealedArray
from querist.data.manifest import POOL, SPLITS, TEST, Manifest
from querist.data.memory import from_arrays
from querist.errors import (
    BudgetError,
    DataError,
    EditedStudyError,
    LedgerError,
    SelectionError,
    StoreError,
    UnmetNeedError,
    UsageError,
)
from querist.evidence.needs import Draws, Probs
from querist.labels.book import Book
from querist.labels.events import INITIAL, QUERY, VALIDATION, Answered, Asked
from querist.labels.ledger import JsonlLedger, MemoryLedger
from querist.labels.oracle import SimulatedOracle
from querist.seeds import Seed
from querist.session import evaluator
from querist.session.machine import diff
from querist.session.setting import Setting
from querist.strategies.base import Picks, Scoring, Strategy
from querist.strategies.margin import Margin
from querist.strategies.random import Random
from querist.testing.fakes import FakeLearner, fake_dataset

# ------------------------------------------------------------------------------------------------- the order of things


def test_validation_then_initial_then_queries(make, play):
    session = make(validation=4, strategy="margin")
    assert [(r.purpose, r.round, len(r.ids), r.n_labels) for r in play(session, 6, 6, 5, 3)] == [
        (VALIDATION, -1, 4, 4), (INITIAL, -1, 6, 10), (QUERY, 0, 5, 15), (QUERY, 1, 3, 18),
    ]  # fmt: skip
    assert session.book.spent == {VALIDATION: 4, INITIAL: 6, QUERY: 8}
    assert {t: e.n_labels for t, e in session.book.evaluations.items()} == {0: 10, 1: 15}


def test_rounds_carry_the_metrics_of_the_model_that_chose_them(make, play):
    session = make()
    rounds = play(session, 5, 5, 5)
    assert rounds[0].metrics == {}
    assert [r.metrics for r in rounds[1:]] == [session.book.evaluations[t].metrics for t in (0, 1)]
    assert session.conclude() == session.book.evaluations[2].metrics


def test_as_many_queries_as_purchases_and_as_many_fits_as_checkpoints(make, play):
    """R rounds are R queries and R + 1 fits; nothing is chosen that is not bought (defect C14)."""
    learner, strategy = counting_learner(), counting_strategy()
    session = make(learner=learner, strategy=strategy, initial="random")
    play(session, 5, 5, 5, 5)
    session.conclude()
    assert len(strategy.calls) == sum(a.purpose == QUERY for a in session.book.asked) == 3
    assert [n for n, _ in learner.calls] == [5, 10, 15, 20]


def test_nothing_is_fitted_for_a_strategy_that_needs_no_model_without_a_test_set(make, play):
    learner = counting_learner()
    x = np.random.default_rng(0).normal(size=(30, 2))
    session = make(data=from_arrays("no-test", x, np.arange(30) % 2), learner=learner, strategy="random")
    play(session, 5, 5, 5)
    assert session.conclude() == {}
    assert learner.calls == []


def test_a_checkpoint_that_was_tested_is_not_fitted_again_for_a_query_that_needs_no_model(make, play):
    learner = counting_learner()
    ledger = MemoryLedger()
    play(session := make(learner=learner, strategy="random", ledger=ledger), 5, 5)
    session.conclude()
    play(make(learner=learner, strategy="random", ledger=ledger), 5)
    assert [n for n, _ in learner.calls] == [5, 10]


def test_test_labels_are_read_after_the_query_is_sealed(make, play, monkeypatch):
    session = make(strategy="margin")
    seen = []
    test = evaluator.Evaluator.test

    def spy(self: Any, model: Any):
        seen.append((session.book.round, session.book.pending))
        return test(self, model)

    monkeypatch.setattr(evaluator.Evaluator, "test", spy)
    play(session, 5, 4, 3)
    assert [(t, p.ids if p else None) for t, p in seen] == [
        (t, a.ids) for t, a in enumerate(a for a in session.book.asked if a.purpose == QUERY)
    ]
    session.conclude()
    assert seen[-1] == (2, None)


def test_answers_wait_for_the_test_of_the_checkpoint_that_asked(make, tmp_path):
    """Killed between sealing and testing, answered without asking again: the test is of the model that asked."""
    path = tmp_path / "ledger.jsonl"
    oracle = SimulatedOracle(fake_dataset().labels, fake_dataset().pool)
    for disturbed in (False, True):
        path.unlink(missing_ok=True)
        session = make(ledger=JsonlLedger(path))
        session.tell(oracle.answer(session.ask(5)))
        session.ask(5)
        if disturbed:
            lines = path.read_bytes().splitlines(keepends=True)
            assert b"evaluated" in lines[-1]
            path.write_bytes(b"".join(lines[:-1]))
            session = make(ledger=JsonlLedger(path))
        one, *rest = oracle.answer(session.query).items()
        session.tell(dict([one]))
        session.tell(dict(rest))
        calm = [path.read_bytes()] if not disturbed else [*calm, path.read_bytes()]  # noqa: F821
    assert calm[0] == calm[1]


# --------------------------------------------------------------------------------------------------------- randomness


def picks(session, play, *sizes):
    play(session, *sizes)
    return [asked.ids for asked in session.book.asked]


def test_another_seed_another_session(make, play):
    assert picks(make(seed=0), play, 5, 5) == picks(make(seed=0), play, 5, 5)
    assert picks(make(seed=0), play, 5, 5) != picks(make(seed=1), play, 5, 5)


def test_strategies_are_paired(make, play):
    """Validation set and initial pool do not depend on the strategy or the training seed."""
    starts = {
        tuple(picks(make(strategy=s, initial="random", validation=3, repeat=r), play, 5, 5, 5)[:2])
        for s in ("random", "margin", "badge", "typiclust")
        for r in (0, 1)
    }
    assert len(starts) == 1


def test_fit_seeds_depend_on_round_and_repeat_and_on_no_strategy(make, play):
    seeds = {}
    for strategy in ("random", "margin"):
        for repeat in (0, 1):
            learner = counting_learner()
            play(make(learner=learner, strategy=strategy, initial="random", repeat=repeat), 5, 5, 5)
            seeds[strategy, repeat] = [seed for _, seed in learner.calls]
    assert seeds["random", 0] == seeds["margin", 0] != seeds["margin", 1] == seeds["random", 1]
    assert len(set(seeds["random", 0] + seeds["random", 1])) == 4


def test_a_session_can_have_an_address_in_a_design(make, play):
    address = Seed(3).child("fake", "pool", 2)
    assert picks(make(seed=address), play, 5, 5) == picks(make(seed=address), play, 5, 5)
    assert make(seed=address).spec["seed"] == [3, "fake", "pool", 2]


def test_chunks_of_evidence_change_nothing(make, play, monkeypatch):
    whole = {s: make(strategy=s, initial="random") for s in ("margin", "entropy", "stochastic(margin)", "badge")}
    parts = {s: make(strategy=s, initial="random") for s in whole}
    for session in whole.values():
        play(session, 5, 7, 7)
    monkeypatch.setattr("querist.session.jobs.CHUNK", 11)
    for name, session in parts.items():
        play(session, 5, 7, 7)
        assert session.book == whole[name].book, name


def test_a_selection_that_failed_in_the_middle_of_the_pool_starts_from_the_beginning(make, play, monkeypatch):
    monkeypatch.setattr("querist.session.jobs.CHUNK", 11)
    calm = picks(make(strategy="margin"), play, 5, 7)
    session = make(strategy="margin")
    play(session, 5)
    calls = []

    def stumble(self: Any, ev: Any):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return score(self, ev)

    score = Margin.score
    monkeypatch.setattr(Margin, "score", stumble)
    with pytest.raises(KeyboardInterrupt):
        session.ask(7)
    assert picks(session, play, 7) == calm


# ------------------------------------------------------------------------------------------------------------ answers


def test_class_names_and_numbers_of_any_integer_type(make):
    session = make()
    ids = session.ask(4).ids
    done = session.tell({ids[0]: "class 2", int(ids[1]): 1, ids[2]: np.int8(0), ids[3]: np.str_("class 1")})
    assert done is not None
    assert done.labels.tolist() == [2, 1, 0, 1]
    assert done.ids.tolist() == ids.tolist()


@pytest.mark.parametrize(
    ("label", "words"),
    [
        (3, r"3 for id \d+ is no declared class. Expected a number in 0..2, one of the names class 0, class 1"),
        (-1, "no declared class"),
        (True, "no declared class"),
        (1.0, "no declared class"),
        (float("nan"), "no declared class"),
        ("Class 1", "'Class 1' .* is no declared class"),
        ("1", "no declared class"),
        (b"class 1", "no declared class"),
        ([1], "no declared class"),
    ],
)
def test_labels_that_are_none_are_refused_and_nothing_is_entered(make, label, words):
    session = make()
    first, second = session.ask(2).ids
    with pytest.raises(DataError, match=words):
        session.tell({first: 0, second: label})
    assert session.book.unanswered == (first, second)


@pytest.mark.parametrize("i", ["3", 3.0, True, None, (3,), np.float64(3)])
def test_ids_that_are_no_integers_are_refused(make, i):
    session = make()
    session.ask(90)
    with pytest.raises(DataError, match="expected ids to be integers"):
        session.tell({i: 0})


def test_ids_that_are_not_being_asked_are_refused(make):
    session = make()
    query = session.ask(3)
    other = next(i for i in session.candidates.tolist() if i not in query.ids)
    with pytest.raises(DataError, match=rf"ids \[{other}\] are not among the 3 items being asked"):
        session.tell({other: 0, int(query.ids[0]): 0})
    session.tell({int(query.ids[0]): 0})
    with pytest.raises(DataError, match="not among the 2 items"):
        session.tell({int(query.ids[0]): 1})


def test_telling_before_asking(make):
    with pytest.raises(DataError, match="Call ask first"):
        make().tell({0: 0})


def test_no_answers_are_no_event(make):
    session = make()
    session.ask(3)
    before = list(session.ledger)
    assert session.tell({}) is None
    assert list(session.ledger) == before


def test_declined_items_are_not_charged_and_not_asked_again(make):
    session = make()
    query = session.ask(3)
    done = session.tell({query.ids[0]: None, query.ids[1]: 1, query.ids[2]: 0})
    assert done is not None
    assert (done.n_labels, done.ids.tolist()) == (2, query.ids[1:].tolist())
    assert query.ids[0] not in session.candidates
    assert query.ids[0] not in session.ask(87).ids
    with pytest.raises(BudgetError, match=r"no query is waiting|None"):
        _ = make().query


def test_a_query_declined_as_a_whole_is_followed_by_another(make):
    session = make(strategy="margin")
    first = session.ask(3).ids.tolist()
    done = session.tell(dict.fromkeys(first))
    assert done is not None
    assert (done.n_labels, done.labels.tolist()) == (0, [])
    second = session.ask(3)
    assert second.purpose == INITIAL
    assert not set(second.ids.tolist()) & set(first)


def test_a_declined_validation_item_is_replaced(make):
    session = make(validation=3)
    query = session.ask(5)
    session.tell({i: None if rank == 0 else 0 for rank, i in enumerate(query.ids)})
    more = session.ask(5)
    assert (more.purpose, len(more.ids)) == (VALIDATION, 1)
    session.tell({more.ids[0]: 1})
    assert session.ask(5).purpose == INITIAL


def test_reasons_stay_with_their_items(make, play):
    session = make(strategy="margin", initial="random", learner=FakeLearner(temperature=30.0))
    play(session, 4)
    query = session.ask(3)
    assert len(set(query.reasons)) == 3
    session.tell({query.ids[1]: 2})
    assert session.ask().reasons == (query.reasons[0], query.reasons[2])


# ---------------------------------------------------------------------------------------------------- existing labels


def test_adopted_labels_are_charged_as_the_initial_pool(make):
    session = make(strategy="margin")
    ids = session.dataset.pool[[5, 2, 9]]
    done = session.adopt({ids[0]: "class 1", ids[1]: 0, ids[2]: None})
    assert done is not None
    assert done.purpose == INITIAL
    assert session.book.spent == {INITIAL: 2}
    assert session.ask(5).round == 0


def test_adopting_is_for_the_start_alone(make):
    session = make()
    session.ask(3)
    with pytest.raises(DataError, match="before the first ask"):
        session.adopt({int(session.dataset.pool[0]): 0})


@pytest.mark.parametrize("answers", [{10**6: 0}, {-1: 0}, {"x": 0}, {0.5: 0}])
def test_adopting_what_is_not_in_the_pool(make, answers):
    session = make()
    with pytest.raises(DataError, match="adopt: "):
        session.adopt(answers)
    with pytest.raises(DataError, match=r"adopt: .*not in the pool"):
        session.adopt({int(session.dataset.test[0]): 0})
    with pytest.raises(DataError, match=r"adopt: .*no declared class"):
        session.adopt({int(session.dataset.pool[0]): 9})
    assert session.adopt({}) is None
    assert session.book.asked == []


# ------------------------------------------------------------------------------------------------------------ budgets


@pytest.mark.parametrize("b", [0, -1, 91, 10**9, None, 2.0, 2.5, True, "5"])
def test_budgets_that_do_not_fit(make, b):
    session = make()
    with pytest.raises(BudgetError):
        session.ask(b)
    assert session.book.asked == []


def test_the_whole_pool_and_not_one_more(make, play):
    session = make(strategy="margin")
    play(session, 30, 60)
    assert len(session.candidates) == 0
    with pytest.raises(BudgetError, match="the 0 unlabelled items left"):
        session.ask(1)
    assert session.conclude()["accuracy"] > 0.5


def test_any_integer_type_is_a_budget(make):
    assert len(make().ask(np.int32(3)).ids) == 3


# ------------------------------------------------------------------------------------------------------- initial pool


def test_a_strategy_that_needs_no_model_starts_by_itself(make):
    assert make(strategy="typiclust").initial == make(strategy="typiclust").strategy
    assert make(strategy="margin").initial == Random()


def test_an_initial_strategy_must_do_without_a_model(make):
    with pytest.raises(UnmetNeedError, match="no model before the first labels"):
        make(strategy="random", initial="margin")


def test_one_shot_rules_are_for_unlabelled_pools(make, play):
    session = make(strategy="kmeans_single_batch")
    play(session, 6)
    with pytest.raises(UsageError, match="whole budget at once"):
        session.ask(3)
    assert session.conclude()


def test_a_learner_that_cannot_provide_is_refused_at_once(make):
    with pytest.raises(UnmetNeedError, match="Draws"):
        make(strategy=NeedsDraws())


# --------------------------------------------------------------------------------------------------- errors propagate


@dataclass
class Calls:
    """A list that two equal components may share without being unequal or unhashable for it."""

    made: list[Any] = field(default_factory=list)

    def __hash__(self) -> int:
        return 0


@dataclass(frozen=True, kw_only=True)
class CountingLearner(FakeLearner):
    log: Calls = field(default_factory=Calls, compare=False, repr=False)
    fails: bool = False

    @property
    def calls(self) -> list[Any]:
        return self.log.made

    def fit(self, job: Any):
        self.calls.append((len(job.labelled), job.seed))
        if self.fails:
            raise RuntimeError("no convergence")
        return super().fit(job)


def counting_learner(**settings: Any) -> CountingLearner:
    return CountingLearner(**settings)


@dataclass(frozen=True, kw_only=True)
class CountingStrategy(Strategy):
    needs: ClassVar = (Probs(),)
    log: Calls = field(default_factory=Calls, compare=False, repr=False)
    fails: bool = False

    @property
    def calls(self) -> list[Any]:
        return self.log.made

    def select(self, ev: Any, b: int, key: Any):
        self.calls.append(b)
        if self.fails:
            raise ZeroDivisionError("in a strategy")
        return Picks(np.arange(b))


def counting_strategy(**settings: Any) -> CountingStrategy:
    return CountingStrategy(**settings)


@dataclass(frozen=True, kw_only=True)
class NeedsDraws(Scoring):
    needs: ClassVar = (Draws(),)

    def score(self, ev: Any):
        return ev[Draws()][0][:, 0]


# The logs above are for counting; they are no part of a specification.
@pytest.fixture(autouse=True)
def _plain_specs(monkeypatch):
    from querist.learners import base as module

    def described(component: Any) -> dict[str, object]:
        values = describe(component)
        values.pop("log", None)
        return values

    describe = module.describe
    monkeypatch.setattr(module, "describe", described)


def test_a_strategy_that_raises_is_called_once_and_leaves_nothing_behind(make, play):
    """The error is that of the strategy, not wrapped, not tried again (defect C13)."""
    strategy = counting_strategy(fails=True)
    session = make(strategy=strategy, initial="random")
    play(session, 5)
    before = list(session.ledger)
    with pytest.raises(ZeroDivisionError, match="in a strategy"):
        session.ask(5)
    assert strategy.calls == [5]
    assert list(session.ledger) == before


def test_a_learner_that_raises_is_called_once(make, play):
    learner = counting_learner(fails=True)
    session = make(learner=learner)
    play(session, 5)
    with pytest.raises(RuntimeError, match="no convergence"):
        session.ask(5)
    assert len(learner.calls) == 1


def test_a_session_goes_on_after_an_error(make, play, monkeypatch):
    session, calm = make(strategy="margin"), make(strategy="margin")
    play(calm, 5, 5, 5)
    play(session, 5)
    score = Margin.score
    with monkeypatch.context() as patch:
        patch.setattr(Margin, "score", lambda self, ev: score(self, ev) * np.nan)
        with pytest.raises(SelectionError, match="not finite"):
            session.ask(5)
    play(session, 5, 5)
    assert session.book == calm.book


def test_a_full_disk_stops_the_session_and_nothing_is_lost(make, play, monkeypatch, tmp_path):
    path = tmp_path / "ledger.jsonl"
    session, calm = make(ledger=JsonlLedger(path)), make()
    play(calm, 5, 5, 5)
    play(session, 5)
    with monkeypatch.context() as patch:
        patch.setattr(JsonlLedger, "_write", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
        with pytest.raises(StoreError, match="Free some space"):
            session.ask(5)
    play(session, 5, 5)
    assert session.book == calm.book == Book.replay(JsonlLedger(path))


def test_an_impossible_event_is_not_written(make, play, tmp_path):
    path = tmp_path / "ledger.jsonl"
    session = make(ledger=JsonlLedger(path), strategy="random")
    play(session, 5)
    before = path.read_bytes()
    with pytest.raises(LedgerError, match="answered before"):
        session._append(Asked(round=0, purpose=QUERY, ids=tuple(session.book.labels)))
    assert path.read_bytes() == before
    Book.replay(JsonlLedger(path))


# --------------------------------------------------------------------------------------------------------- the ledger


def test_a_ledger_belongs_to_one_specification(make, play):
    ledger = MemoryLedger()
    play(make(ledger=ledger, strategy="stochastic(margin, beta=1.0)", seed=1), 5)
    make(ledger=ledger, strategy={"name": "stochastic", "base": "margin"}, seed=1)
    for changed, words in (
        ({"strategy": "stochastic(margin, beta=2.0)"}, r"strategy.beta: 1.0 -> 2.0"),
        ({"seed": 2}, "seed"),
        ({"validation": 3}, "validation: 0 -> 3"),
        ({"repeat": 1}, "repeat: 0 -> 1"),
        ({"learner": FakeLearner(temperature=3.0)}, "learner.temperature: 1.0 -> 3.0"),
        ({"initial": "typiclust"}, "initial"),
        ({"data": Setting(fake_dataset(seed=5))}, "dataset.fingerprint"),
        ({"data": Setting(fake_dataset(), "pixels(pca=2)")}, "features.pca: None -> 2"),
        ({"data": Setting(fake_dataset(), seed=4)}, "features_seed: 0 -> 4"),
    ):
        settings = {"strategy": "stochastic(margin, beta=1.0)", "seed": 1, **changed}
        with pytest.raises(EditedStudyError, match=words):
            make(ledger=ledger, **settings)


def test_a_specification_of_ones_own_survives_the_ledger(make, tmp_path):
    path = tmp_path / "ledger.jsonl"
    spec = {"a": (1, (2, 3)), "b": {"c": [1.0, None]}, "d": {}}
    make(ledger=JsonlLedger(path), spec=spec)
    make(ledger=JsonlLedger(path), spec=spec)
    make(ledger=(memory := MemoryLedger()), spec=spec)
    assert list(memory) == list(JsonlLedger(path))
    with pytest.raises(EditedStudyError, match="a: "):
        make(ledger=JsonlLedger(path), spec={**spec, "a": (1, (2, 4))})


def test_an_empty_specification_is_one(make):
    ledger = MemoryLedger()
    make(ledger=ledger, spec={})
    make(ledger=ledger, spec={})
    assert len(list(ledger)) == 1


def test_differences_are_listed_with_their_place():
    old = {"a": 1, "b": {"c": [1, 2], "d": 0}, "gone": True}
    new = {"a": 1, "b": {"c": [1, 3], "d": 0}, "new": None, "more": "x"}
    assert diff(old, new) == ["  b.c: [1, 2] -> [1, 3]", "  gone: True -> None", "  more: None -> 'x'"]


def test_an_unregistered_strategy_goes_by_its_class(make, play):
    @dataclass(frozen=True, kw_only=True)
    class Mine(Scoring):
        needs: ClassVar = (Probs(),)

        def score(self, ev: Any):
            return ev[Probs()][:, 0]

    session = make(strategy=Mine())
    play(session, 5, 5)
    assert session.spec["strategy"]["name"].endswith("Mine")  # pyright: ignore[reportIndexIssue]


def test_a_variation_of_a_registered_strategy_does_not_pass_for_it(make):
    @dataclass(frozen=True, kw_only=True)
    class Other(Margin):
        def score(self, ev: Any):
            return -super().score(ev)

    ledger = MemoryLedger()
    make(ledger=ledger, strategy="margin")
    with pytest.raises(EditedStudyError, match=r"strategy\.name: 'margin' ->"):
        make(ledger=ledger, strategy=Other())


def test_times_are_told_apart_from_events(make, play):
    session = make()
    play(session, 5, 5)
    assert [(t.round, t.step) for t in session.timings] == [
        (0, "evidence"), (0, "select"), (0, "fit"), (0, "evidence"), (0, "select"), (0, "evaluate"),
    ]  # fmt: skip
    assert all(t.seconds >= 0 for t in session.timings)
    assert "seconds" not in str(list(session.ledger))


# -------------------------------------------------------------------------------------------------------- the dataset


def test_unlabelled_pool_items_are_named_by_the_simulation(make):
    data = fake_dataset()
    labels = np.arange(120) % 3
    labels[data.pool[:4]] = -1
    oracle = SimulatedOracle(SealedArray(labels), data.pool)
    session = make(data=replace(data, labels=SealedArray(labels)))
    with pytest.raises(DataError, match="4 of 90 items have no label"):
        oracle.answer(session.ask(90))


def test_unlabelled_test_items_are_refused_before_anything_is_tested(make, play):
    data = fake_dataset()
    labels = np.arange(120) % 3
    labels[data.test[:2]] = -1
    session = make(data=replace(data, labels=SealedArray(labels)))
    with pytest.raises(DataError, match="2 of the 30 test items"):
        play(session, 5, 5)


def test_only_pool_items_are_ever_candidates(make, play):
    """Items of the splits validation and left_out are neither bought nor tested on."""
    data = fake_dataset()
    split = np.array(data.manifest.split)
    split[data.pool[:20]] = SPLITS.index("left_out")
    split[data.pool[20:40]] = SPLITS.index("validation")
    manifest = Manifest("fake", data.manifest.keys, split, data.classes)
    session = make(data=replace(data, manifest=manifest))
    play(session, 25, 25)
    assert len(session.candidates) == 0
    assert all(split[i] == SPLITS.index(POOL) for i in session.book.labels)
    assert (split == SPLITS.index(TEST)).sum() == 30


def test_events_hold_plain_numbers(make, play):
    session = make(strategy="badge")
    play(session, 5, 5)
    for event in session.ledger:
        if isinstance(event, Asked | Answered):
            assert all(type(i) is int for i in event.ids)
