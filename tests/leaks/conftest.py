"""A session with a spy at every door, and twins of a dataset that differ in what nobody may know."""

import sys
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from querist.arrays import Ids, SealedArray
from querist.data.dataset import Dataset
from querist.data.memory import ArrayItems, content_digest
from querist.encoders.base import Encoder, FittedEncoder, encoders
from querist.errors import LeakError
from querist.labels.book import Book
from querist.labels.oracle import SimulatedOracle
from querist.session.jobs import EvidenceJob, Job, SelectJob
from querist.session.session import Session
from querist.session.setting import Setting
from querist.testing.fakes import fake_dataset
from querist.testing.spy import RecordedEvidence, SpyItems, SpyKey, SpyOracle, global_rng_untouched, recording

READERS = (Path("labels", "oracle.py"), Path("session", "evaluator.py"))
"""The files that may break the seal of labels."""


class WatchedLabels(SealedArray):
    """Sealed labels that look who opens them."""

    def unseal(self):
        caller = Path(sys._getframe(1).f_code.co_filename)
        if Path(*caller.parts[-2:]) not in READERS:
            raise LeakError(f"labels were unsealed by {caller}.")
        return super().unseal()


def watched(encoder: Encoder, spy: SpyItems, test: Ids) -> Encoder:
    """Return an encoder that tells the spy when it fits and when it encodes."""

    class Watched(type(encoder)):
        def fit(self, pool, seed):
            assert not np.isin(spy.read(), test).any(), "test items were read before the encoder was fitted"
            with spy.during("fit encoder"):
                return WatchedFit(super().fit(pool, seed))

    class WatchedFit(FittedEncoder):
        def __init__(self, fitted):
            self.fitted = fitted

        def encode(self, view):
            with spy.during("encode"):
                return self.fitted.encode(view)

    made = object.__new__(Watched)
    made.__dict__.update(vars(encoder))
    return made


@dataclass
class Watch:
    """One session, run job by job with a spy at every door.

    Attributes:
        items: phases are ``fit encoder``, ``encode`` and the steps of jobs.
        evidence: what each selection was given.
        keys: the key of each selection.
        steps: every job in order.
    """

    dataset: Dataset
    arguments: dict[str, Any]
    features: Any = "pixels"
    evidence: list[RecordedEvidence] = field(default_factory=list)
    keys: list[SpyKey] = field(default_factory=list)
    steps: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.items = SpyItems(self.dataset.items)
        labels = WatchedLabels(self.dataset.labels.unseal())
        seen = replace(self.dataset, items=self.items, labels=labels)
        encoder = watched(encoders.build(self.features), self.items, seen.test)
        self.session = Session(Setting(seen, encoder), **self.arguments)
        self.oracle = SpyOracle(SimulatedOracle(self.dataset.labels, seen.pool))

    @property
    def book(self) -> Book:
        return self.session.book

    def play(self, *sizes: int) -> "Watch":
        """Buy so many labels, query by query, and test the last model."""
        for b in sizes:
            self.buy(b)
        self.work(0)
        return self

    def buy(self, b: int) -> None:
        """Buy the labels of one query, in as many asks as it takes."""
        finished = None
        while finished is None:
            self.work(b)
            finished = self.session.tell(self.oracle.answer(self.session.query))

    def work(self, b: int) -> None:
        self.session.aim(b)
        while (job := self.session.job()) is not None:
            self.steps.append(job.step)
            with self.items.during(job.step), global_rng_untouched():
                result = self._spied(job).run()
            self.session.deliver(job, result)

    def _spied(self, job: Job) -> Job:
        if isinstance(job, SelectJob):
            self.evidence.append(recording(job.evidence))
            self.keys.append(SpyKey(job.key.seed))
            return replace(job, evidence=self.evidence[-1], key=self.keys[-1])
        if isinstance(job, EvidenceJob):
            assert not np.isin(job.candidates, self.dataset.test).any()
        return job


def relabelled(dataset: Dataset, ids: Ids) -> Dataset:
    """Return a twin in which the labels of `ids` are others."""
    y = np.array(dataset.labels.unseal())
    y[ids] = (y[ids] + 1 + ids % (dataset.c - 1)) % dataset.c
    return replace(dataset, labels=SealedArray(y), label_fingerprint=content_digest(y))


def with_other_test(dataset: Dataset) -> Dataset:
    """Return a twin with other test items and other test labels."""
    x = np.array(dataset.items[np.arange(len(dataset.manifest))])
    x[dataset.test] = 50 - 3 * x[dataset.test][::-1]
    return replace(relabelled(dataset, dataset.test), items=ArrayItems(x))


def with_one_more_class(dataset: Dataset) -> Dataset:
    """Return a twin that declares a class no item belongs to."""
    return replace(dataset, manifest=replace(dataset.manifest, classes=(*dataset.classes, "the class of nothing")))


SIZES = (6, 5, 4)


@pytest.fixture(scope="session")
def dataset() -> Dataset:
    """Ninety pool items and thirty test items in three classes."""
    return fake_dataset()


@pytest.fixture
def watch(dataset: Dataset) -> Callable[..., Watch]:
    """Make a session under watch."""

    def watch(features: Any = "pixels", data: Dataset = dataset, **arguments: Any) -> Watch:
        return Watch(data, {"seed": 0, **arguments}, features)

    return watch


@pytest.fixture(scope="session")
def record() -> Callable[..., Book]:
    """Return the book of a session that nobody watches."""

    def record(data: Dataset, sizes: tuple[int, ...] = SIZES, features: Any = "pixels", **arguments: Any) -> Book:
        session = Session(Setting(data, features), **{"seed": 0, **arguments})
        oracle = SimulatedOracle(data.labels, data.pool)
        for b in sizes:
            finished = None
            while finished is None:  # a sequential strategy is asked item by item
                finished = session.tell(oracle.answer(session.ask(b)))
        session.conclude()
        return session.book

    return record


@pytest.fixture(scope="session")
def twins() -> SimpleNamespace:
    """Return makers of datasets that differ in what a pick must not depend on."""
    return SimpleNamespace(
        relabelled=relabelled, with_other_test=with_other_test, with_one_more_class=with_one_more_class
    )
