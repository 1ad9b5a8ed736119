"""A deep net trained from random weights on the labelled images alone."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeVar
from weakref import WeakKeyDictionary

import numpy as np

from querist.arrays import Array, Bools, Labels, readonly
from querist.errors import DataError, SpecError, UnmetNeedError
from querist.evidence.needs import (
    Aux,
    Draws,
    Embeddings,
    Factors,
    Gradients,
    Head,
    InputGradients,
    Logits,
    Need,
    Probs,
    Refit,
)
from querist.evidence.provider import Fit, Offer
from querist.evidence.view import View
from querist.extras import require
from querist.kernels.inner import scores, softmax
from querist.learners.base import Learner, register
from querist.learners.frozen import reason
from querist.nets.base import locate
from querist.nets.recipe import Recipe
from querist.seeds import Seed

if TYPE_CHECKING:
    from querist.nets.images import Normalisation
    from querist.nets.net import Net

T = TypeVar("T")

NO_DROPOUT = (
    "the net has no dropout, so it is one function and has no draws: set dropout=0.5, say, in the learner, and in that "
    "of every arm it is compared with, for it is another net; or take a committee of it."
)


@register("scratch", cite="He, Zhang, Ren & Sun, CVPR 2016; dropout as draws: Gal & Ghahramani, ICML 2016")
@dataclass(frozen=True, kw_only=True)
class Scratch(Recipe, Learner):
    """Trains an image net from random weights at every fit, and scores with clean images.

    Nothing is carried over: weights and batch statistics are drawn anew from the seed of the job, and an earlier model
    is not looked at. Training is a fixed number of updates and keeps the last state; validation rows play no part. The
    same job gives the same weights on the same device, bit for bit.

    Scoring is one pass that yields embeddings; everything else is arithmetic on them: ``logits = head(embedding)``, in
    float64. Rows have the same bits in any company.

    With ``dropout`` there are `Draws` by Monte Carlo dropout before the head. Draw j has one mask for all rows, a
    function of the model and of j alone, so all draws are coherent, and more of them change none of the earlier ones.
    Dropout inside a backbone of another library acts in training only.

    Attributes:
        net: ``small_cnn``, ``resnet18_cifar``, ``timm/NAME``, ``torchvision/NAME``, or the bare name of a timm model.
        dropout: share of the embedding dropped before the head; 0 for none.
        device: ``auto`` (the first CUDA card if there is one), ``cpu`` or ``cuda``.
    """

    trains_backbone: ClassVar[bool] = True
    net: str = "small_cnn"
    dropout: float = 0.0
    device: Literal["auto", "cpu", "cuda"] = "auto"

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.dropout < 1:
            raise SpecError(f"Expected dropout to be at least 0 and less than 1, got {self.dropout}.")
        locate(self.net)

    def offers(self, need: Need[Any]) -> Offer | str:
        """Offer what one pass over the rows gives; draws only with dropout."""
        match need:
            case Head(space="features"):
                return "its head judges embeddings of its own, no frozen features; space = 'embeddings' or 'auto' fits."
            case Probs() | Logits() | Embeddings() | Gradients() | Head():
                return Offer("one pass for all of them together")
            case Draws():
                return Offer("no further pass: masks before the head") if self.dropout else NO_DROPOUT
            case _:
                return _why_not(need)

    def fit(self, job: Fit) -> "ScratchModel":
        """Return a net trained on the labelled images of one job.

        Raises:
            DataError: there are no labels, the items are no uint8 images, or they change from one reading to the next.
            FitError: the loss is not finite.
            SpecError: the net does not take such images, or the device does not exist.
            MissingExtraError: torch is not installed.
        """
        require("learner 'scratch'", "deep", "torch", "lightning_fabric")
        from querist.nets.images import normalisation, read_images
        from querist.nets.net import build_net
        from querist.nets.running import make_fabric, reproducible
        from querist.nets.training import Trainer

        if not len(job.labelled):
            raise DataError("learner 'scratch' needs at least one label, got none. Label a first batch.")
        images = read_images(job.labelled)
        height, width, channels = images.shape[1:]
        fabric = make_fabric(self.device)
        normalise = normalisation(job.labelled, job.pool)
        with reproducible(job.seed.child("weights"), fabric.device):
            net = build_net(self.net, (channels, height, width), job.labelled.c, self.dropout)
            Trainer(self, fabric, normalise).fit(net, images, job.labelled.labels, job.seed)
        return ScratchModel(net.requires_grad_(False), normalise, self.dropout, job.seed.child("draws"))


@dataclass(frozen=True, eq=False)
class ScratchModel:
    """A trained net; it changes no more.

    Attributes:
        net: in evaluation mode.
        normalise: the only transform of the images it scores.
        dropout: the share it was trained with.
        seed: of the masks of its draws.
    """

    net: "Net"
    normalise: "Normalisation"
    dropout: float
    seed: Seed
    _seen: WeakKeyDictionary[View, Array] = field(default_factory=WeakKeyDictionary, init=False, repr=False)
    _head: tuple[Array, Array] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        weight, bias = (p.detach().cpu().numpy().astype(np.float64) for p in (self.net.head.weight, self.net.head.bias))
        object.__setattr__(self, "_head", (readonly(weight), readonly(bias)))

    def provide(self, need: Need[T], view: View) -> T:
        """Return the value of a need for the rows of a view.

        Raises:
            UnmetNeedError: it provides no such thing; says why.
            DataError: the items are no uint8 images, or change from one reading to the next.
        """
        match need:
            case Probs():
                value = softmax(self.logits(self.embeddings(view)))
            case Logits():
                value = self.logits(self.embeddings(view))
            case Embeddings():
                value = self.embeddings(view)
            case Head():
                value = self.logits
            case Gradients():
                value = self.gradients(view, view.labels if need.frame == "labelled" else None)
            case Draws(k=k) if self.dropout:
                value = self.draws(self.embeddings(view), k)
            case _:
                raise UnmetNeedError(f"{need}: {NO_DROPOUT if isinstance(need, Draws) else _why_not(need)}")
        return value  # pyright: ignore[reportReturnType]

    def embeddings(self, view: View) -> Array:
        """Return ``(n, d)`` float32 outputs of the layer before the head; a view that is asked again is not read again.

        The last view is remembered for as long as somebody else holds it.
        """
        if view not in self._seen:
            from querist.nets.running import reproducible
            from querist.nets.scoring import embed

            self._seen.clear()
            with reproducible(self.seed, self.net.head.weight.device):
                self._seen[view] = readonly(embed(self.net, self.normalise, view))
        return self._seen[view]

    def logits(self, x_n_d: Array) -> Array:
        """Return ``(n, c)`` float64 logits of embeddings."""
        weight, bias = self._head
        return scores(x_n_d, weight) + bias

    def gradients(self, view: View, labels: Labels | None) -> Factors:
        """Return the factors of the loss gradient with respect to the weights of the head.

        Without labels, the label of a row is its most likely class, the first of equals.
        """
        x = self.embeddings(view)
        residual = softmax(self.logits(x))
        residual[np.arange(len(x)), residual.argmax(axis=1) if labels is None else labels] -= 1.0
        return Factors(residual, x)

    def draws(self, x_n_d: Array, k: int) -> Sequence[Array]:
        """Return ``k`` arrays ``(n, c)`` float32 of probabilities, draw j under mask j.

        A mask multiplies the columns of the head instead of the embeddings: the same function, without a copy of them.
        """
        weight, bias = self._head
        kept = (self.mask(j) for j in range(k))
        return [softmax(scores(x_n_d, weight * mask / (1 - self.dropout)) + bias).astype(np.float32) for mask in kept]

    def mask(self, j: int) -> Bools:
        """Return which dimensions draw j keeps, ``(d,)``."""
        return self.seed.child(j).generator().random(self._head[0].shape[1]) >= self.dropout


def _why_not(need: Need[Any]) -> str:
    return _REASONS.get(type(need)) or reason(need)


_REASONS: dict[type[Need[Any]], str] = {
    InputGradients: "this learner computes no gradients with respect to images; Gradients of the last layer it has.",
    Refit: "training a net again and again takes too long for a query; a committee of it has members on resamples.",
    Aux: "no helper of a strategy is trained beside this net.",
}
