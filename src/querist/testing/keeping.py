"""Fake learners whose models are kept in files: one starts anew every round, one goes on from the round before."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from querist.arrays import readonly
from querist.errors import DataError
from querist.evidence.provider import Fit, Model
from querist.files import write_bytes
from querist.testing.fakes import FakeLearner, FakeModel

FILE = "model.json"


@dataclass(frozen=True, kw_only=True)
class FakeKeeping(FakeLearner):
    """The fake learner, with models that are worth a file."""

    keeps: ClassVar[bool] = True

    def save(self, model: Model, folder: Path) -> None:
        if not isinstance(model, FakeModel):
            raise DataError(f"Expected a model of the fake learner, got {type(model).__name__}.")
        values = {"weight": model.weight.tolist(), "bias": model.bias.tolist()}
        write_bytes(folder / FILE, json.dumps(values).encode())

    def load(self, folder: Path) -> FakeModel:
        try:
            values = json.loads((folder / FILE).read_bytes())
            return FakeModel(readonly(np.array(values["weight"])), readonly(np.array(values["bias"])))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DataError(f"{folder} holds no model of the fake learner: {error}") from error


@dataclass(frozen=True, kw_only=True)
class FakeWarm(FakeKeeping):
    """Keeps a half of what it knew the round before, so that every round leaves its trace in all later ones."""

    warm_starts: ClassVar[bool] = True

    def fit(self, job: Fit) -> FakeModel:
        fresh = super().fit(job)
        if not isinstance(job.warm, FakeModel):
            return fresh
        return FakeModel(
            readonly(0.5 * fresh.weight + 0.5 * job.warm.weight), readonly(0.5 * fresh.bias + 0.5 * job.warm.bias)
        )
