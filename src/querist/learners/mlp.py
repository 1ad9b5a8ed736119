"""A net with one hidden layer on frozen features."""

import math
from dataclasses import dataclass, field
from typing import Any, ClassVar, TypeVar

import numpy as np

from querist.arrays import Array, Bools, Labels, Rows, readonly
from querist.evidence.needs import Embeddings, Features, Gradients, Head, Logits, Need, Probs
from querist.evidence.provider import Fit, Offer
from querist.evidence.view import View
from querist.kernels.inner import scores, softmax
from querist.kernels.threads import single_threaded_blas
from querist.learners.base import register
from querist.learners.frozen import FrozenLearner, reason
from querist.learners.head_model import HeadModel
from querist.learners.linear import among_all
from querist.nets.bounds import require_within
from querist.seeds import Seed

T = TypeVar("T")

BETAS, EPSILON = (0.9, 0.999), 1e-8
"""Of Adam: how slowly the mean gradient and its mean square move, and what keeps the quotient finite."""


@register("mlp", cite="Rumelhart, Hinton & Williams, Nature 1986; AdamW: Loshchilov & Hutter, ICLR 2019")
@dataclass(frozen=True, kw_only=True)
class MLP(FrozenLearner):
    """One hidden layer of rectified units and a linear head, on unit rows of frozen features.

    ``x -> relu(V x sqrt(d) + a) -> W h + b``; the hidden layer is the embedding. AdamW takes a fixed number of updates
    on full batches cut from one permutation of the labels after another, at a rate that falls along a cosine to 0. A
    class without labels has probability 0. Unlike the learner ``linear`` it has no unique optimum: another seed gives
    another model, so an ensemble of it has members that differ. It computes with numpy on one thread; the same job
    gives the same bits on the same machine.

    Attributes:
        hidden: units of the hidden layer.
        updates: steps of a fit, whatever the number of labels.
        batch: rows of an update; with fewer labels a row occurs several times.
        lr: the highest learning rate.
        weight_decay: of both matrices, apart from the gradient; intercepts have none.
    """

    provides: ClassVar[tuple[type[Need[Any]], ...]] = (Probs, Logits, Embeddings, Gradients, Head)
    hidden: int = 128
    updates: int = 500
    batch: int = 64
    lr: float = 1e-3
    weight_decay: float = 1e-2

    def __post_init__(self) -> None:
        for name in ("hidden", "updates", "batch"):
            require_within(name, getattr(self, name), 1, math.inf)
        require_within("lr", self.lr, 0, math.inf, above=True)
        require_within("weight_decay", self.weight_decay, 0, math.inf)

    def offers(self, need: Need[Any]) -> Offer | str:
        """Return an offer for what it provides, and the reason for any other need."""
        if isinstance(need, Head) and need.space == "features":
            return "its last layer judges its hidden units, no features; space = 'embeddings' fits, or 'linear' does."
        return super().offers(need)

    def fit_rows(self, x_l_d: Array, y_l: Labels, job: Fit) -> "MLPModel":
        """Return the trained layers; initial weights and order depend on the seed alone."""
        d, seen = x_l_d.shape[1], np.bincount(y_l, minlength=job.labelled.c) > 0
        rng = job.seed.child("weights").generator()
        c = int(seen.sum())
        shapes = ((self.hidden, d), (self.hidden,), (c, self.hidden), (c,))
        # He et al. 2015; the head starts small, so that the first guess is near uniform.
        spread = (math.sqrt(2 / d), 0.0, 1 / math.sqrt(self.hidden), 0.0)
        layers = [(s * rng.standard_normal(shape)).astype(np.float32) for s, shape in zip(spread, shapes, strict=True)]
        with single_threaded_blas():
            self._train(layers, _scaled(x_l_d), np.cumsum(seen)[y_l] - 1, job.seed.child("order"))
        layers = tuple(readonly(layer) for layer in layers)
        return MLPModel(features=self.features, learner=self, layers=layers, seen=seen)

    def _train(self, layers: list[Array], x_l_d: Array, y_l: Labels, seed: Seed) -> None:
        order = self._order(len(y_l), seed)
        first, second = [np.zeros_like(layer) for layer in layers], [np.zeros_like(layer) for layer in layers]
        for update in range(self.updates):
            rows = order[update * self.batch : (update + 1) * self.batch]
            rate = np.float32(self.lr * 0.5 * (1 + math.cos(math.pi * update / self.updates)))
            corrections = [1 - beta ** (update + 1) for beta in BETAS]
            for layer, slope, m, v in zip(layers, _slopes(layers, x_l_d[rows], y_l[rows]), first, second, strict=True):
                m += (1 - BETAS[0]) * (slope - m)
                v += (1 - BETAS[1]) * (slope * slope - v)
                if layer.ndim == 2:
                    layer *= 1 - rate * self.weight_decay
                layer -= rate * (m / corrections[0]) / (np.sqrt(v / corrections[1]) + EPSILON)

    def _order(self, l: int, seed: Seed) -> Rows:
        """Return the rows of all batches: one permutation after another, so that all are seen equally often."""
        rng = seed.generator()
        turns = math.ceil(self.updates * self.batch / l)
        return np.concatenate([rng.permutation(l) for _ in range(turns)])


def _slopes(layers: list[Array], x_b_d: Array, y_b: Labels) -> list[Array]:
    """Return the gradients of the mean cross-entropy of a batch with respect to each of the layers."""
    inner, shift, outer, bias = layers
    h = np.maximum(x_b_d @ inner.T + shift, 0)
    residual = softmax(h @ outer.T + bias).astype(np.float32, copy=False)
    residual[np.arange(len(y_b)), y_b] -= 1
    residual /= len(y_b)
    back = (residual @ outer) * (h > 0)
    return [back.T @ x_b_d, back.sum(axis=0), residual.T @ h, residual.sum(axis=0)]


def _scaled(x_n_d: Array) -> Array:
    """Return unit rows with entries of size 1, for which initial weights are made."""
    return x_n_d.astype(np.float32, copy=False) * np.float32(math.sqrt(x_n_d.shape[1]))


@dataclass(frozen=True, kw_only=True, eq=False)
class MLPModel(HeadModel):
    """Trained layers. Every output is a function of its row alone, bit for bit, whatever the rows beside it.

    Attributes:
        features: which features it reads.
        learner: that trained it.
        layers: weights and intercepts of the hidden layer and of the head, float32; the head is over the classes that
            had labels.
        seen: which of the declared classes those are, ``(c,)``.
    """

    features: Features
    learner: MLP
    layers: tuple[Array, ...]
    seen: Bools
    _head: tuple[Array, Array] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        weight, bias = (layer.astype(np.float64) for layer in self.layers[2:])
        object.__setattr__(self, "_head", (readonly(weight), readonly(bias)))

    @property
    def head(self) -> tuple[Array, Array]:
        return self._head

    def logits(self, x_n_d: Array) -> Array:
        """Return ``(n, c)`` float64 logits of hidden units; a class without labels is so low that it has no share."""
        return among_all(super().logits(x_n_d), self.seen)

    def refusal(self, need: Need[Any]) -> str:
        return str(self.learner.offers(need)) if isinstance(need, Head) else reason(need)

    def embeddings(self, view: View) -> Array:
        """Return ``(n, hidden)`` float32 activations of the hidden layer."""
        inner, shift = self.layers[:2]
        return np.maximum(scores(_scaled(view[self.features]), inner) + shift, 0).astype(np.float32)
