"""Entropy of the votes."""

from dataclasses import dataclass
from typing import ClassVar

from querist.arrays import Array
from querist.evidence.evidence import Evidence
from querist.kernels import draws
from querist.strategies._draws import DrawsScoring
from querist.strategies.base import register


@register("vote_entropy", cite="Dagan & Engelson, ICML 1995", presets={"paper": {"k": 5}})
@dataclass(frozen=True, kw_only=True)
class VoteEntropy(DrawsScoring):
    """Wants the rows whose votes are spread most evenly over classes.

    Identity: ``u_i = H(votes_i / k)`` in nats, one vote per draw for its most likely class, shared equally among
    classes that tie inside a draw. Rows with the same pattern of votes, whatever the classes, tie to the last bit.

    Use when: a committee of different models votes and the number of classes is moderate.

    Avoid when: members are few, for most rows then have the same pattern of votes and the batch is drawn at random
    among them; or labels are few: five bagged heads were 2 points below random on CIFAR-10.

    Pitfalls: it ignores how sure a vote is; a member that is barely decided counts like one that is certain.

    Attributes:
        k: draws of a stochastic model, or members of a committee.
    """

    family: ClassVar = "committee"
    regimes: ClassVar = ("M", "H")
    k: int = 5

    def reason(self, utility: float) -> str:
        return f"the votes on its class have an entropy of {utility:.3f} nats"

    def score(self, ev: Evidence) -> Array:
        return draws.vote_entropy(self.draws(ev))
