"""Pools in which some classes are rare, by the profiles that studies of imbalance use."""

from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from querist.arrays import Array
from querist.data.columns import UNLABELLED
from querist.data.dataset import Dataset, register
from querist.data.variations import part_of, surplus
from querist.errors import DataError
from querist.kernels.apportion import in_proportion
from querist.seeds import Seed

Profile: TypeAlias = Literal["exponential", "step", "s2"]
Counts: TypeAlias = npt.NDArray[np.intp]

DECAYS = {10: (500.0, 4000.0, -0.32), 100: (100.0, 400.0, -0.046)}
"""Number of classes -> floor, scale and decay of the S2 profile: published for CIFAR-10 and CIFAR-100, no others."""
RATIO = 0.1


@register("imbalanced", cite="Cao et al., NeurIPS 2019; Buda, Maki & Mazurowski 2018; Munjal et al., CVPR 2022")
def imbalanced(
    base: Dataset, profile: Profile = "exponential", ratio: float | None = None, shuffled: bool = False, seed: int = 0
) -> Dataset:
    """A dataset whose pool has common and rare classes, and whose test items are as they were.

    Test items stay balanced if they were: judge by `balanced_accuracy` or `macro_f1`. Numbers are exact, by
    `class_counts`, unless a class of the base has fewer items than that and keeps all it has. Keys of the items are
    those of the base. With one seed, a pool contains that of every smaller ratio.

    To draw only the initial set unevenly, as the profile ``s2`` was published, take the strategy ``long_tail_oracle``
    for it.

    Args:
        base: what to take from.
        profile: how class sizes fall, see `class_counts`.
        ratio: size of the rarest class in parts of the most common one, above 0 and at most 1; None: 0.1. The profile
            ``s2`` has none.
        shuffled: whether chance says which class is how rare; otherwise the declared order does.
        seed: another seed, another part.

    Raises:
        DataError: an impossible ratio, a profile that is not defined for so many classes, a class of which nothing
            would be left, or pool items without labels.
    """
    y = base.labels.unseal()
    if (y[base.pool] == UNLABELLED).any():
        raise DataError(f"dataset 'imbalanced': expected labels for all pool items of {base.name!r}.")
    sizes = np.bincount(y[base.pool], minlength=base.c)
    key = Seed(seed).child("imbalanced", base.name).key()
    order = key.child("order").hash(np.arange(base.c)).argsort() if shuffled else np.arange(base.c)
    wanted = np.empty(base.c, dtype=np.intp)
    wanted[order] = class_counts(base.c, int(sizes.max()), profile, ratio)
    if empty := [base.classes[c] for c in np.flatnonzero(np.minimum(sizes, wanted) == 0)]:
        raise DataError(
            f"dataset 'imbalanced': nothing would be left of the classes {', '.join(empty[:5])} of {base.name!r}, "
            f"whose largest class has {sizes.max()} items. Raise the ratio, or leave those classes out of the base."
        )
    kept = np.setdiff1d(np.arange(len(y)), surplus(base.pool, y, wanted, key))
    name = f"{base.name}-{profile}" if profile == "s2" else f"{base.name}-{profile}-{_ratio(ratio):g}"
    return part_of(base, name, base.items[kept], y[kept], kept)


def class_counts(c: int, largest: int, profile: Profile = "exponential", ratio: float | None = None) -> Counts:
    """Return ``(c,)``: how many items each class has, most common first.

    ``exponential``: ``floor(largest * ratio^(i / (c - 1)))``. ``step``: `largest` in the first half of the classes, the
    middle one included, and ``floor(largest * ratio)`` in the second. ``s2``: in proportion to
    ``floor + scale exp(decay (i + 1/2))`` with the published constants, by largest remainder.

    Args:
        c: number of classes.
        largest: size of the most common one.
        profile: which.
        ratio: as in `imbalanced`.

    Raises:
        DataError: an impossible ratio, or a profile that is not defined for `c` classes.

    >>> class_counts(10, 5000, "exponential", 0.01).tolist()
    [5000, 2997, 1796, 1077, 645, 387, 232, 139, 83, 50]
    """
    if profile == "s2":
        if ratio is not None:
            raise DataError(f"dataset 'imbalanced': the profile 's2' has no ratio, got {ratio}. Leave it out.")
        share = _decaying(c)
        return in_proportion(share, np.full(c, largest), int(largest / share[0]))
    least, i = _ratio(ratio), np.arange(c)
    exact = largest * (np.where(i < (c + 1) // 2, 1.0, least) if profile == "step" else least ** (i / (c - 1)))
    return np.floor(exact + 1e-6).astype(np.intp)  # a power that is a whole number may come out a hair below it


def _decaying(c: int) -> Array:
    """Return ``(c,)`` parts of the pool by the S2 profile."""
    if c not in DECAYS:
        raise DataError(
            f"dataset 'imbalanced': the profile 's2' was published for 10 and for 100 classes, not for {c}. "
            "Take 'exponential' with a ratio."
        )
    floor, scale, decay = DECAYS[c]
    share = floor + scale * np.exp(decay * (np.arange(c) + 0.5))
    return share / share.sum()


def _ratio(ratio: float | None) -> float:
    ratio = RATIO if ratio is None else ratio
    if not 0.0 < ratio <= 1.0:
        raise DataError(f"dataset 'imbalanced': expected a ratio above 0 and at most 1, got {ratio}.")
    return ratio
