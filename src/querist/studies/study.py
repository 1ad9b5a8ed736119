"""A study from its file to its tables: read, validate, run or continue, look."""

import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from io import BytesIO
from pathlib import Path

import pandas as pd

from querist.errors import LedgerError, StudyError
from querist.files import write_bytes
from querist.session.checkpoints import Keep
from querist.studies.following import Followers, Pace, pace_of
from querist.studies.launch import Tick, launch
from querist.studies.plan import StudyPlan, impossible, plan_study
from querist.studies.records import Records, collect_records
from querist.studies.spec import NAME, StudySpec, draft_study
from querist.studies.store import Store, complete


@dataclass(frozen=True, kw_only=True)
class ArmStatus:
    """How far one arm is.

    Attributes:
        runs: planned.
        finished: all checkpoints on record.
        started: some on record.
        failed: stopped with an error and not finished since.
        errors: their messages, each once.
    """

    arm: str
    runs: int
    finished: int
    started: int
    failed: int
    errors: tuple[str, ...] = ()


class Study:
    """One study in one store.

    Args:
        spec: what to run.
        store: where to keep it; nothing is written before `run`.
        source: what error messages call the study.
        fork: a second name under which changed settings are kept beside the old ones.
        progress: told about features being computed: items done, items in all.

    Raises:
        StudyError: every mistake of the study, together.
    """

    def __init__(
        self,
        spec: StudySpec,
        store: Store | str | os.PathLike[str],
        *,
        source: str = "study",
        fork: str | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> None:
        if fork is not None and not re.fullmatch(NAME, fork):
            raise StudyError(source, [f"--fork: expected a name of letters, digits and . _ -, got {fork!r}"])
        self.spec, self.fork = spec, fork
        self.store = store if isinstance(store, Store) else Store(store)
        self.plan: StudyPlan = plan_study(spec, source=source, fork=fork, cache=self.store.cache, progress=progress)

    @classmethod
    def read(
        cls,
        path: str | Path,
        store: Store | str | os.PathLike[str],
        *,
        sets: Sequence[str] = (),
        grids: Sequence[str] = (),
        fork: str | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> "Study":
        """Return the study of a TOML file, with overrides; see `read_study`.

        Raises:
            StudyError: every mistake, those of the file and those of what it asks for, together.
        """
        draft = draft_study(path, sets=sets, grids=grids)
        if draft.spec is None or draft.mistakes:
            raise StudyError(str(path), [*draft.mistakes, *(impossible(draft.spec) if draft.spec else [])])
        return cls(draft.spec, store, source=str(path), fork=fork, progress=progress)

    @property
    def name(self) -> str:
        """The name under which the store keeps it."""
        return self.fork or self.spec.study.name

    @property
    def folder(self) -> Path:
        """Where its tables and its report are."""
        return self.store.study(self.name)

    def run(
        self, *, workers: int = 1, tick: Tick | None = None, keep: Keep = "last", track: Sequence[str] = ()
    ) -> None:
        """Run or continue every run that is not finished, then write the tables.

        Args:
            workers: number of processes.
            tick: progress.
            keep: which models stay beside a run, of learners whose fits take more than moments.
            track: trackers that hear of every run as it goes on, by name; no part of the study.

        Raises:
            EditedStudyError: a stored arm has other settings now.
            StoreError: the store cannot be written; what was recorded stays valid.
            UnknownNameError, MissingExtraError: a tracker that does not exist, or is not installed.
        """
        followers = Followers(self.name, tuple(track))
        followers.check()
        self.store.enter(self.plan, self.name)
        frozen = {id(arm.setting): arm.setting for arm in self.plan.arms if not arm.learner.trains_backbone}
        for setting in frozen.values():
            _ = setting.features.computed  # once, before workers ask for it
        launch(
            self.plan,
            self.store,
            workers=workers,
            fork=self.fork,
            tick=tick,
            keep=keep,
            followers=followers.prepared(self.store),
        )
        self.write_tables()

    def status(self) -> list[ArmStatus]:
        """Return how far each arm is, in the order of the study."""
        return [self._status(arm.name) for arm in self.plan.arms]

    def paces(self) -> dict[str, Pace]:
        """Return how fast nets were trained, for every arm that trained one; what a clock says, no result."""
        folders = {
            arm.name: [self.store.run(run) for run in self.plan.runs if run.arm.name == arm.name]
            for arm in self.plan.arms
            if arm.learner.trains_backbone
        }
        found = {arm: pace_of(runs) for arm, runs in folders.items()}
        return {arm: pace for arm, pace in found.items() if pace is not None}

    @cached_property
    def missing(self) -> int:
        """Number of runs not finished when this was first asked."""
        return sum(status.runs - status.finished for status in self.status())

    def records(self) -> Records:
        """Return the tables of what is on record, complete or not."""
        return collect_records(self.plan, self.store)

    def write_tables(self) -> None:
        """Write ``rounds.parquet``, ``picks.parquet`` and ``telemetry.parquet`` beside the study.

        ``tuning.parquet`` is written too where the settings of a learner were searched.
        """
        records = self.records()
        for name in ("rounds", "picks", "telemetry"):
            write_bytes(self.folder / f"{name}.parquet", _parquet(getattr(records, name)))
        if len(records.tuning):
            write_bytes(self.folder / "tuning.parquet", _parquet(records.tuning))

    def _status(self, arm: str) -> ArmStatus:
        runs = [run for run in self.plan.runs if run.arm.name == arm]
        finished = started = 0
        errors: list[str] = []
        for run in runs:
            folder = self.store.run(run)
            try:
                book = self.store.book(run)
            except LedgerError as error:
                errors.append(f"{type(error).__name__}: {error}")
                continue
            if complete(book, run):
                finished += 1
            elif folder.error is not None:
                errors.append(f"{folder.error['type']}: {folder.error['message']}")
            elif book.asked:
                started += 1
        return ArmStatus(
            arm=arm, runs=len(runs), finished=finished, started=started, failed=len(errors),
            errors=tuple(dict.fromkeys(errors)),
        )  # fmt: skip


def _parquet(table: pd.DataFrame) -> bytes:
    buffer = BytesIO()
    table.to_parquet(buffer, index=False)
    return buffer.getvalue()
