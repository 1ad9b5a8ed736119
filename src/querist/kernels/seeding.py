"""Draws in proportion to squared distance, on gradients that are never written out."""

import numpy as np

from querist.arrays import Array, Ids, Rows
from querist.kernels.jit import dense, jit
from querist.kernels.race import Race, log_waits
from querist.kernels.workers import each_block
from querist.seeds import Key

BLOCK = 2048
"""Rows measured at a time in the first pass."""

TOGETHER = 64
"""Rows of one race measured at a time."""


def gradient_seeding(
    residual_n_c: Array, embedding_n_d: Array, b: int, ids_n: Ids, key: Key, *, bias: bool = False
) -> tuple[Rows, Array]:
    """Return `b` rows by k-means++ seeding of last-layer gradients, and each one's distance when it was drawn.

    Row i stands for the gradient ``g_i = residual_i (x) embedding_i`` with c times d entries. The first pick has the
    largest ``|g_i|``; then i is drawn with probability in proportion to ``D_i^2``, the squared distance of ``g_i`` to
    the nearest pick. When nothing has any distance left, the smallest hashes are taken. Arthur & Vassilvitskii, SODA
    2007; Ash et al., ICLR 2020.

    Draw t is an exponential race between all rows with the noise ``key.child("step", t).uniform``, exact and lazy: the
    distance to some of the picks bounds that to all, so it bounds the time of arrival from below. Only rows whose bound
    comes before the winner are measured anew. Memory beyond the inputs is O(n + b (c + d)).

    Args:
        residual_n_c: predicted probabilities minus the one-hot hypothesised label.
        embedding_n_d: input of the last layer.
        b: ``1 <= b <= n``.
        ids_n: what the key's noise and hashes are of.
        key: of the draws; its hash breaks ties of the first pick, and chooses when all distances are 0.
        bias: gradients of weights and bias: the embedding continues with a 1.

    Returns:
        Rows in the order picked; for the first its ``|g|``, then ``D``.
    """
    gradients = Gradients(residual_n_c, embedding_n_d, b, bias)
    size_n = gradients.size_n
    rows, gap = np.empty(b, np.intp), np.zeros(b)
    rows[0] = _first(np.flatnonzero(size_n == size_n.max()), ids_n, key)
    gap[0] = size_n[rows[0]]
    gradients.add(rows[0])
    if b == 1:
        return rows, np.sqrt(gap)
    gradients.approach_all()
    race, total, patience = Race(ids_n), float(gradients.near_n.sum()), 8.0
    for step in range(1, b):
        winner, used, total = _run(gradients, race, ids_n, key.child("step", step), total, patience)
        if winner < 0:
            # Nothing is at any distance from the picks, and nothing will be.
            rest = np.setdiff1d(np.arange(len(ids_n)), rows[:step], assume_unique=True)
            rows[step:] = rest[np.argsort(key.hash(ids_n[rest]))][: b - step]
            break
        # Arrivals are looked for up to four times the time that winners took of late.
        patience = 0.8 * patience + 0.2 * 4.0 * max(used, 1.0)
        rows[step], gap[step] = winner, gradients.near_n[winner]
        gradients.add(winner)
    return rows, np.sqrt(gap)


def _run(
    gradients: "Gradients", race: Race, ids_n: Ids, key: Key, total: float, patience: float
) -> tuple[int, float, float]:
    """Return the winner of a race (-1 if no row has any distance left), its time in units of 1 / total, the total.

    The total is that of the bounds at the start. Measured rows have their true distances afterwards.
    """
    unit = 1.0 / min(max(total, 1e-300), 1e300)
    best, winner = np.inf, -1
    for time in (patience * unit, 16.0 * patience * unit, np.inf):
        early, total = race.before(time, gradients.near_n, key)
        wait_m = log_waits(ids_n[early], key)
        bound_m = wait_m - np.log(gradients.near_n[early])
        order = np.argsort(bound_m, kind="stable")
        for start in range(0, len(order), TOGETHER):
            part = order[start : start + TOGETHER]
            if bound_m[part[0]] > best:
                break
            place, best = gradients.measure(early[part], wait_m[part], bound_m[part], best)
            winner = int(early[part[place]]) if place >= 0 else winner
        if winner >= 0 and best <= np.log(time):
            break
    return winner, float(np.exp(min(best - np.log(unit), 20.0))) if winner >= 0 else 0.0, total


def _first(rows: Rows, ids_n: Ids, key: Key) -> int:
    return int(rows[key.hash(ids_n[rows]).argmin()])


class Gradients:
    """For each row the squared distance of its gradient to the nearest pick that it has met.

    Attributes:
        size_n: squared norms.
        near_n: squared distances, an upper bound where a row has not met all picks; 0 for picks.
    """

    def __init__(self, a_n_c: Array, z_n_d: Array, b: int, bias: bool) -> None:
        n = len(a_n_c)
        self.a_n_c, self.z_n_d = a_n_c, z_n_d
        self._z2_n, self.size_n = np.empty(n), np.empty(n)
        self.near_n, self._met_n = np.full(n, np.inf), np.zeros(n, np.intp)
        self._known = 0
        one = dense(a_n_c[:1]), dense(z_n_d[:1])
        self._a_t_c, self._z_t_d = (np.empty((b, part.shape[1]), part.dtype) for part in one)
        self._a2_t, self._z2_t = np.empty(b), np.empty(b)

        def work(block: slice) -> None:
            a2_m = np.empty(len(self.size_n[block]))
            _squares(dense(a_n_c[block]), 0.0, a2_m)
            _squares(dense(z_n_d[block]), float(bias), self._z2_n[block])
            self.size_n[block] = a2_m * self._z2_n[block]

        each_block(work, n, BLOCK)

    def add(self, row: int) -> None:
        """Make a row a pick."""
        t, self._known = self._known, self._known + 1
        self._a_t_c[t], self._z_t_d[t], self._z2_t[t] = self.a_n_c[row], self.z_n_d[row], self._z2_n[row]
        _squares(dense(self._a_t_c[t : t + 1]), 0.0, self._a2_t[t : t + 1])
        self.near_n[row] = 0.0

    def approach_all(self) -> None:
        """Let every row meet every pick."""

        def work(block: slice) -> None:
            near_m, met_m = self.near_n[block], self._met_n[block]
            anyone, at_once = np.zeros(len(near_m)), np.full(len(near_m), -np.inf)
            _arrive(
                dense(self.a_n_c[block]), dense(self.z_n_d[block]), self.size_n[block], self._z2_n[block],
                near_m, met_m, anyone, at_once, np.inf, self._picks, self._known,
            )  # fmt: skip

        each_block(work, len(self.near_n), BLOCK)

    def measure(self, rows: Rows, wait_m: Array, bound_m: Array, best: float) -> tuple[int, float]:
        """Let rows meet every pick as long as their arrival is bounded by `best`; return who is before it, and when.

        Args:
            rows: by rising bound.
            wait_m: logarithms of the times they would take with weight 1.
            bound_m: logarithms of bounds of their arrival.
            best: logarithm of the earliest arrival so far.

        Returns:
            Place among `rows` of the earliest arrival if it is before `best`, else -1; logarithm of its time or `best`.
        """
        near_m, met_m = self.near_n[rows], self._met_n[rows]
        place, best = _arrive(
            dense(self.a_n_c[rows]), dense(self.z_n_d[rows]), self.size_n[rows], self._z2_n[rows], near_m, met_m,
            wait_m, bound_m, best, self._picks, self._known,
        )  # fmt: skip
        self.near_n[rows], self._met_n[rows] = near_m, met_m
        return place, best

    @property
    def _picks(self) -> tuple[Array, Array, Array, Array]:
        return self._a_t_c, self._z_t_d, self._a2_t, self._z2_t


@jit
def _squares(x_m_d, more, out_m):
    """Fill `out_m` with squared norms plus `more`."""
    for i in range(len(x_m_d)):
        u = x_m_d[i]
        total = 0.0
        for j in range(len(u)):
            total += np.float64(u[j]) * np.float64(u[j])
        out_m[i] = total + more


@jit
def _apart(a, z, z2, a_p, z_p, a2_p):
    """The squared distance of two gradients.

    With p the pick, g - g_p = (a - a_p) (x) z + a_p (x) (z - z_p). Its squared norm, written out, is made of
    differences only: exactly 0 for a duplicate of the pick, and nothing cancels near one.
    """
    da_da = da_a = 0.0
    for j in range(len(a)):
        difference = np.float64(a[j]) - np.float64(a_p[j])
        da_da += difference * difference
        da_a += difference * np.float64(a_p[j])
    dz_dz = dz_z = 0.0
    for j in range(len(z)):
        difference = np.float64(z[j]) - np.float64(z_p[j])
        dz_dz += difference * difference
        dz_z += difference * np.float64(z[j])
    return max(da_da * z2 + a2_p * dz_dz + 2.0 * da_a * dz_z, 0.0)


@jit
def _arrive(a_m_c, z_m_d, size_m, z2_m, near_m, met_m, wait_m, bound_m, best, picks, t):
    """Let rows meet the picks they missed, in turn, until the next bound is after the earliest arrival."""
    a_t_c, z_t_d, a2_t, z2_t = picks
    place = -1
    for i in range(len(a_m_c)):
        if bound_m[i] > best:
            break
        a, near = a_m_c[i], near_m[i]
        for c in range(met_m[i], t):
            if near == 0.0:
                break
            # <g, g_c> = <a, a_c> <z, z_c>, and |<z, z_c>| <= |z| |z_c|: the shorter product alone rules most picks out.
            v = a_t_c[c]
            product = 0.0
            for j in range(len(v)):
                product += np.float64(a[j]) * np.float64(v[j])
            sizes = size_m[i] + a2_t[c] * z2_t[c]
            if not sizes * (1.0 - 1e-9) - 2.0 * abs(product) * np.sqrt(z2_m[i] * z2_t[c]) >= near:
                near = min(near, _apart(a, z_m_d[i], z2_m[i], v, z_t_d[c], a2_t[c]))
        near_m[i], met_m[i] = near, t
        if near > 0.0:
            arrival = wait_m[i] - np.log(near)
            if arrival < best:
                place, best = i, arrival
    return place, best
