"""Pre-trainings for tests on several devices; a module of its own, for other processes to import."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from querist.data.memory import from_arrays
from querist.encoders.pretraining.base import Method, methods
from querist.encoders.pretraining.training import begun_task
from querist.errors import FitError
from querist.evidence.view import View
from querist.seeds import Seed

CASES: dict[str, dict[str, Any]] = {
    "simsiam": {"hidden": 8, "width": 8, "bottleneck": 4, "lr": 0.02},
    "simclr": {"width": 8, "loss_views": 3, "lr": 0.01, "temperature": 0.5, "blur": 0.5, "batch_norm": True},
    "tau": {"name": "simclr", "width": 8, "loss_views": 1, "lr": 0.1, "learned_temperature": True},
    "moco": {"width": 8, "queue": 30, "inertia": 0.8, "lr": 0.2},
    "deep_cluster": {"clusters": 4, "lr": 2.0},
    "rotation": {"lr": 2.0},
    "vae": {"latent": 4, "lr": 0.005},
    "scan": {"neighbours": 3, "label_batch": 9, "self_labelling": 0.6, "threshold": 0.7, "lr": 0.03},
    "unsure": {"name": "scan", "neighbours": 3, "label_batch": 9, "threshold": 0.99999, "lr": 0.05},
}
"""Settings by what a test calls them. Plain gradient descent: it alone moves by as much as a gradient is long."""

N = 23
"""Images of the pool: batches of 8, 8 and 7, so that two devices do not have the same share of the last one."""


def pool_of() -> View:
    """Return images of two kinds."""
    rng = np.random.default_rng(0)
    y = np.arange(N) % 2
    x = (rng.integers(0, 200, (2, 8, 8, 3))[y] + rng.integers(0, 56, (N, 8, 8, 3))).astype(np.uint8)
    data = from_arrays("toy", x, y)
    return View(data, data.pool)


def method_of(name: str) -> Method:
    """Return the method of a case."""
    common = {"name": name, "net": "small_cnn", "optimizer": "sgd", "schedule": "constant", "epochs": 3, "batch": 9}
    return methods.build(common | CASES[name])


def build_of(name: str) -> Callable[[], Any]:
    """Return what makes the task of a case."""
    from querist.nets.images import Normalisation

    normalise = Normalisation((120.0,) * 3, (60.0,) * 3)
    return partial(begun_task, method_of(name), "small_cnn", (3, 8, 8), N, normalise, 2)


def task_of(name: str) -> Any:
    """Return the task of a case with the weights that every training of it begins with."""
    import torch

    from querist.nets.running import reproducible

    with reproducible(Seed(3), torch.device("cpu")):
        return build_of(name)()


def breaking(name: str) -> Any:
    """Return a task that ends with an error in its second epoch, on the second device alone."""
    import torch

    task = build_of(name)()
    begin, outcome, epochs = task.begin, task.outcome, []

    def count(*given: Any) -> Any:
        epochs.append(1)
        return begin(*given)

    def end(*given: Any) -> Any:
        if len(epochs) == 2 and torch.distributed.get_rank() == 1:
            raise FitError("the second device broke.")
        return outcome(*given)

    task.begin, task.outcome = count, end
    return task


class Several(NamedTuple):
    """Jobs one after another in the same processes, which take long to start."""

    jobs: tuple[Any, ...]
    room: Path

    def work(self, rank: int, devices: int, kind: Any, say: Any) -> None:
        for job in self.jobs:
            job.work(rank, devices, kind, say)
