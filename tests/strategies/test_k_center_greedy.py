"""Greedy k-center."""

import numpy as np
import pytest
from hypothesis import given, strategies as st

from querist.evidence.evidence import Evidence
from querist.evidence.needs import Embeddings, Features
from querist.seeds import Seed
from querist.strategies.base import State, choose, strategies
from querist.strategies.k_center_greedy import KCenterGreedy
from querist.testing.contract import StrategyContract
from querist.testing.fakes import fake_evidence

RAW = Features(frame="all", normalise=False)


class TestKCenterGreedy(StrategyContract):
    make = KCenterGreedy
    deterministic = True
    cold = True


class TestNormalisedKCenter(StrategyContract):
    make = staticmethod(lambda: KCenterGreedy(normalise=True, start="random"))
    cold = True


class TestEmbeddingKCenter(StrategyContract):
    make = staticmethod(lambda: KCenterGreedy(space="embeddings", normalise=True))
    deterministic = True


def evidence(x, labelled=()):
    labelled = np.array(labelled, np.int64)
    return Evidence(np.setdiff1d(np.arange(len(x)), labelled), {RAW: x}, labelled=labelled, c=2)


def brute(x, centres, b):
    rows, far = list(centres), []
    for _ in range(b):
        near = np.square(x[:, None].astype(float) - x[rows][None].astype(float)).sum(axis=2).min(axis=1)
        near[rows] = -1
        far.append(np.sqrt(near.max()))
        rows.append(int(near.argmax()))
    return rows[len(centres) :], far


@given(st.integers(0, 99), st.integers(2, 30), st.integers(1, 40), st.data())
def test_C6_equals_brute_force_whatever_the_shape(seed, n, d, data):
    x = np.random.default_rng(seed).normal(size=(n, d)).astype(np.float32)
    labelled = sorted(data.draw(st.sets(st.integers(0, n - 1), min_size=1, max_size=n - 1)))
    b = data.draw(st.integers(1, n - len(labelled)))
    picked = choose(KCenterGreedy(), evidence(x, labelled), b, Seed(0).key())
    rows, far = brute(x, labelled, b)
    assert picked.ids.tolist() == rows
    assert picked.utility == pytest.approx(far, rel=1e-12)


def test_C17_without_labels_it_starts_at_the_middle():
    x = np.array([[0.0], [2.0], [4.5], [9.0], [10.0]], np.float32)
    picked = choose(KCenterGreedy(), evidence(x), 3, Seed(0).key())
    assert picked.ids.tolist() == [2, 4, 0]
    assert picked.utility.tolist() == [5.5, 5.5, 4.5]
    assert choose(KCenterGreedy(), evidence(x[:1]), 1, Seed(0).key()).utility.tolist() == [0]
    assert choose(KCenterGreedy(), evidence(x), 5, Seed(0).key()).utility.tolist() == [5.5, 5.5, 4.5, 2.0, 1.0]
    starts = {int(choose(KCenterGreedy(start="random"), evidence(x), 1, Seed(s).key()).ids[0]) for s in range(60)}
    assert starts == set(range(5))


def test_space_and_normalisation_decide_what_is_asked_for():
    state = State(n_labelled=3, has_model=True)
    assert KCenterGreedy().needs_at(state) == (RAW,)
    assert KCenterGreedy(space="features", normalise=True).needs_at(state) == (Features(frame="all"),)
    assert KCenterGreedy(space="embeddings", normalise=True).needs_at(state) == (Embeddings(frame="all"),)


def test_normalised_embeddings_are_unit_rows():
    plain = KCenterGreedy(space="embeddings", normalise=True)
    unit = KCenterGreedy(space="features", normalise=True)
    by_embeddings = choose(plain, fake_evidence(plain), 9, Seed(0).key())
    by_features = choose(unit, fake_evidence(unit), 9, Seed(0).key())
    assert by_embeddings.ids.tolist() == by_features.ids.tolist()
    raw = KCenterGreedy(space="embeddings")
    assert choose(raw, fake_evidence(raw), 9, Seed(0).key()).ids.tolist() != by_embeddings.ids.tolist()


@pytest.mark.parametrize(
    ("preset", "normalise"), [("S0", True), ("S1", True), ("S2", False), ("S3", False), ("S4", False)]
)
def test_C19_presets_and_alias(preset, normalise):
    assert strategies.build({"name": "coreset", "preset": preset}) == KCenterGreedy(normalise=normalise)


def test_reason_gives_the_distance():
    assert KCenterGreedy().reason(1.2345) == "it lies 1.23 away from everything labelled or picked before"
