"""A long-tailed draw by the true labels: imbalanced initial sets and pools made on purpose."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from querist.arrays import Array
from querist.errors import SpecError, UsageError
from querist.evidence.evidence import Evidence
from querist.evidence.needs import Sealed
from querist.kernels.apportion import in_proportion
from querist.seeds import Key
from querist.strategies.base import Picks, Strategy, register
from querist.strategies.random import without_round


@register(
    "long_tail_oracle",
    cite="Munjal et al., CVPR 2022; Chandra et al. 2020, arXiv 2011.14696",
    presets={
        "S2": {"profile": "exponential", "scale": 4000.0, "decay": -0.32, "floor": 500.0},
        "S2_cifar100": {"profile": "exponential", "scale": 400.0, "decay": -0.046, "floor": 100.0},
        "S3": {"profile": "geometric", "ratio": 0.01},
        "S3_upstream": {"profile": "geometric", "ratio": 0.02},
    },
    flags=("oracle",),
)
@dataclass(frozen=True, kw_only=True)
class LongTailOracle(Strategy):
    """Draws rows at random within their true classes, in numbers that fall from class to class.

    The share of the class at place j of c is in proportion to ``floor + scale exp(decay (j + 1/2))`` (``exponential``),
    ``ratio^(j / (c - 1))`` (``geometric``), or 1 in the first half of the places and `ratio` in the second (``step``).
    Shares become whole numbers by largest remainder and never rise from one place to the next, unless a class has too
    few rows: what it cannot give passes to the others in proportion.

    Use when: a study needs an imbalanced initial set, and the imbalance is part of the question.

    Avoid when: anything is compared with it that a person could have done: it reads labels nobody bought.

    Pitfalls: the order of the classes decides who is rare; state it. Classes with few rows flatten the tail.

    Attributes:
        profile: how shares fall.
        ratio: of the last share to the first, for ``geometric`` and ``step``.
        scale: for ``exponential``.
        decay: for ``exponential``; negative.
        floor: for ``exponential``.
        order: class numbers from the most to the least frequent; empty takes the declared order.
    """

    profile: Literal["exponential", "geometric", "step"] = "geometric"
    ratio: float = 0.01
    scale: float = 4000.0
    decay: float = -0.32
    floor: float = 500.0
    order: tuple[int, ...] = ()
    family: ClassVar = "random and oracle"
    regimes: ClassVar = ("VL", "L", "M", "H")
    needs: ClassVar = (Sealed(),)

    def __post_init__(self) -> None:
        if not 0.0 < self.ratio <= 1.0:
            raise SpecError(f"Expected ratio to be above 0 and at most 1, got {self.ratio}.")
        if not (self.scale >= 0.0 and self.floor >= 0.0 and 0.0 < self.scale + self.floor < float("inf")):
            raise SpecError(f"Expected scale and floor to be finite, 0 or larger, not both 0, got {self}.")
        if not -float("inf") < self.decay <= 0.0:
            raise SpecError(f"Expected decay to be finite and at most 0, got {self.decay}.")
        if sorted(self.order) != list(range(len(self.order))):
            raise SpecError(f"Expected order to hold every class number from 0 once, got {self.order}.")

    def reason(self, utility: float) -> str:
        return "drawn at random within its true class, of which a long-tailed share was wanted"

    def select(self, ev: Evidence, b: int, key: Key) -> Picks:
        if self.order and len(self.order) != ev.c:
            raise UsageError(f"long_tail_oracle: expected an order of {ev.c} classes, got one of {len(self.order)}.")
        tie_n, label_n = without_round(key).hash(ev.candidates), ev[Sealed()]
        order = np.array(self.order or range(ev.c))
        place_c = np.empty(ev.c, np.intp)
        place_c[order] = np.arange(ev.c)
        place_n = place_c[label_n]
        size = np.bincount(place_n, minlength=ev.c)
        count, start = in_proportion(self.shares(ev.c), size, b), np.cumsum(size) - size
        rows = np.lexsort((tie_n, place_n))
        picked = np.concatenate([rows[s : s + k] for s, k in zip(start, count, strict=True)])
        return Picks(picked[tie_n[picked].argsort()])

    def shares(self, c: int) -> Array:
        """Return ``(c,)``: how the frequencies of the classes compare, most frequent first."""
        place = np.arange(c)
        if self.profile == "exponential":
            return self.floor + self.scale * np.exp(self.decay * (place + 0.5))
        if self.profile == "step":
            return np.where(place < (c + 1) // 2, 1.0, self.ratio)
        return self.ratio ** (place / max(c - 1, 1))
