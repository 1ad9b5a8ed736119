"""GALAXY."""

import numpy as np
import pytest

from querist.evidence.evidence import Evidence
from querist.evidence.needs import Labels, Probs
from querist.kernels.one_against_rest import bisection, ordering
from querist.seeds import Seed
from querist.strategies.base import choose
from querist.strategies.composition import flags_of
from querist.strategies.galaxy import Galaxy
from querist.testing.contract import StrategyContract
from querist.testing.fakes import fake_evidence

ALL = Probs(frame="all")


class TestGalaxy(StrategyContract):
    make = Galaxy
    deterministic = False


def evidence(p, y, labelled):
    labelled = np.sort(np.asarray(labelled, np.int64))
    candidates = np.setdiff1d(np.arange(len(p)), labelled)
    return Evidence(candidates, {ALL: p, Labels(): y[labelled]}, labelled=labelled, c=p.shape[1])


def asked(strategy, p, y, labelled, questions, key=None):
    """Ask one question at a time, answer it truthfully, and return the ids asked in order and the reasons."""
    labelled, ids, reasons = list(labelled), [], []
    for turn in range(questions):
        picked = choose(strategy, evidence(p, y, labelled), 1, key or Seed(0).child(turn).key())
        ids.append(int(picked.ids[0]))
        reasons += picked.reasons
        labelled.append(ids[-1])
    return ids, reasons


def line(n, seed=0):
    """Probabilities of two classes along a shuffled line."""
    p = np.random.default_rng(seed).permutation(np.linspace(0.01, 0.99, n))
    return np.stack([p, 1 - p], axis=1)


@pytest.mark.parametrize("cut", [3, 300, 511, 512, 900, 1020])
def test_the_cut_of_a_separable_line_is_found_in_logarithmically_many_questions(cut):
    p = line(1024)
    order = np.argsort(-p[:, 0])
    y = np.ones(1024, int)
    y[order[:cut]] = 0
    ids, reasons = asked(Galaxy(), p, y, [order[0], order[-1]], 10)
    assert {order[cut - 1], order[cut]} <= {order[0], order[-1], *ids}
    assert "halves a run of 1022 items" in reasons[0]
    assert "between two labels" in reasons[8]


def test_once_the_cut_is_known_it_asks_beside_it():
    p, y = line(40), np.ones(40, int)
    order = np.argsort(-p[:, 0])
    y[order[:20]] = 0
    ids, reasons = asked(Galaxy(), p, y, order[[0, 17, 18, 19, 20, 21, 39]], 2)
    place = np.argsort(order)
    assert sorted(place[ids]) in ([15, 16], [16, 22], [22, 23])
    assert all("nearest to where one class ends" in words for words in reasons)


def test_without_two_classes_it_asks_at_random():
    p, y, first = line(12), np.zeros(12, int), np.zeros(12)
    for seed in range(300):
        picked = choose(Galaxy(), evidence(p, y, [4, 7]), 1, Seed(seed).key())
        assert "at random" in picked.reasons[0]
        first[picked.ids] += 1
    assert first[[4, 7]].sum() == 0
    assert first[[i for i in range(12) if i not in (4, 7)]].min() > 10


def test_classes_are_drawn_though_the_key_stays_the_same():
    rng = np.random.default_rng(0)
    p, y = rng.dirichlet(np.ones(5), 200), rng.integers(5, size=200)
    key, lines = Seed(1).key(), []
    labelled = list(range(10))
    for _ in range(25):
        ev = evidence(p, y, labelled)
        picked = int(choose(Galaxy(), ev, 1, key).ids[0])
        mark_of = np.where(np.isin(np.arange(200), labelled), y, -1)
        found = set()
        for k in range(5):
            order = ordering(p, k, key.hash(ev.all))
            mark = np.where(mark_of[order] < 0, 0, np.where(mark_of[order] == k, 1, -1))
            if order[bisection(mark, key.hash(ev.all)[order])[0]] == picked:
                found.add(k)
        assert found
        lines.append(found)
        labelled.append(picked)
    assert len(set().union(*(found for found in lines if len(found) == 1))) >= 4


def test_two_classes_share_one_line():
    p, y = line(60), (line(60)[:, 0] < 0.4).astype(int)
    order = np.argsort(-p[:, 0])
    ids = {int(choose(Galaxy(), evidence(p, y, order[[0, -1]]), 1, Seed(seed).key()).ids[0]) for seed in range(8)}
    assert ids == {order[(1 + 58) // 2]}


def test_L1_it_knows_the_labels_that_were_bought_and_no_others():
    assert set(Galaxy().needs) == {ALL, Labels()}
    rng = np.random.default_rng(3)
    p, y = rng.dirichlet(np.ones(3), 80), rng.integers(3, size=80)
    labelled = [1, 5, 9, 30, 41]
    other = y.copy()
    other[[i for i in range(80) if i not in labelled]] = 0
    one, same = (choose(Galaxy(), evidence(p, truth, labelled), 20, Seed(0).key()) for truth in (y, other))
    assert one.ids.tolist() == same.ids.tolist()
    assert "sequential" in flags_of(Galaxy())


def test_a_batch_lets_predictions_stand_in_for_answers():
    rng = np.random.default_rng(4)
    p, y = rng.dirichlet(np.ones(4), 120), rng.integers(4, size=120)
    labelled = list(range(12))
    at_once = choose(Galaxy(), evidence(p, y, labelled), 15, Seed(0).key())
    predicted = y.copy()
    predicted[12:] = p[12:].argmax(axis=1)
    ids, _ = asked(Galaxy(), p, predicted, labelled, 15, Seed(0).key())
    assert at_once.ids.tolist() == ids
    assert "taken to be what the model predicts" not in at_once.reasons[0]
    assert all("taken to be what the model predicts" in words for words in at_once.reasons[1:])


def test_candidates_that_were_cut_away_are_not_on_the_line():
    ev = fake_evidence(Galaxy())
    part = ev.cut(np.arange(0, 60, 3))
    assert set(choose(Galaxy(), part, 20, Seed(0).key()).ids) == set(part.candidates)
