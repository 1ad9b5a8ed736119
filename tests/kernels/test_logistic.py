"""The logistic solver against scikit-learn, and against the two facts that make an optimum: no gradient, convexity."""

import warnings

import numpy as np
import pytest
from hypothesis import example, given, settings, strategies as st
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from querist.errors import DataError, FitError
from querist.kernels import logistic
from querist.kernels.inner import scores, softmax
from querist.kernels.logistic import fit_logistic


def problem(seed, l, d, classes, kind="plain"):
    """Unit rows with labels, every class seen at least once."""
    rng = np.random.default_rng(seed)
    classes = np.asarray(classes)
    l = max(l, len(classes))
    y = np.concatenate([classes, rng.choice(classes, l - len(classes))])
    if kind == "imbalanced":
        y[len(classes) :] = classes[0]
    x = rng.normal(size=(l, d))
    if kind == "separable":
        x += 4 * rng.normal(size=(int(classes.max()) + 1, d))[y]
    if kind == "duplicates":
        x = x[rng.integers(0, max(1, l // 3), l)]
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    if kind == "zeros":
        x[::3] = 0
    order = rng.permutation(l)
    return x[order], y[order]


def optimum(x, y, penalty):
    """Coefficients and intercepts of scikit-learn run as far as it goes, one row per seen class."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # it cannot lower the loss any more, which is the point
        model = LogisticRegression(C=penalty, tol=1e-10, max_iter=100_000).fit(x, y)
    if len(model.classes_) == 2:
        return np.vstack([-model.coef_, model.coef_]) / 2, np.hstack([-model.intercept_, model.intercept_]) / 2
    # What is common to all classes changes no probability; the solvers are free to choose it.
    return model.coef_ - model.coef_.mean(axis=0), model.intercept_ - model.intercept_.mean()


def gradient(x, y, head, penalty):
    """Gradient of the objective with respect to coefficients and intercepts, over the seen classes."""
    seen = np.unique(y)
    strength = penalty / 2 if len(seen) == 2 else penalty
    residual = softmax(x @ head.coef[seen].T + head.intercept[seen]) - (y[:, None] == seen)
    return np.hstack([strength * residual.T @ x + head.coef[seen], strength * residual.sum(axis=0)[:, None]])


KINDS = st.sampled_from(["plain", "imbalanced", "separable", "duplicates", "zeros"])
CLASSES = st.sampled_from([[0, 1], [3, 4], [0, 5, 7], [0, 1, 2, 3], [1, 2, 3, 5, 8], list(range(10))])


@given(st.integers(0, 10**6), st.integers(2, 90), st.integers(1, 30), CLASSES, KINDS, st.sampled_from([0.05, 1, 20]))
@example(0, 10, 40, list(range(10)), "plain", 20)  # one label per class, more dimensions than labels
@example(0, 200, 6, [0, 1, 2], "plain", 20)  # many more labels than dimensions
@example(1, 33, 16, list(range(9)), "duplicates", 20)
@settings(max_examples=60)
def test_equals_scikit_learn(seed, l, d, classes, kind, penalty):
    x, y = problem(seed, l, d, classes, kind)
    head = fit_logistic(x, y, 10, penalty)
    seen = np.unique(y)
    coef, intercept = optimum(x, y, penalty)
    np.testing.assert_allclose(head.coef[seen], coef, atol=1e-4)
    np.testing.assert_allclose(head.intercept[seen], intercept, atol=1e-4)
    z = np.random.default_rng(seed + 1).normal(size=(50, d))
    np.testing.assert_allclose(
        softmax(z @ head.coef.T + head.intercept)[:, seen], softmax(z @ coef.T + intercept), atol=1e-4
    )


@given(st.integers(0, 10**6), st.integers(2, 400), st.integers(1, 40), CLASSES, KINDS, st.floats(-4, 4))
@settings(max_examples=100)
def test_the_gradient_vanishes(seed, l, d, classes, kind, exponent):
    x, y = problem(seed, l, d, classes, kind)
    penalty = 10.0**exponent
    head = fit_logistic(x, y, 10, penalty)
    norm = np.linalg.norm(gradient(x, y, head, penalty))
    assert norm <= max(2e-5, 2e-7 * np.sqrt(penalty * len(y)))
    assert abs(head.coef.sum(axis=0)).max() <= 1e-6 * max(1, abs(head.coef).max())


@pytest.mark.parametrize("classes", [[0, 1, 2], [0, 1]])
def test_no_step_away_lowers_the_objective(classes):
    x, y = problem(0, 40, 5, classes)
    c = len(classes)
    head = fit_logistic(x, y, c, 20.0)

    def objective(coef, intercept):
        if c == 2:  # the binomial form, in which one row of coefficients is penalised
            w, b = coef[1] - coef[0], intercept[1] - intercept[0]
            sign = np.where(y == 1, 1, -1)
            return 20.0 * np.logaddexp(0, -sign * (x @ w + b)).sum() + w @ w / 2
        z = x @ coef.T + intercept
        return 20.0 * (np.logaddexp.reduce(z, axis=1) - z[np.arange(len(y)), y]).sum() + (coef**2).sum() / 2

    best = objective(head.coef, head.intercept)
    rng = np.random.default_rng(1)
    for size in (1e-3, 1e-1, 10):
        for _ in range(50):
            away = objective(head.coef + size * rng.normal(size=(c, 5)), head.intercept + size * rng.normal(size=c))
            assert away >= best - 1e-9


def test_digits_one_to_twenty_labels_per_class():
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    rng = np.random.default_rng(0)
    for l in (10, 50, 100, 200):
        rows = rng.choice(len(y), l, replace=False)
        head = fit_logistic(x[rows], y[rows], 10, 20.0)
        coef, intercept = optimum(x[rows], y[rows], 20.0)
        seen = np.unique(y[rows])
        np.testing.assert_allclose(head.coef[seen], coef, atol=1e-4)
        np.testing.assert_allclose(head.intercept[seen], intercept, atol=1e-4)
        assert head.steps < 60


@given(st.integers(0, 10**6), st.integers(2, 60), CLASSES, KINDS)
@settings(max_examples=30)
def test_the_order_of_the_labels_does_not_matter(seed, l, classes, kind):
    x, y = problem(seed, l, 12, classes, kind)
    order = np.random.default_rng(seed).permutation(len(y))
    z = np.random.default_rng(seed + 1).normal(size=(30, 12))
    z /= np.linalg.norm(z, axis=1, keepdims=True)
    first, second = (fit_logistic(x[o], y[o], 10, 20.0) for o in (np.arange(len(y)), order))
    p, q = (softmax(z @ head.coef.T + head.intercept) for head in (first, second))
    np.testing.assert_allclose(p, q, atol=1e-8)


def test_renaming_the_classes_renames_the_answer():
    x, y = problem(3, 50, 8, [0, 1, 2, 3])
    name = np.array([6, 2, 9, 4])
    before, after = fit_logistic(x, y, 4, 20.0), fit_logistic(x, name[y], 10, 20.0)
    np.testing.assert_allclose(after.coef[name], before.coef, atol=1e-6)
    np.testing.assert_allclose(after.intercept[name], before.intercept, atol=1e-6)


def test_rotating_the_features_rotates_the_coefficients():
    x, y = problem(4, 30, 9, [0, 1, 2])
    turn, _ = np.linalg.qr(np.random.default_rng(0).normal(size=(9, 9)))
    np.testing.assert_allclose(
        fit_logistic(x @ turn, y, 3, 20.0).coef, fit_logistic(x, y, 3, 20.0).coef @ turn, atol=1e-6
    )


def test_dimensions_of_zeros_change_nothing():
    x, y = problem(5, 30, 9, [0, 1, 2])
    wide = np.hstack([x, np.zeros((30, 14))])
    narrow, padded = fit_logistic(x, y, 3, 20.0), fit_logistic(wide, y, 3, 20.0)
    np.testing.assert_allclose(padded.coef, np.hstack([narrow.coef, np.zeros((3, 14))]), atol=1e-6)


def test_a_label_twice_weighs_like_twice_the_strength():
    x, y = problem(6, 25, 7, [0, 1, 2])
    twice = fit_logistic(np.vstack([x, x]), np.hstack([y, y]), 3, 20.0)
    np.testing.assert_allclose(twice.coef, fit_logistic(x, y, 3, 40.0).coef, atol=1e-6)


def test_the_bits_depend_on_the_problem_alone():
    jobs = [problem(s, l, 16, [0, 1, 2]) for s, l in enumerate((3, 100, 17, 100, 8))]
    alone = [fit_logistic(x, y, 3, 20.0) for x, y in jobs]
    for (x, y), head in list(zip(jobs, alone, strict=True))[::-1]:
        again = fit_logistic(np.asfortranarray(x), y.astype(np.int32), 3, 20)
        assert np.array_equal(again.coef, head.coef)
        assert np.array_equal(again.intercept, head.intercept)


def test_classes_without_labels_keep_their_rows():
    x, y = problem(7, 20, 4, [0, 5, 7])
    head = fit_logistic(x, y, 9, 20.0)
    unseen = [1, 2, 3, 4, 6, 8]
    assert head.coef.shape == (9, 4)
    assert (head.coef[unseen] == 0).all()
    assert (head.intercept[unseen] == -np.inf).all()
    assert (softmax(x @ head.coef.T + head.intercept)[:, unseen] == 0).all()


def test_an_unseen_class_is_a_limit():
    # Let the intercept of class 3, without labels, fall: the objective falls towards that of the answer, from above.
    x, y = problem(8, 30, 4, [0, 1, 2])
    head = fit_logistic(x, y, 4, 20.0)

    def objective(intercept):
        z = x @ head.coef.T + intercept
        return 20.0 * (np.logaddexp.reduce(z, axis=1) - z[np.arange(30), y]).sum() + (head.coef**2).sum() / 2

    falling = [objective(np.append(head.intercept[:3], b)) for b in (0.0, -5.0, -10.0, -20.0)]
    assert falling == sorted(falling, reverse=True)
    assert falling[-1] > objective(head.intercept)
    np.testing.assert_allclose(falling[-1], objective(head.intercept), atol=1e-4)


@pytest.mark.parametrize("l", [1, 5])
def test_one_class_has_probability_one(l):
    head = fit_logistic(np.eye(5)[:l], np.full(l, 2), 4, 20.0)
    assert softmax(np.ones((1, 5)) @ head.coef.T + head.intercept).tolist() == [[0, 0, 1, 0]]


def test_rows_of_zeros_leave_the_frequencies():
    y = np.array([0, 0, 0, 1, 2, 2])
    head = fit_logistic(np.zeros((6, 3)), y, 3, 20.0)
    np.testing.assert_allclose(softmax(head.intercept[None])[0], [1 / 2, 1 / 6, 1 / 3], atol=1e-6)
    assert (head.coef == 0).all()


@pytest.mark.parametrize(
    ("x", "y", "penalty", "words"),
    [
        (np.zeros((0, 3)), np.zeros(0, int), 1.0, "at least one row"),
        (np.zeros((2, 3)), np.zeros(3, int), 1.0, "a label for each"),
        (np.full((2, 3), np.nan), np.array([0, 1]), 1.0, "ids 0, 1"),
        (np.zeros((2, 3)), np.array([0, 3]), 1.0, r"0\.\.2"),
        (np.zeros((2, 3)), np.array([0, -1]), 1.0, r"0\.\.2"),
        (np.zeros((2, 3)), np.array([0, 1]), 0.0, "positive"),
        (np.zeros((2, 3)), np.array([0, 1]), np.inf, "finite"),
    ],
)
def test_bad_input(x, y, penalty, words):
    with pytest.raises(DataError, match=words):
        fit_logistic(x, y, 3, penalty)


def test_not_reaching_the_optimum_is_an_error(monkeypatch):
    stopped = lambda x, y, c, C, limit: (np.zeros((c, x.shape[1])), np.zeros(c), 1.0, 7)  # noqa: E731
    monkeypatch.setattr(logistic, "solve", stopped)
    with pytest.raises(FitError, match="in 7 steps"):
        fit_logistic(np.eye(3), np.arange(3), 3, 20.0)


def test_scores_of_the_head():
    x, y = problem(9, 20, 4, [0, 1])
    head = fit_logistic(x, y, 2, 20.0)
    np.testing.assert_allclose(scores(x, head.coef), x @ head.coef.T, atol=1e-12)
