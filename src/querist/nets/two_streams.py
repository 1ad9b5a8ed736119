"""Training on two streams: a few labelled images and pseudo-labelled ones, which the net itself makes as it learns."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor

from querist.evidence.features import unit_rows
from querist.kernels.diffusion import normalised_graph
from querist.kernels.neighbours import nearest_neighbours
from querist.kernels.propagation import Mode, balance, propagated, used
from querist.nets.checkpoints import Checkpoint
from querist.nets.course import Course
from querist.nets.dynamics import Examples
from querist.nets.images import Images, Normalisation
from querist.nets.mixing import mix
from querist.nets.net import Net
from querist.nets.recipe import Recipe
from querist.nets.run import Batch, Run
from querist.nets.running import generator, integer, restart
from querist.nets.saving import SECONDS, Saver
from querist.nets.scoring import BLOCK, LARGE_BLOCK
from querist.nets.training import STATISTICS, Trainer
from querist.progress import record, tell
from querist.seeds import Seed

TOLERANCE = 1e-6
"""Of the residual of a class in a propagation, relative."""


class Spreading(NamedTuple):
    """How pseudo-labels are made and used; see `querist.learners.semi.Propagating` for each of them."""

    labelled: int
    supervised: float
    refresh: int
    mode: Mode
    share: float
    least: float
    loss: Literal["ce", "kl"]
    balanced: bool
    pooling: Literal["mean", "sum"]
    k: int
    power: float
    alpha: float
    steps: int


class Pseudo(NamedTuple):
    """What the unlabelled images were last taken for."""

    rows: Tensor
    """``(m,)`` which images take part, of all of them."""
    targets: Tensor
    """``(m, c)`` their classes, times what each image weighs."""
    classes: Tensor
    """``(c,)`` what a true label of each class weighs."""
    number: int
    """Of the propagation, from 0."""
    since: int
    """The update it was made before."""
    until: int
    """The update before which the next one is due."""


@dataclass
class PseudoCourse(Course):
    """The state of a fit, and of its pseudo-labels, which are not those its weights of now would make.

    Attributes:
        pseudo: those in use; None before the first.
    """

    pseudo: Pseudo | None = None

    def tensors(self) -> dict[str, Tensor]:
        """Return everything with numbers in it, by name."""
        if self.pseudo is None:
            return super().tensors()
        return super().tensors() | {f"pseudo.{name}": getattr(self.pseudo, name) for name in TENSORS}

    def card(self) -> dict[str, Any]:
        """Return the rest, as JSON has it."""
        return super().card() | {"pseudo": None if self.pseudo is None else list(self.pseudo[len(TENSORS) :])}

    def restore(self, state: Checkpoint) -> None:
        """Go back to what `tensors` and `card` said, bit for bit."""
        super().restore(state)
        tensors: Mapping[str, Tensor] = state[0]
        numbers: list[int] | None = state[1]["pseudo"]
        if numbers is not None:
            rows, targets, classes = (tensors[f"pseudo.{name}"] for name in TENSORS)
            self.pseudo = Pseudo(rows, targets, classes, *numbers)


TENSORS = ("rows", "targets", "classes")


class TwoStreams(Trainer):
    """Trains a net on labels, and after a while on pseudo-labels of the rest as well, at no more updates.

    The images of `train` are the labelled ones and, after them, any number of others without labels: labels are fewer
    than images. From update ``supervised`` times the total on, every batch has `labelled` true labels, drawn endlessly,
    and for the rest pseudo-labelled images, each once per epoch of theirs. Pseudo-labels are made anew every `refresh`
    such epochs: clean images are embedded by the net as it is then, and labels are spread over the graph of neighbours.

    The loss of an image is multiplied by how certain its pseudo-label is, 1 for true labels, and by what its class
    weighs for all classes to weigh the same among all labels in use, true and not.

    With several devices each makes the same pseudo-labels for itself.

    Args:
        recipe: as for `Trainer`.
        fabric: as for `Trainer`.
        normalise: as for `Trainer`.
        spreading: how pseudo-labels are made and used.
        save_seconds: as for `Trainer`.
    """

    def __init__(
        self,
        recipe: Recipe,
        fabric: Fabric,
        normalise: Normalisation,
        spreading: Spreading,
        *,
        save_seconds: float = SECONDS,
    ) -> None:
        super().__init__(recipe, fabric, normalise, save_seconds=save_seconds)
        self.spreading = spreading

    def about(self) -> list[Any]:
        """Return what the weights depend on besides what `fit` is given."""
        return [*super().about(), list(self.spreading)]

    def begin(self, net: Net, train: Examples, held: Examples | None, seed: Seed, saver: Saver) -> Run:
        """Return a fit at its beginning, or at its last state, pseudo-labels included."""
        run = super().begin(net, train, held, seed, saver)
        run.course = PseudoCourse(**{field.name: getattr(run.course, field.name) for field in fields(Course)})
        saver.restore(run.course)
        return run

    # ----------------------------------------------------------------------------------------------------- an update

    def batch(self, run: Run, update: int, rows: Tensor) -> Batch:
        """Return this device's share of a batch of both streams; of labels alone before the first pseudo-labels."""
        pseudo = self.current(run, update)
        if pseudo is None or not len(pseudo.rows):
            return super().batch(run, update, rows)
        spare = self.recipe.batch - self.spreading.labelled
        known = drawn(len(run.labels), run.seed.child("labelled"), update, self.spreading.labelled)
        guessed = drawn(len(pseudo.rows), run.seed.child("pseudo", pseudo.number), update - pseudo.since, spare)
        run.draws.manual_seed(integer(run.seed.child("augmentation", update)))
        device = run.labels.device
        labels = run.labels[known.to(device)]
        certain = (
            torch.nn.functional.one_hot(labels, run.net.head.out_features) * pseudo.classes.to(device)[labels, None]
        )
        # Targets carry the weights of their images, so that what MixUp and CutMix blend is both at once.
        targets = torch.cat([certain.float(), pseudo.targets[guessed].to(device)])
        inputs = self.normalise(run.augmentation(torch.cat([known, pseudo.rows[guessed]]), run.draws))
        inputs, targets = mix(inputs, targets, self.recipe, run.draws)
        weights = targets.sum(dim=1)
        targets = targets / weights.clamp_min(torch.finfo(weights.dtype).tiny)[:, None]
        # Only true labels say how much of the training is right.
        counts = torch.zeros(len(targets), device=device)
        counts[: len(known)] = 1 / len(known)
        world, own, rank = self.fabric.world_size, self.own(len(targets)), self.fabric.global_rank
        restart(run.seed.child("noise", update, *([rank] if rank else [])), self.fabric.device)
        return Batch(inputs[own], targets[own], world * weights[own] / self.recipe.batch, world * counts[own])

    def clean(self, run: Run) -> Any:
        """Yield this device's shares of batches of all images as they are: statistics are those of both streams."""
        total, batch = len(run.train.images), self.recipe.batch
        for number in range(math.ceil(min(total, STATISTICS) / batch)):
            rows = drawn(total, run.seed.child("statistics"), number, batch)[self.own(batch)]
            images = np.ascontiguousarray(run.train.images[rows.numpy()])
            yield self.normalise(torch.from_numpy(images).to(self.fabric.device).permute(0, 3, 1, 2))

    # ------------------------------------------------------------------------------------------------- pseudo-labels

    def current(self, run: Run, update: int) -> Pseudo | None:
        """Return the pseudo-labels of an update, made anew if it is time to; None where there are none."""
        course = run.course
        if not isinstance(course, PseudoCourse) or len(run.train.images) == len(run.train.labels):
            return None
        first = math.ceil(self.spreading.supervised * run.plan.horizon)
        if update >= first and (course.pseudo is None or update >= course.pseudo.until):
            course.pseudo = self.spread(run, update, 0 if course.pseudo is None else course.pseudo.number + 1)
        return course.pseudo

    def spread(self, run: Run, update: int, number: int) -> Pseudo:
        """Return the pseudo-labels that the net of now gives."""
        how, l, c = self.spreading, len(run.train.labels), run.net.head.out_features
        x_N_d = unit_rows(embedded(run.net, self.normalise, run.train.images))
        self.resume(run.net)
        graph = normalised_graph(x_N_d, nearest_neighbours(x_N_d, how.k)[0], how.power)
        y_l = np.asarray(run.train.labels, np.int64)
        found = propagated(
            graph, np.arange(l), y_l, c, alpha=how.alpha, steps=how.steps, tolerance=TOLERANCE, pooling=how.pooling
        )
        key = run.seed.child("used", number).key()
        rows = l + used(found.weight[l:], how.mode, how.share, how.least, key)
        targets_m_c, class_c = weighted(found.p[rows], found.weight[rows], y_l, how.loss, how.balanced)
        epoch = max(1, (len(rows) or l) // (self.recipe.batch - how.labelled if len(rows) else self.recipe.batch))
        weight = float(found.weight[rows].mean()) if len(rows) else 0.0
        record("pseudo_labels", update=update, used=len(rows), mean_weight=weight)
        return Pseudo(
            torch.from_numpy(rows), torch.from_numpy(targets_m_c.astype(np.float32)),
            torch.from_numpy(class_c.astype(np.float32)), number, update, update + how.refresh * epoch,
        )  # fmt: skip


def weighted(
    p_m_c: np.ndarray[Any, Any], weight_m: np.ndarray[Any, Any], y_l: np.ndarray[Any, Any], loss: str, balanced: bool
) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Return the targets ``(m, c)`` of pseudo-labels times their weights, and the weights ``(c,)`` of true labels.

    For ``ce`` a target is the likeliest class, for ``kl`` the probabilities as they are: cross-entropy with them is the
    divergence from them and a constant. Another softmax would flatten them (with ten classes the surest would be 0.23).

    Args:
        p_m_c: probabilities that were propagated.
        weight_m: how certain they are.
        y_l: true labels.
        loss: ``ce`` or ``kl``.
        balanced: whether classes weigh the same among all labels.
    """
    c = p_m_c.shape[1]
    guess_m = p_m_c.argmax(axis=1)
    class_c = balance(np.concatenate([y_l, guess_m]), c) if balanced else np.ones(c)
    target_m_c = np.eye(c)[guess_m] if loss == "ce" else p_m_c
    return target_m_c * (weight_m * class_c[guess_m])[:, None], class_c


def drawn(n: int, seed: Seed, number: int, size: int) -> Tensor:
    """Return batch `number` of an endless stream of `n` rows: one permutation after another, cut into batches.

    Every row occurs equally often, give or take one, and a batch is a function of its number, so a stream has no state.
    """
    parts: list[Tensor] = []
    place, missing = number * size, size
    while missing:
        epoch, gone = divmod(place, n)
        part = torch.randperm(n, generator=generator(seed.child(epoch)))[gone : gone + missing]
        parts.append(part)
        place, missing = place + len(part), missing - len(part)
    return torch.cat(parts)


@torch.inference_mode()
def embedded(net: Net, normalise: Normalisation, images: Images) -> np.ndarray[Any, Any]:
    """Return the embeddings ``(n, d)`` float32 of clean images; the net is left in evaluation mode.

    Args:
        net: on its device.
        normalise: the only transform.
        images: ``(n, h, w, channels)``.
    """
    net.eval()
    device = next(net.parameters()).device
    size, parts = BLOCK.get(device.type, LARGE_BLOCK), list[np.ndarray[Any, Any]]()
    for start in range(0, len(images), size):
        x = torch.from_numpy(np.ascontiguousarray(images[start : start + size])).to(device).permute(0, 3, 1, 2)
        parts.append(net.embed(normalise(x)).float().cpu().numpy())
        tell("propagating", start, len(images))
    return np.concatenate(parts)
