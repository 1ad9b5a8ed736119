"""Forty bad image files of twelve kinds, and what is to be said of each."""

import io
import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image


def _encoded(image: Image.Image, kind: str) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind)
    return buffer.getvalue()


def _picture(seed: int) -> Image.Image:
    colours = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return Image.fromarray(colours).resize((160, 120), Image.Resampling.BICUBIC)


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def _bomb(seed: int) -> bytes:
    """A valid PNG file of a few kilobytes that would fill eight gigabytes."""
    header = struct.pack(">IIBBBBB", 60_000, 45_000 + seed, 8, 2, 0, 0, 0)
    rows = zlib.compress(bytes(1 << 20), 9)
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + _chunk(b"IDAT", rows) + _chunk(b"IEND", b"")


def _flipped(seed: int) -> bytes:
    data = bytearray(_encoded(_picture(seed), "PNG"))
    data[len(data) // 2] ^= 0xFF
    return bytes(data)


def _with_nan(seed: int) -> bytes:
    values = np.random.default_rng(seed).random((20, 30)).astype(np.float32)
    values[3, 4] = np.nan
    return _encoded(Image.fromarray(values), "TIFF")


def _beyond_16_bits(seed: int) -> bytes:
    return _encoded(Image.fromarray(np.full((20, 30), 1_000_000 + seed, np.int32)), "TIFF")


CONTENTS: dict[str, tuple[str, str, Callable[[int], bytes]]] = {
    "empty": (".jpg", "empty", lambda seed: b""),
    "text": (".jpg", "not an image", lambda seed: f"error {seed}: no such picture\n".encode() * 50),
    "cut_jpeg": (".jpeg", "cut short", lambda seed: _encoded(_picture(seed), "JPEG")[:-700]),
    "cut_png": (".png", "cut short", lambda seed: _encoded(_picture(seed), "PNG")[:-900]),
    "flipped_png": (".png", "damaged", _flipped),
    "bomb": (".png", "too large", _bomb),
    "nan_tiff": (".tif", "unsupported: floating-point pixels that are NaN", _with_nan),
    "32_bit_tiff": (".tiff", "unsupported: integer pixels", _beyond_16_bits),
}
PLACES: dict[str, tuple[str, str, Callable[[Path], None]]] = {
    "broken_link": (".png", "broken link", lambda path: path.symlink_to("gone.png")),
    "circular_link": (".png", "unreadable", lambda path: path.symlink_to(path.name)),
    "folder": (".jpg", "a folder with the name of an image", Path.mkdir),
    "pipe": (".jpg", "not a regular file", os.mkfifo),
}
KINDS = (*CONTENTS, *PLACES)


def plant(folders: list[Path], count: int = 40) -> dict[Path, str]:
    """Write `count` bad files, in turn of every kind and into every folder; return how each reason must begin."""
    planted: dict[Path, str] = {}
    for number in range(count):
        kind = KINDS[number % len(KINDS)]
        suffix, reason, _ = CONTENTS.get(kind) or PLACES[kind]
        path = folders[number % len(folders)] / f"{number:02d}-{kind}{suffix}"
        if kind in CONTENTS:
            path.write_bytes(CONTENTS[kind][2](number))
        else:
            PLACES[kind][2](path)
        planted[path] = reason
    return planted
