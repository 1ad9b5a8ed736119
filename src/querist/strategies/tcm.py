"""TCM: TypiClust while labels are very few, margin sampling from then on."""

from dataclasses import dataclass
from typing import ClassVar

from querist.strategies.base import Strategy, register
from querist.strategies.margin import Margin
from querist.strategies.schedule import Schedule
from querist.strategies.typiclust import TypiClust


@register("tcm", cite="Doucet et al. 2024, arXiv 2403.03728")
@dataclass(frozen=True, kw_only=True)
class Tcm(Schedule):
    """Wants typical rows while labels are very few, and rows with a small margin from then on.

    A `schedule` of `typiclust` and `margin`; before the switch it picks what the one picks, after it what the other
    does. The authors switch after a few rounds, sooner the better the features; here the switch is at a number of
    labels per class, which does not depend on the size of a batch. ``by = "rounds"`` counts rounds.

    Use when: there are good frozen features and labelling starts from nothing.

    Avoid when: features are weak or classes are no clusters, for then typical rows are no better than random ones.

    Pitfalls: margin picks near-copies in large batches; a late switch wastes labels on rows the model knows.

    Attributes:
        until: where to switch. The default, 5 labels per class, is ours.
    """

    stages: tuple[Strategy, ...] = (TypiClust(), Margin())
    until: tuple[float, ...] = (5.0,)
    family: ClassVar = "budget-adaptive"
    regimes: ClassVar = ("VL", "L", "M", "H")
