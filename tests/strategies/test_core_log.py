"""The expected gain of a proper score on other rows, core_log."""

import numpy as np
import pytest
from scipy.special import rel_entr

import querist
from querist.errors import SpecError
from querist.evidence.evidence import Evidence
from querist.evidence.needs import Draws
from querist.seeds import Seed
from querist.strategies.base import State, choose, strategies
from querist.strategies.core_log import CoreLog
from querist.strategies.epig import Epig
from querist.testing.contract import StrategyContract
from querist.testing.fakes import fake_evidence

NEED = Draws(k=5, coherent=True)


class TestCoreLog(StrategyContract):
    make = CoreLog


class TestTop(StrategyContract):
    def make(self):
        return CoreLog(batch="top", targets=7)


class TestAllClustered(StrategyContract):
    def make(self):
        return CoreLog(share=1.0, targets=60)


def apart(q, p):
    return rel_entr(q, p).sum(axis=-1)


def naive(p_k_n_c, targets):
    """The gain for every row and target: hypothetical labels one after the other, members weighed anew by each."""
    _, n, c = p_k_n_c.shape
    gain = np.zeros((n, len(targets)))
    for i in range(n):
        for y in range(c):
            weight = p_k_n_c[:, i, y]
            if weight.sum():
                after = np.einsum("k,kntc->ntc", weight / weight.sum(), p_k_n_c[:, None, targets])[0]
                gain[i] += weight.mean() * apart(after, p_k_n_c[:, targets].mean(axis=0))
    return gain


@pytest.mark.parametrize("targets", [9, 600])
def test_top_equals_the_definition(targets):
    strategy, key = CoreLog(targets=targets, batch="top"), Seed(0).key()
    ev = fake_evidence(strategy)
    chosen = np.argsort(key.child("targets").hash(ev.candidates))[:targets]
    score = naive(np.stack(ev[NEED]), chosen).mean(axis=1)
    picked = choose(strategy, ev, 60, key)
    assert picked.ids.tolist() == ev.candidates[np.argsort(-score)].tolist()
    assert picked.utility == pytest.approx(np.sort(score)[::-1], rel=1e-8)


def test_one_pick_is_the_best():
    ev = fake_evidence(CoreLog())
    one, best = (choose(CoreLog(batch=batch), ev, 1, Seed(0).key()) for batch in ("diverse", "top"))
    assert one.ids.tolist() == best.ids.tolist()
    assert one.utility.tolist() == best.utility.tolist()


def test_a_batch_has_one_row_of_every_direction():
    """Three groups of rows, each of which tells about its own group alone: the best three are of one group."""
    rng = np.random.default_rng(0)
    sides = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 1]])
    group = np.repeat(np.arange(3), 20)
    strength = np.repeat([0.9, 0.6, 0.6], 20)[None] * (1 - 0.02 * rng.random((1, 60)))
    p = 0.5 + np.where(sides[:, group] == 1, 0.5, -0.5) * strength
    draws = np.stack([p, 1 - p], axis=2)
    spread = querist.select({"name": "core_log", "share": 1.0}, 3, draws=draws)
    assert sorted(group[spread.ids]) == [0, 1, 2]
    top = querist.select({"name": "core_log", "batch": "top"}, 3, draws=draws)
    assert group[top.ids].tolist() == [0, 0, 0]
    assert (spread.utility > 0).all()
    assert top.utility.min() >= spread.utility.max() - 1e-9


def test_directions_and_not_lengths_are_clustered():
    """One group tells a little or a lot, the others always a little: by length, the first would fill the batch."""
    sides = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 1]])
    group = np.repeat(np.arange(3), 20)
    strength = np.concatenate([np.linspace(0.1, 1.0, 20), np.full(40, 0.1)])
    p = 0.5 + np.where(sides[:, group] == 1, 0.5, -0.5) * strength
    draws = np.stack([p, 1 - p], axis=2)
    for seed in range(5):
        spread = querist.select({"name": "core_log", "share": 1.0}, 3, draws=draws, seed=seed)
        assert sorted(group[spread.ids]) == [0, 1, 2]


def test_only_the_best_share_is_clustered():
    ev = fake_evidence(CoreLog(), n=60)
    best = choose(CoreLog(batch="top"), ev, 12, Seed(0).key()).ids
    picked = choose(CoreLog(share=0.2), ev, 5, Seed(0).key()).ids
    assert np.isin(picked, best).all()


@pytest.mark.parametrize("share", [0.05, 1.0])
def test_C1_C2_N10_members_that_are_the_same_still_give_a_whole_batch(share):
    """Nothing is told about any target, so there is no direction to cluster by and no medoid but one."""
    p = np.random.default_rng(0).dirichlet(np.ones(4), size=30)
    for b in (2, 17, 30):
        picked = querist.select({"name": "core_log", "share": share}, b, draws=np.stack([p] * 5))
        assert len(set(picked.ids.tolist())) == b
        assert not picked.utility.any()
        assert "differs from the other picks or is drawn at random" in picked.reasons[-1]


def test_R2_the_key_decides_everything_that_is_drawn():
    draws = np.random.default_rng(0).dirichlet(np.ones(4), size=(5, 400))
    picks = [querist.select({"name": "core_log", "targets": 20}, 6, draws=draws, seed=seed) for seed in (0, 0, 1)]
    assert picks[0].ids.tolist() == picks[1].ids.tolist()
    assert picks[0].ids.tolist() != picks[2].ids.tolist()


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_N1_certain_members(dtype):
    sure, other = np.eye(3)[[0, 1, 0]], np.eye(3)[[1, 0, 0]]
    ev = Evidence(np.arange(3), {NEED: [sure.astype(dtype), other.astype(dtype)]}, c=3)
    picked = choose(CoreLog(batch="top"), ev, 3, Seed(0).key())
    assert sorted(picked.ids.tolist()[:2]) == [0, 1]
    assert picked.utility == pytest.approx([2 / 3 * np.log(2)] * 2 + [0.0])


def test_C18_C19_settings():
    assert strategies.build({"name": "core_log", "preset": "paper"}) == CoreLog(k=5, targets=600)
    assert CoreLog(k=3).needs_at(State()) == (Draws(k=3, coherent=True),)
    with pytest.raises(SpecError, match="share to be above 0"):
        CoreLog(share=0.0)
    with pytest.raises(SpecError, match="iterations to be 1"):
        CoreLog(iterations=0)


def test_equals_epig_on_the_same_targets():
    draws = [Draws(k=5, coherent=True)]
    ev = fake_evidence(draws, n=80)
    for targets in (10, 80):
        key = Seed(4).key()
        one = choose(CoreLog(batch="top", targets=targets), ev, 30, key)
        other = choose(Epig(k=5, targets=targets), ev, 30, key)
        assert one.ids.tolist() == other.ids.tolist()
        assert one.utility.tolist() == other.utility.tolist()
