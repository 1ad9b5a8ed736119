"""How a net is trained: all settings of a fit, without torch."""

from dataclasses import dataclass
from typing import Literal

from querist.errors import SpecError
from querist.nets.augmenting import Augmenting
from querist.nets.averaging import Averaging
from querist.nets.bounds import require_within
from querist.nets.length import Length
from querist.nets.steps import Steps


@dataclass(frozen=True, kw_only=True)
class Recipe(Averaging, Augmenting, Steps, Length):
    """Stochastic gradient descent for a fixed number of updates.

    The bases stand in reverse, for settings are listed from the last one on: those that everybody sets come first.

    Attributes:
        label_smoothing: probability that the target spreads over all declared classes.
        class_weights: whether each class weighs the same in the loss, however many labels it has; a class without
            labels is left out of the balance.
        batch_norm: ``train``: statistics of the batch in training; ``eval``: those of the checkpoint it starts from;
            ``auto``: ``eval`` where a pre-trained net is tuned on fewer labels than ten batches.
        precision: of training on a graphics card: ``mixed`` (bfloat16 where the chip has it) or ``float32``.
        compile: whether torch compiles the net first: minutes once, then faster on a graphics card.
        dynamics: whether the fit records what it makes of each training label, clean, at the end of every epoch (of
            every few, where an epoch is a few updates): one more pass over them each time.
    """

    label_smoothing: float = 0.0
    class_weights: bool = False
    batch_norm: Literal["auto", "train", "eval"] = "auto"
    precision: Literal["mixed", "float32"] = "mixed"
    compile: bool = False
    dynamics: bool = False

    def __post_init__(self) -> None:
        for part in (Length, Steps, Augmenting, Averaging):
            part.__post_init__(self)
        require_within("label_smoothing", self.label_smoothing, 0, 1, below=True)
        if self.precise_bn and self.batch_norm == "eval":
            raise SpecError(
                "precise_bn computes statistics of batch normalisation anew, and batch_norm = 'eval' keeps those of "
                "the checkpoint: set precise_bn = false, or batch_norm = 'train'."
            )
