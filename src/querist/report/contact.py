"""What a contact sheet shows: every pick with its picture, its reason, and what it stands for in the pool."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from querist.arrays import Array, Ids
from querist.data.dataset import SetAside
from querist.errors import BudgetError
from querist.kernels.owners import owners
from querist.progress import tell
from querist.report.maps import EmbeddingMap
from querist.report.pictures import photo_uri

MOST = 500
"""Picks that a sheet shows; the rest are in the table beside it."""

SIDE, SMALL = 160, 52
"""Longest sides of the pictures of a pick and of what it stands for, in pixels."""

EXAMPLES = 5
"""Items shown of those that a pick stands for."""

Picture = Callable[[int], npt.NDArray[np.uint8]]


@dataclass(frozen=True, kw_only=True)
class Shown:
    """An item to look at: what it is called, and its picture as a data URI, if it is one."""

    name: str
    uri: str | None = None


@dataclass(frozen=True, kw_only=True)
class Card:
    """One pick.

    Attributes:
        rank: its place in the order picked, from 1 on.
        item: the pick itself.
        small: its picture once more, as small as those of the examples.
        reason: why it was picked, in words; may be empty.
        stands_for: items of the pool that are nearer to it than to any other pick, itself included.
        examples: some of those, from the nearest to the farthest.
    """

    rank: int
    item: Shown
    reason: str
    stands_for: int
    examples: tuple[Shown, ...]
    small: str | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class ContactSheet:
    """The picks of one selection, to look at.

    Attributes:
        source: what was selected from.
        cards: the picks in order, at most `MOST`.
        places: where they lie on the map, ``(len(cards), 2)``.
        stands_for: of every pick, shown or not, how many items of the pool are nearest to it.
        pool: items that the picks stand for, all together.
        facts: what else to say, as terms and descriptions.
        notices: what a reader must not miss.
        set_aside: what of the source was not selected from, and why.
        map: the pool in two dimensions, if wanted.
        kind: what an item is called, ``image`` or ``item``.
    """

    source: str
    cards: tuple[Card, ...]
    places: Array
    stands_for: tuple[int, ...]
    pool: int
    facts: Mapping[str, str]
    notices: tuple[str, ...] = ()
    set_aside: tuple[SetAside, ...] = ()
    map: EmbeddingMap | None = None
    kind: str = "item"


def kind_of(entry: SetAside) -> str:
    """Return the reason without its particulars: ``near copy`` of ``near copy of a.jpg``."""
    for kind in ("near copy", "same content"):
        if entry.reason.startswith(kind):
            return kind
    return entry.reason.partition(":")[0]


def contact_sheet(
    source: str,
    x_N_d: Array,
    candidates: Ids,
    picks: Ids,
    *,
    name: Callable[[int], str],
    picture: Picture | None = None,
    reasons: Sequence[str] = (),
    facts: Mapping[str, str] | None = None,
    notices: Sequence[str] = (),
    set_aside: Sequence[SetAside] = (),
    map: EmbeddingMap | None = None,  # noqa: A002 - it becomes the field of that name
) -> ContactSheet:
    """Return the sheet of some picks; ``stands_for`` of all picks, shown or not, adds up to the candidates.

    Args:
        source: what was selected from.
        x_N_d: features of all items by id, the ones the selection was made with.
        candidates: ids the picks stand for, ascending; those that could be picked.
        picks: ids in the order picked.
        name: what an item is called for people.
        picture: an item as an image, if it is one.
        reasons: one per pick, or none.
        facts, notices, set_aside, map: see `ContactSheet`.

    Raises:
        BudgetError: there are no picks.
    """
    if not len(picks):
        raise BudgetError("a contact sheet needs at least one pick.")
    owner_n, gap_n = owners(x_N_d, candidates, picks)
    size_b = np.bincount(owner_n, minlength=len(picks))
    shown = picks[:MOST]
    order = np.lexsort((candidates, gap_n, owner_n))
    groups = np.split(order, np.cumsum(size_b)[:-1])
    cards = []
    for rank, item in enumerate(shown.tolist()):
        members = candidates[groups[rank]]
        members = members[members != item]
        spread = np.unique(np.linspace(0, len(members) - 1, min(EXAMPLES, len(members))).round().astype(int))
        large, small = _uris(item, picture, SIDE, SMALL)
        cards.append(
            Card(
                rank=rank + 1, item=Shown(name=name(item), uri=large), reason=reasons[rank] if reasons else "",
                stands_for=int(size_b[rank]), small=small,
                examples=tuple(Shown(name=name(i), uri=_uris(i, picture, SMALL)[0]) for i in members[spread].tolist()),
            )
        )  # fmt: skip
        tell("contact sheet", rank + 1, len(shown))
    return ContactSheet(
        source=source, cards=tuple(cards), places=map.locate(shown) if map else np.zeros((len(shown), 2)),
        stands_for=tuple(size_b.tolist()), pool=len(candidates), facts=facts or {}, notices=tuple(notices),
        set_aside=tuple(set_aside), map=map, kind="item" if picture is None else "image",
    )  # fmt: skip


def _uris(item: int, picture: Picture | None, *sides: int) -> list[str | None]:
    """Pictures of one item in several sizes, read once."""
    if picture is None:
        return [None] * len(sides)
    pixels = picture(item)
    return [photo_uri(pixels, side) for side in sides]
