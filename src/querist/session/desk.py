"""The desk where a session's evidence is planned and gathered: its book, its features, its learner."""

from collections.abc import Iterator
from dataclasses import fields
from typing import Any

import numpy as np

from querist.arrays import Ids
from querist.errors import UnmetNeedError
from querist.evidence.evidence import Evidence
from querist.evidence.needs import Features, Frame, Gradients, History, Labels, Need, Neighbours, Past, Refit, Sealed
from querist.evidence.plan import Plan, plan
from querist.evidence.provider import Model, Offer
from querist.evidence.view import View
from querist.labels.book import Book
from querist.labels.events import QUERY
from querist.labels.oracle import Query, SimulatedOracle
from querist.learners.base import Learner
from querist.learners.frozen import FrozenLearner
from querist.registry import describe
from querist.seeds import Seed
from querist.session.neighbours import NeighbourSource
from querist.session.refit import RefitSource
from querist.session.setting import NO_TARGETS, Setting
from querist.strategies.base import State, Strategy, card_of, flags_of


class Desk:
    """Plans what a strategy needs, and gathers exactly that.

    Args:
        setting: dataset and frozen features.
        learner: whose models provide outputs.
        book: the labels bought so far; read when evidence is gathered, not before.

    Raises:
        UnmetNeedError: the learner reads the features of an encoder that is not the setting's.
    """

    def __init__(self, setting: Setting, learner: Learner, book: Book) -> None:
        for part in _on_features(learner):
            # Now, and not in the first fit: by then somebody has labelled.
            if isinstance(refusal := setting.offers(part.features), str):
                raise UnmetNeedError(f"learner {describe(part)['name']!r} reads {part.features}, but {refusal}")
        self._setting, self._book = setting, book
        self._learner = LearnerSource(learner)
        self._neighbours = NeighbourSource(setting)
        self._refits = RefitSource(learner)
        self._plans: dict[tuple[Any, ...], Plan] = {}

    def plan(self, strategy: Strategy, state: State) -> Plan:
        """Return the plan of a strategy in a state.

        Raises:
            UnmetNeedError: nothing here provides a need; says why, source by source.
        """
        needs, wants = strategy.needs_at(state), strategy.wants_at(state)
        entry = (strategy, needs, wants, state.has_model)
        if entry not in self._plans:
            books = BookSource(oracle="oracle" in flags_of(strategy))
            model = self._learner if state.has_model else NoModel()
            again = self._refits if state.has_model else NoModel()
            sources = [books, self._setting, self._neighbours, again, model]
            self._plans[entry] = plan(f"strategy {card_of(strategy).name!r}", needs, sources, wants)
        return self._plans[entry]

    def asks_the_learner(self, chosen: Plan) -> bool:
        """Return whether a plan needs a model."""
        return bool(chosen.met_by(self._learner))

    def gather(self, chosen: Plan, model: Model | None, seed: Seed, candidates: Ids) -> Evidence:
        """Return the evidence about some candidates; `seed` is that of the fit which made the model."""
        labelled, labels = self._book.known()
        frames: dict[Frame, Ids] = {"candidates": candidates, "labelled": labelled}
        values: dict[Need[Any], Any] = {}
        views: dict[Frame, View] = {}
        for need, source in chosen.sources.items():
            if need.frame not in frames:
                frames[need.frame] = np.union1d(candidates, labelled)
            ids = frames[need.frame]
            if isinstance(need, Features):
                values[need] = self._setting.provide(need, ids)
            elif isinstance(need, Neighbours):
                values[need] = self._neighbours.provide(need, ids)
            elif isinstance(need, Refit):
                bought, rows = self._setting.view(labelled, labels), self._setting.view(ids)
                values[need] = self._refits.provide(bought, rows, seed)
            elif isinstance(source, BookSource):
                values[need] = self._known(need, ids)
            elif model is not None:
                if need.frame not in views:
                    views[need.frame] = self._setting.view(ids, labels if need.frame == "labelled" else None)
                values[need] = model.provide(need, views[need.frame])
        return Evidence(candidates, values, labelled=labelled, c=self._setting.dataset.c)

    def _known(self, need: Need[Any], ids: Ids) -> Any:
        match need:
            case Labels():
                return self._book.known()[1]
            case History():
                past = [asked for asked in self._book.asked if asked.purpose == QUERY]
                utilities = (None if asked.utility is None else np.array(asked.utility) for asked in past)
                return Past(tuple(np.array(asked.ids, dtype=np.int64) for asked in past), tuple(utilities))
            case _:
                dataset = self._setting.dataset
                answers = SimulatedOracle(dataset.labels, dataset.pool).answer(Query(ids))
                return np.fromiter(answers.values(), dtype=np.int64, count=len(ids))


class BookSource:
    """The session's own records as a source: labels that were bought, past picks, and for reference rules the truth."""

    name = "session"

    def __init__(self, oracle: bool) -> None:
        self._oracle = oracle

    def offers(self, need: Need[Any]) -> Offer | str:
        """Offer labels of the labelled frame and the history; sealed labels only to strategies flagged as oracles."""
        match need:
            case Labels():
                return Offer() if need.frame == "labelled" else "labels are known for the labelled frame only."
            case History():
                return Offer()
            case Sealed() if need.frame == "targets":
                return NO_TARGETS
            case Sealed() if self._oracle:
                return Offer("reads labels that were not bought: a reference, not a method")
            case Sealed():
                return "labels that were not bought are given only to strategies registered with the flag 'oracle'."
            case _:
                return "it keeps Labels and History only."


class LearnerSource:
    """A learner as a source."""

    def __init__(self, learner: Learner) -> None:
        self._learner = learner

    @property
    def name(self) -> str:
        return f"learner {describe(self._learner)['name']!r}"

    def offers(self, need: Need[Any]) -> Offer | str:
        """Pass the question on."""
        if need.frame == "targets":
            return NO_TARGETS
        if isinstance(need, Gradients) and need.frame == "all":
            return "gradients use true labels on labelled rows only: declare them on 'candidates' and on 'labelled'."
        return self._learner.offers(need)


class NoModel:
    """What stands in for the learner before there are labels."""

    name = "learner"

    def offers(self, need: Need[Any]) -> Offer | str:
        """Refuse, for nothing is trained yet."""
        return (
            "there is no model before the first labels. Start with a strategy that needs none, such as "
            "'random', 'typiclust' or 'k_center_greedy'."
        )


def _on_features(learner: Learner) -> Iterator[FrozenLearner]:
    """Yield the learners on frozen features among a learner and those it is made of."""
    if isinstance(learner, FrozenLearner):
        yield learner
    for field in fields(learner):  # pyright: ignore[reportArgumentType]
        if isinstance(value := getattr(learner, field.name), Learner):
            yield from _on_features(value)
