"""What a batch is known to be worth: what it adds, next to the most that any other batch of its size could add."""

from math import floor
from typing import NamedTuple


class Certificate(NamedTuple):
    """A bound on what greedy picks, perhaps on a sample of the pool, lose against the best possible ones."""

    added: float
    """What the picks add to the coverage of the pool, summed over all of its rows."""
    most: float
    """What no choice of as many rows can exceed, with probability `confidence`."""
    references: int
    """Rows that the gains were summed over while picking."""
    rows: int
    """Rows of the pool."""
    confidence: float
    """1 if nothing was sampled: then `most` holds for sure."""

    @property
    def share(self) -> float:
        """At least this share of the best possible is reached, 0..1."""
        return min(self.added / self.most, 1.0) if self.most > 0 else 1.0

    @property
    def sampled(self) -> bool:
        """Whether gains were estimated from a part of the pool."""
        return self.references < self.rows

    def __str__(self) -> str:
        gains = f"gains were estimated from {self.references} of {self.rows} rows; " if self.sampled else ""
        sure = f" with {self.confidence:.0%} confidence" if self.sampled else ""
        share = floor(1000 * self.share) / 10  # rounded down, for it is a bound
        return f"{gains}the batch adds at least {share:.1f}% of what the best one of its size could add{sure}"


def most_possible(added: float, left: float, b: int) -> float:
    """Return what no `b` rows can add more than, where greedy ones added `added`, to a monotone submodular function.

    Identities: ``G(O) <= G(S) + left``, `left` being the `b` largest gains there are after S (Leskovec et al., KDD
    2007), and ``G(O) <= G(S) / (1 - (1 - 1/b)^b)`` (Nemhauser, Wolsey & Fisher, Mathematical Programming 1978).
    """
    return min(added + left, added / (1.0 - (1.0 - 1.0 / b) ** b)) if b else 0.0
