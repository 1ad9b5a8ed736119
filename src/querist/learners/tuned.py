"""A learner whose settings are searched on the labels it is given: in every round, or once."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, TypeVar, cast

from querist.errors import DataError, SpecError
from querist.evidence.needs import Need
from querist.evidence.provider import Fit, Model
from querist.evidence.view import View
from querist.extras import require
from querist.files import write_bytes
from querist.labels.events import Tuned
from querist.learners.around import AroundOne
from querist.learners.base import Found, Learner, learners, register
from querist.learners.judging import Judge
from querist.learners.linear import Linear
from querist.learners.search import Search
from querist.learners.spaces import Space, changed, read_space, resource
from querist.registry import describe, digest

T = TypeVar("T")

HALVING = (1 / 16, 1 / 4)
"""Levels at which trials are pruned by default, where the base has a length of training: with a reduction of 4, every
level costs as much as the next."""
CARD = "tuned.json"

S2: dict[str, Any] = {"trials": 50, "mode": "per-cycle", "sampler": "random"}
"""Munjal et al. search anew in every round, for every strategy alike, with settings drawn at random and successive
halving. Ours: their rungs are epochs 20, 40 and so on and a trial is stopped against those that came before it; and the
accuracy a trial is judged by is that of the weights it ends with, not of the best epoch."""


@register(
    "tuned",
    cite="Munjal, Hayat, Hayat, Sourati & Khan, CVPR 2022; successive halving: Jamieson & Talwalkar, AISTATS 2016; "
    "Optuna: Akiba et al., KDD 2019",
    presets={name: {**S2, "base": {"name": "scratch", "preset": name}, "space": name} for name in ("s2", "s2-sr")},
)
@dataclass(frozen=True, kw_only=True)
class TunedLearner(AroundOne):
    """Another learner with the best of several settings, the same search for every strategy, random included.

    Settings are judged by their accuracy on the validation set if one is bought, which is charged, and then the model
    that was judged best is the one that is kept: all trials of a fit have its initial weights and its data order. With
    no validation set they are judged by cross-validation within the labelled set, stratified by class, at no further
    label; the best are then fitted on all of it. Equal accuracies are decided by the lower loss, then by the number of
    the trial. Fewer than two labels and no validation set leave nothing to judge by: the settings of the base are kept.

    A session writes what was found and what it cost into its ledger, and reads it from there when it goes on, so that
    nothing is searched twice. A fit that has a folder keeps every finished trial there, and goes on after a kill.

    Attributes:
        base: the learner whose settings are searched; what the space leaves out keeps its value.
        space: ``s2`` (learning rate, weight decay, batch, optimiser), ``s2-sr`` (and the strength of a RandAugment the
            base has), ``linear`` (C, principal components), ``auto`` for whichever goes with the base, or a table, see
            `querist.learners.spaces.read_space`.
        trials: settings that are tried in a search.
        mode: ``per-cycle``: a search in every round; ``fixed``: one, on the labels of the first fit, which is the
            initial pool; ``none``: the base as it is; ``auto``: ``fixed`` for learners that train a backbone.
        sampler: of Optuna: ``random``, or ``tpe``.
        levels: shares of the training at which trials are pruned, ascending; None for 1/16 and 1/4 where the base has
            ``updates`` or ``epochs``, and no pruning elsewhere.
        reduction: of so many trials one goes on to the next level.
        folds: of the cross-validation.
        reuse: whether runs with a training seed above 0 take over what the run with seed 0 found in the same round.
    """

    base: Learner = field(default_factory=Linear)
    space: str | Mapping[str, Any] = field(default="auto", hash=False)
    trials: int = 8
    mode: Literal["auto", "none", "fixed", "per-cycle"] = "auto"
    sampler: Literal["random", "tpe"] = "random"
    levels: tuple[float, ...] | None = None
    reduction: int = 4
    folds: int = 3
    reuse: bool = False

    def __post_init__(self) -> None:
        for name, least in (("trials", 1), ("reduction", 2), ("folds", 2)):
            if getattr(self, name) < least:
                raise SpecError(f"Expected {name} to be {least} or larger, got {getattr(self, name)}.")
        if self.base.searches:
            raise SpecError("the base is tuned itself: a search within a search. Give one of them mode = 'none'.")
        trains = resource(self.base)
        levels = (HALVING if trains and self.trials >= self.reduction else ()) if self.levels is None else self.levels
        if list(levels) != sorted({level for level in levels if 0 < level < 1}):
            raise SpecError(f"Expected levels to ascend between 0 and 1, got {levels}.")
        if levels and trains is None:
            raise SpecError("levels are shares of the training, and the base has neither epochs nor updates.")
        # What is left open is settled here, so that a specification says it in full.
        mode = "fixed" if self.base.trains_backbone else "per-cycle"
        space: Space = {} if self.mode == "none" else read_space(self.space, self.base)
        object.__setattr__(self, "mode", mode if self.mode == "auto" else self.mode)
        object.__setattr__(self, "space", space)
        object.__setattr__(self, "levels", () if self.mode == "none" else tuple(levels))

    @property
    def seeded(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        """Whether another seed gives another model: always while settings are searched."""
        return self.searches or self.base.seeded

    @property
    def searches(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        """Whether a fit searches for settings."""
        return self.mode != "none"

    @property
    def reuses(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        """Whether other training seeds take over what the first one found."""
        return self.searches and self.reuse

    def settled(self, found: Mapping[int, Tuned], checkpoint: int) -> "TunedLearner":
        """Return the learner with the settings found for a checkpoint, itself if a search is still to be made."""
        number = min(found, default=checkpoint) if self.mode == "fixed" else checkpoint
        if not self.searches or number not in found or number > checkpoint:
            return self
        return replace(self, mode="none", base=changed(self.base, found[number].settings))

    def fit(self, job: Fit) -> "TunedModel":
        """Return the model of the base with the best settings, and a note of what the search found and cost.

        Raises:
            FitError: no trial could be fitted.
            MissingExtraError: optuna is not installed.
        """
        if isinstance(job.warm, TunedModel):
            job = job._replace(warm=job.warm.model)
        if not self.searches:
            return TunedModel(self.base.fit(job), self.base)
        judge = Judge(self.base, job, self.folds)
        if not judge.possible:
            return TunedModel(self.base.fit(job), self.base, Found({}, 0, 0, None))
        require("learner 'tuned'", "tune", "optuna")
        search = Search(
            space=cast("Space", self.space), sampler=self.sampler, trials=self.trials, levels=self.levels or (),
            reduction=self.reduction,
        )  # fmt: skip
        folder = None if job.folder is None else job.folder / f"tuning-{self._digest(job)[:16]}"
        best = search.run(judge, job.seed.child("tuning"), folder)
        learner = changed(self.base, best.outcome.settings)
        model = learner.fit(job) if best.model is None else best.model
        return TunedModel(model, learner, judge.found(best, self.trials))

    def found(self, model: Model) -> Found | None:
        """Return what the search found whose best model this is; None if there was no search."""
        return model.note if isinstance(model, TunedModel) else None

    def save(self, model: Model, folder: Path) -> None:
        """Write a model as the base with its settings writes it, and the settings beside it."""
        if not isinstance(model, TunedModel):
            raise DataError(f"Expected a model of learner 'tuned', got {type(model).__name__}.")
        model.learner.save(model.model, folder / "model")
        write_bytes(folder / CARD, json.dumps({"learner": describe(model.learner)}).encode())

    def load(self, folder: Path) -> "TunedModel":
        """Return the model that `save` wrote.

        Raises:
            DataError: the folder holds no model of this learner.
        """
        try:
            described = json.loads((folder / CARD).read_bytes())["learner"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DataError(f"Expected a model of learner 'tuned', got {folder}, which has no {CARD}.") from error
        learner = learners.build(described, str(folder / CARD))
        return TunedModel(learner.load(folder / "model"), learner)

    def _digest(self, job: Fit) -> str:
        """What a search depends on: outcomes of another one are never taken for its own."""
        views = [job.labelled, *([] if job.validation is None else [job.validation])]
        rows = [[view.ids.tolist(), view.labels.tolist()] for view in views]
        return digest([self.identity(), job.seed.entropy, list(job.seed.path), rows])


@dataclass(frozen=True, eq=False)
class TunedModel:
    """The model of the base with the settings that were chosen.

    Attributes:
        model: that model.
        learner: the base with these settings.
        note: what the search found and cost; None if the settings were known before.
    """

    model: Model
    learner: Learner
    note: Found | None = None

    def provide(self, need: Need[T], view: View) -> T:
        """Return what the model provides."""
        return self.model.provide(need, view)
