"""Trackers: who hears what a session measures as it happens, and the registry of those that have a name."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol

from querist.extras import require
from querist.progress import Value
from querist.registry import Card, Registry


class Tracker(Protocol):
    """Hears of one run. Nothing depends on it: it is no part of a specification, and when it fails the run goes on."""

    def log(self, event: str, values: Mapping[str, Value], step: int) -> None:
        """Take what was measured.

        Args:
            event: ``round`` when a checkpoint was tested; otherwise what a fit records, e.g. ``epoch`` or ``trial``.
            values: by name; numbers, and words such as the name of an optimiser.
            step: where it stands on the axis of its event: labels charged for ``round``, a running number for others.
        """
        ...

    def close(self) -> None:
        """Take notice that nothing more comes."""
        ...


@dataclass(frozen=True, kw_only=True)
class TrackedRun:
    """What a tracker is told about a run before it begins.

    Attributes:
        study: name of the study.
        name: of the run, for people: arm, pool and seed.
        identity: digest of the run.
        settings: its specification.
        folder: where trackers of the study keep their files.
    """

    study: str
    name: str
    identity: str
    settings: Mapping[str, Any]
    folder: Path

    @property
    def file_name(self) -> str:
        """The name of the run as part of a path: no two runs share it, on a file system of any kind."""
        plain = "".join(
            letter if letter.isascii() and (letter.isalnum() or letter in "-_.") else "_" for letter in self.name
        )
        return f"{plain[:100]}-{self.identity[:8]}"


class Tracking(ABC):
    """A way of tracking, configured: a frozen dataclass that opens one tracker per run, in whichever process runs it.

    ``extra`` and ``modules`` say what has to be installed.
    """

    registry: ClassVar["Registry[Any]"]
    card: ClassVar[Card[Any]]
    extra: ClassVar[str] = ""
    modules: ClassVar[tuple[str, ...]] = ()

    def check(self) -> None:
        """Raise `MissingExtraError` unless what this tracker needs is installed."""
        require(f"tracker {self.card.name!r}", self.extra, *self.modules)

    @abstractmethod
    def prepare(self, folder: Path, study: str) -> None:
        """Make what the trackers of a study share, once and before its runs are handed to processes."""

    @abstractmethod
    def open(self, run: TrackedRun) -> Tracker:
        """Return a tracker of one run."""


trackers: Registry[Tracking] = Registry("tracker", "querist.session.tracking")
Tracking.registry = trackers
register = trackers.register


def flat(settings: Mapping[str, Any], path: str = "") -> dict[str, Any]:
    """Return nested settings under dotted names, lists as they are.

    >>> flat({"learner": {"name": "linear"}, "pool": 0})
    {'learner.name': 'linear', 'pool': 0}
    """
    found: dict[str, Any] = {}
    for name, value in settings.items():
        found |= flat(value, f"{path}{name}.") if isinstance(value, Mapping) else {f"{path}{name}": value}
    return found


def numbers(event: str, values: Mapping[str, Value]) -> dict[str, float]:
    """Return the numbers among values as curves are named: ``epoch/loss``."""
    return {f"{event}/{name}": float(value) for name, value in values.items() if not isinstance(value, str)}
