"""Embedding maps: where picks lie among the pool, seen in two dimensions."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np

from querist.arrays import Array, Ids
from querist.errors import UsageError
from querist.extras import require
from querist.kernels.pca import principal_axes
from querist.kernels.threads import single_threaded_blas
from querist.report.markup import Html, tag
from querist.seeds import Key

Projection = Literal["pca", "umap"]
PROJECTIONS: tuple[Projection, ...] = ("pca", "umap")
MOST = 3000
"""Items of the pool that are drawn, and that a projection is fitted on; a larger pool is sampled."""

FITTED = 12_000_000
"""Numbers that the two directions are fitted on: fewer rows where rows are wide, such as pixels."""
BLOCK = 512
"""Rows that are placed at a time."""

WIDTH, LOWEST, TALLEST = 1000, 380, 640
"""Units of a drawing: its width, and the bounds of its height."""
EDGE = 0.002
"""Share of the pool at either end of an axis that may lie outside and is drawn on the edge: outliers hide the rest."""
NEIGHBOURS = 15
"""Neighbours that UMAP looks at."""


@dataclass(frozen=True, eq=False)
class EmbeddingMap:
    """A pool in two dimensions.

    Attributes:
        cloud: ``(m, 2)`` places of a sample of the pool.
        locate: places ``(n, 2)`` of ids.
        words: what the two dimensions are, for a caption.
    """

    cloud: Array
    locate: Callable[[Ids], Array]
    words: str


@dataclass(frozen=True, eq=False)
class Frame:
    """How places become units of a drawing: one scale for both axes, so that distances keep their proportions."""

    low: Array
    scale: float
    height: int

    @classmethod
    def around(cls, points: Array, tallest: int = TALLEST) -> "Frame":
        """Return a frame of at most this height in which all but the outermost points lie inside."""
        low, high = np.quantile(points, [EDGE, 1 - EDGE], axis=0)
        pad = max(0.04 * float((high - low).max()), 1e-6 * (1.0 + float(np.abs(points).max())))
        low, high = low - pad, high + pad
        span = high - low
        height = int(np.clip(WIDTH * span[1] / span[0], LOWEST, tallest))
        scale = min(WIDTH / span[0], height / span[1])
        middle = (low + high) / 2
        return cls(middle - np.array([WIDTH, height]) / (2 * scale), float(scale), height)

    def place(self, points: Array) -> Array:
        """Return units ``(n, 2)`` from the upper left corner; what lies outside comes to the edge."""
        units = (points - self.low) * self.scale
        units[:, 1] = self.height - units[:, 1]
        return units.clip(8, [WIDTH - 8, self.height - 8])


class Rows(Protocol):
    """Features by id: an array, or anything that makes the rows it is asked for."""

    def __getitem__(self, ids: Ids, /) -> Array:
        """Return rows ``(n, d)``."""
        ...


def embedding_map(
    x_N_d: Rows, pool: Ids, marked: Ids, key: Key, how: Projection = "pca", of: str = "features"
) -> EmbeddingMap:
    """Return the pool in two dimensions.

    ``pca``: the two leading principal components of a sample of the pool, onto which everything is projected. ``umap``:
    McInnes, Healy & Melville, arXiv 1802.03426, on the sample and the marked items, from a start at the principal
    components; reproducible, on one thread.

    Args:
        x_N_d: features of all items by id; only sampled and marked rows are read.
        pool: what to draw; of more than `MOST` ids the `MOST` with the smallest hashes are drawn.
        marked: ids that will be asked for. PCA answers for others too.
        key: randomness of the sample and of UMAP.
        how: the projection.
        of: what the rows are, for the caption.

    Raises:
        MissingExtraError: UMAP is not installed.
        UsageError: there is no such projection.
    """
    if how not in PROJECTIONS:
        raise UsageError(f"Expected a map by {' or '.join(PROJECTIONS)}, got {how!r}.")
    drawn = pool[np.argsort(key.child("map").hash(pool))[:MOST]]
    shown = np.sort(drawn)
    x_m_d = _rows(x_N_d, np.sort(drawn[: max(2, FITTED // _rows(x_N_d, drawn[:1]).shape[1])]))
    mean_d, axes_d_2 = _axes(x_m_d)

    def locate(ids: Ids) -> Array:
        # A sum over the axis of d for each row by itself: a place must not depend on which others are asked for.
        parts = [ids[start : start + BLOCK] for start in range(0, len(ids), BLOCK)]
        places = [np.einsum("nd,dk->nk", _rows(x_N_d, part) - mean_d, axes_d_2) for part in parts]
        return np.concatenate([np.empty((0, 2)), *places])

    if how == "pca":
        cloud = locate(shown)
        total = float(np.square(x_m_d - mean_d).sum())
        share = float(np.square((x_m_d - mean_d) @ axes_d_2).sum()) / total if total else 1.0
        return EmbeddingMap(
            cloud, locate, f"the two main directions (PCA) of the {of}, which hold {share:.0%} of the variance"
        )
    ids = np.union1d(shown, marked)
    places = _umap(_rows(x_N_d, ids), locate(ids), key.child("umap").seed.integer())
    return EmbeddingMap(
        places[np.searchsorted(ids, shown)], lambda wanted: places[np.searchsorted(ids, wanted)],
        f"a UMAP of the {of}, which shows who is near whom; distances between far groups mean little",
    )  # fmt: skip


def cloud_path(frame: Frame, points: Array, style: str = "cloud", name: str | None = None) -> Html:
    """Return points as one element: strokes of no length with round ends, a tenth of the bytes of circles.

    Args:
        frame: where they go.
        points: ``(n, 2)``.
        style: class of the element.
        name: its identifier.
    """
    units = np.unique(frame.place(points).round().astype(int), axis=0)
    return tag("path", {"class": style, "id": name, "d": "".join(f"M{x} {y}h0" for x, y in units.tolist())})


def drawing(frame: Frame, description: str, *content: object) -> Html:
    """Return a picture of one frame."""
    box = f"0 0 {WIDTH} {frame.height}"
    return tag("svg", {"viewBox": box, "role": "img", "aria-label": description}, *content)


def _rows(x_N_d: Rows, ids: Ids) -> Array:
    return x_N_d[ids].astype(np.float64)


@single_threaded_blas()
def _axes(x_m_d: Array) -> tuple[Array, Array]:
    """The mean ``(d,)`` and two axes ``(d, 2)``, columns of zeros where there are fewer."""
    m, d = x_m_d.shape
    k = min(2, m, d)
    mean_d, axes_d_k = principal_axes(lambda: [x_m_d], m, d, k)
    return mean_d, np.pad(axes_d_k, ((0, 0), (0, 2 - k)))


def _umap(x_m_d: Array, start_m_2: Array, seed: int) -> Array:
    require("a map by UMAP", "umap", "umap")
    from umap import UMAP

    if len(x_m_d) <= 3:  # fewer than UMAP can relate
        return start_m_2
    start_m_2 = 10.0 * start_m_2 / (float(np.abs(start_m_2).max()) or 1.0)
    with warnings.catch_warnings():
        # It tells that a seed costs parallel speed; that is what is wanted.
        warnings.simplefilter("ignore")
        fit = UMAP(
            n_neighbors=min(NEIGHBOURS, len(x_m_d) - 1),
            init=start_m_2,  # pyright: ignore[reportArgumentType] - its documentation allows arrays
            random_state=seed,
            n_jobs=1,
        )
        places_m_2 = np.asarray(fit.fit_transform(x_m_d.astype(np.float32)), dtype=np.float64)
    # Its axes mean nothing; the longer one is laid flat, as a screen is.
    mean_2, axes_2_2 = _axes(places_m_2)
    return (places_m_2 - mean_2) @ axes_2_2
