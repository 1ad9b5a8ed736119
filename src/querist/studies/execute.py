"""Running runs: a cohort of sessions in step, each on its own ledger, claimed so that no run is done twice."""

import json
import os
import platform
import traceback
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress

from querist.errors import StoreError, UsageError
from querist.labels.events import INITIAL, VALIDATION, Tuned
from querist.labels.ledger import Ledger
from querist.labels.oracle import SimulatedOracle
from querist.session.checkpoints import Keep
from querist.session.cohort import advance
from querist.session.session import Session
from querist.session.tracking.base import Tracker
from querist.studies.following import Followers
from querist.studies.plan import Run
from querist.studies.store import RunFolder, Store, complete, require_planned, write_json

COHORT = 32
"""Runs advanced in step by one process. More would share fits no better and hold more in memory."""


def execute(runs: Sequence[Run], store: Store, *, keep: Keep = "last", followers: Followers | None = None) -> list[Run]:
    """Bring runs to their end, continuing whatever is on record.

    Args:
        runs: of a plan.
        store: where they are kept.
        keep: which models stay beside a run, see `Session`; no record depends on it.
        followers: who hears of them; by default nothing but the lines beside each run.

    Returns:
        The runs another process holds at present.

    Raises:
        StoreError: the store cannot be written; what was recorded stays valid.
    """
    busy: list[Run] = []
    for start in range(0, len(runs), COHORT):
        busy += _cohort(runs[start : start + COHORT], store, keep, followers or Followers("study"))
    return busy


def _cohort(runs: Sequence[Run], store: Store, keep: Keep, followers: Followers) -> list[Run]:
    busy: list[Run] = []
    with ExitStack() as claims:
        sessions: dict[Session, tuple[Run, RunFolder]] = {}
        for run in runs:
            folder = store.run(run)
            if not claims.enter_context(folder.claim()):
                busy.append(run)
                continue
            try:
                tracker = followers.follow(run, folder, store)
                session = _open(run, folder, keep, _found_before(run, store), tracker)
            except StoreError:
                raise
            except Exception as error:  # a damaged ledger, a component's own code: it ends this run alone
                _fail(folder, error)
                continue
            if not complete(session.book, run):
                sessions[session] = (run, folder)
        try:
            _advance_all(sessions)
        finally:
            for session, (_, folder) in sessions.items():
                _telemetry(session, folder)
                session.news.close()
    return busy


def _open(run: Run, folder: RunFolder, keep: Keep, reference: Mapping[int, Tuned] | None, tracker: Tracker) -> Session:
    if not (folder.path / "spec.json").exists():
        write_json(folder.path / "spec.json", run.spec)
    session = session_of(run, folder.ledger, folder, keep, reference, tracker)
    require_planned(session.book, run)
    return session


def session_of(
    run: Run,
    ledger: Ledger,
    folder: RunFolder,
    keep: Keep,
    reference: Mapping[int, Tuned] | None = None,
    tracker: Tracker | None = None,
) -> Session:
    """Return the session of a run, on its own ledger or on another one.

    Args:
        run: of a plan.
        ledger: where it goes on.
        folder: where its models are.
        keep: what becomes of them.
        reference: settings that another run found, for those that take them over.
        tracker: who hears of it.
    """
    arm = run.arm
    return Session(
        arm.setting,
        learner=arm.learner,
        strategy=arm.strategy,
        initial=arm.strategy if arm.one_shot else arm.initial,
        seed=run.address,
        repeat=run.seed,
        validation=run.validation,
        ledger=ledger,
        spec=run.spec,
        folder=folder.path,
        keep=keep,
        reference=reference,
        tracker=tracker,
    )


def _found_before(run: Run, store: Store) -> Mapping[int, Tuned] | None:
    """Return the settings that a run takes over from the one with training seed 0; None if it finds its own.

    Raises:
        UsageError: that run is not finished; a study runs it first.
    """
    if (reference := run.reference) is None:
        return None
    book, folder = store.book(reference), store.run(reference)
    if not complete(book, reference):
        reason = f"it failed: {folder.error['message']}" if folder.error else "it is not finished"
        raise UsageError(
            f"this run takes over the settings that the run with training seed 0 found (reuse = true), but {reason}. "
            f"Its folder is {folder.path}. Run the study again once it can be finished."
        )
    return book.tuning


def _advance_all(sessions: dict[Session, tuple[Run, RunFolder]]) -> None:
    active = dict(sessions)
    truths = {id(s.setting): SimulatedOracle(s.setting.dataset.labels, s.setting.dataset.pool) for s in active}
    oracles = {session: run.oracle(truths[id(session.setting)]) for session, (run, _) in active.items()}
    while active:
        for session, (run, _) in active.items():
            session.aim(_wanted(session, run))
        for session, error in advance(list(active)).items():
            _fail(active.pop(session)[1], error)
        for session, (run, folder) in list(active.items()):
            if session.book.pending is not None:
                session.tell(oracles[session].answer(session.query))
            elif complete(session.book, run):
                (folder.path / "error.json").unlink(missing_ok=True)
                del active[session]


def _wanted(session: Session, run: Run) -> int | None:
    """How many labels the next query buys; 0 tests the last checkpoint, None goes on with the pending query."""
    book = session.book
    if book.pending is not None:
        return None
    if book.spent[VALIDATION] < run.validation or not book.spent[INITIAL]:
        return run.counts[0]
    if book.round + 1 < len(run.counts):
        return run.counts[book.round + 1] - run.counts[book.round]
    return 0


def _fail(folder: RunFolder, error: Exception) -> None:
    """Keep what went wrong beside the run; the other runs go on."""
    text = "".join(traceback.format_exception(error))
    write_json(folder.path / "error.json", {"type": type(error).__name__, "message": str(error), "traceback": text})


def _telemetry(session: Session, folder: RunFolder) -> None:
    """Append what a clock and a host decide; never compared, so neither a torn line nor a lost one does harm."""
    host = {"host": platform.node(), "pid": os.getpid(), "peak_mb": _peak_megabytes()}
    lines = [{"round": t.round, "step": t.step, "seconds": round(t.seconds, 6), **host} for t in session.timings]
    # A full disk is reported by what it keeps from being recorded, not by this.
    with suppress(OSError), (folder.path / "telemetry.jsonl").open("a", encoding="utf-8") as file:
        file.writelines(json.dumps(line) + "\n" for line in lines)


def _peak_megabytes() -> float | None:
    try:
        import resource
    except ImportError:  # not on Windows
        return None
    unit = 1024 if platform.system() != "Darwin" else 1024**2
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit, 1)
