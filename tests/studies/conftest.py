"""A small dataset, a learner and strategies that exist for the tests of this folder only."""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from querist.data.dataset import Dataset, datasets
from querist.data.memory import from_arrays
from querist.evidence.needs import Probs
from querist.evidence.provider import Fit
from querist.learners.base import learners
from querist.strategies.base import Picks, Scoring, Strategy, strategies
from querist.studies.plan import StudyPlan, plan_study
from querist.studies.spec import parse_study
from querist.studies.study import Study
from querist.testing.fakes import FakeLearner, FakeModel, fake_dataset

ARRAYS = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32)


@dataclass(frozen=True, kw_only=True)
class Nearest(FakeLearner):
    """Nearest class mean, counting its fits."""

    fits: ClassVar[list[tuple[Any, ...]]] = []

    def fit(self, job: Fit) -> FakeModel:
        self.fits.append((job.seed.path, len(job.labelled)))
        return super().fit(job)


@dataclass(frozen=True, kw_only=True)
class Moody(Scoring):
    """Scores by the first class, unless it is told to fail."""

    needs: ClassVar = (Probs(),)
    broken: ClassVar[bool] = False

    def score(self, ev: Any):
        if self.broken and len(ev.labelled) >= 9:
            raise ArithmeticError("in a bad mood")
        return ev[Probs()][:, 0]


@dataclass(frozen=True, kw_only=True)
class Whole(Strategy):
    """Takes the first rows of the whole pool, in one shot."""

    def select(self, ev: Any, b: int, key: Any):
        return Picks(np.arange(b))


def toy() -> Dataset:
    """Ninety pool items and thirty test items in three clouds."""
    return fake_dataset()


def tiny(path: str = "", labels: str = "", classes: int = 2) -> Dataset:
    """Forty items without a test split; the settings are for tests of paths."""
    return from_arrays("tiny", ARRAYS, np.arange(40) % classes)


def unlabelled() -> Dataset:
    """Forty items of which three have no label."""
    y = np.arange(40) % 2
    y[[4, 9, 30]] = -1
    return from_arrays("unlabelled", ARRAYS, y, split=["test" if i >= 35 else "pool" for i in range(40)])


def split_toy(share: float = 0.5) -> Dataset:
    """Forty items, a share of them for testing."""
    return from_arrays("split_toy", ARRAYS, np.arange(40) % 2, test_share=share)


@pytest.fixture(scope="module", autouse=True)
def registered() -> None:
    """Register the components above, for one file."""
    for name, component in (("toy", toy), ("tiny", tiny), ("unlabelled", unlabelled), ("split_toy", split_toy)):
        datasets.register(name)(component)
    learners.register("nearest")(Nearest)
    strategies.register("moody")(Moody)
    strategies.register("whole", flags=("one_shot",))(Whole)


@pytest.fixture(autouse=True)
def _calm(monkeypatch) -> None:
    Nearest.fits.clear()
    monkeypatch.setattr(Moody, "broken", False)
    # What these tests are about does not depend on it, and a busy disk takes most of their time.
    monkeypatch.setattr("os.fsync", lambda handle: None)


BASE: dict[str, Any] = {
    "study": {
        "name": "toy-study", "dataset": "toy", "learner": "nearest", "strategy": ["random", "margin"],
        "initial": {"strategy": "random", "size": 5}, "pools": 2,
    },
    "budget": {"step": 4, "rounds": 2},
}  # fmt: skip


def document(**changes: Any) -> dict[str, Any]:
    """Return a study; ``study_pools=3`` changes a setting, ``budget={...}`` a table, None deletes."""
    made = deepcopy(BASE)
    for key, value in changes.items():
        table, _, setting = key.partition("_")
        if not setting:
            made[table] = value
        elif value is None:
            made.get(table, {}).pop(setting, None)
        else:
            made.setdefault(table, {})[setting] = value
    return {k: v for k, v in made.items() if v is not None}


@pytest.fixture
def plan() -> Callable[..., StudyPlan]:
    """Plan a study: ``plan(study_pools=3)``."""
    return lambda fork=None, **changes: plan_study(parse_study(document(**changes)), fork=fork)


@pytest.fixture
def study(tmp_path: Path) -> Callable[..., Study]:
    """Open a study in the store of the test: ``study(study_pools=3)``."""

    def study(store: Any = None, fork: str | None = None, **changes: Any) -> Study:
        return Study(parse_study(document(**changes)), store or tmp_path / "store", fork=fork)

    return study


@pytest.fixture
def make_document() -> Callable[..., dict[str, Any]]:
    """Return the document of a study."""
    return document
