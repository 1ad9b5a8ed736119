"""Supervised data maps' hard-to-learn items: what the true labels would choose."""

from dataclasses import dataclass
from typing import ClassVar

from querist.strategies._map import Mapped
from querist.strategies.base import register


@register(
    "map_hard",
    cite="Swayamdipta et al., EMNLP 2020; as a first pool: Chen et al. 2022, arXiv 2210.02442",
    flags=("oracle",),
)
@dataclass(frozen=True, kw_only=True)
class MapHard(Mapped):
    """Wants the rows that are not learnt, for a net that was trained on all labels of the pool.

    Identity: ``q_e(i)`` is the probability that epoch e gives the true label of item i; wanted are the smallest
    means over epochs.

    Use when: a study wants to know what a data map made with all labels would have chosen: a reference, no strategy.

    Avoid when: anything is to be labelled: whoever has this file has all labels.

    Pitfalls: with wrong labels in the pool, the hardest items are those.
    """

    kind: ClassVar = "hard"
