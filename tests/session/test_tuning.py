"""Sessions whose learner searches its settings: what the ledger says of it, and that nothing is searched twice."""

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import pytest

from querist.errors import SpecError, UnmetNeedError, UsageError
from querist.evidence.needs import Probs, Refit
from querist.evidence.provider import Fit
from querist.labels.events import INITIAL, QUERY, VALIDATION, Answered, Asked, Evaluated, Tuned
from querist.labels.ledger import JsonlLedger, MemoryLedger
from querist.labels.oracle import SimulatedOracle
from querist.learners.base import learners
from querist.learners.committee import Committee
from querist.learners.knn import KNN
from querist.learners.linear import Linear
from querist.learners.tuned import TunedLearner
from querist.seeds import Seed
from querist.session.session import Session
from querist.session.setting import Setting
from querist.strategies.base import Picks, Strategy
from querist.testing.fakes import FakeLearner, FakeModel, fake_dataset

pytest.importorskip("optuna", reason="needs the extra tune")

DATA = fake_dataset(n=160, c=4, d=5)
SETTING = Setting(DATA)
ORACLE = SimulatedOracle(DATA.labels, DATA.pool)


@dataclass(frozen=True, kw_only=True)
class Counting(FakeLearner):
    """The fake learner under noise, counting its fits."""

    fits: ClassVar[list[Fit]] = []
    blur: float = 1.0
    updates: int = 64

    def fit(self, job: Fit) -> FakeModel:
        self.fits.append(job)
        model = super().fit(job)
        noise = job.seed.child("noise").generator().normal(size=model.weight.shape)
        return FakeModel(model.weight + noise * self.blur * 10 / np.sqrt(self.updates), model.bias)


@pytest.fixture(autouse=True)
def _fits():
    Counting.fits.clear()


def make(**changes):
    space = {"blur": {"low": 0.1, "high": 30.0, "log": True}}
    return TunedLearner(**{"base": Counting(), "space": space, "trials": 4, "mode": "per-cycle", **changes})


def run(rounds=2, learner=None, ledger=None, **settings: Any):
    """Run a session of ten labels a round to its end, or to the end of what its ledger lacks."""
    settings = {"strategy": "margin", "initial": "random", "seed": Seed(1).child("x"), **settings}
    session = Session(SETTING, learner=learner or make(), ledger=ledger, **settings)
    while session.book.round < rounds or session.book.pending is not None:
        session.tell(ORACLE.answer(session.ask(None if session.book.pending else 10)))
    session.conclude()
    return session


def kinds(session):
    return [event.kind for event in session.ledger]


def test_a_search_stands_before_the_query_it_chose_and_its_test():
    session = run(validation=12)
    events = list(session.ledger)
    assert kinds(session) == [
        "opened", "asked", "answered", "asked", "answered",
        "tuned", "asked", "evaluated", "answered", "tuned", "asked", "evaluated", "answered", "tuned", "evaluated",
    ]  # fmt: skip
    assert {e.checkpoint for e in events if isinstance(e, Tuned)} == {0, 1, 2}
    assert session.book.tuning.keys() == session.book.evaluations.keys()


def test_tuning_on_a_validation_set_shows_on_the_axis():
    plain, judged = run(learner=make(mode="none")), run(validation=25)
    labels = [e.n_labels for e in judged.ledger if isinstance(e, Evaluated)]
    assert labels == [35, 45, 55]
    assert [e.n_labels for e in plain.ledger if isinstance(e, Evaluated)] == [10, 20, 30]
    assert {e.validation for e in judged.book.tuning.values()} == {25}
    assert judged.book.spent == {VALIDATION: 25, INITIAL: 10, QUERY: 20}
    crossed = run()
    assert [e.n_labels for e in crossed.ledger if isinstance(e, Evaluated)] == [10, 20, 30]
    assert {(e.validation, e.fits) for e in crossed.book.tuning.values()} == {(0, 3 * (4 + 1 + 1))}


def test_what_is_noted_was_spent():
    session = run(validation=25)
    noted = sum(e.fits for e in session.book.tuning.values())
    assert noted == len(Counting.fits) == 3 * (4 + 1 + 1)
    Counting.fits.clear()
    session = run()
    noted = sum(e.fits for e in session.book.tuning.values())
    assert len(Counting.fits) == noted + 3, "searches, and a fit of each model"


@pytest.mark.parametrize("mode", ["per-cycle", "fixed"])
@pytest.mark.parametrize("validation", [0, 15])
def test_on_from_every_line_of_a_ledger_without_another_search(mode, validation, tmp_path):
    whole = tmp_path / "whole.jsonl"
    calm = run(learner=make(mode=mode), ledger=JsonlLedger(whole), validation=validation)
    lines = whole.read_bytes().splitlines(keepends=True)
    assert sum(b'"event":"tuned"' in line for line in lines) == (3 if mode == "per-cycle" else 1)
    for count in range(len(lines)):
        path = tmp_path / f"{count}.jsonl"
        path.write_bytes(b"".join(lines[:count]) + lines[count][: len(lines[count]) // 2])
        Counting.fits.clear()
        again = run(learner=make(mode=mode), ledger=JsonlLedger(path), validation=validation)
        assert path.read_bytes() == whole.read_bytes(), f"after {count} lines and a torn one"
        left = sum(b'"event":"tuned"' in line for line in lines[count:])
        each = 6 if validation else 18
        assert len(Counting.fits) <= left * each + 3, "something was searched twice"
        assert again.book.tuning == calm.book.tuning


@dataclass(frozen=True, kw_only=True)
class Filed(Counting):
    """The same, with models that are files."""

    keeps: ClassVar[bool] = True

    def save(self, model: Any, folder: Any) -> None:
        folder.mkdir(parents=True)
        np.savez(folder / "model.npz", weight=model.weight, bias=model.bias)

    def load(self, folder: Any) -> FakeModel:
        with np.load(folder / "model.npz") as file:
            return FakeModel(file["weight"], file["bias"])


@pytest.fixture
def _filed():
    learners.register("filed")(Filed)
    yield
    learners._cards.pop("filed")
    learners._names.pop("filed")


@pytest.mark.usefixtures("_filed")
@pytest.mark.parametrize("mode", ["per-cycle", "fixed"])
def test_models_on_disk_never_come_without_the_note_of_their_search(mode, tmp_path, monkeypatch):
    learner = make(base=Filed(), mode=mode)
    calm = run(learner=learner, ledger=JsonlLedger(tmp_path / "calm.jsonl"), folder=tmp_path / "calm")
    append, written = Session._append, []
    for at in range(1, len(list(calm.ledger))):

        def failing(self, event, at=at):
            written.append(event)
            if len(written) == at:
                raise KeyboardInterrupt
            append(self, event)

        path, folder = tmp_path / f"{at}.jsonl", tmp_path / str(at)
        written.clear()
        with monkeypatch.context() as patch:
            patch.setattr(Session, "_append", failing)
            with pytest.raises(KeyboardInterrupt):
                run(learner=learner, ledger=JsonlLedger(path), folder=folder)
        run(learner=learner, ledger=JsonlLedger(path), folder=folder)
        assert path.read_bytes() == (tmp_path / "calm.jsonl").read_bytes(), f"interrupted at event {at}"


def test_fixed_settings_come_from_the_initial_pool_and_stay():
    session = run(learner=make(mode="fixed"), validation=15)
    assert session.book.tuning.keys() == {0}
    searched = [job for job in Counting.fits if len(job.labelled) == 10]
    later = [job for job in Counting.fits if len(job.labelled) > 10]
    assert len(searched) == session.book.tuning[0].fits
    assert [len(job.labelled) for job in later] == [20, 30]
    blur = session.book.tuning[0].settings["blur"]
    expected = run(learner=Counting(blur=blur), validation=15)
    assert [e.metrics for e in session.book.evaluations.values()] == [
        e.metrics for e in expected.book.evaluations.values()
    ]


@pytest.mark.parametrize("validation", [0, 15])
@pytest.mark.parametrize("mode", ["fixed", "per-cycle"])
def test_the_first_search_is_the_same_for_every_strategy(mode, validation):
    arms = ["random", "margin", "badge", "typiclust"]
    found = [run(1, make(mode=mode), strategy=arm, validation=validation).book.tuning for arm in arms]
    assert all(one[0] == found[0][0] for one in found)
    assert found[0][0] != run(1, make(mode=mode), seed=Seed(2).child("x"), validation=validation).book.tuning[0]


def test_another_training_seed_searches_anew_unless_it_takes_over():
    first = run()
    assert run(repeat=1).book.tuning != first.book.tuning
    for repeat in (1, 10, 11):
        Counting.fits.clear()
        taken = run(learner=make(reuse=True), repeat=repeat, reference=first.book.tuning)
        assert len(Counting.fits) == 3
        for number, event in taken.book.tuning.items():
            assert event == replace(first.book.tuning[number], trials=0, fits=0, updates=0, reused=True)
        assert taken.book.evaluations != first.book.evaluations


def test_settings_to_be_taken_over_are_never_searched_instead():
    first = run(1, make(reuse=True))
    for reference in (None, {}, {1: first.book.tuning[1]}):
        with pytest.raises(UsageError, match=r"training seed 3 takes over .* none for round 0"):
            run(learner=make(reuse=True), repeat=3, reference=reference)
    ledger = MemoryLedger()
    with pytest.raises(UsageError, match="none for round 2"):
        run(learner=make(reuse=True), repeat=3, reference=first.book.tuning, ledger=ledger)
    assert [e.checkpoint for e in ledger if isinstance(e, Tuned)] == [0, 1]
    assert len([e for e in ledger if isinstance(e, Asked | Answered)]) == 6


def test_taken_over_once_for_all():
    first = run(learner=make(reuse=True, mode="fixed"))
    Counting.fits.clear()
    taken = run(learner=make(reuse=True, mode="fixed"), repeat=1, reference=first.book.tuning)
    assert taken.book.tuning == {0: replace(first.book.tuning[0], trials=0, fits=0, updates=0, reused=True)}
    assert len(Counting.fits) == 3


def test_a_search_inside_another_learner_is_refused():
    with pytest.raises(SpecError, match=r"'committee' is made of one that searches.*tuned\(committee"):
        Session(SETTING, learner=Committee(base=make(), members=2), strategy="random")
    Session(SETTING, learner=Committee(base=make(mode="none"), members=2), strategy="random")
    bagged = TunedLearner(base=Committee(base=Counting(), members=2), space={"base.blur": [0.1, 9.0]}, trials=2)
    assert run(1, bagged).book.tuning[0].settings.keys() == {"base.blur"}


@dataclass(frozen=True, kw_only=True)
class Again(Strategy):
    """Needs nothing but to fit again."""

    needs: ClassVar = (Refit(),)
    heard: ClassVar[list[Any]] = []

    def select(self, ev: Any, b: int, key: Any):
        self.heard.append(np.asarray(ev[Refit()](np.arange(len(ev.labelled)))))
        return Picks(np.arange(b))


def test_heads_fitted_again_have_the_settings_of_the_round():
    Again.heard.clear()
    light = make()
    assert not light.trains_backbone
    session = run(1, light, strategy=Again())
    assert len(Again.heard) == 1
    fits = sum(e.fits for e in session.book.tuning.values()) + 2
    assert len(Counting.fits) == fits + 1, "fitting again was a search"
    first = next(e for e in session.ledger if isinstance(e, Asked) and e.purpose == INITIAL)
    ids = np.sort(first.ids)
    rows = np.setdiff1d(DATA.pool, ids)
    blur = session.book.tuning[0].settings["blur"]
    known = SETTING.view(ids, ids % 4)
    seed = Seed(1).child("x").child("seed", 0, "round", 0, "fit")
    model = Counting(blur=blur).fit(Fit(known, SETTING.view(rows), seed))
    np.testing.assert_array_equal(Again.heard[0], model.provide(Probs(), SETTING.view(rows)))


def test_heads_fitted_again_where_nothing_is_tested():
    """Then no model is fitted but for the settings, which fitting again needs."""
    data = replace(SETTING.dataset, manifest=replace(DATA.manifest, split=np.zeros_like(DATA.manifest.split)))
    session = Session(Setting(data), learner=make(), strategy=Again(), initial="random", seed=1)
    oracle = SimulatedOracle(data.labels, data.pool)
    session.tell(oracle.answer(session.ask(12)))
    session.ask(5)
    assert session.book.tuning.keys() == {0}
    assert len(Counting.fits) == session.book.tuning[0].fits + 2


def test_a_forecast_is_made_with_the_settings_found_last():
    learner = TunedLearner(base=KNN(), space={"k": [1, 3, 9]}, trials=3)
    session = run(2, learner)
    k = session.book.tuning[2].settings["k"]
    other = run(2, KNN(k=k))
    one = session.forecast(20)
    assert len(session.book.tuning) == 3
    assert isinstance(one.gain, float)
    fresh = Session(SETTING, learner=learner, strategy="random", seed=3)
    fresh.tell(ORACLE.answer(fresh.ask(15)))
    with pytest.raises(UsageError, match="no settings of the learner were found yet"):
        fresh.forecast(20)
    assert other.learner == KNN(k=k)


def test_what_the_base_cannot_is_said_at_once():
    with pytest.raises(UnmetNeedError, match="it has no logits"):
        Session(SETTING, learner=TunedLearner(base=KNN(), space={"k": [1, 3]}), strategy="tod(space=logits)")
    Session(SETTING, learner=TunedLearner(base=Linear(), space="linear"), strategy="tod(space=logits)")
