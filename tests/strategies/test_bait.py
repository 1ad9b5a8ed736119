"""BAIT."""

import numpy as np
import pytest

from querist.errors import SpecError
from querist.evidence.evidence import Evidence
from querist.evidence.needs import Embeddings, Features, Probs
from querist.kernels.fisher import forward_backward, information
from querist.seeds import Seed
from querist.strategies.bait import Bait
from querist.strategies.base import State, choose, strategies
from querist.testing.contract import StrategyContract

KEY = Seed(0).key()
P, X = Probs(frame="all"), Features(frame="all")


class TestBait(StrategyContract):
    make = Bait
    deterministic = True


class TestSmallBait(StrategyContract):
    make = staticmethod(lambda: Bait(parameters=8, limit=20, oversampling=1.0))
    deterministic = False


def evidence(n=60, c=3, d=4, labelled=6, seed=0):
    rng = np.random.default_rng(seed)
    p, x = rng.dirichlet(np.full(c, 0.6), n), rng.normal(size=(n, d)).astype(np.float32)
    taken = np.sort(rng.choice(n, labelled, replace=False))
    return Evidence(np.setdiff1d(np.arange(n), taken), {P: p, X: x}, labelled=taken, c=c)


def test_the_labelled_rows_and_the_pool_enter_as_published():
    ev, b = evidence(), 5
    picked = choose(Bait(ridge=0.5), ev, b, KEY)
    p, x = ev[P], ev[X].astype(np.float64)
    labelled, rows = ev.rows("labelled"), ev.rows("candidates")
    fisher = information(p, x) / 60
    known = 0.5 * np.eye(12) + information(p[labelled], x[labelled]) / 6 * 6 / (6 + b)
    batch = forward_backward(p[rows], x[rows], fisher, known, b / (6 + b), KEY.hash(ev.candidates), b, forward=10)
    assert picked.ids.tolist() == ev.candidates[batch.rows].tolist()
    np.testing.assert_allclose(picked.utility, batch.gain)


def test_Q17_classes_times_axes_stay_within_parameters(monkeypatch):
    from querist.strategies import bait

    seen = []
    plain = bait.forward_backward
    monkeypatch.setattr(
        bait, "forward_backward", lambda p, z, *rest, **named: seen.append(z.shape) or plain(p, z, *rest, **named)
    )
    for parameters in (6, 10, 999):
        choose(Bait(parameters=parameters), evidence(), 4, KEY)
    choose(Bait(parameters=1), evidence(), 4, KEY)
    assert seen == [(54, 2), (54, 3), (54, 4), (54, 1)]


def test_Q16_of_many_candidates_a_sample_is_looked_at_and_never_too_few():
    ev = evidence(400)
    small = [choose(Bait(limit=30), ev, 5, Seed(seed).key()).ids for seed in range(40)]
    assert len({tuple(ids) for ids in small}) > 30
    assert len(choose(Bait(limit=3), ev, 40, KEY).ids) == 40
    everything = choose(Bait(), ev, 5, KEY)
    assert everything.ids.tolist() == choose(Bait(limit=394), ev, 5, Seed(9).key()).ids.tolist()


def test_embeddings_where_the_learner_has_them():
    state = State(round=1, n_labelled=5, has_model=True)
    assert Bait(space="embeddings").needs_at(state) == (P, Embeddings(frame="all"))
    assert Bait(space="features").needs_at(state) == (P, X)


def test_C18_C19_every_setting_matters():
    assert strategies.build({"name": "bait", "preset": "paper"}) == Bait(ridge=1.0, oversampling=2.0)
    assert strategies.build({"name": "bait", "preset": "paper_cifar"}) == Bait(ridge=0.01)
    ev = evidence(300, 3, 6)
    settings = ({}, {"ridge": 1e-3}, {"oversampling": 1.0}, {"parameters": 6}, {"limit": 40})
    assert len({tuple(choose(Bait(**s), ev, 12, KEY).ids) for s in settings}) == len(settings)
    for wrong in ({"ridge": 0.0}, {"oversampling": 0.5}, {"parameters": 0}, {"limit": 0}):
        with pytest.raises(SpecError, match=next(iter(wrong))):
            Bait(**wrong)
