"""What holds for a strategy together with those it wraps: parts, flags, identity, and what ``auto`` means for them."""

from collections.abc import Iterator
from dataclasses import fields, replace
from typing import Any

from querist.errors import UsageError
from querist.files import file_digest, require_file
from querist.registry import describe
from querist.strategies.base import Strategy, card_of


def wrapped_by(strategy: Strategy) -> tuple[Strategy, ...]:
    """Return the strategies among the settings of a strategy, alone or in a list."""
    return tuple(part for _, value in _settings(strategy) for part in _parts(value))


def asking(strategy: Strategy) -> tuple[Strategy, ...]:
    """Return the wrapped strategies whose own needs a session has to meet, in one state or another."""
    return () if strategy.feeds else wrapped_by(strategy)


def flags_of(strategy: Strategy) -> frozenset[str]:
    """Return what a reader of results must know: the flags of a strategy, of its settings, and of those it wraps."""
    return card_of(strategy).flags.union(strategy.flags(), *map(flags_of, wrapped_by(strategy)))


def resolved(strategy: Strategy, trains_backbone: bool) -> Strategy:
    """Return the strategy, and those it wraps, with ``space="auto"`` replaced by what it means here."""
    changes: dict[str, Any] = {}
    for name, value in _settings(strategy):
        if isinstance(value, Strategy):
            changes[name] = resolved(value, trains_backbone)
        elif parts := _parts(value):
            changes[name] = tuple(resolved(part, trains_backbone) for part in parts)
        elif name == "space" and value == "auto":
            changes[name] = "embeddings" if trains_backbone else "features"
    return replace(strategy, **changes) if changes else strategy  # pyright: ignore[reportArgumentType]


def identity_of(strategy: Strategy) -> dict[str, object]:
    """Return all that picks depend on, as JSON values: what specifications record.

    These are the settings, with a digest of its content in the place of every path to a file.

    Raises:
        DataError: there is no such file.
    """
    described = describe(strategy)
    for name, value in _settings(strategy):
        if isinstance(value, Strategy):
            described[name] = identity_of(value)
        elif parts := _parts(value):
            described[name] = [identity_of(part) for part in parts]
        elif isinstance(value, str) and name in strategy.files:
            described[name] = file_digest(require_file(value, f"strategy {described['name']}", "a file"))
    return described


def require_unlabelled(strategy: Strategy, n_labelled: int) -> None:
    """Raise `UsageError` if there are labels and the strategy is flagged ``one_shot``."""
    if "one_shot" in flags_of(strategy) and n_labelled:
        raise UsageError(
            f"{card_of(strategy).name!r} selects a whole budget at once from an unlabelled pool, but {n_labelled} "
            "items are labelled. Start afresh for another budget, or take a strategy that goes on in batches."
        )


def _settings(strategy: Strategy) -> Iterator[tuple[str, Any]]:
    for field in fields(strategy):  # pyright: ignore[reportArgumentType]
        yield field.name, getattr(strategy, field.name)


def _parts(value: object) -> tuple[Strategy, ...]:
    """Return the strategies that a setting is made of; none if it is something else."""
    return tuple(part for part in (value if isinstance(value, tuple) else (value,)) if isinstance(part, Strategy))
