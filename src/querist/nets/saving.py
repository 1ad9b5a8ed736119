"""A fit that a kill does not undo: its state on disk every so often, and gone when the fit is done."""

import time
import warnings
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from querist.errors import DataError, StoreError
from querist.nets.checkpoints import read_state, write_state
from querist.nets.course import Course

KIND = "fit"
SECONDS = 30.0
"""Between two states: what a kill costs at most. A state of a large net takes about a second."""


class Saver:
    """Keeps the state of one fit in one file, which a new state replaces as a whole.

    The file is named after all the fit depends on, so a fit with other settings or data does not see it. A state that
    cannot be read is none: the fit starts anew and comes to the same weights.

    A disk that refuses costs the insurance and not the fit: there is a warning, training goes on, and another state is
    tried when its time has come. A fit that is over in minutes is not worth losing for a file that nobody will read.

    Args:
        folder: where; None for nowhere.
        name: digest of everything the fit depends on.
        seconds: between two states.
        clock: of seconds.
    """

    def __init__(
        self, folder: Path | None, name: str, seconds: float = SECONDS, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._file = folder and folder / f"{KIND}-{name}.safetensors"
        self._seconds, self._clock = seconds, clock
        self._last, self._warned = clock(), False

    def restore(self, course: Course) -> None:
        """Bring a fit to its last state, if there is one."""
        if self._file is not None:
            with suppress(DataError):
                course.restore(read_state(self._file, KIND))

    def save(self, course: Course) -> None:
        """Write the state if it is time to."""
        if self._file is None or self._clock() - self._last < self._seconds:
            return
        try:
            write_state(self._file, course.tensors(), {"kind": KIND, **course.card()})
        except StoreError as error:
            if not self._warned:
                warnings.warn(f"training goes on, but a kill would undo it: {error}", RuntimeWarning, stacklevel=2)
            self._warned = True
        self._last = self._clock()

    def clear(self) -> None:
        """Forget the state: the fit is done. What attempts that were killed were just writing goes with it."""
        if self._file is not None:
            for path in [self._file, *self._file.parent.glob(f".{self._file.name}.*.tmp")]:
                with suppress(OSError):
                    path.unlink(missing_ok=True)
