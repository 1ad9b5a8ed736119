"""The real strategies, learners and encoders under every spy at once: nothing leaks, and no alarm is false."""

from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import querist
from querist.data.memory import ArrayItems
from querist.errors import UnmetNeedError
from querist.labels.events import QUERY, VALIDATION
from querist.learners.base import learners
from querist.session.session import Session
from querist.strategies.base import strategies
from querist.testing.fakes import FakeEncoder, FakeLearner, fake_dataset
from querist.testing.names import buildable

FROZEN = [card.name for card in learners.cards() if not card.component.trains_backbone]
LEARNERS = [{"name": n, "classifier": "GaussianNB"} if n == "sklearn" else n for n in FROZEN]
SCRATCH = {"name": "scratch", "updates": 3, "batch": 8, "dropout": 0.3}
FAIR = [name for name in buildable() if "oracle" not in strategies.card(name).flags]


def design(name, sizes=(6, 5, 4)):
    """Return how a strategy runs: with a learner that provides what it needs; one-shot rules choose the only query."""
    one_shot = "one_shot" in strategies.card(name).flags
    arguments = {"strategy": name, "initial": name if one_shot else "random"}
    for learner in LEARNERS:
        with suppress(UnmetNeedError):
            Session(fake_dataset(), learner=learner, **arguments)
            return {**arguments, "learner": learner}, (sum(sizes),) if one_shot else sizes
    return pytest.skip("no learner on frozen features provides what it needs")


def verify(watched, reading_test):
    """Check everything the spies of one session saw; test items are read in these phases and no other."""
    pool, test = watched.dataset.pool, watched.dataset.test
    assert np.isin(watched.items.read("fit encoder"), pool).all(), "an encoder was fitted on more than the pool"
    phases = ("", "fit encoder", "encode", "fit", "evidence", "select", "evaluate")
    seen = {phase for phase in phases if np.isin(test, watched.items.read(phase)).any()}
    assert seen == reading_test, "test items were read elsewhere, or the spy saw nothing at all"
    book, asked = watched.book, [i for ids in watched.oracle.asked for i in ids]
    assert asked == [i for query in book.asked for i in query.ids]
    assert len(set(asked)) == len(asked) == len(book.charged) == sum(book.spent.values())
    assert np.isin(asked, pool).all()
    for ids, evidence, key in zip(watched.oracle.asked, watched.evidence, watched.keys, strict=True):
        before = asked[: asked.index(ids[0])]
        training = [i for i in before if book.charged[i] != VALIDATION]
        assert evidence.candidates.tolist() == np.setdiff1d(pool, before).tolist()
        assert evidence.labelled.tolist() == sorted(training)
        assert evidence.read <= evidence.needs
        assert all(np.isin(drawn_for(ids), pool).all() for ids in key.hashed)
    before_tests = [step for step, after in zip(watched.steps, watched.steps[1:], strict=False) if after == "evaluate"]
    queries = sum(query.purpose == QUERY for query in book.asked)
    assert before_tests == ["select"] * queries + ["fit"], "a checkpoint was tested before its query was sealed"


def drawn_for(numbers):
    """Return the ids behind hashed numbers: entries of rows have two axes; classes and clusters count from 0."""
    if numbers.ndim == 2:
        return numbers[:, 0] // numbers.shape[1]
    return numbers[:0] if np.array_equal(numbers, np.arange(len(numbers))) else numbers


@pytest.mark.parametrize("name", buildable())
def test_strategies(watch, name):
    arguments, sizes = design(name)
    verify(watch(**arguments).play(*sizes), {"encode"})
    verify(watch(validation=4, **arguments).play(4, *sizes), {"encode"})


@pytest.mark.parametrize("learner", LEARNERS, ids=str)
def test_learners(watch, learner):
    verify(watch(learner=learner, strategy="margin", initial="random", validation=4).play(4, 12, 5, 4), {"encode"})


def test_a_learner_on_raw_items(watch):
    verify(watch(learner=FakeLearner(), strategy="badge", initial="random").play(6, 5, 4), {"evaluate"})


@pytest.fixture
def images():
    """Grey images, for learners that train a backbone."""
    pytest.importorskip("torch", reason="learners that train a backbone need the extra deep")
    data = fake_dataset(shape=(8, 8))
    x = 128 + 18 * data.items[np.arange(len(data.manifest))]
    return replace(data, items=ArrayItems(np.clip(x, 0, 255).astype(np.uint8)))


@pytest.mark.deep
@pytest.mark.parametrize("strategy", ["badge", "k_center_greedy", "bald"])
def test_a_learner_that_trains_a_backbone(watch, images, strategy):
    arguments = {"learner": SCRATCH, "strategy": strategy, "initial": "random", "validation": 4}
    verify(watch(data=images, **arguments).play(4, 6, 5, 4), {"evaluate"})


@pytest.mark.deep
def test_a_backbone_learns_nothing_from_test_rows_or_labels_nobody_bought(images, twins, record):
    arguments = {"learner": SCRATCH, "strategy": "badge", "initial": "random"}
    one = record(images, **arguments)
    unbought = np.setdiff1d(images.pool, list(one.labels))
    other_test, other_labels = (
        record(data, **arguments) for data in (twins.with_other_test(images), twins.relabelled(images, unbought))
    )
    assert one.asked == other_test.asked == other_labels.asked
    assert one.evaluations == other_labels.evaluations
    assert one.evaluations != other_test.evaluations


@pytest.mark.parametrize("features", ["pixels", "pixels(pca=3)", FakeEncoder()], ids=str)
def test_encoders(watch, features):
    watched = watch(features=features, strategy="typiclust").play(6, 5, 4)
    verify(watched, {"encode"})
    assert bool(watched.items.read("fit encoder")) == (features != "pixels")


@pytest.mark.parametrize("features", ["pixels", "pixels(pca=3)"])
@pytest.mark.parametrize("name", buildable())
def test_other_test_rows_change_no_pick(dataset, twins, record, name, features):
    arguments, sizes = design(name)
    one, other = (record(data, sizes, features, **arguments) for data in (dataset, twins.with_other_test(dataset)))
    assert one.asked == other.asked
    assert one.labels == other.labels
    assert [e.metrics for e in one.evaluations.values()] != [e.metrics for e in other.evaluations.values()]


@pytest.mark.parametrize("name", FAIR)
def test_labels_nobody_bought_change_nothing(dataset, twins, record, name):
    arguments, sizes = design(name)
    one = record(dataset, sizes, validation=3, **arguments)
    unbought = np.setdiff1d(dataset.pool, list(one.labels))
    other = record(twins.relabelled(dataset, unbought), sizes, validation=3, **arguments)
    assert one.asked == other.asked
    assert one.evaluations == other.evaluations


def test_an_oracle_is_seen_by_the_labels_nobody_bought(dataset, twins, record):
    """The check above would see a leak: a rule that is allowed to look at labels fails it."""
    name = "class_uniform_oracle"
    one = record(dataset, strategy=name, initial=name)
    other = record(twins.relabelled(dataset, np.setdiff1d(dataset.pool, list(one.labels))), strategy=name, initial=name)
    assert one.asked != other.asked


@pytest.mark.parametrize("learner", LEARNERS, ids=str)
@pytest.mark.parametrize("name", ["random", "margin", "entropy", "least_confidence", "badge", "stochastic"])
def test_a_class_without_items_changes_nothing(dataset, twins, record, name, learner):
    if name == "badge" and learner != "linear":
        pytest.skip("no gradients")
    data = twins.with_one_more_class(dataset)
    one, other = (record(d, (10, 5, 4), strategy=name, initial="random", learner=learner) for d in (dataset, data))
    assert [query.ids for query in one.asked] == [query.ids for query in other.asked]
    for t, evaluation in one.evaluations.items():
        for metric, value in evaluation.metrics.items():
            if metric != "nll":
                assert value == pytest.approx(other.evaluations[t].metrics[metric], abs=1e-12), (t, metric)


@pytest.mark.parametrize("name", buildable())
def test_sessions_in_turn_equal_sessions_alone(dataset, watch, record, name):
    arguments, sizes = design(name)
    pair = [watch(repeat=i, seed=i, **arguments) for i in range(2)]
    for b in sizes:
        waiting = pair
        while waiting:
            for watched in waiting:
                watched.work(b)
            told = [(w, w.session.tell(w.oracle.answer(w.session.query))) for w in waiting]
            waiting = [watched for watched, finished in told if finished is None]
    for i, watched in enumerate(pair):
        assert watched.book.asked == record(dataset, sizes, **arguments, seed=i, repeat=i).asked


def test_the_seal_is_broken_in_four_files_only():
    """Only the oracle and the evaluator unseal, and the two that make one dataset of another and seal it again.

    Oracles are made only where what they say is charged or flagged.
    """
    house = Path(querist.__file__).parent

    def files_with(words):
        texts = {p.relative_to(house).as_posix(): p.read_text(encoding="utf-8") for p in house.rglob("*.py")}
        return {name for name, text in texts.items() if words in text and not name.startswith("testing/")}

    assert files_with(".unseal(") == {
        "labels/oracle.py",
        "session/evaluator.py",
        "data/variations.py",
        "data/imbalance.py",
    }
    assert files_with("SimulatedOracle(") == {
        "session/desk.py",
        "studies/execute.py",
        "studies/label_sets.py",
        "session/probes.py",
        "session/scorer.py",
        "cli/pool.py",
        "cli/selection.py",
        "report/toy.py",
    }
    assert files_with("Evaluator(") == {"session/setting.py"}
    assert files_with("_SealedArray__") == set()
