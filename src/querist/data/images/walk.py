"""What lies below a folder: files to read in a fixed order, and everything that is no file to read, with the reason."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, Protocol

from querist.data.images.decode import SUFFIXES
from querist.errors import DataError


class Found(NamedTuple):
    """A regular file.

    Attributes:
        path: relative to the source, with forward slashes.
        size: bytes.
        mtime_ns: when it was last written.
    """

    path: str
    size: int
    mtime_ns: int


class Passed(NamedTuple):
    """Something that is no file to read."""

    path: str
    reason: str


def walk(root: Path) -> tuple[list[Found], list[Passed]]:
    """Return all files below `root` and all that was passed over, both in the order of the bytes of their paths.

    Links to files and to folders are followed, except back to a folder they lie in. Names that begin with a dot are
    passed over, hidden folders as a whole; so are folders with the name of an image.

    Raises:
        DataError: `root` is no folder or cannot be listed.
    """
    try:
        entries = list(os.scandir(root))
    except NotADirectoryError:
        raise DataError(f"{root}: expected a folder of images, got a file.") from None
    except FileNotFoundError:
        raise DataError(f"{root}: there is no such folder; expected a folder of images.") from None
    except OSError as error:
        raise DataError(f"{root}: the folder cannot be listed ({error.strerror}).") from error
    found: list[Found] = []
    passed: list[Passed] = []
    for thing in _below(entries, "", (_identity(root.stat()),)):
        if isinstance(thing, Found):
            found.append(thing)
        else:
            passed.append(thing)
    return sorted(found, key=by_bytes), sorted(passed, key=by_bytes)


class HasPath(Protocol):
    """Anything known by its path relative to the source."""

    @property
    def path(self) -> str: ...


def by_bytes(thing: HasPath) -> bytes:
    """Return what files are ordered by: the bytes of the path, the same on every system and in every language."""
    return thing.path.encode()


def look_at(path: str, place: str | os.PathLike[str]) -> Found | Passed:
    """Return what is at `place`, which the source knows as `path`, if it is no folder."""
    try:
        status = os.stat(place)  # noqa: PTH116 - of an entry or a path
    except FileNotFoundError:
        if os.path.islink(place):  # noqa: PTH114
            return Passed(path, f"broken link: it points to {os.readlink(place)!r}, which does not exist")  # noqa: PTH115
        return Passed(path, "missing: there is no such file")
    except OSError as error:
        return Passed(path, f"unreadable: {error.strerror}")
    except ValueError:  # a null character, or half a character
        return Passed(path.encode("utf-8", "backslashreplace").decode(), "no file can have this name")
    if stat.S_ISDIR(status.st_mode):
        return Passed(path, "a folder, not an image")
    if not stat.S_ISREG(status.st_mode):
        return Passed(path, "not a regular file but a pipe, a socket or a device")
    return Found(path, status.st_size, status.st_mtime_ns)


def _below(
    entries: list[os.DirEntry[str]], prefix: str, above: tuple[tuple[int, int], ...]
) -> Iterator[Found | Passed]:
    for entry in entries:
        path = prefix + entry.name
        try:
            path.encode()
        except UnicodeEncodeError:
            shown = path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
            yield Passed(shown, "its name is not valid UTF-8; rename it")
            continue
        if entry.name.startswith("."):
            yield Passed(path, "hidden: names that begin with a dot are passed over")
        elif not _is_folder(entry):
            yield look_at(path, entry.path)
        elif os.path.splitext(entry.name)[1].lower() in SUFFIXES:  # noqa: PTH122 - of a name
            yield Passed(path, "a folder with the name of an image; rename it if there are images in it")
        else:
            yield from _folder(entry, path, above)


def _folder(entry: os.DirEntry[str], path: str, above: tuple[tuple[int, int], ...]) -> Iterator[Found | Passed]:
    try:
        identity = _identity(entry.stat())
        if identity in above:
            yield Passed(path, "a link back to a folder it lies in")
            return
        inside = list(os.scandir(entry.path))
    except OSError as error:
        yield Passed(path, f"unreadable folder: {error.strerror}")
        return
    if not inside:
        yield Passed(path, "an empty folder")
    yield from _below(inside, f"{path}/", (*above, identity))


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino
