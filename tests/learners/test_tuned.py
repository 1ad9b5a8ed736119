"""The tuned learner: what it chooses and why, what is noted of it, and that known settings are not searched again."""

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import pytest

from querist.errors import DataError, FitError, MissingExtraError, SpecError
from querist.evidence.needs import Logits, Probs
from querist.evidence.provider import Fit
from querist.labels.events import Tuned
from querist.learners.base import Found, Learner, learners
from querist.learners.committee import Committee
from querist.learners.frozen import ProbsModel
from querist.learners.judging import Judge, stratified, updates_of
from querist.learners.knn import KNN
from querist.learners.linear import Linear
from querist.learners.scratch import Scratch
from querist.learners.search import Ideas, Search
from querist.learners.spaces import PRESETS, changed
from querist.learners.tuned import TunedLearner, TunedModel
from querist.nets.plan import make_plan
from querist.registry import describe
from querist.seeds import Seed
from querist.testing.contract import LearnerContract
from querist.testing.fakes import FakeLearner, FakeModel, fake_dataset, fake_view

pytest.importorskip("optuna", reason="needs the extra tune")

DATA = fake_dataset(n=160, c=4, d=5)
VIEW = fake_view(DATA, DATA.test)


class TestTuned(LearnerContract):
    make = staticmethod(lambda: TunedLearner(base=KNN(), space={"k": [1, 3, 5]}, trials=2))


class TestTunedOnce(LearnerContract):
    make = staticmethod(lambda: TunedLearner(base=KNN(), space={"k": [1, 3]}, trials=2, mode="fixed", sampler="tpe"))


class TestNotTuned(LearnerContract):
    make = staticmethod(lambda: TunedLearner(base=KNN(), mode="none"))


@dataclass(frozen=True, kw_only=True)
class Blurred(FakeLearner):
    """The fake learner under noise: the better, the less of it and the longer it trains."""

    calls: ClassVar[list[Fit]] = []
    blur: float = 1.0
    updates: int = 64
    start: str = "cold"

    def fit(self, job: Fit) -> FakeModel:
        self.calls.append(job)
        if self.blur > 30:
            raise FitError("the loss is not finite")
        model = super().fit(job)
        noise = job.seed.child("noise").generator().normal(size=model.weight.shape)
        return FakeModel(model.weight + noise * self.blur * 10 / np.sqrt(self.updates), model.bias)


SPACE = {"blur": {"low": 0.1, "high": 40.0, "log": True}, "temperature": [0.5, 1.0, 2.0]}


@pytest.fixture(autouse=True)
def _calls():
    Blurred.calls.clear()


def make(**changes):
    return TunedLearner(**{"base": Blurred(), "space": SPACE, "trials": 16, "mode": "per-cycle", **changes})


def job(l=40, held=0, seed=0, **more):
    ids, rest = DATA.pool[:l], DATA.pool[l + held :]
    validation = DATA.pool[l : l + held]
    view = fake_view(DATA, validation, validation % 4) if held else None
    return Fit(fake_view(DATA, ids, ids % 4), fake_view(DATA, rest), Seed(seed).child("fit"), validation=view, **more)


def probs(model, view=VIEW):
    return np.asarray(model.provide(Probs(), view))


def found(checkpoint, **settings):
    return Tuned(checkpoint=checkpoint, settings=settings, trials=4, fits=4, value=0.5)


# -------------------------------------------------------------------------------------------------------------- judging


def by_hand(learner, one, share):
    """Accuracy and loss of settings, the long way."""
    short = replace(learner, updates=max(1, round(learner.updates * share)))
    if one.validation is not None:
        views, models = [one.validation], [short.fit(one)]
    else:
        held = stratified(one.labelled.labels, one.seed.child("folds"), one.labelled.ids, 3)
        views = [one.labelled.take(rows) for rows in held]
        rest = [np.array([r for r in range(len(one.labelled)) if r not in rows]) for rows in held]
        models = [
            short.fit(one._replace(labelled=one.labelled.take(rows), seed=one.seed.child("fold", j)))
            for j, rows in enumerate(rest)
        ]
    p = np.concatenate([probs(m, v) for m, v in zip(models, views, strict=True)])
    y = np.concatenate([v.labels for v in views])
    return (p.argmax(axis=1) == y).mean(), -np.log(np.maximum(p[np.arange(len(y)), y], 1e-12)).mean()


@pytest.mark.parametrize("held", [0, 30])
@pytest.mark.parametrize("sampler", ["random", "tpe"])
def test_it_finds_what_trying_everything_by_hand_finds(held, sampler):
    one, learner = job(held=held), make(levels=(), sampler=sampler)
    model = learner.fit(one)
    fits = len(Blurred.calls)
    tried = []
    search = Search(space=learner.space, sampler=sampler, trials=16, levels=(), reduction=4)  # pyright: ignore
    search.run(lambda s, share, room: (tried.append(s), Judge(learner.base, one, 3)(s, share, room))[1],
               one.seed.child("tuning"))  # fmt: skip
    assert len(tried) == 16
    ranked = []
    for t, settings in enumerate(tried):
        if settings["blur"] <= 30:
            accuracy, loss = by_hand(replace(learner.base, **settings), one, 1.0)
            ranked.append((-accuracy, loss, t, settings))
    ranked.sort(key=lambda r: r[:3])
    assert model.note == Found(
        settings=ranked[0][3], trials=16, fits=16 * (1 if held else 3), value=-ranked[0][0], validation=held
    )
    assert fits <= model.note.fits + (0 if held else 1), "more fits than noted, and than the model itself"
    plain = replace(learner.base, **ranked[0][3]).fit(one)
    np.testing.assert_array_equal(probs(model), probs(plain))
    np.testing.assert_array_equal(model.provide(Logits(), VIEW), plain.provide(Logits(), VIEW))


@pytest.mark.parametrize("held", [0, 30])
@pytest.mark.parametrize("share", [1 / 16, 1.0])
def test_settings_are_worth_what_they_are_by_hand(held, share):
    judge = Judge(Blurred(), job(held=held), 3)
    for blur in (0.0, 0.5, 2.0, 5.0):
        worth = judge({"blur": blur, "temperature": 2.0}, share, None)
        expected = by_hand(Blurred(blur=blur, temperature=2.0), job(held=held), share)
        np.testing.assert_allclose([worth.accuracy, worth.loss], expected, rtol=1e-12)


@pytest.mark.parametrize("held", [0, 30])
def test_pruned_by_levels_and_no_label_bought(held):
    one, learner = job(held=held), make()
    model = learner.fit(one)
    assert learner.levels == (1 / 16, 1 / 4)
    each = 1 if held else 3
    assert model.note is not None
    assert (model.note.trials, model.note.fits, model.note.validation) == (16, each * (16 + 4 + 1), held)
    bought = {*one.labelled.ids.tolist(), *([] if one.validation is None else one.validation.ids.tolist())}
    for call in Blurred.calls:
        assert set(call.labelled.ids.tolist()) <= bought
        assert (call.validation is None) == (not held)
        assert call.pool is one.pool
    worth = by_hand(changed(learner.base, model.note.settings), one, 1.0)
    assert model.note.value == worth[0]


def test_the_model_that_was_judged_best_is_the_model():
    learner = make(levels=())
    model = learner.fit(job(held=30))
    assert len(Blurred.calls) == 16, "it was fitted once more"
    assert all(call.seed == job().seed for call in Blurred.calls), "trials differ in more than their settings"
    assert model.note is not None
    assert (probs(model, job(held=30).validation).argmax(axis=1) == DATA.pool[40:70] % 4).mean() == model.note.value


def test_folds_spread_every_class_and_follow_the_seed_and_the_ids_alone():
    ids = np.arange(100, 153)
    y = np.repeat([0, 1, 2, 3], [40, 10, 2, 1])
    folds = stratified(y, Seed(0), ids, 3)
    assert sorted(np.concatenate(folds)) == list(range(53))
    counts = np.array([np.bincount(y[rows], minlength=4) for rows in folds])
    assert (counts.max(axis=0) - counts.min(axis=0)).max() <= 1
    assert max(map(len, folds)) - min(map(len, folds)) <= 1
    order = np.random.default_rng(0).permutation(53)
    again = stratified(y[order], Seed(0), ids[order], 3)
    assert [set(ids[rows]) for rows in folds] == [set(ids[order][rows]) for rows in again]
    assert [set(rows) for rows in stratified(y, Seed(1), ids, 3)] != [set(rows) for rows in folds]
    assert len(stratified(y[:2], Seed(0), ids[:2], 5)) == 2


def test_a_fit_that_fails_is_a_finding_and_all_of_them_an_error():
    model = make(space={"blur": [1.0, 40.0]}, trials=12, levels=()).fit(job(held=20))
    assert model.note is not None
    assert model.note.settings == {"blur": 1.0}
    with pytest.raises(FitError, match="none of the 3 trials"):
        make(space={"blur": [40.0, 50.0]}, trials=3, levels=()).fit(job(held=20))


@pytest.mark.parametrize(("l", "held", "searched"), [(1, 0, False), (2, 0, True), (1, 9, True)])
def test_one_label_leaves_nothing_to_judge_by(l, held, searched):
    model = make().fit(job(l, held))
    assert model.note is not None
    assert (model.note.trials > 0) == searched
    if not searched:
        assert model.note == Found({}, 0, 0, None)
        np.testing.assert_array_equal(probs(model), probs(Blurred().fit(job(l))))


def test_cost_in_optimiser_steps():
    base = Scratch(net="small_cnn", updates=160, swa=0.5)
    judge = Judge(base, job(30), 3)
    space = {"lr": (0.1,)}
    best = Search(space=space, sampler="random", trials=4, levels=(0.25,), reduction=4).run(
        lambda s, share, room: (0.5, 1.0, None),
        Seed(0),  # pyright: ignore
    )
    note = judge.found(best, 4)
    assert updates_of(base, 30) == make_plan(base, 30).total == 240
    assert (note.fits, note.updates) == (3 * 5, 3 * (4 * (40 + 25) + 240))  # an average takes 25 snapshots at least
    assert updates_of(Linear(), 30) == 0


# ----------------------------------------------------------------------------------------------------- interrupted fits


def test_a_fit_goes_on_where_it_was_interrupted(tmp_path, monkeypatch):
    calm = make().fit(job(folder=tmp_path / "calm"))
    total = len(Blurred.calls)
    Blurred.calls.clear()
    plain = Blurred.fit
    for stop in (5, 9, 40):

        def failing(self, one, stop=stop):
            if len(Blurred.calls) == stop:
                raise OSError("the machine is going down")
            return plain(self, one)

        monkeypatch.setattr(Blurred, "fit", failing)
        with pytest.raises(OSError, match="going down"):
            make().fit(job(folder=tmp_path / "killed"))
    monkeypatch.setattr(Blurred, "fit", plain)
    model = make().fit(job(folder=tmp_path / "killed"))
    assert model.note == calm.note
    np.testing.assert_array_equal(probs(model), probs(calm))
    assert len(Blurred.calls) <= total + 3 * 2, "more than the folds of the interrupted trials were fitted again"
    (one,) = (tmp_path / "killed").iterdir()
    (other,) = (tmp_path / "calm").iterdir()
    assert one.name == other.name
    assert {p.name: p.read_bytes() for p in one.iterdir()} == {p.name: p.read_bytes() for p in other.iterdir()}


def test_outcomes_of_another_search_are_not_taken(tmp_path):
    make().fit(job(folder=tmp_path))
    before = len(Blurred.calls)
    others = (
        (make(), job(39)), (make(), job(seed=1)), (make(), job(held=5)),
        (make(base=Blurred(temperature=3.0)), job()), (make(trials=17), job()),
    )  # fmt: skip
    for learner, one in others:
        Blurred.calls.clear()
        learner.fit(one._replace(folder=tmp_path))
        assert len(Blurred.calls) > 16
    Blurred.calls.clear()
    make().fit(job(folder=tmp_path))
    assert len(Blurred.calls) == 1
    assert before > 16
    assert len(list(tmp_path.iterdir())) == 6


# ------------------------------------------------------------------------------------------------------- known settings


def test_known_settings_are_not_searched():
    learner = make()
    assert learner.settled({}, 0) is learner
    assert learner.settled({0: found(0, blur=2.0)}, 1) is learner
    settled = learner.settled({0: found(0, blur=2.0), 1: found(1, blur=3.0)}, 1)
    assert (settled.mode, settled.base, settled.searches) == ("none", Blurred(blur=3.0), False)
    model = settled.fit(job(held=20))
    assert model.note is None
    assert settled.found(model) is None
    assert len(Blurred.calls) == 1
    np.testing.assert_array_equal(probs(model), probs(Blurred(blur=3.0).fit(job())))


def test_fixed_settings_are_those_of_the_first_search():
    learner = make(mode="fixed")
    notes = {0: found(0, blur=2.0), 3: found(3, blur=3.0)}
    assert {learner.settled(notes, number).base.blur for number in range(6)} == {2.0}  # pyright: ignore
    assert learner.settled({2: found(2, blur=2.0)}, 1) is learner


def test_what_a_search_found_makes_the_same_model_again():
    for held in (0, 25):
        one = job(held=held)
        learner = make()
        model = learner.fit(one)
        note = learner.found(model)
        assert note is not None
        again = learner.settled({4: Tuned(checkpoint=4, **note._asdict())}, 4).fit(one)
        np.testing.assert_array_equal(probs(model), probs(again))


def test_mode_none_is_the_base():
    model = make(mode="none").fit(job(held=9))
    assert len(Blurred.calls) == 1
    np.testing.assert_array_equal(probs(model), probs(Blurred().fit(job())))
    assert not make(mode="none").searches


def test_it_is_what_its_base_is():
    @dataclass(frozen=True, kw_only=True)
    class Heavy(Blurred):
        trains_backbone: ClassVar[bool] = True
        warm_starts: ClassVar[bool] = True
        keeps: ClassVar[bool] = True
        seeded: ClassVar[bool] = False

    heavy = TunedLearner(base=Heavy(), space=SPACE)
    assert (heavy.trains_backbone, heavy.warm_starts, heavy.keeps, heavy.mode) == (True, True, True, "fixed")
    light = TunedLearner(base=Linear(), space="linear")
    assert (light.trains_backbone, light.warm_starts, light.keeps, light.mode) == (False, False, False, "per-cycle")
    assert light.seeded
    assert not replace(light, mode="none").seeded
    assert light.offers(Logits()) == Linear().offers(Logits())
    assert (make(reuse=True).reuses, make().reuses, make(reuse=True, mode="none").reuses) == (True, False, False)


def test_a_warm_start_is_from_the_model_of_the_base():
    before = make().fit(job(20))
    assert isinstance(before, TunedModel)
    Blurred.calls.clear()
    for warm in (before, before.model):
        make(trials=2, levels=()).fit(job(held=30, warm=warm))
        make(mode="none").fit(job(warm=warm))
    assert Blurred.calls
    assert all(call.warm is before.model for call in Blurred.calls)


@dataclass(frozen=True, kw_only=True)
class Stored(KNN):
    """Votes whose model is a file."""

    keeps: ClassVar[bool] = True

    def save(self, model, folder):
        folder.mkdir(parents=True)
        np.savez(folder / "model.npz", x=model.x, y=model.y)

    def load(self, folder):
        with np.load(folder / "model.npz") as file:
            from querist.learners.knn import KNNModel

            return KNNModel(features=self.features, c=4, x=file["x"], y=file["y"], k=self.k)


@pytest.fixture
def _stored(monkeypatch):
    learners.register("stored")(Stored)
    yield
    learners._cards.pop("stored")
    learners._names.pop("stored")


@pytest.mark.usefixtures("_stored")
def test_models_are_kept_with_their_settings(tmp_path):
    learner = TunedLearner(base=Stored(k=9), space={"k": [1, 3]}, trials=3)
    searched = learner.fit(job())
    settled = learner.settled({0: found(0, k=3)}, 0).fit(job())
    for name, model in (("a", searched), ("b", settled)):
        learner.save(model, tmp_path / name)
        back = learner.load(tmp_path / name)
        assert isinstance(back.model, ProbsModel)
        assert back.learner == model.learner
        assert back.note is None
        np.testing.assert_array_equal(probs(back), probs(model))
    with pytest.raises(DataError, match="Expected a model of learner 'tuned'"):
        learner.load(tmp_path)
    with pytest.raises(DataError, match="got KNNModel"):
        learner.save(searched.model, tmp_path / "c")


# -------------------------------------------------------------------------------------------------------- configuration


def test_the_same_search_whatever_the_strategy():
    assert "strategy" not in str(describe(make()))
    one, other = (make().fit(job()) for _ in range(2))
    assert one.note == other.note


def test_what_is_left_open_is_written_out():
    described = describe(learners.build("tuned(linear)"))
    assert (described["mode"], described["levels"]) == ("per-cycle", [])
    assert described["space"] == {
        "C": {"low": 0.1, "high": 1e4, "log": True}, "components": [None, 16, 64, 256]
    }  # fmt: skip
    assert describe(learners.build("tuned(scratch, trials=3)"))["levels"] == []
    assert learners.build(described) == learners.build("tuned")
    assert learners.build("tuned(scratch, space=s2, mode=fixed)") == TunedLearner(base=Scratch(), space="s2")


@pytest.mark.parametrize("name", ["s2", "s2-sr"])
def test_presets_of_the_seed(name):
    learner = learners.build({"name": "tuned", "preset": name})
    assert isinstance(learner, TunedLearner)
    assert learner.base == learners.build({"name": "scratch", "preset": name})
    assert (learner.trials, learner.mode, learner.reduction, learner.sampler) == (50, "per-cycle", 4, "random")
    assert learner.space.keys() == PRESETS[name].keys()  # pyright: ignore


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"trials": 0}, "trials to be 1 or larger, got 0"),
        ({"reduction": 1}, "reduction to be 2 or larger, got 1"),
        ({"folds": 1}, "folds to be 2 or larger"),
        ({"levels": (0.5, 0.25)}, "levels to ascend between 0 and 1"),
        ({"levels": (0.5, 1.0)}, "levels to ascend between 0 and 1"),
        ({"base": KNN(), "space": {"k": [1, 2]}, "levels": (0.5,)}, "neither epochs nor updates"),
        ({"base": TunedLearner(base=KNN(), space={"k": [1]}), "space": {"trials": [1]}}, "a search within a search"),
    ],
)
def test_settings_that_cannot_be(settings, message):
    with pytest.raises(SpecError, match=message):
        make(**settings)


def test_a_committee_is_searched_as_a_whole():
    learner = TunedLearner(base=Committee(base=Linear(), members=3), space={"base.C": [0.1, 100.0]}, trials=4)
    model = learner.fit(job())
    assert model.note is not None
    assert model.note.settings.keys() == {"base.C"}
    again = Committee(base=Linear(C=model.note.settings["base.C"]), members=3).fit(job())
    np.testing.assert_array_equal(probs(model), probs(again))


def test_without_optuna_it_can_be_said_and_not_fitted(monkeypatch):
    monkeypatch.setattr("querist.extras.find_spec", lambda module: None if module == "optuna" else object())
    learner = make()
    assert learners.build(describe(TunedLearner())) == TunedLearner()
    with pytest.raises(MissingExtraError, match=r"learner 'tuned' needs the extra 'tune'"):
        learner.fit(job())
    make(mode="none").fit(job())
    learner.settled({0: found(0, blur=2.0)}, 0).fit(job())


def test_ideas_are_those_of_the_fit_and_not_of_the_labels():
    learner = make(levels=())
    one, other = learner.fit(job(40, held=30)), learner.fit(job(30, held=30))
    assert one.note is not None
    assert other.note is not None
    search = Search(space=learner.space, sampler="random", trials=16, levels=(), reduction=4)  # pyright: ignore
    drawn = [Ideas(search, job().seed.child("tuning")).next(t) for t in range(16)]
    assert one.note.settings in drawn
    assert other.note.settings in drawn
    assert isinstance(learner, Learner)
