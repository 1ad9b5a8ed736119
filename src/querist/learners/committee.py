"""A committee: one learner fitted on several resamples of the labelled set."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np

from querist.arrays import Array, Labels, Rows
from querist.errors import SpecError, UnmetNeedError
from querist.evidence.needs import Draws, Frame, Need, Probs
from querist.evidence.provider import Fit, Model, Offer
from querist.evidence.view import View
from querist.learners.base import Learner, register
from querist.learners.linear import Linear
from querist.registry import describe
from querist.seeds import Seed

T = TypeVar("T")


@register(
    "committee",
    cite="Breiman, Machine Learning 1996; Abe & Mamitsuka, ICML 1998; Seung, Opper & Sompolinsky, COLT 1992",
)
@dataclass(frozen=True, kw_only=True)
class Committee(Learner):
    """Query by bagging: members of one kind, each fitted on a bootstrap sample; its probabilities are their mean.

    It gives strategies on draws what they need: the first k members are `Draws`, each one function of all rows. A
    sample has as many rows as there are labels, drawn with replacement, and one more for every class it missed: a
    member that has not seen a class would be certain that there is none. Member j depends on the seed and on j alone,
    so more members change none of the earlier ones.

    Attributes:
        base: what a member is.
        members: how many there are; the most draws that can be asked for.
    """

    base: Learner = field(default_factory=Linear)
    members: int = 25

    def __post_init__(self) -> None:
        if self.members < 2:
            raise SpecError(f"Expected members to be 2 or larger, got {self.members}.")

    def offers(self, need: Need[Any]) -> Offer | str:
        """Offer the mean of the members' probabilities and up to `members` draws; the base says why not the rest."""
        if not isinstance(need, Draws | Probs):
            answer = self.base.offers(need)
            if isinstance(answer, str):
                return answer
            own, base = type(need).__name__, describe(self.base)["name"]
            return f"every member has its own {own} and the committee none in common; take {base!r} itself."
        if isinstance(need, Draws) and need.k > self.members:
            return (
                f"it has {self.members} members, and a draw is a member: set members={need.k} in the learner, or "
                f"k={self.members} in the strategy."
            )
        return self.base.offers(Probs(frame=need.frame))

    def fit(self, job: Fit) -> Model:
        """Return the members fitted to one job."""
        return self.fit_many([job])[0]

    def fit_many(self, jobs: Sequence[Fit]) -> list[Model]:
        """Return one committee per job; all members of all jobs go to the base in one call."""
        models = self.base.fit_many([member_job(job, j) for job in jobs for j in range(self.members)])
        parts = (models[i * self.members : (i + 1) * self.members] for i in range(len(jobs)))
        return [CommitteeModel(tuple(part)) for part in parts]


@dataclass(frozen=True, eq=False)
class CommitteeModel:
    """Fitted members, in order."""

    members: tuple[Model, ...]

    def provide(self, need: Need[T], view: View) -> T:
        """Return the value of `Probs`, or of `Draws`: float32, for the draws are the largest evidence there is.

        Raises:
            UnmetNeedError: another need, or more draws than members.
        """
        match need:
            case Probs():
                value = sum(self._probs(view, need.frame)) / len(self.members)
            case Draws(k=k) if k <= len(self.members):
                value = [p.astype(np.float32, copy=False) for p in self._probs(view, need.frame, k)]
            case _:
                raise UnmetNeedError(f"{need}: a committee of {len(self.members)} offers Probs and as many Draws.")
        return value  # pyright: ignore[reportReturnType]

    def _probs(self, view: View, frame: Frame, k: int | None = None) -> Iterator[Array]:
        return (np.asarray(member.provide(Probs(frame=frame), view)) for member in self.members[:k])


def member_job(job: Fit, j: int) -> Fit:
    """Return the job of member `j`: a resample of the labelled rows, a seed of its own, and its own earlier self."""
    labelled, seed = job.labelled, job.seed.child("member", j)
    rows = resample(labelled.labels, seed.child("bootstrap"))
    earlier = job.warm.members if isinstance(job.warm, CommitteeModel) else ()
    warm = earlier[j] if j < len(earlier) else None
    return Fit(
        labelled=labelled.take(rows), pool=job.pool, seed=seed.child("fit"), validation=job.validation, warm=warm
    )


def resample(y_l: Labels, seed: Seed) -> Rows:
    """Return rows drawn with replacement, ascending: as many as there are, and one of every class that was missed."""
    if not len(y_l):
        return np.empty(0, np.intp)  # what to say about it is up to the base
    rng = seed.generator()
    rows = rng.integers(len(y_l), size=len(y_l))
    missed = np.setdiff1d(y_l, y_l[rows])
    extra = [rng.choice(np.flatnonzero(y_l == y)) for y in missed]
    return np.sort(np.append(rows, extra).astype(np.intp))
