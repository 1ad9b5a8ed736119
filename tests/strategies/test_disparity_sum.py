"""Sum of disparities."""

from itertools import combinations

import numpy as np
import pytest

from querist.evidence.evidence import Evidence
from querist.evidence.needs import Features
from querist.seeds import Seed
from querist.strategies.base import choose
from querist.strategies.disparity_sum import DisparitySum
from querist.testing.contract import StrategyContract


class TestDisparitySum(StrategyContract):
    make = DisparitySum
    deterministic = True
    cold = True


@pytest.mark.parametrize("start", ["mean", "random"])
def test_gains_are_finite_differences_and_the_largest(start):
    x = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    gap = np.linalg.norm(x[:, None].astype(float) - x, axis=2)
    ev = Evidence(np.arange(40), {Features(): x}, c=2)
    picked = choose(DisparitySum(start=start), ev, 15, Seed(0).key())
    first = int(picked.ids[0])
    expected = (
        np.square(x - x.mean(axis=0)).sum(axis=1).argmin()
        if start == "mean"
        else Seed(0).key().hash(ev.candidates).argmin()
    )
    assert first == expected

    def value(a):
        return sum(gap[i, j] for i, j in combinations(a, 2))

    chosen = [first]
    assert picked.utility[0] == 0
    for row, utility in zip(picked.ids[1:].tolist(), picked.utility[1:], strict=True):
        gain = {r: value([*chosen, r]) - value(chosen) for r in range(40) if r not in chosen}
        assert row == max(gain, key=lambda r: gain[r])
        assert utility == pytest.approx(gain[row], abs=1e-6)
        chosen.append(row)
    assert (np.diff(picked.utility) > 0).all()
