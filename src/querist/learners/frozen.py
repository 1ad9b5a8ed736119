"""What learners on frozen features share: which features they read, what they offer, and why not the rest."""

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

from querist.arrays import Array, Labels as LabelArray
from querist.errors import DataError, UnmetNeedError
from querist.evidence.needs import (
    Aux,
    Draws,
    Embeddings,
    Features,
    Gradients,
    Head,
    History,
    InputGradients,
    Labels,
    Logits,
    Need,
    Neighbours,
    PretrainTrace,
    Previous,
    Probs,
    Refit,
    Sealed,
)
from querist.evidence.provider import Fit, Model, Offer
from querist.evidence.view import View
from querist.learners.base import Learner

T = TypeVar("T")

_REASONS: dict[type[Need[Any]], str] = {
    Probs: "it gives no class probabilities.",
    Logits: "it has no layer before a softmax, so it has no logits; strategies on Probs work, and 'linear' has both.",
    Draws: "it is one deterministic function, so there are no draws; a committee or a net with dropout has them.",
    Embeddings: "it trains no backbone, so it has no embeddings of its own; declare Features, which are its input.",
    Gradients: "it is not fitted by a gradient of a last layer; the learner 'linear' is.",
    Head: "it has no linear last layer; the learner 'linear' has one.",
    InputGradients: "frozen features have no path back to the input; a learner that trains a backbone has.",
    Refit: "the session fits a learner again, not the learner itself.",
    PretrainTrace: "statistics of a pre-training come from the encoder that was pre-trained.",
    Aux: "helpers of a strategy are trained beside a backbone; it has none.",
    Features: "features come from the encoder of the session, not from the learner.",
    Neighbours: "neighbours are found among the features of the session, not by the learner.",
    Labels: "labels that were bought come from the session, and there for the labelled frame only.",
    History: "past picks come from the session.",
    Previous: "values of an earlier round are not a model's to give, for a model knows one round.",
    Sealed: "no learner sees labels that were not bought.",
}


@dataclass(frozen=True, kw_only=True)
class FrozenLearner(Learner):
    """A learner whose input is unit rows of frozen features.

    Attributes:
        encoder: registry name of the encoder whose features it reads; None for the session's own.
    """

    provides: ClassVar[tuple[type[Need[Any]], ...]] = (Probs,)
    encoder: str | None = None

    @property
    def features(self) -> Features:
        """What it reads of a view."""
        return Features(encoder=self.encoder)

    def offers(self, need: Need[Any]) -> Offer | str:
        """Return an offer for what it provides, and the reason for any other need."""
        return Offer() if type(need) in self.provides else reason(need)

    def fit(self, job: Fit) -> Model:
        """Return the model of the labelled rows; neither pool nor validation rows nor an earlier model matter.

        Raises:
            DataError: there are no labels.
        """
        if not len(job.labelled):
            raise DataError(f"learner {self.card.name!r} needs at least one label, got none. Label a first batch.")
        return self.fit_rows(job.labelled[self.features], job.labelled.labels, job)

    @abstractmethod
    def fit_rows(self, x_l_d: Array, y_l: LabelArray, job: Fit) -> Model:
        """Return the model of labelled rows ``(l, d)``, ``l >= 1``, with class numbers ``(l,)``."""


@dataclass(frozen=True, kw_only=True, eq=False)
class ProbsModel:
    """A fitted model whose only output is class probabilities; subclasses say how.

    Attributes:
        features: which features it reads.
        c: number of declared classes.
    """

    features: Features
    c: int

    def provide(self, need: Need[T], view: View) -> T:
        """Return the value of a need for the rows of a view.

        Raises:
            UnmetNeedError: it provides no such thing; says why.
        """
        if type(need) is Probs:
            return self.probs(view[self.features])  # pyright: ignore[reportReturnType]
        raise UnmetNeedError(f"{need}: {reason(need)}")

    @abstractmethod
    def probs(self, x_n_d: Array) -> Array:
        """Return ``(n, c)`` float64 probabilities of rows of features."""


def reason(need: Need[Any]) -> str:
    """Return why a learner on frozen features does not meet a need, written for the user."""
    return _REASONS.get(type(need), f"a learner on frozen features knows nothing of {type(need).__name__}.")
