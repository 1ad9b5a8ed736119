"""Diffusion on a neighbour graph: the normalised graph, and the field that sources spread over it."""

from typing import Any

import numpy as np
from scipy import sparse

from querist.arrays import Array, Bools

ROWS = 512
"""Rows whose neighbours are gathered at once."""


def normalised_graph(x_N_d: Array, indices_N_k: Any, gamma: float) -> sparse.csr_array:
    """Return ``S = D^-1/2 W D^-1/2`` of the symmetrised graph of similarities to neighbours.

    ``W_ij = max(0, x_i . x_j)^gamma`` for j among the neighbours of i, then ``W + W^T``. Rows without any positive
    similarity stay empty: nothing flows to them.

    Args:
        x_N_d: unit rows.
        indices_N_k: neighbours of each row, without the row itself.
        gamma: how fast similarity falls.
    """
    N, k = indices_N_k.shape
    weight_N_k = np.empty((N, k))
    for start in range(0, N, ROWS):
        block = slice(start, start + ROWS)
        near = x_N_d[indices_N_k[block]]
        weight_N_k[block] = np.einsum("nd,nkd->nk", x_N_d[block], near, dtype=np.float64, casting="unsafe")
    np.maximum(weight_N_k, 0.0, out=weight_N_k)
    weight_N_k **= gamma
    starts = np.arange(0, N * k + 1, max(k, 1))[: N + 1] if k else np.zeros(N + 1, np.int64)
    one_way = sparse.csr_array((weight_N_k.ravel(), np.asarray(indices_N_k).ravel(), starts), shape=(N, N))
    both_ways = (one_way + one_way.T).tocsr()
    both_ways.eliminate_zeros()
    degree_N = np.asarray(both_ways.sum(axis=1)).ravel()
    scale_N = np.divide(1.0, np.sqrt(degree_N), out=np.zeros(N), where=degree_N > 0)
    rows = np.repeat(np.arange(N), np.diff(both_ways.indptr))
    both_ways.data *= scale_N[rows] * scale_N[both_ways.indices]
    return both_ways


def diffused(graph: sparse.csr_array, source_N: Array, alpha: float, *, steps: int, tolerance: float) -> Array:
    """Return ``(I - alpha S)^-1 source``, float64 of the shape of the source, by conjugate gradients.

    The matrix is symmetric with eigenvalues in ``[1 - alpha, 1 + alpha]``, so each step divides the error by a constant
    at least. It stops when the residual is below `tolerance` times the source, or after `steps`.

    Args:
        graph: of `normalised_graph`.
        source_N: what is spread, or several of them as columns ``(N, m)``: each has steps of its own and stops by
            itself, but the graph is read once for all.
        alpha: between 0 and 1: how far.
        steps: at most so many products with the graph.
        tolerance: of the residual, relative.
    """
    field_N = np.zeros(np.shape(source_N))
    residual_N = np.asarray(source_N, np.float64).copy()
    direction_N, square = residual_N.copy(), _dot(residual_N, residual_N)
    enough = tolerance**2 * square
    for _ in range(steps):
        going = square > enough
        if not np.any(going):
            break
        image_N = direction_N - alpha * (graph @ direction_N)
        step = _quotient(square, _dot(direction_N, image_N), going)
        field_N += step * direction_N
        residual_N -= step * image_N
        earlier, square = square, _dot(residual_N, residual_N)
        direction_N = residual_N + _quotient(square, earlier, going) * direction_N
    return field_N


def _dot(u_N: Array, v_N: Array) -> Array:
    """Return the inner product of two fields, of each pair of columns if there are several."""
    return np.asarray(u_N @ v_N if u_N.ndim == 1 else np.einsum("Nm,Nm->m", u_N, v_N))


def _quotient(above: Array, below: Array, going: Bools) -> Array:
    """Return ``above / below``, 0 for fields that are done."""
    return np.divide(above, below, out=np.zeros(above.shape), where=going)
