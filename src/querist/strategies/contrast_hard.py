"""Contrastive pre-training's hardest items as the first labels."""

from dataclasses import dataclass
from typing import ClassVar

from querist.strategies._contrast import Contrast
from querist.strategies.base import register


@register(
    "contrast_hard",
    cite="Chen et al. 2022, arXiv 2210.02442; data maps: Swayamdipta et al., EMNLP 2020",
    presets={"S3": {"clusters": 30}},
)
@dataclass(frozen=True, kw_only=True)
class ContrastHard(Contrast):
    """Wants, of every pseudo-class in turn, the rows that pre-training matched worst with their other view.

    Identity: ``q_e(i)`` is the probability that epoch e of a contrastive pre-training gives the own other view of item
    i among all views of its batch, at a fixed temperature; wanted are the smallest means over epochs.

    Use when: there are no labels, an encoder was pre-trained on the pool, and one to a few labels per pseudo-class
    are bought.

    Avoid when: items are noisy or repeated: near-copies are each other's negatives, so they and broken images look
    hardest.

    Pitfalls: the temperature of the record is not that of the training; too low a one makes all probabilities 0 or 1.
    """

    kind: ClassVar = "hard"
