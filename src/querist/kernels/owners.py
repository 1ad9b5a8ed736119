"""Whose is a row: the nearest of some picks, so that one can say what each of them stands for."""

import numpy as np

from querist.arrays import Array, Rows
from querist.kernels.workers import each_block

BLOCK = 2**18
"""Entries of the block of rows x picks that is in memory at a time."""

ALIKE = 1e-12
"""Squared distances that differ by less than this share of their terms are taken for equal: a product rounds them."""


def owners(x_N_d: Array, rows_n: Rows, picks_b: Rows) -> tuple[Rows, Array]:
    """Return for each row the nearest pick, as a position in `picks_b`, and its Euclidean distance.

    Of equally near picks the first is taken. A pick belongs to itself, whatever duplicates it has. The counts of the
    positions add up to the number of rows.

    Args:
        x_N_d: points; may be float16 and lie in a file.
        rows_n: the rows to tell about.
        picks_b: at least one row.
    """
    c_b_d = x_N_d[picks_b].astype(np.float64)
    shift_d = c_b_d.mean(axis=0)  # near the points, products cancel less
    c_b_d -= shift_d
    c2_b = np.einsum("bd,bd->b", c_b_d, c_b_d)
    owner_n, gap_n = np.empty(len(rows_n), np.intp), np.empty(len(rows_n))

    def work(block: slice) -> None:
        x_m_d = x_N_d[rows_n[block]].astype(np.float64) - shift_d
        x2_m = np.einsum("md,md->m", x_m_d, x_m_d)
        gap_m_b = x2_m[:, None] + c2_b - 2.0 * (x_m_d @ c_b_d.T)
        least_m = gap_m_b.min(axis=1) + ALIKE * (x2_m + c2_b.max())
        owner_m = (gap_m_b <= least_m[:, None]).argmax(axis=1)
        owner_n[block] = owner_m
        difference_m_d = x_m_d - c_b_d[owner_m]
        gap_n[block] = np.sqrt(np.einsum("md,md->m", difference_m_d, difference_m_d))

    each_block(work, len(rows_n), max(1, BLOCK // max(len(picks_b), x_N_d.shape[1])))
    order = np.argsort(picks_b)
    at_n = np.searchsorted(picks_b, rows_n, sorter=order).clip(max=len(picks_b) - 1)
    own_n = picks_b[order[at_n]] == rows_n
    owner_n[own_n], gap_n[own_n] = order[at_n[own_n]], 0.0
    return owner_n, gap_n
