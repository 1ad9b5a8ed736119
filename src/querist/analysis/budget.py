"""How many labels to begin with: suggestions from coverage, from random draws, and a published formula.

Suggestions are shown and never applied: none of them knows what a label costs or how good a model has to be.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from querist.arrays import Array, Rows
from querist.errors import DataError, UsageError
from querist.kernels.nearest import gap_to

SHARE = 0.001
"""Coverage that a label has to add to be worth counting: a thousandth of the pool."""
SEEN = 0.95
"""Share of the classes that should be among the first labels."""


class Suggestion(NamedTuple):
    """A first budget, and where it comes from.

    Attributes:
        labels: how many; None if the curve is not flat where it ends, so that it takes more than was looked at.
        rule: what suggests it, in a few words.
        why: one sentence for people.
    """

    labels: int | None
    rule: str
    why: str


def coverage_curve(x_N_d: Array, picks: Rows, sigma: float = 1.0) -> Array:
    """Return ``(b,)``: how well the first t picks cover all rows, for t = 1 to b.

    Identity: ``mean_n max_(s in first t) exp(-|x_n - x_s|^2 / sigma^2)``, what `max_herding` maximises; from 0 to 1,
    never falling. Time O(N b d), memory O(N).

    Args:
        x_N_d: points, of unit length where directions count.
        picks: ``(b,)`` rows in the order labelled.
        sigma: width of the kernel.

    Raises:
        UsageError: `sigma` is not positive.
    """
    if not sigma > 0:
        raise UsageError(f"Expected sigma to be positive, got {sigma}.")
    near_N = np.full(len(x_N_d), np.inf)
    covered = np.empty(len(picks))
    for t, row in enumerate(picks.tolist()):
        np.minimum(near_N, gap_to(x_N_d, x_N_d[row]), out=near_N)
        covered[t] = np.exp(-near_N / sigma**2).mean()
    return covered


def expected_classes(size_k: npt.ArrayLike, most: int) -> Array:
    """Return ``(most + 1,)``: the expected number of groups seen among n = 0 to `most` items drawn at random.

    Identity: ``sum_k 1 - C(N - N_k, n) / C(N, n)``; draws are without replacement, so that n = N sees all.

    Args:
        size_k: members of each group; empty ones are never seen.
        most: draws, at most the number of items.

    Raises:
        DataError: negative sizes, or more draws than items.
    """
    sizes = np.asarray(size_k, dtype=np.float64)
    total = sizes.sum()
    if (sizes < 0).any() or not 0 <= most <= total:
        raise DataError(f"Expected sizes of groups and at most {total:g} draws, got {most} draws.")
    left_n = total - np.arange(most)
    # The chance that a group is still unseen shrinks with every draw by the share of what is left that is not in it.
    unseen_k_n = np.cumprod(np.maximum(left_n - sizes[:, None], 0.0) / left_n, axis=1)
    return np.concatenate([[0.0], (1.0 - unseen_k_n).sum(axis=0)])


def labels_to_see(size_k: npt.ArrayLike, share: float = SEEN) -> int:
    """Return the fewest random draws that are expected to see a `share` of the groups that have members."""
    sizes = np.asarray(size_k, dtype=np.int64)
    if not 0 < share <= 1:
        raise UsageError(f"Expected the share of classes to see to be above 0 and at most 1, got {share}.")
    wanted = share * np.count_nonzero(sizes)
    most = 1
    while True:
        most = min(2 * most, int(sizes.sum()))
        seen = expected_classes(sizes, most)
        # The tolerance is for the last group, whose chance of being unseen float64 may leave at 1e-17.
        if seen[-1] >= wanted - 1e-9 or most == sizes.sum():
            return int(np.argmax(seen >= wanted - 1e-9))


def labels_until_flat(covered: Array, share: float = SHARE) -> int | None:
    """Return after how many labels no further one adds `share` or more; None if the last one still does.

    Args:
        covered: ``(b,)`` what `coverage_curve` returns.
        share: of the pool, per label.
    """
    gain = np.diff(covered, prepend=0.0)
    worth = np.flatnonzero(gain >= share)
    last = int(worth[-1]) + 1 if len(worth) else 0
    return None if last == len(covered) else last


def published_formula(c: int) -> int:
    """Return ``c * floor(1.052 c + 41.33)``, the sizing rule in the code of the studies of initial pools.

    It knows the number of classes and nothing of the pool. Sources: the code of arXiv 2011.14696 and of arXiv
    2210.02442, which builds on it.
    """
    return c * int(1.052 * c + 41.33)


def suggest(
    *,
    covered: Mapping[str, Array] | None = None,
    size_k: npt.ArrayLike | None = None,
    groups: str = "classes",
    c: int | None = None,
    share: float = SHARE,
    seen: float = SEEN,
) -> tuple[Suggestion, ...]:
    """Return what the given facts suggest for a first budget, as many suggestions as there are facts.

    Args:
        covered: `coverage_curve` by name of who picked, e.g. ``max_herding``.
        size_k: members of each class, or of each cluster in its place.
        groups: what `size_k` counts.
        c: number of classes, for the published formula.
        share: a label has to add this share of the pool to coverage.
        seen: share of the groups that random labels should be expected to hold.
    """
    found = []
    for name, curve in (covered or {}).items():
        labels = labels_until_flat(curve, share)
        reach = f"coverage is then {curve[labels - 1]:.0%}" if labels else f"after {len(curve)} labels it still does"
        why = f"By {name}, from here on no label adds {share:.1%} of the pool to what is covered; {reach}."
        found.append(Suggestion(labels, f"coverage by {name}", why))
    if size_k is not None:
        why = f"So many random labels are expected to hold {seen:.0%} of the {np.count_nonzero(size_k)} {groups}."
        found.append(Suggestion(labels_to_see(size_k, seen), f"random draws that see {seen:.0%} of {groups}", why))
    if c is not None:
        why = f"floor(1.052 C + 41.33) = {int(1.052 * c + 41.33)} per class, for {c} classes; it knows nothing else."
        found.append(Suggestion(published_formula(c), "published formula", why))
    return tuple(found)
