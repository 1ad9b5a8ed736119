"""One fit under way: what it was given and has got to, what one device gets of a batch, and what there is to say."""

from dataclasses import dataclass, fields
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from querist.data.memory import content_digest
from querist.nets.augmentation import Augmentation
from querist.nets.course import Course, Look
from querist.nets.dynamics import Dynamics, Examples
from querist.nets.net import Net
from querist.nets.plan import Plan
from querist.nets.recipe import Recipe
from querist.nets.running import fingerprint
from querist.nets.timing import Lap
from querist.progress import record
from querist.registry import digest
from querist.seeds import Seed


class Trained(NamedTuple):
    """What there is to say about a finished fit."""

    losses: Tensor
    """``(updates,)`` training loss of every update, those of weight averaging included."""
    rates: list[float]
    """Learning rate of every update."""
    looks: list[Look]
    """What the validation set said, in order; empty without one."""
    kept: Look | None
    """What it says of the weights that are kept, computed from them."""
    images_per_second: float
    """Images trained on, by the clock on the wall; 0 if a finished state was found."""
    waiting: float
    """Share of the time in which the net was not at work: data, looks, files."""
    dynamics: Dynamics | None
    """The training labels at the end of each epoch, if the recipe asks for them."""


class Batch(NamedTuple):
    """What one device gets of the batch of an update."""

    inputs: Tensor
    """``(b, channels, h, w)`` normalised."""
    targets: Tensor
    """``(b, c)`` probabilities of the classes."""
    weights: Tensor
    """``(b,)`` what the cross-entropy of each row is multiplied by in the loss."""
    counts: Tensor
    """``(b,)`` what each row that is right adds to the accuracy."""


@dataclass
class Run:
    """One fit under way: what it was given, its plan, and what it has got to.

    Attributes:
        net: as it was given.
        train: what it is trained on.
        held: the validation set; None without one.
        seed: of everything random.
        plan: what happens when.
        course: what it has got to; all that a state on disk holds.
        module: the net as the fabric runs it.
        optimizer: as the fabric runs it.
        augmentation: of the images of `train`.
        labels: ``(l,)`` of `train`, on the device.
        weights: ``(c,)`` of the classes; None for equal ones.
        draws: started anew for every update.
    """

    net: Net
    train: Examples
    held: Examples | None
    seed: Seed
    plan: Plan
    course: Course
    module: nn.Module
    optimizer: Any
    augmentation: Augmentation
    labels: Tensor
    weights: Tensor | None
    draws: torch.Generator


def identity(net: Net, train: Examples, held: Examples | None, seed: Seed, recipe: Recipe, about: list[Any]) -> str:
    """Return a digest of all that the weights at the end depend on; a state of another fit is not gone on with."""
    given = {"train": train} if held is None else {"train": train, "validation": held}
    return digest(
        {
            "recipe": {field.name: getattr(recipe, field.name) for field in fields(Recipe)},
            "net": [repr(net), fingerprint(net)],
            "frozen": [name for name, value in net.named_parameters() if not value.requires_grad],
            "examples": {name: [content_digest(array) for array in pair] for name, pair in given.items()},
            "seed": [seed.entropy, *seed.path],
            "about": [*about, torch.__version__],
        }
    )


def report(run: Run, lap: Lap, batch: int) -> None:
    """Record what was measured since the last report."""
    done = run.course.done
    since = (done - 1) // run.plan.interval * run.plan.interval
    loss, right = run.course.scores[since:done].mean(dim=0).tolist()
    looks = {"validation_accuracy": run.course.looks[-1].accuracy} if run.course.looks else {}
    record(
        "epoch",
        update=done,
        epoch=done * batch / len(run.train.labels),
        loss=loss,
        lr=run.plan.rates[done - 1],
        train_accuracy=right,
        **looks,
        images_per_second=lap.updates * batch / lap.seconds,
        waiting=1 - lap.computing / lap.seconds,
    )


def told(run: Run, laps: list[Lap], kept: Look | None, batch: int) -> Trained:
    """Return what there is to say about a fit at its end."""
    seconds, computing = sum(lap.seconds for lap in laps), sum(lap.computing for lap in laps)
    images = sum(lap.updates for lap in laps) * batch
    return Trained(
        losses=run.course.scores[:, 0].cpu(),
        rates=list(run.plan.rates),
        looks=run.course.looks,
        kept=kept,
        images_per_second=images / seconds if seconds else 0.0,
        waiting=1 - computing / seconds if seconds else 0.0,
        dynamics=run.course.dynamics,
    )
