"""What a strategy picks of the toy, drawn: the classes, what the model says, what was labelled, what is asked for."""

from collections.abc import Sequence

import numpy as np
from skimage.measure import approximate_polygon, find_contours

from querist.arrays import Array, Ids
from querist.report.markup import Html, join, tag
from querist.report.palette import HUES, PAPERS, Paper
from querist.report.toy import CLASSES, GRID, LETTERS, Stage, Toy

SIDE = 400
"""Units of a picture along each side."""
NUMBERED = 12
"""New picks up to which each shows its number; more would hide one another and are shaded by their order."""
CLASS_HUES: dict[Paper, tuple[int, ...]] = {"light": (0, 1, 2, 3), "dark": (0, 1, 2, 4)}
"""Which hues of the palette the classes have."""
TOLERANCE = 0.12
"""How far a border may be moved to be drawn with fewer points, in steps of the grid."""


def pool_symbol(on: Toy) -> Html:
    """Return the points of the toy and the names of its classes, defined once on a page and used by its pictures."""
    clouds = [
        tag("path", {"class": f"dot k{c}", "d": _strokes(on.plane[on.pool[on.labels == c]])})
        for c in range(len(CLASSES))
    ]
    group = tag("g", {"id": "pool"}, *clouds, *_letters())
    return tag(
        "svg", {"width": 0, "height": 0, "aria-hidden": "true", "class": "away"}, tag("defs", None, group)
    )  # fmt: skip


def picture(stage: Stage, on: Toy, *, words: str | None = None) -> Html:
    """Return the picture of one stage; a page must hold the `pool_symbol`.

    Args:
        stage: what to draw.
        on: the toy.
        words: what the picture shows, for those who do not see it; None marks it as decoration, without explanations.
    """
    role = {"aria-hidden": "true"} if words is None else {"role": "img", "aria-label": words}
    regions = [] if stage.regions is None else [_region(margin, c) for c, margin in enumerate(stage.regions)]
    earlier = _strokes(on.plane[stage.before])
    rings = [tag("path", {"class": style, "d": earlier}) for style in ("ring", "core")] if len(stage.before) else []
    return tag(
        "svg", {"class": "toy", "viewBox": f"0 0 {SIDE} {SIDE}", **role},
        *regions, Html('<use href="#pool"/>'), *rings, _picks(stage, on, explained=words is not None),
    )  # fmt: skip


def counts(ids: Ids, on: Toy) -> str:
    """Return how many of some ids are of each class: ``2 of A, 1 of B``."""
    size = np.bincount(on.labels[ids], minlength=len(CLASSES))
    return ", ".join(f"{n} of {name}" for name, n in zip(CLASSES, size.tolist(), strict=True) if n)


def class_colours() -> str:
    """Return the style sheet that gives the classes their colours on light and on dark paper."""
    light, dark = (_variables([HUES[paper][hue] for hue in CLASS_HUES[paper]]) for paper in PAPERS)
    rules = "".join(f".k{c}{{--k:var(--k{c})}}" for c in range(len(CLASSES)))
    return f":root{{{light}}}@media (prefers-color-scheme: dark){{:root{{{dark}}}}}{rules}"


def _variables(hues: Sequence[str]) -> str:
    return "".join(f"--k{c}:{hue};" for c, hue in enumerate(hues))


def _units(points: Array) -> list[list[int]]:
    """Units from the upper left corner, ``(n, 2)``."""
    return np.rint(np.stack([points[:, 0], 1.0 - points[:, 1]], axis=1) * SIDE).astype(int).tolist()


def _strokes(points: Array) -> str:
    return "".join(f"M{x} {y}h0" for x, y in _units(points))


def _letters() -> list[Html]:
    """The names of the classes, a second sign for those who do not tell the colours."""
    places = _units(np.array([(x, y) for _, x, y in LETTERS]))
    return [
        tag("text", {"class": "letter", "x": x, "y": y}, name)
        for (name, _, _), (x, y) in zip(LETTERS, places, strict=True)
    ]


def _region(margin: Array, c: int) -> Html:
    """Where the model says class c; the picture ends half a step outside the outermost points of the grid."""
    inner = np.pad(margin, 1, mode="edge")
    outside = np.pad(np.zeros(margin.shape, bool), 1, constant_values=True)
    inner[outside] = -np.abs(inner[outside])
    lines = [approximate_polygon(line, TOLERANCE) for line in find_contours(inner, 0.0)]
    pieces = [_units((line[:, ::-1] - 0.5) / GRID) for line in lines]
    path = "".join("M" + "L".join(f"{x} {y}" for x, y in piece[:-1]) + "z" for piece in pieces)
    return tag("path", {"class": f"area k{c}", "d": path})


def _picks(stage: Stage, on: Toy, *, explained: bool) -> Html:
    numbered = len(stage.picks) <= NUMBERED
    marks: list[Html] = []
    reasons = stage.reasons or ("",) * len(stage.picks)
    # The first picks are drawn last, for they lie on top.
    places = _units(on.plane[stage.picks])
    for rank, (item, (x, y), reason) in reversed(
        [*enumerate(zip(stage.picks.tolist(), places, reasons, strict=True), start=1)]
    ):
        shade = 0 if len(stage.picks) < 2 else round(100 * (rank - 1) / (len(stage.picks) - 1))
        words = f"{rank}: class {CLASSES[on.labels[item]]}" + (f"; {reason}" if reason else "")
        circle = tag(
            "circle", {"cx": x, "cy": y, "r": 10 if numbered else 6, "style": None if numbered else f"--s:{shade}%"},
            tag("title", None, words) if explained else "",
        )  # fmt: skip
        number = tag("text", {"x": x, "y": y}, rank) if numbered else ""
        marks.append(tag("g", {"data-id": item}, circle, number))
    return tag("g", {"class": "picks numbered" if numbered else "picks"}, join(marks))
