"""Spies: they do what the real thing does and remember what was asked of them."""

import random
import sys
import tracemalloc
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from querist.arrays import Hashes, Ids, Rows
from querist.data.dataset import Items
from querist.evidence.evidence import Evidence
from querist.evidence.needs import Need
from querist.seeds import Key, Seed, Step

T = TypeVar("T")


class SpyItems:
    """Items that remember which ids were read, and in which phase.

    >>> from querist.data.memory import ArrayItems
    >>> spy = SpyItems(ArrayItems(np.zeros((5, 2))))
    >>> with spy.during("fit"):
    ...     _ = spy[np.array([3, 1])]
    >>> spy.read("fit"), spy.read("score")
    ([1, 3], [])
    """

    def __init__(self, items: Items) -> None:
        self._items, self._phase = items, ""
        self._read: dict[str, set[int]] = {}

    @property
    def fingerprint(self) -> str:
        return self._items.fingerprint

    def __len__(self) -> int:
        return len(self._items)

    def __getitem__(self, ids: Ids) -> npt.NDArray[Any]:
        self._read.setdefault(self._phase, set()).update(np.arange(len(self))[ids].ravel().tolist())
        return self._items[ids]

    @contextmanager
    def during(self, phase: str) -> Iterator[None]:
        """Book what is read inside under `phase`; phases nest, the innermost counts."""
        outer, self._phase = self._phase, phase
        try:
            yield
        finally:
            self._phase = outer

    def read(self, phase: str | None = None) -> list[int]:
        """Return the ids read in one phase (outside any: ``""``), or in all, ascending."""
        parts = self._read.values() if phase is None else [self._read.get(phase, set())]
        return sorted(set().union(*parts))


class _Query(Protocol):
    @property
    def ids(self) -> Ids: ...


class _Oracle(Protocol):
    def answer(self, query: Any) -> Mapping[int, int | None]: ...


class SpyOracle:
    """An oracle that passes queries on and remembers them.

    Attributes:
        asked: the ids of every query, in order.
    """

    def __init__(self, oracle: _Oracle) -> None:
        self._oracle = oracle
        self.asked: list[list[int]] = []

    def answer(self, query: _Query) -> Mapping[int, int | None]:
        """Return what the oracle answers."""
        self.asked.append(np.asarray(query.ids).tolist())
        return self._oracle.answer(query)


@dataclass(frozen=True)
class SpyKey(Key):
    """A key that remembers what was drawn from it and from its children.

    Attributes:
        hashed: the ids of every call of `hash` (and so of `uniform`).
        streams: the address of every generator handed out.
    """

    seed: Seed
    hashed: list[Ids] = field(default_factory=list, compare=False)
    streams: list[Seed] = field(default_factory=list, compare=False)

    def child(self, *steps: Step) -> "SpyKey":
        return SpyKey(self.seed.child(*steps), self.hashed, self.streams)

    def hash(self, ids: npt.NDArray[np.integer]) -> Hashes:
        self.hashed.append(np.array(ids, dtype=np.int64))
        return super().hash(ids)

    def generator(self) -> np.random.Generator:
        self.streams.append(self.seed)
        return super().generator()


class RecordedEvidence(Evidence):
    """Evidence that remembers which needs were read from it and from its parts, also in vain."""

    def __init__(self, evidence: Evidence, read: set[Need[Any]] | None = None) -> None:
        self.__dict__.update(vars(evidence))
        self.read: set[Need[Any]] = set() if read is None else read

    def __getitem__(self, need: Need[T]) -> T:
        self.read.add(need)
        return super().__getitem__(need)

    def cut(self, rows: Rows) -> "RecordedEvidence":
        return RecordedEvidence(super().cut(rows), self.read)


def recording(evidence: Evidence) -> RecordedEvidence:
    """Return the same evidence as one that remembers, in ``read``, which needs were read."""
    return RecordedEvidence(evidence)


@dataclass
class Peak:
    """How far memory rose above where it stood, in megabytes; final once the body is left."""

    megabytes: float = 0.0


@contextmanager
def peak_memory() -> Iterator[Peak]:
    """Measure the memory the body takes at its worst: numpy's by tracing and, on Linux, compiled code's as well."""
    peak = Peak()
    # Writing 5 sets the high-water mark of this process back to what is resident now.
    linux = _write(Path("/proc/self/clear_refs"), "5")
    before = _high_water() if linux else 0.0
    tracemalloc.start()
    try:
        yield peak
    finally:
        peak.megabytes = tracemalloc.get_traced_memory()[1] / 2**20
        tracemalloc.stop()
        if linux:
            peak.megabytes = max(peak.megabytes, _high_water() - before)


def _write(path: Path, text: str) -> bool:
    try:
        path.write_text(text)
    except OSError:
        return False
    return True


def _high_water() -> float:
    (line,) = [x for x in Path("/proc/self/status").read_text().splitlines() if x.startswith("VmHWM:")]
    return int(line.split()[1]) / 1024


@contextmanager
def global_rng_untouched() -> Iterator[None]:
    """Raise `AssertionError` if the body moved a global generator of Python, numpy or, once imported, torch."""
    before = _states()
    yield
    after = _states()
    moved = [name for name, state in before.items() if name in after and after[name] != state]
    if moved:
        raise AssertionError(
            f"the global random state of {' and '.join(moved)} was changed. Draw from the key or the seed instead."
        )


def _states() -> dict[str, object]:
    name, words, *rest = np.random.get_state()  # noqa: NPY002 - the legacy state is what must not change
    states: dict[str, object] = {"Python": random.getstate(), "numpy": (name, np.asarray(words).tobytes(), *rest)}
    if (torch := sys.modules.get("torch")) is not None:
        states["torch"] = torch.random.get_rng_state().numpy().tobytes()
        if torch.cuda.is_initialized():
            states["torch.cuda"] = [state.numpy().tobytes() for state in torch.cuda.get_rng_state_all()]
    return states
