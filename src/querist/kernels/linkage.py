"""Average-linkage clustering, exact and without a matrix of all pairs: a cluster is a mean, a spread and a size."""

from collections.abc import Iterator
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from querist.arrays import Array, Hashes, Rows
from querist.kernels.jit import jit
from querist.kernels.threads import single_threaded_blas
from querist.kernels.workers import each_block
from querist.progress import tell

BLOCK = 256
"""Clusters whose neighbours one thread seeks at a time."""

CHUNK = 2048
"""Clusters they are multiplied with at a time."""

LISTED = 16
"""Neighbours a cluster remembers; with fewer, more of them must be sought again among all clusters."""


class Linkage(NamedTuple):
    """A clustering by average linkage."""

    label_N: Rows  # noqa: N815 - axis letters
    """The cluster of each row; clusters are numbered in the order of their first rows."""
    height: Array
    """The distances at which clusters were merged, ascending: one per merge, ``N`` minus the number of clusters."""


@single_threaded_blas()
def average_linkage(
    x_N_d: Array,
    tie_N: Hashes,
    *,
    k: int = 1,
    below: float = np.inf,
    metric: Literal["cosine", "squared"] = "cosine",
) -> Linkage:
    """Return the partition that average linkage (UPGMA; Sokal & Michener 1958) comes to.

    Again and again the two clusters with the smallest mean distance between their members are merged. The mean of
    squared Euclidean distances is ``|mu_A - mu_B|^2 + v_A + v_B`` with v the mean squared distance of the members of a
    cluster to its mean, and a cosine distance is half the squared distance of unit rows: mean, spread and size are all
    there is to know of a cluster. For plain Euclidean distances there is no such identity.

    Average linkage is reducible: a merged pair is no nearer to a third cluster than the nearer of the two was. So all
    pairs that are each other's nearest can be merged at once: the order of merges changes, the tree does not, and the
    result is the tree cut at its `k`-th height, for which merges are made until no lower one is left. And so a cluster
    may remember its `LISTED` nearest and a bound for all others, below which nothing that forms from the others can
    come. Only a cluster that has no remembered one nearer than its bound is compared with all again.

    Products in float32 give bounds; distances that decide are float64. Memory is O(N (d + LISTED)), time O(N^2 d) for
    the first comparison and usually little afterwards.

    Where distances tie to the last bit, more than one tree is right. Of tied pairs of one cluster that with the smaller
    exclusive-or of hashes comes first, and of tied merges at the cut those made first. Equal rows are merged before
    all others. A row of zeros is at a cosine distance of 1 from other rows.

    Args:
        x_N_d: points, which need not be of unit length.
        tie_N: distinct hashes of the rows.
        k: number of clusters to stop at, ``1 <= k <= N``.
        below: merge only clusters that are nearer than this; there may be more than `k` then.
        metric: ``cosine``, from 0 to 2, or ``squared`` Euclidean distance.
    """
    N, order = len(x_N_d), np.argsort(tie_N)
    # From here on a cluster is named after its member of smallest hash, at the place that one has in order of hashes.
    first_m, member_N = _distinct(x_N_d[order])
    centre_m_d, spread_m, scale = _points(x_N_d[order[first_m]], metric)
    clusters = _Clusters(centre_m_d, spread_m, np.bincount(member_N), tie_N[order[first_m]])
    repeated = np.setdiff1d(np.arange(N), first_m, assume_unique=True)
    made = len(repeated)
    gone, into, height = np.empty(N, np.intp), np.empty(N, np.intp), np.zeros(N)
    gone[:made], into[:made] = repeated, first_m[member_N[repeated]]

    limit = below * scale
    while True:
        if made >= N - k:
            # What is merged at the cut or above it does not count; later merges only lower the cut.
            limit = min(limit, np.partition(height[:made], N - k - 1)[N - k - 1]) if k < N else -np.inf
        clusters.look(limit)
        pairs = clusters.mutual(limit)
        if not len(pairs):
            break
        new = slice(made, made + len(pairs))
        made += len(pairs)
        height[new] = clusters.merge(pairs)
        into[new], gone[new] = first_m[pairs].T
        tell("clustering", min(made, N - k), N - k)

    # Stable: of merges at one height those made first are kept, and none without those of its parts.
    kept = np.argsort(height[:made], kind="stable")[: N - k]
    parent_N = np.arange(N)
    parent_N[gone[kept]] = into[kept]
    _flatten(parent_N)
    label_N = np.empty(N, np.intp)
    label_N[order] = order[parent_N]
    _, first, label_N = np.unique(label_N, return_index=True, return_inverse=True)
    return Linkage(np.argsort(np.argsort(first))[label_N], height[kept] / scale)


def _distinct(x_N_d: Array) -> tuple[Rows, Rows]:
    """Return the first row of each group of equal rows, ascending, and the group of each row."""
    flat = np.ascontiguousarray(x_N_d + x_N_d.dtype.type(0))  # minus zero equals zero
    bytes_N = flat.view(np.dtype((np.void, flat.shape[1] * flat.itemsize)))[:, 0]
    _, first, group = np.unique(bytes_N, return_index=True, return_inverse=True)
    by_row = np.argsort(first)
    return first[by_row], np.argsort(by_row)[group]


def _points(x_m_d: Array, metric: str) -> tuple[Array, Array, float]:
    """Return centres and spreads of clusters of one point, and how much larger than distances their gaps are."""
    centre_m_d, spread_m, scale = x_m_d.astype(np.float64), np.zeros(len(x_m_d)), 1.0
    if metric == "cosine":
        largest_m = np.abs(centre_m_d).max(axis=1)
        # Zeros count as a unit vector at right angles to all others.
        spread_m[largest_m == 0.0], scale = 1.0, 2.0
        largest_m[largest_m == 0.0] = 1.0
        centre_m_d /= largest_m[:, None]  # whose square might be out of range
        norm_m = np.sqrt(np.square(centre_m_d).sum(axis=1))
        centre_m_d /= np.where(norm_m == 0.0, 1.0, norm_m)[:, None]
    # Any shift is right; one to the middle of the points keeps the errors of products small.
    centre_m_d -= centre_m_d.mean(axis=0)
    size = float(np.abs(centre_m_d).max(initial=0.0))
    # A power of two: it changes no digit of a distance, and keeps squares within the range of float32.
    power = 2.0 ** -np.frexp(size)[1] if 1e-150 < size < 1e150 else 1.0
    centre_m_d *= power
    return centre_m_d, spread_m * power**2, scale * power**2


class _Clusters:
    """Clusters that know, or are about to find out, which other one is nearest.

    Attributes:
        near_m: the nearest cluster of each, -1 where it is not known or does not matter.
        gap_m: the distance to it, infinite where there is none.
        fresh: clusters that must look again for their nearest.
    """

    def __init__(self, centre_m_d: Array, spread_m: Array, size_m: npt.NDArray[np.integer], tie_m: Hashes) -> None:
        m, d = centre_m_d.shape
        self.centre_m_d, self.spread_m, self.tie_m = centre_m_d, spread_m, tie_m
        self.size_m = size_m.astype(np.float64)
        self.near_m, self.gap_m = np.full(m, -1, np.intp), np.full(m, np.inf)
        self.parent_m, self.active = np.arange(m), np.arange(m)
        # Nothing is listed, and anything may be near.
        self._listed_m_t, self._bound_m = np.full((m, LISTED), -1, np.int32), np.full(m, -np.inf)
        self._partner_m = np.full(m, -1, np.intp)
        self.fresh = self.active
        # Twice the error of a product of rounded rows with one more entry; see `querist.kernels.nearest`.
        self._keep = 1.0 - 2.0 * (d + 16) * 2.0**-24

    def look(self, limit: float) -> None:
        """Let clusters that must find their nearest below `limit`, in their lists or else among all."""
        self._seek_listed(self.fresh)
        lost = self.fresh[(self.gap_m[self.fresh] > self._bound_m[self.fresh]) & (self._bound_m[self.fresh] < limit)]
        if len(lost):
            self._compare(lost, limit)
        self.fresh = self.fresh[:0]
        _share(self.active, self.near_m, self.gap_m, self.tie_m)

    def mutual(self, limit: float) -> npt.NDArray[np.intp]:
        """Return pairs ``(p, 2)`` of clusters that are each other's nearest, below `limit`; the smaller comes first."""
        a = self.active[self.gap_m[self.active] < limit]
        b = self.near_m[a]
        chosen = (a < b) & (self.near_m[b] == a)
        return np.stack([a[chosen], b[chosen]], axis=1)

    def merge(self, pairs: npt.NDArray[np.intp]) -> Array:
        """Merge the pairs into their first clusters, note who must look again, and return the heights."""
        a, b = pairs.T
        height = self.gap_m[a]
        touched = np.zeros(len(self.parent_m), np.bool_)
        touched[pairs] = True
        share = self.size_m[a] / (self.size_m[a] + self.size_m[b])
        apart_p_d = self.centre_m_d[a] - self.centre_m_d[b]
        self.spread_m[a] = (
            share * self.spread_m[a]
            + (1.0 - share) * self.spread_m[b]
            + share * (1.0 - share) * np.square(apart_p_d).sum(axis=1)
        )
        self.centre_m_d[a] -= (1.0 - share)[:, None] * apart_p_d
        self._bound_m[a] = share * self._bound_m[a] + (1.0 - share) * self._bound_m[b]
        self.size_m[a] += self.size_m[b]
        self.parent_m[b], self._partner_m[a] = a, b
        _flatten(self.parent_m)
        self.active = self.active[self.parent_m[self.active] == self.active]
        near = self.near_m[self.active]
        self.fresh = self.active[(near >= 0) & touched[near]]  # a merged cluster's nearest was its partner
        return height

    def _seek_listed(self, rows: Rows) -> None:
        def work(block: slice) -> None:
            _nearest_listed(
                rows[block], self.centre_m_d, self.spread_m, self.tie_m, self.parent_m, self._partner_m,
                self._listed_m_t, self._bound_m, self.near_m, self.gap_m,
            )  # fmt: skip

        each_block(work, len(rows), BLOCK)
        self._partner_m[rows] = -1

    def _compare(self, rows: Rows, limit: float) -> None:
        """Find the nearest of some clusters, their lists and bounds, among all clusters."""
        # One more entry per row, so that a product is <x, y> - keep |y|^2 / 2 at once.
        square_m = np.square(self.centre_m_d[self.active]).sum(axis=1) + self.spread_m[self.active]
        other_d_m = np.empty((self.centre_m_d.shape[1] + 1, len(self.active)), np.float32)
        other_d_m[:-1], other_d_m[-1] = self.centre_m_d[self.active].T, -0.5 * self._keep * square_m
        own, square = np.searchsorted(self.active, rows), np.empty(len(self.parent_m))
        square[self.active] = self._keep * square_m

        def tiles(block: slice) -> Iterator[tuple[int, Array]]:
            one_r_d = np.ones((len(rows[block]), len(other_d_m)), np.float32)
            one_r_d[:, :-1] = self.centre_m_d[rows[block]]
            for start in range(0, len(self.active), CHUNK):
                yield start, one_r_d @ other_d_m[:, start : start + CHUNK]

        def list_nearest(block: slice) -> None:
            part = rows[block]
            # The product of two at a distance of `limit`, rounded down; those beyond need not be listed.
            least = np.nextafter((0.5 * (square[part] - limit)).astype(np.float32), np.float32(-np.inf))
            best_r_t = np.repeat(least[:, None], LISTED + 1, axis=1)
            place_r_t = np.full(best_r_t.shape, -1, np.int32)
            for start, product_r_m in tiles(block):
                _keep_best(product_r_m, start, own[block], best_r_t, place_r_t)
            listed_r_t = place_r_t[:, :LISTED]
            self._listed_m_t[part] = np.where(listed_r_t < 0, -1, self.active[listed_r_t])
            self._bound_m[part] = square[part] - 2.0 * best_r_t[:, LISTED].astype(np.float64)

        each_block(list_nearest, len(rows), BLOCK)
        self._seek_listed(rows)
        tied = (self.gap_m[rows] > self._bound_m[rows]) & (self._bound_m[rows] < limit)
        if not tied.any():
            return
        # More than `LISTED` others within the rounding of the nearest: all of them are measured.
        rows, own = rows[tied], own[tied]

        def measure(block: slice) -> None:
            for start, product_r_m in tiles(block):
                _measure(
                    product_r_m, self.active[start : start + CHUNK], rows[block], square[rows[block]],
                    self.centre_m_d, self.spread_m, self.tie_m, self.near_m, self.gap_m,
                )  # fmt: skip

        each_block(measure, len(rows), BLOCK)


@jit
def _flatten(parent_m):
    """Let every cluster point to the one that it ended in; parents come before their children."""
    for i in range(len(parent_m)):
        parent_m[i] = parent_m[parent_m[i]]


@jit
def _apart(centre_m_d, spread_m, i, j):
    u, v = centre_m_d[i], centre_m_d[j]
    total = 0.0
    for e in range(len(u)):
        difference = u[e] - v[e]
        total += difference * difference
    return total + (spread_m[i] + spread_m[j])


@jit
def _nearest_listed(rows, centre_m_d, spread_m, tie_m, parent_m, partner_m, listed_m_t, bound_m, near_m, gap_m):
    """Bring lists of clusters up to date, those of two that merged into one, and find the nearest listed.

    A list holds what its entries ended in, nearest first. What falls out of it lowers the bound.
    """
    t = listed_m_t.shape[1]
    found, gap = np.empty(2 * t, np.int64), np.empty(2 * t)
    for i in rows:
        count = 0
        for source in (i, partner_m[i]):
            if source < 0:
                continue
            for s in range(t):
                if listed_m_t[source, s] < 0:
                    break
                j = parent_m[listed_m_t[source, s]]
                known = j == i
                for e in range(count):
                    known |= found[e] == j
                if known:
                    continue
                apart = _apart(centre_m_d, spread_m, i, j)
                at = count
                while at > 0 and (
                    apart < gap[at - 1]
                    or (apart == gap[at - 1] and tie_m[i] ^ tie_m[j] < tie_m[i] ^ tie_m[found[at - 1]])
                ):
                    found[at], gap[at] = found[at - 1], gap[at - 1]
                    at -= 1
                found[at], gap[at] = j, apart
                count += 1
        for s in range(t):
            listed_m_t[i, s] = found[s] if s < count else -1
        if count > t:
            bound_m[i] = min(bound_m[i], gap[t])
        near_m[i], gap_m[i] = (found[0], gap[0]) if count > 0 else (-1, np.inf)


@jit
def _share(active, near_m, gap_m, tie_m):
    """Tell every cluster who has it as the nearest, at a smaller gap than it knows or with a smaller hash.

    In exact arithmetic none would hear of a nearer one than it found. But where gaps tie, rounding may have it that
    A is nearest to B, B to C and C to A; afterwards the pair of the smallest gap is mutual, whatever the rounding.
    """
    for i in active:
        j = near_m[i]
        if j < 0:
            continue
        n = near_m[j]
        if n < 0 or gap_m[i] < gap_m[j] or (gap_m[i] == gap_m[j] and tie_m[i] ^ tie_m[j] < tie_m[j] ^ tie_m[n]):
            near_m[j], gap_m[j] = i, gap_m[i]


@jit
def _keep_best(product_r_m, start, own_r, best_r_t, place_r_t):
    """Insert the products of a tile that exceed the least kept of their row, largest first; never that with itself."""
    m, t = product_r_m.shape[1], best_r_t.shape[1]
    for r in range(len(product_r_m)):
        best_t, place_t = best_r_t[r], place_r_t[r]
        if start <= own_r[r] < start + m:
            product_r_m[r, own_r[r] - start] = -np.inf
        least = best_t[t - 1]
        for first in range(0, m, 64):
            part = product_r_m[r, first : min(first + 64, m)]
            above = 0
            for e in range(len(part)):
                above += part[e] > least
            if above == 0:
                continue
            for e in range(len(part)):
                if part[e] > least:
                    at = t - 1
                    while at > 0 and part[e] > best_t[at - 1]:
                        best_t[at], place_t[at] = best_t[at - 1], place_t[at - 1]
                        at -= 1
                    best_t[at], place_t[at] = part[e], start + first + e
                    least = best_t[t - 1]


@jit
def _measure(product_r_m, others, rows, square_r, centre_m_d, spread_m, tie_m, near_m, gap_m):
    """Lower the gaps of clusters by all others of a tile that the product does not rule out."""
    for r in range(len(rows)):
        i = rows[r]
        for e in range(len(others)):
            j = others[e]
            if j == i or square_r[r] - 2.0 * np.float64(product_r_m[r, e]) > gap_m[i]:
                continue
            apart = _apart(centre_m_d, spread_m, i, j)
            if apart < gap_m[i] or (apart == gap_m[i] and tie_m[i] ^ tie_m[j] < tie_m[i] ^ tie_m[near_m[i]]):
                near_m[i], gap_m[i] = j, apart
