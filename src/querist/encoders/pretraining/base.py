"""What a method of pre-training is: a frozen configuration that says how a backbone learns from images alone."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from querist.errors import SpecError
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
    """

    registry: ClassVar["Registry[Any]"]
    card: ClassVar[Card[Any]]

    net: str = "resnet18_cifar"

    def initial(self) -> Path | None:
        """Return the folder of the backbone to begin with; None for random weights."""
        return None

    def identity(self) -> dict[str, object]:
        """Return all that a training depends on, as JSON values, with digests in the place of paths."""
        return describe(self)

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
