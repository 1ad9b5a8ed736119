"""A schedule: one strategy after another, switched by rounds or by labels per class."""

from dataclasses import dataclass
from itertools import pairwise
from typing import Any, ClassVar, Literal

import numpy as np

from querist.errors import SpecError, UsageError
from querist.evidence.evidence import Evidence
from querist.evidence.needs import History, Need
from querist.seeds import Key
from querist.strategies.badge import Badge
from querist.strategies.base import Picks, State, Strategy, register
from querist.strategies.composition import flags_of
from querist.strategies.typiclust import TypiClust


@register("schedule", cite="generic switch; Doucet et al. 2024, arXiv 2403.03728")
@dataclass(frozen=True, kw_only=True)
class Schedule(Strategy):
    """Leaves each query to one of several strategies, its stages, in the order given.

    Stage s is active as long as what is counted is below ``until[s]``, the last one from then on. Counted are the
    earlier queries of the session (``rounds``; the initial pool is none), or labels divided by declared classes. A
    stage gets the key of the schedule, so that it picks what it would pick alone. In TOML::

        { name = "schedule", stages = ["typiclust", "margin"], until = [5], by = "rounds" }

    and on the command line ``schedule([typiclust, margin], until=[5], by=rounds)``. In a given state it needs what its
    active stage needs; a session checks before it starts that the needs of all stages can be met.

    Use when: few labels call for another rule than many, and you know about when.

    Avoid when: you do not know when to switch; `uherding` and others adapt by themselves.

    Pitfalls: a threshold that suits one dataset need not suit another; rounds mean nothing without a batch size.

    Attributes:
        stages: the strategies.
        until: one threshold less than stages, rising. The default, 3 labels per class, is ours.
        by: what is counted.
    """

    stages: tuple[Strategy, ...] = (TypiClust(), Badge())
    until: tuple[float, ...] = (3.0,)
    by: Literal["labels_per_class", "rounds"] = "labels_per_class"
    family: ClassVar = "wrapper"
    regimes: ClassVar = ("VL", "L", "M", "H")

    def __post_init__(self) -> None:
        if len(self.until) != len(self.stages) - 1:
            raise SpecError(
                f"Expected a threshold in until for every stage but the last, got {len(self.until)} for "
                f"{len(self.stages)} stages."
            )
        if not all(low < high for low, high in pairwise((0.0, *self.until, np.inf))):
            raise SpecError(f"Expected thresholds in until above 0 and rising, got {list(self.until)}.")
        flags = frozenset[str]().union(*map(flags_of, self.stages))
        if len(self.stages) > 1 and "one_shot" in flags:
            raise SpecError("a stage that selects the whole budget at once leaves nothing to the others; use it alone.")
        if self._counts_rounds and "sequential" in flags:
            # Between its asks the history has one query more than there were rounds.
            raise SpecError("a stage that asks for its items one by one goes with by='labels_per_class' only.")

    def needs_at(self, state: State) -> tuple[Need[Any], ...]:
        needs = [need for stage in self._possible(state) for need in stage.needs_at(state)]
        return tuple(dict.fromkeys([*needs, *([History()] if self._counts_rounds and state.n_labelled else [])]))

    def wants_at(self, state: State) -> tuple[Need[Any], ...]:
        return tuple(dict.fromkeys(want for stage in self._possible(state) for want in stage.wants_at(state)))

    def reason(self, utility: float) -> str:
        return "the stage of a schedule that is active wants it"

    def select(self, ev: Evidence, b: int, key: Key) -> Picks:
        if self._counts_rounds:
            counted = float(len(ev[History()].ids)) if History() in ev.needs else 0.0
        elif len(self.stages) > 1 and len(ev.labelled) and ev.c < 2:
            raise UsageError("labels per class are counted, but only one class is declared: pass classes=C.")
        else:
            counted = len(ev.labelled) / ev.c
        return self._stage(counted).select(ev, b, key)

    @property
    def _counts_rounds(self) -> bool:
        return self.by == "rounds" and len(self.stages) > 1

    def _possible(self, state: State) -> tuple[Strategy, ...]:
        """Return the stages that may be active: one, or all if nobody knows yet how many classes there are."""
        if self.by == "rounds":
            return (self._stage(state.round),)
        if not state.n_labelled or state.c:
            return (self._stage(state.n_labelled / (state.c or 1)),)
        return self.stages

    def _stage(self, counted: float) -> Strategy:
        return self.stages[sum(counted >= threshold for threshold in self.until)]
