"""What a learner is: a frozen configuration that turns labels into a model."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

from querist.evidence.needs import Need
from querist.evidence.provider import Fit, Model, Offer
from querist.registry import Card, Registry


class Learner(ABC):
    """Turns labelled rows into a `Model`. Subclasses are frozen, keyword-only dataclasses.

    ``trains_backbone`` says whether the model has embeddings of its own, which ``space="auto"`` then means.
    """

    registry: ClassVar["Registry[Any]"]
    card: ClassVar[Card[Any]]
    trains_backbone: ClassVar[bool] = False

    @abstractmethod
    def offers(self, need: Need[Any]) -> Offer | str:
        """Return an offer, or the reason why there is none, written for the user."""

    @abstractmethod
    def fit(self, job: Fit) -> Model:
        """Return the model of one job; depends on nothing but the job."""

    def fit_many(self, jobs: Sequence[Fit]) -> list[Model]:
        """Return one model per job, bit for bit what `fit` would return for each alone."""
        return [self.fit(job) for job in jobs]


learners: Registry[Learner] = Registry("learner", "querist.learners")
Learner.registry = learners
register = learners.register
