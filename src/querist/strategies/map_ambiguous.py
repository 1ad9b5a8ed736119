"""Supervised data maps' ambiguous items: what the true labels would choose."""

from dataclasses import dataclass
from typing import ClassVar

from querist.strategies._map import Mapped
from querist.strategies.base import register


@register(
    "map_ambiguous",
    cite="Swayamdipta et al., EMNLP 2020; as a first pool: Chen et al. 2022, arXiv 2210.02442",
    flags=("oracle",),
)
@dataclass(frozen=True, kw_only=True)
class MapAmbiguous(Mapped):
    """Wants the rows whose probability changes most, for a net that was trained on all labels of the pool.

    Identity: ``q_e(i)`` is the probability that epoch e gives the true label of item i; wanted are the largest
    standard deviations over epochs.

    Use when: a study wants to know what a data map made with all labels would have chosen: a reference, no strategy.

    Avoid when: anything is to be labelled: whoever has this file has all labels.

    Pitfalls: few epochs make a spread of noise.
    """

    kind: ClassVar = "ambiguous"
