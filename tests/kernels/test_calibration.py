"""Calibration error and temperature, against loops over bins and temperatures."""

import numpy as np
import pytest
from hypothesis import given, strategies as st

from querist.kernels import calibration as module
from querist.kernels.calibration import best_temperature, calibration_error, tempered


def plain_error(confidence, correct):
    error = 0.0
    for low in range(15):
        inside = (confidence >= low / 15) & ((confidence < (low + 1) / 15) | (low == 14))
        if inside.any():
            error += inside.mean() * abs(correct[inside].mean() - confidence[inside].mean())
    return error


def rows(n, c, seed, sharp=1.0):
    """Probabilities whose labels are drawn from them, and then made `sharp` times as certain."""
    rng = np.random.default_rng(seed)
    p = rng.dirichlet(np.full(c, 0.5), n)
    y = (p.cumsum(axis=1) > rng.random((n, 1))).argmax(axis=1)
    q = p**sharp
    return q / q.sum(axis=1, keepdims=True), y


@given(st.integers(1, 40), st.integers(0, 99))
def test_error_equals_a_loop_over_bins(n, seed):
    rng = np.random.default_rng(seed)
    confidence, correct = rng.random(n), rng.integers(0, 2, n).astype(float)
    confidence[0] = rng.choice([0.0, 1.0])
    assert calibration_error(confidence, correct) == pytest.approx(plain_error(confidence, correct), abs=1e-12)


def test_error_of_perfect_and_of_worst_confidence():
    assert calibration_error(np.ones(4), np.ones(4)) == 0
    assert calibration_error(np.ones(4), np.zeros(4)) == 1
    assert calibration_error(np.full(8, 0.5), np.tile([0.0, 1.0], 4)) == 0


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("temperature", [0.1, 1.0, 7.5])
def test_N1_tempered_is_the_softmax_of_scaled_logs_and_zero_stays_zero(dtype, temperature):
    p, _ = rows(30, 5, 0)
    p[:5] = np.eye(5)
    p[5] = [0.5, 0.5, 0, 0, 0]
    q = tempered(p.astype(dtype), temperature)
    powers = p.astype(dtype).astype(float) ** (1 / temperature)
    np.testing.assert_allclose(q, powers / powers.sum(axis=1, keepdims=True), rtol=1e-9)
    assert q.dtype == np.float64
    assert (q[:5] == np.eye(5)).all()
    assert q[5].tolist() == [0.5, 0.5, 0, 0, 0]


@given(st.integers(1, 30), st.integers(2, 5), st.integers(0, 99))
def test_N7_the_best_temperature_equals_a_loop_over_all(n, c, seed):
    p, y = rows(n, c, seed, sharp=2.0)
    grid = 2.0 ** (np.arange(-8, 9) / 4)
    error = {t: plain_error(tempered(p, t).max(axis=1), (p.argmax(axis=1) == y).astype(float)) for t in grid}
    found = best_temperature(p, y, grid)
    assert error[found] <= min(error.values()) + 1e-9
    assert abs(np.log(found)) <= min(abs(np.log(t)) for t in grid if error[t] <= error[found] + 1e-14) + 1e-9


@pytest.mark.parametrize("sharp", [0.25, 0.5, 1.0, 2.0, 4.0])
def test_M14_temperatures_below_one_are_found_as_well_as_above(sharp):
    p, y = rows(20_000, 6, 1, sharp)
    assert best_temperature(p, y, 2.0 ** (np.arange(-24, 25) / 8)) == pytest.approx(sharp, rel=0.1)


def test_certain_rows_have_no_temperature_and_blocks_do_not_matter(monkeypatch):
    grid = np.arange(10, 200) / 10
    assert best_temperature(np.eye(3), np.array([0, 0, 0]), grid) == 1
    p, y = rows(50, 4, 2, 3.0)
    whole = best_temperature(p, y, grid)
    monkeypatch.setattr(module, "BLOCK", 1)
    assert best_temperature(p, y, grid) == whole > 1
