"""ALFA-Mix."""

import numpy as np
import pytest

from querist.errors import SpecError, UsageError
from querist.evidence.evidence import Evidence
from querist.evidence.needs import Embeddings, Features, Head, Labels
from querist.kernels.mixing import class_means, first_change
from querist.seeds import Seed
from querist.strategies.alfa_mix import AlfaMix
from querist.strategies.base import State, choose, strategies
from querist.testing.contract import StrategyContract

KEY = Seed(0).key()
ALL, FROZEN = Features(frame="all"), Head(space="features")
WEIGHT = np.random.default_rng(5).normal(size=(9, 6))


class TestAlfaMix(StrategyContract):
    make = AlfaMix
    deterministic = False


class TestClippedAlfaMix(StrategyContract):
    make = staticmethod(lambda: AlfaMix(clip=True, levels=2, cap=0.4))
    deterministic = False


def head(x):
    return np.asarray(x, np.float64) @ WEIGHT.T


def evidence(y=(0, 5, 7, 5, 0, 7), n=200, judge=head, seed=0):
    x = np.random.default_rng(seed).normal(size=(n, 6))
    x = (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)
    labelled = np.arange(len(y)) * 3
    candidates = np.setdiff1d(np.arange(n), labelled)
    return x, Evidence(candidates, {ALL: x, FROZEN: judge, Labels(): np.array(y, np.int64)}, labelled=labelled, c=9)


def test_C2_picks_are_rows_that_change_and_the_step_grows_until_there_are_enough():
    x, ev = evidence()
    anchors, rows = class_means(x[ev.labelled], ev[Labels()], 9), x[ev.candidates]
    sizes = []
    for b in (3, 20, 60, 90):
        picked = choose(AlfaMix(cap=0.1, levels=10), ev, b, KEY)
        for level in range(1, 11):
            steps = 0.1 * np.arange(1, level + 1) / np.sqrt(6)
            changed = first_change(head, WEIGHT, rows, anchors, steps, clip=False) < level
            if changed.sum() > b:
                break
        sizes.append(level)
        central = picked.ids[picked.utility > 0]
        assert len(set(picked.ids)) == b
        assert len(central) == min(b, changed.sum())
        assert changed[np.searchsorted(ev.candidates, central)].all()
        assert picked.utility.sum() == changed.sum()
    assert sizes == sorted(sizes)
    assert len(set(sizes)) > 2


def test_C2_with_too_few_rows_that_change_the_rest_is_random_and_never_repeats():
    _, ev = evidence()
    last = np.zeros(200)
    for seed in range(200):
        picked = choose(AlfaMix(cap=1e-9), ev, 5, Seed(seed).key())
        assert picked.utility.tolist() == [0] * 5
        assert len(set(picked.ids)) == 5
        assert picked.reasons[0].startswith("drawn at random, or far from other picks: too few different items")
        last[picked.ids] += 1
    assert last[ev.labelled].sum() == 0
    assert (last[ev.candidates] > 0).mean() > 0.95


def test_M15_classes_may_be_any():
    for y in ((0, 5, 7), (8, 8, 8), (3,)):
        assert len(choose(AlfaMix(), evidence(y)[1], 12, KEY).ids) == 12


def test_without_labels_it_says_what_to_do():
    with pytest.raises(UsageError, match="no row is labelled"):
        choose(AlfaMix(), evidence(y=())[1], 5, KEY)


def test_a_head_that_is_not_linear_is_refused():
    with pytest.raises(UsageError, match="affine"):
        choose(AlfaMix(), evidence(judge=lambda x: np.sin(9 * head(x)))[1], 5, KEY)


def test_embeddings_where_the_learner_has_them():
    state = State(round=1, n_labelled=5, has_model=True)
    assert AlfaMix(space="embeddings").needs_at(state) == (Embeddings(frame="all"), Head(space="embeddings"), Labels())
    assert AlfaMix(space="features").needs_at(state) == (ALL, FROZEN, Labels())


def test_C18_C19_every_setting_matters():
    assert strategies.build({"name": "alfa_mix", "preset": "paper"}) == AlfaMix(iterations=300, restarts=10)
    assert strategies.build({"name": "alfa_mix", "preset": "single"}) == AlfaMix(levels=1)
    _, ev = evidence(n=800)
    settings = ({}, {"cap": 0.05}, {"levels": 1, "cap": 0.01}, {"clip": True}, {"restarts": 5}, {"iterations": 1})
    assert len({tuple(choose(AlfaMix(**s), ev, 14, KEY).ids) for s in settings}) == len(settings)
    for wrong in ({"cap": 0.0}, {"levels": 0}, {"cap": float("inf")}):
        with pytest.raises(SpecError, match=next(iter(wrong))):
            AlfaMix(**wrong)
