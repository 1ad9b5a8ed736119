"""Image files as RGB arrays by fixed rules: every mode, orientation and refusal is decided here."""

import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFile, UnidentifiedImageError

REVISION = 1
"""Bumped by hand whenever the same file would give other pixels, another print or another refusal."""
MOST_PIXELS = 89_478_485
"""Larger images are refused: a quarter of a gigabyte as RGB, the size from which Pillow suspects a bomb."""
LARGE = 1 << 24
"""Images of more pixels are large: they are held one at a time, so that memory stays bounded."""
STRIP = 256
"""Rows that are laid on white at a time."""
FORMATS = ("AVIF", "BMP", "GIF", "ICO", "JPEG", "JPEG2000", "MPO", "PNG", "PPM", "QOI", "SGI", "TIFF", "WEBP")
"""What is recognised, by content. Formats without a signature or that run other programs are left out."""
SIGNATURES = (b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"II*\0", b"MM\0*", b"BM", b"qoif", b"\0\0\0\x0cjP")
START = 12
"""Bytes that tell a damaged image from a file that is none."""
SUFFIXES = frozenset((
    ".apng", ".avif", ".bmp", ".dib", ".gif", ".ico", ".j2k", ".jfif", ".jp2", ".jpe", ".jpeg", ".jpg", ".jpx", ".mpo",
    ".pbm", ".pgm", ".png", ".ppm", ".qoi", ".rgb", ".sgi", ".tif", ".tiff", ".webp",
))  # fmt: skip
"""How names of image files end; used only to tell what a misplaced file was meant to be."""

Pixels = npt.NDArray[np.uint8]

_ORIENTATION = 0x0112
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_270, 7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}  # fmt: skip
_DAMAGED = (OSError, SyntaxError, ValueError, TypeError, LookupError, AttributeError, EOFError, ArithmeticError,
            AssertionError, RuntimeError, struct.error, zlib.error)  # fmt: skip
"""What Pillow's readers raise on files that break their format."""


class Refused(Exception):  # noqa: N818 - never leaves the room: it becomes the reason of a `SetAside`
    """A file that is no picture; the message is the reason, for people."""


class TooLargeHere(Exception):  # noqa: N818 - as above
    """An image that is to be decoded where no other one is being decoded."""


@contextmanager
def strictly() -> Iterator[None]:
    """Within the block, half images are never accepted and Pillow does not warn; both are global to the process."""
    before, ImageFile.LOAD_TRUNCATED_IMAGES = ImageFile.LOAD_TRUNCATED_IMAGES, False
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module=r"PIL\.")
            yield
    finally:
        ImageFile.LOAD_TRUNCATED_IMAGES = before


def decode(data: bytes) -> Pixels:
    """Return an encoded image as ``(h, w, 3)`` uint8, by the rules of `opened`.

    Raises:
        Refused: not an image, cut short, damaged, too large, or pixels without a rule.
    """
    with opened(data) as image:
        return np.asarray(image)


@contextmanager
def opened(data: bytes, *, large: bool = True) -> Iterator[Image.Image]:
    """Yield an encoded image, decoded in full and upright, in the mode RGB.

    The rules: the format is told by content, never by name. The first frame of an animation or a multi-page file
    counts. Orientation in EXIF is applied. Grey is repeated, palettes are looked up, transparency is laid on white.
    CMYK, YCbCr and Lab are converted by Pillow's fixed formulas; colour profiles are ignored. Grey of 16 bits, or
    integers of 32 bits within 0..65535, are divided by 257 and rounded, whatever their range in this image, so that
    equal values look equal in all images; colour of 16 bits keeps its high byte. Grey of floating point is read as
    0..1. Everything else is refused.

    Raises:
        Refused: not an image, cut short, damaged, too large, or pixels without a rule.
        TooLargeHere: more than `LARGE` pixels, unless they are allowed.
    """
    if not data:
        raise Refused("empty: the file has 0 bytes")
    with _refusing(data[:START]), Image.open(BytesIO(data), formats=readable_formats()) as image:
        _require_size(image)
        if image.format == "PNG":
            _check_sums(data)
        if not large and image.width * image.height > LARGE:
            raise TooLargeHere
        yield _upright(image)


def recognise(stream: BinaryIO) -> None:
    """Read as much of a file as tells that it is an image of a size that is read, and rewind it.

    Raises:
        Refused: it is not, or its header is damaged.
    """
    start = stream.read(START)
    with _refusing(start), Image.open(stream, formats=readable_formats()) as image:
        _require_size(image)
    stream.seek(0)


@contextmanager
def _refusing(start: bytes) -> Iterator[None]:
    """Turn what Pillow raises on a file that begins with `start` into a reason."""
    try:
        yield
    except UnidentifiedImageError:
        if start.startswith(SIGNATURES) or start[8:12] == b"WEBP" or start[4:8] == b"ftyp":
            raise Refused("damaged: it begins like an image, but its header cannot be read") from None
        raise Refused("not an image: the content is of no known image format") from None
    except Image.DecompressionBombError:
        raise Refused(f"too large: more than {2 * MOST_PIXELS:,} pixels; at most {MOST_PIXELS:,} are read") from None
    except MemoryError:
        raise Refused("too large: it does not fit into memory") from None
    except _DAMAGED as error:
        raise Refused(_damage(error)) from None


def _require_size(image: Image.Image) -> None:
    """Raise `Refused` if the header announces more pixels than are read, or none."""
    if image.width * image.height > MOST_PIXELS:
        raise Refused(f"too large: {image.width} x {image.height} pixels; at most {MOST_PIXELS:,} are read")


def readable_formats() -> list[str]:
    """Return those of `FORMATS` that this installation of Pillow can read."""
    Image.init()
    return [name for name in FORMATS if name in Image.OPEN]


def _check_sums(data: bytes) -> None:
    """Raise what Pillow raises on a chunk of a PNG file whose check sum is wrong; loading alone would not notice."""
    with Image.open(BytesIO(data), formats=["PNG"]) as image:
        image.verify()


def _upright(image: Image.Image) -> Image.Image:
    image.load()
    turn = _TURNS.get(_orientation(image))
    image = as_rgb(image)
    return image if turn is None else image.transpose(turn)


def _orientation(image: Image.Image) -> int:
    # Damaged metadata does not make a picture unreadable: it counts as upright, as in every viewer.
    try:
        value = image.getexif().get(_ORIENTATION, 1)
    except (*_DAMAGED, UserWarning):
        return 1
    return value if isinstance(value, int) else 1


def as_rgb(image: Image.Image) -> Image.Image:
    """Return a decoded image in the mode RGB, by the rules of `opened`.

    Raises:
        Refused: pixels without a rule.
    """
    mode = image.mode
    if mode == "F":
        return _grey(np.asarray(image), 1.0, "floating-point")
    if mode == "I" or mode.startswith("I;"):
        return _grey(np.asarray(image), 65535, "integer")
    if mode in ("P", "PA", "LA", "La", "RGBA", "RGBa") or "transparency" in image.info:
        if mode in ("La", "RGBa"):
            image = image.convert(mode.upper())
        return _on_white(image if image.mode == "RGBA" and "transparency" not in image.info else image.convert("RGBA"))
    return image if mode == "RGB" else image.convert("RGB")


def _on_white(clear: Image.Image) -> Image.Image:
    white = Image.new("RGB", clear.size, (255, 255, 255))
    for top in range(0, clear.height, STRIP):  # pasting converts what it pastes, which would be a third whole image
        part = clear.crop((0, top, clear.width, min(top + STRIP, clear.height)))
        white.paste(part, (0, top), mask=part)
    return white


def _grey(values: npt.NDArray[Any], top: float, kind: str) -> Image.Image:
    """Return ``(h, w)`` numbers on the fixed scale 0..top as a grey RGB image, rounded to the nearest of 256 levels."""
    if np.issubdtype(values.dtype, np.floating) and not np.isfinite(values).all():
        raise Refused(f"unsupported: {kind} pixels that are NaN or infinite")
    low, high = values.min(), values.max()
    if low < 0 or high > top:
        raise Refused(f"unsupported: {kind} pixels from {low} to {high}; the scale must be 0 to {top:g}")
    return Image.fromarray((values * (255 / top) + 0.5).astype(np.uint8)).convert("RGB")


def _damage(error: BaseException) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    is_short = any(word in text.lower() for word in ("truncated", "unexpected end", "not enough data", "eof"))
    return f"{'cut short' if is_short else 'damaged'}: {text}"
