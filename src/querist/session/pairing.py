"""Which strategies go with which learner, and which can begin: planned as a session plans it, before there is data."""

from collections.abc import Iterator
from functools import lru_cache
from itertools import chain
from typing import Any

import numpy as np

from querist.data.memory import from_arrays
from querist.errors import UnmetNeedError
from querist.evidence.needs import Need
from querist.labels.book import Book
from querist.labels.ledger import MemoryLedger
from querist.learners.base import Learner, learners
from querist.session.desk import Desk
from querist.session.machine import COLD, LATER, WARM
from querist.session.setting import Setting
from querist.strategies.base import State, Strategy
from querist.strategies.composition import asking, resolved


def needs_of(strategy: Strategy) -> tuple[Need[Any], ...]:
    """Return what a strategy and those it wraps need on frozen features once there is a model, in any round."""
    built = resolved(strategy, trains_backbone=False)
    parts = (needs_of(part) for part in asking(built))
    return tuple(dict.fromkeys(chain(built.needs_at(WARM), built.needs_at(LATER), *parts)))


def unmet(strategy: Strategy, learner: Learner) -> list[str]:
    """Return one line per need of a strategy that a session with this learner cannot meet; none if they go together.

    Features come from a frozen encoder, as in every session.

    Raises:
        UnmetNeedError: the learner reads features of one certain encoder, which a session must then have.
    """
    desk = Desk(_setting(), learner, Book.replay(MemoryLedger()))
    built = resolved(strategy, learner.trains_backbone)
    lines = [
        line for part in (built, *_wrapped(built)) for state in (WARM, LATER) for line in _missing(desk, part, state)
    ]
    return list(dict.fromkeys(lines))


def starts(strategy: Strategy) -> bool:
    """Return whether a strategy can choose the initial pool: before there is a model it needs none."""
    desk = Desk(_setting(), learners.build("linear"), Book.replay(MemoryLedger()))
    return not _missing(desk, resolved(strategy, trains_backbone=False), COLD)


def _wrapped(strategy: Strategy) -> Iterator[Strategy]:
    """Every strategy within a strategy that asks for evidence itself."""
    for part in asking(strategy):
        yield part
        yield from _wrapped(part)


def _missing(desk: Desk, strategy: Strategy, state: State) -> list[str]:
    try:
        desk.plan(strategy, state)
    except UnmetNeedError as error:
        return _lines(str(error))
    return []


@lru_cache(maxsize=1)
def _setting() -> Setting:
    """Nothing is read of it but which encoder it has."""
    return Setting(from_arrays("nothing", np.eye(2, dtype=np.float32), ["a", "b"]))


def _lines(message: str) -> list[str]:
    """``need: reason`` of every need that a plan did not find; the reason is that of the last source, the learner."""
    found: dict[str, str] = {}
    need = ""
    for line in message.splitlines()[1:]:
        if line.startswith("    - "):
            found[need] = line.removeprefix("    - ")
        else:
            need = line.strip()
    return [f"{need}: {reason}" for need, reason in found.items()]
