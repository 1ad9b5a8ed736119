"""The Laplace approximation of a last layer: a Gaussian over its weights, from the curvature at the fitted ones."""

from typing import NamedTuple

import numpy as np
from scipy.linalg import cholesky, solve_triangular

from querist.arrays import Array, require_finite
from querist.errors import DataError

FULL = 1024
"""Weights and intercepts together up to which their whole covariance is used; beyond, a Kronecker product."""


class LastLayer(NamedTuple):
    """A Gaussian over the weights and intercepts of a last layer.

    Of the two factors, one is given: the whole one, or the three parts of the product.
    """

    mean: Array
    """``(c, d + 1)`` float64: the fitted weights, intercepts last."""
    whole: Array | None = None
    """Upper triangular ``(c (d + 1), c (d + 1))`` with ``whole.T @ whole`` the precision, rows of classes in turn."""
    classes: Array | None = None
    """Eigenvectors ``(c, c)`` of the mean curvature over the classes, in columns."""
    inputs: Array | None = None
    """Eigenvectors ``(d + 1, d + 1)`` of the second moment of the inputs, in columns."""
    scale: Array | None = None
    """Standard deviations ``(c, d + 1)`` along the products of both."""

    def at(self, noise_c_d: Array) -> Array:
        """Return the weights ``(c, d + 1)`` that standard normal numbers of this shape lead to."""
        if self.whole is not None:
            step = solve_triangular(self.whole, noise_c_d.reshape(-1), lower=False).reshape(self.mean.shape)
        else:
            assert self.classes is not None  # one or the other
            assert self.inputs is not None
            assert self.scale is not None
            step = self.classes @ (noise_c_d * self.scale) @ self.inputs.T
        return self.mean + step


def last_layer(x_l_d: Array, p_l_c: Array, weight_c_d: Array, bias_c: Array, precision: float) -> LastLayer:
    """Return the Laplace approximation of a softmax layer at weights fitted with a Gaussian prior.

    With the input extended by a 1, ``u = (x, 1)``, the precision is the sum of the Kronecker products of
    ``diag(p_i) - p_i p_i^T`` and ``u_i u_i^T``, plus `precision` times the identity. Of a layer that is linear in its
    weights the generalised Gauss-Newton matrix is the Hessian itself, so the sum is exact. Intercepts get the prior as
    well: the direction in which all of them move together has no curvature. Beyond `FULL` numbers the sum of products
    becomes the product of the mean of the first factors and the sum of the second, whose eigenvectors keep the prior
    exact.

    Args:
        x_l_d: ``(l, d)`` inputs of the layer for the rows it was fitted on.
        p_l_c: ``(l, c)`` its probabilities there.
        weight_c_d: ``(c, d)`` the fitted weights.
        bias_c: ``(c,)`` the fitted intercepts.
        precision: of the prior, above 0.

    Raises:
        DataError: shapes do not fit, a value is not finite, or the precision is not positive.

    Source: MacKay, Neural Computation 1992; the product: Ritter, Botev & Barber, ICLR 2018; last layer alone:
    Kristiadi, Hein & Hennig, ICML 2020.
    """
    (l, d), c = x_l_d.shape, len(bias_c)
    if p_l_c.shape != (l, c) or weight_c_d.shape != (c, d) or not 0 < precision < np.inf:
        raise DataError(
            f"Expected probabilities ({l}, {c}), weights ({c}, {d}) and a precision above 0, got {p_l_c.shape}, "
            f"{weight_c_d.shape} and {precision}."
        )
    for what, values in (("inputs of the last layer", x_l_d), ("its weights", weight_c_d), ("its intercepts", bias_c)):
        require_finite(values, what)
    mean = np.column_stack([weight_c_d, bias_c]).astype(np.float64)
    u, p = np.column_stack([x_l_d, np.ones(l)]).astype(np.float64), p_l_c.astype(np.float64)
    if mean.size <= FULL:
        blocks = np.empty((c, d + 1, c, d + 1))
        for a in range(c):
            for b in range(a, c):
                curvature_l = p[:, a] * ((a == b) - p[:, b])
                blocks[a, :, b] = blocks[b, :, a] = u.T @ (u * curvature_l[:, None])
        matrix = blocks.reshape(mean.size, mean.size)
        matrix[np.diag_indices_from(matrix)] += precision
        return LastLayer(mean, whole=cholesky(matrix, lower=False))
    mean_curvature = (np.diag(p.sum(axis=0)) - p.T @ p) / max(l, 1)
    first, classes = np.linalg.eigh(mean_curvature)
    second, inputs = np.linalg.eigh(u.T @ u)
    # Rounding makes eigenvalues that are 0 negative.
    scale = 1 / np.sqrt(np.maximum(first, 0)[:, None] * np.maximum(second, 0) + precision)
    return LastLayer(mean, classes=classes, inputs=inputs, scale=scale)
