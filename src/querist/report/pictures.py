"""What each strategy picked first, as small pictures that fit into the page."""

from base64 import b64encode
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from io import BytesIO

import numpy as np
import numpy.typing as npt
import pandas as pd
from PIL import Image

from querist.errors import DataError

SIDE = 44
"""Longest side of a thumbnail in pixels; larger pictures are reduced, smaller ones kept and magnified by the page."""
COLOURS = 64
"""Palette of a reduced colour picture: a third of the bytes, and nobody sees the difference at this size."""
QUALITY = 80
"""Of JPEG pictures, as its encoders count."""
INITIAL = -1


@dataclass(frozen=True, kw_only=True)
class Thumbnail:
    """One pick to look at.

    Attributes:
        id: the item.
        key: its name in the data set.
        caption: its label, which was bought; may be empty.
        uri: the picture as a PNG data URI.
    """

    id: int
    key: str
    caption: str
    uri: str


@dataclass(frozen=True, kw_only=True)
class Strip:
    """The picks of one query of one arm, in the order picked.

    Attributes:
        arm: who picked; empty for the initial pool that arms share.
        round: number of the query, `INITIAL` for the initial pool.
        thumbnails: the first of them.
        left_out: how many more were picked than are shown.
    """

    arm: str
    round: int
    thumbnails: tuple[Thumbnail, ...]
    left_out: int


def data_uri(picture: npt.NDArray[np.uint8], side: int = SIDE) -> str:
    """Return a picture as a PNG data URI, its longest side at most `side` pixels.

    Args:
        picture: ``(h, w)`` or ``(h, w, 3)`` uint8.

    Raises:
        DataError: any other shape or type.
    """
    image, reduced = _reduced(picture, side)
    if reduced and image.mode == "RGB":
        image = image.quantize(COLOURS, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    return _uri(image, "PNG")


def photo_uri(picture: npt.NDArray[np.uint8], side: int) -> str:
    """Return a picture as a JPEG data URI, its longest side at most `side` pixels; as PNG where it is tiny anyway.

    Args:
        picture: ``(h, w)`` or ``(h, w, 3)`` uint8.

    Raises:
        DataError: any other shape or type.
    """
    image, _ = _reduced(picture, side)
    if max(image.size) <= SIDE:
        # The page magnifies it, and a block of JPEG would show.
        return _uri(image, "PNG")
    return _uri(image, "JPEG")


def strips(
    picks: pd.DataFrame,
    pictures: Mapping[int, npt.NDArray[np.uint8]],
    captions: Mapping[int, str] | None = None,
    *,
    arms: Sequence[str],
    rounds: int = 2,
    most: int = 12,
) -> list[Strip]:
    """Return the first queries of each arm in the first pool that all arms have in common.

    The initial pool that most arms share comes once, first, without an arm's name. Pictures and captions of
    items that were not picked are never looked up.

    Args:
        picks: one row per pick: arm, pool, seed, round, rank, id, key.
        pictures: by id; picks without a picture are left out.
        captions: labels by id.
        arms: which arms, in this order.
        rounds: how many queries after the initial pool.
        most: how many pictures of each.
    """
    table = first_common_run(picks, arms)
    table = table.loc[table["round"] < rounds].sort_values(by=["round", "rank"])
    made: dict[int, str] = {}
    by_query = {
        (arm, number): _strip(arm, number, table, pictures, captions or {}, most, made)
        for arm in arms
        for number in sorted(set(table.loc[table["arm"] == arm, "round"].tolist()))
    }  # fmt: skip
    found = [strip for strip in by_query.values() if strip.thumbnails]
    starts = Counter(_ids(strip) for strip in found if strip.round == INITIAL)
    shared, count = starts.most_common(1)[0] if starts else ((), 0)
    if count < 2:
        return found
    same = [strip for strip in found if strip.round == INITIAL and _ids(strip) == shared]
    return [replace(same[0], arm=""), *(strip for strip in found if strip not in same)]


def _reduced(picture: npt.NDArray[np.uint8], side: int) -> tuple[Image.Image, bool]:
    """A picture of at most `side` pixels, and whether it was larger."""
    pixels = np.asarray(picture)
    if pixels.dtype != np.uint8 or pixels.ndim not in (2, 3) or pixels.shape[2:] not in ((), (3,)) or not pixels.size:
        raise DataError(f"Expected a picture (h, w) or (h, w, 3) of uint8, got {pixels.shape} of {pixels.dtype}.")
    image = Image.fromarray(np.ascontiguousarray(pixels))
    if max(image.size) <= side:
        return image, False
    scale = side / max(image.size)
    size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    return image.resize(size, Image.Resampling.BOX), True


def _uri(image: Image.Image, kind: str) -> str:
    buffer = BytesIO()
    image.save(buffer, format=kind, optimize=True, quality=QUALITY)
    return f"data:image/{kind.lower()};base64," + b64encode(buffer.getvalue()).decode()


def _ids(strip: Strip) -> tuple[int, ...]:
    return tuple(thumbnail.id for thumbnail in strip.thumbnails)


def first_common_run(picks: pd.DataFrame, arms: Sequence[str]) -> pd.DataFrame:
    """Return the picks of some arms in the smallest (pool, seed) that most of them have."""
    mine = picks.loc[picks["arm"].isin(arms)]
    reach: dict[tuple[int, int], set[str]] = {}
    for arm, pool, seed in zip(mine["arm"], mine["pool"], mine["seed"], strict=True):
        reach.setdefault((pool, seed), set()).add(arm)
    if not reach:
        return mine
    pool, seed = min(reach, key=lambda run: (-len(reach[run]), run))
    return mine.loc[(mine["pool"] == pool) & (mine["seed"] == seed)]


def _strip(
    arm: str, number: int, picks: pd.DataFrame, pictures: Mapping[int, npt.NDArray[np.uint8]],
    captions: Mapping[int, str], most: int, made: dict[int, str],
) -> Strip:  # fmt: skip
    """`made` remembers thumbnails: strategies that agree pick the same items."""
    mine = picks.loc[(picks["arm"] == arm) & (picks["round"] == number)]
    known = [(int(i), str(key)) for i, key in zip(mine["id"], mine["key"], strict=True) if int(i) in pictures]
    thumbnails = []
    for i, key in known[:most]:
        if i not in made:
            made[i] = data_uri(pictures[i])
        thumbnails.append(Thumbnail(id=i, key=key, caption=captions.get(i, ""), uri=made[i]))
    return Strip(arm=arm, round=number, thumbnails=tuple(thumbnails), left_out=len(mine) - len(thumbnails))
