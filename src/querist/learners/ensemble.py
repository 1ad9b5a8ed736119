"""An ensemble: several models of all labels, which differ by their seeds or by what they are."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from querist.errors import SpecError
from querist.evidence.provider import Fit, Model
from querist.learners.base import Learner, register
from querist.learners.members import MembersModel, OfMembers, earlier, folder_of
from querist.learners.mlp import MLP
from querist.progress import record
from querist.registry import describe


@register(
    "ensemble",
    cite="Lakshminarayanan, Pritzel & Blundell, NeurIPS 2017; in active learning: Beluch et al., CVPR 2018",
)
@dataclass(frozen=True, kw_only=True)
class Ensemble(OfMembers):
    """Members fitted on all labels from independent seeds; its probabilities are their mean, its draws the members.

    Nothing is resampled: the seed of member j, which is that of the job and j, decides its initial weights, its order
    of the data and its augmentation. Every member has the whole recipe of its base, so a fit costs that many times a
    single one. Of a base whose fits do not depend on a seed, such as ``linear``, all members would be the same: take
    a ``committee`` of it. A list of learners, e.g. with different nets, is a committee of them: member j is the
    j-th, and they start over at the end of the list.

    Where a validation set is bought, a fit records on it both the mean accuracy of the members and the accuracy of
    their averaged prediction; the two differ by points.

    Attributes:
        base: what a member is, or a list of learners that take turns.
        members: how many there are; the most draws that can be asked for.
    """

    base: Learner | tuple[Learner, ...] = field(default_factory=MLP)
    members: int = 5

    def __post_init__(self) -> None:
        if self.members < 2:
            raise SpecError(f"Expected members to be 2 or larger, got {self.members}.")
        if not self._kinds:
            raise SpecError("Expected a learner, or a list of learners, got an empty list.")
        again = [describe(kind)["name"] for j, kind in enumerate(self._kinds) if self._repeats(j) and not kind.seeded]
        if again:
            raise SpecError(
                f"{again[0]!r} gives the same model whatever the seed, so members of it would be copies. Take a "
                f"'committee' of it, whose members see different labels, or one {again[0]!r} among other learners."
            )

    def _repeats(self, j: int) -> bool:
        """Return whether the learner at a place of the list has more than one member."""
        return self.bases.count(self._kinds[j]) > 1

    @property
    def _kinds(self) -> tuple[Learner, ...]:
        return (self.base,) if isinstance(self.base, Learner) else self.base

    @property
    def bases(self) -> tuple[Learner, ...]:
        return tuple(self._kinds[j % len(self._kinds)] for j in range(self.members))

    def identity(self) -> dict[str, object]:
        kinds = [kind.identity() for kind in self._kinds]
        return describe(self) | {"base": kinds[0] if isinstance(self.base, Learner) else kinds}

    def member_job(self, job: Fit, j: int) -> Fit:
        """Return the job of member `j`: all labels, a seed of its own, and its own earlier self."""
        seed = job.seed.child("member", j)
        return job._replace(seed=seed, warm=earlier(job, j), folder=folder_of(job, j))

    def fit_many(self, jobs: Sequence[Fit]) -> list[Model]:
        """Return one model per job; all members of all jobs that have one learner go to it in one call."""
        models = super().fit_many(jobs)
        for job, model in zip(jobs, models, strict=True):
            if job.validation is not None and isinstance(model, MembersModel):
                mean, averaged = model.accuracies(job.validation)
                record("ensemble", members=self.members, mean_of_members=mean, averaged=averaged)
        return models
