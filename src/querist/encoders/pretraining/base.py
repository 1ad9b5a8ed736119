"""What a method of pre-training is: a frozen configuration that says how a backbone learns from images alone."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from querist.errors import SpecError
from querist.nets.bounds import require_within
from querist.nets.passes import Passes
from querist.registry import Card, Registry, describe

if TYPE_CHECKING:
    from querist.nets.tasks.base import Start, Task


@dataclass(frozen=True, kw_only=True)
class Method(Passes, ABC):
    """Trains a backbone on the images of a pool, without labels. Subclasses are frozen, keyword-only dataclasses.

    How long and with what steps is said by `Passes` and `Steps`, whose settings every method has.

    Attributes:
        net: architecture of the backbone, see `querist.nets.base.locate`.
        devices: how many of them train it, each a share of every batch. Gradients are added up in another order, so
            weights differ in their last bits from those of one device, and the number is part of what a training is.
    """

    registry: ClassVar["Registry[Any]"]
    card: ClassVar[Card[Any]]

    net: str = "resnet18_cifar"
    devices: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        require_within("devices", self.devices, 1, self.batch, "each has a share of every batch")

    def initial(self) -> Path | None:
        """Return the folder of the backbone to begin with; None for random weights."""
        return None

    def identity(self) -> dict[str, object]:
        """Return all that a training depends on, as JSON values, with digests in the place of paths."""
        # One device goes without saying, as it did when there was no choice: what was trained then is known again.
        return {name: value for name, value in describe(self).items() if (name, value) != ("devices", 1)}

    def notices(self, history: Sequence[Mapping[str, float]]) -> tuple[str, ...]:
        """Return what a person must know of a training of this method that had such epochs; nothing by default."""
        return ()

    @abstractmethod
    def task(self, start: "Start") -> "Task":
        """Return what is trained: the backbone of `start` with whatever learns beside it.

        Initial weights are drawn from torch's global generator, which the caller has seeded.

        Raises:
            MissingExtraError: a library that it takes parts from is not installed.
        """


def clusters_of(chosen: int | None, default: int, who: str) -> int:
    """Return the number of clusters of a method that is called `who`: the chosen one, or else the default.

    Raises:
        SpecError: none was chosen, and the default has fewer than two, for no classes were declared.
    """
    k = default if chosen is None else chosen
    if k < 2:
        raise SpecError(f"{who} has a number of clusters by the declared classes, and there are none: set clusters.")
    return k


methods: Registry[Method] = Registry("pre-training method", "querist.encoders.pretraining")
Method.registry = methods
register = methods.register
