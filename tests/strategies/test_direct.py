"""DIRECT."""

import numpy as np

from querist.evidence.evidence import Evidence
from querist.evidence.needs import Labels, Probs
from querist.kernels.one_against_rest import interval, threshold
from querist.seeds import Seed
from querist.strategies.base import choose
from querist.strategies.composition import flags_of
from querist.strategies.direct import Direct
from querist.testing.contract import StrategyContract

ALL = Probs(frame="all")


class TestDirect(StrategyContract):
    make = Direct
    deterministic = False


def evidence(p, y, labelled):
    labelled = np.sort(np.asarray(labelled, np.int64))
    candidates = np.setdiff1d(np.arange(len(p)), labelled)
    return Evidence(candidates, {ALL: p, Labels(): y[labelled]}, labelled=labelled, c=p.shape[1])


def asked(p, y, labelled, questions, key=None):
    """Ask one question at a time, answer it truthfully, and return the ids asked and the utilities."""
    labelled, utility = list(labelled), []
    start = len(labelled)
    for turn in range(questions):
        picked = choose(Direct(), evidence(p, y, labelled), 1, key or Seed(0).child(turn).key())
        labelled.append(int(picked.ids[0]))
        utility.append(float(picked.utility[0]))
    return labelled[start:], utility


def line(n, seed=0):
    p = np.random.default_rng(seed).permutation(np.linspace(0.01, 0.99, n))
    return np.stack([p, 1 - p], axis=1)


def marks(order, y, labelled):
    return np.where(np.isin(order, labelled), np.where(y[order] == 0, 1, -1), 0)


def test_without_noise_the_threshold_ends_within_the_true_gap():
    for seed, cut in enumerate((40, 250, 431)):
        p, y = line(500, seed), np.ones(500, int)
        order = np.argsort(-p[:, 0])
        y[order[:cut]] = 0
        ids, _ = asked(p, y, [order[0], order[-1]], 60)
        mark = marks(order, y, [order[0], order[-1], *ids])
        start, stop = interval(mark)
        assert start <= cut <= stop
        assert stop - start <= 2
        assert abs(threshold(mark) - cut) <= 1


def test_with_noise_questions_stay_near_the_threshold():
    rng = np.random.default_rng(0)
    p, y = line(1000), np.ones(1000, int)
    order = np.argsort(-p[:, 0])
    y[order[:300]] = 0
    wrong = order[rng.choice(1000, 150, replace=False)]
    noisy = y.copy()
    noisy[wrong] = 1 - y[wrong]
    ids, _ = asked(p, noisy, [order[0], order[-1]], 120)
    place = np.argsort(order)[ids]
    assert abs(threshold(marks(order, noisy, [order[0], order[-1], *ids])) - 300) < 60
    assert np.median(np.abs(place[60:] - 300)) < 100


def test_classes_take_turns_and_half_of_the_questions_go_to_either_purpose(monkeypatch):
    from querist.strategies import direct

    asked_about = []
    plain = direct.line
    monkeypatch.setattr(direct, "line", lambda p, y, k, tie: asked_about.append(k) or plain(p, y, k, tie))
    rng = np.random.default_rng(1)
    p, y = rng.dirichlet(np.ones(4), 400), rng.integers(4, size=400)
    _, utility = asked(p, y, range(6), 40)
    assert np.bincount(asked_about).tolist() == [10] * 4
    for k in range(4):
        assert sum(u > 0 for u, about in zip(utility, asked_about, strict=True) if about == k) <= 5
    assert sum(u > 0 for u in utility) >= 15


def test_questions_about_the_interval_are_drawn_uniformly():
    p, y = line(30), np.ones(30, int)
    order = np.argsort(-p[:, 0])
    y[order[:15]] = 0
    labelled = [order[2], order[13]]
    y[order[13]] = 1
    drawn = np.zeros(30)
    for seed in range(600):
        picked = choose(Direct(), evidence(p, y, labelled), 1, Seed(seed).key())
        assert picked.utility.tolist() == [10]
        drawn[np.argsort(order)[picked.ids[0]]] += 1
    assert drawn[:3].sum() == drawn[13:].sum() == 0
    assert ((drawn[3:13] - 60) ** 2 / 60).sum() < 45


def test_L1_it_knows_the_labels_that_were_bought_and_no_others():
    assert set(Direct().needs) == {ALL, Labels()}
    rng = np.random.default_rng(3)
    p, y = rng.dirichlet(np.ones(3), 80), rng.integers(3, size=80)
    labelled = [1, 5, 9, 30, 41]
    other = y.copy()
    other[[i for i in range(80) if i not in labelled]] = 0
    one, same = (choose(Direct(), evidence(p, truth, labelled), 20, Seed(0).key()) for truth in (y, other))
    assert one.ids.tolist() == same.ids.tolist()
    assert "sequential" in flags_of(Direct())


def test_a_batch_lets_predictions_stand_in_for_answers():
    rng = np.random.default_rng(4)
    p, y = rng.dirichlet(np.ones(4), 120), rng.integers(4, size=120)
    labelled = list(range(12))
    at_once = choose(Direct(), evidence(p, y, labelled), 15, Seed(0).key())
    predicted = y.copy()
    predicted[12:] = p[12:].argmax(axis=1)
    assert at_once.ids.tolist() == asked(p, predicted, labelled, 15, Seed(0).key())[0]
    assert "taken to be what the model predicts" not in at_once.reasons[0]
    assert all("taken to be what the model predicts" in words for words in at_once.reasons[1:])
