"""Hubness: whether a few rows are near everything, which makes nearest neighbours and coverage of them mean little."""

from typing import NamedTuple

import numpy as np

from querist.arrays import Array, Hashes
from querist.kernels.centring import ROUNDING, directions
from querist.kernels.neighbours import nearest_neighbours

NEIGHBOURS = 10
LIMIT = 5_000
"""Rows that are compared with one another; of more, a random sample is."""
WORRYING = 3.0
"""Skew above which a set of features has hubs to worry about."""


class Hubness(NamedTuple):
    """The skew of how often a row is among the nearest neighbours of others.

    Attributes:
        raw: of the rows as they are.
        centred: of their directions seen from the mean row.
        rows: rows that were compared.
        of: rows there are.
    """

    raw: float
    centred: float
    rows: int
    of: int

    @property
    def worrying(self) -> bool:
        """Whether the rows as they are have hubs."""
        return self.raw > WORRYING

    def __str__(self) -> str:
        sample = "" if self.rows == self.of else f", on {self.rows:,} of {self.of:,} rows"
        return f"{self.raw:.1f}, after centring {self.centred:.1f}{sample}"

    @property
    def notice(self) -> str:
        """What a person is told about hubs."""
        words = f"A few rows are near neighbours of everything (hubness {self}; above {WORRYING:g} is much). "
        if self.centred > WORRYING:
            return words + "Centring does not help, so distrust strategies on distances, or take other features."
        return words + "Strategies on distances are misled by that, except 'adaptive', which centres features first."


def hubness(x_N_d: Array, tie_N: Hashes, k: int = NEIGHBOURS, limit: int = LIMIT) -> Hubness:
    """Return the hubness of a set of rows before and after centring.

    Identity: ``E (O - k)^3 / (E (O - k)^2)^1.5``; ``O_i`` is the number of rows that have row i among the `k` nearest.
    0 is symmetric; a few rows that are neighbours of very many make it large. Copies of a row count once, since which
    of them is nearest says nothing. It grows with the number of rows, slowly: a sample has somewhat less of it.

    Args:
        x_N_d: rows, of unit length where directions are what counts.
        tie_N: one hash per row, which says who is in the sample.
        k: neighbours of a row.
        limit: rows that are compared at most; time grows with its square.

    Source: Radovanovic, Nanopoulos & Ivanovic, JMLR 2010; centring: Suzuki et al., EMNLP 2013.
    """
    sample = np.sort(np.argsort(tie_N)[:limit])
    x_m_d = np.ascontiguousarray(x_N_d[sample])
    g_m_d = _from_the_mean(x_m_d)
    g_m_d = g_m_d[g_m_d.any(axis=1)]
    return Hubness(_skew(_distinct(x_m_d), k), _skew(_distinct(g_m_d), k), len(sample), len(x_N_d))


def _from_the_mean(x_m_d: Array) -> Array:
    """Return the directions of the rows seen from their mean; zeros for rows that lie at it."""
    wide_m_d = x_m_d.astype(np.float64)
    if len(wide_m_d):
        longest = np.square(wide_m_d).sum(axis=1).max()
        wide_m_d -= wide_m_d.mean(axis=0)
        wide_m_d[np.square(wide_m_d).sum(axis=1) <= ROUNDING**2 * longest] = 0.0
    return directions(wide_m_d)


def _distinct(x_m_d: Array) -> Array:
    """Return the rows without copies, in their order."""
    if not x_m_d.size:
        return x_m_d
    whole = np.ascontiguousarray(x_m_d).view(np.dtype((np.void, x_m_d.dtype.itemsize * x_m_d.shape[1]))).ravel()
    return x_m_d[np.sort(np.unique(whole, return_index=True)[1])]


def _skew(x_m_d: Array, k: int) -> float:
    """Return the skew of the counts; 0 where every row is among the neighbours of equally many."""
    if len(x_m_d) <= k + 1:
        return 0.0
    indices_m_k, _ = nearest_neighbours(x_m_d, k)
    apart_m = np.bincount(indices_m_k.ravel(), minlength=len(x_m_d)) - float(k)
    variance = float(np.square(apart_m).mean())
    return float((apart_m**3).mean() / variance**1.5) if variance > 0.0 else 0.0
