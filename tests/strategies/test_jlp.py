"""Joint label propagation against dense algebra, and where it goes first."""

import numpy as np
import pytest

from querist.evidence.evidence import Evidence
from querist.evidence.needs import Features
from querist.seeds import Seed
from querist.strategies.base import choose
from querist.strategies.jlp import Jlp
from querist.testing.contract import StrategyContract


class TestJlp(StrategyContract):
    make = Jlp
    memory_megabytes = 100.0  # the graph has up to 2 k entries a row


class TestJlpNarrow(StrategyContract):
    make = staticmethod(lambda: Jlp(k=20, gamma=1.0, alpha=0.5, steps=5))


def evidence(x, labelled):
    labelled = np.array(labelled, np.int64)
    return Evidence(np.setdiff1d(np.arange(len(x)), labelled), {Features(frame="all"): x}, labelled=labelled, c=3)


def unit(rng, N, d):
    x = rng.normal(size=(N, d)).astype(np.float32)
    return x / np.linalg.norm(x, axis=1, keepdims=True)


@pytest.mark.parametrize("labelled", [[], [3], [0, 17, 60]])
def test_equals_a_dense_inverse_on_200_points(labelled):
    x = unit(np.random.default_rng(2), 200, 6)
    ev, key, strategy = evidence(x, labelled), Seed(0).key(), Jlp(k=10, steps=2000)
    similar = x.astype(np.float64) @ x.T
    np.fill_diagonal(similar, -2)
    w = np.zeros((200, 200))
    for i in range(200):
        for j in np.argsort(-similar[i])[:10]:
            w[i, j] = max(0.0, similar[i, j]) ** 3
    w = w + w.T
    scale = 1 / np.sqrt(w.sum(axis=1))
    inverse = np.linalg.inv(np.eye(200) - 0.99 * scale[:, None] * w * scale)
    sources, tie, expected = list(labelled), key.hash(np.arange(200)), []
    for _ in range(12):
        field = inverse[:, sources].sum(axis=1) if sources else np.zeros(200)
        rest = [i for i in ev.candidates.tolist() if i not in sources]
        best = min(rest, key=lambda i: (field[i], tie[i]))
        expected.append((best, -field[best]))
        sources.append(best)
    picked = choose(strategy, ev, 12, key)
    assert picked.ids.tolist() == [i for i, _ in expected]
    np.testing.assert_allclose(picked.utility, [u for _, u in expected], rtol=1e-4, atol=1e-6)


def test_of_two_components_the_one_without_labels_comes_first():
    rng = np.random.default_rng(0)
    one = unit(rng, 20, 2) * 0.05 + [1, 0]
    other = unit(rng, 20, 2) * 0.05 - [1, 0]
    x = np.concatenate([one, other]).astype(np.float32)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    picked = choose(Jlp(k=4), evidence(x, [0, 5]), 2, Seed(1).key())
    assert picked.ids[0] >= 20
    assert picked.reasons[0] == "nothing labelled reaches it"


def test_without_labels_the_first_pick_is_random():
    x = unit(np.random.default_rng(3), 50, 4)
    ev = evidence(x, [])
    picks = {int(choose(Jlp(k=5), ev, 1, Seed(s).key()).ids[0]) for s in range(20)}
    assert len(picks) > 10
    key = Seed(4).key()
    assert choose(Jlp(k=5), ev, 1, key).ids[0] == ev.candidates[np.argmin(key.hash(ev.candidates))]
