"""The store: one folder of plain files a person can read, safe against kills and second processes."""

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from querist.errors import EditedStudyError, LedgerError
from querist.evidence.cache import Cache, FolderCache
from querist.files import refuse_write, write_bytes
from querist.labels.book import Book
from querist.labels.events import QUERY
from querist.labels.ledger import JsonlLedger
from querist.session.machine import diff
from querist.studies.plan import Run, StudyPlan

SCHEMA = 1


class RunFolder:
    """One run on disk: ``spec.json``, ``ledger.jsonl``, ``error.json`` if it failed.

    Never compared: ``telemetry.jsonl`` and ``metrics.jsonl``.

    ``models/round-003`` holds the model of a round where they are kept, ``fits/round-003`` what a fit keeps meanwhile.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def ledger(self) -> JsonlLedger:
        """The run's ledger, read and verified."""
        return JsonlLedger(self.path / "ledger.jsonl")

    @property
    def error(self) -> Mapping[str, str] | None:
        """Why the last attempt failed, if it did."""
        try:
            return json.loads((self.path / "error.json").read_bytes())
        except FileNotFoundError:  # asked for first, it could vanish in between: another process may have succeeded
            return None

    @contextmanager
    def claim(self) -> Iterator[bool]:
        """Hold the run for this process; yields False if another one does. A kill releases it.

        Raises:
            StoreError: the folder cannot be written.
        """
        lock = FileLock(self.path / "run.lock")
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            lock.acquire(blocking=False)
        except Timeout:
            yield False
            return
        except OSError as error:
            refuse_write(self.path, error)
        try:
            yield True
        finally:
            lock.release()

    def checkpoints(self) -> int:
        """Return how many checkpoints are on record, without verifying the ledger; for progress only."""
        try:
            return (self.path / "ledger.jsonl").read_bytes().count(b'{"event":"evaluated"')
        except FileNotFoundError:
            return 0


class Store:
    """Where studies and runs are kept.

    Args:
        path: a folder; made when first written to.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)

    @property
    def cache(self) -> Cache:
        """Arrays that can be recomputed: features."""
        return FolderCache(self.path / "cache")

    def run(self, run: Run) -> RunFolder:
        """Return the folder of a run."""
        return RunFolder(self.path / "runs" / run.digest)

    def book(self, run: Run) -> Book:
        """Return what is on record of a run.

        Raises:
            EditedStudyError: it bought other numbers of labels than the run plans.
            LedgerError: its ledger is damaged.
        """
        book = Book.replay(self.run(run).ledger)
        require_planned(book, run)
        return book

    def study(self, name: str) -> Path:
        """Return the folder of a study."""
        return self.path / "studies" / name

    def enter(self, plan: StudyPlan, name: str) -> None:
        """Write down what a study is, or check that it is still the same.

        New arms, more pools, more seeds and more rounds are welcome; a changed setting of an arm that is already stored
        would mix two experiments under one name.

        Raises:
            EditedStudyError: with the difference, and what to do.
            StoreError: the folder cannot be written.
        """
        path = self.study(name) / "study.json"
        stored = json.loads(path.read_text()) if path.exists() else {"schema": SCHEMA, "name": name, "arms": {}}
        current = {run.arm.name: _comparable(run) for run in reversed(plan.runs) if run.first == 0}
        edited: list[str] = []
        for arm, spec in current.items():
            if arm in stored["arms"] and (lines := diff(stored["arms"][arm], spec)):
                edited += [f"{arm}:", *lines]
        for run in plan.runs:
            with suppress(LedgerError):  # a damaged ledger stops its own run, when its turn comes
                self.book(run)
        if edited:
            raise EditedStudyError(
                f"the study {name!r} in {self.path} was run with other settings:\n" + "\n".join(edited) + "\n"
                "Undo the change, give the study another name, or keep both with --fork NEW_NAME."
            )
        table = plan.spec.study
        write_json(path, {
            **stored, "metric": table.metric, "rope": table.rope, "pools": table.pools, "seeds": table.seeds,
            "arms": {**stored["arms"], **current},
        })  # fmt: skip


def complete(book: Book, run: Run) -> bool:
    """Return whether every checkpoint of a run is on record."""
    return all(t in book.evaluations for t in range(len(run.counts)))


def require_planned(book: Book, run: Run) -> None:
    """Raise `EditedStudyError` if what was bought for a run differs from what the run plans."""
    steps = [after - before for before, after in zip(run.counts, run.counts[1:], strict=False)]
    for asked in book.asked:
        if asked.purpose == QUERY and asked.round < len(steps) and asked.size != steps[asked.round]:
            raise EditedStudyError(
                f"a stored run of {run.arm.name!r} bought {asked.size} labels in round {asked.round}, this study "
                f"plans {steps[asked.round]}. Use another --store, or keep both with --fork NEW_NAME."
            )


def write_json(path: Path, value: object) -> None:
    """Write a JSON file in one step: after a kill there is the old file or the new one.

    Raises:
        StoreError: the folder cannot be written.
    """
    write_bytes(path, json.dumps(value, indent=1, sort_keys=True).encode())


def _comparable(run: Run) -> dict[str, Any]:
    """What must not change under a study's name: the run's specification without its place in the design."""
    spec = {k: v for k, v in run.spec.items() if k not in ("pool", "seed", "fork")}
    return json.loads(json.dumps(spec))
