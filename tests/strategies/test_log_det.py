"""Log-determinant."""

import numpy as np
import pytest

from querist.errors import SpecError
from querist.evidence.evidence import Evidence
from querist.evidence.needs import Features
from querist.seeds import Seed
from querist.strategies.base import choose
from querist.strategies.log_det import LogDet
from querist.testing.contract import StrategyContract


class TestLogDet(StrategyContract):
    make = LogDet
    cold = True


class TestFineLogDet(StrategyContract):
    make = staticmethod(lambda: LogDet(ridge=1e-6))
    cold = True


def pool(n, d=5):
    x = np.random.default_rng(0).normal(size=(n, d)).astype(np.float32)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    return Evidence(np.arange(n), {Features(): x}, c=2), (1 + x.astype(float) @ x.T) / 2


@pytest.mark.parametrize("ridge", [1.0, 0.05])
def test_equals_greedy_determinant_by_brute_force(ridge):
    ev, s = pool(30)
    k = s + ridge * np.eye(30)
    picked = choose(LogDet(ridge=ridge), ev, 12, Seed(0).key())
    chosen = [int(picked.ids[0])]
    for row, utility in zip(picked.ids[1:].tolist(), picked.utility[1:], strict=True):
        before = np.linalg.slogdet(k[np.ix_(chosen, chosen)])[1]
        gain = {x: np.linalg.slogdet(k[np.ix_([*chosen, x], [*chosen, x])])[1] - before for x in range(30)}
        assert utility == pytest.approx(gain[row], abs=1e-5)
        assert gain[row] >= max(gain[x] for x in range(30) if x not in chosen) - 1e-5
        chosen.append(row)


def test_the_first_pick_is_a_tie_that_the_key_breaks():
    ev, _ = pool(30)
    firsts = {int(choose(LogDet(), ev, 1, Seed(seed).key()).ids[0]) for seed in range(9)}
    assert len(firsts) > 3


def test_C2_duplicates_are_left_for_last_and_add_log_two_ridges():
    x = np.repeat(np.eye(3, dtype=np.float32), 4, axis=0)
    ev = Evidence(np.arange(12), {Features(): x}, c=2)
    picked = choose(LogDet(ridge=1e-3), ev, 12, Seed(0).key())
    assert sorted(picked.ids[:3] // 4) == [0, 1, 2]
    assert picked.utility[3] == pytest.approx(np.log(2e-3), abs=0.01)
    assert np.isfinite(picked.utility).all()


def test_C18_settings_must_make_sense():
    with pytest.raises(SpecError, match="ridge to be finite and 1e-06 or larger"):
        LogDet(ridge=0.0)
