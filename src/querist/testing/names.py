"""Which strategies can be built by name alone, for tests that run over all of them."""

from dataclasses import MISSING, fields

from querist.strategies.base import strategies


def buildable() -> list[str]:
    """Return the names of the strategies that can be built without settings, sorted.

    The others read a file that only their own tests can write, such as a stored ranking.
    """
    return [card.name for card in strategies.cards() if not required(card.name)]


def required(name: str) -> list[str]:
    """Return the settings that a strategy cannot do without."""
    component = strategies.card(name).component
    return [f.name for f in fields(component) if f.default is MISSING and f.default_factory is MISSING]  # pyright: ignore[reportArgumentType]
