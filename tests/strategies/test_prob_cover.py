"""ProbCover."""

import numpy as np
import pytest

from querist.errors import SpecError, UsageError
from querist.evidence.evidence import Evidence
from querist.evidence.needs import Features
from querist.kernels.kmeans import kmeans
from querist.seeds import Seed
from querist.strategies import prob_cover as module
from querist.strategies.base import choose, strategies
from querist.strategies.prob_cover import ProbCover
from querist.testing.contract import StrategyContract


class TestProbCover(StrategyContract):
    make = ProbCover
    cold = True


class TestProbCoverOfOneRadius(StrategyContract):
    make = staticmethod(lambda: ProbCover(delta=0.5))
    cold = True


class TestProbCoverThatCoversAll(StrategyContract):
    make = staticmethod(lambda: ProbCover(delta=5.0))
    cold = True


def evidence(x, labelled=(), c=3):
    labelled = np.array(labelled, np.int64)
    return Evidence(np.setdiff1d(np.arange(len(x)), labelled), {Features(frame="all"): x}, labelled=labelled, c=c)


def directions(n, d=3, seed=0):
    x = np.random.default_rng(seed).normal(size=(n, d))
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)


def distances(x):
    return np.sqrt(np.square(x[:, None].astype(float) - x[None].astype(float)).sum(axis=2))


@pytest.mark.parametrize("n", [30, 65, 200])
@pytest.mark.parametrize("labelled", [(), (3, 8, 20)])
def test_M11_M12_every_step_equals_brute_force(n, labelled):
    x, key = directions(n), Seed(0).key()
    ball, tie = distances(x) < 0.6, key.hash(np.arange(n))
    picked = choose(ProbCover(delta=0.6), evidence(x, labelled), n - 5, key)
    covered, open_ = ball[:, list(labelled)].any(axis=1), np.ones(n, bool)
    open_[list(labelled)] = False
    for row, utility in zip(picked.ids, picked.utility, strict=True):
        degree = (ball & ~covered).sum(axis=1)
        assert utility == degree[open_].max()
        if utility == 0:
            break
        tied = np.flatnonzero(open_ & (degree == utility))
        assert row == tied[tie[tied].argmin()]
        covered, open_[row] = covered | ball[row], False
    assert len(set(picked.ids.tolist())) == n - 5


def test_C3_when_all_is_covered_it_goes_on_farthest_first_among_the_unlabelled():
    x = directions(50)
    picked = choose(ProbCover(delta=3.0), evidence(x, [7]), 5, Seed(0).key())
    assert picked.utility.tolist() == [0] * 5
    assert picked.ids[0] == distances(x)[7].argmax()
    assert picked.reasons[0].startswith("everything is covered")
    picked = choose(ProbCover(delta=3.0), evidence(x), 5, Seed(0).key())
    assert picked.utility.tolist() == [50, 0, 0, 0, 0]
    assert picked.reasons[0] == "its ball holds 50 rows that no other ball holds"


def test_C3_without_edges_every_row_covers_itself_and_ties_go_by_hash():
    x, key = directions(20), Seed(4).key()
    picked = choose(ProbCover(delta=1e-6), evidence(x), 20, key)
    assert picked.utility.tolist() == [1] * 20
    assert picked.ids.tolist() == np.argsort(key.hash(np.arange(20))).tolist()


@pytest.mark.parametrize("labelled", [0, 6])
def test_too_many_edges_for_a_graph_take_longer_and_pick_the_same(labelled, monkeypatch):
    ev = evidence(np.repeat(directions(150), 2, axis=0), range(labelled))
    with_graph = choose(ProbCover(delta=0.4), ev, 90, Seed(0).key())
    monkeypatch.setattr(module, "DEGREE", 1)
    monkeypatch.setattr(module, "cover_greedily", None)
    without = choose(ProbCover(delta=0.4), ev, 90, Seed(0).key())
    assert without.ids.tolist() == with_graph.ids.tolist()
    assert without.utility.tolist() == with_graph.utility.tolist()


def radius(strategy, ev, monkeypatch, key=None):
    """The radius a selection used."""
    used, graph = [], module.radius_graph

    def spy(x, delta, **settings):
        used.append(delta)
        return graph(x, delta, **settings)

    with monkeypatch.context() as patch:
        patch.setattr(module, "radius_graph", spy)
        choose(strategy, ev, 3, key or Seed(0).key())
    return used[0]


@pytest.mark.parametrize("purity", [0.5, 0.8, 0.95, 1.0])
def test_the_radius_is_the_largest_at_which_enough_balls_hold_one_cluster(purity, monkeypatch):
    x, key = directions(200), Seed(0).key()
    delta = radius(ProbCover(purity=purity), evidence(x), monkeypatch)
    label = kmeans(x, 3, key.child("radius").generator()).label_N

    def share(at):
        return 1 - ((distances(x) < at) & (label[:, None] != label)).any(axis=1).mean()

    assert share(delta) >= purity
    assert share(delta * (1 + 1e-6)) < purity


def test_the_radius_is_at_most_one_and_as_given_if_it_is(monkeypatch):
    ends = np.repeat(np.array([[1.0, 0.0], [-1.0, 0.0]], np.float32), 10, axis=0)
    assert radius(ProbCover(), evidence(ends, c=2), monkeypatch) == 1
    assert radius(ProbCover(delta=0.123), evidence(ends, c=2), monkeypatch) == 0.123


def test_large_pools_look_at_a_sample_of_balls(monkeypatch):
    x = directions(3000)
    exact = radius(ProbCover(purity=0.8), evidence(x), monkeypatch)
    monkeypatch.setattr(module, "BALLS", 600)
    sampled = radius(ProbCover(purity=0.8), evidence(x), monkeypatch)
    assert sampled != exact
    assert sampled == pytest.approx(exact, rel=0.3)
    other = radius(ProbCover(purity=0.8), evidence(x), monkeypatch, Seed(1).key())
    assert other != sampled


def test_L3_the_number_of_classes_is_declared_or_else_the_radius(monkeypatch):
    x = directions(100)
    deltas = {c: radius(ProbCover(), evidence(x, c=c), monkeypatch) for c in (2, 5, 20)}
    assert deltas[2] != deltas[5] > deltas[20]
    with pytest.raises(UsageError, match="pass classes=C, or set its delta"):
        choose(ProbCover(), evidence(x, c=1), 3, Seed(0).key())
    assert len(choose(ProbCover(delta=0.3), evidence(x, c=1), 3, Seed(0).key()).ids) == 3
    assert len(choose(ProbCover(), evidence(x[:5], c=9), 3, Seed(0).key()).ids) == 3


@pytest.mark.parametrize(
    "wrong", [{"delta": 0.0}, {"delta": -1.0}, {"delta": np.inf}, {"purity": 0.0}, {"purity": 1.1}]
)
def test_C18_settings_must_make_sense(wrong):
    with pytest.raises(SpecError, match=f"Expected {next(iter(wrong))} to be"):
        ProbCover(**wrong)


@pytest.mark.parametrize(
    ("preset", "delta"),
    [
        ("paper", None), ("cifar10_simclr", 0.75), ("cifar10_scan", 0.55), ("cifar10_dino", 0.6), ("cifar100", 0.5),
        ("imagenet100", 0.55), ("tiny_imagenet", 0.55),
    ],
)  # fmt: skip
def test_C19_presets_are_frozen(preset, delta):
    assert strategies.build({"name": "prob_cover", "preset": preset}) == ProbCover(delta=delta, purity=0.95)
