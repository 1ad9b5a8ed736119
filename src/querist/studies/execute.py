"""Running runs: a cohort of sessions in step, each on its own ledger, claimed so that no run is done twice."""

import json
import os
import platform
import traceback
from collections.abc import Sequence
from contextlib import ExitStack, suppress

from querist.errors import StoreError
from querist.labels.events import INITIAL, VALIDATION
from querist.labels.oracle import SimulatedOracle
from querist.session.cohort import advance
from querist.session.session import Session
from querist.studies.plan import Run
from querist.studies.store import RunFolder, Store, complete, require_planned, write_json

COHORT = 32
"""Runs advanced in step by one process. More would share fits no better and hold more in memory."""


def execute(runs: Sequence[Run], store: Store) -> list[Run]:
    """Bring runs to their end, continuing whatever is on record.

    Returns:
        The runs another process holds at present.

    Raises:
        StoreError: the store cannot be written; what was recorded stays valid.
    """
    busy: list[Run] = []
    for start in range(0, len(runs), COHORT):
        busy += _cohort(runs[start : start + COHORT], store)
    return busy


def _cohort(runs: Sequence[Run], store: Store) -> list[Run]:
    busy: list[Run] = []
    with ExitStack() as claims:
        sessions: dict[Session, tuple[Run, RunFolder]] = {}
        for run in runs:
            folder = store.run(run)
            if not claims.enter_context(folder.claim()):
                busy.append(run)
                continue
            try:
                session = _open(run, folder)
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
    return busy


def _open(run: Run, folder: RunFolder) -> Session:
    if not (folder.path / "spec.json").exists():
        write_json(folder.path / "spec.json", run.spec)
    arm = run.arm
    session = Session(
        arm.setting,
        learner=arm.learner,
        strategy=arm.strategy,
        initial=arm.strategy if arm.one_shot else arm.initial,
        seed=run.address,
        repeat=run.seed,
        validation=run.validation,
        ledger=folder.ledger,
        spec=run.spec,
    )
    require_planned(session.book, run)
    return session


def _advance_all(sessions: dict[Session, tuple[Run, RunFolder]]) -> None:
    active = dict(sessions)
    oracles = {id(s.setting): SimulatedOracle(s.setting.dataset.labels, s.setting.dataset.pool) for s in active}
    while active:
        for session, (run, _) in active.items():
            session.aim(_wanted(session, run))
        for session, error in advance(list(active)).items():
            _fail(active.pop(session)[1], error)
        for session, (run, folder) in list(active.items()):
            if session.book.pending is not None:
                session.tell(oracles[id(session.setting)].answer(session.query))
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
