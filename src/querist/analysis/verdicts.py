"""From results to a table of verdicts: every arm against the reference."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Literal

import numpy as np
import pandas as pd

from querist.analysis.bands import budgets_of, by_key
from querist.analysis.curves import LOWER_IS_BETTER, Curve, Run, area, common_range, curves_of, unfinished, value_at
from querist.analysis.gaps import Missing, missing_runs, short_of_reference, uneven_budgets
from querist.analysis.judge import Ruling, Verdict, judge
from querist.analysis.paired import pair, paired_test
from querist.errors import UsageError

ROPE = 0.005
"""Half-width of the region of equivalence: half a point of area under the budget curve."""


@dataclass(frozen=True, kw_only=True)
class ArmVerdict:
    """One row of the table. Metric values as stored (0..1), never percentages; NaN where nothing can be said.

    Attributes:
        arm: its name.
        runs: finished runs of this arm.
        pools: pools in which both this arm and the reference have a finished run of the same seed.
        aubc: area under the budget curve, mean over the pools of this arm's finished runs.
        log_aubc: the same over log2 of the budget.
        final: the metric at the largest common budget, mean over pools.
        difference: mean paired difference of AUBC, arm minus reference.
        lower: lower end of its 95 % interval, not corrected for the number of arms.
        upper: upper end.
        sd: standard deviation of the differences over pools.
        d_z: difference / sd.
        wins: pools in which the arm beats the reference.
        losses: pools in which it loses.
        p_t: paired t test, two-sided.
        p_wilcoxon: exact signed-rank test, two-sided.
        p_holm: p_t after Holm's correction over all arms but the reference; `better` and `worse` rest on it.
        p_wilcoxon_holm: p_wilcoxon after the same correction.
        verdict: one of `judge.VERDICTS`, or ``reference``.
        note: why, or within what limits.
        pools_needed: how many more pools would settle it, if that can be told.
    """

    arm: str
    runs: int
    pools: int
    aubc: float
    log_aubc: float
    final: float
    difference: float
    lower: float
    upper: float
    sd: float
    d_z: float
    wins: int
    losses: int
    p_t: float
    p_wilcoxon: float
    p_holm: float
    p_wilcoxon_holm: float
    verdict: Verdict | Literal["reference"]
    note: str
    pools_needed: int | None

    @property
    def win_rate(self) -> float:
        """Share of pools won, a tie counting half; NaN without pools."""
        return (self.wins + (self.pools - self.wins - self.losses) / 2) / self.pools if self.pools else float("nan")


@dataclass(frozen=True, kw_only=True, eq=False)
class Comparison:
    """Every arm against the reference on one data set and one metric.

    Attributes:
        metric: what was measured.
        higher_is_better: its direction.
        reference: the arm compared with.
        rope: half-width of the region of equivalence.
        start: first budget of the common grid, in labels.
        stop: its last budget.
        grid: the common budgets at which a checkpoint lies (thinned for display; areas use every checkpoint).
        arms: best area first, the reference among them.
        missing: runs without a partner and runs not finished; their pairs are left out.
        warnings: sentences a reader of the verdicts must see.
        curves: the learning curves of the finished runs.
    """

    metric: str
    higher_is_better: bool
    reference: str
    rope: float
    start: float
    stop: float
    grid: tuple[float, ...]
    arms: tuple[ArmVerdict, ...]
    missing: tuple[Missing, ...]
    warnings: tuple[str, ...]
    curves: Mapping[Run, Curve]

    @cached_property
    def table(self) -> pd.DataFrame:
        """One row per arm, one column per field of `ArmVerdict`."""
        return pd.DataFrame([asdict(arm) for arm in self.arms])

    def __getitem__(self, arm: str) -> ArmVerdict:
        """Return the row of an arm; `KeyError` if there is none."""
        return {row.arm: row for row in self.arms}[arm]


def compare(rounds: pd.DataFrame, metric: str, reference: str = "random", rope: float = ROPE) -> Comparison:
    """Compare every arm with the reference by the area under the budget curve, and say what that allows to claim.

    Runs are paired by (pool, seed); seeds are averaged inside a pool; a run that is not finished counts as missing.

    Args:
        rounds: one row per run, checkpoint and metric (see `curves.COLUMNS`), one study, one data set.
        metric: the primary metric, declared before the runs.
        reference: the baseline arm.
        rope: half-width of the region of equivalence in units of the metric.

    Raises:
        DataError: `rounds` is not what it should be, or the budgets of the arms do not overlap.
        UnknownNameError: nothing was measured by `metric`.
        UsageError: no finished run of the reference, no other arm, or a negative `rope`.
    """
    every = curves_of(rounds, metric)
    arms = sorted({run.arm for run in every})
    if reference not in arms or len(arms) < 2:
        add = "another strategy" if reference in arms else repr(reference)
        raise UsageError(
            f"A verdict compares arms with {reference!r}, run on the same pools; these results hold "
            f"{', '.join(map(repr, arms))}. Add {add} to the study."
        )
    late = unfinished(every)
    curves = {run: curve for run, curve in every.items() if run not in late}
    runs = {arm: sum(run.arm == arm for run in curves) for arm in arms}
    if not runs[reference]:
        raise UsageError(f"No run of {reference!r} has two checkpoints yet. Run at least two rounds of it.")
    start, stop = common_range(curves)
    areas = {run: area(curve.n, curve.value, start, stop) for run, curve in curves.items()}
    pairs = {arm: pair(by_key(areas, arm), by_key(areas, reference)) for arm in arms if arm != reference}
    higher_is_better = metric not in LOWER_IS_BETTER
    rulings = judge(
        {arm: p.differences for arm, p in pairs.items()}, rope=rope, higher_is_better=higher_is_better,
        withhold=short_of_reference(pairs, runs, reference),
    )  # fmt: skip
    rows = [_row(arm, curves, areas, (start, stop), rulings.get(arm), higher_is_better) for arm in arms]
    sign = -1 if higher_is_better else 1
    return Comparison(
        metric=metric, higher_is_better=higher_is_better, reference=reference, rope=rope, start=start, stop=stop,
        grid=tuple(budgets_of(curves)),
        arms=tuple(sorted(rows, key=lambda row: (np.isnan(row.aubc), sign * row.aubc, row.arm))),
        missing=missing_runs(pairs, reference, late), warnings=tuple(uneven_budgets(curves, reference, stop)),
        curves=curves,
    )  # fmt: skip


def _row(
    arm: str, curves: Mapping[Run, Curve], areas: Mapping[Run, float], bounds: tuple[float, float],
    ruling: Ruling | None, higher_is_better: bool,
) -> ArmVerdict:  # fmt: skip
    """The row of an arm; without a ruling, that of the reference."""
    nan = float("nan")
    mine = {run: curve for run, curve in curves.items() if run.arm == arm}
    test = ruling.test if ruling else paired_test(())
    wins, losses = (test.above, test.below) if higher_is_better else (test.below, test.above)
    logs = {r: area(c.n, c.value, *bounds, log=True) if c.n[0] >= 1 else nan for r, c in mine.items()}
    return ArmVerdict(
        arm=arm, runs=len(mine), pools=test.pools if ruling else len({run.pool for run in mine}),
        aubc=_over_pools({run: areas[run] for run in mine}), log_aubc=_over_pools(logs),
        final=_over_pools({run: float(value_at(curve.n, curve.value, bounds[1])[0]) for run, curve in mine.items()}),
        difference=test.mean, lower=test.lower, upper=test.upper, sd=test.sd, d_z=test.d_z, wins=wins, losses=losses,
        p_t=test.p_t, p_wilcoxon=test.p_wilcoxon, p_holm=ruling.p_holm if ruling else nan,
        p_wilcoxon_holm=ruling.p_wilcoxon_holm if ruling else nan, verdict=ruling.verdict if ruling else "reference",
        note=ruling.note if ruling else "", pools_needed=ruling.pools_needed if ruling else None,
    )  # fmt: skip


def _over_pools(scores: Mapping[Run, float]) -> float:
    """Mean over pools of the mean over seeds, so that a pool counts once; NaN without runs."""
    pools: dict[int, list[float]] = {}
    for run, score in scores.items():
        pools.setdefault(run.pool, []).append(score)
    return float(np.mean([np.mean(values) for values in pools.values()])) if pools else float("nan")
