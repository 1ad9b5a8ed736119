"""Who follows the runs of a study: the lines beside each run always, and trackers that were asked for by name."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import partial
from statistics import median
from typing import NamedTuple

from querist.session.tracking.base import TrackedRun, Tracker, Tracking, trackers
from querist.session.tracking.lines import FILE, LineTracker, last_steps, read_lines
from querist.session.tracking.news import Later, Several, warn
from querist.studies.plan import Run
from querist.studies.store import RunFolder, Store

FOLDER = "tracking"
"""Where trackers keep the files of a study, in its folder."""


class Pace(NamedTuple):
    """How fast the nets of an arm were trained, as medians over all that is on record; telemetry, never compared.

    Attributes:
        images_per_second: of training, everything included.
        waiting: share of that time (0..1) in which the net was not at work.
    """

    images_per_second: float
    waiting: float


def pace_of(folders: Iterable[RunFolder]) -> Pace | None:
    """Return the pace of some runs, None if none of them trained a net."""
    lines = (line for folder in folders for line in read_lines(folder.path / FILE) if line.get("event") == "epoch")
    told = [tuple(line.get(name) for name in Pace._fields) for line in lines]
    if not (numbers := [pair for pair in told if None not in pair]):
        return None
    return Pace(*map(median, zip(*numbers, strict=True)))


@dataclass(frozen=True)
class Followers:
    """Trackers as names or compositions, which travel between processes; no part of a study or of any record.

    Attributes:
        study: the name under which the store keeps it.
        names: e.g. ``tensorboard`` or ``mlflow(uri='http://localhost:5000')``.
    """

    study: str
    names: tuple[str, ...] = ()
    _told: set[str] = field(default_factory=set, repr=False, compare=False)

    def check(self) -> None:
        """Raise if a tracker does not exist, has no such setting, or is not installed."""
        for name in self.names:
            _built(name).check()

    def prepared(self, store: Store) -> "Followers":
        """Make what trackers share, before any process opens one; return those that could."""
        able: list[str] = []
        for name in self.names:
            try:
                _built(name).prepare(store.study(self.study) / FOLDER, self.study)
            except Exception as error:  # a server that does not answer: no reason not to run a study
                warn(name, error, self._told)
            else:
                able.append(name)
        return Followers(self.study, tuple(able))

    def follow(self, run: Run, folder: RunFolder, store: Store) -> Tracker:
        """Return the tracker of a run; those with a name are opened when there is something to tell."""
        lines = folder.path / FILE
        about = TrackedRun(
            study=self.study, name=f"{run.arm.name} | pool {run.pool} | seed {run.seed}", identity=run.digest,
            settings=run.spec, folder=store.study(self.study) / FOLDER,
        )  # fmt: skip
        named = (Later(name, partial(_built(name).open, about)) for name in self.names)
        return Several(LineTracker(lines), *named, last=last_steps(lines), told=self._told)


def _built(name: str) -> Tracking:
    return trackers.build(name, "--track")
