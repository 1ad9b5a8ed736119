"""Mean curves and mean differences at each budget, with pointwise 95 % bands."""

from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd

from querist.analysis.curves import Curve, Run, common_range, value_at
from querist.analysis.paired import pair, paired_test
from querist.arrays import Array

MOST_BUDGETS = 60
"""More points than this on one curve only make a figure heavier."""


def mean_curves(curves: Mapping[Run, Curve]) -> pd.DataFrame:
    """Return each arm's mean curve over pools at its own budgets.

    Seeds are averaged inside a pool first; the band is the t interval over pools, pointwise. (A bootstrap of 5 to 10
    pools is too narrow; the t interval is not.)

    Returns:
        columns arm, n_labels, mean, lower, upper, pools; the band is NaN where there is one pool.
    """
    records = []
    for arm in sorted({run.arm for run in curves}):
        mine = {run: curve for run, curve in curves.items() if run.arm == arm}
        budgets = budgets_of(mine)
        pools: dict[int, list[Array]] = {}
        for run, curve in mine.items():
            pools.setdefault(run.pool, []).append(value_at(curve.n, curve.value, budgets))
        heights_p_t = np.stack([np.mean(seeds, axis=0) for seeds in pools.values()])
        for n, heights in zip(budgets, heights_p_t.T, strict=True):
            test = paired_test(heights)
            records.append((arm, n, test.mean, test.lower, test.upper, test.pools))
    return pd.DataFrame(records, columns=["arm", "n_labels", "mean", "lower", "upper", "pools"])


def difference_curves(curves: Mapping[Run, Curve], reference: str) -> pd.DataFrame:
    """Return each arm's mean paired difference to the reference at the budgets common to all runs.

    Pointwise 95 % t intervals over pools: a picture, never a verdict, because no correction covers its many budgets.

    Returns:
        columns arm, n_labels, difference, lower, upper, pools; the reference itself is left out.
    """
    budgets = budgets_of(curves)
    heights = {run: value_at(curve.n, curve.value, budgets) for run, curve in curves.items()}
    records = []
    for arm in sorted({run.arm for run in curves} - {reference}):
        for at, n in enumerate(budgets):
            here = {run: float(height[at]) for run, height in heights.items() if run.arm in (arm, reference)}
            differences = pair(by_key(here, arm), by_key(here, reference)).differences
            if len(differences):
                test = paired_test(differences)
                records.append((arm, n, test.mean, test.lower, test.upper, test.pools))
    return pd.DataFrame(records, columns=["arm", "n_labels", "difference", "lower", "upper", "pools"])


def by_key(scores: Mapping[Run, float], arm: str) -> dict[tuple[int, int], float]:
    """Return the scores of one arm by (pool, seed)."""
    return {(run.pool, run.seed): score for run, score in scores.items() if run.arm == arm}


def budgets_of(curves: Mapping[Run, Curve]) -> list[float]:
    """Return the budgets at which some of the curves has a checkpoint and all are known, ascending, thinned if many."""
    start, stop = common_range(curves)
    inside = _inside((curve.n for curve in curves.values()), start, stop)
    if len(inside) > MOST_BUDGETS:
        inside = inside[np.linspace(0, len(inside) - 1, MOST_BUDGETS).round().astype(np.intp)]
    return inside.tolist()


def _inside(grids: Iterable[Array], start: float, stop: float) -> Array:
    knots = np.unique(np.concatenate([*grids, [start, stop]]))
    return knots[(knots >= start) & (knots <= stop)]
