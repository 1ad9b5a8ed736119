"""The events of a run or a labelling project: one schema, whatever the backend.

An event says what happened, never when or where: two runs of the same specification write the same bytes.
"""

import math
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from typing import Any, ClassVar, TypeAlias

from querist.errors import LedgerError

SCHEMA = 1

INITIAL, QUERY, VALIDATION = "initial", "query", "validation"
PURPOSES = (INITIAL, QUERY, VALIDATION)
"""What a label can be bought for. Each is charged and stands on the x-axis."""


@dataclass(frozen=True, kw_only=True)
class Opened:
    """The first event: what the ledger is of."""

    kind: ClassVar = "opened"
    spec: Mapping[str, Any]
    schema: int = SCHEMA


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A query was sealed: from here on its ids cannot change.

    ``round`` counts queries from 0; what is bought before the first model has round -1. ``left`` is how many more items
    the same query asks for one by one, each after the answer to the one before; what follows continues it (`joined`).
    """

    kind: ClassVar = "asked"
    round: int
    purpose: str
    ids: tuple[int, ...]
    utility: tuple[float, ...] | None = None
    propensity: tuple[float, ...] | None = None
    reasons: tuple[str, ...] = ()
    left: int = 0

    @property
    def size(self) -> int:
        """How many items the query asks for, those to come included."""
        return len(self.ids) + self.left


@dataclass(frozen=True, kw_only=True)
class Answered:
    """Labels were revealed, and are charged; -1: the oracle declined the item (not charged, not asked again)."""

    kind: ClassVar = "answered"
    round: int
    purpose: str
    ids: tuple[int, ...]
    labels: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Evaluated:
    """A checkpoint was tested, after its query was sealed."""

    kind: ClassVar = "evaluated"
    checkpoint: int
    n_labels: int
    metrics: Mapping[str, float]


@dataclass(frozen=True, kw_only=True)
class Tuned:
    """Settings of the learner were searched on what was labelled at a checkpoint, before it was tested.

    ``trials`` settings were tried in ``fits`` fits of ``updates`` optimiser steps, pruned ones included; the last fit
    on all labels that follows a cross-validation is not. ``value`` is the accuracy of those chosen, on ``validation``
    labels, which were charged when they were bought, or, if that is 0, out of fold on the labels for training.
    ``reused``: they were taken over from the run with training seed 0, at no cost. With no trials the settings of the
    learner were kept, for there was nothing to judge by.
    """

    kind: ClassVar = "tuned"
    checkpoint: int
    settings: Mapping[str, Any]
    trials: int
    fits: int
    value: float | None
    updates: int = 0
    validation: int = 0
    reused: bool = False


Event: TypeAlias = Opened | Asked | Answered | Evaluated | Tuned
KINDS: Mapping[str, type[Event]] = {kind.kind: kind for kind in (Opened, Asked, Answered, Evaluated, Tuned)}
REQUIRED = {name: {f.name for f in fields(kind) if f.default is MISSING} for name, kind in KINDS.items()}
DECLINED = -1


def joined(query: Asked, more: Asked) -> Asked:
    """Return a query asked one by one with the next of its items; notes that some items have and others lack are NaN.

    >>> first = Asked(round=0, purpose=QUERY, ids=(7,), left=1)
    >>> joined(first, Asked(round=0, purpose=QUERY, ids=(3,), utility=(0.5,)))
    Asked(round=0, purpose='query', ids=(7, 3), utility=(nan, 0.5), propensity=None, reasons=(), left=0)
    """
    parts = (query, more)

    def numbers(name: str) -> tuple[float, ...] | None:
        notes = [getattr(part, name) for part in parts]
        if notes == [None, None]:
            return None
        return tuple(v for part, note in zip(parts, notes, strict=True) for v in note or (math.nan,) * len(part.ids))

    reasons = tuple(word for part in parts for word in part.reasons or ("",) * len(part.ids))
    return Asked(
        round=query.round, purpose=query.purpose, ids=query.ids + more.ids, utility=numbers("utility"),
        propensity=numbers("propensity"), reasons=reasons if any(reasons) else (), left=more.left,
    )  # fmt: skip


def to_json(event: Event) -> dict[str, Any]:
    """Return an event as a JSON object; optional settings left at None, zero or empty are left out."""
    values = {f.name: getattr(event, f.name) for f in fields(event)}
    return {
        "event": event.kind,
        **{k: v for k, v in values.items() if k in REQUIRED[event.kind] or v not in (None, (), 0)},
    }


def from_json(line: Mapping[str, Any]) -> Event:
    """Return the event a JSON object stands for.

    Raises:
        LedgerError: an event, a field or a schema this version does not know, or a field that is missing.
    """
    values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in line.items() if k != "event"}
    kind = KINDS.get(str(line.get("event")))
    if kind is None or not values.keys() <= {f.name for f in fields(kind)} or values.get("schema", SCHEMA) != SCHEMA:
        raise LedgerError(f"an event this version does not know: {dict(line)!r}. It was written by a newer Querist.")
    if missing := REQUIRED[kind.kind] - values.keys():
        raise LedgerError(
            f"an event without {', '.join(sorted(missing))}: {dict(line)!r}. It was not written by Querist."
        )
    return kind(**values)
