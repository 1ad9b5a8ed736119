"""CLUE."""

import numpy as np
import pytest
from scipy.special import softmax, xlogy

from querist.errors import SpecError
from querist.evidence.evidence import Evidence
from querist.evidence.needs import Embeddings, Features, Probs
from querist.kernels.kmeans import kmeans
from querist.seeds import Seed
from querist.strategies.base import State, choose, strategies
from querist.strategies.clue import Clue
from querist.strategies.kmeans_embeddings import KMeansEmbeddings
from querist.testing.contract import StrategyContract

KEY = Seed(0).key()
RAW = Features(normalise=False)


class TestClue(StrategyContract):
    make = Clue
    deterministic = False


class TestSharpClue(StrategyContract):
    make = staticmethod(lambda: Clue(temperature=0.3, restarts=2, iterations=10))
    deterministic = False


def points(n=120, d=4, seed=0):
    return np.random.default_rng(seed).normal(size=(n, d)).astype(np.float32)


def evidence(x, p):
    return Evidence(np.arange(len(x)), {RAW: x, Probs(): p}, c=p.shape[1])


@pytest.mark.parametrize("row", [[0.25] * 4, [0.7, 0.1, 0.1, 0.1], [1.0, 0.0, 0.0, 0.0]])
def test_equal_weights_equal_kmeans_embeddings_and_so_do_weights_of_zero(row):
    x = points()
    mine = choose(Clue(restarts=2), evidence(x, np.tile(row, (120, 1))), 9, KEY)
    plain = choose(KMeansEmbeddings(restarts=2), Evidence(np.arange(120), {RAW: x}, c=4), 9, KEY)
    assert mine.ids.tolist() == plain.ids.tolist()
    assert mine.utility.tolist() == plain.utility.tolist()


@pytest.mark.parametrize("temperature", [1.0, 0.2, 5.0])
def test_N1_weights_are_entropies_at_the_temperature(temperature, monkeypatch):
    seen = []

    def spy(x, k, generator, *, weight_N, **settings):
        seen.append(weight_N)
        return kmeans(x, k, generator, weight_N=weight_N, **settings)

    monkeypatch.setattr("querist.strategies.clue.kmeans", spy)
    logits = np.random.default_rng(1).normal(size=(60, 4)) * 3
    p = softmax(logits, axis=1)
    p[:5] = np.eye(4)[[0, 1, 2, 3, 0]]
    choose(Clue(temperature=temperature), evidence(points(60), p), 5, KEY)
    tempered = softmax(logits / temperature, axis=1)
    tempered[:5] = p[:5]
    entropy = -xlogy(tempered, tempered).sum(axis=1)
    np.testing.assert_allclose(seen[0], entropy / entropy.max(), rtol=1e-9, atol=1e-12)


def test_certain_outliers_are_never_centres():
    x = np.vstack([points(90), 50 + points(10, seed=1)])
    p = np.vstack([np.tile([0.6, 0.4], (90, 1)), np.tile([1.0, 0.0], (10, 1))])
    for seed in range(10):
        picked = choose(Clue(), evidence(x, p), 8, Seed(seed).key())
        # The cluster that the outliers fall into has its centre among the others.
        assert (picked.ids < 90).all()
        assert (choose(KMeansEmbeddings(), Evidence(np.arange(100), {RAW: x}, c=2), 8, KEY).ids >= 90).any()


def test_C1_fewer_uncertain_rows_than_picks_still_fill_the_batch():
    p = np.vstack([np.tile([1.0, 0.0], (117, 1)), np.tile([0.5, 0.5], (3, 1))])
    picked = choose(Clue(), evidence(points(), p), 12, KEY)
    assert len(set(picked.ids.tolist())) == 12
    assert (picked.utility > 0).sum() <= 3


def test_embeddings_where_the_learner_has_them():
    state = State(round=1, n_labelled=5, has_model=True)
    assert Clue(space="embeddings").needs_at(state) == (Probs(), Embeddings())
    assert Clue(space="features").needs_at(state) == (Probs(), RAW)


def test_C18_C19_settings_matter_and_impossible_ones_are_refused():
    assert strategies.build({"name": "clue", "preset": "paper"}) == Clue(iterations=300, restarts=10)
    x, p = points(400), np.random.default_rng(0).dirichlet(np.ones(3), 400)
    settings = ({}, {"restarts": 8}, {"iterations": 1}, {"temperature": 0.1})
    assert len({tuple(choose(Clue(**s), evidence(x, p), 15, KEY).ids) for s in settings}) == 4
    for wrong in (0.0, -1.0, float("inf")):
        with pytest.raises(SpecError, match="temperature"):
            Clue(temperature=wrong)
