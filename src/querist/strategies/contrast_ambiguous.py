"""Contrastive pre-training's most ambiguous items as the first labels."""

from dataclasses import dataclass
from typing import ClassVar

from querist.strategies._contrast import Contrast
from querist.strategies.base import register


@register(
    "contrast_ambiguous",
    cite="Chen et al. 2022, arXiv 2210.02442; data maps: Swayamdipta et al., EMNLP 2020",
    presets={"S3": {"clusters": 30}},
)
@dataclass(frozen=True, kw_only=True)
class ContrastAmbiguous(Contrast):
    """Wants, of every pseudo-class in turn, the rows that pre-training was most of two minds about.

    Identity: ``q_e(i)`` is the probability that epoch e of a contrastive pre-training gives the own other view of item
    i among all views of its batch, at a fixed temperature; wanted are the largest standard deviations over epochs.

    Use when: there are no labels and many epochs were recorded, so that a spread means something.

    Avoid when: few epochs were recorded: the spread is then that of the views.

    Pitfalls: items learnt late and items learnt and forgotten are not told apart.
    """

    kind: ClassVar = "ambiguous"
