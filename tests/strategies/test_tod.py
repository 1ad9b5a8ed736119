"""Temporal output discrepancy."""

import numpy as np
import pytest

import querist
from querist.errors import UnmetNeedError
from querist.evidence.evidence import Evidence
from querist.evidence.needs import Logits, Previous, Probs
from querist.labels.oracle import SimulatedOracle
from querist.seeds import Seed
from querist.session.session import Session
from querist.session.setting import Setting
from querist.strategies.base import State, choose, strategies
from querist.strategies.random import Random
from querist.strategies.tod import TOD
from querist.testing.contract import StrategyContract
from querist.testing.fakes import FakeLearner, fake_dataset, fake_evidence

NOW, THEN = Probs(), Previous(need=Probs())


class TestTOD(StrategyContract):
    make = TOD


class TestTODOnLogits(StrategyContract):
    @staticmethod
    def make():
        return TOD(space="logits")


def between(p, q):
    """Evidence of the probabilities of two models."""
    return Evidence(np.arange(len(p)), {NOW: p, THEN: q}, c=p.shape[1])


def test_twin_in_float64():
    ev = fake_evidence(TOD(), dtype="float32")
    p, q = ev[NOW].astype(float).tolist(), ev[THEN].astype(float).tolist()
    score = [0.5 * sum((a - b) ** 2 for a, b in zip(x, y, strict=True)) for x, y in zip(p, q, strict=True)]
    order = sorted(range(60), key=lambda i: -score[i])
    picked = choose(TOD(), ev, 60, Seed(0).key())
    assert picked.ids.tolist() == ev.candidates[order].tolist()
    assert picked.utility == pytest.approx([score[i] for i in order], rel=1e-12)


def test_identical_models_give_zero_and_a_keyed_random_batch():
    p = np.random.default_rng(0).dirichlet(np.ones(4), size=50)
    for seed in range(5):
        key = Seed(seed).key()
        picked = choose(TOD(), between(p, p.copy()), 12, key)
        assert picked.utility.tolist() == [0.0] * 12
        assert picked.ids.tolist() == choose(Random(), between(p, p), 12, key).ids.tolist()


def test_symmetric_in_the_two_models_and_bounded_by_one():
    rng = np.random.default_rng(1)
    p, q = (rng.dirichlet(np.full(5, 0.1), size=200) for _ in range(2))
    forth, back = (choose(TOD(), between(*pair), 200, Seed(0).key()) for pair in ((p, q), (q, p)))
    assert forth.ids.tolist() == back.ids.tolist()
    assert forth.utility.tolist() == back.utility.tolist()
    assert forth.utility.max() <= 1.0
    extreme = choose(TOD(), between(np.eye(3)[[0, 1, 2]], np.eye(3)[[1, 1, 0]]), 3, Seed(0).key())
    assert sorted(extreme.utility.tolist()) == [0.0, 1.0, 1.0]


def test_half_precision_does_not_swallow_small_changes():
    p = np.array([[0.5, 0.5], [0.5, 0.5]], np.float16)
    q = np.array([[0.5005, 0.4995], [0.5, 0.5]], np.float16)
    picked = choose(TOD(), between(p, q), 2, Seed(0).key())
    assert picked.ids[0] == 0
    assert picked.utility[0] > 0


def test_logits_see_changes_where_probabilities_are_saturated_but_no_common_shift():
    now, then = np.array([[1.0, 2.0], [0.0, 40.0]]), np.array([[5.0, 6.0], [0.0, 60.0]])
    needs = {Logits(): now, Previous(need=Logits()): then}
    picked = choose(TOD(space="logits"), Evidence(np.arange(2), needs, c=2), 2, Seed(0).key())
    assert picked.ids.tolist() == [1, 0]
    assert picked.utility == pytest.approx([100.0, 0.0])


def test_C19_presets():
    assert strategies.build({"name": "tod", "preset": "paper"}) == TOD(space="logits")
    assert strategies.build({"name": "tod", "preset": "S2"}) == TOD()


def test_needs_begin_with_the_second_round():
    for state in (State(round=-1), State(round=0, n_labelled=9, has_model=True)):
        assert TOD().needs_at(state) == ()
    assert TOD().needs_at(State(round=1, n_labelled=9, has_model=True)) == (NOW, THEN)
    assert TOD(space="logits").needs_at(State(round=3)) == (Logits(), Previous(need=Logits()))


def test_arrays_of_one_round_are_refused():
    with pytest.raises(UnmetNeedError, match=r"(?s)Previous\(.*use it in a Session or a study"):
        querist.select("tod", 2, probs=np.full((5, 2), 0.5))


def test_C16_a_session_compares_the_models_of_two_rounds():
    """By hand: both models fitted on what was labelled when their rounds began, on today's candidates."""
    setting = Setting(fake_dataset())
    oracle = SimulatedOracle(setting.dataset.labels, setting.dataset.pool)
    session = Session(setting, learner=FakeLearner(temperature=5.0), strategy="tod", seed=2)
    models, drawn = [], Session(setting, learner=FakeLearner(), strategy="random", seed=2)
    assert session.ask(6).ids.tolist() == drawn.ask(6).ids.tolist(), "its initial pool is not that of random"
    assert set(session.query.reasons) == {
        "drawn at random: there is no earlier round to compare with, or nothing changed since"
    }
    session.tell(oracle.answer(session.query))
    for number in range(4):
        models.append(FakeLearner(temperature=5.0).fit(session._fit_job().fit))
        rows = setting.view(session.candidates)
        query = session.ask(5)
        utility = session.book.asked[-1].utility
        if number == 0:
            assert utility == (0.0,) * 5
        else:
            p, q = (model.provide(Probs(), rows) for model in models[-1:-3:-1])
            score = 0.5 * ((p - q) ** 2).sum(axis=1)
            best = np.argsort(-score)[:5]
            assert query.ids.tolist() == rows.ids[best].tolist()
            assert utility == pytest.approx(score[best])
            assert query.reasons[0].startswith("the model changed its mind")
        session.tell(oracle.answer(query))


def test_score_of_a_state_without_a_past_is_flat():
    ev = fake_evidence(())
    assert TOD().score(ev).tolist() == [0.0] * 60
