"""A world for tests: candidates, labelled rows and a linear model about them, from which any need can be read."""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal, TypeAlias, get_args

import numpy as np

from querist.arrays import Array, Ids, Labels as LabelArray, Rows
from querist.errors import DataError, LeakError
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
    Neighbourhood,
    Neighbours,
    Past,
    PretrainTrace,
    Previous,
    Probs,
    Refit,
    Sealed,
)
from querist.kernels.centring import principal_rows
from querist.seeds import Seed

Kind: TypeAlias = Literal[
    "generic", "duplicates", "near_duplicates", "ties", "zeros", "large", "one_hot", "shifted", "one_class",
    "missing_class",
]  # fmt: skip
"""What is peculiar about the rows.

``duplicates``: all rows are one row. ``near_duplicates``: every candidate is a labelled row up to float32 rounding.
``ties``: few distinct rows, whose unit features and dot products are exact in floating point. ``zeros``: every third
row of features is zero. ``large``: raw features in the tens of thousands. ``one_hot``: probabilities of exactly 0
and 1. ``shifted``: the logits of ``generic`` plus a constant per row, so the same probabilities. ``one_class``: all
bought labels are of one class. ``missing_class``: bought labels are of the first and the last class only.
"""
Numbering: TypeAlias = Literal["gaps", "dense", "apart"]
"""How ids are numbered: with ``gaps``, labelled ids among the candidates; ``dense`` from 0; ``apart``: the candidates
numbered as with ``gaps``, all labelled ids behind them."""


@dataclass(frozen=True, kw_only=True)
class FakeWorld:
    """Candidates and labelled rows with a linear model about them; `value` reads it need by need.

    Arrays are held for all rows, candidates first; `row` finds the row of an id.
    """

    n: int
    labelled: int
    c: int
    d: int
    seed: Seed
    numbering: Numbering = "gaps"
    kind: Kind = "generic"
    dtype: str = "float64"
    model: str = "model"

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind) or self.numbering not in get_args(Numbering):
            raise DataError(
                f"Expected a kind among {get_args(Kind)} and a numbering among {get_args(Numbering)}, "
                f"got {self.kind!r} and {self.numbering!r}."
            )

    @cached_property
    def ids(self) -> Ids:
        """Ids of all rows, candidates first, both parts ascending."""
        # Not from the world's seed: two worlds of one size have the same ids.
        rng = Seed(0).child("fake ids", self.n).generator()
        if self.numbering == "dense":
            order = rng.permutation(self.n + self.labelled)
            return np.concatenate([np.sort(order[: self.n]), np.sort(order[self.n :])]).astype(np.int64)
        # Even numbers for candidates and odd ones for labelled rows: neither depends on the other's.
        candidates = 2 * np.sort(rng.choice(10 * self.n, self.n, replace=False)) + 4
        room = max(10 * self.n, self.labelled)
        labelled = 2 * np.sort(rng.choice(room, self.labelled, replace=False)) + 1
        if self.numbering == "apart":
            labelled += candidates[-1] + 1
        return np.concatenate([candidates, labelled]).astype(np.int64)

    @property
    def candidates(self) -> Ids:
        return self.ids[: self.n]

    @property
    def labelled_ids(self) -> Ids:
        return self.ids[self.n :]

    def frame(self, name: str) -> Ids:
        """Return the ids of a frame, ascending; up to five labelled rows, or candidates, serve as targets."""
        if name == "candidates":
            return self.candidates
        if name == "labelled":
            return self.labelled_ids
        return np.sort(self.ids) if name == "all" else (self.labelled_ids if self.labelled else self.candidates)[:5]

    def row(self, ids: Ids) -> Rows:
        """Return where ids stand among all rows."""
        order = np.argsort(self.ids)
        return order[np.searchsorted(self.ids, ids, sorter=order)]

    @cached_property
    def truth(self) -> LabelArray:
        """True classes of all rows; the first rows of both parts take the classes in turn, so that none is missing."""
        turn = np.concatenate([np.arange(self.n), np.arange(self.labelled)]) % self.c
        drawn = self._rng("truth").integers(self.c, size=self.n + self.labelled)
        y = np.where(np.concatenate([np.arange(self.n), np.arange(self.labelled)]) < self.c, turn, drawn)
        if self.kind == "duplicates":
            y[: self.n] = y[0]
        if self.kind == "one_class":
            y[self.n :] = min(1, self.c - 1)
        if self.kind == "missing_class":
            y[self.n :] = np.where(y[self.n :] == 0, 0, self.c - 1)
        return y.astype(np.int64)

    @cached_property
    def items(self) -> Array:
        """``(n + l, d)`` float32: one cloud per class, then what the kind asks for."""
        rng = self._rng("items")
        total = self.n + self.labelled
        x = self._centres[self.truth] + rng.normal(size=(total, self.d))
        match self.kind:
            case "duplicates":
                x[:] = x[0]
            case "near_duplicates" if self.labelled:
                x = x.astype(np.float32).astype(np.float64)
                x[: self.n] = x[self.n + np.arange(self.n) % self.labelled]
                x[: self.n] *= 1 + 1.2e-7 * rng.integers(-1, 2, size=(self.n, self.d))
            case "ties":
                # One or four entries of +-1: norms are 1 or 2, so unit rows and their products are exact.
                patterns = np.zeros((6, self.d))
                for pattern, size in zip(patterns, (1, 4, 1, 4, 4, 1), strict=True):
                    pattern[rng.choice(self.d, size, replace=False)] = rng.choice([-1.0, 1.0], size)
                x = patterns[rng.integers(len(patterns), size=total)]
            case "zeros":
                x[::3] = 0.0
            case "large":
                x *= 3e4
            case _:
                pass
        return x.astype(np.float32)

    @cached_property
    def weight(self) -> Array:
        """``(d, c)`` weights of the model's last layer, near the class centres."""
        return 0.25 * self._centres.T + 0.2 * self._rng("weight", self.model).normal(size=(self.d, self.c))

    @cached_property
    def _centres(self) -> Array:
        return 1.5 * self._rng("centres").normal(size=(self.c, self.d))

    def value(self, need: Need[Any], ids: Ids | None = None) -> Any:
        """Return what `need` is worth on the rows of its frame."""
        ids = self.frame(need.frame) if ids is None else ids
        rows = self.row(ids)
        x = self.items[rows]
        match need:
            case Probs():
                return self._squash(self._logits(x))
            case Logits():
                shift = self._rng("shift").normal(size=(self.n + self.labelled, 1)) * 9 if self.kind == "shifted" else 0
                return (self._logits(x) + (shift[rows] if self.kind == "shifted" else 0)).astype(self.dtype)  # pyright: ignore
            case Draws(k=k):
                return [self._squash(self._logits(x, self._member(j))) for j in range(k)]
            case Refit():
                return lambda fitted: self._squash(self._logits(x, self._refitted(fitted)))
            case Embeddings():
                return x
            case Features(components=int(k)):
                every = self.value(replace(need, components=None), self.ids)
                return principal_rows(every, np.arange(len(every)), k)[rows]
            case Features(encoder=encoder, normalise=normalise):
                f = x if encoder is None else _product(x, self._rng("encoder", encoder).normal(size=(self.d, self.d)))
                return (_unit(f) if normalise else f).astype(np.float32)
            case Neighbours(k=k, features=features):
                return _neighbourhood(self.value(features, ids), k)
            case Gradients():
                return Factors(self._residual(rows, ids), x)
            case Labels():
                if not np.isin(ids, self.labelled_ids).all():
                    raise LeakError(f"{need} asks for labels nobody bought; only `Sealed` with the flag oracle may.")
                return self.truth[rows]
            case Sealed():
                return self.truth[rows]
            case Head():
                return lambda embeddings: _product(embeddings, self.weight)
            case InputGradients():
                return _product(self._residual(rows, ids), self.weight.T)
            case PretrainTrace(name=name):
                return _expit(_product(x, self._rng("trace", name).normal(size=(self.d, 5))))
            case Previous(need=earlier):
                past = FakeWorld(**{**{k: vars(self)[k] for k in self.__dataclass_fields__}, "model": "previous"})
                return past.value(earlier, ids)
            case History():
                rounds = tuple(np.sort(part) for part in np.array_split(self.labelled_ids, 3) if len(part))
                return Past(rounds, tuple(np.linspace(1, 0, len(part)) for part in rounds))
            case Aux(helper=helper):
                return _expit(_product(x, self._rng("helper", helper).normal(size=(self.d, 1))))[:, 0]
            case _:
                raise DataError(f"{need} is not in the vocabulary; override `evidence` of the contract to provide it.")

    def _logits(self, x: Array, weight: Array | None = None) -> Array:
        return _product(x, self.weight if weight is None else weight)

    def _member(self, j: int) -> Array:
        return self.weight + 0.4 * self._rng("member", self.model, j).normal(size=self.weight.shape)

    def _refitted(self, fitted: Rows) -> Array:
        """``(d, c)``: a head that leans towards the class means of some labelled rows."""
        x, y = self.items[self.n + fitted], self.truth[self.n + fitted]
        means = np.stack([x[y == j].mean(axis=0) if (y == j).any() else np.zeros(self.d) for j in range(self.c)])
        return self.weight + 0.05 * means.T

    def _squash(self, logits: Array) -> Array:
        if self.kind == "one_hot":
            return np.eye(self.c, dtype=self.dtype)[logits.argmax(axis=1)]
        p = np.exp(logits - logits.max(axis=1, keepdims=True))
        return (p / p.sum(axis=1, keepdims=True)).astype(self.dtype)

    def _residual(self, rows: Rows, ids: Ids) -> Array:
        p = self._squash(self._logits(self.items[rows]))
        label = np.where(np.isin(ids, self.labelled_ids), self.truth[rows], p.argmax(axis=1))
        return p - np.eye(self.c, dtype=p.dtype)[label]

    def _rng(self, *steps: str | int) -> np.random.Generator:
        return self.seed.child("fake evidence", *steps).generator()


def _product(x_n_d: Array, w_d_c: Array) -> Array:
    # Not `@`: a BLAS may round equal rows differently at the edge of a block, and equal rows must stay ties.
    return np.einsum("nd,dc->nc", x_n_d.astype(np.float64), w_d_c.astype(np.float64))


def _unit(x_n_d: Array) -> Array:
    norm = np.sqrt(np.einsum("nd,nd->n", x_n_d.astype(np.float64), x_n_d.astype(np.float64)))
    return x_n_d / np.where(norm > 0, norm, 1.0)[:, None]


def _expit(x: Array) -> Array:
    return 0.5 * (1 + np.tanh(0.5 * x))


def _neighbourhood(x_n_d: Array, k: int) -> Neighbourhood:
    n, x_n_d = len(x_n_d), x_n_d.astype(np.float64)
    k = min(k, max(n - 1, 0))
    indices, distances = np.empty((n, k), np.int64), np.empty((n, k))
    for i in range(n):
        d2 = np.einsum("nd->n", (x_n_d - x_n_d[i]) ** 2)
        d2[i] = np.inf
        indices[i] = np.argsort(d2, kind="stable")[:k]
        distances[i] = np.sqrt(d2[indices[i]])
    return Neighbourhood(np.arange(n + 1) * k, indices.ravel(), distances.ravel())
