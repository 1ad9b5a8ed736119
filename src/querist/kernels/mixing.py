"""How far a linear head's input must move towards other classes' means before the head changes its mind."""

from collections.abc import Callable

import numpy as np

from querist.arrays import Array, Labels, Rows
from querist.errors import UsageError
from querist.kernels.inner import scores, softmax
from querist.kernels.workers import each_block

BLOCK = 2**18
"""Entries of the rows that are mixed at a time."""

PROBED = 64
"""Rows on which it is checked that a head is what its weights say."""


def class_means(x_l_d: Array, y_l: Labels, c: int) -> Array:
    """Return ``(c, d)`` float64: the mean of the rows of every class, and that of all rows for a class without any."""
    means_c_d = np.tile(x_l_d.mean(axis=0, dtype=np.float64), (c, 1))
    for k in np.unique(y_l):
        means_c_d[k] = x_l_d[y_l == k].mean(axis=0, dtype=np.float64)
    return means_c_d


def weights_of(head: Callable[[Array], Array], x_n_d: Array) -> Array:
    """Return the weights ``(c, d)`` of a head that is an affine function, found by asking it.

    A class without labels may have a logit that is not affine, as long as its probability is 0.

    Raises:
        UsageError: on some of the rows the head is no affine function of its input.
    """
    d = x_n_d.shape[1]
    origin_c = head(np.zeros((1, d)))[0]
    weight_c_d = (head(np.eye(d)) - origin_c).T
    x_m_d = np.asarray(x_n_d[:PROBED], np.float64)
    logits = np.asarray(head(x_m_d), np.float64)
    guessed = scores(x_m_d, weight_c_d) + origin_c
    possible = softmax(logits) > 0.0
    slack = 1e-3 * max(1.0, float(np.abs(logits[possible]).max(initial=0.0)))
    if (np.abs(logits - guessed)[possible] > slack).any():
        raise UsageError(
            "Expected the learner's last layer to be an affine function of its input, and it is not. Take a learner "
            "whose last layer is linear, such as 'linear', or a strategy that only reads probabilities."
        )
    return weight_c_d


def first_change(
    head: Callable[[Array], Array], weight_c_d: Array, x_n_d: Array, anchor_c_d: Array, eps_t: Array, *, clip: bool
) -> Rows:
    """Return ``(n,)``: the first of t steps at which a row mixed with an anchor is predicted otherwise, t if none.

    Row z becomes ``(1 - a) z + a z*`` with ``a = eps |z* - z| / |g| * g / (z* - z)``, entry by entry, and g the
    gradient with respect to z of the cross-entropy with the predicted class. Identity: that is ``z + eps |z* - z| g /
    |g|``, so an anchor counts by its distance alone; and since the rows for which an affine head predicts one class are
    a convex set, the farthest anchor decides. With `clip` every entry of a is kept within 0..1 and every anchor is
    tried. Parvaneh et al., CVPR 2022. Time O(n c d), with `clip` O(t n c^2 d); memory O(n + block).

    Args:
        head: rows ``(m, d)`` to logits ``(m, c)``.
        weight_c_d: of the head, see `weights_of`.
        x_n_d: inputs of the head.
        anchor_c_d: means of classes.
        eps_t: ``(t,)`` steps, as shares of the distance to an anchor.
        clip: see above.
    """
    first_n, step = np.full(len(x_n_d), len(eps_t), np.intp), max(1, BLOCK // x_n_d.shape[1])

    def work(block: slice) -> None:
        x_m_d, logits_m_c = x_n_d[block].astype(np.float64), np.asarray(head(x_n_d[block]), np.float64)
        residual_m_c, predicted_m = softmax(logits_m_c), logits_m_c.argmax(axis=1)
        residual_m_c[np.arange(len(x_m_d)), predicted_m] -= 1.0
        gradient_m_d = scores(residual_m_c, weight_c_d.T)
        norm_m = np.sqrt(np.square(gradient_m_d).sum(axis=1, keepdims=True))
        # A row that is certain has no gradient and stays where it is.
        towards_m_d = gradient_m_d / np.where(norm_m > 0.0, norm_m, 1.0)
        gap_m_c = np.stack([np.sqrt(np.square(x_m_d - anchor_d).sum(axis=1)) for anchor_d in anchor_c_d], axis=1)
        slope_m_c = gap_m_c.max(axis=1, keepdims=True) * scores(towards_m_d, weight_c_d)
        for t in reversed(range(len(eps_t))):
            if not clip:
                changed_m = (logits_m_c + eps_t[t] * slope_m_c).argmax(axis=1) != predicted_m
                first_n[block][changed_m] = t
                continue
            for anchor_d, gap_m in zip(anchor_c_d, gap_m_c.T, strict=True):
                mixed_m_d = _clipped(x_m_d, anchor_d, eps_t[t] * gap_m[:, None] * towards_m_d)
                first_n[block][head(mixed_m_d).argmax(axis=1) != predicted_m] = t

    each_block(work, len(x_n_d), step)
    return first_n


def _clipped(x_m_d: Array, anchor_d: Array, step_m_d: Array) -> Array:
    towards_m_d = anchor_d - x_m_d
    share_m_d = np.divide(step_m_d, towards_m_d, out=np.zeros_like(step_m_d), where=towards_m_d != 0.0)
    return x_m_d + np.clip(share_m_d, 0.0, 1.0) * towards_m_d
