"""Metrics against scikit-learn."""

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from sklearn import metrics as sk

from querist.session.metrics import BINS, FLOOR, METRICS, TOP5, evaluate, metrics_of, recalls


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
    assert tuple(found) == metrics_of(p.shape[1])
    assert (TOP5 in found) == (p.shape[1] > 5)
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
    wide = np.hstack([p, np.zeros((3, 3))])
    assert evaluate(wide, y) == evaluate(p, y)


def calibration_error(p, y):
    """Bin by bin, as it is defined."""
    total = 0.0
    for m in range(BINS):
        rows = [i for i in range(len(y)) if m / BINS < p[i].max() <= (m + 1) / BINS]
        if rows:
            hit = np.mean([p[i].argmax() == y[i] for i in rows])
            total += len(rows) / len(y) * abs(hit - np.mean([p[i].max() for i in rows]))
    return total


@given(predictions())
@settings(max_examples=40, deadline=None)
def test_calibration_error_and_recalls_against_their_definitions(case):
    p, y = case
    # On the very edge of a bin a rounding decides; such confidences are left to the next test.
    if not np.isclose(p.max(axis=1) * BINS % 1, [[0], [1]], atol=1e-9).any():
        assert evaluate(p, y)["ece"] == pytest.approx(calibration_error(p, y), abs=1e-12)
    found = recalls(p, y)
    for c in range(p.shape[1]):
        rows = y == c
        assert (np.isnan(found[c])) if not rows.any() else (found[c] == (p[rows].argmax(axis=1) == c).mean())
    assert np.nanmean(found) == pytest.approx(evaluate(p, y)["balanced_accuracy"])


def test_calibration_error_where_gaps_have_both_signs():
    """Only then does it matter which rows share a bin."""
    rng = np.random.default_rng(0)
    p = rng.dirichlet(np.ones(4), size=600)
    y = np.where(rng.random(600) < 0.5, p.argmax(axis=1), rng.integers(4, size=600))
    found = evaluate(p, y)["ece"]
    assert found == pytest.approx(calibration_error(p, y), abs=1e-12)
    assert found > abs((p.argmax(axis=1) == y).mean() - p.max(axis=1).mean()) + 0.01


def test_calibration_error_of_the_certain():
    p = np.eye(3)[[0, 1, 2, 0]]
    assert evaluate(p, np.array([0, 1, 2, 0]))["ece"] == 0.0
    assert evaluate(p, np.array([0, 1, 2, 1]))["ece"] == 0.25
    assert evaluate(np.full((4, 4), 0.25), np.arange(4))["ece"] == 0.0


def test_t25_top_five_is_asked_for_only_where_there_are_more_classes():
    assert metrics_of(2) == metrics_of(5) == METRICS
    assert metrics_of(6) == (*METRICS, TOP5)
    p = np.array([[0.3, 0.2, 0.15, 0.15, 0.1, 0.1], [0.5, 0.1, 0.1, 0.1, 0.1, 0.1], [1 / 6] * 6])
    assert evaluate(p, np.array([4, 4, 4]))[TOP5] == 1.0
    assert evaluate(p, np.array([5, 5, 5]))[TOP5] == 0.0
    assert evaluate(p, np.array([5, 0, 4]))[TOP5] == pytest.approx(2 / 3)


@given(st.integers(0, 2**32))
def test_top_five_against_a_stable_sort(seed):
    rng = np.random.default_rng(seed)
    p, y = rng.integers(1, 4, size=(9, 8)) / 10, rng.integers(8, size=9)
    first = np.argsort(-p, axis=1, kind="stable")[:, :5]
    assert evaluate(p, y)[TOP5] == np.mean([y[i] in first[i] for i in range(9)])
