"""Makers of evidence and data, and a learner and an encoder small enough to read: for tests without any training."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from querist.arrays import Array, Ids, Labels as LabelArray, SealedArray, readonly
from querist.data.dataset import Dataset
from querist.data.manifest import POOL, SPLITS, TEST, Manifest
from querist.data.memory import ArrayItems, content_digest
from querist.encoders.base import Encoder, FittedEncoder
from querist.errors import LeakError, UnmetNeedError
from querist.evidence.evidence import Evidence
from querist.evidence.needs import (
    Aux,
    Draws,
    Embeddings,
    Factors,
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
from querist.evidence.provider import Fit, Offer
from querist.evidence.view import View
from querist.learners.base import Learner
from querist.seeds import Seed
from querist.strategies.base import State, Strategy
from querist.testing.world import FakeWorld, Kind, Numbering

NEEDS: tuple[Need[Any], ...] = (
    Probs(), Logits(), Draws(k=4), Draws(k=4, coherent=True), Embeddings(), Features(), Features(normalise=False),
    Neighbours(k=5), Gradients(), Labels(), Head(), InputGradients(), PretrainTrace(name="loss"),
    Previous(need=Probs()), History(), Refit(), Aux(helper="fake"), Sealed(),
)  # fmt: skip
"""The whole vocabulary, one or two values of each need."""


def fake_evidence(
    what: Strategy | Need[Any] | Iterable[Need[Any]],
    n: int = 60,
    labelled: int = 12,
    c: int = 4,
    d: int = 6,
    *,
    seed: int = 0,
    ids: Numbering = "gaps",
    kind: Kind = "generic",
    dtype: Literal["float64", "float32", "float16"] = "float64",
) -> Evidence:
    """Return evidence that meets every need with values that agree with one another.

    Probabilities are the softmax of the logits, logits are the head applied to the embeddings, gradients are their
    outer products, draws are a committee of perturbed heads (so coherent), features are the embeddings as float32.

    Args:
        what: a strategy (its needs and wants after `labelled` labels, with a model unless there are none), or needs.
        n: number of candidates.
        labelled: number of labelled rows.
        c: number of declared classes.
        d: dimensions of features and embeddings; at least 4 for the kind ``ties``.
        seed: another seed, another world.
        ids: how ids are numbered, see `Numbering`. Candidates keep rows and order whatever the numbering.
        kind: what is peculiar about the rows, see `Kind`.
        dtype: of probabilities, logits and draws.

    Raises:
        LeakError: labels of rows that were not bought are asked for without `Sealed`.
        DataError: a need outside the vocabulary.
    """
    if isinstance(what, Strategy):
        # As many rounds as the history of the world has.
        state = State(round=min(labelled, 3), n_labelled=labelled, has_model=labelled > 0, c=c)
        needs: tuple[Need[Any], ...] = (*what.needs_at(state), *what.wants_at(state))
    else:
        needs = (what,) if isinstance(what, Need) else tuple(what)
    world = FakeWorld(n=n, labelled=labelled, c=c, d=d, seed=Seed(seed), numbering=ids, kind=kind, dtype=dtype)
    return Evidence(
        world.candidates,
        {need: world.value(need) for need in needs},
        labelled=world.labelled_ids,
        targets=world.frame("targets"),
        c=c,
    )


class PoisonedArray(SealedArray):
    """Sealed labels that not even an oracle may open: reaching for them any way raises `LeakError`."""

    def unseal(self) -> LabelArray:
        raise LeakError("the labels of a poisoned dataset were unsealed; only the labels of a view may be used here.")


def fake_dataset(
    n: int = 120, c: int = 3, d: int = 5, seed: int = 0, *, shape: tuple[int, ...] = (), poisoned: bool = False
) -> Dataset:
    """Return `n` items in `c` clouds, a quarter of them in the test split, scattered among the pool.

    Args:
        n: number of items.
        c: number of classes, in turn over the ids.
        d: dimensions of an item.
        seed: another seed, other data.
        shape: of an item, instead of ``(d,)``, e.g. ``(8, 8)`` for a grey image.
        poisoned: reading a label in any way raises `LeakError`.
    """
    rng = Seed(seed).child("fake dataset").generator()
    shape = shape or (d,)
    y = np.arange(n) % c
    x = (3.0 * rng.normal(size=(c, *shape))[y] + rng.normal(size=(n, *shape))).astype(np.float32)
    split = np.full(n, SPLITS.index(POOL), np.int8)
    split[rng.choice(n, n // 4, replace=False)] = SPLITS.index(TEST)
    manifest = Manifest(
        "fake", tuple(f"item-{i}" for i in range(n)), split, tuple(f"class {j}" for j in range(c))
    )  # fmt: skip
    labels = (PoisonedArray if poisoned else SealedArray)(y)
    return Dataset(manifest, ArrayItems(x), labels, content_digest(y))


def fake_view(dataset: Dataset, ids: Ids, labels: LabelArray | None = None, encoder: str | None = None) -> View:
    """Return a view that has the items themselves as frozen features, unit rows and raw, of the default encoder.

    Args:
        dataset: where the rows are from.
        ids: which rows, ascending.
        labels: aligned with `ids`; None for rows nobody bought.
        encoder: a name under which the same features are also to be found.
    """
    raw = dataset.items[np.arange(len(dataset.manifest))].reshape(len(dataset.manifest), -1).astype(np.float32)
    norm = np.linalg.norm(raw, axis=1, keepdims=True)
    unit = raw / np.where(norm > 0, norm, 1)
    features = {
        Features(encoder=name, normalise=normalise, frame="all"): unit if normalise else raw
        for name in {None, encoder}
        for normalise in (True, False)
    }
    return View(dataset, ids, features=features, labels=labels)


@dataclass(frozen=True, eq=False)
class FakeModel:
    """A linear model on flattened items: the nearest class mean, as logits."""

    weight: Array
    bias: Array

    def provide(self, need: Need[Any], view: View) -> Any:
        """Return the value of `need` for the rows of `view`.

        Raises:
            UnmetNeedError: the need was not offered.
        """
        z = _flat(view)
        logits = z @ self.weight + self.bias
        match need:
            case Logits():
                return logits
            case Probs():
                return _softmax(logits)
            case Embeddings():
                return z
            case Head():
                return lambda embeddings: embeddings @ self.weight + self.bias
            case Gradients():
                p = _softmax(logits)
                label = view.labels if need.frame == "labelled" else p.argmax(axis=1)
                return Factors(p - np.eye(view.c)[label], z)
            case _:
                raise UnmetNeedError(f"{need} was not offered by the fake learner.")


@dataclass(frozen=True, kw_only=True)
class FakeLearner(Learner):
    """Nearest class mean on raw items; a class without labels stands at the mean of all, a little behind."""

    temperature: float = 1.0

    def offers(self, need: Need[Any]) -> Offer | str:
        if isinstance(need, Probs | Logits | Embeddings | Head | Gradients):
            return Offer("one matrix product")
        return f"the fake learner has one linear layer and nothing to make {type(need).__name__} from."

    def fit(self, job: Fit) -> FakeModel:
        x, y = _flat(job.labelled), job.labelled.labels
        seen = np.bincount(y, minlength=job.labelled.c)
        means = np.repeat(x.mean(axis=0, keepdims=True), job.labelled.c, axis=0)
        for j in np.flatnonzero(seen):
            means[j] = x[y == j].mean(axis=0)
        bias = -0.5 * np.einsum("cd,cd->c", means, means) - np.where(seen, 0.0, 1.0)
        return FakeModel(readonly(means.T / self.temperature), readonly(bias / self.temperature))


@dataclass(frozen=True, eq=False)
class FakeFittedEncoder(FittedEncoder):
    """A centre and directions."""

    mean: Array
    directions: Array

    def encode(self, view: View) -> Array:
        return np.einsum("nd,dk->nk", _flat(view) - self.mean, self.directions).astype(np.float32)


@dataclass(frozen=True, kw_only=True)
class FakeEncoder(Encoder):
    """A random projection of items, centred on the pool."""

    dims: int = 3

    def fit(self, pool: View, seed: Seed) -> FakeFittedEncoder:
        x = _flat(pool)
        directions = seed.child("fake encoder").generator().normal(size=(x.shape[1], self.dims))
        return FakeFittedEncoder(readonly(x.mean(axis=0)), readonly(directions))


def _flat(view: View) -> Array:
    return view.items().reshape(len(view), -1).astype(np.float64)


def _softmax(logits_n_c: Array) -> Array:
    p = np.exp(logits_n_c - logits_n_c.max(axis=1, keepdims=True))
    return p / p.sum(axis=1, keepdims=True)
