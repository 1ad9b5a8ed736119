"""Stored sets of labels, evaluated: any learner trained on them and tested, without a query."""

import json
import logging
from collections.abc import Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from querist.arrays import Ids, Labels
from querist.data.memory import content_digest
from querist.errors import UnmetNeedError, UsageError
from querist.evidence.needs import Probs
from querist.evidence.provider import Fit
from querist.files import write_bytes
from querist.kernels.threads import single_threaded_blas
from querist.labels.book import Book
from querist.learners.base import Learner, learners
from querist.progress import tell
from querist.registry import describe, digest
from querist.seeds import Seed
from querist.session.checkpoints import remove
from querist.session.desk import Desk
from querist.session.setting import Setting

SCHEMA = 1
log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, eq=False)
class LabelSet:
    """Labels that somebody bought, and where they stand in a comparison.

    Attributes:
        arm: what chose them: an arm of a study, or a file.
        pool: number of the initial pool.
        seed: number of the training seed.
        checkpoint: number of the set among those of its arm, pool and seed.
        setting: the dataset they are of, and its features.
        ids: what to train on, ascending.
        labels: as they were answered.
        held: ids for validation, ascending; maybe none.
        held_labels: their labels.
        initial: how many of `ids` were bought before the first query.
        taken: what could not be bought any more, ascending: `ids`, `held`, and what nobody would label.
        address: randomness of the fit, without a trace of who chose the set.
    """

    arm: str
    pool: int
    seed: int
    checkpoint: int
    setting: Setting
    ids: Ids
    labels: Labels
    held: Ids
    held_labels: Labels
    initial: int
    taken: Ids
    address: Seed


class Source(Protocol):
    """Where sets of labels come from; a value that can be handed to another process."""

    def sets(self) -> list[LabelSet]:
        """Return the sets, always in the same order."""
        ...


@dataclass(frozen=True, eq=False)
class Evaluation:
    """One learner on one set of labels."""

    set: LabelSet
    learner: Learner

    @cached_property
    def key(self) -> str:
        """Digest of all that the result depends on; neither names nor paths are part of it."""
        one = self.set
        return digest([
            one.setting.spec, self.learner.identity(), [one.address.entropy, *one.address.path],
            *(content_digest(values) for values in (one.ids, one.labels, one.held, one.held_labels, one.taken)),
        ])  # fmt: skip

    def run(self, folder: Path | None = None) -> dict[str, float]:
        """Train, and return the test metrics.

        Args:
            folder: where a long fit may keep its progress.
        """
        one = self.set
        evaluator = one.setting.evaluator
        if evaluator is None:
            raise UsageError(f"{one.setting.dataset.name!r} has no test split, so nothing can be evaluated on it.")
        with single_threaded_blas():
            model = self.learner.fit(
                Fit(
                    labelled=one.setting.view(one.ids, one.labels),
                    pool=one.setting.view(np.setdiff1d(one.setting.dataset.pool, one.taken, assume_unique=True)),
                    seed=one.address,
                    validation=one.setting.view(one.held, one.held_labels) if len(one.held) else None,
                    folder=folder,
                )
            )
            return evaluator.test(model)


class Evaluations:
    """Results on record, one small file each, named by all that it depends on.

    Args:
        folder: made when first written to.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def read(self, one: Evaluation) -> dict[str, float] | None:
        """Return what is on record, None if nothing is."""
        try:
            stored = json.loads((self.folder / f"{one.key}.json").read_bytes())
            return stored["metrics"] if stored["schema"] == SCHEMA else None
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return None

    def make(self, one: Evaluation) -> dict[str, float]:
        """Evaluate and write it down; a fit that was interrupted goes on from where it was."""
        room = self.folder / "fits" / one.key
        metrics = one.run(room)
        record = {
            "schema": SCHEMA, "dataset": one.set.setting.dataset.name, "arm": one.set.arm, "pool": one.set.pool,
            "seed": one.set.seed, "checkpoint": one.set.checkpoint, "n_labels": len(one.set.ids) + len(one.set.held),
            "learner": one.learner.identity(), "metrics": metrics,
        }  # fmt: skip
        write_bytes(self.folder / f"{one.key}.json", json.dumps(record, indent=1, sort_keys=True).encode())
        remove(room)
        return metrics


def evaluate_all(
    source: Source, words: Sequence[str], folder: Path, *, workers: int = 1
) -> list[tuple[Evaluation, dict[str, float]]]:
    """Return every learner on every set, in this order of learners; what is on record is not evaluated again.

    Args:
        source: of the sets.
        words: learners, as names or compositions.
        folder: where results are kept.
        workers: number of processes; each uses one thread.

    Raises:
        UsageError: there are no sets, no test split, or a learner twice.
        UnmetNeedError: a learner does not go with the features, or gives no probabilities.
        StoreError: a result cannot be written; those before it are on record.
    """
    every = planned(source, tuple(words))
    record = Evaluations(folder)
    missing = [i for i, one in enumerate(every) if record.read(one) is None]
    total = len(every)
    tell("evaluating", total - len(missing), total)
    left = set(missing)
    if workers > 1 and len(missing) > 1:
        try:
            for number in _in_processes(source, tuple(words), folder, missing, workers):
                left.discard(number)
                tell("evaluating", total - len(left), total)
        except BrokenProcessPool as error:
            log.warning("a worker process was killed; what is left is done in this one (%s)", error)
    for number in sorted(left):
        if record.read(every[number]) is None:
            record.make(every[number])
        left.discard(number)
        tell("evaluating", total - len(left), total)
    return [(one, record.read(one) or record.make(one)) for one in every]


def planned(source: Source, words: Sequence[str]) -> list[Evaluation]:
    """Return what there is to evaluate, everything checked before anything is trained."""
    built = [learners.build(word, f"--learner {word}") for word in words]
    if len({digest(describe(learner)) for learner in built}) < len(built):
        raise UsageError(f"Expected different learners, got {', '.join(words)}; the same twice is often a mistake.")
    sets = source.sets()
    if not sets:
        raise UsageError("there are no sets of labels to evaluate.")
    for setting in {id(one.setting): one.setting for one in sets}.values():
        for learner in built:
            Desk(setting, learner, Book())  # refuses a learner that reads other features
            if isinstance(refusal := learner.offers(Probs()), str):
                raise UnmetNeedError(f"learner {describe(learner)['name']!r} cannot be tested: {refusal}")
            if not learner.trains_backbone:
                _ = setting.features.computed  # once, before workers ask for it
    return [Evaluation(one, learner) for learner in built for one in sets]


def _in_processes(
    source: Source, words: tuple[str, ...], folder: Path, numbers: Sequence[int], workers: int
) -> Iterator[int]:
    """Evaluate in worker processes, yielding the number of each that is done."""
    from joblib import Parallel, delayed, parallel_config

    with parallel_config("loky", inner_max_num_threads=1):
        parallel: Any = Parallel(n_jobs=min(workers, len(numbers)), return_as="generator_unordered")
        yield from parallel(delayed(_share)(source, words, str(folder), i) for i in numbers)


def _share(source: Source, words: tuple[str, ...], folder: str, number: int) -> int:
    """One evaluation in a worker, which builds the sets for itself: sealed labels do not travel between processes."""
    Evaluations(Path(folder)).make(_planned(source, words)[number])
    return number


@lru_cache(maxsize=1)
def _planned(source: Source, words: tuple[str, ...]) -> list[Evaluation]:
    return planned(source, words)


def split_off(ids: Ids, count: int, seed: Seed) -> tuple[Ids, Ids]:
    """Return `ids` without `count` of them, and those, both ascending: drawn by the seed and by the ids alone.

    Raises:
        UsageError: nothing would be left to train on.
    """
    if not 0 <= count < len(ids):
        raise UsageError(f"Expected fewer labels for validation than the {len(ids)} of the set, got {count}.")
    order = np.argsort(seed.key().hash(ids), kind="stable")
    return np.sort(ids[order[count:]]), np.sort(ids[order[:count]])
