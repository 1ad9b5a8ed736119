"""The toy: always the same points, and exactly what a session picks of them."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest

from querist.data.manifest import POOL
from querist.errors import UnmetNeedError
from querist.evidence.needs import InputGradients, Probs
from querist.evidence.provider import Fit
from querist.labels.oracle import SimulatedOracle
from querist.report.toy import BUDGETS, BUMPS, CLASSES, GRID, WIDTH, show, toy
from querist.session.session import Session
from querist.strategies.base import Strategy, strategies


def picked(strategy, learner="linear", budgets=BUDGETS):
    """Return what a session asks for at every budget, by ask and tell."""
    data = toy().setting
    session = Session(data, learner=learner, strategy=strategy)
    oracle, found, have = SimulatedOracle(data.dataset.labels, data.dataset.pool), [], 0
    for budget in budgets:
        query = session.ask(budget - have)
        session.tell(oracle.answer(query))
        found.append(query.ids.tolist())
        have = budget
    return found


def test_the_toy_is_always_the_same_and_nobody_labels_its_grid():
    on = toy()
    again = toy.__wrapped__()
    assert on.setting.dataset.fingerprint == again.setting.dataset.fingerprint
    assert on.setting.dataset.manifest.ids(POOL).tolist() == list(range(450))
    assert len(on.grid) == GRID**2
    assert np.bincount(on.labels).tolist() == [154, 154, 120, 22]
    assert on.plane.min() >= 0
    assert on.plane.max() <= 1
    with pytest.raises(Exception, match="outside the pool"):
        SimulatedOracle(on.setting.dataset.labels, on.pool).answer(type("Q", (), {"ids": on.grid[:1]})())


def test_features_are_bumps_and_keep_neighbours_near():
    on = toy()
    x = on.setting.dataset.items[on.pool]
    assert x.shape == (450, BUMPS**2)
    assert x.min() >= 0  # some strategies ask for that
    first = np.exp(-(on.plane[0] ** 2).sum() / (2 * WIDTH**2))
    assert x[0, 0] == pytest.approx(first, rel=1e-5)
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    near = np.linalg.norm(on.plane[:, None] - on.plane[on.pool], axis=2)[on.pool]
    likeness = unit @ unit.T
    for row in range(0, 450, 50):
        nearest = np.argsort(near[row])[1:6]
        assert likeness[row, nearest].min() > np.quantile(likeness[row], 0.9)


@pytest.mark.parametrize(
    ("strategy", "learner"),
    [("random", "linear"), ("margin", "linear"), ("uherding", "linear"), ("typiclust", "linear"),
     ("bald", "committee(members=100)")],
)  # fmt: skip
def test_what_is_shown_is_what_a_session_asks_for(strategy, learner):
    shown = show(strategies.build(strategy))
    assert [stage.picks.tolist() for stage in shown.stages] == picked(strategy, learner)
    assert shown.learner == learner.partition("(")[0]
    have: list[int] = []
    for stage, budget in zip(shown.stages, BUDGETS, strict=True):
        assert stage.before.tolist() == have
        have += stage.picks.tolist()
        assert len(have) == len(set(have)) == budget
        assert len(stage.reasons) in (0, len(stage.picks))


def test_one_shot_starts_afresh_for_every_budget():
    shown = show(strategies.build("kmeans_single_batch"))
    assert [len(stage.before) for stage in shown.stages] == [0] * 4
    assert [stage.picks.tolist() for stage in shown.stages] == [
        picked("kmeans_single_batch", budgets=(budget,))[0] for budget in BUDGETS
    ]


def test_one_answer_at_a_time_where_a_strategy_uses_each():
    shown = show(strategies.build("galaxy"))
    assert [len(stage.picks) for stage in shown.stages] == [4, 8, 24, 64]
    session = Session(toy().setting, strategy="galaxy")
    oracle = SimulatedOracle(toy().setting.dataset.labels, toy().pool)
    session.tell(oracle.answer(first := session.ask(4)))
    assert shown.stages[0].picks.tolist() == first.ids.tolist()
    asked, done = [], None
    while done is None:
        query = session.ask(8)
        assert len(query.ids) == 1
        asked += query.ids.tolist()
        done = session.tell(oracle.answer(query))
    assert shown.stages[1].picks.tolist() == asked
    assert len(shown.stages[1].reasons) == 8


@pytest.mark.parametrize(("strategy", "looks"), [("margin", True), ("max_herding", False)])
def test_regions_are_those_of_a_model_fitted_on_what_was_labelled_before(strategy, looks):
    on = toy()
    shown = show(strategies.build(strategy))
    session = Session(on.setting, strategy=strategy)
    assert [stage.looked for stage in shown.stages] == [False, looks, looks, looks]
    assert shown.stages[0].regions is None
    for stage in shown.stages[1:]:
        labelled = on.setting.view(np.sort(stage.before), on.labels[np.sort(stage.before)])
        model = session.learner.fit(Fit(labelled=labelled, pool=on.setting.view(on.pool), seed=session.seed))
        p = model.provide(Probs(), on.setting.view(on.grid))
        assert stage.regions is not None
        assert stage.regions.shape == (len(CLASSES), GRID, GRID)
        said = stage.regions.reshape(len(CLASSES), -1)
        assert (said.argmax(axis=0) == p.argmax(axis=1)).mean() > 0.999
        for point in range(0, GRID**2, 97):
            for c in range(len(CLASSES)):
                others = np.delete(p[point], c).max()
                assert said[c, point] == pytest.approx(p[point, c] - others, abs=1e-6)


@dataclass(frozen=True, kw_only=True)
class Blind(Strategy):
    """Wants what no learner of the toy has."""

    needs: ClassVar = (InputGradients(),)

    def select(self, ev, b, key):
        raise NotImplementedError


def test_what_no_learner_of_the_toy_offers_is_refused_with_the_reason():
    with pytest.raises(UnmetNeedError, match="no path back to the input"):
        show(Blind())
