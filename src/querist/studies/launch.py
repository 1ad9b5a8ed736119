"""Where runs execute: in this process, or in local worker processes. We write no scheduler."""

import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures.process import BrokenProcessPool
from functools import lru_cache
from threading import Event, Thread

from querist.session.checkpoints import Keep
from querist.studies.execute import execute
from querist.studies.following import Followers
from querist.studies.plan import Run, StudyPlan, plan_study
from querist.studies.spec import StudySpec
from querist.studies.store import RunFolder, Store

log = logging.getLogger(__name__)

Tick = Callable[[int, int], None]
"""Called with the number of checkpoints on record and the number planned."""

POLL = 0.3
"""Seconds between two looks at the ledgers or at a run that another process holds."""


def launch(
    plan: StudyPlan,
    store: Store,
    *,
    workers: int = 1,
    fork: str | None = None,
    tick: Tick | None = None,
    keep: Keep = "last",
    followers: Followers | None = None,
) -> None:
    """Run everything in a plan that is not on record yet.

    Runs held by another process are left to it; the call returns when they are done too, or takes them over if that
    process dies.

    Args:
        plan: a validated study.
        store: where it is kept.
        workers: number of processes; each uses one thread.
        fork: the fork the plan was made with.
        tick: progress.
        keep: which models stay beside a run.
        followers: who hears of the runs, beside the lines that each has.
    """
    with _watched(plan, store, tick):
        # Runs that take over settings come after those they take them from, which then are finished or have failed.
        for takes_over in (False, True):
            numbers = [i for i, run in enumerate(plan.runs) if (run.reference is not None) == takes_over]
            if workers > 1 and len(numbers) > 1:
                _in_processes(plan, store, min(workers, len(numbers)), fork, keep, followers, numbers)
            remaining: Sequence[Run] = [plan.runs[i] for i in numbers]
            while remaining := execute(remaining, store, keep=keep, followers=followers):
                time.sleep(POLL)


def progress(plan: StudyPlan, store: Store) -> tuple[int, int]:
    """Return how many checkpoints of a plan are on record, and how many there are."""
    return Watcher(plan, store).look()


class Watcher:
    """Progress as a view of the ledgers, so that it counts the work of other processes too."""

    def __init__(self, plan: StudyPlan, store: Store) -> None:
        self._open: dict[RunFolder, int] = {store.run(run): len(run.counts) for run in plan.runs}
        self.total = sum(self._open.values())
        self._done = 0

    def look(self) -> tuple[int, int]:
        """Return checkpoints on record and planned; finished runs are not read again."""
        partial = 0
        for folder, planned in list(self._open.items()):
            count = min(folder.checkpoints(), planned)
            if count == planned:
                self._done += self._open.pop(folder)
            else:
                partial += count
        return self._done + partial, self.total


class _watched:  # noqa: N801 - used as a `with` word
    def __init__(self, plan: StudyPlan, store: Store, tick: Tick | None) -> None:
        self._watcher, self._tick, self._stop = Watcher(plan, store), tick, Event()
        self._thread = Thread(target=self._loop, daemon=True)

    def __enter__(self) -> None:
        if self._tick:
            self._thread.start()

    def __exit__(self, *_: object) -> None:
        if self._tick:
            self._stop.set()
            self._thread.join()
            self._tick(*self._watcher.look())

    def _loop(self) -> None:
        while not self._stop.wait(POLL):
            assert self._tick is not None
            self._tick(*self._watcher.look())


def _in_processes(
    plan: StudyPlan,
    store: Store,
    workers: int,
    fork: str | None,
    keep: Keep,
    followers: Followers | None,
    numbers: Sequence[int],
) -> None:
    from joblib import Parallel, delayed, parallel_config

    document = plan.spec.model_dump_json()
    # Several shares per worker, so that one slow arm at the end does not leave the others idle.
    count = min(4 * workers, len(numbers))
    shares = [list(numbers[i::count]) for i in range(count)]
    try:
        with parallel_config("loky", inner_max_num_threads=1):
            jobs = (delayed(_share)(document, str(store.path), fork, keep, followers, share) for share in shares)
            Parallel(n_jobs=workers)(jobs)
    except BrokenProcessPool as error:
        log.warning("a worker process was killed; what is left is done in this one (%s)", error)


def _share(
    document: str, path: str, fork: str | None, keep: Keep, followers: Followers | None, numbers: list[int]
) -> None:
    """One worker's share: plans the study again, for neither datasets nor sealed labels travel between processes."""
    plan, store = _planned(document, path, fork)
    execute([plan.runs[i] for i in numbers], store, keep=keep, followers=followers)


@lru_cache(maxsize=1)
def _planned(document: str, path: str, fork: str | None) -> tuple[StudyPlan, Store]:
    store = Store(path)
    return plan_study(StudySpec.model_validate_json(document), fork=fork, cache=store.cache), store
