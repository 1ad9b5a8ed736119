"""Contrastive pre-training's easiest items as the first labels."""

from dataclasses import dataclass
from typing import ClassVar

from querist.strategies._contrast import Contrast
from querist.strategies.base import register


@register(
    "contrast_easy",
    cite="Chen et al. 2022, arXiv 2210.02442; data maps: Swayamdipta et al., EMNLP 2020",
    presets={"S3": {"clusters": 30}},
)
@dataclass(frozen=True, kw_only=True)
class ContrastEasy(Contrast):
    """Wants, of every pseudo-class in turn, the rows that pre-training matched best with their other view.

    Identity: ``q_e(i)`` is the probability that epoch e of a contrastive pre-training gives the own other view of item
    i among all views of its batch, at a fixed temperature; wanted are the largest means over epochs.

    Use when: as the counterpart of `contrast_hard`: a first pool of the easiest items is what a comparison needs
    beside it.

    Avoid when: labels shall teach something new: the easiest items are often blank or all alike.

    Pitfalls: saturated views (one colour, text) are the easiest of all.
    """

    kind: ClassVar = "easy"
