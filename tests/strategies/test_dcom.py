"""DCoM."""

import numpy as np
import pytest

from querist.errors import SpecError, UsageError
from querist.evidence.evidence import Evidence
from querist.evidence.needs import Features, Labels, Probs
from querist.kernels.label_balls import pure_radii
from querist.seeds import Seed
from querist.strategies import dcom as module
from querist.strategies.base import State, choose, strategies
from querist.strategies.dcom import DCoM, competence
from querist.strategies.margin import Margin
from querist.strategies.prob_cover import ProbCover
from querist.testing.contract import StrategyContract
from querist.testing.fakes import fake_evidence


class TestDCoM(StrategyContract):
    make = DCoM
    cold = True


class TestDCoMOfOneRadius(StrategyContract):
    make = staticmethod(lambda: DCoM(delta=0.5, centre=0.2, steepness=5.0))
    cold = True


def world(n=90, labelled=(3, 40, 41, 77), c=3, d=3, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, d))
    x = (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)
    p, y, labelled = rng.dirichlet(np.ones(c), n), rng.integers(c, size=n), np.array(labelled, np.int64)
    ids = np.setdiff1d(np.arange(n), labelled)
    values = {Features(frame="all"): x, Probs(): p[ids], Labels(): y[labelled]}
    return x, p, y, Evidence(ids, values, labelled=labelled, c=c)


def distances(x):
    return np.sqrt(np.square(x[:, None].astype(float) - x[None].astype(float)).sum(axis=2))


def naive(x, p, y, ev, delta, steepness, centre, tie, b):
    gap, labelled, n = distances(x), ev.labelled, len(x)
    open_N = np.ones(n, bool)
    open_N[labelled] = False
    label = p.argmax(axis=1)
    label[labelled] = y[labelled]
    purity = 0.4 + 0.2 * (gap[labelled] < delta).any(axis=0).mean()
    radius = []
    for i in labelled:
        low, high = 0.0, 1.1
        while high - low > 0.05:
            middle = (low + high) / 2
            low, high = (middle, high) if np.mean(label[gap[i] < middle] == label[i]) >= purity else (low, middle)
        radius.append((low + high) / 2)
    covered = (gap[labelled] < np.array(radius)[:, None]).any(axis=0)
    s = (1 + np.exp(-steepness * (1 - centre))) / (1 + np.exp(-steepness * (covered.mean() - centre)))
    first, second = -np.sort(-p, axis=1)[:, :2].T
    unsure = 1 - (first - second)
    low, high = unsure[open_N].min(), unsure[open_N].max()
    unsure = np.where(open_N, (unsure - low) / (high - low), 0)
    rows, scores = [], []
    for _ in range(b):
        degree = ((gap < np.mean(radius)) & ~covered).sum(axis=1)
        u, g = unsure[open_N].max(), degree[open_N].max()
        # Nearly without competence, margins still break ties of degrees: no tolerance here.
        score = np.where(open_N, s * (unsure / (u or 1)) + (1 - s) * (degree / (g or 1)), -1)
        best = np.flatnonzero(score == score.max())
        rows.append(best[tie[best].argmin()])
        scores.append(score.max())
        open_N[rows[-1]] = False
        covered |= gap[rows[-1]] < np.mean(radius)
    return rows, scores


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize(("steepness", "centre"), [(50.0, 0.8), (6.0, 0.3)])
def test_M11_equals_a_naive_twin(seed, steepness, centre):
    x, p, y, ev = world(seed=seed)
    key = Seed(seed).key()
    picked = choose(DCoM(delta=0.4, steepness=steepness, centre=centre), ev, 60, key)
    rows, scores = naive(x, p, y, ev, 0.4, steepness, centre, key.hash(np.arange(len(x))), 60)
    assert picked.ids.tolist() == [int(r) for r in rows]
    assert picked.utility == pytest.approx(scores)


def test_without_edges_in_memory_and_on_a_graph_it_picks_the_same(monkeypatch):
    ev, key = world()[3], Seed(0).key()
    on_graph = choose(DCoM(delta=0.5, centre=0.2), ev, 40, key)
    monkeypatch.setattr(module, "DEGREE", 0)
    on_pairs = choose(DCoM(delta=0.5, centre=0.2), ev, 40, key)
    assert on_pairs.ids.tolist() == on_graph.ids.tolist()
    assert on_pairs.utility == pytest.approx(on_graph.utility)


def test_before_there_is_a_model_it_is_prob_cover():
    x = world()[0]
    ev = Evidence(np.arange(len(x)), {Features(frame="all"): x}, c=3)
    for settings in ({}, {"delta": 0.3}):
        one, other = (choose(rule(**settings), ev, 30, Seed(0).key()) for rule in (DCoM, ProbCover))
        assert one.ids.tolist() == other.ids.tolist()
        assert one.utility.tolist() == other.utility.tolist()
        assert one.reasons == other.reasons
    assert DCoM().needs_at(State()) == (Features(frame="all"),)


def test_competence_is_1_at_full_coverage_and_rises():
    coverage = np.linspace(0, 1, 21)
    for steepness, centre in ((50.0, 0.8), (3.0, 0.5), (1e6, 0.8), (5.0, 2.0)):
        s = [competence(c, steepness, centre) for c in coverage]
        assert s[-1] == 1.0
        assert (np.diff(s) >= 0).all()
        assert np.isfinite(s).all()
    assert competence(0.8, 50.0, 0.8) == pytest.approx((1 + np.exp(-10)) / 2)
    assert (np.diff([competence(c, 3.0, 0.5) for c in coverage]) > 0).all()


def test_when_everything_is_covered_it_is_margin():
    _, p, _, ev = world()
    certain = np.eye(3)[np.zeros(len(ev.candidates), int)] * 0.5 + 0.5 * p[ev.candidates] * [1, 0.5, 0.5]
    certain /= certain.sum(axis=1, keepdims=True)
    values = {Features(frame="all"): ev[Features(frame="all")], Probs(): certain, Labels(): np.zeros(4, np.int64)}
    x = np.tile([[1.0, 0.0, 0.0]], (90, 1)).astype(np.float32) + 0.01 * values[Features(frame="all")]
    values[Features(frame="all")] = x.astype(np.float32)
    whole = Evidence(ev.candidates, values, labelled=ev.labelled, c=3)
    picked, plain = (choose(rule, whole, 20, Seed(0).key()) for rule in (DCoM(), Margin()))
    assert picked.ids.tolist() == plain.ids.tolist()


def test_radii_follow_the_predictions_of_the_round_alone():
    x, p, y, ev = world()
    picked = choose(DCoM(delta=0.4, centre=0.2), ev, 20, Seed(0).key())
    again = choose(DCoM(delta=0.4, centre=0.2), ev, 20, Seed(0).key())
    assert picked.ids.tolist() == again.ids.tolist()
    label = p.argmax(axis=1)
    label[ev.labelled] = y[ev.labelled]
    some = pure_radii(x, ev.labelled, label, 0.45, reach=1.1, resolution=0.05)
    assert len(set(some.tolist())) > 1  # a radius of its own for each label


def test_L2_only_bought_labels_and_predictions_are_read():
    assert {type(need) for need in DCoM().needs_at(State(has_model=True))} == {Features, Probs, Labels}
    assert {need.frame for need in DCoM().needs_at(State(has_model=True)) if isinstance(need, Labels)} == {"labelled"}


def test_large_pools_count_neighbours_in_a_sample():
    ev, key = world(n=300, labelled=range(0, 300, 30))[3], Seed(0).key()
    exact = choose(DCoM(delta=0.3, centre=0.9), ev, 30, key)
    sampled = choose(DCoM(delta=0.3, centre=0.9, limit=250), ev, 30, key)
    assert len(set(sampled.ids.tolist())) == 30
    assert sampled.ids.tolist() != exact.ids.tolist()
    assert sampled.ids.tolist() == choose(DCoM(delta=0.3, centre=0.9, limit=250), ev, 30, key).ids.tolist()


def test_it_is_named_where_the_number_of_classes_is_missing():
    with pytest.raises(UsageError, match=r"^dcom finds its radius"):
        choose(DCoM(), fake_evidence(DCoM(), c=1), 3, Seed(0).key())


@pytest.mark.parametrize("wrong", [{"steepness": 0.0}, {"centre": np.nan}, {"delta": -1.0}, {"limit": 0}])
def test_C18_settings_must_make_sense(wrong):
    with pytest.raises(SpecError, match=f"Expected {next(iter(wrong))} to be"):
        DCoM(**wrong)


def test_C19_the_constants_of_the_paper_are_frozen():
    built = strategies.build({"name": "dcom", "preset": "paper"})
    assert (built.steepness, built.centre, built.delta) == (50.0, 0.8, None)
    assert (module.REACH, module.RESOLUTION, module.BASE, module.SLOPE) == (1.1, 0.05, 0.4, 0.2)
