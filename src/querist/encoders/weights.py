"""Files of weights: where they are, and what they hold as a digest."""

import os
from functools import lru_cache
from hashlib import blake2b
from pathlib import Path

from querist.errors import DataError

PIECE = 1 << 22
"""Bytes read at a time."""


def weights_file(path: str, what: str) -> Path:
    """Return the path of a file of weights, ``~`` and ``$VARIABLES`` resolved.

    Args:
        path: as the user wrote it.
        what: who wants it, for the error message.

    Raises:
        DataError: there is no such file.
    """
    resolved = Path(os.path.expandvars(path)).expanduser()
    if not resolved.is_file():
        shown = path if str(resolved) == path else f"{path} ({resolved})"
        unset = "An environment variable in it is not set. " if "$" in str(resolved) else ""
        raise DataError(
            f"{what}: expected a file of weights at {shown}, but there is none. {unset}Check the path; "
            f"relative ones start at the working directory, {Path.cwd()}."
        )
    return resolved


def file_digest(path: Path) -> str:
    """Return 32 hex characters that change with any byte of a file and do not depend on its name or place."""
    state = path.stat()
    return _digest(path.resolve(), state.st_size, state.st_mtime_ns)


@lru_cache(maxsize=64)
def _digest(path: Path, _size: int, _changed: int) -> str:
    # Size and time are there to forget a file that was replaced.
    state = blake2b(digest_size=16)
    with path.open("rb") as file:
        while piece := file.read(PIECE):
            state.update(piece)
    return state.hexdigest()
