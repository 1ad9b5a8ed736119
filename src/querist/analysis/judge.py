"""From paired tests to verdicts: the one place where a rule says better, worse, equivalent, undecided or withheld."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from querist.analysis.multiple import holm
from querist.analysis.paired import (
    PairedTest,
    paired_test,
    pools_for_power,
    pools_for_width,
    smallest_signed_rank_p,
)
from querist.arrays import Array
from querist.errors import UsageError

Verdict = Literal["better", "worse", "equivalent", "undecided", "withheld"]
VERDICTS: tuple[Verdict, ...] = ("better", "worse", "equivalent", "undecided", "withheld")

POOLS_FOR_A_VERDICT = 5
POOLS_FOR_A_SMALL_EFFECT = 10
ALPHA = 0.05
"""The probability of one or more false `better` or `worse` among all arms is at most this."""


@dataclass(frozen=True, kw_only=True)
class Ruling:
    """A verdict with its reason.

    Attributes:
        test: the paired test it rests on.
        p_holm: p of the t test after Holm's correction over all comparisons.
        p_wilcoxon_holm: the same for the signed-rank test.
        verdict: one of `VERDICTS`.
        note: one sentence that says why, or what limits the verdict; may be empty.
        pools_needed: how many more pools would decide it, as far as these runs can tell; None if it is decided or if no
            number within reason would do.
    """

    test: PairedTest
    p_holm: float
    p_wilcoxon_holm: float
    verdict: Verdict
    note: str
    pools_needed: int | None


def judge(
    differences: Mapping[str, Array],
    *,
    rope: float,
    higher_is_better: bool = True,
    withhold: Mapping[str, str] | None = None,
) -> dict[str, Ruling]:
    """Return the ruling on every arm.

    Args:
        differences: for each arm ``(P,)`` paired differences to the reference, one per pool.
        rope: half-width of the region of equivalence, in units of the differences.
        higher_is_better: whether a positive difference is an improvement.
        withhold: reasons to withhold an arm's verdict that lie outside its differences.

    Raises:
        UsageError: `rope` is not a number of at least 0.
    """
    if not 0 <= rope < np.inf:
        raise UsageError(f"Expected the half-width of the region of equivalence to be 0 or larger, got {rope}.")
    tests = {arm: paired_test(d) for arm, d in differences.items()}
    # Arms without a p-value count in the correction as well: leaving them out would reward not running them.
    p_holm = holm([t.p_t for t in tests.values()])
    p_rank = holm([t.p_wilcoxon for t in tests.values()])
    rule = Rule(comparisons=len(tests), rope=rope, higher_is_better=higher_is_better)
    rulings = {}
    for (arm, test), corrected, rank in zip(tests.items(), p_holm.tolist(), p_rank.tolist(), strict=True):
        verdict, note, needed = rule(test, corrected, rank, (withhold or {}).get(arm, ""))
        rulings[arm] = Ruling(
            test=test, p_holm=corrected, p_wilcoxon_holm=rank, verdict=verdict, note=note, pools_needed=needed
        )
    return rulings


@dataclass(frozen=True, kw_only=True)
class Rule:
    """The rule of verdicts.

    * Below 5 pools: withheld.
    * The 95 % interval lies inside the region of equivalence: equivalent. A difference that is statistically certain
      but smaller than what was declared to matter is no improvement.
    * The t test after Holm and the exact signed-rank test both reject: better or worse. The signed-rank test is held to
      the corrected level where it can reach it (comparisons * 2 / 2^P <= .05), to the plain level where it can reach
      only that, and at 5 pools, where it can reach neither, the t test stands alone.
    * They disagree, or neither rejects: undecided, with the pools still needed.
    * Below 10 pools only large effects are judged: `equivalent`, and a difference no larger than the region of
      equivalence, are withheld. (A t test of so few pools rejects only if d_z > 0.7, so what remains to be excluded
      are effects that are small in points.)
    """

    comparisons: int
    rope: float
    higher_is_better: bool

    def __call__(
        self, test: PairedTest, p_holm: float, p_wilcoxon_holm: float, withhold: str
    ) -> tuple[Verdict, str, int | None]:
        """Return verdict, note and pools still needed."""
        if test.pools < POOLS_FOR_A_VERDICT:
            lack = POOLS_FOR_A_VERDICT - test.pools
            have = f"{test.pools} of the {POOLS_FOR_A_VERDICT} paired pools a verdict needs"
            return "withheld", _sentence(f"{have}: run {_more_pools(lack)}", withhold), lack
        if withhold:
            return "withheld", _sentence(withhold), None
        equivalent = -self.rope <= test.lower and test.upper <= self.rope
        t_rejects = p_holm <= ALPHA
        p_rank, rank_note = self._signed_rank(test, p_wilcoxon_holm)
        decided = t_rejects and (p_rank is None or p_rank <= ALPHA)
        if test.pools < POOLS_FOR_A_SMALL_EFFECT and (equivalent or (decided and abs(test.mean) <= self.rope)):
            lack = POOLS_FOR_A_SMALL_EFFECT - test.pools
            need = f"a verdict on a small effect needs {POOLS_FOR_A_SMALL_EFFECT} pools: run {_more_pools(lack)}"
            return "withheld", _sentence(need), lack
        if equivalent:
            certain = "statistically different, but by less than the region of equivalence" if decided else ""
            return "equivalent", _sentence(certain), None
        if decided:
            limits = "large effects only" if test.pools < POOLS_FOR_A_SMALL_EFFECT else ""
            verdict = "better" if (test.mean > 0) == self.higher_is_better else "worse"
            return verdict, _sentence(limits, rank_note), None
        if t_rejects or p_wilcoxon_holm <= ALPHA:
            reason = f"the t test (p {p_holm:.3f}) and the signed-rank test (p {p_rank:.3f}) disagree"
        elif test.p_t <= ALPHA:
            reason = f"not significant after correction for {self.comparisons} comparisons"
        else:
            reason = "the interval reaches from no difference to differences that matter"
        needed = self._pools_needed(test)
        more = "" if needed is None else f"about {_more_pools(needed)} would decide an effect of this size"
        return "undecided", _sentence(reason, more), needed

    def _signed_rank(self, test: PairedTest, p_holm: float) -> tuple[float | None, str]:
        """The p-value of the signed-rank test at the strictest level it can reach; None if it can reach none."""
        best = smallest_signed_rank_p(test.pools)
        if best * self.comparisons <= ALPHA:
            return p_holm, ""
        if best <= ALPHA:
            few = f"{test.pools} pools are too few for a signed-rank test of {self.comparisons} comparisons"
            return test.p_wilcoxon, f"{few}, which is taken uncorrected"
        return None, f"the t test stands alone, as no signed-rank test of {test.pools} pools reaches {ALPHA:g}"

    def _pools_needed(self, test: PairedTest) -> int | None:
        """More pools until 80 % power for the difference seen, or until its interval fits the region of equivalence."""
        if not 0 < test.sd < np.inf:
            return None
        by_test = pools_for_power(test.d_z, ALPHA / self.comparisons)
        by_interval = pools_for_width(test.sd, self.rope - abs(test.mean), POOLS_FOR_A_SMALL_EFFECT)
        totals = [total for total in (by_test, by_interval) if total is not None]
        return max(1, min(totals) - test.pools) if totals else None


def _more_pools(count: int) -> str:
    return "1 more pool" if count == 1 else f"{count} more pools"


def _sentence(*parts: str) -> str:
    text = "; ".join(p for p in parts if p)
    return text and text[0].upper() + text[1:] + "."
