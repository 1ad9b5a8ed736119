"""Typicality: how close a point is to its nearest neighbours within its cluster, and the picks that follow."""

from typing import Literal

import numpy as np

from querist.arrays import Array, Bools, Hashes, Rows
from querist.kernels.jit import dense, jit


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
    mean_m = np.empty(len(rows))
    _mean_near(dense(x_N_d), rows, k, squared, mean_m)
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
    while queue and len(picked) < b:
        labelled, size, tie, rows = queue.pop(0)
        typical = typicality(x_N_d, rows, min(neighbours, max(1, len(rows) // 2)), squared=distance == "squared")
        best = int(np.lexsort((tie_N[rows], -typical))[0])
        picked.append(int(rows[best]))
        utility.append(float(typical[best]))
        if len(rows) > 1:
            queue.append((labelled + 1, size, tie, np.delete(rows, best)))
            if resort:
                queue.sort(key=lambda entry: entry[:3])
    return np.array(picked, np.intp), np.array(utility)


@jit
def _mean_near(x_N_d, rows, k, squared, mean_m):
    """Fill `mean_m` with the mean distance of every member to its k nearest others, kept sorted while scanning."""
    d = x_N_d.shape[1]
    near_k = np.empty(k)
    for i in range(len(rows)):
        u = x_N_d[rows[i]]
        near_k[:] = np.inf
        for other in range(len(rows)):
            if other == i:
                continue
            v = x_N_d[rows[other]]
            gap = 0.0
            for j in range(d):
                difference = np.float64(u[j]) - np.float64(v[j])
                gap += difference * difference
            if gap < near_k[k - 1]:
                place = k - 1
                while place > 0 and near_k[place - 1] > gap:
                    near_k[place] = near_k[place - 1]
                    place -= 1
                near_k[place] = gap
        mean_m[i] = near_k.mean() if squared else np.sqrt(near_k).mean()
