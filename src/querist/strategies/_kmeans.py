"""What the two k-means strategies have in common."""

from dataclasses import dataclass

from querist.strategies.base import Strategy, require_at_least


@dataclass(frozen=True, kw_only=True)
class KMeansStrategy(Strategy):
    """Settings of the clustering and the reason given for a pick.

    Attributes:
        iterations: the most Lloyd iterations per start.
        restarts: starts, of which the one with the lowest inertia is kept.
    """

    iterations: int = 20
    restarts: int = 5

    def __post_init__(self) -> None:
        require_at_least(self, 1, "iterations", "restarts")

    def reason(self, utility: float) -> str:
        if utility > 0:
            return f"it is the most central item of a group of {utility:.0f}"
        return "it lies far from the others, and no group was left to represent"
