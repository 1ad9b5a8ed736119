"""Free centres, against plain float64 loops and numerical derivatives."""

import numpy as np
import pytest

from querist.kernels import free_centres
from querist.kernels.free_centres import moved_centres, nearest_unused


def unit(x):
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def world(n=80, b=6, d=5, seed=0):
    rng = np.random.default_rng(seed)
    x = unit(rng.normal(size=(n, d))).astype(np.float32)
    return x, x[rng.choice(n, b, replace=False)].astype(np.float64)


def objective(x, theta, fixed, tau, balance):
    """The objective at `theta`; `fixed` stands where centres count as constant."""
    owner = (x @ fixed.T).argmax(axis=1)
    e = np.exp((x * theta[owner]).sum(axis=1) / tau)
    repel = np.exp(fixed[owner] @ theta.T / tau).sum(axis=1)
    return float(np.mean(np.log(e) - np.log(e + balance * repel)))


def naive(x, theta, tau, balance, steps, rate):
    """Adam on numerical derivatives."""
    x, h = x.astype(np.float64), 1e-6
    mean, square, values = np.zeros_like(theta), np.zeros_like(theta), []
    for step in range(1, steps + 1):
        values.append(objective(x, theta, theta, tau, balance))
        gradient = np.empty_like(theta)
        for at in np.ndindex(theta.shape):
            up, down = theta.copy(), theta.copy()
            up[at] += h
            down[at] -= h
            gradient[at] = (objective(x, up, theta, tau, balance) - objective(x, down, theta, tau, balance)) / (2 * h)
        mean, square = 0.9 * mean + 0.1 * gradient, 0.999 * square + 0.001 * gradient**2
        theta = unit(theta + rate * (mean / (1 - 0.9**step)) / (np.sqrt(square / (1 - 0.999**step)) + 1e-8))
    return theta, np.array(values)


@pytest.mark.parametrize(("tau", "balance"), [(0.07, 1.0), (0.5, 1.0), (0.5, 0.2)])
def test_equals_adam_on_numerical_derivatives(tau, balance):
    x, start = world()
    theta, value = moved_centres(x, start, tau=tau, balance=balance, steps=15, rate=0.01)
    expected, values = naive(x, start, tau, balance, 15, 0.01)
    assert value == pytest.approx(values, abs=1e-5)
    assert theta == pytest.approx(expected, abs=1e-4)


def test_the_objective_does_not_fall_after_the_first_steps():
    x, start = world(n=300, b=10, d=8)
    value = moved_centres(x, start, tau=0.2, balance=1.0, steps=200, rate=0.003)[1]
    assert (np.diff(value[10:]) > -1e-4).all()
    assert value[-1] > value[0] + 0.1


def test_skipped_look_ups_change_nothing(monkeypatch):
    x, start = world(n=2000, b=30, d=16)
    looked = []
    look_up = free_centres._look_up

    def counting(x_n_d, theta, rows, owner_n, rival_n):
        looked.append(len(rows))
        look_up(x_n_d, theta, rows, owner_n, rival_n)

    monkeypatch.setattr(free_centres, "_look_up", counting)
    settings = {"tau": 0.07, "balance": 1.0, "steps": 60, "rate": 0.002}
    lazy = moved_centres(x, start, **settings)
    assert sum(looked) < 0.7 * 60 * len(x)
    monkeypatch.setattr(free_centres, "SLACK", np.inf)
    every = moved_centres(x, start, **settings)
    assert lazy[0] == pytest.approx(every[0], abs=1e-9)
    assert lazy[1] == pytest.approx(every[1], abs=1e-12)


@pytest.mark.parametrize("tau", [1e-3, 1e3])
def test_no_temperature_overflows(tau):
    x, start = world()
    theta, value = moved_centres(x, start, tau=tau, balance=1.0, steps=5, rate=0.01)
    assert np.isfinite(theta).all()
    assert np.isfinite(value).all()
    assert np.linalg.norm(theta, axis=1) == pytest.approx(np.ones(len(theta)))


def test_rows_of_zero_and_a_single_centre_are_no_trouble():
    x, start = world()
    x[::3] = 0.0
    theta, value = moved_centres(x, start[:1], tau=0.07, balance=1.0, steps=5, rate=0.01)
    assert np.isfinite(value).all()
    theta, _ = moved_centres(x, np.zeros((2, 5)), tau=0.07, balance=1.0, steps=3, rate=0.01)
    assert np.isfinite(theta).all()


def test_blocks_of_look_ups_change_nothing(monkeypatch):
    x, start = world(n=500)
    settings = {"tau": 0.07, "balance": 1.0, "steps": 10, "rate": 0.01}
    whole = moved_centres(x, start, **settings)[0]
    monkeypatch.setattr(free_centres, "BLOCK", 64)
    assert moved_centres(x, start, **settings)[0] == pytest.approx(whole, abs=1e-12)


@pytest.mark.parametrize("b", [1, 20, 37])
def test_C2_each_centre_takes_the_most_similar_unused_point(b):
    rng = np.random.default_rng(b)
    x, centres, tie = rng.integers(-1, 2, (40, 3)).astype(np.float32), rng.normal(size=(b, 3)), rng.permutation(40)
    rows, near = nearest_unused(x, centres, tie.astype(np.uint64))
    used = set()
    for row, like, centre in zip(rows, near, centres, strict=True):
        best = max((i for i in range(40) if i not in used), key=lambda i: (round(float(x[i] @ centre), 9), -tie[i]))
        assert row == best
        assert like == pytest.approx(float(x[best] @ centre))
        used.add(best)
