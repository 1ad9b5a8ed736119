"""What a session tells its trackers, and how it goes on when one of them fails."""

import logging
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import numpy as np

from querist.labels.book import Book
from querist.progress import Value, recording
from querist.session.tracking.base import Tracker

log = logging.getLogger(__name__)

ROUND = "round"
"""The event of a tested checkpoint; its step is the number of labels charged."""


class Several:
    """Passes everything on to other trackers. One that fails is left out from then on, with one warning.

    Args:
        trackers: the others.
        last: the last steps of the same run in an earlier process, by event; running numbers go on from there.
        told: names of trackers that were warned of already; given to many, there is one warning for all of them.
    """

    def __init__(self, *trackers: Tracker, last: Mapping[str, int] | None = None, told: set[str] | None = None) -> None:
        self._trackers = list(trackers)
        self._told: set[str] = set() if told is None else told
        self._last = {event: step for event, step in (last or {}).items() if event != ROUND}

    def log(self, event: str, values: Mapping[str, Value], step: int) -> None:
        step += self._last.get(event, 0)
        self._each(lambda tracker: tracker.log(event, values, step))

    def close(self) -> None:
        self._each(lambda tracker: tracker.close())

    def _each(self, call: Callable[[Tracker], None]) -> None:
        for tracker in list(self._trackers):
            try:
                call(tracker)
            except Exception as error:  # whatever a tracker raises: nothing depends on it
                self._trackers.remove(tracker)
                warn(getattr(tracker, "name", type(tracker).__name__), error, self._told)


def warn(name: str, error: Exception, told: set[str]) -> None:
    """Warn that a tracker is left out, unless this was told before."""
    if name not in told:
        told.add(name)
        log.warning("the tracker %s failed and is left out: %s: %s. Runs go on.", name, type(error).__name__, error)


class Later:
    """A tracker that is opened when the first event comes: a run that is finished already needs none.

    Args:
        name: what a warning calls it.
        open: makes the tracker.
    """

    def __init__(self, name: str, open: Callable[[], Tracker]) -> None:  # noqa: A002 - what it does
        self.name, self._open = name, open
        self._tracker: Tracker | None = None

    def log(self, event: str, values: Mapping[str, Value], step: int) -> None:
        if self._tracker is None:
            self._tracker = self._open()
        self._tracker.log(event, values, step)

    def close(self) -> None:
        if self._tracker is not None:
            self._tracker.close()


class News:
    """Tells a tracker of tested checkpoints, and of what is recorded while a job runs.

    Args:
        tracker: None hears nothing, and then nothing is prepared for it.
    """

    def __init__(self, tracker: Tracker | None) -> None:
        self._tracker = None if tracker is None else Several(tracker)
        self._count: Counter[str] = Counter()
        self._seconds: defaultdict[str, float] = defaultdict(float)

    def close(self) -> None:
        """Nothing more comes."""
        if self._tracker is not None:
            self._tracker.close()

    @contextmanager
    def heard(self, number: int) -> Iterator[None]:
        """Within the block, pass on what is recorded, under the number of its round."""
        tracker = self._tracker
        if tracker is None:
            yield
            return

        def pass_on(event: str, values: Mapping[str, Value]) -> None:
            self._count[event] += 1
            tracker.log(event, {ROUND: number, **values}, self._count[event])

        with recording(pass_on):
            yield

    def worked(self, step: str, seconds: float) -> None:
        """Note what a job took, for the news of its round."""
        self._seconds[step] += seconds

    def tested(self, number: int, count: int, pool: int, book: Book, metrics: Mapping[str, float]) -> None:
        """Tell of a tested checkpoint.

        Args:
            number: of the checkpoint.
            count: labels charged when it was fitted.
            pool: items that can be bought.
            book: of the session.
            metrics: of the test.
        """
        if self._tracker is not None:
            _, labels = book.known(before=number)
            share = np.bincount(labels) / max(1, len(labels))
            share = share[share > 0]
            values: dict[str, Value] = {
                "checkpoint": number, "labels": count, "trained_on": len(labels), "unlabelled": pool - count,
                "classes_seen": len(share), "class_entropy": float(-(share * np.log(share)).sum()), **metrics,
                **{f"seconds_{step}": round(seconds, 6) for step, seconds in self._seconds.items()},
            }  # fmt: skip
            self._tracker.log(ROUND, values, count)
        self._seconds.clear()
