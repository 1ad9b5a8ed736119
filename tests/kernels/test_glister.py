"""Greedy gradient steps that lower a validation loss, beside weights and gradients that are written out."""

import numpy as np
import pytest

from querist.kernels.glister import Facility, Validation, glister_greedy
from querist.kernels.matching import Products


def softmax(z):
    p = np.exp(z - z.max(1, keepdims=True))
    return p / p.sum(1, keepdims=True)


def world(n=25, v=12, c=3, d=4, seed=0):
    rng = np.random.default_rng(seed)
    w, z, z_v = rng.normal(size=(c, d)), rng.normal(size=(n, d)), rng.normal(size=(v, d))
    p, y_v = softmax(z @ w.T), rng.integers(c, size=v)
    a = p - np.eye(c)[p.argmax(1)]
    return w, a, z, z_v, y_v, rng.permutation(n).astype(np.uint64)


def mean_gradient(w, z, y):
    return (softmax(z @ w.T) - np.eye(len(w))[y]).T @ z / len(z)


def test_the_gradient_is_the_mean_and_that_of_the_loss():
    w, _, _, z, y, _ = world()
    validation = Validation(softmax(z @ w.T), y, z)
    assert validation.gradient() == pytest.approx(mean_gradient(w, z, y))

    def loss(w):
        return -np.log(softmax(z @ w.T)[np.arange(len(z)), y]).mean()

    for j, k in ((0, 1), (2, 3)):
        nudge = np.zeros_like(w)
        nudge[j, k] = 1e-6
        assert validation.gradient()[j, k] == pytest.approx((loss(w + nudge) - loss(w - nudge)) / 2e-6, rel=1e-5)


def test_steps_on_logits_are_steps_of_the_weights():
    w, a, z, z_v, y, _ = world()
    validation, move = Validation(softmax(z_v @ w.T), y, z_v), np.full_like(w, 0.3) * np.arange(4)
    validation.step(move)
    validation.step_along(0.7, a[5], z[5])
    w = w - move - 0.7 * np.outer(a[5], z[5])
    assert validation.gradient() == pytest.approx(mean_gradient(w, z_v, y), abs=1e-12)


def test_M16_gains_are_those_of_the_closed_form_at_every_step():
    for seed in range(5):
        w, a, z, z_v, y, tie = world(seed=seed)
        validation = Validation(softmax(z_v @ w.T), y, z_v)
        rows, gain = glister_greedy(Products(a, z, tie), (a, z), validation, 10, eta=0.5)
        g = np.einsum("nc,nd->ncd", a, z)
        for t, row in enumerate(rows):
            value = (g * mean_gradient(w, z_v, y)).sum((1, 2))
            value[rows[:t]] = -np.inf
            assert row == value.argmax()
            assert gain[t] == pytest.approx(value.max())
            w = w - 0.5 * g[row]


def test_one_pick_is_the_argmax_of_the_factored_product():
    w, a, z, z_v, y, tie = world()
    validation = Validation(softmax(z_v @ w.T), y, z_v)
    rows, gain = glister_greedy(Products(a, z, tie), (a, z), validation, 1, eta=0.1)
    value = np.einsum("nc,cd,nd->n", a, mean_gradient(w, z_v, y), z)
    assert (rows[0], gain[0]) == (value.argmax(), pytest.approx(value.max()))


@pytest.mark.parametrize("strength", [0.1, 10.0])
def test_diversity_takes_nearness_to_picks_away(strength):
    w, a, z, z_v, y, tie = world()
    validation, g = Validation(softmax(z_v @ w.T), y, z_v), np.einsum("nc,nd->ncd", a, z)
    rows, gain = glister_greedy(
        Products(a, z, tie), (a, z), validation, 8, eta=0.2, regulariser="diversity", strength=strength
    )
    for t, row in enumerate(rows):
        value = (g * mean_gradient(w, z_v, y)).sum((1, 2))
        for s in rows[:t]:
            value -= strength * np.exp(-np.square(g - g[s]).sum((1, 2)) / 2)
        value[rows[:t]] = -np.inf
        assert row == value.argmax()
        assert gain[t] == pytest.approx(value.max())
        w = w - 0.2 * g[row]


@pytest.mark.parametrize("strength", [0.05, 3.0])
def test_the_facility_adds_the_decrease_of_distances_to_picks(strength):
    w, a, z, z_v, y, tie = world(n=40)
    validation, g = Validation(softmax(z_v @ w.T), y, z_v), np.einsum("nc,nd->ncd", a, z)
    rows, gain = glister_greedy(
        Products(a, z, tie), (a, z), validation, 12, eta=0.2, regulariser="fac_loc", strength=strength
    )
    apart = np.sqrt(np.square(g[:, None] - g).sum((2, 3)))
    near = np.sqrt(np.square(g).sum((1, 2)))
    for t, row in enumerate(rows):
        value = (g * mean_gradient(w, z_v, y)).sum((1, 2)) + strength * np.maximum(near - apart, 0).sum(1)
        value[rows[:t]] = -np.inf
        assert row == value.argmax()
        assert gain[t] == pytest.approx(value.max())
        near = np.minimum(near, apart[row])
        w = w - 0.2 * g[row]


def test_bounds_of_the_facility_bound_over_several_tiles():
    rng = np.random.default_rng(0)
    a, z = rng.normal(size=(1100, 3)).astype(np.float32), rng.normal(size=(1100, 4)).astype(np.float32)
    facility = Facility(Products(a, z, np.arange(1100, dtype=np.uint64)), a, z)
    bound = facility.bound_n.copy()
    exact = np.array([facility.gain(row) for row in range(1100)])
    assert (bound >= exact).all()
    assert bound == pytest.approx(exact, rel=0.02)
    facility.add(3)
    assert facility.gain(3) == 0.0
    assert all(facility.gain(row) <= exact[row] for row in range(50))


def test_N1_probabilities_of_zero_and_one_give_finite_gradients():
    _, _, _, z, y, _ = world()
    validation = Validation(np.eye(3)[(y + 1) % 3], y, z)
    validation.step(np.ones((3, 4)))
    assert np.isfinite(validation.gradient()).all()
