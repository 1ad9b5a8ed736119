"""Robust k-center as an integer programme: the smallest balls around picks and labels that hold all but a few rows."""

from time import monotonic
from typing import NamedTuple

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import coo_array, csr_array, eye_array, hstack

from querist.arrays import Array, Bools, Hashes, Rows
from querist.errors import UsageError
from querist.kernels.farthest_first import farthest_first, nearest_to_mean
from querist.kernels.owners import owners
from querist.kernels.radius_graph import radius_graph
from querist.kernels.representatives import complete
from querist.progress import tell

ROUNDING = 1e-9
"""Distances that differ by this share are taken for equal."""

BLOCK = 2**20
"""Numbers of the rows whose distances are computed at a time."""

LIMITED = 1
"""What the solver says when it stopped at its limit of nodes or of time."""


class Robust(NamedTuple):
    """Picks and how well they cover."""

    rows: Rows
    gap: Array
    """How far the greedy picks were from what was covered when they were picked."""
    radius: float
    """All but as many rows as may be outliers lie within it of a pick or label."""
    exact: bool
    """Whether it is proved, up to the tolerance, that no radius is smaller."""
    greedy: bool
    """Whether the picks are the greedy ones because the programme was too large."""


class _Pairs(NamedTuple):
    """Who can cover whom, and from how far."""

    row: Rows
    centre: Rows
    gap: Array


def robust_k_center(
    x_N_d: Array,
    centres: Rows,
    open_N: Bools,
    tie_N: Hashes,
    b: int,
    *,
    outliers: int,
    pairs: int,
    nodes: int,
    tolerance: float,
    seconds: float,
) -> Robust:
    """Return `b` open rows for which the radius that covers all but `outliers` rows is smallest.

    The greedy picks give a radius R. Among all distances up to R the smallest is sought by bisection for which
    binaries ``u_j`` exist with ``sum_j u_j <= b`` and ``sum_(j within r of i) u_j + xi_i >= 1`` for every row i that no
    centre covers, ``sum_i xi_i <= outliers``. That is the programme of Sener & Savarese, ICLR 2018, with their
    assignments ``w_ij`` projected out: a row may be assigned to any pick that is near enough. Columns stand in the
    order of `tie_N`. At the smallest radius the programme is solved once more for the fewest picks, and of those the
    ones that reach most rows, so that no pick is spent on an outlier. Picks left over are farthest-first among covered
    rows.

    Args:
        x_N_d: points.
        centres: rows that are covered and cover already.
        open_N: rows that may be picked; at least `b`.
        tie_N: smallest wins.
        b: number of picks.
        outliers: rows that need not be covered.
        pairs: the most pairs of rows within R of each other; with more of them the greedy picks are the answer.
        nodes: the most nodes of a search tree. A radius undecided by then is taken for impossible.
        tolerance: bisection ends when the radius is known up to this share of itself; 0 goes on to the end.
        seconds: the most that the solver may take for all of it.

    Raises:
        UsageError: `seconds` are over. Picks must not depend on a clock, so there is no answer then.
    """
    rows, gap_b = _greedy(x_N_d, centres, open_N, tie_N, b)
    everything = np.arange(len(x_N_d))
    gap_N = owners(x_N_d, everything, np.append(centres, rows))[1]
    place = len(gap_N) - 1 - min(outliers, len(gap_N) - 1)
    radius = float(np.partition(gap_N, place)[place])
    if radius == 0.0:
        return Robust(rows, gap_b, radius, exact=True, greedy=False)
    found = _pairs(x_N_d, open_N, radius, pairs)
    if found is None:
        return Robust(rows, gap_b, radius, exact=False, greedy=True)
    near_N = owners(x_N_d, everything, centres)[1] if len(centres) else np.full(len(x_N_d), np.inf)
    radii = np.unique(np.concatenate([found.gap, near_N, [radius]]))
    radii = radii[radii <= radius]
    least, most, exact = 0, len(radii) - 1, True
    if outliers == 0 and len(centres) + np.count_nonzero(open_N) == len(x_N_d):
        # Greedy picks are within twice the optimum when every row may be picked.
        least = int(np.searchsorted(radii, 0.5 * radius * (1.0 - ROUNDING)))
    end, steps = monotonic() + seconds, int(np.ceil(np.log2(max(most - least, 1) + 1)))
    step = 0
    while radii[most] - radii[least] > tolerance * radii[most]:
        tell("solving", min(step, steps), steps)
        middle, step = (least + most) // 2, step + 1
        tried = _covering(found, near_N, tie_N, float(radii[middle]), b, outliers, nodes, end, fewest=False)
        if isinstance(tried, bool):
            least, exact = middle + 1, exact and tried
        else:
            most, rows = middle, tried
    tell("solving", steps, steps)
    radius = float(radii[most])
    tried = _covering(found, near_N, tie_N, radius, b, outliers, nodes, end, fewest=True)
    rows = rows if isinstance(tried, bool) else tried
    if len(rows) < b:
        covered_N = near_N <= radius * (1.0 + ROUNDING)
        if len(rows):
            covered_N |= owners(x_N_d, everything, rows)[1] <= radius * (1.0 + ROUNDING)
        spared = min(b, int(np.count_nonzero(open_N & covered_N)))
        rows = complete(x_N_d, rows, centres, open_N & covered_N, tie_N, spared)
        rows = complete(x_N_d, rows, centres, open_N, tie_N, b)
    return Robust(rows, gap_b, radius, exact, greedy=False)


def _greedy(x_N_d: Array, centres: Rows, open_N: Bools, tie_N: Hashes, b: int) -> tuple[Rows, Array]:
    """Return the picks of greedy k-center and their distances; without centres it begins nearest to the mean."""
    if len(centres):
        return farthest_first(x_N_d, centres, open_N, tie_N, b)
    first = nearest_to_mean(x_N_d, open_N, tie_N)
    open_N = open_N.copy()
    open_N[first] = False
    rows, gap = farthest_first(x_N_d, np.array([first]), open_N, tie_N, min(b, int(open_N.sum())))
    # The first pick has no distance of its own; it is given that of the second.
    return np.append(first, rows)[:b], np.append(gap[:1] if len(gap) else np.zeros(1), gap)[:b]


def _pairs(x_N_d: Array, open_N: Bools, radius: float, most: int) -> _Pairs | None:
    """Return all pairs of a row and an open row within a radius, a row and itself among them; None if too many."""
    graph = radius_graph(x_N_d, radius * (1.0 + 2.0 * ROUNDING), most=most)
    if graph is None:
        return None
    row = np.repeat(np.arange(graph.size), np.diff(graph.indptr))
    near = open_N[graph.indices]
    own = np.flatnonzero(open_N)
    row, centre = np.append(row[near], own), np.append(graph.indices[near], own).astype(np.intp)
    gap, step = np.empty(len(row)), max(1, BLOCK // x_N_d.shape[1])
    for start in range(0, len(row), step):
        part = slice(start, start + step)
        difference = x_N_d[row[part]].astype(np.float64) - x_N_d[centre[part]]
        gap[part] = np.sqrt(np.einsum("pd,pd->p", difference, difference))
    return _Pairs(row, centre, gap)


def _covering(
    pairs: _Pairs,
    near_N: Array,
    tie_N: Hashes,
    radius: float,
    b: int,
    outliers: int,
    nodes: int,
    end: float,
    *,
    fewest: bool,
) -> Rows | bool:
    """Return rows that cover enough within a radius, at most `b`; or else whether it is proved that there are none."""
    reach = radius * (1.0 + ROUNDING)
    needy_N = near_N > reach
    if np.count_nonzero(needy_N) <= outliers:
        return np.empty(0, np.intp)
    usable = (pairs.gap <= reach) & needy_N[pairs.row]
    row, centre = pairs.row[usable], pairs.centre[usable]
    needy, column = np.flatnonzero(needy_N), np.unique(centre)
    if not len(column):
        return True
    column = column[np.argsort(tie_N[column])]
    # Rows, too, in the order of their hashes: the solver must not know where they stood.
    needy = needy[np.argsort(tie_N[needy])]
    at_row, at_column = np.empty(len(near_N), np.intp), np.empty(len(near_N), np.intp)
    at_row[needy], at_column[column] = np.arange(len(needy)), np.arange(len(column))
    entries = (np.ones(len(row)), (at_row[row], at_column[centre]))
    covers = coo_array(entries, shape=(len(needy), len(column))).tocsr()
    covers.sort_indices()
    m = len(needy) if outliers else 0
    whole = csr_array(hstack([covers, eye_array(m)]) if m else covers)
    reached = np.bincount(at_column[centre], minlength=len(column))
    # Below 1 in sum, so that no number of reached rows outweighs a pick.
    cost = 1.0 - reached / ((reached.max() + 1.0) * b) if fewest else np.zeros(len(column))
    picks, spared = np.append(np.ones(len(column)), np.zeros(m)), np.append(np.zeros(len(column)), np.ones(m))
    limits = [LinearConstraint(whole, lb=1.0), LinearConstraint(picks[None], ub=b)]
    limits += [LinearConstraint(spared[None], ub=outliers)] if m else []
    left = end - monotonic()
    result = None if left <= 0.0 else milp(
        np.append(cost, np.zeros(m)), integrality=picks, bounds=Bounds(0, 1), constraints=limits,
        options={"time_limit": left, "node_limit": nodes},
    )  # fmt: skip
    # Of several coverings the best one found so far depends on the clock, too.
    if result is None or (result.status == LIMITED and monotonic() >= end):
        raise UsageError(
            "the exact search for a robust covering was not done in time. Allow it more `seconds`, fewer `pairs` or "
            "`nodes`, or take 'k_center_greedy', which needs a fraction of the time."
        )
    if result.x is not None:
        return column[result.x[: len(column)] > 0.5]
    return result.status != LIMITED
