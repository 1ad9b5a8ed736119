"""Answers as people and files give them: ids to class numbers or class names."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from querist.errors import DataError
from querist.labels.events import DECLINED


def read_answers(answers: Mapping[Any, Any], classes: Sequence[str], verb: str) -> dict[int, int]:
    """Return class numbers by id, `DECLINED` for None.

    Args:
        answers: label by id; a label is a class number, a class name, or None.
        classes: the declared class names.
        verb: what an error message calls the door they came through.

    Raises:
        DataError: an id that is no integer, or a label that is no declared class.
    """
    return {_id(i, verb): _class(label, classes, f"{verb}: {label!r} for id {i}") for i, label in answers.items()}


def _id(i: object, verb: str) -> int:
    if isinstance(i, int | np.integer) and not isinstance(i, bool):
        return int(i)
    raise DataError(f"{verb}: expected ids to be integers, got {i!r}.")


def _class(label: object, classes: Sequence[str], what: str) -> int:
    if label is None:
        return DECLINED
    if isinstance(label, str) and label in classes:
        return classes.index(label)
    if isinstance(label, int | np.integer) and not isinstance(label, bool) and 0 <= label < len(classes):
        return int(label)
    raise DataError(
        f"{what} is no declared class. Expected a number in 0..{len(classes) - 1}, "
        f"one of the names {', '.join(classes[:8])}{', ...' if len(classes) > 8 else ''}, or None to decline."
    )
