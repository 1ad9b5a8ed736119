"""Greedy choice of gradient steps that lower the loss on validation rows, and what keeps the steps diverse."""

from typing import Literal

import numpy as np

from querist.arrays import Array, Labels, Rows
from querist.kernels.jit import dense, jit
from querist.kernels.matching import BLOCK, Products
from querist.kernels.threads import single_threaded_blas
from querist.kernels.workers import each_block
from querist.progress import tell

TILE = 512
"""Rows whose distances to as many others are looked at together."""

TINY = 1e-30
"""The smallest probability a logit is taken of."""


class Validation:
    """Rows with labels whose loss is to fall, under a linear last layer that takes steps; a closed form on logits.

    Args:
        p_v_c: probabilities before any step.
        label_v: class of each row.
        embedding_v_d: input of the last layer.
    """

    def __init__(self, p_v_c: Array, label_v: Labels, embedding_v_d: Array) -> None:
        self._z_v_d, self._label_v = dense(embedding_v_d), label_v
        self._logits_v_c = np.log(np.maximum(p_v_c, TINY, dtype=np.float64)).astype(self._z_v_d.dtype)

    def step(self, move_c_d: Array) -> None:
        """Take a step off the weights: logits change by ``-move z``."""
        narrow = move_c_d.astype(self._z_v_d.dtype)
        with single_threaded_blas():
            for block in self._blocks():
                self._logits_v_c[block] -= self._z_v_d[block] @ narrow.T

    def step_along(self, eta: float, residual_c: Array, embedding_d: Array) -> None:
        """Take a step of length `eta` against the gradient ``residual (x) embedding``."""
        dtype = self._z_v_d.dtype
        along, z_d = (eta * residual_c.astype(np.float64)).astype(dtype), embedding_d.astype(dtype)
        with single_threaded_blas():
            for block in self._blocks():
                self._logits_v_c[block] -= np.multiply.outer(self._z_v_d[block] @ z_d, along)

    def gradient(self) -> Array:
        """Return the mean gradient of the loss, ``(c, d)`` float64."""
        total_c_d = np.zeros((self._logits_v_c.shape[1], self._z_v_d.shape[1]))
        with single_threaded_blas():
            for block in self._blocks():
                logits_m_c = self._logits_v_c[block]
                p_m_c = np.exp(logits_m_c - logits_m_c.max(axis=1, keepdims=True))
                p_m_c /= p_m_c.sum(axis=1, keepdims=True)
                p_m_c[np.arange(len(p_m_c)), self._label_v[block]] -= 1.0
                total_c_d += p_m_c.T @ self._z_v_d[block]
        return total_c_d / len(self._z_v_d)

    def _blocks(self) -> list[slice]:
        return [slice(start, start + BLOCK) for start in range(0, len(self._z_v_d), BLOCK)]


class Facility:
    """By how much a pick lowers the sum of distances in gradient space of all rows to the nearest pick.

    Before the first pick a row is as far as its own gradient is long, as if 0 were a pick. Gains never rise, so earlier
    ones bound the present ones, and few are computed anew. The first ones take time O(n^2 (c + d)).
    """

    def __init__(self, products: Products, residual_n_c: Array, embedding_n_d: Array) -> None:
        self._products = products
        self.near_n = np.sqrt(products.size_n)
        a_n_c, z_n_d, size_n = dense(residual_n_c), dense(embedding_n_d), products.size_n
        n = len(size_n)
        self.bound_n = np.zeros(n)

        def work(block: slice) -> None:
            a_m_c, z_m_d = a_n_c[block].astype(np.float64), z_n_d[block].astype(np.float64)
            for start in range(0, n, TILE):
                other = slice(start, start + TILE)
                product = (a_m_c @ a_n_c[other].T.astype(np.float64)) * (z_m_d @ z_n_d[other].T.astype(np.float64))
                _add_gains(product, size_n[block], size_n[other], self.near_n[other], self.bound_n[block])

        each_block(work, n, TILE, what="comparing gradients")
        # Rounding of a difference of squares, whose root it may become.
        self.bound_n += 1e-6 * np.sqrt(size_n.max(initial=0.0)) * n

    def gain(self, row: int) -> float:
        """Return the gain of a row, which bounds its later ones."""
        self.bound_n[row] = value = float(np.maximum(self.near_n - np.sqrt(self._products.apart(row)), 0.0).sum())
        return value

    def add(self, row: int) -> None:
        """Make a row a pick."""
        np.minimum(self.near_n, np.sqrt(self._products.apart(row)), out=self.near_n)


@single_threaded_blas()
def glister_greedy(
    products: Products,
    factors: tuple[Array, Array],
    validation: Validation,
    b: int,
    *,
    eta: float,
    regulariser: Literal["none", "fac_loc", "diversity"] = "none",
    strength: float = 0.0,
) -> tuple[Rows, Array]:
    """Return `b` rows, each the one whose gradient step lowers the loss on validation rows most, and these gains.

    ``gain_j = <g_j, G> + regulariser``, G the mean gradient on validation rows after the steps of all earlier picks,
    computed anew after each. ``diversity`` takes ``strength sum_s exp(-|g_j - g_s|^2 / 2)`` away, over picks s;
    ``fac_loc`` adds `strength` times the gain of `Facility`. Killamsetty et al., AAAI 2021.

    Args:
        products: of the candidates' gradients.
        factors: residuals and embeddings of the same.
        validation: at the weights to begin from; changed.
        b: number of rows.
        eta: length of a step.
        regulariser: what keeps picks apart.
        strength: its weight.
    """
    residual_n_c, embedding_n_d = factors
    extra_n = np.zeros(len(products.size_n))
    facility = Facility(products, residual_n_c, embedding_n_d) if regulariser == "fac_loc" and strength else None
    rows, gain = np.empty(b, np.intp), np.empty(b)
    for step in range(b):
        g_c_d = validation.gradient()
        if facility is None:
            row, value = products.largest(g_c_d, extra_n)
        else:
            row, value = _with_facility(products, facility, g_c_d, extra_n, strength)
        rows[step], gain[step], extra_n[row] = row, value, -np.inf
        if step + 1 < b:
            validation.step_along(eta, residual_n_c[row], embedding_n_d[row])
            if facility is not None:
                facility.add(row)
            elif regulariser == "diversity" and strength:
                extra_n -= strength * np.exp(-0.5 * products.apart(row))
        tell("picking", step + 1, b)
    return rows, gain


def _with_facility(
    products: Products, facility: Facility, g_c_d: Array, extra_n: Array, strength: float
) -> tuple[int, float]:
    """Return the row of largest ``<g_j, G> + strength gain_j + extra_j``, and that value."""
    toward_n = products.with_matrix(g_c_d) + extra_n
    order = np.argsort(-(toward_n + strength * facility.bound_n), kind="stable")
    value_n, best = np.full(len(order), -np.inf), -np.inf
    for row in order.tolist():
        if toward_n[row] + strength * facility.bound_n[row] < best or extra_n[row] == -np.inf:
            break
        value_n[row] = toward_n[row] + strength * facility.gain(row)
        best = max(best, float(value_n[row]))
    return products.first(value_n), best


@jit
def _add_gains(product, size_m, size_k, near_k, gain_m):
    for i in range(len(product)):
        row, total = product[i], 0.0
        for j in range(len(row)):
            apart = np.sqrt(max(size_m[i] + size_k[j] - 2.0 * row[j], 0.0))
            total += max(near_k[j] - apart, 0.0)
        gain_m[i] += total
