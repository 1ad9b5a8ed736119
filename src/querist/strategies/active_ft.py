"""ActiveFT: the rows nearest to free vectors that were spread over the features as the pool is."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from querist.errors import SpecError
from querist.evidence.evidence import Evidence
from querist.evidence.needs import Features
from querist.kernels.free_centres import moved_centres, nearest_unused
from querist.kernels.top import top_b
from querist.seeds import Key
from querist.strategies.base import Picks, Strategy, register, require_at_least


@register(
    "active_ft",
    cite="Xie et al., CVPR 2023",
    presets={"paper": {"tau": 0.07, "balance": 1.0, "rate": 0.001, "steps": 300}},
    flags=("one_shot",),
)
@dataclass(frozen=True, kw_only=True)
class ActiveFT(Strategy):
    """Wants the rows nearest to `b` free unit vectors that were moved to where rows are, and away from one another.

    The vectors start at keyed random rows and climb the objective of `moved_centres`; each in turn takes the most
    similar row that is not taken. A whole budget is selected at once.

    Use when: features are strong and frozen, nothing is labelled, and the whole budget is spent in one go, as before
    fine-tuning.

    Avoid when: labels come in batches: the batches of two budgets have little in common, and labels are not used.

    Pitfalls: the 300 steps of 0.001 of the paper leave the vectors close to the random rows they start from: of 20
    starts 3 found all of five separate groups, with a rate of 0.01 it was 16. Time grows with budget times pool.

    Attributes:
        tau: temperature of the similarities.
        balance: weight of keeping the vectors apart.
        rate: step size of Adam.
        steps: how many.
    """

    tau: float = 0.07
    balance: float = 1.0
    rate: float = 0.001
    steps: int = 300
    family: ClassVar = "cold start"
    regimes: ClassVar = ("VL", "L")
    needs: ClassVar = (Features(),)

    def __post_init__(self) -> None:
        require_at_least(self, 1, "steps")
        for name in ("tau", "balance", "rate"):
            if not 0.0 < (value := getattr(self, name)) < float("inf"):
                raise SpecError(f"Expected {name} to be positive and finite, got {value}.")

    def reason(self, utility: float) -> str:
        return f"it is the item nearest to one of the points that represent the pool, cosine {utility:.3f}"

    def select(self, ev: Evidence, b: int, key: Key) -> Picks:
        x_n_d, tie_n = ev[Features()], key.hash(ev.candidates)
        start = top_b(np.zeros(len(x_n_d)), key.child("start").hash(ev.candidates), b)
        centre_b_d, _ = moved_centres(
            x_n_d, x_n_d[start], tau=self.tau, balance=self.balance, steps=self.steps, rate=self.rate
        )
        return Picks(*nearest_unused(x_n_d, centre_b_d, tie_n))
