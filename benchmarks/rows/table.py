"""What a row of the benchmark is: a registered function, seconds and memory of everybody, goals met or missed."""

import operator
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from machine import rates
from measure import Measured, load
from settings import THREADS

Row = dict[str, Any]
ROWS: dict[str, Callable[[], list[Row]]] = {}
ALONE = THREADS == 1
"""Whether peers that use one thread in any case are measured; a second measurement would tell nothing."""


class Goal(NamedTuple):
    """What was set out to be reached, and what was."""

    goal: str
    reached: float
    met: bool


def row(function: Callable[[], list[Row]]) -> Callable[[], list[Row]]:
    """Register a function that measures the rows of one name."""
    ROWS[function.__name__] = function
    return function


def at_least(least: float, text: str, reached: float) -> Goal:
    return _goal(operator.ge, least, text, reached)


def at_most(most: float, text: str, reached: float) -> Goal:
    return _goal(operator.le, most, text, reached)


def _goal(compare: Callable[[float, float], bool], bound: float, text: str, reached: float) -> Goal:
    sign = "at least" if compare is operator.ge else "at most"
    return Goal(f"{text}: {sign} {bound:g}", float(f"{reached:.4g}"), bool(compare(reached, bound)))


def times(found: dict[str, Measured], who: str, least: float) -> Goal:
    """Return the goal to be so many times as fast as a peer."""
    return at_least(least, f"times as fast as {who}", found[who].seconds / found["querist"].seconds)


def table(
    kernel: str,
    workload: str,
    found: dict[str, Measured],
    *,
    limit: tuple[str, float],
    goals: Sequence[Goal] = (),
    notes: Sequence[str] = (),
    **quality: Any,
) -> Row:
    """Return one row.

    Args:
        kernel: what is computed.
        workload: on what.
        found: the measurements, ours under the name ``querist``.
        limit: something that the machine cannot do faster, and the seconds it would take.
        goals: met or missed.
        notes: what a reader must know, such as why a peer is missing.
        quality: what the results are worth.
    """
    ours = found["querist"]
    what, seconds = limit
    return {
        "kernel": kernel, "workload": workload, "threads": THREADS, "load": load(), "machine": rates(),
        "seconds": {name: float(f"{m.seconds:.4g}") for name, m in found.items()},
        "ratio": {name: float(f"{m.seconds / ours.seconds:.4g}") for name, m in found.items() if name != "querist"},
        "extra_MB": {name: round(m.megabytes) for name, m in found.items()},
        "calls": {name: m.repeats for name, m in found.items()},
        "limit": {
            "what": what, "seconds": float(f"{seconds:.4g}"), "share": float(f"{seconds / ours.seconds:.3g}"),
        },
        "goals": [goal._asdict() for goal in goals],
        "notes": list(notes),
        "quality": quality,
    }  # fmt: skip
