"""Mixing against the formula of the paper, anchor by anchor and entry by entry."""

import numpy as np
import pytest
from scipy.special import softmax

from querist.errors import UsageError
from querist.kernels import mixing
from querist.kernels.mixing import class_means, first_change, weights_of


def linear(d=5, c=4, seed=0):
    weight, bias = np.random.default_rng(seed).normal(size=(c, d)), np.linspace(-0.4, 0.4, c)
    return weight, lambda x: np.asarray(x, np.float64) @ weight.T + bias


def rows(n=80, d=5, seed=1):
    return np.random.default_rng(seed).normal(size=(n, d))


def published(head, weight, x, anchors, eps, clip):
    """Mix every row with every anchor by shares a; return who changes, and how far the rows move."""
    changed, moved = np.zeros(len(x), bool), np.zeros((len(x), len(anchors)))
    for i, z in enumerate(x):
        p = softmax(head(z[None])[0])
        label = p.argmax()
        g = weight.T @ (p - np.eye(len(p))[label])
        for k, anchor in enumerate(anchors):
            share = eps * np.linalg.norm(anchor - z) / np.linalg.norm(g) * g / (anchor - z)
            share = np.clip(share, 0, 1) if clip else share
            mixed = (1 - share) * z + share * anchor
            moved[i, k] = np.linalg.norm(mixed - z)
            changed[i] |= head(mixed[None])[0].argmax() != label
    return changed, moved


@pytest.mark.parametrize("clip", [False, True])
@pytest.mark.parametrize("eps", [0.02, 0.05, 0.15])
def test_equals_the_published_mixture(clip, eps, monkeypatch):
    monkeypatch.setattr(mixing, "BLOCK", 60)
    weight, head = linear()
    x, anchors = rows(), 2 * rows(4, seed=2)
    changed, moved = published(head, weight, x, anchors, eps, clip)
    first = first_change(head, weight, x, anchors, np.array([eps, 1.5 * eps]), clip=clip)
    assert (first == 0).tolist() == changed.tolist()
    later, _ = published(head, weight, x, anchors, 1.5 * eps, clip)
    assert (first < 2).tolist() == (changed | later).tolist()
    assert 0 < changed.sum() < 80
    if not clip:
        gap = np.linalg.norm(x[:, None] - anchors[None], axis=2)
        np.testing.assert_allclose(moved, eps * gap, rtol=1e-9)


def test_the_gradient_is_that_of_the_cross_entropy():
    weight, head = linear()
    z = rows(1)[0]
    p = softmax(head(z[None])[0])
    label = p.argmax()
    steps = 1e-6 * np.eye(5)
    loss = [-np.log(softmax(head(z + sign * steps), axis=1)[:, label]) for sign in (1, -1)]
    np.testing.assert_allclose(weight.T @ (p - np.eye(4)[label]), (loss[0] - loss[1]) / 2e-6, atol=1e-7)


def test_a_row_without_a_gradient_never_changes():
    weight, _ = linear()
    x, anchors = rows(20), 100 * rows(4, seed=2)
    certain = lambda x: 5000.0 * (np.asarray(x, np.float64) @ weight.T)  # noqa: E731
    p = softmax(certain(x), axis=1)
    zero = (p > 0).sum(axis=1) == 1
    assert zero.sum() > 10
    for clip in (False, True):
        assert (first_change(certain, 5000 * weight, x, anchors, np.array([50.0]), clip=clip)[zero] == 1).all()


def test_M15_anchors_are_the_means_of_their_classes_and_of_all_where_a_class_is_missing():
    x, y = rows(9), np.array([0, 5, 7, 5, 0, 7, 7, 0, 5])
    means = class_means(x.astype(np.float32), y, 9)
    for k in range(9):
        np.testing.assert_allclose(means[k], x[y == k].mean(axis=0) if k in y else x.mean(axis=0), atol=1e-6)


def test_weights_are_found_by_asking_and_a_bent_head_is_refused():
    weight, head = linear()
    np.testing.assert_allclose(weights_of(head, rows()), weight, atol=1e-12)
    with pytest.raises(UsageError, match="affine"):
        weights_of(lambda x: head(x) ** 2, rows())
    unseen = lambda x: np.column_stack([head(x), head(x).max(axis=1) - 1000.0])  # noqa: E731
    np.testing.assert_allclose(weights_of(unseen, rows())[:4], weight, atol=1e-12)
