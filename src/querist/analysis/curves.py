"""Learning curves: read from results, areas under them, and heights at given budgets."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from querist.arrays import Array, some
from querist.errors import DataError, UnknownNameError

COLUMNS = ("arm", "pool", "seed", "checkpoint", "n_labels", "metric", "value")
LOWER_IS_BETTER = frozenset({"nll", "brier", "ece"})
NO_SHARE = frozenset({"nll", "brier"})
"""Metrics that do not live in 0..1 and are therefore never printed as percentages."""


class Run(NamedTuple):
    """The key of a run: arms are paired on pool and seed."""

    arm: str
    pool: int
    seed: int


class Curve(NamedTuple):
    """One run: cumulative labels ``(checkpoints,)``, strictly increasing, and the metric at each of them."""

    n: Array
    value: Array


def curves_of(rounds: pd.DataFrame, metric: str) -> dict[Run, Curve]:
    """Return the learning curve of every run, sorted by key.

    Args:
        rounds: one row per run, checkpoint and metric, with at least the columns in `COLUMNS`; order is irrelevant.
        metric: which metric to read.

    Raises:
        DataError: no rows, columns missing, two studies or data sets mixed, a checkpoint stored twice, a value that is
            not finite or not in 0..1 where it has to be, or labels that do not grow from checkpoint to checkpoint.
        UnknownNameError: nothing was measured by `metric`.
    """
    require_columns(rounds, COLUMNS, "rounds")
    if rounds.empty:
        raise DataError("There are no results to read: no round is on record yet. Run the study first.")
    for column in ("study", "dataset"):
        found = rounds[column].unique().tolist() if column in rounds else []
        if len(found) > 1:
            names = ", ".join(map(repr, found))
            raise DataError(f"Expected the results of one {column}, got {names}. Compare them one at a time.")
    measured = rounds["metric"].unique().tolist()
    if metric not in measured:
        raise UnknownNameError("metric", metric, measured, "these results")
    table = rounds.loc[rounds["metric"] == metric].sort_values(by=["arm", "pool", "seed", "checkpoint"])
    _check_values(table, metric)
    curves: dict[Run, Curve] = {}
    for (arm, pool, seed), run in table.groupby(["arm", "pool", "seed"], sort=True):  # pyright: ignore[reportGeneralTypeIssues]
        key = Run(str(arm), int(pool), int(seed))
        n = run["n_labels"].to_numpy(np.float64)
        if (np.diff(n) <= 0).any():
            raise DataError(f"Expected labels to grow from checkpoint to checkpoint, got {some(n)} in {describe(key)}.")
        curves[key] = Curve(n, run["value"].to_numpy(np.float64))
    return curves


def require_columns(table: pd.DataFrame, columns: Iterable[str], what: str) -> None:
    """Raise `DataError` unless the table has the columns."""
    if lacking := [c for c in columns if c not in table.columns]:
        raise DataError(f"{what} lacks the columns {', '.join(lacking)}; it has {', '.join(map(str, table.columns))}.")


def describe(run: Run) -> str:
    """Return ``arm 'margin', pool 3, seed 0``."""
    return f"arm {run.arm!r}, pool {run.pool}, seed {run.seed}"


def unfinished(curves: Mapping[Run, Curve]) -> dict[Run, str]:
    """Return the runs that no comparison can use yet, with the reason.

    A run is unfinished if it has fewer checkpoints than the longest run of its arm, or fewer than two. Averaging it in
    would change what an arm's mean is a mean of; cutting every run to its length would throw results away.
    """
    longest: dict[str, int] = {}
    for run, curve in curves.items():
        longest[run.arm] = max(longest.get(run.arm, 2), len(curve.n))
    return {
        run: f"it has {len(curve.n)} of {longest[run.arm]} checkpoints"
        for run, curve in curves.items() if len(curve.n) < longest[run.arm]
    }  # fmt: skip


def common_range(curves: Mapping[Run, Curve]) -> tuple[float, float]:
    """Return the budgets ``(n_0, n_T)`` between which every curve is known.

    Raises:
        DataError: there is no such interval; names the runs in the way.
    """
    if not curves:
        raise DataError("No run has two checkpoints yet. Run at least two rounds of every arm.")
    late = max(curves, key=lambda r: curves[r].n[0])
    early = min(curves, key=lambda r: curves[r].n[-1])
    start, stop = float(curves[late].n[0]), float(curves[early].n[-1])
    if start >= stop:
        raise DataError(
            f"The curves have no budgets in common: {describe(early)} ends at {stop:g} labels, "
            f"{describe(late)} starts at {start:g}. Compare arms whose budgets overlap."
        )
    return start, stop


def area(
    n: npt.ArrayLike,
    value: npt.ArrayLike,
    start: float | None = None,
    stop: float | None = None,
    *,
    log: bool = False,
) -> float:
    """Return the area under a curve divided by its width: the mean height between two budgets (AUBC).

    The curve is linear between its checkpoints, which lie where the labels were bought, not at equal steps;
    ``log=True`` does the same over log2 n and weights the low budget. Because the curve is linear between its own
    checkpoints, the trapezoid on any grid that contains them is this number.

    Args:
        n: ``(t,)`` cumulative labels, strictly increasing, t >= 2.
        value: ``(t,)`` the metric there.
        start: where the area begins; the first checkpoint unless given.
        stop: where it ends; the last checkpoint unless given.
        log: integrate over log2 n.

    Raises:
        DataError: fewer than two checkpoints, bounds outside the curve, or a checkpoint below one label with `log`.
    """
    x, y = _checked(n, value)
    low, high = x[0] if start is None else start, x[-1] if stop is None else stop
    if not x[0] <= low < high <= x[-1]:
        raise DataError(f"Expected bounds inside the curve, {x[0]:g}..{x[-1]:g} labels, got {low:g}..{high:g}.")
    if log:
        if x[0] < 1:
            raise DataError(f"An area over log2 n needs at least one label at every checkpoint, got {some(x)}.")
        x, low, high = np.log2(x), np.log2(low), np.log2(high)
    knots = np.concatenate([[low], x[(x > low) & (x < high)], [high]])
    height = np.interp(knots, x, y)
    return float(((height[1:] + height[:-1]) / 2 * np.diff(knots)).sum() / (high - low))


def value_at(n: npt.ArrayLike, value: npt.ArrayLike, budgets: npt.ArrayLike) -> Array:
    """Return the height of a curve at `budgets` ``(m,)``, linear between checkpoints.

    Raises:
        DataError: fewer than two checkpoints, or a budget outside the curve.
    """
    x, y = _checked(n, value)
    at = np.atleast_1d(np.asarray(budgets, dtype=np.float64))
    outside = (at < x[0]) | (at > x[-1])
    if outside.any():
        raise DataError(f"Expected budgets inside the curve, {x[0]:g}..{x[-1]:g} labels, got {some(at[outside])}.")
    return np.interp(at, x, y)


def _checked(n: npt.ArrayLike, value: npt.ArrayLike) -> Curve:
    x, y = np.asarray(n, dtype=np.float64), np.asarray(value, dtype=np.float64)
    if x.ndim != 1 or x.shape != y.shape:
        raise DataError(f"Expected one value per checkpoint, got labels {x.shape} and values {y.shape}.")
    if len(x) < 2:
        raise DataError(f"A curve needs at least two checkpoints, got {len(x)}. Run one more round.")
    if not (np.isfinite(x).all() and np.isfinite(y).all() and (np.diff(x) > 0).all()):
        raise DataError(f"Expected finite values at strictly increasing labels, got {some(y)} at {some(x)}.")
    return Curve(x, y)


def _check_values(table: pd.DataFrame, metric: str) -> None:
    """`table` is sorted by run and checkpoint."""
    keys = ["arm", "pool", "seed", "checkpoint"]
    value = table["value"].to_numpy(np.float64)
    twice = table.duplicated(keys).to_numpy()
    broken = ~np.isfinite(value) | ~np.isfinite(table["n_labels"].to_numpy(np.float64))
    outside = np.zeros(len(value), bool) if metric in NO_SHARE else (value < 0) | (value > 1)
    for bad, what, advice in (
        (twice, "stored more than once", "Keep one row per run, checkpoint and metric."),
        (broken, "not finite", "Leave out the rows of a run that has no result; it is then listed as missing."),
        (outside, f"outside 0..1 ({some(value[outside])})", "Store shares, not percentages."),
    ):
        if bad.any():
            first = table[bad].iloc[0]
            where = f"{describe(Run(first['arm'], first['pool'], first['seed']))}, checkpoint {first['checkpoint']}"
            raise DataError(f"{int(bad.sum())} values of {metric!r} are {what}, first at {where}. {advice}")
