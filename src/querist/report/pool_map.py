"""The map of a pool with its picks by round: by PCA, UMAP or t-SNE, in colours that run from early to late."""

from typing import Literal

import numpy as np

from querist.arrays import Ids
from querist.kernels.threads import single_threaded_blas
from querist.report.maps import MOST, EmbeddingMap, Frame, Rows, cloud_path, drawing, embedding_map
from querist.report.markup import Html, tag
from querist.report.palette import Paper
from querist.report.pool import Chosen
from querist.seeds import Key

Drawn = Literal["pca", "umap", "tsne", "none"]
MOST_COLOURS = 6
"""Rounds that get a colour of their own; of more, neighbours share one."""
RAMPS: dict[Paper, tuple[str, ...]] = {
    "light": ("#d9760a", "#c9384f", "#a51d7d", "#6b2a9b", "#2e3e9e", "#0d2b52"),
    "dark": ("#fff0b3", "#ffc36b", "#ff8a72", "#e86bb0", "#ad7cf0", "#6f95ff"),
}
"""From the first round to the last, on light and on dark paper."""
PERPLEXITY = 30.0


def mapped_pool(x_N_d: Rows, pool: Ids, marked: Ids, key: Key, how: Drawn, of: str) -> EmbeddingMap | str:
    """Return the pool in two dimensions, or why it is not drawn; see `querist.report.maps.embedding_map`.

    ``tsne``: van der Maaten & Hinton, JMLR 2008, of a sample and the marked items, from a start at the principal
    components; reproducible.

    Raises:
        MissingExtraError: UMAP is not installed.
    """
    if how == "none":
        return "No map was asked for (--map none)."
    if how != "tsne":
        return embedding_map(x_N_d, pool, marked, key, how, of)
    flat = embedding_map(x_N_d, pool, marked, key, "pca", of)
    shown = np.sort(pool[np.argsort(key.child("map").hash(pool))[:MOST]])
    ids = np.union1d(shown, marked)
    if len(ids) <= 3:  # fewer than t-SNE can relate
        return flat
    places = _tsne(x_N_d[ids], flat.locate(ids), key.child("tsne").seed.integer())
    words = f"a t-SNE of the {of}, which shows who is near whom; sizes of groups and gaps between them mean nothing"
    return EmbeddingMap(
        places[np.searchsorted(ids, shown)], lambda wanted: places[np.searchsorted(ids, wanted)], words
    )  # fmt: skip


@single_threaded_blas()
def _tsne(x_m_d, start_m_2, seed: int):
    from sklearn.manifold import TSNE

    start_m_2 = 1e-4 * start_m_2 / (float(start_m_2[:, 0].std()) or 1.0)
    fit = TSNE(
        init=start_m_2, random_state=seed, perplexity=min(PERPLEXITY, (len(x_m_d) - 1) / 3), n_jobs=1
    )  # fmt: skip
    return fit.fit_transform(x_m_d.astype(np.float32)).astype(np.float64)


def shades(count: int) -> list[int]:
    """Return which colour of a ramp each of so many rounds has: the ends for the first and the last."""
    return np.linspace(0, MOST_COLOURS - 1, count).round().astype(int).tolist() if count > 1 else [0]


def picture_of(pool: EmbeddingMap, chosen: Chosen | str) -> Html:
    """Return the map as a picture with a legend."""
    frame = Frame.around(pool.cloud)
    if isinstance(chosen, str):
        return drawing(frame, "The pool as a cloud of dots", cloud_path(frame, pool.cloud))
    parts, legend = [], []
    for colour, names, ids in _groups(chosen):
        style = "".join(f"--on-{paper}:{RAMPS[paper][colour]};" for paper in RAMPS)
        places = pool.locate(ids)
        parts.append(tag("g", {"style": style}, cloud_path(frame, places, "edge"), cloud_path(frame, places, "dots")))
        legend.append(tag("li", {"style": style}, tag("span", {"class": "dot"}), f"{names} ({len(ids):,})"))
    words = f"The pool as a cloud of dots, with {len(chosen.ids)} picks"
    return Html(drawing(frame, words, cloud_path(frame, pool.cloud), *parts) + tag("ul", {"class": "legend"}, *legend))


def _groups(chosen: Chosen) -> list[tuple[int, str, Ids]]:
    """Rounds of one colour together: the colour, their names, their ids."""
    found: dict[int, list[int]] = {}
    for number, colour in enumerate(shades(len(chosen.rounds))):
        found.setdefault(colour, []).append(number)
    return [
        (
            colour,
            chosen.names[numbers[0]] + (f" to {chosen.names[numbers[-1]]}" if len(numbers) > 1 else ""),
            np.concatenate([chosen.rounds[number] for number in numbers]),
        )
        for colour, numbers in found.items()
    ]
