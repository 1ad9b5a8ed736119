"""Arrays in, ids out: every combination of arrays, agreement with a session, and every kind of bad input."""

import tracemalloc
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any, ClassVar

import numpy as np
import pytest

from querist.errors import BudgetError, DataError, SpecError, UnknownNameError, UnmetNeedError, UsageError
from querist.evidence.evidence import Evidence
from querist.evidence.needs import Embeddings, Features, Gradients, Labels, Probs
from querist.kernels import farthest_first
from querist.session.select import select
from querist.session.session import Session
from querist.session.setting import Setting
from querist.strategies.base import Picks, Strategy, choose, strategies
from querist.testing.fakes import FakeLearner, FakeModel, fake_dataset
from querist.testing.names import buildable

N, C, D = 40, 3, 5
RNG = np.random.default_rng(0)
PROBS = RNG.dirichlet(np.ones(C), N)
EMBEDDINGS = RNG.normal(size=(N, D))
FEATURES = RNG.normal(size=(N, D + 1)).astype(np.float32)
DRAWS = RNG.dirichlet(np.ones(C), (4, N))
ARRAYS: dict[str, Any] = {"probs": PROBS, "embeddings": EMBEDDINGS, "features": FEATURES, "draws": DRAWS}
LABELLED = np.array([30, 2, 17])
LABELS = np.array([2, 0, 1])

NEEDED = {
    "random": [()],
    "margin": [("probs",)],
    "entropy": [("probs",)],
    "least_confidence": [("probs",)],
    "stochastic(margin)": [("probs",)],
    "k_center_greedy": [("features",), ("embeddings",)],
    "kmeans_single_batch": [("features",)],
    "kmeans_multi_batch": [("features",)],
    "typiclust": [("features",)],
    "badge": [("probs", "embeddings"), ("probs", "features")],
}
"""Which arrays each strategy can work from."""


def wants(*needs: Any):
    """A strategy that declares needs and keeps its evidence in ``seen``."""

    @dataclass(frozen=True, kw_only=True)
    class Wants(Strategy):
        seen: ClassVar[list[Any]] = []

        def needs_at(self, state: Any):
            return needs

        def select(self, ev: Any, b: int, key: Any):
            self.seen.append(ev)
            return Picks(np.arange(b))

    return Wants()


# ----------------------------------------------------------------------------------------------- what works with what


@pytest.mark.parametrize("strategy", NEEDED)
def test_every_combination_of_arrays(strategy):
    for size in range(len(ARRAYS) + 1):
        for names in combinations(ARRAYS, size):
            given = {name: ARRAYS[name] for name in names}
            built = strategies.build(strategy)
            sufficient = any(set(needed) <= set(names) for needed in NEEDED[strategy])
            if hasattr(built, "space") and set(names) & {"features", "embeddings"} == set():
                sufficient = False
            if sufficient:
                picked = select(strategy, 4, size=N, **given)
                assert len(set(picked.ids.tolist())) == 4
                assert picked.ids.dtype == np.int64
                assert (picked.ids < N).all()
            else:
                with pytest.raises(UnmetNeedError, match="pass "):
                    select(strategy, 4, size=N, **given)


@pytest.mark.parametrize("strategy", buildable())
def test_every_name_selects_from_all_arrays_or_says_what_it_lacks(strategy):
    everything = {**ARRAYS, "labelled": LABELLED, "labels": LABELS}
    try:
        picked = select(strategy, 4, **(ARRAYS if "one_shot" in strategies.card(strategy).flags else everything))
    except UnmetNeedError as error:
        assert "plain arrays cannot carry this" in str(error)  # noqa: PT017 - either is right
    else:
        assert len(set(picked.ids.tolist()) - set(LABELLED.tolist())) == 4 or strategy == "kmeans_single_batch"


def test_oracles_need_more_than_arrays():
    with pytest.raises(UnmetNeedError, match="plain arrays cannot carry this"):
        select("class_uniform_oracle", 3, **ARRAYS)


@pytest.mark.parametrize("strategy", [s for s in NEEDED if s != "kmeans_single_batch"])
def test_labelled_ids_are_never_picked(strategy):
    everything = select(strategy, N - 3, **ARRAYS, labelled=LABELLED, labels=LABELS)
    assert sorted(everything.ids.tolist()) == sorted(set(range(N)) - set(LABELLED.tolist()))


@pytest.mark.parametrize("strategy", NEEDED)
def test_the_same_seed_the_same_picks(strategy):
    first = select(strategy, 5, **ARRAYS, seed=3)
    again = select(strategy, 5, **ARRAYS, seed=3)
    assert first.ids.tolist() == again.ids.tolist()
    assert len(first.reasons) == 5


def test_the_order_of_the_labelled_ids_is_irrelevant():
    order = np.array([2, 0, 1])
    strategy = wants(Labels(), Features(frame="labelled"))
    for ids, y in ((LABELLED, LABELS), (LABELLED[order], LABELS[order])):
        select(strategy, 1, **ARRAYS, labelled=ids, labels=y)
    for ev in strategy.seen:
        assert ev.labelled.tolist() == [2, 17, 30]
        assert ev[Labels()].tolist() == [0, 1, 2]


def test_margin_by_hand():
    second, first = np.sort(PROBS, axis=1)[:, -2:].T
    expected = np.argsort(first - second, kind="stable")[:6]
    picked = select("margin", 6, probs=PROBS)
    assert picked.ids.tolist() == expected.tolist()
    assert picked.utility == pytest.approx((second - first)[expected])


def test_lists_will_do_and_integers_do_not_wrap_around():
    small = np.arange(12, dtype=np.uint8).reshape(6, 2) * 20
    wide = select("k_center_greedy", 3, features=small.astype(np.float64))
    assert select("k_center_greedy", 3, features=small).ids.tolist() == wide.ids.tolist()
    assert select("k_center_greedy", 3, features=small.tolist()).ids.tolist() == wide.ids.tolist()
    assert select("margin", 1, probs=[[1, 0], [0.5, 0.5]]).ids.tolist() == [1]


def test_a_session_and_the_arrays_of_its_model_choose_alike():
    """The door for arrays and the loop are one engine: with the session's key they would pick the same."""
    setting = Setting(fake_dataset())
    data = setting.dataset
    for name in ("margin", "badge", "typiclust", "k_center_greedy", "kmeans_multi_batch", "stochastic(entropy)"):
        session = Session(setting, learner=FakeLearner(temperature=20.0), strategy=name, initial="random")
        session.tell({int(i): int(i) % 3 for i in session.ask(8).ids})
        session.aim(6)
        job = session.job()
        while type(job).__name__ != "SelectJob":
            session.deliver(job, job.run())  # pyright: ignore[reportOptionalMemberAccess, reportArgumentType]
            job = session.job()
        expected = job.run()  # pyright: ignore[reportOptionalMemberAccess]
        model = session._model
        assert isinstance(model, FakeModel)
        pool = setting.view(data.pool)
        rows = {int(i): row for row, i in enumerate(data.pool)}
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(
                "querist.session.select.choose",
                lambda s, ev, b, _, job=job: choose(s, renumbered(ev, data), b, job.key),
            )
            found = select(
                name, 6, probs=model.provide(Probs(), pool), embeddings=model.provide(Embeddings(), pool),
                features=setting.features[Features(frame="all", normalise=False)][data.pool],
                labelled=[rows[i] for i in session.book.labels], labels=list(session.book.labels.values()),
            )  # fmt: skip
        assert found.ids.tolist() == expected.ids.tolist(), name


def renumbered(ev: Evidence, data: Any) -> Evidence:
    """The same evidence, its rows numbered as in the dataset, so that keyed ties and draws are the same."""
    values = {need: ev[need] for need in ev.needs}
    return Evidence(data.pool[ev.candidates], values, labelled=data.pool[ev.labelled], c=ev.c)


# ------------------------------------------------------------------------------------------------------------ gradients


def test_gradients_take_true_labels_on_labelled_rows_and_hypothesised_ones_elsewhere():
    frames = ("candidates", "labelled", "all")
    strategy = wants(*(Gradients(frame=frame) for frame in frames))
    select(strategy, 1, **ARRAYS, labelled=LABELLED, labels=LABELS)
    ev = strategy.seen[0]
    label = PROBS.argmax(axis=1)
    label[LABELLED] = LABELS
    for frame in frames:
        ids = ev.ids(frame)
        assert ev[Gradients(frame=frame)].residual == pytest.approx(PROBS[ids] - np.eye(C)[label[ids]])
        assert np.array_equal(ev[Gradients(frame=frame)].embedding, EMBEDDINGS[ids])


def test_gradients_of_labelled_rows_need_their_labels():
    for frame in ("labelled", "all"):
        with pytest.raises(UnmetNeedError, match=r"labels=\(l,\)"):
            select(wants(Gradients(frame=frame)), 1, **ARRAYS, labelled=LABELLED)  # pyright: ignore[reportArgumentType]


def test_features_stand_in_where_there_are_no_embeddings():
    assert select("badge", 4, probs=PROBS, features=EMBEDDINGS).ids.tolist() == (
        select("badge", 4, probs=PROBS, embeddings=EMBEDDINGS).ids.tolist()
    )


# --------------------------------------------------------------------------------------------------------- narrow input


@pytest.mark.parametrize("labelled", [[], LABELLED])
@pytest.mark.parametrize("strategy", ["k_center_greedy", "k_center_greedy(normalise=True)", "typiclust", "prob_cover"])
def test_half_precision_counts_for_what_it_is(strategy, labelled):
    half = FEATURES.astype(np.float16)
    wide = select(strategy, 6, features=half.astype(np.float32), labelled=labelled, classes=3)
    narrow = select(strategy, 6, features=half, labelled=labelled, classes=3)
    assert narrow.ids.tolist() == wide.ids.tolist()
    np.testing.assert_array_equal(narrow.utility, wide.utility)


@pytest.mark.parametrize("name", ["probs", "embeddings"])
def test_gradients_from_half_precision_are_those_of_the_same_numbers(name):
    arrays = {"probs": PROBS, "embeddings": EMBEDDINGS, name: ARRAYS[name].astype(np.float16)}
    wide = arrays | {name: arrays[name].astype(np.float32)}
    assert select("badge", 6, **arrays).ids.tolist() == select("badge", 6, **wide).ids.tolist()


def test_a_file_of_half_precision_is_read_in_place(tmp_path, monkeypatch):
    monkeypatch.setattr(farthest_first, "POOL", 2**20)
    x = np.random.default_rng(0).normal(size=(60_000, 64)).astype(np.float16)
    np.save(tmp_path / "x.npy", x)
    select("k_center_greedy", 2, features=x[:3000])  # compile first
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    tracemalloc.start()
    try:
        picked = select("k_center_greedy", 20, features=mapped).ids
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 10 * 2**20  # numbers per row, and some rows in float32; all of them would be 15 MB
    assert picked.tolist() == select("k_center_greedy", 20, features=x.astype(np.float32)).ids.tolist()


# ------------------------------------------------------------------------------------------------------------ bad input


def broken(name: str, rows: Any, value: float) -> np.ndarray:
    array = np.array(ARRAYS[name])
    array[..., rows, :] = value
    return array


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize(
    ("strategy", "name"),
    [
        ("margin", "probs"), ("entropy", "probs"), ("stochastic(margin)", "probs"), ("badge", "probs"),
        ("badge", "embeddings"), ("typiclust", "features"), ("k_center_greedy", "features"),
        ("kmeans_multi_batch", "features"),
    ],
)  # fmt: skip
def test_rows_that_are_not_finite_are_named(strategy, name, value):
    arrays = {**ARRAYS, name: broken(name, [7, 21], value)}
    if strategy == "k_center_greedy":
        del arrays["embeddings"]
    with pytest.raises(DataError, match=r"2 of \d+ rows hold NaN or infinite values, ids 7, 21\."):
        select(strategy, 3, **arrays)


@pytest.mark.parametrize(("strategy", "name"), [("margin", "probs"), ("badge", "embeddings")])
def test_rows_are_named_by_id_and_labelled_ones_do_not_matter_where_they_are_not_read(strategy, name):
    arrays = {**ARRAYS, name: broken(name, [2, 21], np.nan)}
    with pytest.raises(DataError, match=r"1 of 37 rows hold NaN or infinite values, ids 21\."):
        select(strategy, 3, **arrays, labelled=LABELLED)


@pytest.mark.parametrize("strategy", ["margin", "entropy", "least_confidence", "stochastic(margin)", "badge"])
@pytest.mark.parametrize("rows", [[0.5, 0.5, 0.5], [2.0, -1.0, 0.0], [0, 0, 0], [-3.0, 1.0, 5.0]])
def test_probabilities_that_are_none(strategy, rows):
    probs = np.array(PROBS)
    probs[[4, 9]] = rows
    with pytest.raises(DataError, match=r"2 of 40 rows are not probabilities .* ids 4, 9.*logits need a softmax"):
        select(strategy, 3, probs=probs, embeddings=EMBEDDINGS)


def test_features_beyond_the_range_of_single_precision():
    huge = EMBEDDINGS.copy()
    huge[3, 1] = 1e300
    with pytest.raises(DataError, match=r"features as float32.* ids 3\."):
        select("typiclust", 3, features=huge)


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"probs": PROBS, "embeddings": EMBEDDINGS[:-1]}, "probs: 40, embeddings: 39"),
        ({"probs": PROBS, "draws": DRAWS[:, :7]}, "probs: 40, draws: 7"),
        ({"probs": PROBS, "size": 41}, "probs: 40, size: 41"),
        ({"probs": PROBS, "draws": DRAWS[:, :, :2]}, "one number of classes, got probs: 3, draws: 2"),
        ({"probs": PROBS, "classes": 4}, "one number of classes, got probs: 3, classes: 4"),
        ({"features": FEATURES, "classes": 0}, "one number of classes, got classes: 0"),
        ({"features": FEATURES, "classes": -2}, "one number of classes, got classes: -2"),
        ({"draws": PROBS}, r"Expected draws to be numbers of shape \(k, N, c\)"),
        ({"probs": PROBS[:, 0]}, r"Expected probs to be numbers of shape \(N, c\), got float64 of shape \(40,\)"),
        ({"features": 3.0}, r"Expected features .* of shape \(\)"),
        ({"features": FEATURES[None]}, r"of shape \(1, 40, 6\)"),
        ({"features": np.array([["a", "b"]])}, "Expected features to be numbers"),
        ({"features": np.array([[{}, None]])}, "Expected features to be numbers"),
        ({"features": np.ones((3, 2), complex)}, "Expected features to be numbers"),
        ({"features": [[1.0], [1.0, 2.0]]}, r"Expected features of shape \(N, d\)"),
    ],
)
def test_arrays_that_do_not_fit(arrays, words):
    with pytest.raises(DataError, match=words):
        select("random", 3, **arrays)


@pytest.mark.parametrize(
    ("labelled", "labels", "words"),
    [
        ([3, 3], [0, 1], "distinct, but 3 occur more than once"),
        ([40], [0], r"in 0\.\.39, got 40"),
        ([-1], [0], r"in 0\.\.39, got -1"),
        ([1.5], [0], "array of integers, got float64"),
        ([True], [0], "array of integers, got bool"),
        ([[1]], [[0]], "one-dimensional"),
        ([3, 4], [0], r"labels of shape \(1,\) for 2 ids"),
        ([3], [[0]], r"labels of shape \(1, 1\)"),
        ([3], ["cat"], "one integer label"),
        ([3], [1.0], "one integer label"),
        (None, [0], "for 0 ids"),
        ([3, 5], [1, 3], r"labels to be in 0\.\.2, got 3 for ids 5"),
        ([3, 5], [-1, 0], r"labels to be in 0\.\.2, got -1 for ids 3"),
    ],
)
@pytest.mark.parametrize("strategy", ["margin", "random", "typiclust"])
def test_labels_that_do_not_fit(strategy, labelled, labels, words):
    with pytest.raises(DataError, match=words):
        select(strategy, 3, **ARRAYS, labelled=labelled, labels=labels)


@pytest.mark.parametrize("budget", [0, -1, 41, 10**9, 2.0, True, None, "3"])
def test_budgets_that_do_not_fit(budget):
    with pytest.raises(BudgetError, match="between 1 and the 40 candidates"):
        select("margin", budget, probs=PROBS)


def test_a_budget_beyond_what_is_unlabelled():
    with pytest.raises(BudgetError, match="the 37 candidates, got 38"):
        select("margin", 38, probs=PROBS, labelled=LABELLED)
    assert len(select("margin", 37, probs=PROBS, labelled=LABELLED).ids) == 37


def test_nothing_to_select_from():
    with pytest.raises(UsageError, match="size=N for plain draws"):
        select("random", 3)
    with pytest.raises(BudgetError):
        select("random", 1, size=0)


@pytest.mark.parametrize(
    ("strategy", "error", "words"),
    [
        ("margn", UnknownNameError, "Did you mean 'margin'"),
        ("stochastic(margn)", UnknownNameError, "Did you mean 'margin'"),
        ("stochastic(margin, bata=2)", UnknownNameError, "Did you mean 'beta'"),
        ("stochastic(margin, beta='x')", SpecError, r"stochastic\.beta: expected float, got 'x'"),
        ("stochastic(badge)", SpecError, "expected a Scoring"),
        ({"name": "typiclust", "preset": "papr"}, UnknownNameError, "Did you mean 'paper'"),
        ("", SpecError, "cannot read"),
        (3, SpecError, "expected the name of a strategy"),
    ],
)
def test_unknown_names_get_suggestions(strategy, error, words):
    with pytest.raises(error, match=words):
        select(strategy, 3, **ARRAYS)


def test_a_missing_array_is_named():
    with pytest.raises(UnmetNeedError, match=r"pass probs=\(N, c\)\."):
        select("margin", 3, features=FEATURES)
    with pytest.raises(UnmetNeedError, match=r"pass probs=\(N, c\) and embeddings=\(N, d\)\."):
        select("badge", 3, size=N)


def test_one_shot_rules_refuse_labelled_items():
    with pytest.raises(UsageError, match="'kmeans_single_batch' selects a whole budget at once"):
        select("kmeans_single_batch", 3, features=FEATURES, labelled=LABELLED)


def test_the_number_of_classes_is_declared_never_counted():
    """Labels seen so far may lack a class (defect L3)."""
    strategy = wants(Labels())
    with pytest.raises(UsageError, match="pass classes=C"):
        select(strategy, 1, features=FEATURES, labelled=LABELLED, labels=[0, 1, 1])
    select(strategy, 1, features=FEATURES, labelled=LABELLED, labels=[0, 1, 1], classes=4)
    assert strategy.seen[-1].c == 4
    with pytest.raises(UnmetNeedError, match=r"labels=\(l,\)"):
        select(strategy, 1, features=FEATURES, classes=4)


@pytest.mark.parametrize("need", [Labels(frame="candidates"), Labels(frame="all"), Probs(frame="targets")])
def test_what_arrays_say_nothing_about(need):
    with pytest.raises(UnmetNeedError, match="plain arrays say nothing"):
        select(wants(need), 1, **ARRAYS, labelled=LABELLED, labels=LABELS)


def test_the_arrays_of_the_caller_are_left_alone():
    before = {name: array.copy() for name, array in ARRAYS.items()}
    for strategy in NEEDED:
        select(strategy, 5, **ARRAYS)
    assert all(np.array_equal(before[name], ARRAYS[name]) for name in ARRAYS)
    assert all(array.flags.writeable for array in ARRAYS.values())


def test_a_strategy_object_of_ones_own():
    @dataclass(frozen=True, kw_only=True)
    class Last(Strategy):
        skip: int = 0

        def select(self, ev: Any, b: int, key: Any):
            return Picks(len(ev.candidates) - 1 - self.skip - np.arange(b))

    assert select(Last(), 2, size=9).ids.tolist() == [8, 7]
    assert select(replace(Last(), skip=3), 2, size=9).ids.tolist() == [5, 4]
