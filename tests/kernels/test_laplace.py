"""The Laplace approximation of a last layer: the precision is the Hessian, draws have its inverse as covariance."""

import numpy as np
import pytest

from querist.errors import DataError
from querist.kernels import laplace
from querist.kernels.inner import softmax
from querist.kernels.laplace import last_layer


def problem(l=7, d=3, c=3, seed=0):
    rng = np.random.default_rng(seed)
    x, w, b = rng.normal(size=(l, d)), rng.normal(size=(c, d)), rng.normal(size=c)
    return x, softmax(x @ w.T + b), w, b, rng.integers(c, size=l)


def loss(theta, x, y, c, precision):
    """Negative log posterior of all weights, intercepts last of each class."""
    w = theta.reshape(c, -1)
    z = np.column_stack([x, np.ones(len(x))]) @ w.T
    nll = (np.log(np.exp(z).sum(axis=1)) - z[np.arange(len(x)), y]).sum()
    return nll + 0.5 * precision * (theta**2).sum()


def numeric_hessian(f, at, step=1e-4):
    n = len(at)
    out, eye = np.empty((n, n)), np.eye(n) * step
    for i in range(n):
        for j in range(n):
            out[i, j] = (
                f(at + eye[i] + eye[j]) - f(at + eye[i] - eye[j]) - f(at - eye[i] + eye[j]) + f(at - eye[i] - eye[j])
            ) / (4 * step**2)
    return out


@pytest.mark.parametrize("seed", range(4))
def test_the_precision_is_the_numeric_hessian(seed):
    """Of any labels: the curvature of a softmax does not depend on them, which is why it is exact."""
    x, p, w, b, y = problem(seed=seed)
    layer = last_layer(x, p, w, b, 0.3)
    theta = np.column_stack([w, b]).ravel()
    expected = numeric_hessian(lambda t: loss(t, x, y, 3, 0.3), theta)
    np.testing.assert_allclose(layer.whole.T @ layer.whole, expected, atol=2e-6)


def kronecker(monkeypatch, *args):
    monkeypatch.setattr(laplace, "FULL", 0)
    return last_layer(*args)


def covariance(layer):
    """The covariance that draws have, from the images of unit noises."""
    size = layer.mean.size
    steps = [layer.at(e.reshape(layer.mean.shape)).ravel() - layer.mean.ravel() for e in np.eye(size)]
    return np.stack(steps, axis=1) @ np.stack(steps, axis=1).T


def test_draws_have_the_inverse_hessian_as_covariance():
    x, p, w, b, _ = problem()
    layer = last_layer(x, p, w, b, 0.3)
    np.testing.assert_allclose(covariance(layer) @ (layer.whole.T @ layer.whole), np.eye(12), atol=1e-8)
    assert np.array_equal(layer.at(np.zeros((3, 4))), layer.mean)


def test_the_product_is_the_inverse_of_its_own_precision(monkeypatch):
    x, p, w, b, _ = problem(l=9, d=4, c=3)
    layer = kronecker(monkeypatch, x, p, w, b, 0.3)
    u = np.column_stack([x, np.ones(9)])
    curvature = np.mean([np.diag(q) - np.outer(q, q) for q in p], axis=0)
    precision = np.kron(curvature, u.T @ u) + 0.3 * np.eye(15)
    np.testing.assert_allclose(covariance(layer), np.linalg.inv(precision), atol=1e-8)


def test_the_product_is_exact_where_all_rows_have_one_prediction(monkeypatch):
    """One curvature for all rows: the sum of products is a product."""
    x, _, w, b, _ = problem(l=6)
    p = np.tile([0.5, 0.3, 0.2], (6, 1))
    whole = last_layer(x, p, w, b, 0.7)
    np.testing.assert_allclose(covariance(kronecker(monkeypatch, x, p, w, b, 0.7)), covariance(whole), atol=1e-8)


@pytest.mark.parametrize("full", [10_000, 0])
def test_where_the_data_say_nothing_the_prior_is_left(full, monkeypatch):
    monkeypatch.setattr(laplace, "FULL", full)
    x, _, w, b, _ = problem()
    sure = np.eye(3)[[0, 1, 2, 0, 1, 2, 0]].astype(float)  # a certain prediction has no curvature
    np.testing.assert_allclose(covariance(last_layer(x, sure, w, b, 0.25)), np.eye(12) / 0.25, atol=1e-9)
    none = last_layer(x[:0], sure[:0], w, b, 0.25)
    np.testing.assert_allclose(covariance(none), np.eye(12) / 0.25, atol=1e-9)


def test_large_layers_take_the_product():
    x, p, w, b, _ = problem(l=5, d=200, c=10)
    layer = last_layer(x, p, w, b, 1.0)
    assert layer.whole is None
    assert layer.scale.shape == (10, 201)
    assert layer.scale.max() <= 1.0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"precision": 0.0}, "a precision above 0"),
        ({"precision": np.inf}, "a precision above 0"),
        ({"p": np.ones((6, 3))}, "Expected probabilities"),
        ({"w": np.ones((3, 5))}, "Expected probabilities"),
        ({"b": np.array([0, np.nan, 0])}, "its intercepts"),
    ],
)
def test_what_does_not_fit_is_refused(change, message):
    x, p, w, b, _ = problem()
    given = {"x": x, "p": p, "w": w, "b": b, "precision": 0.3} | change
    with pytest.raises(DataError, match=message):
        last_layer(*given.values())
