"""The work a session asks for: fit, gather evidence, select, evaluate. Each job is a value that can run anywhere."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, TypeAlias

from querist.arrays import Ids
from querist.errors import LeakError
from querist.evidence.evidence import Evidence
from querist.evidence.provider import Fit, Model
from querist.learners.base import Learner
from querist.seeds import Key
from querist.session.evaluator import Evaluator
from querist.strategies.base import Scoring, Selection, Strategy, choose
from querist.strategies.composition import flags_of

CHUNK = 65_536
"""Rows of one evidence chunk: a strategy that scores rows one by one never sees more at once."""


@dataclass(frozen=True, eq=False)
class FitJob:
    """Fit the learner on what was labelled when a round began.

    ``back``: how many rounds before the present one; 0 is the present one. A model of an earlier round is fitted again
    where it is asked for, or where the next one starts from it, and is not at hand any more.
    """

    step: ClassVar = "fit"
    learner: Learner
    fit: Fit
    back: int = 0

    def run(self) -> Model:
        return self.learner.fit(self.fit)


@dataclass(frozen=True, eq=False)
class Chunks:
    """Evidence gathered chunk by chunk, from the start at every iteration: a selection may fail and be repeated."""

    gather: Callable[[Ids], Evidence]
    candidates: Ids

    def __iter__(self) -> Iterator[Evidence]:
        for start in range(0, len(self.candidates), CHUNK):
            yield self.gather(self.candidates[start : start + CHUNK])


@dataclass(frozen=True, eq=False)
class EvidenceJob:
    """Make the one pass over the pool. The result is lazy where the strategy can be streamed."""

    step: ClassVar = "evidence"
    gather: Callable[[Ids], Evidence]
    candidates: Ids
    streamed: bool

    def run(self) -> Evidence | Iterable[Evidence]:
        if not self.streamed or len(self.candidates) <= CHUNK:
            return self.gather(self.candidates)
        return Chunks(self.gather, self.candidates)


@dataclass(frozen=True, eq=False)
class SelectJob:
    """Let the strategy choose."""

    step: ClassVar = "select"
    strategy: Strategy
    evidence: Evidence | Iterable[Evidence]
    b: int
    key: Key

    def run(self) -> Selection:
        return choose(self.strategy, self.evidence, self.b, self.key)


@dataclass(frozen=True, eq=False)
class EvaluateJob:
    """Test a checkpoint whose query is sealed."""

    step: ClassVar = "evaluate"
    evaluator: Evaluator
    model: Model
    sealed: bool

    def run(self) -> Mapping[str, float]:
        if not self.sealed:
            raise LeakError("a checkpoint may be tested only after its query is sealed.")
        return self.evaluator.test(self.model)


Job: TypeAlias = FitJob | EvidenceJob | SelectJob | EvaluateJob


def timed(job: Job) -> tuple[Any, float]:
    """Return the result of a job and the seconds it took."""
    start = time.perf_counter()
    return job.run(), time.perf_counter() - start


def is_streamed(strategy: Strategy, needs: Iterable[Any]) -> bool:
    """Return whether a strategy can be given its candidates in chunks."""
    whole = one_by_one(strategy) or any(need.frame == "all" for need in needs)
    return isinstance(strategy, Scoring) and not whole


def one_by_one(strategy: Strategy) -> bool:
    """Return whether a strategy uses the answer to each item of a query before it asks for the next one."""
    return "sequential" in flags_of(strategy)
