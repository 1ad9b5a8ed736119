"""Metrics against scikit-learn."""

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from sklearn import metrics as sk

from querist.session.metrics import FLOOR, METRICS, evaluate


@st.composite
def predictions(draw):
    n, c = draw(st.integers(1, 30)), draw(st.integers(2, 6))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    p = rng.dirichlet(np.full(c, draw(st.sampled_from([0.05, 1.0, 20.0]))), size=n)
    kind = draw(st.sampled_from(["smooth", "one-hot", "ties", "one class"]))
    if kind == "one-hot":
        p = np.eye(c)[rng.integers(c, size=n)]
    if kind == "ties":
        p = np.full((n, c), 1 / c)
    if kind == "one class":
        p[:] = np.eye(c)[draw(st.integers(0, c - 1))]
    y = rng.integers(draw(st.integers(1, c)), size=n)
    return p, y


@given(predictions())
@settings(max_examples=80, deadline=None)
def test_against_scikit_learn(case):
    p, y = case
    found = evaluate(p, y)
    guess = p.argmax(axis=1)
    assert tuple(found) == METRICS
    assert found["accuracy"] == pytest.approx(sk.accuracy_score(y, guess), abs=1e-12)
    recall = sk.recall_score(y, guess, labels=np.unique(y), average="macro", zero_division=0)
    assert found["balanced_accuracy"] == pytest.approx(recall, abs=1e-12)
    assert found["macro_f1"] == pytest.approx(sk.f1_score(y, guess, average="macro", zero_division=0), abs=1e-12)
    clipped = np.maximum(p, FLOOR)
    reference = sk.log_loss(y, clipped / clipped.sum(axis=1, keepdims=True), labels=np.arange(p.shape[1]))
    assert found["nll"] == pytest.approx(reference, abs=1e-6)


def test_balanced_accuracy_where_scikit_learn_agrees_without_a_warning():
    y = np.array([0, 0, 0, 1, 1, 2])
    p = np.eye(3)[[0, 0, 1, 1, 0, 2]]
    assert evaluate(p, y)["balanced_accuracy"] == pytest.approx(sk.balanced_accuracy_score(y, p.argmax(axis=1)))


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_a_class_ruled_out_costs_the_floor_at_any_precision(dtype):
    p = np.array([[1, 0], [1, 0], [0, 1]], dtype=dtype)
    found = evaluate(p, np.array([0, 1, 1]))
    assert found["nll"] == pytest.approx(-np.log(FLOOR) / 3)
    assert all(np.isfinite(value) and type(value) is float for value in found.values())


def test_a_class_that_was_declared_but_does_not_occur_counts_nowhere():
    p, y = np.eye(2)[[0, 1, 1]], np.array([0, 1, 0])
    wide = np.hstack([p, np.zeros((3, 5))])
    assert evaluate(wide, y) == evaluate(p, y)
