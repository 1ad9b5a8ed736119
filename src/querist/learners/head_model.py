"""A fitted model that ends in one linear layer: everything it is asked for is arithmetic on the input of that layer."""

from abc import ABC, abstractmethod
from typing import Any, TypeVar

import numpy as np

from querist.arrays import Array, Labels
from querist.errors import UnmetNeedError
from querist.evidence.needs import Embeddings, Factors, Gradients, Head, Logits, Need, Probs
from querist.evidence.view import View
from querist.kernels.inner import scores, softmax

T = TypeVar("T")


class HeadModel(ABC):
    """Provides `Probs`, `Logits`, `Embeddings`, `Head` and `Gradients` from embeddings and a head."""

    @property
    @abstractmethod
    def head(self) -> tuple[Array, Array]:
        """Weights ``(c, d)`` and intercepts ``(c,)`` of the last layer, float64."""

    @abstractmethod
    def embeddings(self, view: View) -> Array:
        """Return ``(n, d)`` float32 inputs of the last layer."""

    @abstractmethod
    def refusal(self, need: Need[Any]) -> str:
        """Return why there is no such thing, written for the user."""

    def provide(self, need: Need[T], view: View) -> T:
        """Return the value of a need for the rows of a view.

        Raises:
            UnmetNeedError: it provides no such thing; says why.
            DataError: the items of the view are not what it was trained on.
        """
        match need:
            case Probs():
                value = softmax(self.logits(self.embeddings(view)))
            case Logits():
                value = self.logits(self.embeddings(view))
            case Embeddings():
                value = self.embeddings(view)
            case Head(space="embeddings"):
                value = self.logits
            case Gradients():
                value = self.gradients(view, view.labels if need.frame == "labelled" else None)
            case _:
                raise UnmetNeedError(f"{need}: {self.refusal(need)}")
        return value  # pyright: ignore[reportReturnType]

    def logits(self, x_n_d: Array) -> Array:
        """Return ``(n, c)`` float64 logits of embeddings."""
        weight, bias = self.head
        return scores(x_n_d, weight) + bias

    def gradients(self, view: View, labels: Labels | None) -> Factors:
        """Return the factors of the loss gradient with respect to the weights of the head.

        Without labels, the label of a row is its most likely class, the first of equals.
        """
        x = self.embeddings(view)
        residual = softmax(self.logits(x))
        residual[np.arange(len(x)), residual.argmax(axis=1) if labels is None else labels] -= 1.0
        return Factors(residual, x)
