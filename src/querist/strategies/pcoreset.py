"""Probabilistic core-set: coverage of what a teacher, or the model itself, predicts."""

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from querist.arrays import Array, require_probabilities
from querist.evidence.evidence import Evidence
from querist.evidence.needs import Need, Probs
from querist.seeds import Key
from querist.strategies._scorer_card import flags_by_card, require_items
from querist.strategies._stored import stored_rows
from querist.strategies._whole import farthest_picks
from querist.strategies.base import Picks, State, Strategy, register

WHO = "strategy pcoreset"


@register(
    "pcoreset",
    cite="Kang et al. 2025, arXiv 2506.00910",
    presets={"paper": {"teacher": None}},
    flags=("external",),
)
@dataclass(frozen=True, kw_only=True)
class PCoreSet(Strategy):
    """Wants the row whose class probabilities are farthest from those of everything labelled or picked, repeatedly.

    Identity: ``argmax_i min_(j in L u S) |p_i - p_j|``: `k_center_greedy` on probabilities. In the paper they are those
    of a student that is distilled from a vision-language teacher and inherits how its predictions cluster; that is what
    happens here without `teacher`. With it they are the teacher's own, which need no labels at all.

    Use when: a zero-shot model, such as CLIP with your class names, knows the task roughly, and its probabilities are
    stored: they cover the classes from the first label on.

    Avoid when: the teacher was trained on data you will test on, or does not know the classes.

    Pitfalls: the teacher's columns must be the declared classes in their order; nobody can see if they are not. The
    rows it is oddest about come first, as with every k-center rule.

    Attributes:
        teacher: a file of probabilities, .npy ``(N, c)`` with a row per item of the dataset or .npz with ``ids`` and
            ``values``. Results record its content, not its place. Without it the model's own probabilities are covered.
        start: the first pick when nothing is labelled: the row nearest to the mean of all, or a random one.
    """

    family: ClassVar = "coverage"
    regimes: ClassVar = ("VL", "L", "M")
    files: ClassVar = ("teacher",)
    teacher: str | None = None
    start: Literal["mean", "random"] = "mean"

    def flags(self) -> frozenset[str]:
        return flags_by_card(self.teacher)

    def require_items(self, keys: str, classes: tuple[str, ...]) -> None:
        if self.teacher is not None:
            require_items(self.teacher, keys, classes, WHO)

    def needs_at(self, state: State) -> tuple[Need[Any], ...]:
        return (Probs(frame="all"),) if self.teacher is None else ()

    def reason(self, utility: float) -> str:
        return f"its predicted probabilities lie {utility:.3g} away from those of everything labelled or picked before"

    def select(self, ev: Evidence, b: int, key: Key) -> Picks:
        return farthest_picks(ev, self._probabilities(ev), b, key, self.start)

    def _probabilities(self, ev: Evidence) -> Array:
        if self.teacher is None:
            return ev[Probs(frame="all")]
        p_N_c = stored_rows(self.teacher, ev.all, (ev.c,), who=WHO)
        require_probabilities(p_N_c, f"{WHO}: what {self.teacher} holds", ev.all)
        return p_N_c
