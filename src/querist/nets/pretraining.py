"""The loop of pre-training: epochs over a pool without labels, each of them resumable to the bit."""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from querist.arrays import Array
from querist.errors import DataError, FitError, SpecError
from querist.evidence.view import View
from querist.nets.backbones import embed_backbone
from querist.nets.images import Normalisation, read_images
from querist.nets.optimisers import groups, make_optimiser
from querist.nets.passes import Passes
from querist.nets.running import generator, reproducible, restart
from querist.nets.share import Draws, share_of
from querist.nets.standing import Standing
from querist.nets.tasks.base import Task
from querist.progress import record, tell
from querist.seeds import Seed

NEWS = 10
"""Updates between two pieces of news."""

RESIDENT = 2 << 30
"""Bytes of images that are kept on the device; more are read batch by batch."""

COLLAPSED = 0.1
"""A spread of features below this share of that of random directions is called a collapse."""

Embed: TypeAlias = Callable[[View], Array]
"""Rows of a dataset to embeddings ``(n, d)`` of their clean images."""

Look: TypeAlias = Callable[[int, Embed], Mapping[str, float]]
"""What somebody measures after an epoch, counted from 1; it cannot reach the training. Empty: nothing this time."""


class Pretraining(NamedTuple):
    """A training that is over."""

    history: list[dict[str, float]]
    """One entry per epoch: ``epoch`` from 1, ``loss``, ``feature_std``, ``lr`` and what was looked at."""
    traces: Mapping[str, Array]
    """Statistics of every image of the pool, ``(n, t)`` float32 by name."""


class Pretrainer:
    """Trains a task on the images of a pool.

    Args:
        passes: how long and with what steps.
        fabric: where. A batch is shared by all devices: more of them change how fast it is, and nothing else.
        look: asked after every epoch; what it answers is recorded and changes nothing.
    """

    def __init__(self, passes: Passes, fabric: Fabric, look: Look = lambda _epoch, _embed: {}) -> None:
        self.passes, self.fabric, self.look = passes, fabric, look

    def fit(self, task: Task, pool: View, seed: Seed, folder: Path, identity: str) -> Pretraining:
        """Train `task` in place, on the device of the fabric, and leave it in evaluation mode.

        After every epoch all that it takes to go on is written, so a training that is killed continues after the last
        epoch that was finished, with the same bits on the same device. Every epoch has random numbers of its own, that
        depend on `seed` and its number alone.

        Args:
            task: with initial weights.
            pool: images, at least two.
            seed: of order and views.
            folder: for what a kill would lose; it can be deleted when the result is kept.
            identity: what the training is of; a state of another one is refused.

        Raises:
            DataError: the pool has fewer than two images, or `folder` holds the state of another training.
            FitError: the loss is not finite.
        """
        n, device, share = len(pool), self.fabric.device, share_of(self.fabric)
        if n < 2:
            raise DataError(f"Expected a pool of at least two images to learn from, got {n}.")
        task.to(device).to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        optimizer = self.optimizer(task)
        standing = Standing(folder, identity, task, optimizer, self.fabric)
        history = standing.restore()
        module, stepper = self.fabric.setup(task, optimizer)
        load, embeddings = Loader(pool, device), embedding_of(task.backbone, task.normalise)

        def features() -> Tensor:
            own = share.own(torch.arange(n)).numpy()
            return share.whole(torch.from_numpy(embeddings(pool.take(own))), n)

        for epoch in range(len(history), self.passes.epochs):
            address = seed.child("epoch", epoch)
            with reproducible(address.child("global"), device):
                draws = generator(address.child("draws"))
                task.train()
                forget(optimizer, task.begin(epoch, features, draws))
                task.train()
                if share.rank:
                    # Dropout, and whatever else draws from torch's global generators, is not the same on two devices.
                    restart(address.child("global", share.rank), device)
                values, columns = self.epoch(epoch, task, module, stepper, load, draws)
                values |= self.look(epoch + 1, embeddings)
            history.append({"epoch": epoch + 1, **values})
            standing.keep(history, columns)
            record("epoch", **history[-1])
        task.eval()
        with reproducible(seed.child("finish"), device), torch.no_grad():
            last = {name: _numpy(value) for name, value in task.finish(load, seed.child("finish"), share).items()}
        return Pretraining(history, {**standing.columns(), **last})

    def epoch(
        self, epoch: int, task: Task, module: nn.Module, optimizer: Any, load: "Loader", draws: torch.Generator
    ) -> tuple[dict[str, float], dict[str, Array]]:
        """Train one epoch; return what was measured, and a statistic ``(n,)`` per name for every image seen."""
        share, batches = share_of(self.fabric), cut(task.order(draws), self.passes.size(epoch))
        horizon, first = self.passes.epochs * len(batches), epoch * len(batches)
        losses, spreads = torch.zeros(2, len(batches), device=load.device)
        columns: dict[str, Tensor] = {}
        for i, rows in enumerate(batches):
            rate = self.passes.rate(first + i, horizon)
            for group in optimizer.param_groups:
                group["lr"] = self.passes.peak if group["constant"] else rate
            with torch.no_grad():
                views = task.views(share.own(rows), load, Draws(draws, len(rows), share))
            optimizer.zero_grad(set_to_none=True)
            parts = [share.whole(part, len(rows)) for part in module(*views)]
            outcome = task.outcome(rows.to(load.device), *parts)
            if outcome.loss.requires_grad:
                self.fabric.backward(outcome.loss)
                if self.passes.clip is not None:
                    self.fabric.clip_gradients(module, optimizer, max_norm=self.passes.clip, error_if_nonfinite=False)
                optimizer.step()
            with torch.no_grad():
                task.stepped()
                losses[i], spreads[i] = outcome.loss, spread(outcome.compared)
                for name, value in outcome.traces.items():
                    column = columns.setdefault(name, torch.zeros(task.n, device=load.device))
                    column[rows.to(load.device)] = value.detach().float()
            if (i + 1) % NEWS == 0 or i + 1 == len(batches):
                tell("pre-training", first + i + 1, horizon)
        loss = float(losses.mean())
        if not np.isfinite(loss):
            first_bad = first + int((~losses.isfinite()).nonzero()[0, 0]) + 1
            raise FitError(
                f"the loss of the pre-training is not finite from update {first_bad} of {horizon} on. Lower lr (now "
                f"{self.passes.lr:g}), raise warmup (now {self.passes.warmup:g}), or set clip."
            )
        measured = {"loss": loss, "feature_std": float(spreads.mean()), "lr": self.passes.rate(first, horizon)}
        return {**measured, **task.measured()}, {name: _numpy(value) for name, value in columns.items()}

    def optimizer(self, task: Task) -> torch.optim.Optimizer:
        """Return the optimiser; its rates are set at every update."""
        fixed = {id(p) for part in task.constant() for p in part.parameters()}
        parts = [
            {**group, "params": some, "constant": constant}
            for group in groups(task, task, self.passes)
            for constant in (False, True)
            if (some := [p for p in group["params"] if (id(p) in fixed) == constant])
        ]
        return make_optimiser(parts, self.passes, fused=self.fabric.device.type in ("cpu", "cuda"))


class Loader:
    """Rows of a pool as images on a device: from a copy there, or read batch by batch where that would be too large.

    Args:
        pool: images.
        device: where they are needed.
        resident: bytes up to which all of them are kept.
    """

    def __init__(self, pool: View, device: torch.device, resident: int = RESIDENT) -> None:
        self.device, self._pool, self._all = device, pool, None
        if len(pool) * read_images(pool.take(np.arange(1)))[0].nbytes <= resident:
            self._all = _tensor(pool).to(device)

    def __call__(self, rows: Tensor) -> Tensor:
        """Return ``(b, channels, h, w)`` uint8 images of `rows` (b,)."""
        if self._all is not None:
            return self._all[rows.to(self.device)]
        return _tensor(self._pool.take(rows.cpu().numpy())).to(self.device)


def require_shares(passes: Passes, n: int, devices: int) -> None:
    """Raise `SpecError` unless every batch of a pool of n images has an image for each device."""
    smallest = min(n // -(-n // passes.size(epoch)) for epoch in range(passes.epochs))
    if smallest < devices:
        raise SpecError(
            f"a batch of {smallest} images, of a pool of {n}, cannot be shared by {devices} devices: raise batch, or "
            "take fewer devices."
        )


def cut(order: Tensor, batch: int) -> list[Tensor]:
    """Return an order cut into as few batches as possible of at most `batch` rows, as equal as can be.

    None has fewer than two rows unless there are no more: with 257 rows a last batch of one would have no variance.
    """
    return list(torch.tensor_split(order, -(-len(order) // batch)))


def spread(rows: Tensor) -> Tensor:
    """Return the mean standard deviation of the coordinates of directions ``(b, d)``, as a share of ``1 / sqrt(d)``.

    1 for directions spread evenly over the sphere, 0 if all are alike (Chen & He, CVPR 2021).
    """
    unit = nn.functional.normalize(rows.float(), dim=1)
    return unit.std(dim=0, correction=0).mean() * unit.shape[1] ** 0.5


def embedding_of(backbone: nn.Module, normalise: Normalisation) -> Embed:
    """Return the function from rows of a dataset to embeddings of their clean images under a backbone as it is then.

    The backbone is in evaluation mode meanwhile, and in the mode it was in afterwards.
    """

    def embeddings(view: View) -> Array:
        mode = backbone.training
        try:
            return embed_backbone(backbone, normalise, view)
        finally:
            backbone.train(mode)

    return embeddings


def forget(optimizer: torch.optim.Optimizer, parameters: Iterable[nn.Parameter]) -> None:
    """Set what an optimiser knows of parameters that were drawn anew to nothing, which is what it starts with."""
    # Not taken away: a fused step wants all states of a group or none.
    for parameter in parameters:
        for value in optimizer.state.get(parameter, {}).values():
            if isinstance(value, Tensor):
                value.zero_()


def _tensor(view: View) -> Tensor:
    return torch.from_numpy(np.array(read_images(view).transpose(0, 3, 1, 2), order="C"))


def _numpy(value: Tensor) -> Array:
    return value.detach().float().cpu().numpy()
