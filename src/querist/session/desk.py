"""The desk where a session's evidence is planned and gathered: its book, its features, its learner."""

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from querist.arrays import Ids, Labels as LabelArray
from querist.errors import SpecError, UnmetNeedError
from querist.evidence.evidence import Evidence
from querist.evidence.needs import (
    Features,
    Frame,
    Gradients,
    History,
    Labels,
    Need,
    Neighbours,
    Past,
    PretrainTrace,
    Previous,
    Refit,
    Sealed,
)
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
from querist.session.refit import RefitSource, at_rest
from querist.session.setting import NO_TARGETS, Setting
from querist.strategies.base import State, Strategy, card_of
from querist.strategies.composition import flags_of, wrapped_by


@dataclass(frozen=True, eq=False)
class Fitted:
    """What a round looks at its rows with.

    Attributes:
        model: fitted when the round began; None if nothing asks for it.
        seed: that of the round's fit.
        previous: the model of the round before; None if nothing asks for it.
        start: the candidates when the round began, if they are asked for one by one. Outputs are then computed once,
            on these, so that they depend neither on how many were asked since nor on a kill.
    """

    model: Model | None
    seed: Seed
    previous: Model | None = None
    start: Ids | None = None


class Desk:
    """Plans what a strategy needs, and gathers exactly that.

    Args:
        setting: dataset and frozen features.
        learner: whose models provide outputs.
        book: the labels bought so far; read when evidence is gathered, not before.
        validation: whether a validation set is bought, which then is the frame ``targets``.

    Raises:
        UnmetNeedError: the learner reads the features of an encoder that is not the setting's.
    """

    def __init__(self, setting: Setting, learner: Learner, book: Book, *, validation: bool = False) -> None:
        for part in parts_of(learner):
            # Now, and not in the first fit: by then somebody has labelled.
            if isinstance(part, FrozenLearner) and isinstance(refusal := setting.offers(part.features), str):
                raise UnmetNeedError(f"learner {describe(part)['name']!r} reads {part.features}, but {refusal}")
            if part.searches and part is not learner:
                whole = describe(learner)["name"]
                raise SpecError(
                    f"learner {whole!r} is made of one that searches its settings, which would be noted nowhere. "
                    f"Search those of the whole: tuned({whole}(...), space={{...}}), a dot in the names of its parts."
                )
        self._setting, self._book, self._targets = setting, book, validation
        self._frozen = FrozenSource(setting, validation)
        self._learner = LearnerSource(learner, validation)
        self._before = PreviousSource(self._learner)
        self._neighbours = NeighbourSource(setting)
        self._refits, self._fitter = RefitSource(learner), learner
        self._plans: dict[tuple[Any, ...], Plan] = {}
        self._outputs: dict[Need[Any], tuple[Model, Ids, Any]] = {}

    def plan(self, strategy: Strategy, state: State) -> Plan:
        """Return the plan of a strategy in a state.

        Raises:
            UnmetNeedError: nothing here provides a need; says why, source by source.
        """
        needs, wants = strategy.needs_at(state), strategy.wants_at(state)
        entry = (strategy, needs, wants, state.has_model, state.round >= 1)
        if entry not in self._plans:
            books = BookSource("oracle" in flags_of(strategy), self._targets)
            models = (self._refits, self._learner) if state.has_model else (NoModel(),)
            earlier = self._before if state.round >= 1 else NoEarlierRound()
            sources = [books, self._frozen, self._neighbours, earlier, *models]
            self._plans[entry] = plan(f"strategy {card_of(strategy).name!r}", needs, sources, wants)
        return self._plans[entry]

    def require_items(self, *strategies: Strategy) -> None:
        """Raise `DataError` if the files of a strategy, or of one it wraps, are known to be of other items."""
        manifest = self._setting.dataset.manifest
        for strategy in strategies:
            if strategy.files:
                strategy.require_items(manifest.key_fingerprint, manifest.classes)
            self.require_items(*wrapped_by(strategy))

    def asks_the_learner(self, chosen: Plan) -> bool:
        """Return whether a plan needs a model, or the settings that are found when it is fitted."""
        return bool(chosen.met_by(self._learner) or (self._fitter.searches and chosen.met_by(self._refits)))

    def looks_back(self, chosen: Plan) -> bool:
        """Return whether a plan needs the model of the round before."""
        return bool(chosen.met_by(self._before))

    def gather(self, chosen: Plan, fitted: Fitted, candidates: Ids) -> Evidence:
        """Return the evidence about some candidates."""
        labelled, labels = self._book.known()
        targets, target_labels = self._book.known(validation=True)
        frames: dict[Frame, Ids] = {"candidates": candidates, "labelled": labelled, "targets": targets}
        bought: dict[Frame, LabelArray] = {"labelled": labels, "targets": target_labels}
        if fitted.start is None:
            self._outputs.clear()
        values: dict[Need[Any], Any] = {}
        views: dict[Frame, View] = {}

        def view(frame: Frame) -> View:
            if frame not in views:  # one view for all needs: a model remembers what it computed for one
                ids = frames[frame] if frame != "candidates" or fitted.start is None else fitted.start
                views[frame] = self._setting.view(ids, bought.get(frame))
            return views[frame]

        for need, source in chosen.sources.items():
            if need.frame not in frames:
                frames[need.frame] = np.union1d(candidates, labelled)
            ids = frames[need.frame]
            if isinstance(need, Features | PretrainTrace):
                values[need] = self._setting.provide(need, ids)
            elif isinstance(need, Neighbours):
                values[need] = self._neighbours.provide(need, ids)
            elif isinstance(need, Refit):
                rows = self._setting.view(labelled, labels), self._setting.view(ids)
                refits = RefitSource(at_rest(self._fitter, self._book.tuning, self._book.round))
                values[need] = refits.provide(*rows, fitted.seed)
            elif isinstance(source, BookSource):
                values[need] = self._known(need, ids)
            elif (model := fitted.previous if isinstance(need, Previous) else fitted.model) is not None:
                output = need.need.on(need.frame) if isinstance(need, Previous) else need
                if need.frame == "targets":  # rows whose labels are known, as a model sees it
                    output = output.on("labelled")
                if fitted.start is None:
                    values[need] = model.provide(output, view(need.frame))
                else:
                    values[need] = self._cut(need, output, model, view(need.frame), ids)
        return Evidence(candidates, values, labelled=labelled, targets=targets, c=self._setting.dataset.c)

    def _cut(self, need: Need[Any], output: Need[Any], model: Model, view: View, ids: Ids) -> Any:
        """Return an output for some rows of a view, computed once for all of them while model and view stay."""
        known = self._outputs.get(need)
        if known is None or known[0] is not model or not np.array_equal(known[1], view.ids):
            self._outputs[need] = known = model, view.ids, model.provide(output, view)
        whole = len(ids) == len(view)
        return known[2] if whole else output.cut(known[2], np.searchsorted(view.ids, ids))

    def _known(self, need: Need[Any], ids: Ids) -> Any:
        match need:
            case Labels():
                return self._book.known(validation=need.frame == "targets")[1]
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

    def __init__(self, oracle: bool, targets: bool) -> None:
        self._oracle, self._targets = oracle, targets

    def offers(self, need: Need[Any]) -> Offer | str:
        """Offer labels that were bought and the history; sealed labels only to strategies flagged as oracles."""
        match need:
            case Labels() if need.frame == "targets":
                return Offer("labels of the validation set, which are charged") if self._targets else NO_TARGETS
            case Labels():
                return Offer() if need.frame == "labelled" else "labels are known for the labelled frame only."
            case History():
                return Offer()
            case Sealed() if need.frame == "targets":
                return "labels of targets are never sealed: declare Labels(frame='targets'), and buy a validation set."
            case Sealed() if self._oracle:
                return Offer("reads labels that were not bought: a reference, not a method")
            case Sealed():
                return "labels that were not bought are given only to strategies registered with the flag 'oracle'."
            case _:
                return "it keeps Labels and History only."


class FrozenSource:
    """The frozen features of a setting as a source, those of the validation set included where there is one."""

    def __init__(self, setting: Setting, targets: bool) -> None:
        self._setting, self._targets = setting, targets

    @property
    def name(self) -> str:
        return self._setting.name

    def offers(self, need: Need[Any]) -> Offer | str:
        """Pass the question on."""
        known = self._targets and need.frame == "targets"
        return self._setting.offers(need.on("candidates") if known else need)


class LearnerSource:
    """A learner as a source."""

    def __init__(self, learner: Learner, targets: bool) -> None:
        self._learner, self._targets = learner, targets

    @property
    def name(self) -> str:
        return f"learner {describe(self._learner)['name']!r}"

    def offers(self, need: Need[Any]) -> Offer | str:
        """Pass the question on."""
        if need.frame == "targets" and not self._targets:
            return NO_TARGETS
        if isinstance(need, Gradients) and need.frame == "all":
            return "gradients use true labels on labelled rows only: declare them on 'candidates' and on 'labelled'."
        return self._learner.offers(need)


class PreviousSource:
    """The model of the round before as a source: what the learner offers, on today's rows."""

    name = "previous round"

    def __init__(self, learner: LearnerSource) -> None:
        self._learner = learner

    def offers(self, need: Need[Any]) -> Offer | str:
        """Offer `Previous` of whatever the learner offers on the frame of the need."""
        if not isinstance(need, Previous):
            return "it gives outputs of the round before only, as Previous(need=...)."
        offer = self._learner.offers(need.need.on(need.frame))
        return offer if isinstance(offer, Offer) else f"only outputs of the model are remembered: {offer}"


class NoEarlierRound:
    """What stands in for the round before in the first one."""

    name = "previous round"

    def offers(self, need: Need[Any]) -> Offer | str:
        """Refuse, for nothing came before."""
        return "there is none before round 1. Declare Previous in `needs_at`, where `state.round` is 1 or larger."


class NoModel:
    """What stands in for the learner before there are labels."""

    name = "learner"

    def offers(self, need: Need[Any]) -> Offer | str:
        """Refuse, for nothing is trained yet."""
        return (
            "there is no model before the first labels. Start with a strategy that needs none, such as "
            "'random', 'typiclust' or 'k_center_greedy'."
        )


def parts_of(learner: Learner) -> Iterator[Learner]:
    """Yield a learner and the learners among its settings, alone or in a list, and among theirs."""
    yield learner
    for field in fields(learner):  # pyright: ignore[reportArgumentType]
        value = getattr(learner, field.name)
        for part in value if isinstance(value, tuple) else (value,):
            if isinstance(part, Learner):
                yield from parts_of(part)
