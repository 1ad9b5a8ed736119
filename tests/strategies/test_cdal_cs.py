"""Contextual diversity by core-sets."""

import numpy as np
import pytest

import querist
from querist.errors import SpecError
from querist.evidence.needs import Probs
from querist.seeds import Seed
from querist.strategies.base import choose
from querist.strategies.cdal_cs import CdalCs
from querist.testing.contract import StrategyContract
from querist.testing.fakes import fake_evidence


class TestCdalCs(StrategyContract):
    make = CdalCs


def apart(p, q, floor):
    p, q = np.maximum(p, floor), np.maximum(q, floor)
    return 0.5 * ((p - q) * np.log(p / q)).sum()


@pytest.mark.parametrize("c", [2, 4])
@pytest.mark.parametrize("labelled", [1, 12])
def test_equals_brute_force(c, labelled):
    ev = fake_evidence(CdalCs(), n=30, labelled=labelled, c=c)
    p, candidates = ev[Probs(frame="all")], ev.rows("candidates")
    covered, expected, gaps = ev.rows("labelled").tolist(), [], []
    for _ in range(8):
        near = [min(apart(p[i], p[j], 1e-6) for j in covered) if i not in covered else -1 for i in candidates]
        expected.append(int(np.argmax(near)))
        gaps.append(max(near))
        covered.append(int(candidates[expected[-1]]))
    picked = choose(CdalCs(), ev, 8, Seed(0).key())
    assert picked.ids.tolist() == ev.candidates[expected].tolist()
    assert picked.utility == pytest.approx(gaps)
    assert picked.utility.tolist() == sorted(picked.utility, reverse=True)


def test_identical_probabilities_have_distance_zero():
    p = np.tile([[0.2, 0.3, 0.5]], (6, 1))
    assert querist.select("cdal_cs", 4, probs=p, labelled=[2], labels=[0]).utility.tolist() == [0.0] * 4


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_N1_zeros_stay_finite_through_flooring(dtype):
    p = np.eye(3, dtype=dtype)[[0, 0, 1, 2]]
    picked = querist.select("cdal_cs", 3, probs=p, labelled=[0], labels=[0])
    assert picked.ids.tolist()[2] == 1
    assert picked.utility == pytest.approx([-np.log(1e-6), -np.log(1e-6), 0.0], rel=1e-4)


def test_without_labels_the_first_pick_is_drawn():
    p = np.random.default_rng(0).dirichlet(np.ones(3), size=20)
    picks = [querist.select("cdal_cs", 5, probs=p, seed=seed) for seed in range(12)]
    assert len({picked.ids[0] for picked in picks}) > 4
    assert all(picked.utility[0] == picked.utility[1] for picked in picks)
    assert querist.select("cdal_cs", 1, probs=p).utility.tolist() == [0.0]


def test_C18_the_floor_decides_how_far_certainty_goes():
    p = np.array([[0.5, 0.5], [1.0, 0.0]])
    for floor in (1e-2, 1e-8):
        picked = querist.select({"name": "cdal_cs", "floor": floor}, 1, probs=p, labelled=[0], labels=[0])
        assert picked.utility == pytest.approx([apart(p[0], p[1], floor)])
    with pytest.raises(SpecError, match="floor to be above 0"):
        CdalCs(floor=1.0)
