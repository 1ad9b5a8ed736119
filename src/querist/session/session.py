"""Ask and tell: one active-learning loop as a state machine of jobs over a ledger."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from querist.analysis.forecast import Forecast, forecast
from querist.arrays import Ids, Labels
from querist.errors import BudgetError, DataError, UsageError
from querist.labels.events import INITIAL, QUERY, Answered, Asked
from querist.labels.oracle import Query
from querist.session.answers import read_answers
from querist.session.jobs import timed
from querist.session.machine import Machine
from querist.session.outlook import LEAST, outlook, standings
from querist.session.refit import at_rest


@dataclass(frozen=True, eq=False)
class Round:
    """A query that was answered.

    Attributes:
        round: its number; -1 for what is bought before the first model.
        purpose: what its labels were bought for.
        ids: what was labelled, in pick order, without declined items.
        labels: the answers.
        n_labels: labels charged so far, whatever for.
        metrics: test metrics of the model that chose the query; empty without a model or a test split.
    """

    round: int
    purpose: str
    ids: Ids
    labels: Labels
    n_labels: int
    metrics: Mapping[str, float]


class Session(Machine):
    """One active-learning loop.

    ``ask`` returns what to label, ``tell`` takes the answers; both may stop at any time and continue from the ledger.

    >>> from querist.data.digits import digits
    >>> data = digits()
    >>> session = Session(data, learner="linear", strategy="margin", seed=0)
    >>> query = session.ask(20)
    >>> round = session.tell({i: 0 for i in query.ids.tolist()})
    >>> round.n_labels
    20

    Args:
        data: a dataset, or a `Setting` shared with other sessions.
        learner: what turns labels into a model; name, composition or object.
        strategy: what chooses queries.
        initial: what chooses before there is a model; by default the strategy itself if it can, otherwise random.
        features: the encoder, unless `data` is a setting.
        seed: an integer, or the address of this session in a larger design.
        repeat: the training seed; changes fits and data order, not the split or the initial pool.
        validation: number of random labels bought for validation before anything else.
        ledger: where events go; in memory by default.
        spec: the full specification this ledger is of, if it is more than the session's own.
        folder: where models of learners that take long are kept as they are fitted, and where a fit keeps its progress,
            so that a session that is opened again with the same ledger goes on from there. No record depends on it.
        keep: which models stay there: the ``last``, ``all``, or ``none``; ``read`` takes what is there and writes
            nothing.
        reference: settings found by the session with training seed 0, by checkpoint, for a learner that reuses them.
        tracker: hears of every tested checkpoint and of what a fit records, as it happens; one that fails is left out.

    Raises:
        UnmetNeedError: strategy and learner do not go together; says what is missing.
        EditedStudyError: the ledger was opened with another specification.
    """

    def ask(self, b: int | None = None) -> Query:
        """Return what to label next; the same query again until every item of it is answered.

        A strategy flagged ``sequential`` uses each answer before it asks for the next item: a query of `b` items is
        asked one by one, without another fit in between, and each ``ask`` returns one of them.

        Args:
            b: how many items; may be left out while a query is waiting for answers or has items left to be asked.

        Raises:
            BudgetError: `b` is missing, below 1 or above what is left of the pool.
        """
        if b == 0 and self.book.pending is None:
            raise BudgetError("Expected a budget of 1 or larger, got 0. To test the present model, call conclude().")
        self.aim(b if self.book.pending is None else None)
        self._work()
        return self.query

    def tell(self, answers: Mapping[Any, Any]) -> Round | None:
        """Take answers; labels are class numbers or class names, None declines an item.

        Returns:
            The finished round, or None while items of the query still wait, or are still to be asked one by one;
            ``ask`` returns those.

        Raises:
            DataError: an id that was not asked for, or a label that is no declared class.
        """
        pending = self.book.pending
        if pending is None or self.book.due:
            raise DataError("tell: no query is waiting for answers. Call ask first.")
        given = read_answers(answers, self.setting.dataset.classes, "tell")
        if stray := sorted(given.keys() - set(self.book.unanswered)):
            raise DataError(f"tell: ids {stray[:5]} are not among the {len(self.book.unanswered)} items being asked.")
        ids = tuple(i for i in self.book.unanswered if i in given)
        if not ids:
            return None
        # After a kill the checkpoint that chose this query may be untested; its test stands before the answers.
        self.aim(0)
        self._work()
        labels = tuple(given[i] for i in ids)
        self._append(Answered(round=pending.round, purpose=pending.purpose, ids=ids, labels=labels))
        if self.book.pending is not None:
            return None
        self._evidence = None
        return self._finished(pending)

    def adopt(self, answers: Mapping[Any, Any]) -> Round | None:
        """Enter labels that exist already, before anything is asked; they are charged as the initial pool.

        Raises:
            DataError: something was asked before, an id is not in the pool, or a label is no declared class.
        """
        ids = np.array(sorted(read_answers(answers, self.setting.dataset.classes, "adopt")), dtype=np.int64)
        if self.book.asked:
            raise DataError("adopt: labels that exist already are entered before the first ask, not later.")
        if stray := np.setdiff1d(ids, self.setting.dataset.pool).tolist():
            raise DataError(f"adopt: ids {stray[:5]} are not in the pool.")
        if not len(ids):
            return None
        self._append(Asked(round=-1, purpose=INITIAL, ids=tuple(ids.tolist())))
        return self.tell(answers)

    def conclude(self) -> Mapping[str, float]:
        """Fit and test the present checkpoint without asking for more; return its metrics."""
        self.aim(0)
        self._work()
        done = self.book.evaluations.get(self.book.round)
        return done.metrics if done else {}

    def forecast(self, horizon: int = 100) -> Forecast:
        """Return what the next labels will bring, as it could be told when the present model was fitted.

        `querist.analysis.forecast.advise` makes advice of two of these. It costs eleven fits and changes nothing.

        Args:
            horizon: labels to come.

        Raises:
            UnmetNeedError: the learner trains a backbone, or gives no probabilities.
            UsageError: fewer than 10 labels, or nothing left to label.
        """
        found = standings(self.ledger, self.setting.dataset.pool)
        if not found:
            raise UsageError(f"a forecast needs at least {LEAST} labels, got none. Call ask and tell first.")
        learner = at_rest(self.learner, self.book.tuning, found[-1].checkpoint)
        return forecast(outlook(self.setting, learner, found[-1], self.seed, self.repeat), horizon)

    @property
    def query(self) -> Query:
        """The items of the sealed query that still wait for an answer."""
        pending = self.book.pending
        if pending is None:
            raise BudgetError("no query is waiting. Call ask(b) with the number of items to label.")
        if self.book.due:
            raise BudgetError(f"{self.book.due} items are still to be asked one by one. Call ask() for the next one.")
        ids = self.book.unanswered
        reasons = dict(zip(pending.ids, pending.reasons, strict=False))
        words = tuple(reasons.get(i, "") for i in ids)
        return Query(np.array(ids, dtype=np.int64), pending.round, pending.purpose, words)

    def _work(self) -> None:
        while (job := self.job()) is not None:
            with self.news.heard(self.book.round):
                done = timed(job)
            self.deliver(job, *done)

    def _finished(self, asked: Asked) -> Round:
        ids = np.array([i for i in asked.ids if i in self.book.labels], dtype=np.int64)
        labels = np.array([self.book.labels[i] for i in ids.tolist()], dtype=np.int64)
        tested = self.book.evaluations.get(asked.round) if asked.purpose == QUERY else None
        metrics = tested.metrics if tested else {}
        return Round(asked.round, asked.purpose, ids, labels, len(self.book.charged), metrics)
