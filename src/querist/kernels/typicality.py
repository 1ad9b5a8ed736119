"""Typicality: how close a point is to its nearest neighbours within its cluster, and the picks that follow."""

from collections.abc import Callable
from typing import Literal, TypeAlias

import numpy as np

from querist.arrays import Array, Bools, Hashes, Rows
from querist.kernels.jit import dense, jit
from querist.kernels.workers import each_block
from querist.progress import tell

BLOCK = 256
"""Members of a cluster compared with all others at a time."""

WAVE = 8
"""Clusters that one thread takes at a time."""

Entry: TypeAlias = tuple[int, int, int, Rows]
"""A cluster in the queue: closed members, minus its size, its smallest hash, open members."""


def typicality(x_N_d: Array, rows: Rows, k: int, *, squared: bool = False) -> Array:
    """Return ``(m,)``: 1 / (mean distance to the `k` nearest other members + 1e-5); 0 where there is no other member.

    Args:
        x_N_d: points.
        rows: ``(m,)`` the members of one cluster.
        k: neighbours, at most ``m - 1`` of which are used; the point itself does not count, its duplicates do.
        squared: average squared distances, as the authors' code does, which ranks differently.
    """
    k = min(k, len(rows) - 1)
    if k < 1:
        return np.zeros(len(rows))
    x_m_d, mean_m = dense(x_N_d[rows]), np.empty(len(rows))
    with np.errstate(over="ignore", invalid="ignore"):
        c_m_d = (x_m_d - x_m_d.mean(axis=0, dtype=np.float64)).astype(np.float32)
        c2_m = np.einsum("md,md->m", c_m_d, c_m_d, dtype=np.float64)
    # A product tells who cannot be among the nearest, unless squares leave the range of float32; see `Nearest`.
    within = 1e-20 < c2_m.max() < 1e30
    slack = 2.0 * (x_m_d.shape[1] + 8) * 2.0**-24 if within else np.inf
    for start in range(0, len(rows), BLOCK):
        part = slice(start, start + BLOCK)
        product_p_m = c_m_d[part] @ c_m_d.T if within else np.zeros((len(rows[part]), len(rows)), np.float32)
        _mean_near(x_m_d, product_p_m, c2_m, slack, start, k, squared, mean_m[part])
    return 1.0 / (mean_m + 1e-5)


def typical_rows(
    x_N_d: Array,
    label_N: Rows,
    open_N: Bools,
    tie_N: Hashes,
    b: int,
    *,
    neighbours: int = 20,
    min_size: int = 5,
    distance: Literal["plain", "squared"] = "plain",
    resort: bool = False,
) -> tuple[Rows, Array]:
    """Return up to `b` open rows, the most typical of one cluster after the other, and their typicality.

    Clusters of more than `min_size` members are visited by fewest closed members, then largest size, in turn until `b`
    rows are found or none is left. Within a cluster the open members, without earlier picks, are each other's
    neighbours: at most `neighbours` and half of them. Hacohen, Dekel & Weinshall, ICML 2022.

    Args:
        x_N_d: points.
        label_N: cluster of each row; cluster numbers may have gaps.
        open_N: rows that may be picked; the others are labelled.
        tie_N: smallest wins, among rows and among clusters (by their smallest member).
        b: the most picks.
        neighbours: the most neighbours a typicality averages over.
        min_size: clusters with at most as many members, labelled ones included, are left out.
        distance: plain as in the paper or squared as in the authors' code.
        resort: order the clusters again after every pick, which counts as labelled.
    """
    order = np.argsort(label_N, kind="stable")
    first = np.flatnonzero(np.diff(label_N[order], prepend=-1))
    members = [rows for rows in np.split(order, first[1:]) if len(rows) > min_size]
    queue = [
        (int((~open_N[rows]).sum()), -len(rows), int(tie_N[rows].min()), rows[open_N[rows]])
        for rows in members
    ]  # fmt: skip
    queue = sorted((entry for entry in queue if len(entry[3])), key=lambda entry: entry[:3])
    picked: list[int] = []
    utility: list[float] = []
    known: dict[int, Array] = {}

    def look(entry: Entry) -> Array:
        rows = entry[3]
        return typicality(x_N_d, rows, min(neighbours, max(1, len(rows) // 2)), squared=distance == "squared")

    while queue and len(picked) < b:
        if queue[0][2] not in known:
            # Visits to different clusters do not touch one another, so all that may come next are prepared together.
            wave = [entry for entry in queue[: b - len(picked)] if entry[2] not in known]
            known |= zip((entry[2] for entry in wave), _each(look, wave), strict=True)
        labelled, size, tie, rows = queue.pop(0)
        typical = known.pop(tie)
        best = int(np.lexsort((tie_N[rows], -typical))[0])
        picked.append(int(rows[best]))
        utility.append(float(typical[best]))
        tell("picking", len(picked), b)
        if len(rows) > 1:
            queue.append((labelled + 1, size, tie, np.delete(rows, best)))
            if resort:
                queue.sort(key=lambda entry: entry[:3])
    return np.array(picked, np.intp), np.array(utility)


def _each(look: Callable[[Entry], Array], wave: list[Entry]) -> list[Array]:
    """Return what `look` says of every entry, several at a time where workers are allowed."""
    found: list[Array] = [np.empty(0)] * len(wave)

    def work(block: slice) -> None:
        found[block] = [look(entry) for entry in wave[block]]

    each_block(work, len(wave), WAVE)
    return found


@jit
def _put(value, near_k):
    """Insert a value into a sorted list of the smallest, if it belongs there."""
    place = len(near_k) - 1
    if value < near_k[place]:
        while place > 0 and near_k[place - 1] > value:
            near_k[place] = near_k[place - 1]
            place -= 1
        near_k[place] = value


@jit
def _mean_near(x_m_d, product_p_m, c2_m, slack, start, k, squared, mean_p):
    """Fill the mean distance of members from `start` on to their k nearest others."""
    m, d = x_m_d.shape
    near_k = np.empty(k)
    for p in range(len(mean_p)):
        i, product_m = start + p, product_p_m[p]
        u = x_m_d[i]
        limit = np.inf
        if slack < np.inf:
            near_k[:] = np.inf
            for other in range(m):
                if other != i:
                    _put((1.0 + slack) * (c2_m[i] + c2_m[other]) - 2.0 * np.float64(product_m[other]), near_k)
            # The k-th smallest of upper bounds: nobody farther than that for certain is among the k nearest.
            limit = near_k[k - 1] + 1e-30
        near_k[:] = np.inf
        for other in range(m):
            least = (1.0 - slack) * (c2_m[i] + c2_m[other]) - 2.0 * np.float64(product_m[other])
            if other == i or (slack < np.inf and least > limit):
                continue
            v = x_m_d[other]
            gap = 0.0
            for j in range(d):
                difference = np.float64(u[j]) - np.float64(v[j])
                gap += difference * difference
            _put(gap, near_k)
        mean_p[p] = near_k.mean() if squared else np.sqrt(near_k).mean()
