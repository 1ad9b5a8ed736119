"""Draws for a learner that has none: heads drawn from the Laplace approximation of its last layer."""

from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np

from querist.arrays import Array, Bools
from querist.errors import SpecError
from querist.evidence.needs import Draws, Gradients, Need, Probs
from querist.evidence.provider import Fit, Model, Offer
from querist.evidence.view import View
from querist.kernels.inner import scores, softmax
from querist.kernels.laplace import LastLayer, last_layer
from querist.learners.base import Learner, register
from querist.learners.linear import Linear, LinearModel
from querist.learners.mlp import MLP, MLPModel
from querist.registry import describe
from querist.seeds import Seed

T = TypeVar("T")


@register("laplace", cite="MacKay, Neural Computation 1992; Daxberger et al., NeurIPS 2021")
@dataclass(frozen=True, kw_only=True)
class Laplace(Learner):
    """Another learner on frozen features, with draws of its last layer; everything else is as the base has it.

    The last layer is a Gaussian: its mean is what the base fitted, its precision the curvature of the loss there plus
    that of the prior, which is the penalty of the base, ``1 / C`` or labels times weight decay. A draw is one head for
    all rows, a function of the seed and of its number. It costs one factorisation; a committee costs a fit per member.
    A class without labels has probability 0 in every draw.

    A net that is trained has the same draws by its setting ``draws = "laplace"``.

    Attributes:
        base: ``linear`` or ``mlp``.
    """

    base: Learner = field(default_factory=Linear)

    def __post_init__(self) -> None:
        base: Any = self.base
        if not isinstance(base, Linear | MLP):
            hint = "set draws = 'laplace' in it." if base.trains_backbone else "it has no linear last layer."
            raise SpecError(f"Expected base to be 'linear' or 'mlp', got {describe(base)['name']!r}: {hint}")
        if isinstance(base, MLP) and not base.weight_decay:
            raise SpecError("the prior is the weight decay of the base: set weight_decay above 0.")

    @property
    def seeded(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        """Whether another seed gives another fit; draws always differ."""
        return self.base.seeded

    def identity(self) -> dict[str, object]:
        return describe(self) | {"base": self.base.identity()}

    def offers(self, need: Need[Any]) -> Offer | str:
        """Offer draws, and whatever the base offers."""
        return Offer("heads drawn around the fitted one") if isinstance(need, Draws) else self.base.offers(need)

    def fit(self, job: Fit) -> "LaplaceModel":
        """Return the model of the base, and the Gaussian around its last layer."""
        base: Any = self.base
        model = base.fit(job)
        x, p = _inputs(model, job.labelled), np.asarray(model.provide(Probs(), job.labelled))
        if isinstance(model, LinearModel):
            seen = np.isfinite(model.head.intercept)
            weight, bias = model.head.coef[seen], model.head.intercept[seen]
            # Two classes are fitted at half of C, see `querist.kernels.logistic.fit_logistic`.
            precision = (2.0 if seen.sum() == 2 else 1.0) / base.C
        else:
            assert isinstance(model, MLPModel)
            (weight, bias), seen, precision = model.head, model.seen, base.weight_decay * len(x)
        around = last_layer(x, p[:, seen], weight, bias, precision)
        return LaplaceModel(model, around, seen, job.seed.child("draws"))


@dataclass(frozen=True, eq=False)
class LaplaceModel:
    """A fitted model, and a Gaussian over the weights of its last layer.

    Attributes:
        base: the model.
        around: the Gaussian, over the classes that had labels.
        seen: which of the declared classes those are, ``(c,)``.
        seed: of the draws.
    """

    base: Model
    around: LastLayer
    seen: Bools
    seed: Seed

    def provide(self, need: Need[T], view: View) -> T:
        """Return the value of a need for the rows of a view.

        Raises:
            UnmetNeedError: the base provides no such thing; says why.
        """
        if not isinstance(need, Draws):
            return self.base.provide(need, view)
        x = _inputs(self.base, view)
        return [self._draw(x, j) for j in range(need.k)]  # pyright: ignore[reportReturnType]

    def _draw(self, x_n_d: Array, j: int) -> Array:
        noise = self.seed.child(j).generator().standard_normal(self.around.mean.shape)
        weights = self.around.at(noise)
        probs = np.zeros((len(x_n_d), len(self.seen)), np.float32)
        probs[:, self.seen] = softmax(scores(x_n_d, weights[:, :-1]) + weights[:, -1])
        return probs


def _inputs(model: Model, view: View) -> Array:
    """Return the inputs of the last layer, ``(n, d)``, which every model with one has beside its gradients."""
    return model.provide(Gradients(), view).embedding
