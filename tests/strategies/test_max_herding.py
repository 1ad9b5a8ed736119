"""MaxHerding."""

import numpy as np
import pytest

from querist.errors import SpecError
from querist.evidence.evidence import Evidence
from querist.evidence.needs import Features
from querist.kernels.coverage import top_hat
from querist.seeds import Seed
from querist.strategies import max_herding as module
from querist.strategies.base import choose, strategies
from querist.strategies.max_herding import MaxHerding
from querist.strategies.prob_cover import ProbCover
from querist.testing.contract import StrategyContract


class TestMaxHerding(StrategyContract):
    make = MaxHerding
    deterministic = True
    cold = True


class TestNarrowMaxHerding(StrategyContract):
    make = staticmethod(lambda: MaxHerding(sigma=0.05))
    cold = True


def evidence(x, labelled=()):
    labelled = np.array(labelled, np.int64)
    return Evidence(np.setdiff1d(np.arange(len(x)), labelled), {Features(frame="all"): x}, labelled=labelled, c=2)


def directions(n, d=5, seed=0):
    x = np.random.default_rng(seed).normal(size=(n, d))
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)


@pytest.mark.parametrize("sigma", [0.3, 1.0])
@pytest.mark.parametrize("labelled", [(), (3, 8, 20)])
def test_equals_naive_herding_and_gains_never_increase(sigma, labelled):
    x, tie = directions(70), Seed(0).key().hash(np.arange(70))
    like = np.exp(-np.square(x[:, None].astype(float) - x[None].astype(float)).sum(axis=2) / sigma**2)
    picked = choose(MaxHerding(sigma=sigma), evidence(x, labelled), 40, Seed(0).key())
    covered = like[:, list(labelled)].max(axis=1, initial=0)
    for row, utility in zip(picked.ids, picked.utility, strict=True):
        gain = np.maximum(like - covered[:, None], 0).mean(axis=0)
        gain[list(labelled)] = -1
        assert utility == pytest.approx(gain[row], rel=1e-9)
        tied = np.flatnonzero(gain >= gain.max() - 1e-12)  # nearest neighbours of one another gain the same
        assert row == tied[tie[tied].argmin()]
        covered = np.maximum(covered, like[:, row])
    assert (np.diff(picked.utility) <= 0).all()
    if not labelled:
        assert picked.ids[0] == like.mean(axis=0).argmax()


@pytest.mark.parametrize("delta", [0.2, 0.6, 1.1])
@pytest.mark.parametrize("labelled", [0, 7])
def test_with_a_top_hat_it_is_prob_cover(delta, labelled, monkeypatch):
    monkeypatch.setattr(module, "gaussian", lambda sigma: top_hat(delta))
    ev = evidence(np.repeat(directions(150, d=3), 2, axis=0), range(labelled))
    herding = choose(MaxHerding(), ev, 120, Seed(0).key())
    cover = choose(ProbCover(delta=delta), ev, 120, Seed(0).key())
    assert herding.ids.tolist() == cover.ids.tolist()
    np.testing.assert_allclose(300 * herding.utility, cover.utility, rtol=1e-12)


def test_Q16_no_candidate_is_left_out():
    x = np.concatenate([np.repeat(directions(1), 3000, axis=0), -directions(1)])
    picked = choose(MaxHerding(sigma=0.2), evidence(x), 2, Seed(0).key())
    assert picked.ids[1] == 3000
    assert picked.utility.tolist() == pytest.approx([3000 / 3001, 1 / 3001])
    assert picked.reasons[1] == "it raises the mean coverage of the pool by 0.000333"


def test_C18_the_width_matters_and_must_be_a_width():
    ev = evidence(directions(200, d=3), range(5))
    picks = [choose(MaxHerding(sigma=s), ev, 9, Seed(0).key()).ids.tolist() for s in (0.1, 0.4, 1.0)]
    assert len(set(map(tuple, picks))) == 3
    for wrong in (0.0, -1.0, float("inf"), float("nan")):
        with pytest.raises(SpecError, match="positive and finite"):
            MaxHerding(sigma=wrong)


def test_C19_presets_are_frozen():
    assert strategies.build({"name": "max_herding", "preset": "paper"}) == MaxHerding(sigma=1.0)
