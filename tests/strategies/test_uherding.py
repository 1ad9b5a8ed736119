"""Uncertainty herding."""

import numpy as np
import pytest

from querist.errors import SpecError
from querist.evidence.evidence import Evidence
from querist.evidence.needs import Features, Labels, Probs
from querist.kernels.calibration import best_temperature, tempered
from querist.kernels.logistic import fit_logistic
from querist.kernels.radius_graph import least_distance, typical_distance
from querist.seeds import Seed
from querist.strategies import uherding as module
from querist.strategies.base import State, choose, strategies
from querist.strategies.max_herding import MaxHerding
from querist.strategies.uherding import PAPER, ROBUST, UHerding
from querist.testing.contract import StrategyContract

UNIT = Features(frame="all")


class TestUHerding(StrategyContract):
    make = UHerding
    cold = True


class TestPaperUHerding(StrategyContract):
    make = staticmethod(lambda: strategies.build({"name": "uherding", "preset": "paper"}))
    cold = True


class TestUHerdingWithoutTemperature(StrategyContract):
    make = staticmethod(lambda: UHerding(temperature="none"))
    deterministic = True
    cold = True


def directions(n, d=5, seed=0):
    x = np.random.default_rng(seed).normal(size=(n, d))
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)


def evidence(x, labelled=(), p=None, y=None, c=3):
    labelled = np.array(labelled, np.int64)
    candidates = np.setdiff1d(np.arange(len(x)), labelled)
    values = {UNIT: x}
    if p is not None:
        y = np.random.default_rng(1).integers(0, c, len(labelled)) if y is None else y
        values |= {Probs(): p[candidates], Labels(): y}
    return Evidence(candidates, values, labelled=labelled, c=c)


def some_probs(n, c=3, seed=0):
    return np.random.default_rng(seed).dirichlet(np.ones(c), n)


def margin(p):
    top = np.sort(p, axis=1)
    return 1 - (top[:, -1] - top[:, -2])


@pytest.fixture
def used(monkeypatch):
    """The widths and temperatures that selections used."""
    seen, gaussian = {"sigma": [], "t": []}, module.gaussian

    def width(sigma):
        seen["sigma"].append(sigma)
        return gaussian(sigma)

    def warm(p, t):
        seen["t"].append(t)
        return tempered(p, t)

    monkeypatch.setattr(module, "gaussian", width)
    monkeypatch.setattr(module, "tempered", warm)
    return seen


@pytest.mark.parametrize("settings", [{"radius": "paper", "temperature": "paper"}, {}])
def test_equals_naive_weighted_herding(settings, used):
    x, p, labelled = directions(80), some_probs(80), [3, 9, 20, 31, 40, 50, 61, 70, 75]
    tie = Seed(0).key().hash(np.arange(80))
    picked = choose(UHerding(**settings), evidence(x, labelled, p), 40, Seed(0).key())
    (sigma,), (t,) = used["sigma"], used["t"]
    gap = np.square(x[:, None].astype(float) - x[None].astype(float)).sum(axis=2)
    apart = np.sqrt(gap[np.ix_(labelled, labelled)])
    if settings:
        assert sigma == pytest.approx(apart[apart > 0].min())
        assert t in PAPER
    else:
        assert sigma == pytest.approx(np.sort(apart, axis=1)[:, 1].min())  # the lowest of nine
        assert t in ROBUST
    u = margin(p ** (1 / t) / (p ** (1 / t)).sum(axis=1, keepdims=True))
    u[labelled] = 0
    like = np.exp(-gap / sigma**2)
    covered = like[:, labelled].max(axis=1)
    for row, utility in zip(picked.ids, picked.utility, strict=True):
        gain = (u[:, None] * np.maximum(like - covered[:, None], 0)).mean(axis=0)
        gain[labelled] = -1
        assert utility == pytest.approx(gain[row], rel=1e-9)
        tied = np.flatnonzero(gain >= gain.max() - 1e-12)  # nearest neighbours of one another gain the same
        assert row == tied[tie[tied].argmin()]
        covered = np.maximum(covered, like[:, row])
    assert picked.reasons[0] == f"it raises the coverage of what the model is unsure about by {picked.utility[0]:.3g}"


def test_before_there_is_a_model_it_is_max_herding():
    for labelled in ([], [4, 8, 19]):
        ev = evidence(directions(90), labelled)
        sigma = least_distance(directions(90)[labelled]) or 1.0
        herding = choose(MaxHerding(sigma=sigma), ev, 30, Seed(0).key())
        picked = choose(UHerding(radius="paper"), ev, 30, Seed(0).key())
        assert picked.ids.tolist() == herding.ids.tolist()
        np.testing.assert_array_equal(picked.utility, herding.utility)


def test_with_constant_uncertainty_it_is_max_herding():
    x, labelled = directions(90), [4, 8, 19, 33]
    ev = evidence(x, labelled, np.tile([0.5, 0.3, 0.2], (90, 1)))
    sigma = least_distance(x[labelled])
    herding = choose(MaxHerding(sigma=sigma), ev, 40, Seed(0).key())
    picked = choose(UHerding(radius="paper", temperature="none"), ev, 40, Seed(0).key())
    assert picked.ids.tolist() == herding.ids.tolist()
    np.testing.assert_allclose(picked.utility, 0.8 * herding.utility, rtol=1e-9)


def test_a_vanishing_radius_leaves_the_margin(monkeypatch):
    monkeypatch.setattr(module, "least_distance", lambda x: 1e-9)
    p = some_probs(400, seed=3)
    picked = choose(
        UHerding(radius="paper", temperature="none"), evidence(directions(400), range(6), p), 60, Seed(0).key()
    )
    expected = margin(p)
    expected[:6] = -1
    assert picked.ids.tolist() == np.argsort(-expected)[:60].tolist()
    np.testing.assert_allclose(picked.utility, np.sort(expected)[::-1][:60] / 400, rtol=1e-9)


def test_certain_rows_count_nothing_and_the_batch_is_completed_farthest_first():
    p = np.eye(3)[np.arange(50) % 3]
    picked = choose(UHerding(), evidence(directions(50), range(5), p), 9, Seed(0).key())
    assert picked.utility.tolist() == [0] * 9
    assert picked.reasons[0].startswith("everything is covered")


@pytest.mark.parametrize("preset", ["paper", "robust"])
@pytest.mark.parametrize("labelled", [1, 2, 3, 4])
def test_M14_the_smallest_labelled_sets_work(preset, labelled, used):
    strategy = strategies.build({"name": "uherding", "preset": preset})
    x = directions(40)
    for y in (np.zeros(labelled, np.int64), np.arange(labelled) % 3):
        picked = choose(strategy, evidence(x, range(labelled), some_probs(40), y), 6, Seed(0).key())
        assert len(set(picked.ids.tolist())) == 6
    assert used["sigma"][0] == (1.0 if labelled == 1 else pytest.approx(least_distance(x[:labelled])))
    assert used["t"][0] == 1.0  # one class only says nothing about temperature


def test_M14_a_planted_pair_of_duplicates_does_not_change_the_radius(used):
    x, labelled = directions(80), list(range(20))
    planted = np.concatenate([x, x[:1] * np.float32(1 + 1e-5)])
    for points, ids in ((x, labelled), (planted, [*labelled, 80])):
        choose(UHerding(), evidence(points, ids), 3, Seed(0).key())
        choose(UHerding(radius="paper"), evidence(points, ids), 3, Seed(0).key())
    robust, paper, robust_planted, paper_planted = used["sigma"]
    assert robust_planted == robust == typical_distance(x[:20])
    assert paper_planted < 1e-3 * paper


def test_M14_the_split_is_random_by_key_and_not_by_age(used):
    rng = np.random.default_rng(0)
    x, p = directions(300), some_probs(300)
    y = np.where(rng.random(60) < 0.7, x[:60, :3].argmax(axis=1), rng.integers(0, 3, 60))
    ev = evidence(x, range(60), p, y)
    for seed in range(6):
        choose(UHerding(), ev, 3, Seed(seed).key())
        key = Seed(seed).key().child("split")
        order = np.argsort(key.hash(np.arange(60)))
        fitted, held = np.sort(order[:42]), order[42:]
        head = fit_logistic(x[fitted], y[fitted], 3, 20.0)
        z = x[held].astype(float) @ head.coef.T + head.intercept
        q = np.exp(z - z.max(axis=1, keepdims=True))
        q /= q.sum(axis=1, keepdims=True)
        assert used["t"][seed] == best_temperature(q, y[held], ROBUST)
    assert len(set(used["t"])) > 1


def test_M14_overconfident_and_underconfident_heads_get_temperatures_above_and_below_one(used):
    rng = np.random.default_rng(0)
    x = directions(700, d=3)
    noise = rng.integers(0, 3, 600)
    choose(UHerding(), evidence(x, range(600), some_probs(700), noise), 3, Seed(0).key())
    clear = x[:600].argmax(axis=1)
    choose(UHerding(penalty=0.01), evidence(x, range(600), some_probs(700), clear), 3, Seed(0).key())
    choose(
        UHerding(penalty=0.01, temperature="paper"), evidence(x, range(600), some_probs(700), clear), 3, Seed(0).key()
    )
    assert used["t"][1] < 0.5
    assert used["t"][2] == 1.0, "the temperatures of the paper end at 1"
    x = directions(60, d=40)
    choose(UHerding(penalty=1000.0), evidence(x, range(50), some_probs(60), rng.integers(0, 3, 50)), 3, Seed(0).key())
    assert used["t"][3] > 1.5


def test_C18_every_setting_matters():
    x, p = directions(300), some_probs(300)
    y = (3 * np.random.default_rng(0).random(40)).astype(np.int64)
    picks = [
        tuple(choose(UHerding(**s), evidence(x, range(40), p, y), 12, Seed(0).key()).utility)
        for s in ({}, {"radius": "paper"}, {"temperature": "none"}, {"penalty": 0.01})
    ]
    assert len(set(picks)) == 4
    for wrong in (0.0, -1.0, float("inf")):
        with pytest.raises(SpecError, match="penalty"):
            UHerding(penalty=wrong)


def test_needs_follow_the_state():
    cold, warm = State(), State(round=1, n_labelled=5, has_model=True)
    assert UHerding().needs_at(cold) == (UNIT,)
    assert UHerding().needs_at(warm) == (UNIT, Probs(), Labels())
    assert UHerding(temperature="none").needs_at(warm) == (UNIT, Probs())


def test_C19_presets_are_frozen():
    assert strategies.build({"name": "uherding", "preset": "paper"}) == UHerding(radius="paper", temperature="paper")
    assert strategies.build({"name": "uherding", "preset": "robust"}) == UHerding(radius="robust", temperature="robust")
    np.testing.assert_allclose(PAPER[[0, 1, -1]], [1.0, 1.1, 19.9])
    assert len(PAPER) == 190
    assert ROBUST.min() == 1 / 16
    assert ROBUST.max() == 16
