"""Entropy of the votes."""

from dataclasses import dataclass

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

    Attributes:
        k: draws of a stochastic model, or members of a committee.
    """

    k: int = 5

    def reason(self, utility: float) -> str:
        return f"the votes on its class have an entropy of {utility:.3f} nats"

    def score(self, ev: Evidence) -> Array:
        return draws.vote_entropy(self.draws(ev))
