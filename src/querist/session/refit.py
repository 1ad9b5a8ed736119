"""The source of heads fitted again: what the session's learner would say, had it seen fewer of the labels."""

from collections.abc import Callable
from typing import Any

from querist.arrays import Array, Rows
from querist.evidence.needs import Need, Probs, Refit
from querist.evidence.provider import Fit, Offer
from querist.evidence.view import View
from querist.learners.base import Learner
from querist.seeds import Seed


class RefitSource:
    """Fits a learner on frozen features again, as often as it is asked to."""

    name = "session"

    def __init__(self, learner: Learner) -> None:
        self._learner = learner

    def offers(self, need: Need[Any]) -> Offer | str:
        """Offer `Refit` of learners that take milliseconds."""
        if not isinstance(need, Refit):
            return "it fits learners again for Refit only."
        if need.frame == "targets":
            return "it says nothing of targets, only of candidates and labelled rows."
        if self._learner.trains_backbone:
            return "the learner trains a backbone, and to train it again for one query takes too long."
        offer = self._learner.offers(Probs())
        return offer if isinstance(offer, str) else Offer("one fit per call")

    def provide(self, labelled: View, rows_of: View, seed: Seed) -> Callable[[Rows], Array]:
        """Return the function that `Refit` is.

        Args:
            labelled: all rows whose labels were bought for training, with these labels.
            rows_of: the rows of the need's frame.
            seed: that of the round's own fit.
        """

        def refitted(rows: Rows) -> Array:
            fit = Fit(labelled=labelled.take(rows), pool=rows_of, seed=seed)
            return self._learner.fit(fit).provide(Probs(), rows_of)

        return refitted
