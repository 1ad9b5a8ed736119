"""The source of heads fitted again: what the session's learner would say, had it seen fewer of the labels."""

from collections.abc import Callable, Mapping
from typing import Any

from querist.arrays import Array, Rows
from querist.errors import UsageError
from querist.evidence.needs import Need, Probs, Refit
from querist.evidence.provider import Fit, Offer
from querist.evidence.view import View
from querist.labels.events import Tuned
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
        if self._learner.trains_backbone or self._learner.keeps:
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


def at_rest(learner: Learner, tuning: Mapping[int, Tuned], checkpoint: int) -> Learner:
    """Return a learner that searches nothing: with the settings found last, at a checkpoint or before it.

    Args:
        learner: of a session.
        tuning: what was found in the session, by checkpoint.
        checkpoint: the present one.

    Raises:
        UsageError: nothing was found yet.
    """
    found = max((number for number in tuning if number <= checkpoint), default=checkpoint)
    settled = learner.settled(tuning, found)
    if settled.searches:
        raise UsageError("no settings of the learner were found yet: ask for a query, or call conclude(), first.")
    return settled
