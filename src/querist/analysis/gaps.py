"""What is missing or uneven in a set of runs, in words: whoever reads a verdict has to see it."""

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

import numpy as np

from querist.analysis.curves import Curve, Run, describe
from querist.analysis.paired import Pairs, PoolSeed
from querist.arrays import Array


class Missing(NamedTuple):
    """A run that one arm has and its partner in the comparison has not."""

    arm: str
    pool: int
    seed: int
    why: str


def missing_runs(pairs: Mapping[str, Pairs], reference: str, late: Mapping[Run, str]) -> tuple[Missing, ...]:
    """Return the runs without which a pair is incomplete, sorted.

    Args:
        pairs: each arm paired with the reference.
        reference: its name.
        late: unfinished runs with the reason.
    """
    lacking = {Run(arm, *key) for arm, p in pairs.items() for key in p.lacking}
    lacking |= {Run(reference, *key) for p in pairs.values() for key in p.unmatched}
    return tuple(Missing(*run, late.get(run, "no run")) for run in sorted(lacking | late.keys()))


def short_of_reference(pairs: Mapping[str, Pairs], runs: Mapping[str, int], reference: str) -> dict[str, str]:
    """Return why the verdict of an arm is withheld that has more runs than the reference.

    A baseline measured less often than what it is compared with is the weaker baseline.
    """
    return {
        arm: f"fewer runs of {reference} ({runs[reference]}) than of this arm ({runs[arm]}): run {reference} on "
        f"{keys_in_words(p.unmatched)} too"
        for arm, p in pairs.items() if runs[arm] > runs[reference]
    }  # fmt: skip


def uneven_budgets(curves: Mapping[Run, Curve], reference: str, stop: float) -> Iterator[str]:
    """Yield one sentence per arm that bought other numbers of labels than the reference, and one if curves are cut."""
    told: set[str] = set()
    for run, curve in curves.items():
        partner = curves.get(Run(reference, run.pool, run.seed))
        at = None if partner is None or run.arm in told else _first_difference(curve.n, partner.n)
        if partner is not None and at is not None:
            told.add(run.arm)
            yield (
                f"{run.arm} and {reference} bought different numbers of labels (pool {run.pool}, checkpoint {at}: "
                f"{curve.n[at]:,.0f} and {partner.n[at]:,.0f}). Areas are taken between the budgets both know, "
                "at the labels really bought."
            )
    farthest = max(curves.values(), key=lambda curve: curve.n[-1]).n[-1]
    if farthest > stop:
        first = min(curves, key=lambda r: curves[r].n[-1])
        yield f"Areas end at {stop:,.0f} labels, where {describe(first)} ends; other runs reach {farthest:,.0f}."


def keys_in_words(keys: Iterable[PoolSeed], most: int = 4) -> str:
    """Return ``pool 3 seed 0, pool 4 seed 0 and 2 more``."""
    words = [f"pool {pool} seed {seed}" for pool, seed in keys]
    return ", ".join(words[:most]) + (f" and {len(words) - most} more" if len(words) > most else "")


def _first_difference(n: Array, other: Array) -> int | None:
    shared = min(len(n), len(other))
    differs = np.flatnonzero(n[:shared] != other[:shared])
    return int(differs[0]) if len(differs) else None
