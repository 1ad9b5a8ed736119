"""The state machine behind a session: which job comes next, and what becomes of its result."""

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from querist.arrays import Ids, some
from querist.data.dataset import Dataset
from querist.encoders.base import Encoder
from querist.errors import BudgetError, EditedStudyError, LeakError, UnmetNeedError, UsageError
from querist.evidence.evidence import Evidence
from querist.evidence.provider import Fit, Model
from querist.kernels.certificate import Certificate
from querist.labels.book import Book
from querist.labels.events import INITIAL, QUERY, VALIDATION, Asked, Evaluated, Event, Opened, Tuned
from querist.labels.ledger import Ledger, MemoryLedger
from querist.learners.base import Learner, learners
from querist.seeds import Seed
from querist.session.checkpoints import Checkpoints, Keep
from querist.session.desk import Desk, Fitted, parts_of
from querist.session.jobs import EvaluateJob, EvidenceJob, FitJob, Job, SelectJob, is_streamed, one_by_one
from querist.session.models import Models
from querist.session.setting import Setting
from querist.session.tracking.base import Tracker
from querist.session.tracking.news import News
from querist.strategies.base import Selection, State, Strategy, card_of, strategies
from querist.strategies.composition import asking, identity_of, require_unlabelled, resolved

COLD = State(round=-1, n_labelled=0, has_model=False)
WARM = State(round=0, n_labelled=1, has_model=True)
LATER = State(round=1, n_labelled=2, has_model=True)


@dataclass(frozen=True)
class Timing:
    """Seconds one job took; telemetry, never part of a compared record."""

    round: int
    step: str
    seconds: float


class Machine:
    """Yields jobs towards a goal and takes their results; everything it knows is a replay of its ledger.

    `Session` documents the arguments.

    Attributes:
        certificate: how good the last query chosen here is, if its strategy can say; no part of the ledger.
    """

    def __init__(
        self,
        data: Dataset | Setting,
        *,
        learner: str | Mapping[str, Any] | Learner = "linear",
        strategy: str | Mapping[str, Any] | Strategy = "adaptive",
        initial: str | Mapping[str, Any] | Strategy | None = None,
        features: str | Mapping[str, Any] | Encoder = "pixels",
        seed: int | Seed = 0,
        repeat: int = 0,
        validation: int = 0,
        ledger: Ledger | None = None,
        spec: Mapping[str, Any] | None = None,
        folder: str | os.PathLike[str] | None = None,
        keep: Keep = "last",
        reference: Mapping[int, Tuned] | None = None,
        tracker: Tracker | None = None,
    ) -> None:
        self.setting = data if isinstance(data, Setting) else Setting(data, features)
        self.learner: Learner = learners.build(learner)
        self.strategy: Strategy = resolved(strategies.build(strategy), self.learner.trains_backbone)
        self.seed = seed if isinstance(seed, Seed) else Seed(seed).child(self.setting.dataset.name)
        self.repeat, self.validation = repeat, validation
        self.timings: list[Timing] = []
        self.news = News(tracker)
        self.certificate: Certificate | None = None
        self.ledger: Ledger = MemoryLedger() if ledger is None else ledger
        self.book = Book.replay(self.ledger)
        self._desk = Desk(self.setting, self.learner, self.book, validation=validation > 0)
        looks_back = foresee(self._desk, self.strategy)
        self.initial: Strategy = self._cold(initial)
        self._desk.require_items(self.strategy, self.initial)
        self._goal: int | None = None  # labels wanted of the next query; 0: only test the present checkpoint
        self._warm = any(part.warm_starts for part in parts_of(self.learner))
        kept = Checkpoints(folder, self.learner, keep)
        self._models = Models(kept, self.book, looks_back, self._loaded)
        self._reference = reference or {}
        self._evidence: Evidence | Iterable[Evidence] | None = None
        self._open(spec if spec is not None else self.spec)

    @property
    def dataset(self) -> Dataset:
        """What the session chooses from."""
        return self.setting.dataset

    @property
    def _model(self) -> Model | None:
        """The model of the present round, if it is at hand."""
        return self._models.get(self.book.round)

    @property
    def spec(self) -> dict[str, object]:
        """The full resolved specification of this session, as JSON values."""
        return {
            **self.setting.spec,
            "learner": self.learner.identity(),
            "strategy": identity_of(self.strategy),
            "initial": identity_of(self.initial),
            "seed": [self.seed.entropy, *self.seed.path],
            "repeat": self.repeat,
            "validation": self.validation,
        }

    @property
    def candidates(self) -> Ids:
        """Ids that may still be asked for, ascending."""
        return self._candidates_before(None)

    def _candidates_before(self, number: int | None) -> Ids:
        return np.setdiff1d(self.setting.dataset.pool, self.book.taken(before=number), assume_unique=True)

    def aim(self, b: int | None) -> None:
        """Set the goal that ``job`` works towards: a query of `b` items, or with 0 a test of the present checkpoint.

        Of a query that is pending, the next item that it asks singly; with 0 nothing but the test.
        """
        if self.book.pending is not None:
            b = 0 if b == 0 else 1
        else:
            if b is None:
                raise BudgetError("expected the number of items to label, got none. Call ask(b).")
            left = len(self.setting.dataset.pool) - len(self.book.labels) - len(self.book.declined)
            if not isinstance(b, int | np.integer) or isinstance(b, bool) or not 0 <= b <= left:
                raise BudgetError(f"Expected a budget between 1 and the {left} unlabelled items left, got {b}.")
        self._goal = b

    def job(self) -> Job | None:
        """Return the next job towards the goal, or None when it is reached."""
        if self._goal is None:
            return None
        pending = self.book.pending
        if self._goal > 0 and (pending is None or self.book.due):
            return self._towards_query()
        if pending is not None and pending.left:
            self._goal = None
            return None
        # The query is sealed (or none is wanted): now, and only now, the checkpoint that chose it may be tested.
        checkpoint = pending.round if pending is not None else self.book.round
        evaluator = self.setting.evaluator
        if checkpoint < 0 or checkpoint in self.book.evaluations or evaluator is None or not self._trained_on:
            self._goal = None
            self._models.leave()
            return None
        if (fit := self._towards_model(checkpoint)) is not None:
            return fit
        return EvaluateJob(evaluator, self._models[checkpoint], sealed=self._may_test)

    def deliver(self, job: Job, result: Any, seconds: float = 0.0) -> None:
        """Take the result of a job."""
        self.timings.append(Timing(self.book.round, job.step, seconds))
        self.news.worked(job.step, seconds)
        match job:
            case FitJob():
                self._audit(job)
                # Before the model is kept: with a model on disk nobody would search again to note what was found.
                self._note(self.book.round - job.back, job.learner, result)
                self._models.enter(self.book.round - job.back, result)
            case EvidenceJob():
                self._evidence = result
            case SelectJob():
                self._evidence = None
                self._seal(result)
            case EvaluateJob():
                if not (job.sealed and self._may_test):
                    raise LeakError("a checkpoint may be tested only after its query is sealed.")
                pending = self.book.pending
                checkpoint = pending.round if pending is not None else self.book.round
                count = self.book.count(before=checkpoint)
                self._append(Evaluated(checkpoint=checkpoint, n_labels=count, metrics=dict(result)))
                self.news.tested(checkpoint, count, len(self.dataset.pool), self.book, result)

    def _loaded(self, number: int, seconds: float) -> None:
        self.timings.append(Timing(number, "load", seconds))

    def _towards_query(self) -> Job:
        strategy, purpose, state = self._stage()
        chosen = self._desk.plan(strategy, state)
        number, looks_back = self.book.round, self._desk.looks_back(chosen)
        self._models.looks_back |= looks_back
        if not self._warm:
            self._models.settle()
        if looks_back and (fit := self._towards_model(number - 1)) is not None:
            return fit
        untested = state.has_model and state.round not in self.book.evaluations and self.setting.evaluator is not None
        if (untested or self._desk.asks_the_learner(chosen)) and (fit := self._towards_model(number)) is not None:
            return fit
        if self._evidence is None:
            start = self._candidates_before(number) if one_by_one(strategy) else None
            previous = self._models.get(number - 1) if looks_back else None
            fitted = Fitted(self._model, self._fit_seed(number), previous, start)
            gather = partial(self._desk.gather, chosen, fitted)
            return EvidenceJob(gather, self.candidates, is_streamed(strategy, chosen.sources))
        where = (purpose,) if purpose != QUERY else ("round", state.round, "select", card_of(strategy).name)
        if one_by_one(strategy):
            pending = self.book.pending
            where = (*where, "ask", 0 if pending is None else len(pending.ids))
        b, _ = self._portion(strategy, purpose)
        return SelectJob(strategy, self._evidence, b, self.seed.child(*where).key())

    def _stage(self) -> tuple[Strategy, str, State]:
        """What comes next: the validation set, the initial pool, or a query."""
        pending = self.book.pending
        if self.book.spent[VALIDATION] < self.validation:
            return strategies.build("random"), VALIDATION, COLD
        if not self._trained_on or (pending is not None and pending.purpose == INITIAL):
            return self.initial, INITIAL, COLD
        require_unlabelled(self.strategy, self._trained_on)
        c = self.setting.dataset.c
        return self.strategy, QUERY, State(round=self.book.round, n_labelled=self._trained_on, has_model=True, c=c)

    def _portion(self, strategy: Strategy, purpose: str) -> tuple[int, int]:
        """How many items are asked for now, and how many of the same query singly after them."""
        if purpose == VALIDATION:
            return self.validation - self.book.spent[VALIDATION], 0
        wanted = self.book.due or self._goal or 0
        return (1, wanted - 1) if one_by_one(strategy) else (wanted, 0)

    @property
    def _trained_on(self) -> int:
        return len(self.book.charged) - self.book.spent[VALIDATION]

    @property
    def _may_test(self) -> bool:
        """Whether the query that the present checkpoint chose is sealed, or none is wanted."""
        pending = self.book.pending
        return self._goal == 0 if pending is None else not pending.left

    def _towards_model(self, number: int) -> FitJob | None:
        """The next fit on the way to the model of a round; None if that model is at hand, or kept and so at hand now.

        A learner that starts warm goes through all rounds after the last one whose model is there.
        """
        first = number
        while not self._models.find(first):
            if first == 0 or not self._warm:
                return self._fit_job(self.book.round - first)
            first -= 1
        return None if first == number else self._fit_job(self.book.round - first - 1)

    def _fit_job(self, back: int = 0) -> FitJob:
        """The fit that a round began with; it is the same whatever of the round was answered since."""
        number = self.book.round - back
        ids, labels = self.book.known(before=number)
        held = self.book.known(validation=True)
        return FitJob(
            self._learner_of(number),
            Fit(
                labelled=self.setting.view(ids, labels),
                pool=self.setting.view(self._candidates_before(number)),
                seed=self._fit_seed(number),
                validation=self.setting.view(*held) if self.validation else None,
                warm=self._models.get(number - 1) if self._warm else None,
                folder=self._models.room(number),
                round=number,
            ),
            back,
        )

    def _learner_of(self, number: int) -> Learner:
        """What fits the model of a round: the learner with the settings that were found for it, here or elsewhere."""
        learner = self.learner.settled({**self._reference, **self.book.tuning}, number)
        if learner.reuses and self.repeat:
            raise UsageError(
                f"training seed {self.repeat} takes over the settings that were found with seed 0 (reuse = true), and "
                f"there are none for round {number}. Run seed 0 as far first, or set reuse = false."
            )
        return learner

    def _note(self, number: int, learner: Learner, model: Model) -> None:
        """Write down what a search for settings found and cost, or where they were taken from."""
        found = learner.found(model)
        if found is not None:
            self._append(Tuned(checkpoint=number, **found._asdict()))
        elif number in self._reference and number not in self.book.tuning:
            self._append(replace(self._reference[number], trials=0, fits=0, updates=0, reused=True))

    def _fit_seed(self, number: int) -> Seed:
        return self.seed.child("seed", self.repeat, "round", number, "fit")

    def _audit(self, job: FitJob) -> None:
        """Refuse a model that was fitted on labels nobody was charged for."""
        fit = job.fit
        if fit.pool.is_labelled:
            raise LeakError("a model was fitted with labels of the pool. Every label is bought through a query.")
        for view, validation in ((fit.labelled, False), (fit.validation, True)):
            ids, labels = self.book.known(validation, before=self.book.round - job.back)
            seen = (view.ids, view.labels) if view is not None else (ids[:0], labels[:0])
            if not (np.array_equal(seen[0], ids) and np.array_equal(seen[1], labels)):
                purpose = "validation" if validation else "training"
                raise LeakError(
                    f"a model was fitted with {len(seen[0])} labels for {purpose} that are not the {len(ids)} in the "
                    "book. Every label is bought through a query and charged."
                )

    def _seal(self, selection: Selection) -> None:
        strategy, purpose, state = self._stage()
        outside = ~np.isin(selection.ids, self.setting.dataset.pool)
        if outside.any():
            raise LeakError(f"a selection has ids outside the pool: {some(selection.ids[outside])}.")
        self.certificate = selection.certificate
        self._append(
            Asked(
                round=state.round,
                purpose=purpose,
                ids=tuple(selection.ids.tolist()),
                utility=None if selection.utility is None else tuple(selection.utility.tolist()),
                propensity=None if selection.propensity is None else tuple(selection.propensity.tolist()),
                reasons=selection.reasons if any(selection.reasons) else (),
                left=self._portion(strategy, purpose)[1],
            )
        )

    def _cold(self, initial: str | Mapping[str, Any] | Strategy | None) -> Strategy:
        """The strategy of the initial pool; given none, the session's own if it needs no model."""
        if initial is None:
            try:
                self._desk.plan(self.strategy, COLD)
            except UnmetNeedError:
                return strategies.build("random")
            return self.strategy
        built = resolved(strategies.build(initial), trains_backbone=False)
        self._desk.plan(built, COLD)
        return built

    def _open(self, spec: Mapping[str, Any]) -> None:
        spec = json.loads(json.dumps(spec))  # as a ledger gives it back
        if self.book.spec is None:
            self._append(Opened(spec=spec))
        elif differences := diff(self.book.spec, spec):
            raise EditedStudyError(
                "this ledger was opened with other settings:\n"
                + "\n".join(differences)
                + "\nUse another ledger for them."
            )

    def _append(self, event: Event) -> None:
        self.book.check(event)  # before it is written: a ledger with an impossible event could not be opened again
        self.ledger.append(event)
        self.book.apply(event)


def foresee(desk: Desk, strategy: Strategy) -> bool:
    """Plan every query there may be: now, and not when the round comes, for by then somebody has labelled.

    What a strategy wraps is planned by itself, too: of a schedule, a state shows only the stage that is active.

    Returns:
        Whether some query will look at its rows with the model of the round before.

    Raises:
        UnmetNeedError: nothing provides a need of some round; says why, source by source.
    """
    plans = [desk.plan(strategy, state) for state in (WARM, LATER)]
    within = [foresee(desk, part) for part in asking(strategy)]
    return any(map(desk.looks_back, plans)) or any(within)


def diff(old: Mapping[str, Any], new: Mapping[str, Any], path: str = "") -> list[str]:
    """Return one line per setting that differs: ``  strategy.beta: 1.0 -> 2.0``."""
    lines: list[str] = []
    for name in sorted({*old, *new}):
        before, after = old.get(name), new.get(name)
        if isinstance(before, Mapping) and isinstance(after, Mapping):
            lines += diff(before, after, f"{path}{name}.")
        elif before != after:
            lines.append(f"  {path}{name}: {before!r} -> {after!r}")
    return lines
