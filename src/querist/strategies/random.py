"""Random sampling, the baseline of every comparison."""

from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar

import numpy as np

from querist.evidence.evidence import Evidence
from querist.seeds import Key, Seed
from querist.strategies.base import Picks, Strategy, register


@register(
    "random",
    cite="baseline",
    aliases=("uniform",),
    presets={"S0": {"nested": True}, "S1": {}, "S2": {}, "S3": {}, "S4": {}},
)
@dataclass(frozen=True, kw_only=True)
class Random(Strategy):
    """Draws rows uniformly without replacement: those with the smallest keyed hashes.

    Use when: always, as the arm every other strategy is compared with; and where the labels must also serve as an
    unbiased sample, such as a validation set.

    Avoid when: labels are few and frozen features are at hand: on digits a first batch of ten by k-means gave 30 points
    more.

    Pitfalls: a rare class gets its share and no more, so small random pools miss classes. Compare strategies over
    several paired pools, for pools of few labels differ much.

    Attributes:
        nested: use the same order in every round, so that any smaller budget is a prefix of any larger one.
    """

    family: ClassVar = "random and oracle"
    regimes: ClassVar = ("VL", "L", "M", "H")
    nested: bool = False

    def reason(self, utility: float) -> str:
        return "drawn at random"

    def select(self, ev: Evidence, b: int, key: Key) -> Picks:
        n = len(ev.candidates)
        hash_n = (without_round(key) if self.nested else key).hash(ev.candidates)
        rows = np.argpartition(hash_n, b - 1)[:b] if b < n else np.arange(n)
        return Picks(rows[hash_n[rows].argsort()], propensity=1.0 / (n - np.arange(b)))


def without_round(key: Key) -> Key:
    """Return the key at the same address without the steps ``"round", t``: one key for all rounds of a session."""
    path = key.seed.path
    for at, (step, number) in enumerate(pairwise(path)):
        if step == "round" and isinstance(number, int):  # a dataset may be called "round" too
            return Key(Seed(key.seed.entropy, path[:at] + path[at + 2 :]))
    return key
