"""A toy to look at strategies with: points of a plane in four classes, and what a strategy picks of them."""

from dataclasses import dataclass
from functools import lru_cache
from typing import cast

import numpy as np

from querist.arrays import Array, Ids, Labels
from querist.data.manifest import LEFT_OUT, POOL
from querist.data.memory import from_arrays
from querist.errors import UnmetNeedError
from querist.evidence.needs import Probs
from querist.evidence.provider import Fit, Model
from querist.labels.oracle import SimulatedOracle
from querist.learners.base import learners
from querist.seeds import Seed
from querist.session.jobs import FitJob
from querist.session.session import Session
from querist.session.setting import Setting
from querist.strategies.base import Strategy, card_of
from querist.strategies.composition import flags_of

BUDGETS = (4, 12, 36, 100)
"""Labels after each query."""
CLASSES = ("A", "B", "C", "D")
LETTERS = (("A", 0.36, 0.74), ("B", 0.58, 0.14), ("C", 0.31, 0.90), ("C", 0.73, 0.07), ("D", 0.92, 0.88))
"""Where the name of a class is written: beside its points."""
LEARNERS = ("linear", "committee(members=100)")
"""Learners that are tried, the first that offers what a strategy needs is taken."""

BUMPS, WIDTH = 7, 0.16
"""Features of a point: how near it is to the centres of a grid of bumps, and how wide these are; the plane is 1 x 1."""
GRID = 48
"""Points along each side at which the model is asked what it thinks."""


@dataclass(frozen=True, eq=False)
class Toy:
    """Points of a plane as a dataset.

    Attributes:
        setting: the dataset: `pool` points to choose from, and behind them ``GRID * GRID`` points that nobody labels.
        plane: ``(N, 2)`` where every row lies, in 0..1.
        labels: ``(n,)`` true classes of the pool.
    """

    setting: Setting
    plane: Array
    labels: Labels

    @property
    def pool(self) -> Ids:
        """What can be picked."""
        return self.setting.dataset.pool

    @property
    def grid(self) -> Ids:
        """The points that show what a model thinks, row by row of the plane from below."""
        return np.arange(len(self.pool), len(self.plane))


@dataclass(frozen=True, kw_only=True, eq=False)
class Stage:
    """One query.

    Attributes:
        before: ids labelled before it, in the order they were bought.
        picks: ids it asks for, in order.
        reasons: why, one per pick; may be empty.
        regions: ``(c, GRID, GRID)`` by how much each class is likelier than all others under the model of the labels
            before, on `Toy.grid`: above 0 where the model says this class. None while there are no labels.
        looked: whether the strategy asked for that model.
    """

    before: Ids
    picks: Ids
    reasons: tuple[str, ...]
    regions: Array | None
    looked: bool


@dataclass(frozen=True, kw_only=True, eq=False)
class Shown:
    """What a strategy picks of the toy.

    Attributes:
        learner: what turned labels into models.
        first: name of what chose the first query.
        stages: one per budget.
    """

    learner: str
    first: str
    stages: tuple[Stage, ...]


@lru_cache(maxsize=1)
def toy() -> Toy:
    """Return the toy: always the same one."""
    plane, labels = _points()
    side = (np.arange(GRID) + 0.5) / GRID
    grid = np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2)
    every = np.concatenate([plane, grid])
    centre = np.linspace(0.0, 1.0, BUMPS)
    bumps = np.stack(np.meshgrid(centre, centre), axis=-1).reshape(-1, 2)
    gap = np.square(every[:, None] - bumps).sum(axis=2)
    x = np.exp(-gap / (2 * WIDTH**2)).astype(np.float32)
    split = [POOL] * len(plane) + [LEFT_OUT] * len(grid)
    unknown = np.full(len(grid), -1)
    data = from_arrays("toy", x, np.concatenate([labels, unknown]), split=split, classes=CLASSES)
    return Toy(Setting(data), every, labels)


def show(strategy: Strategy, on: Toy | None = None) -> Shown:
    """Return what a strategy picks at every budget, with the first of `LEARNERS` that offers what it needs.

    A strategy that selects a whole budget at once starts afresh for each. The first query is chosen by the strategy
    itself if it can, otherwise at random.

    Raises:
        UnmetNeedError: no learner of the list offers what it needs; says what the last one lacks.
        QueristError: whatever else it raises on the toy.
    """
    on = on or toy()
    session = _open(strategy, on)
    flags = flags_of(session.strategy)
    stages: list[Stage] = []
    for budget in BUDGETS:
        if "one_shot" in flags:
            session = _open(strategy, on)
        stages.append(_stage(session, on, budget - len(session.book.labels)))
    return Shown(learner=session.learner.card.name, first=card_of(session.initial).name, stages=tuple(stages))


def _open(strategy: Strategy, on: Toy) -> Session:
    refused: UnmetNeedError | None = None
    for learner in LEARNERS:
        try:
            return Session(on.setting, learner=learners.build(learner), strategy=strategy)
        except UnmetNeedError as error:
            refused = error
    raise refused or UnmetNeedError("there is no learner to try.")


def _stage(session: Session, on: Toy, b: int) -> Stage:
    """Ask for b items and answer, all at once or one by one as the strategy would have it."""
    before, model = _bought(session), cast("Model | None", None)
    reasons: list[str] = []
    finished = None
    while finished is None:
        session.aim(b)
        while (job := session.job()) is not None:
            result = job.run()
            if isinstance(job, FitJob) and not job.back:
                model = cast("Model", result)
            session.deliver(job, result)
        query = session.query
        reasons += query.reasons
        finished = session.tell(SimulatedOracle(on.setting.dataset.labels, on.pool).answer(query))
    after = _bought(session)
    looked = model is not None
    if model is None and len(before):
        model = _fitted(session, on, before)
    return Stage(
        before=before, picks=after[len(before) :], reasons=tuple(reasons),
        regions=None if model is None else _regions(model, on), looked=looked,
    )  # fmt: skip


def _bought(session: Session) -> Ids:
    """Every label in the order it was asked for."""
    parts = [np.array(asked.ids, dtype=np.int64) for asked in session.book.asked]
    return np.concatenate([np.empty(0, np.int64), *parts])


def _fitted(session: Session, on: Toy, ids: Ids) -> Model:
    """The model of these labels, which the strategy did not ask for."""
    labelled = on.setting.view(ids, on.labels[ids])
    return session.learner.fit(Fit(labelled=labelled, pool=on.setting.view(on.pool), seed=session.seed.child("shown")))


def _regions(model: Model, on: Toy) -> Array:
    p = np.asarray(model.provide(Probs(), on.setting.view(on.grid))).T.reshape(-1, GRID, GRID)
    first, second = np.sort(p, axis=0)[:-3:-1]
    return p - np.where(p == first, second, first)


def _points() -> tuple[Array, Labels]:
    """Two crescents that reach into one another, a class in two places, a rare class, and a few strays."""
    rng = Seed(0).child("toy").generator()

    def crescent(n: int, centre: tuple[float, float], start: float) -> Array:
        angle = start + np.pi * rng.random(n)
        rim = 0.26 * np.stack([np.cos(angle), np.sin(angle)], axis=1)
        return np.array(centre) + rim + rng.normal(scale=0.032, size=(n, 2))

    def blob(n: int, centre: tuple[float, float], spread: float) -> Array:
        return np.array(centre) + rng.normal(scale=spread, size=(n, 2))

    parts = [
        (0, crescent(150, (0.36, 0.42), 0.0)), (1, crescent(150, (0.58, 0.50), np.pi)),
        (2, blob(70, (0.17, 0.84), 0.055)), (2, blob(50, (0.86, 0.16), 0.045)),
        (3, blob(18, (0.84, 0.80), 0.025)), (3, blob(4, (0.60, 0.86), 0.02)),
        (0, rng.random((4, 2))), (1, rng.random((4, 2))),
    ]  # fmt: skip
    plane = np.concatenate([points for _, points in parts]).clip(0.02, 0.98)
    labels = np.concatenate([np.full(len(points), label) for label, points in parts])
    order = rng.permutation(len(plane))  # ids must not tell the classes
    return plane[order], labels[order].astype(np.int64)
