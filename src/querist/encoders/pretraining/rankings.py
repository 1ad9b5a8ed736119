"""What the statistics of a pre-training come to: rankings of the pool and clusters of it, as files for strategies."""

from collections.abc import Mapping
from io import BytesIO
from pathlib import Path

import numpy as np
import numpy.typing as npt

from querist.arrays import Array, Ids, Labels
from querist.data.dataset import Dataset
from querist.files import write_bytes

RANKINGS, GROUPS = "rankings", "groups"
"""Folders of these files within that of a pre-training."""

RANKED = ("rotation_loss", "simclr_loss", "tau", "vae_loss")
"""Statistics of one number per item of which more is harder."""

MEMBERSHIPS, NUMBERS = ("scan_probs",), ("deep_cluster",)
"""Statistics that say in which cluster an item is: by a probability for each, and by its number."""


def write_rankings(folder: Path, traces: Mapping[str, Array], dataset: Dataset) -> None:
    """Write ``rankings/NAME_sorted_idx.npy`` for every loss and ``groups/NAME.npy`` for every clustering.

    A ranking holds all ids of the dataset, hardest first, equal ones and those outside of the pool, which come last, by
    id: the strategy `ranking_file` reads it. Groups are the number of the cluster of every item, -1 outside of the
    pool: `cluster_balanced_random` and others read them by their setting `groups`.

    Args:
        folder: of the pre-training.
        traces: statistics of the pool, ``(n, t)`` by name.
        dataset: whose pool it is.

    Raises:
        StoreError: the folder cannot be written.
    """
    for name in sorted(traces.keys() & set(RANKED)):
        order = np.argsort(-traces[name][:, -1], kind="stable")
        write_ranking(folder / RANKINGS, name, dataset.pool[order], dataset)
    for name in sorted(traces.keys() & {*MEMBERSHIPS, *NUMBERS}):
        rows = traces[name]
        group = np.full(len(dataset.manifest), -1)
        group[dataset.pool] = rows.argmax(axis=1) if name in MEMBERSHIPS else rows[:, -1]
        _write(folder / GROUPS / f"{name}.npy", group)


def write_ranking(folder: Path, name: str, ids: Ids, dataset: Dataset) -> Path:
    """Write ``NAME_sorted_idx.npy``: the pool in an order, then the ids outside of it, ascending; return its path.

    Args:
        folder: made if it is not there.
        name: of the ranking.
        ids: of the pool, each once, most wanted first.
        dataset: whose pool it is.

    Raises:
        StoreError: it cannot be written.
    """
    path = folder / f"{name}_sorted_idx.npy"
    _write(path, np.concatenate([ids, np.setdiff1d(np.arange(len(dataset.manifest)), ids)]))
    return path


def read_groups(folder: Path) -> dict[str, Labels]:
    """Return the clusterings that a pre-training wrote, by name: the cluster of every item, -1 outside of the pool."""
    return {path.stem: np.load(path, allow_pickle=False) for path in sorted((folder / GROUPS).glob("*.npy"))}


def _write(path: Path, values: npt.NDArray[np.integer]) -> None:
    buffer = BytesIO()
    np.save(buffer, values.astype(np.int64), allow_pickle=False)
    write_bytes(path, buffer.getvalue())
