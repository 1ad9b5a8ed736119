"""Several fitted models as one: the mean of their probabilities, and every one of them a draw."""

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from querist.arrays import Array
from querist.errors import DataError, SpecError, UnmetNeedError
from querist.evidence.needs import Draws, Frame, Need, Probs
from querist.evidence.provider import Fit, Model, Offer
from querist.evidence.view import View
from querist.learners.base import Learner
from querist.registry import describe

T = TypeVar("T")


class OfMembers(Learner):
    """A learner whose model is several models; subclasses say which learner and which job each of them has."""

    @property
    @abstractmethod
    def bases(self) -> tuple[Learner, ...]:
        """The learner of each member, in order."""

    @abstractmethod
    def member_job(self, job: Fit, j: int) -> Fit:
        """Return the job of member `j`: a function of the job and of `j` alone."""

    @property
    def keeps(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        """Whether the members are worth a file."""
        return all(base.keeps for base in self.bases)

    def offers(self, need: Need[Any]) -> Offer | str:
        """Offer the mean of the members' probabilities and a draw per member; the base says why not the rest."""
        base, count = self.bases[0], len(self.bases)
        if not isinstance(need, Draws | Probs):
            answer = base.offers(need)
            if isinstance(answer, str):
                return answer
            own, name = type(need).__name__, describe(base)["name"]
            kind = describe(self)["name"]
            return f"every member has its own {own} and the {kind} none in common; take {name!r} itself."
        if isinstance(need, Draws) and need.k > count:
            return (
                f"it has {count} members, and a draw is a member: set members={need.k} in the learner, or "
                f"k={count} in the strategy."
            )
        answers = (base.offers(Probs(frame=need.frame)) for base in self.bases)
        return next((answer for answer in answers if isinstance(answer, str)), Offer(f"{count} models"))

    def fit(self, job: Fit) -> Model:
        """Return the members fitted to one job."""
        return self.fit_many([job])[0]

    def fit_many(self, jobs: Sequence[Fit]) -> list[Model]:
        """Return one model per job; all members of all jobs that have one learner go to it in one call."""
        bases = self.bases
        models: dict[tuple[int, int], Model] = {}
        for base in dict.fromkeys(bases):
            places = [(i, j) for i in range(len(jobs)) for j in range(len(bases)) if bases[j] == base]
            models.update(zip(places, base.fit_many([self.member_job(jobs[i], j) for i, j in places]), strict=True))
        return [MembersModel(tuple(models[i, j] for j in range(len(bases)))) for i in range(len(jobs))]

    def save(self, model: Model, folder: Path) -> None:
        """Write the members to folders of their own within a folder."""
        if not isinstance(model, MembersModel):
            raise SpecError(f"learner {self.card.name!r} keeps models of its own, not {type(model).__name__}.")
        for j, (base, member) in enumerate(zip(self.bases, model.members, strict=True)):
            base.save(member, folder / name_of(j))

    def load(self, folder: Path) -> Model:
        """Return the model that `save` wrote.

        Raises:
            DataError: the folder holds no model of this learner.
        """
        bases = self.bases
        if (folder / name_of(len(bases))).exists():
            raise DataError(f"{folder} holds a model of more than the {len(bases)} members of {self.card.name!r}.")
        return MembersModel(tuple(base.load(folder / name_of(j)) for j, base in enumerate(bases)))


@dataclass(frozen=True, eq=False)
class MembersModel:
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

    def accuracies(self, view: View) -> tuple[float, float]:
        """Return the mean accuracy of the members on a labelled view, and that of their averaged prediction."""
        probs = list(self._probs(view, "labelled"))
        each = [float((p.argmax(axis=1) == view.labels).mean()) for p in probs]
        return sum(each) / len(each), float((np.mean(probs, axis=0).argmax(axis=1) == view.labels).mean())

    def _probs(self, view: View, frame: Frame, k: int | None = None) -> Iterator[Array]:
        return (np.asarray(member.provide(Probs(frame=frame), view)) for member in self.members[:k])


def name_of(j: int) -> str:
    """Return the name of the folder of a member: ``member-02``."""
    return f"member-{j:02d}"


def folder_of(job: Fit, j: int) -> Path | None:
    """Return where the fit of a member may keep what a kill would lose."""
    return None if job.folder is None else job.folder / name_of(j)


def earlier(job: Fit, j: int) -> Model | None:
    """Return member `j` of the model of the round before, None if there was none."""
    members = job.warm.members if isinstance(job.warm, MembersModel) else ()
    return members[j] if j < len(members) else None
