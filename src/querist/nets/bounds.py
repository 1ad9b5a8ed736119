"""Checks of settings: numbers within bounds, and options among those there are."""

import math
from dataclasses import fields
from typing import Any, Literal, get_args, get_origin

from querist.errors import SpecError, UnknownNameError


def require_within(
    name: str, value: float, low: float, high: float, why: str = "", *, above: bool = False, below: bool = False
) -> None:
    """Raise `SpecError` unless a setting is finite and within ``low..high``; `above`, `below`: not the bound itself."""
    if not low <= value <= high or not math.isfinite(value) or (above and value == low) or (below and value == high):
        bounds = f"{'more than' if above else 'at least'} {low}"
        if high < math.inf:
            bounds += f" and {'less than' if below else 'at most'} {high}"
        raise SpecError(f"Expected {name} to be {bounds}, got {value}{why and f': {why}'}.")


def require_options(settings: Any) -> None:
    """Check the fields of a dataclass that are declared as a choice of words or as a truth value.

    Those from a file were checked when it was read. These are built in a program, where ``"False"`` would be true and
    ``"SGD"`` would be no optimiser that any branch knows.

    Raises:
        UnknownNameError: a word is not among those declared; suggests the nearest.
        SpecError: a truth value is neither True nor False.
    """
    for field in fields(settings):
        value = getattr(settings, field.name)
        if get_origin(field.type) is Literal and value not in get_args(field.type):
            raise UnknownNameError(field.name, str(value), [str(known) for known in get_args(field.type)])
        if field.type is bool and not isinstance(value, bool):
            raise SpecError(f"Expected {field.name} to be True or False, got {value!r}.")
