"""BatchBALD: a batch whose labels together tell most about the draw that is right."""

from dataclasses import dataclass
from typing import Any, ClassVar

from querist.evidence.evidence import Evidence
from querist.evidence.needs import Draws, Need
from querist.kernels.joint import joint_information
from querist.seeds import Key
from querist.strategies.base import Picks, State, Strategy, register, require_at_least


@register(
    "batch_bald",
    cite="Kirsch, van Amersfoort & Gal, NeurIPS 2019",
    presets={"S4": {"k": 40, "samples": 1000}},
)
@dataclass(frozen=True, kw_only=True)
class BatchBald(Strategy):
    """Wants, pick by pick, the row that adds most to what all labels of the batch tell about the draws together.

    Identity: ``argmax_i I(y_1, .., y_m, y_i; draw)``; greedy is within 1 - 1/e of the best batch. The labels of the
    picks are enumerated while there are at most `samples` configurations and sampled afterwards. All labels together
    tell at most ``log k`` nats; once the picks tell what there is, the batch is completed at random, with a utility
    of 0. Made for batches of a few tens.

    Use when: batches are of at most a few tens and coherent draws from a good approximate posterior are at hand.

    Avoid when: batches are larger, or draws are bagged heads on few labels: far below random in our study.

    Pitfalls: all labels together tell at most log k nats, so with few draws the batch is soon completed at random. Time
    grows with every pick.

    Attributes:
        k: draws of a stochastic model, or members of a committee, each one function of all rows.
        samples: configurations of labels that are weighed, at most.
    """

    family: ClassVar = "committee"
    regimes: ClassVar = ("L", "M")
    k: int = 100
    samples: int = 40_000

    def __post_init__(self) -> None:
        require_at_least(self, 2, "k")
        require_at_least(self, 1, "samples")

    def needs_at(self, state: State) -> tuple[Need[Any], ...]:
        return (Draws(k=self.k, coherent=True),)

    def reason(self, utility: float) -> str:
        if utility > 0:
            return f"its label would add {utility:.3g} nats to what the other picks tell about which draw is right"
        return "nothing that the draws disagree about is left for its label to tell; drawn at random"

    def select(self, ev: Evidence, b: int, key: Key) -> Picks:
        return Picks(
            *joint_information(
                ev[Draws(k=self.k, coherent=True)],
                b,
                key.hash(ev.candidates),
                samples=self.samples,
                generator=lambda step: key.child("step", step).generator(),
            )
        )
