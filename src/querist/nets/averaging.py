"""Settings of which weights a fit ends with; without torch."""

import math
from dataclasses import dataclass
from typing import Literal

from querist.errors import SpecError
from querist.nets.bounds import require_options, require_within


@dataclass(frozen=True, kw_only=True)
class Averaging:
    """Which weights a fit keeps: those it ends with, an average, or the best on the validation set.

    Attributes:
        keep: ``last``, or ``best``: the weights that were best on the validation set, looked at `looks` times; what an
            average comes to is one of them.
        looks: how often a fit looks at its validation set, evenly spread, the last update included.
        ema: decay of an exponential moving average of the weights, which then is what is kept; 0 for none. After n
            updates it is at most ``(1 + n) / (10 + n)``, so that short fits let go of their first weights.
        swa: updates of stochastic weight averaging after the others, as a share of them; 0 for none.
        swa_lr: their constant learning rate.
        swa_snapshots: how many weights along them are averaged, evenly spread: at least 5, whatever the batch.
        precise_bn: whether batch normalisation gets its statistics anew from the clean labelled images when weights are
            final. Averages by `swa` always do, unless those of a checkpoint are kept (`batch_norm`).
    """

    keep: Literal["last", "best"] = "last"
    looks: int = 20
    ema: float = 0.0
    swa: float = 0.0
    swa_lr: float = 5e-4
    swa_snapshots: int = 25
    precise_bn: bool = False

    def __post_init__(self) -> None:
        require_options(self)
        require_within("looks", self.looks, 1, math.inf)
        require_within("ema", self.ema, 0, 1, below=True)
        require_within("swa", self.swa, 0, math.inf)
        require_within("swa_lr", self.swa_lr, 0, math.inf, above=True)
        require_within("swa_snapshots", self.swa_snapshots, 5, math.inf)
        if self.ema and self.swa:
            raise SpecError("ema and swa are two averages of the same weights: set one of them to 0.")
