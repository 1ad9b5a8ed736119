"""Correct toy strategies of every sort pass the whole contract: no false alarms."""

from typing import Any, ClassVar
from unittest import SkipTest

import numpy as np
import pytest

from querist.evidence.needs import Embeddings, Features, Probs, Sealed
from querist.kernels.top import top_b
from querist.registry import Registry
from querist.strategies.base import Picks, Scoring, Strategy
from querist.testing.contract import StrategyContract
from querist.testing.plants import frozen

toys: Registry[Any] = Registry("toy", "querist.testing")
CHECKS = [name for name in dir(StrategyContract) if name.startswith("test_")]


@toys.register("toy_confident", presets={"sharp": {"power": 2.0}})
@frozen
class Confident(Scoring):
    """Wants large squared probabilities."""

    registry: ClassVar = toys
    power: float = 1.0
    needs: ClassVar = (Probs(),)

    def score(self, ev):
        return (ev[Probs()] ** self.power).max(axis=1)


@frozen
class Spread(Strategy):
    """Farthest first from the labelled rows, in features or embeddings."""

    space: str = "auto"

    def needs_at(self, state):
        return (self._need(),)

    def _need(self):
        return (Embeddings if self.space == "embeddings" else Features)(frame="all")

    def select(self, ev, b, key):
        x = ev[self._need()].astype(np.float64)
        mine, theirs = ev.rows("candidates"), ev.rows("labelled")
        nearest = np.full(len(mine), np.finfo(float).max / 4)
        for row in theirs:
            nearest = np.minimum(nearest, ((x[mine] - x[row]) ** 2).sum(axis=1))
        tie = key.hash(ev.candidates)
        rows, utility = [], []
        for _ in range(b):
            left = np.setdiff1d(np.arange(len(mine)), rows)
            row = left[top_b(nearest[left], tie[left], 1)[0]]
            rows.append(row)
            utility.append(nearest[row])
            nearest = np.minimum(nearest, ((x[mine] - x[mine[row]]) ** 2).sum(axis=1))
        return Picks(np.array(rows), np.array(utility))


@frozen
class Draw(Strategy):
    """Uniform, by keyed hashes."""

    def select(self, ev, b, key):
        return Picks(key.hash(ev.candidates).argsort()[:b])


@frozen
class Stream(Strategy):
    """Uniform, by a stream."""

    def select(self, ev, b, key):
        return Picks(key.generator().permutation(len(ev.candidates))[:b])


@toys.register("toy_oracle", flags=("oracle",))
@frozen
class Oracle(Strategy):
    """Reads true labels and says so."""

    registry: ClassVar = toys
    needs: ClassVar = (Sealed(),)

    def select(self, ev, b, key):
        return Picks(top_b(-ev[Sealed()].astype(float), key.hash(ev.candidates), b))


def toy(make, **settings):
    return type("Contract", (StrategyContract,), {"make": make, **settings})()


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize(
    "checks",
    [
        toy(Confident),
        toy(Spread),
        toy(Draw, deterministic=False),
        toy(Stream, deterministic=False),
        toy(Oracle),
    ],
    ids=["Confident", "Spread", "Draw", "Stream", "Oracle"],
)
def test_correct_toys_pass(checks, check):
    try:
        getattr(checks, check)()
    except SkipTest as reason:
        pytest.skip(str(reason))
