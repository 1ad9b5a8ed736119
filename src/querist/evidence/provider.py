"""Where evidence comes from: providers are fitted to models, and models provide needs."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeVar

from querist.evidence.needs import Need
from querist.evidence.view import View
from querist.seeds import Seed

T = TypeVar("T")


@dataclass(frozen=True)
class Offer:
    """A provider's promise to meet a need; `note` is shown to people, e.g. a cost."""

    note: str = ""


class Fit(NamedTuple):
    """Everything one fit depends on, and `folder`, on which nothing depends."""

    labelled: View
    pool: View
    seed: Seed
    validation: View | None = None
    warm: "Model | None" = None
    """The model of the round before, for learners that start from it."""
    folder: Path | None = None
    """Where a long fit may keep what a kill would lose; the next attempt finds it there. None: nowhere."""
    round: int = 0
    """Number of the model in its run, for learners that change from round to round; that of the first labels is 0."""


class Model(Protocol):
    """A fitted, immutable thing that provides needs about any rows."""

    def provide(self, need: Need[T], view: View) -> T:
        """Return the value of `need` for the rows of `view`."""
        ...


class Provider(Protocol):
    """A learner, an encoder or a strategy's helper, before it is fitted."""

    def offers(self, need: Need[Any]) -> Offer | str:
        """Return an offer, or the reason why there is none, written for the user."""
        ...

    def fit(self, job: Fit) -> Model:
        """Return a model fitted to one job."""
        ...
