"""What settings of a learner are worth on the labels at hand: by a validation set, or by cross-validation."""

from pathlib import Path

import numpy as np

from querist.arrays import Array, Ids, Labels, Rows
from querist.evidence.needs import Probs
from querist.evidence.provider import Fit
from querist.learners.base import Found, Learner
from querist.learners.members import OfMembers
from querist.learners.search import Best, Judged, Settings
from querist.learners.spaces import changed, shortened
from querist.nets.plan import make_plan
from querist.nets.recipe import Recipe
from querist.seeds import Seed

FLOOR = 1e-12
"""Smallest probability that the loss of a trial sees, as that of the test metrics."""


class Judge:
    """What settings are worth on one job: on its validation set, or by cross-validation within its labelled rows.

    A base that goes on from the round before does so on a validation set, and starts cold in every fold.

    Args:
        base: the learner.
        job: the fit that settings are searched for.
        folds: of the cross-validation; with fewer labels, as many as there are labels.
    """

    def __init__(self, base: Learner, job: Fit, folds: int) -> None:
        self._base, self._job = base, job
        self._held: list[Rows] = []
        if job.validation is None or not len(job.validation):
            self._held = stratified(job.labelled.labels, job.seed.child("folds"), job.labelled.ids, folds)

    @property
    def possible(self) -> bool:
        """Whether there is anything to judge by."""
        return len(self._held) != 1 and len(self._job.labelled) > 0

    def __call__(self, settings: Settings, share: float, room: Path | None) -> Judged:
        """Return accuracy and loss of settings after a share of the training."""
        learner, held = self._learner(settings, share), self._job.validation
        if not self._held and held is not None:
            model = learner.fit(self._job._replace(folder=room))
            p_n_c, y_n = np.asarray(model.provide(Probs(), held)), held.labels
            return Judged(*_worth(p_n_c, y_n), model)
        labelled = self._job.labelled
        jobs = [self._fold(j, room) for j in range(len(self._held))]
        parts = [
            np.asarray(model.provide(Probs(), labelled.take(rows)))
            for model, rows in zip(learner.fit_many(jobs), self._held, strict=True)
        ]
        return Judged(*_worth(np.concatenate(parts), labelled.labels[np.concatenate(self._held)]), None)

    def found(self, best: Best, trials: int) -> Found:
        """Return what is noted of a search: the same whether it was interrupted or not."""
        l, held = len(self._job.labelled), self._job.validation
        sizes = [l - len(rows) for rows in self._held] or [l]
        return Found(
            settings=best.outcome.settings,
            trials=trials,
            fits=len(sizes) * len(best.judged),
            value=best.outcome.accuracy,
            updates=sum(updates_of(self._learner(*judged), size) for judged in best.judged for size in sizes),
            validation=0 if self._held or held is None else len(held),
        )

    def _learner(self, settings: Settings, share: float) -> Learner:
        return shortened(changed(self._base, settings), share)

    def _fold(self, j: int, room: Path | None) -> Fit:
        labelled = self._job.labelled
        rest = np.setdiff1d(np.arange(len(labelled)), self._held[j])
        # The model of the round before has seen the labels that are held out here, so no fold goes on from it.
        return self._job._replace(
            labelled=labelled.take(rest), validation=None, seed=self._job.seed.child("fold", j), warm=None,
            folder=None if room is None else room / f"fold-{j}",
        )  # fmt: skip


def stratified(y_l: Labels, seed: Seed, ids: Ids, k: int) -> list[Rows]:
    """Return ``min(k, l)`` disjoint sets of rows, ascending, over which every class is spread as evenly as can be."""
    order = np.lexsort((seed.key().hash(ids), y_l))
    return [np.sort(order[fold :: min(k, len(order))]) for fold in range(min(k, len(order)))]


def updates_of(learner: Learner, l: int) -> int:
    """Return the optimiser steps of a fit on `l` labels, of all members together; 0 where they are not counted."""
    if isinstance(learner, OfMembers):
        return sum(updates_of(base, l) for base in learner.bases)
    return make_plan(learner, l).total if isinstance(learner, Recipe) else 0


def _worth(p_n_c: Array, y_n: Labels) -> tuple[float, float]:
    likelihood = np.maximum(p_n_c[np.arange(len(y_n)), y_n].astype(np.float64), FLOOR)
    return float((p_n_c.argmax(axis=1) == y_n).mean()), float(-np.log(likelihood).mean())
