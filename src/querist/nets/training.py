"""The training loop: small steps in the order they happen, each of which a subclass may replace."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from querist.errors import FitError, SpecError
from querist.nets.augmentation import Augmentation
from querist.nets.course import Course, Look
from querist.nets.dynamics import Examples, judge
from querist.nets.images import Normalisation
from querist.nets.losses import class_weights, cross_entropy, shares
from querist.nets.mixing import mix
from querist.nets.net import Net
from querist.nets.optimisers import groups, make_optimiser, set_rate
from querist.nets.plan import INTERVAL, make_plan
from querist.nets.recipe import Recipe
from querist.nets.run import Batch, Run, Trained, identity, report, told
from querist.nets.running import generator, integer, restart
from querist.nets.saving import SECONDS, Saver
from querist.nets.timing import Lap, Stopwatch
from querist.nets.weights import Average, borrowed, put, renew_statistics, set_training
from querist.progress import tell
from querist.seeds import Seed

__all__ = ["Batch", "Examples", "Run", "Trained", "Trainer"]

STATISTICS = 10_000
"""Images that statistics of batch normalisation are taken from, at most; more change no digit that matters."""


class Trainer:
    """Trains a net on labelled images.

    Args:
        recipe: how long and how. `batch_norm` = ``auto`` is ``train`` here, where nobody knows what a net starts from.
        fabric: where. A batch is shared by all devices: more of them change how fast a fit is, and nothing else.
        normalise: applied to every batch after the augmentation.
        save_seconds: between two states of a fit that has a folder.
    """

    def __init__(
        self, recipe: Recipe, fabric: Fabric, normalise: Normalisation, *, save_seconds: float = SECONDS
    ) -> None:
        self.recipe, self.fabric, self.normalise, self.save_seconds = recipe, fabric, normalise, save_seconds

    def fit(
        self,
        net: Net,
        train: Examples,
        seed: Seed,
        *,
        validation: Examples | None = None,
        folder: Path | None = None,
    ) -> Trained:
        """Train `net` in place, on the device of the fabric, and leave it in evaluation mode.

        Order, augmentation and dropout of an update depend on `seed` and its number alone, so a fit that was killed
        goes on from its last state and ends with the same bits. Torch's global generators are started anew at every
        update; call it under `running.reproducible`, which puts them back.

        Args:
            net: with the weights to start from. Parameters that ask for no gradient stay as they are, and so do the
                batch statistics of a part that has no others.
            train: at least one labelled image.
            seed: of the order and everything random.
            validation: labelled images that are looked at now and then and never trained on.
            folder: where the state is kept until the fit is done; None for nowhere.

        Raises:
            FitError: the loss is not finite.
            SpecError: the recipe needs a validation set, or a batch has fewer images than there are devices.
        """
        held = validation if validation is not None and len(validation.labels) else None
        self.require_sense(held)
        net.to(self.fabric.device).to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        name = identity(net, train, held, seed, self.recipe, self.about()) if folder else ""
        saver = Saver(folder, name, self.save_seconds)
        run = self.begin(net, train, held, seed, saver)
        watch, laps, first = Stopwatch(self.fabric.device), list[Lap](), run.course.done
        self.resume(net)
        rows = self.batches(len(train.labels), seed, first)
        for update in range(first, run.plan.total):
            batch = self.batch(run, update, next(rows))
            with watch.computing():
                loss, right = self.step(run, batch, run.plan.rates[update])
            run.course.scores[update] = self.summed(torch.stack([loss, right]))
            run.course.done = update + 1
            self.after(run)
            if self.due(run, run.plan.interval):
                laps.append(watch.lap())
                report(run, laps[-1], self.recipe.batch)
            if self.fabric.global_rank == 0:
                saver.save(run.course)
        kept = self.finish(run)
        if self.fabric.global_rank == 0:
            saver.clear()
        return told(run, laps, kept, self.recipe.batch)

    # ------------------------------------------------------------------------------------------------- before a fit

    def require_sense(self, held: Examples | None) -> None:
        """Raise `SpecError` if settings ask for what this fit does not have."""
        if self.recipe.keep == "best" and held is None:
            raise SpecError(
                "keep = 'best' keeps the weights that are best on the validation set, and there is none: buy one "
                "([validation] size = 50, say), or set keep = 'last'."
            )
        if self.recipe.batch < self.fabric.world_size:
            raise SpecError(
                f"a batch of {self.recipe.batch} images cannot be shared by {self.fabric.world_size} devices: raise "
                "batch, or take fewer devices."
            )

    def about(self) -> list[Any]:
        """Return what the weights at the end depend on apart from what `fit` is given, as JSON has it."""
        fabric, kind = self.fabric, type(self)
        where = [fabric.device.type, fabric.world_size, fabric.strategy.precision.precision]
        return [f"{kind.__module__}.{kind.__qualname__}", self.normalise.mean, self.normalise.std, *where]

    def begin(self, net: Net, train: Examples, held: Examples | None, seed: Seed, saver: Saver) -> Run:
        """Return a fit at its beginning, or at its last state."""
        recipe, fabric, device = self.recipe, self.fabric, self.fabric.device
        plan, optimizer = make_plan(recipe, len(train.labels)), self.optimizer(net)
        average = Average(net) if recipe.ema or recipe.swa else None
        course = Course(net, optimizer, fabric, torch.zeros(plan.total, 2, device=device), average)
        saver.restore(course)
        module, stepper = fabric.setup(cast("nn.Module", torch.compile(net)) if recipe.compile else net, optimizer)
        weights = None
        if recipe.class_weights:
            weights = torch.from_numpy(class_weights(train.labels, net.head.out_features)).float().to(device)
        return Run(
            net, train, held, seed, plan, course, module, stepper,
            augmentation=Augmentation(train.images, recipe, device, self.normalise.mean),
            labels=torch.from_numpy(np.array(train.labels, dtype=np.int64)).to(device),
            weights=weights,
            draws=generator(seed),
        )  # fmt: skip

    def optimizer(self, net: Net) -> torch.optim.Optimizer:
        """Return the optimiser; its rate is set at every update."""
        # A scaler of float16 cannot hand clipped gradients to a fused step.
        scaled = self.recipe.clip is not None and self.fabric.strategy.precision.precision == "16-mixed"
        fused = self.fabric.device.type in ("cpu", "cuda") and not scaled
        return make_optimiser(groups(net, net.head, self.recipe), self.recipe, fused)

    # ----------------------------------------------------------------------------------------------------- an update

    def batches(self, l: int, seed: Seed, first: int = 0) -> Iterator[Tensor]:
        """Yield rows for ever, from update `first` on: one permutation of all labels after another, cut into batches.

        No batch is short, so one label fills a batch as a thousand do, and batch normalisation never meets a single
        row; up to the last batch every label has been seen equally often, give or take one. Each permutation has a
        generator of its own, so an order has no state but its place.
        """
        batch = self.recipe.batch
        epoch, gone = divmod(first * batch, l)
        waiting = torch.empty(0, dtype=torch.int64)
        while True:
            while len(waiting) < batch:
                order = torch.randperm(l, generator=generator(seed.child("order", epoch)))
                waiting, gone, epoch = torch.cat([waiting, order[gone:]]), 0, epoch + 1
            yield waiting[:batch]
            waiting = waiting[batch:]

    def batch(self, run: Run, update: int, rows: Tensor) -> Batch:
        """Return this device's share of a batch. The whole of it is varied and mixed, so shares do not show."""
        run.draws.manual_seed(integer(run.seed.child("augmentation", update)))
        targets = nn.functional.one_hot(run.labels[rows.to(run.labels.device)], run.net.head.out_features).float()
        inputs = self.normalise(run.augmentation(rows, run.draws))
        inputs, targets = mix(inputs, targets, self.recipe, run.draws)
        world = self.fabric.world_size
        # Devices average their gradients, and the mean of the batch is wanted: hence times their number.
        weights, counts = world * shares(targets, run.weights), world * shares(targets, None)
        own = self.own(len(rows))
        # Dropout, and whatever else draws from torch's global generators, is not the same on two devices.
        device = self.fabric.global_rank
        restart(run.seed.child("noise", update, *([device] if device else [])), self.fabric.device)
        return Batch(inputs[own], targets[own], weights[own], counts[own])

    def own(self, n: int) -> slice:
        """Return which of `n` rows are for this device."""
        return slice(self.fabric.global_rank, n, self.fabric.world_size)

    def step(self, run: Run, batch: Batch, rate: float) -> tuple[Tensor, Tensor]:
        """Make one update; return the loss and the share of the rows whose likeliest class is right."""
        set_rate(run.course.optimizer, rate)
        run.optimizer.zero_grad(set_to_none=True)
        logits = run.module(batch.inputs)
        loss = self.loss(logits, batch)
        self.fabric.backward(loss)
        if self.recipe.clip is not None:
            self.fabric.clip_gradients(run.module, run.optimizer, max_norm=self.recipe.clip, error_if_nonfinite=False)
        run.optimizer.step()
        right = logits.detach().argmax(dim=1) == batch.targets.argmax(dim=1)
        return loss.detach(), (right * batch.counts).sum()

    def loss(self, logits: Tensor, batch: Batch) -> Tensor:
        """Return the mean cross-entropy, in float32 whatever the precision of the net."""
        return (batch.weights * cross_entropy(logits, batch.targets, self.recipe.label_smoothing)).sum()

    # ------------------------------------------------------------------------------------------------ after an update

    def after(self, run: Run) -> None:
        """Do what is due after an update: averages, looks, and the check of the loss."""
        course, plan = run.course, run.plan
        if self.recipe.ema and course.average:
            course.average.add_moving(run.net, self.recipe.ema)
        if course.done in plan.snapshots and course.average:
            course.average.add_equal(run.net)
        if course.done in plan.looks and run.held is not None:
            with borrowed(run.net):
                self.settle(run, averaged=bool(self.recipe.ema))
                self.look(run, run.held)
            self.resume(run.net)
        if self.recipe.dynamics and self.due(run, plan.interval):
            course.judged.append((course.done, judge(run.net, self.normalise, run.train, self.fabric)))
            self.resume(run.net)
        if self.due(run, INTERVAL):
            self.check(run)
            tell("training", course.done, plan.total)

    def due(self, run: Run, interval: int) -> bool:
        """Return whether an interval has just ended, the last one shorter than others."""
        return run.course.done % interval == 0 or run.course.done == run.plan.total

    def resume(self, net: Net) -> None:
        """Set the modes of training."""
        set_training(net, batch_norm=self.recipe.batch_norm != "eval")

    def settle(self, run: Run, *, averaged: bool) -> None:
        """Put into the net what would be kept if the fit ended now: the average, and statistics that fit to it."""
        if averaged and run.course.average:
            put(run.net, run.course.average.values)
        if (self.recipe.precise_bn or (averaged and self.recipe.swa)) and self.recipe.batch_norm != "eval":
            renew_statistics(run.net, self.clean(run))

    def clean(self, run: Run) -> Iterator[Tensor]:
        """Yield this device's shares of batches of the labelled images as they are, each image about once."""
        l = len(run.train.labels)
        rows = self.batches(l, run.seed.child("statistics"))
        for _ in range(0, min(l, STATISTICS), self.recipe.batch):
            images = run.train.images[next(rows)[self.own(self.recipe.batch)].numpy()]
            yield self.normalise(torch.from_numpy(images).to(self.fabric.device).permute(0, 3, 1, 2))

    def look(self, run: Run, held: Examples) -> Look:
        """Look at the validation set through the weights that are in the net, and keep them if they are the best."""
        judged = judge(run.net, self.normalise, held, self.fabric)
        look = Look(run.course.done, judged.accuracy, judged.loss)
        run.course.looks.append(look)
        if self.recipe.keep == "best":
            run.course.consider(look, run.net)
        return look

    def check(self, run: Run) -> None:
        """Raise `FitError` if a loss since the last check is not finite."""
        done = run.course.done
        since = (done - 1) // INTERVAL * INTERVAL
        losses = run.course.scores[since:done, 0].cpu()
        bad = (~losses.isfinite()).nonzero()
        if len(bad):
            first = since + int(bad[0, 0])
            raise FitError(
                f"the training loss is {float(losses[first - since])} at update {first + 1} of {run.plan.total}, at "
                f"learning rate {run.plan.rates[first]:.3g}. Lower lr (now {self.recipe.lr:g}), or raise warmup (now "
                f"{self.recipe.warmup:g})."
            )

    def summed(self, values: Tensor) -> Tensor:
        """Return the mean of values over all devices."""
        if self.fabric.world_size == 1:
            return values
        return cast("Tensor", self.fabric.all_reduce(values, reduce_op="mean"))

    # --------------------------------------------------------------------------------------------------------- the end

    def finish(self, run: Run) -> Look | None:
        """Put into the net what is kept; return what the validation set says of exactly that."""
        self.settle(run, averaged=run.course.average is not None)
        if run.held is not None and self.recipe.swa:
            self.look(run, run.held)
        if self.recipe.keep == "best" and run.course.best:
            put(run.net, run.course.best.weights)
        run.net.eval()
        if run.held is None:
            return None
        judged = judge(run.net, self.normalise, run.held, self.fabric)
        update = run.course.best.look.update if run.course.best else run.plan.total
        return Look(update, judged.accuracy, judged.loss)
