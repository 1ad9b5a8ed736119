"""Scoring on several devices: a process for each, parts of the rows to every one, results put together by id."""

import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from contextvars import copy_context
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
import torch

from querist.arrays import Array, Ids, Rows, readonly
from querist.errors import FitError
from querist.evidence.view import View
from querist.files import refuse_write
from querist.nets.images import Images, read_images
from querist.nets.processes import require_devices, run
from querist.nets.rank import Say
from querist.nets.scoring import CHUNK_BYTES, block_size
from querist.progress import listening, tell

WORTH = 20.0
"""Seconds that sharing has to save: processes take a good many to start."""

TRIAL = 2
"""Blocks that one device scores first; the last of them tells how long a block takes, the others warm it up."""

PARTS = 4
"""Parts of the rows that each device is given at least, so that all are done at about the same time."""

AHEAD = 2
"""Parts that lie ready for each device or are being scored, so that it has the next one when it is done with one."""

PAUSE = 0.01
"""Seconds between two looks of a process at whether its next part is there."""

Score: TypeAlias = Callable[[View], Array]
"""The rows of a view to arrays whose last axis but one is that of the rows; a row does not depend on the others."""


def shared(score: Score, view: View, devices: int, device: torch.device, send: Callable[[Path], "Make"]) -> Array:
    """Return ``score(view)``, computed by several devices where that saves time.

    A row has the same bits in any company, so on a CPU the result is that of one process to the last bit, whoever
    scores what; on graphics cards it is if all are of one kind. This process scores the first blocks. If the rest
    takes it so long that processes are worth starting, they share it: parts are read here, travel through files, and
    come back with their ids.

    Args:
        score: scores rows in this process.
        view: which rows; an id may be repeated.
        devices: how many there are.
        device: the first of them.
        send: writes what the processes need into a folder of theirs, and returns what makes `score` from it there.

    Raises:
        SpecError: there are not as many devices.
        DataError: the items are no uint8 images, or change from one reading to the next.
        StoreError: the folder for temporary files is full.
        FitError: a process ended; says what it said last.
    """
    size = block_size(device)
    first = size * TRIAL
    if devices == 1 or len(view) <= first:
        return score(view)
    require_devices(device, devices)
    # Everybody who listens hears of one piece of work, whatever it consists of.
    outside = copy_context()
    done = 0

    def hear(what: str, count: int, _: int) -> None:
        outside.run(tell, what, done + count, len(view))

    out: list[Array] = []
    begun = 0.0
    with listening(hear):
        for done in range(0, first, size):
            begun = time.perf_counter()
            out.append(score(view.take(np.arange(done, done + size))))
        seconds = (time.perf_counter() - begun) / size
        done, rest = first, view.take(np.arange(first, len(view)))
        if seconds * len(rest) * (1 - 1 / devices) < WORTH:
            out.append(score(rest))
        else:
            out.append(_elsewhere(rest, devices, device, send))
    return np.concatenate(out, axis=-2)


def _elsewhere(view: View, devices: int, device: torch.device, send: Callable[[Path], "Make"]) -> Array:
    ids, first, back = np.unique(view.ids, return_index=True, return_inverse=True)
    with tempfile.TemporaryDirectory(prefix="querist-scoring-") as name:
        room = Path(name)
        post = Post(view.take(first), parts_of(len(ids), devices, block_size(device), _row_bytes(view)), devices, room)
        run(Scoring(send(room), len(post.parts), room), devices, device.type, post.step)
        while post.step():
            pass
        rows = post.rows()
    return rows if np.array_equal(ids, view.ids) else np.take(rows, back, axis=-2)


def _row_bytes(view: View) -> int:
    return read_images(view.take(np.arange(1)))[0].nbytes


def parts_of(n: int, devices: int, size: int, row_bytes: int) -> list[Rows]:
    """Return the rows of each part: whole blocks, as many parts for each device, and none too large to hold at once."""
    blocks = -(-n // size)
    largest = max(1, CHUNK_BYTES // (size * row_bytes))
    per_device = max(PARTS, -(-blocks // (devices * largest)))
    edges = np.unique(np.linspace(0, blocks, per_device * devices + 1).astype(np.intp)) * size
    return [np.arange(start, min(stop, n)) for start, stop in pairwise(edges.tolist())]


class Post:
    """The parent's part: it writes images for the processes to take, and puts what comes back where its ids belong.

    Args:
        view: which rows; its ids ascend.
        parts: rows of each part; part p goes to process p modulo their number.
        devices: number of processes.
        room: folder for the files.
    """

    def __init__(self, view: View, parts: list[Rows], devices: int, room: Path) -> None:
        self.parts = parts
        self._view, self._room, self._ahead = view, room, AHEAD * devices
        self._sent, self._back = 0, set[int]()
        self._rows: Array | None = None
        self._known = np.zeros(len(view), bool)

    def step(self) -> bool:
        """Take in what has come back, and send one more part; return whether there was anything to do."""
        back = [part for part in range(self._sent) if part not in self._back and _is_there(self._room, "rows", part)]
        for part in back:
            self._put(*_take(self._room, "rows", part))
            self._back.add(part)
            for kind in ("rows", "images"):
                _remove(self._room, kind, part)
        if back:
            tell("scoring", int(self._known.sum()), len(self._view))
        more = self._sent < len(self.parts) and self._sent - len(self._back) < self._ahead
        if more:
            part = self._view.take(self.parts[self._sent])
            _give(self._room, "images", self._sent, part.ids, read_images(part))
            self._sent += 1
        return more or bool(back)

    def _put(self, ids: Ids, rows: Array) -> None:
        if self._rows is None:
            self._rows = np.empty((*rows.shape[:-2], len(self._view), rows.shape[-1]), rows.dtype)
        places = np.searchsorted(self._view.ids, ids)
        self._rows[..., places, :] = rows
        self._known[places] = True

    def rows(self) -> Array:
        """Return all rows.

        Raises:
            FitError: some never came back.
        """
        if self._rows is None or not self._known.all():
            raise FitError(
                f"{int((~self._known).sum())} of {len(self._view)} rows did not come back from the processes that "
                "scored them, though all ended well. Set devices = 1, and start again."
            )
        return self._rows


Make: TypeAlias = Callable[[torch.device], Score]
"""Makes what scores rows on a device."""


class Scoring(NamedTuple):
    """What a process is told: to score every `devices`-th part."""

    make: Make
    parts: int
    room: Path

    def work(self, rank: int, devices: int, kind: Literal["cpu", "cuda"], say: Say) -> None:
        """Score part after part as they come; there is nothing to say, for the parent sees what comes back."""
        device = torch.device(kind, rank) if kind == "cuda" else torch.device(kind)
        if kind == "cuda":
            torch.cuda.set_device(device)
        score = self.make(device)
        for part in range(rank, self.parts, devices):
            while not _is_there(self.room, "images", part):
                time.sleep(PAUSE)
            view = Sent(*_take(self.room, "images", part))
            _give(self.room, "rows", part, view.ids, score(view))


class Sent(View):
    """Rows whose images came from another process; there is nothing else to know about them."""

    def __init__(self, ids: Ids, images: Images) -> None:
        self.ids, self._images = readonly(ids), images

    def items(self) -> npt.NDArray[Any]:
        return self._images

    def take(self, rows: Rows) -> "Sent":
        return Sent(self.ids[rows], self._images[rows])


# ---------------------------------------------------------------------------------------------------------------- files


def _files(room: Path, kind: str, part: int) -> tuple[Path, Path]:
    """Return the file of ids, written last, and that of values."""
    return room / f"{kind}-{part:06d}-ids.npy", room / f"{kind}-{part:06d}.npy"


def _is_there(room: Path, kind: str, part: int) -> bool:
    return _files(room, kind, part)[0].exists()


def _give(room: Path, kind: str, part: int, ids: Ids, values: npt.NDArray[Any]) -> None:
    """Write ids and values; whoever sees the ids finds both whole."""
    named, valued = _files(room, kind, part)
    unfinished = named.with_suffix(".unfinished")
    try:
        np.save(valued, values, allow_pickle=False)
        with unfinished.open("wb") as file:
            np.save(file, ids, allow_pickle=False)
        unfinished.replace(named)
    except OSError as error:
        refuse_write(valued, error)


def _take(room: Path, kind: str, part: int) -> tuple[Ids, npt.NDArray[Any]]:
    """Return ids, and values memory-mapped."""
    named, valued = _files(room, kind, part)
    return np.load(named, allow_pickle=False), np.load(valued, mmap_mode="r", allow_pickle=False)


def _remove(room: Path, kind: str, part: int) -> None:
    for path in _files(room, kind, part):
        with suppress(OSError):  # where a file that is mapped cannot be deleted, it goes with its folder
            path.unlink()
