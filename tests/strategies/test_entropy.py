"""Entropy sampling."""

import numpy as np
import pytest

from querist.evidence.evidence import Evidence
from querist.evidence.needs import Probs
from querist.seeds import Seed
from querist.strategies.base import choose, strategies
from querist.strategies.entropy import Entropy
from querist.testing.contract import StrategyContract


class TestEntropy(StrategyContract):
    make = Entropy


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_N1_uniform_rows_come_first_and_certain_rows_last(dtype):
    p = np.array([[1, 0, 0, 0], [0.25] * 4, [0.5, 0.5, 0, 0], [0, 1, 0, 0]], dtype)
    picked = choose(Entropy(), Evidence(np.arange(4), {Probs(): p}, c=4), 4, Seed(0).key())
    assert picked.ids.tolist()[:2] == [1, 2]
    assert picked.utility.tolist() == pytest.approx([np.log(4), np.log(2), 0, 0])
    assert picked.reasons[1] == "the prediction has an entropy of 0.693 nats"


@pytest.mark.parametrize("alias", ["uncertainty", "uncertainty_entropy"])
def test_aliases_of_older_systems(alias):
    assert strategies.build(alias) == Entropy()
