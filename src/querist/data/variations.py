"""Datasets made of others: a random part of one, or one with a defect that real pools have."""

from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from querist.arrays import Ids, Labels
from querist.data.columns import UNLABELLED
from querist.data.dataset import Dataset, register
from querist.data.manifest import SPLITS
from querist.data.memory import from_arrays
from querist.errors import DataError
from querist.seeds import Key, Seed

Images: TypeAlias = npt.NDArray[Any]


@register("sample")
def sample(base: Dataset, pool: int | None = None, test: int | None = None, seed: int = 0) -> Dataset:
    """A random part of another dataset, for studies that need no more; what is left out is gone, not kept aside.

    A larger part contains the smaller one.

    Args:
        base: what to draw from.
        pool: number of pool items; None takes all.
        test: number of test items; None takes all.
        seed: another seed, another part.
    """
    key = Seed(seed).child("sample", base.name).key()
    chosen = np.sort(np.append(_drawn(base, "pool", base.pool, pool, key), _drawn(base, "test", base.test, test, key)))
    return part_of(base, base.name, base.items[chosen], base.labels.unseal()[chosen], chosen)


@register("stressed")
def stressed(
    base: Dataset,
    kind: Literal["label_noise", "outliers", "near_copies", "long_tail"] = "outliers",
    share: float = 0.3,
    seed: int = 0,
) -> Dataset:
    """A dataset whose pool has a defect, and whose test items are as they were: does a result survive it?

    Args:
        base: the sound dataset.
        kind: ``label_noise``: answers to a `share` of the pool are wrong, always in the same way. ``outliers``: a
            `share` of the pool has its values shuffled beyond recognition and answers drawn at random.
            ``near_copies``: a `share` of the pool is copies of few of the others, with a little noise.
            ``long_tail``: class sizes in the pool fall geometrically, from the first class down to a `share` of it
            (`querist.data.imbalance` has the published profiles).
        share: how much, between 0 and 1.
        seed: another seed, other victims.

    Raises:
        DataError: a share that is not above 0 and below 1, or pool items without labels.
    """
    if not 0.0 < share < 1.0:
        raise DataError(f"dataset 'stressed': expected a share above 0 and below 1, got {share}.")
    y = base.labels.unseal().copy()
    if (y[base.pool] == UNLABELLED).any():
        raise DataError(f"dataset 'stressed': expected labels for all pool items of {base.name!r}.")
    x = base.items[np.arange(len(y))].copy()
    root = Seed(seed).child("stressed", base.name, kind)
    rng, order = root.generator(), base.pool[np.argsort(root.key().hash(base.pool))]
    struck = order[: round(share * len(order))]
    kept = np.arange(len(y))
    match kind:
        case "label_noise":
            y[struck] = (y[struck] + rng.integers(1, base.c, len(struck))) % base.c
        case "outliers":
            flat = x.reshape(len(x), -1)
            for row in struck:
                rng.shuffle(flat[row])
            y[struck] = rng.integers(base.c, size=len(struck))
        case "near_copies":
            sound = order[len(struck) :]
            source = sound[: max(1, len(sound) // 10)]
            copied = source[rng.integers(len(source), size=len(struck))]
            x[struck], y[struck] = _nearly(x[copied], rng), y[copied]
        case "long_tail":
            sizes = np.bincount(y[base.pool], minlength=base.c)
            wanted = np.rint(sizes.max() * share ** (np.arange(base.c) / max(base.c - 1, 1))).astype(np.intp)
            kept = np.setdiff1d(kept, surplus(base.pool, y, wanted, root.key().child("tail")))
    return part_of(base, f"{base.name}-{kind}", x[kept], y[kept], kept)


def _drawn(base: Dataset, split: str, ids: Ids, number: int | None, key: Key) -> Ids:
    if number is None:
        return ids
    if not 1 <= number <= len(ids):
        raise DataError(f"dataset 'sample': expected 1 to {len(ids)} {split} items of {base.name!r}, got {number}.")
    return ids[np.argsort(key.child(split).hash(ids))[:number]]


def _nearly(x: Images, rng: np.random.Generator) -> Images:
    """Return copies with noise of a hundredth of the range of values."""
    spread = 0.01 * (float(x.max()) - float(x.min()))
    noisy = x + rng.normal(scale=spread, size=x.shape)
    if not np.issubdtype(x.dtype, np.floating):
        noisy = np.clip(np.rint(noisy), np.iinfo(x.dtype).min, np.iinfo(x.dtype).max)
    return noisy.astype(x.dtype)


def surplus(pool: Ids, y: Labels, wanted_c: npt.NDArray[np.integer], key: Key) -> Ids:
    """Return the pool items that are too many where each class keeps at most its number in `wanted_c`.

    With the same key, those that are too many where more are wanted are among those where fewer are.
    """
    hashed = key.hash(pool)
    of_class = (np.flatnonzero(y[pool] == c) for c in range(len(wanted_c)))
    left = [np.sort(pool[rows[hashed[rows].argsort()][k:]]) for rows, k in zip(of_class, wanted_c, strict=True)]
    return np.concatenate(left)


def part_of(base: Dataset, name: str, x: Images, y: Labels, rows: Ids) -> Dataset:
    """Return a dataset of some rows of another, under their keys and in their splits."""
    manifest = base.manifest
    split = np.asarray(manifest.split)[rows]
    return from_arrays(
        name, x, y, split=[SPLITS[int(code)] for code in split], keys=[manifest.keys[int(i)] for i in rows],
        classes=manifest.classes,
    )  # fmt: skip
