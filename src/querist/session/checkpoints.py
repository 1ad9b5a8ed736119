"""Models of a session on disk: kept as they are fitted, so that a kill costs no more than the fit it interrupts."""

import json
import logging
import os
import shutil
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

from querist.errors import DataError, SpecError
from querist.evidence.provider import Model
from querist.files import write_bytes
from querist.learners.base import Learner
from querist.registry import describe

Keep: TypeAlias = Literal["last", "all", "none", "read"]
CARD = "fit.json"
SCHEMA = 1
log = logging.getLogger(__name__)


class Checkpoints:
    """Two folders beside a ledger: ``models/round-003`` holds what was fitted, ``fits/round-003`` what a fit keeps.

    A model counts only as the result of the very fit that is asked for: its card has a digest of all that this fit
    depends on. A model that is missing, cut short, damaged or of another fit is fitted again, so what lies here changes
    no record, and may be deleted at any time.

    Args:
        folder: None keeps nothing.
        learner: whose models these are; of one that keeps none, only the room of its fits is here.
        keep: ``last``: the models of the newest rounds, as many as are asked for again; ``all``; ``none``; or ``read``:
            nothing is written or removed, and no fit has a room.

    Raises:
        SpecError: another word for `keep`.
    """

    def __init__(self, folder: str | os.PathLike[str] | None, learner: Learner, keep: Keep = "last") -> None:
        if keep not in get_args(Keep):
            raise SpecError(f"Expected keep to be {', '.join(map(repr, get_args(Keep)))}, got {keep!r}.")
        self.folder: Path | None = None if folder is None else Path(folder)
        self._learner, self._keep = learner, keep

    def room(self, number: int, fit: str) -> Path | None:
        """Return where the fit of a round may keep its progress; its own, for the fit is part of the name.

        Args:
            number: the round.
            fit: digest of all that the fit depends on.
        """
        if self.folder is None or self._keep == "read":
            return None
        return self.folder / "fits" / name_of(number) / fit

    def load(self, number: int, fit: str) -> Model | None:
        """Return the model of a fit, None if it is not here."""
        if self.folder is None or not self._learner.keeps:
            return None
        path = self.folder / "models" / name_of(number)
        card = card_of(path)
        if card is None or card["fit"] != fit:
            return None
        try:
            return self._learner.load(path)
        except DataError as error:
            log.warning("the model in %s cannot be used and is fitted again: %s", path, error)
            return None

    def save(self, number: int, fit: str, model: Model, spec: Mapping[str, Any], oldest: int) -> None:
        """Keep a model, as far as models are kept, and forget how it was fitted.

        Args:
            number: the round.
            fit: digest of all that its fit depended on.
            model: what came of it.
            spec: of the session, for those who find the model alone.
            oldest: models of earlier rounds are not asked for any more.

        Raises:
            StoreError: it cannot be written.
        """
        if self.folder is None or not self._learner.keeps or self._keep in ("none", "read"):
            return
        path = self.folder / "models" / name_of(number)
        remove(path)
        self._learner.save(model, path)
        card = {"schema": SCHEMA, "round": number, "fit": fit, "spec": spec, "learner": describe(self._learner)}
        write_bytes(path / CARD, json.dumps(card, indent=1, sort_keys=True).encode())
        remove(self.folder / "fits" / name_of(number))
        self._drop(oldest)

    def leave(self, oldest: int) -> None:
        """Forget the progress of all fits, for their models are kept or not needed any more, and older models."""
        if self.folder is not None and self._keep != "read":
            remove(self.folder / "fits")
            self._drop(oldest)

    def _drop(self, oldest: int) -> None:
        """Delete the models of rounds before `oldest`, but not the newest: a warm start may still go on from it."""
        if self.folder is None or self._keep != "last" or not self._learner.keeps:
            return
        found = models_in(self.folder)
        newest = max((number for number, path in found.items() if card_of(path)), default=0)
        for number, path in found.items():
            if number < min(oldest, newest):
                remove(path)


def name_of(number: int) -> str:
    """Return the name of the folder of a round: ``round-003``."""
    return f"round-{number:03d}"


def models_in(folder: Path) -> dict[int, Path]:
    """Return the folders of models in the folder of a session or run, by round; one that is not whole has no card."""
    found = sorted((folder / "models").glob("round-*"))
    return {int(path.name[6:]): path for path in found if path.name[6:].isdigit()}


def card_of(path: Path) -> Mapping[str, Any] | None:
    """Return what the folder of a model says of it; None if it is not whole.

    ``round``; ``fit``, a digest; ``spec`` of the session; ``learner``, which unlike that in the specification can be
    built, for it has the paths of its files.
    """
    try:
        card = json.loads((path / CARD).read_bytes())
        return card if card["schema"] == SCHEMA and {"round", "fit", "spec", "learner"} <= card.keys() else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def remove(path: Path) -> None:
    """Delete a folder of models or fits, the card first: what a kill leaves of it is not taken for whole."""
    if path.exists():
        with suppress(OSError):
            (path / CARD).unlink(missing_ok=True)
        shutil.rmtree(path, ignore_errors=True)
