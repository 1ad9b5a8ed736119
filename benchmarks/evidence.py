"""Evidence about structured points for any strategy, made without a session."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from structured import Float32s, member_probabilities, probabilities

from querist.arrays import Ids, Rows
from querist.evidence.evidence import Evidence
from querist.evidence.needs import (
    Draws,
    Embeddings,
    Factors,
    Features,
    Gradients,
    Head,
    History,
    Labels,
    Logits,
    Need,
    Neighbourhood,
    Neighbours,
    Past,
    Previous,
    Probs,
    Refit,
    Sealed,
)
from querist.kernels.centring import principal_rows
from querist.kernels.neighbours import nearest_neighbours
from querist.strategies.base import State, Strategy
from querist.strategies.composition import flags_of


@dataclass(frozen=True, kw_only=True, eq=False)
class Pool:
    """Unit rows in groups, `c` classes, and rows that were labelled in two queries before."""

    x: Float32s
    group: np.ndarray
    c: int
    labelled: int

    @classmethod
    def read(cls, folder: Path, rows: int, c: int, labelled: int) -> "Pool":
        """Return the first rows of the points in a folder."""
        # Copied, so that no time is spent on reading a file.
        x, group = (np.array(np.load(folder / f"{name}.npy", mmap_mode="r")[:rows]) for name in ("x", "group"))
        return cls(x=x, group=group, c=c, labelled=labelled)

    @cached_property
    def p(self) -> Float32s:
        """Class probabilities of all rows."""
        return probabilities(self.x, self.group, self.c)

    def store(self, folder: Path) -> None:
        """Write what strategies read that read a file."""
        np.save(folder / "outputs.npy", self.p)
        np.save(folder / "ranking.npy", np.random.default_rng(2).permutation(len(self.x)))

    def evidence(self, strategy: Strategy) -> Evidence:
        """Return all that the strategy needs or wants; one that begins with an unlabelled pool gets one."""
        n = 0 if "one_shot" in flags_of(strategy) else self.labelled
        taken = np.random.default_rng(0).choice(len(self.x), n, replace=False)
        state = State(round=2 if n else 0, n_labelled=n, has_model=n > 0, c=self.c)
        ids = {"all": np.arange(len(self.x)), "labelled": np.sort(taken)}
        ids["candidates"] = np.setdiff1d(ids["all"], taken)
        ids["targets"] = ids["candidates"][:500]
        needs = (*strategy.needs_at(state), *strategy.wants_at(state))
        values = {need: self.value(need, ids[need.frame], taken) for need in needs}
        return Evidence(ids["candidates"], values, labelled=ids["labelled"], targets=ids["targets"], c=self.c)

    def value(self, need: Need[Any], rows: Rows, taken: Ids) -> Any:
        """Return what a need is worth on some rows, of which `taken` were labelled."""
        match need:
            case Probs():
                return self.p[rows]
            case Logits():
                return np.log(self.p[rows])
            case Draws(k=k):
                return [member[rows] for member in member_probabilities(self.x, self.group, self.c, k)]
            case Features(components=int(k)):
                return principal_rows(self.x, np.arange(len(self.x)), k)[rows]
            case Features() | Embeddings():
                return self.x[rows]
            case Gradients():
                label = self.p[rows].argmax(axis=1)
                label = np.where(np.isin(rows, taken), self.group[rows] % self.c, label)
                return Factors(self.p[rows] - np.eye(self.c, dtype=np.float32)[label], self.x[rows])
            case Head():
                weight = np.random.default_rng(3).normal(size=(self.x.shape[1], self.c)).astype(np.float32)
                return lambda z: z @ weight
            case Labels() | Sealed():
                return self.group[rows] % self.c
            case Refit():
                return lambda fitted: self._refitted(np.sort(taken)[fitted], rows)
            case Neighbours(k=k):
                near, distance = nearest_neighbours(self.x[rows], k)
                return Neighbourhood(np.arange(len(near) + 1) * near.shape[1], near.ravel(), distance.ravel())
            case Previous(need=earlier):
                return np.roll(self.value(earlier, rows, taken), 1, axis=1)
            case History():
                return Past(tuple(np.array_split(taken, 2)), (None, None))
        raise TypeError(f"{need} is not made by this benchmark.")

    def _refitted(self, fitted: Rows, rows: Rows) -> Float32s:
        """Return what a nearest-mean head says that has seen some rows."""
        means = np.zeros((self.c, self.x.shape[1]), np.float32)
        np.add.at(means, self.group[fitted] % self.c, self.x[fitted])
        means /= np.maximum(np.linalg.norm(means, axis=1, keepdims=True), 1e-6)
        z = 12.0 * (self.x[rows] @ means.T)
        z = np.exp(z - z.max(axis=1, keepdims=True))
        return z / z.sum(axis=1, keepdims=True)
