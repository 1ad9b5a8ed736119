"""What lies beside a file of a scorer's outputs: the card that says what the scorer was trained on."""

import json
import os
import shlex
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from querist.errors import DataError
from querist.files import file_digest, write_bytes

FORMAT = "querist scorer 1"
"""What a card says of its format."""
ANY_FORMAT = FORMAT.rstrip("0123456789")
"""What the cards of all versions say of it, up to its number."""
AGAIN = "Write both again: querist scorer."


class ScorerCard(NamedTuple):
    """What is known of a file of outputs.

    Attributes:
        trained_on: learner, labels and data behind the outputs, in words.
        external_study: whether the scorer was trained on labels of the dataset whose items it scores.
        classes: what the columns of probabilities, logits and draws are, in order.
        keys: digest of the keys of the items that the rows are of.
    """

    trained_on: str
    external_study: bool
    classes: tuple[str, ...]
    keys: str


def card_beside(path: Path) -> Path:
    """Return where the card of a file of outputs is: ``probs.json`` for ``probs.npy``."""
    return path.with_suffix(".json")


def write_with_card(path: Path, card: Mapping[str, Any], write: Callable[[], object]) -> None:
    """Write a file and the card that says which content it is of.

    The card comes first, as one of no file yet: killed in between, there is never a file without a card, which would
    look like one of unknown origin, nor an old card beside a new file. If the file cannot be written, the old card
    stays.

    Args:
        path: of the file.
        card: what it says, apart from format and content.
        write: writes the file, whole or not at all.

    Raises:
        StoreError: one of them cannot be written.
    """
    beside = card_beside(path)
    before = beside.read_bytes() if beside.is_file() else None
    _write_card(beside, card, "")
    try:
        write()
    except BaseException:
        with suppress(OSError):
            beside.unlink() if before is None else write_bytes(beside, before)
        raise
    _write_card(beside, card, file_digest(path))


def is_ours(path: Path) -> bool:
    """Return whether a file has a card of ``querist scorer``, be it damaged, and so may be replaced."""
    with suppress(OSError):
        return ANY_FORMAT.encode() in card_beside(path).read_bytes()
    return False


def classes_option(names: Sequence[str]) -> str:
    """Return how ``querist select`` is told of classes, ready for a shell: by name, or how many where a list cannot be.

    >>> classes_option(["cat", "big dog"]), classes_option(["red, dark", "red"])
    ("--classes 'cat,big dog'", '--classes 2')
    """
    listed = all(name and name == name.strip() and "," not in name for name in names)
    return f"--classes {shlex.quote(','.join(names)) if listed else len(names)}"


def card_of(path: str) -> ScorerCard | None:
    """Return the card of a file as a setting names it, ``~`` and ``$VARIABLES`` resolved; see `read_card`."""
    return read_card(resolved_path(path))


def resolved_path(path: str) -> Path:
    """Return where a setting says that a file is, ``~`` and ``$VARIABLES`` resolved; it need not be there."""
    return Path(os.path.expandvars(path)).expanduser()


def require_items(path: str, keys: str, classes: tuple[str, ...], who: str) -> None:
    """Raise `DataError` if the card of a file says that its rows are of other items, or its columns in another order.

    Args:
        path: of the file, as a setting names it.
        keys: digest of the keys of the items there are.
        classes: the declared classes.
        who: reads the file, for the error message.
    """
    card = card_of(path)
    if card is None:
        return
    if card.keys != keys:
        raise DataError(
            f"{who}: the rows of {path} are of other items than those to choose from, or of others by now. Write them "
            "for these: querist scorer."
        )
    if card.classes != classes and set(card.classes) == set(classes):
        raise DataError(
            f"{who}: the columns of {path} are {', '.join(card.classes)}, but the classes are declared as "
            f"{', '.join(classes)}. Declare them in the same order, or write the file again: querist scorer."
        )


def flags_by_card(path: str | None) -> frozenset[str]:
    """Return ``external`` if a file has the card of a scorer, and ``external_study`` if the card says so."""
    card = None if path is None else card_of(path)
    if card is None:
        return frozenset()
    return frozenset({"external", "external_study"} if card.external_study else {"external"})


def read_card(path: Path) -> ScorerCard | None:
    """Return what the card beside a file of outputs says; None if there is none, or it is of something else.

    Raises:
        DataError: it is damaged, or the file was changed since it was written.
    """
    if not path.is_file() or not (beside := card_beside(path)).is_file():
        return None
    try:
        text = beside.read_bytes()
    except OSError as error:
        raise DataError(
            f"{beside}, which may say what {path} is, cannot be read: {error}. Make it readable."
        ) from error
    if ANY_FORMAT.encode() not in text:
        return None
    try:
        card: Any = json.loads(text)
    except ValueError as error:
        raise DataError(f"{beside} is damaged: {error}. {AGAIN}") from error
    if not isinstance(card, dict) or not str(card.get("format")).startswith(ANY_FORMAT):
        return None
    if card["format"] != FORMAT:
        raise DataError(f"{beside}: expected the format {FORMAT!r}, got {card['format']!r}. {AGAIN}")
    try:
        known = ScorerCard(
            str(card["trained_on"]), bool(card["external_study"]), tuple(map(str, card["classes"])),
            str(card["pool"]["keys"]),
        )  # fmt: skip
        held = str(card["file"])
    except (KeyError, TypeError) as error:
        raise DataError(f"{beside} is damaged: {error!r} is missing. {AGAIN}") from error
    if held != file_digest(path):
        raise DataError(
            f"{path} is not the file that {beside} is the card of. Write both again, querist scorer, or move the card "
            "away and say by trained_on what the outputs come from, and by external_study=true if that saw labels of "
            "this dataset."
        )
    return known


def _write_card(beside: Path, card: Mapping[str, Any], held: str) -> None:
    text = json.dumps({"format": FORMAT, **card, "file": held}, indent=1, allow_nan=False)
    write_bytes(beside, text.encode())
