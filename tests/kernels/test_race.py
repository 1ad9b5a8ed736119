"""Races: nobody who arrives in time is missed, and the noise is that of the key."""

import numpy as np
import pytest
from hypothesis import given, strategies as st
from scipy.stats import chi2

from querist.kernels.race import Race, _late, log_waits
from querist.seeds import Seed


@given(st.integers(0, 2**62), st.integers(0, 99))
def test_noise_is_that_of_the_key(id_, seed):
    key, ids = Seed(seed).key(), np.array([id_])
    assert _late(np.uint64(id_), *key.seed.words(2)) == 1.0 - key.uniform(ids)[0]
    assert log_waits(ids, key)[0] == np.log(-np.log(key.uniform(ids)[0]))


@pytest.mark.parametrize("time", [0.0, 1e-6, 1e-3, 0.1, 3.0, np.inf])
@pytest.mark.parametrize("n", [1, 511, 512, 3000])
def test_everyone_in_time_is_found_in_order_and_hardly_anyone_else(time, n):
    rng = np.random.default_rng(n)
    ids, weight, key = 7 * np.arange(n), rng.random(n) ** 3, Seed(n).key()
    weight[rng.random(n) < 0.2] = 0.0
    rows, total = Race(ids).before(time, weight, key)
    with np.errstate(divide="ignore"):
        arrival = np.exp(log_waits(ids, key)) / weight
    in_time = np.flatnonzero((arrival <= time) & (weight > 0))
    assert set(in_time) <= set(rows.tolist())
    assert (np.diff(rows) > 0).all()
    assert (weight[rows] > 0).all()
    assert total == pytest.approx(weight.sum(), rel=1e-12)
    if time <= 1e-3:
        assert len(rows) <= len(in_time) + 2


def test_first_to_arrive_follows_the_weights():
    weight = np.array([1.0, 2.0, 0.0, 5.0, 0.5])
    race, counts = Race(np.arange(5)), np.zeros(5)
    for seed in range(3000):
        key = Seed(seed).key()
        rows, _ = race.before(np.inf, weight, key)
        counts[rows[(log_waits(rows, key) - np.log(weight[rows])).argmin()]] += 1
    expected = 3000 * weight / weight.sum()
    held = weight > 0
    assert counts[2] == 0
    assert ((counts - expected)[held] ** 2 / expected[held]).sum() < chi2.isf(1e-6, 3)
