"""A committee: one learner fitted on several resamples of the labelled set."""

from dataclasses import dataclass, field

import numpy as np

from querist.arrays import Labels, Rows
from querist.errors import SpecError
from querist.evidence.provider import Fit
from querist.learners.base import Learner, register
from querist.learners.linear import Linear
from querist.learners.members import OfMembers, earlier, folder_of
from querist.registry import describe
from querist.seeds import Seed


@register(
    "committee",
    cite="Breiman, Machine Learning 1996; Abe & Mamitsuka, ICML 1998; Seung, Opper & Sompolinsky, COLT 1992",
)
@dataclass(frozen=True, kw_only=True)
class Committee(OfMembers):
    """Query by bagging: members of one kind, each fitted on a bootstrap sample; its probabilities are their mean.

    It gives strategies on draws what they need: the first k members are `Draws`, each one function of all rows. A
    sample has as many rows as there are labels, drawn with replacement, and one more for every class it missed: a
    member that has not seen a class would be certain that there is none. Member j depends on the seed and on j alone,
    so more members change none of the earlier ones. An ``ensemble`` has members that see all labels and differ by
    their seeds.

    Attributes:
        base: what a member is.
        members: how many there are; the most draws that can be asked for.
    """

    base: Learner = field(default_factory=Linear)
    members: int = 25

    def __post_init__(self) -> None:
        if self.members < 2:
            raise SpecError(f"Expected members to be 2 or larger, got {self.members}.")

    @property
    def bases(self) -> tuple[Learner, ...]:
        return (self.base,) * self.members

    def identity(self) -> dict[str, object]:
        return describe(self) | {"base": self.base.identity()}

    def member_job(self, job: Fit, j: int) -> Fit:
        """Return the job of member `j`: a resample of the labelled rows, a seed, and its own earlier self."""
        labelled, seed = job.labelled, job.seed.child("member", j)
        rows = resample(labelled.labels, seed.child("bootstrap"))
        return Fit(
            labelled=labelled.take(rows), pool=job.pool, seed=seed.child("fit"), validation=job.validation,
            warm=earlier(job, j), folder=folder_of(job, j), round=job.round,
        )  # fmt: skip


def resample(y_l: Labels, seed: Seed) -> Rows:
    """Return rows drawn with replacement, ascending: as many as there are, and one of every class that was missed."""
    if not len(y_l):
        return np.empty(0, np.intp)  # what to say about it is up to the base
    rng = seed.generator()
    rows = rng.integers(len(y_l), size=len(y_l))
    missed = np.setdiff1d(y_l, y_l[rows])
    extra = [rng.choice(np.flatnonzero(y_l == y)) for y in missed]
    return np.sort(np.append(rows, extra).astype(np.intp))
