"""The events of a run or a labelling project: one schema, whatever the backend.

An event says what happened, never when or where: two runs of the same specification write the same bytes.
"""

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

    ``round`` counts queries from 0; what is bought before the first model has round -1.
    """

    kind: ClassVar = "asked"
    round: int
    purpose: str
    ids: tuple[int, ...]
    utility: tuple[float, ...] | None = None
    propensity: tuple[float, ...] | None = None
    reasons: tuple[str, ...] = ()


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


Event: TypeAlias = Opened | Asked | Answered | Evaluated
KINDS: Mapping[str, type[Event]] = {kind.kind: kind for kind in (Opened, Asked, Answered, Evaluated)}
REQUIRED = {name: {f.name for f in fields(kind) if f.default is MISSING} for name, kind in KINDS.items()}
DECLINED = -1


def to_json(event: Event) -> dict[str, Any]:
    """Return an event as a JSON object; optional settings left at None or empty are left out."""
    values = {f.name: getattr(event, f.name) for f in fields(event)}
    return {
        "event": event.kind,
        **{k: v for k, v in values.items() if k in REQUIRED[event.kind] or v not in (None, ())},
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
