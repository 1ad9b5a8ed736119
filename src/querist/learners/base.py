"""What a learner is: a frozen configuration that turns labels into a model."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

from querist.errors import SpecError
from querist.evidence.needs import Need
from querist.evidence.provider import Fit, Model, Offer
from querist.labels.events import Tuned
from querist.registry import Card, Registry, describe


class Found(NamedTuple):
    """What a search for settings found, and what it cost; a session notes it in its ledger as `Tuned`."""

    settings: Mapping[str, Any]
    trials: int
    fits: int
    value: float | None
    updates: int = 0
    validation: int = 0


class Learner(ABC):
    """Turns labelled rows into a `Model`. Subclasses are frozen, keyword-only dataclasses.

    ``trains_backbone`` says whether the model has embeddings of its own, which ``space="auto"`` then means;
    ``warm_starts`` whether a fit continues from the model of the round before; ``keeps`` whether its models are worth a
    file, for a fit takes more than moments; ``seeded`` whether another seed gives another model; ``searches`` whether a
    fit looks for settings first; ``reuses`` whether it does so in runs with training seed 0 alone.
    """

    registry: ClassVar["Registry[Any]"]
    card: ClassVar[Card[Any]]
    trains_backbone: ClassVar[bool] = False
    warm_starts: ClassVar[bool] = False
    keeps: ClassVar[bool] = False
    seeded: ClassVar[bool] = True
    searches: ClassVar[bool] = False
    reuses: ClassVar[bool] = False

    @abstractmethod
    def offers(self, need: Need[Any]) -> Offer | str:
        """Return an offer, or the reason why there is none, written for the user."""

    @abstractmethod
    def fit(self, job: Fit) -> Model:
        """Return the model of one job; depends on nothing but the job."""

    def fit_many(self, jobs: Sequence[Fit]) -> list[Model]:
        """Return one model per job, bit for bit what `fit` would return for each alone."""
        return [self.fit(job) for job in jobs]

    def identity(self) -> dict[str, object]:
        """Return all that a model depends on besides its job, as JSON values: what specifications record.

        A learner whose settings name a file puts a digest of its content in the place of the path.
        """
        return describe(self)

    def settled(self, found: Mapping[int, Tuned], checkpoint: int) -> "Learner":
        """Return what fits the model of a checkpoint: for a learner that searches, itself with the settings found.

        Args:
            found: what was found before, by checkpoint.
            checkpoint: number of the model.
        """
        return self

    def found(self, model: Model) -> Found | None:
        """Return what was searched to make a model of this learner; None if nothing was."""
        return None

    def save(self, model: Model, folder: Path) -> None:
        """Write a model of this learner to a new folder, as safetensors and JSON; only learners that `keeps` can."""
        raise SpecError(f"learner {self.card.name!r} keeps no models: it is fitted again in moments.")

    def load(self, folder: Path) -> Model:
        """Return the model that `save` wrote, giving the same outputs bit for bit on the same device.

        Raises:
            DataError: the folder holds no model of this learner.
        """
        raise SpecError(f"learner {self.card.name!r} keeps no models: it is fitted again in moments.")


learners: Registry[Learner] = Registry("learner", "querist.learners")
Learner.registry = learners
register = learners.register
