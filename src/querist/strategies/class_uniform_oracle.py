"""Class-balanced sampling by the true labels: an upper reference, not a strategy anyone could use."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from querist.evidence.evidence import Evidence
from querist.evidence.needs import Sealed
from querist.kernels.apportion import in_turn
from querist.seeds import Key
from querist.strategies.base import Picks, Strategy, register
from querist.strategies.random import without_round


@register(
    "class_uniform_oracle",
    cite="Pourahmadi et al. 2021, arXiv 2110.12033",
    presets={"S0": {"quota": "floor"}},
    flags=("oracle",),
)
@dataclass(frozen=True, kw_only=True)
class ClassUniformOracle(Strategy):
    """Draws the same number of rows from every true class; exhausted classes pass their quota on.

    The classes take turns in a keyed order that is the same in every round and goes on where the labelled set ends, so
    that smaller budgets are prefixes of larger ones. Reads sealed labels: compare nothing deployable with it silently.

    Use when: you want to know what a perfectly balanced random pool would be worth, as an upper reference for balancing
    methods.

    Avoid when: the result is to be compared with anything deployable: it reads labels that nobody has paid for.

    Pitfalls: a balanced pool is no upper bound on accuracy; good rules can beat it. Class shares of its labels say
    nothing about the pool.

    Attributes:
        quota: ``largest_remainder`` lets per-class counts differ by at most one; ``floor`` takes ``b // c`` of each
            class and completes the batch at random.
    """

    family: ClassVar = "random and oracle"
    regimes: ClassVar = ("VL", "L", "M", "H")
    quota: Literal["largest_remainder", "floor"] = "largest_remainder"
    needs: ClassVar = (Sealed(),)

    def reason(self, utility: float) -> str:
        return "drawn at random within its true class"

    def select(self, ev: Evidence, b: int, key: Key) -> Picks:
        key = without_round(key)
        tie_n, label_n = key.hash(ev.candidates), ev[Sealed()]
        turn_c = (key.child("classes").hash(np.arange(ev.c)).argsort().argsort() - len(ev.labelled)) % ev.c
        if self.quota == "largest_remainder":
            return Picks(in_turn(label_n, turn_c, tie_n, b))
        rows = in_turn(label_n, turn_c, tie_n, b, most=b // ev.c)
        rest = np.setdiff1d(np.arange(len(tie_n)), rows)
        return Picks(np.concatenate([rows, rest[tie_n[rest].argsort()][: b - len(rows)]]))
