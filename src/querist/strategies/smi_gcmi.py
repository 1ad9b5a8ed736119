"""Graph cut mutual information: a ranking by similarity to the query set."""

from dataclasses import dataclass
from typing import ClassVar

from querist.evidence.evidence import Evidence
from querist.kernels.likeness import Likeness
from querist.kernels.top import top_b
from querist.seeds import Key
from querist.strategies._information import MutualInformation, Sets
from querist.strategies.base import Picks, register, require_between


@register(
    "smi_gcmi",
    cite="Kothawade et al., NeurIPS 2021; Iyer, Khargoankar, Bilmes & Asanani, ALT 2021",
    presets={"paper": {}, "S4": {}},
)
@dataclass(frozen=True, kw_only=True)
class SmiGcmi(MutualInformation):
    """Wants the rows most like the query set on average.

    Identity: ``f(A) = 2 lambda sum_(j in A, q in Q) s_jq``, which is ``F(A) + F(Q) - F(A u Q)`` for graph cut F with
    redundancy lambda. Modular: the batch is the top of a ranking, and no maximiser is needed.

    Use when: retrieval is all that is wanted, quickly: it costs one look at every row, whatever the query set's size.

    Avoid when: the batch shall be diverse: nothing keeps near-copies apart.

    Pitfalls: the mean similarity is that to the mean of the query set, so a query set in two places finds what
    lies between them.

    Attributes:
        redundancy: lambda; it scales the utilities and changes no pick.
    """

    regimes: ClassVar = ("L", "M")
    redundancy: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        require_between(self, 1e-9, 1e9, "redundancy")

    def reason(self, utility: float) -> str:
        return (
            f"its similarities to the query set add up to {utility:.3g}"
            if utility
            else "nothing of the query set is left to match"
        )

    def pick(self, ev: Evidence, likeness: Likeness, sets: Sets, b: int, key: Key) -> Picks:
        score_n = 2.0 * self.redundancy * likeness.total(sets.query)[sets.candidates]
        rows = top_b(score_n, key.hash(ev.candidates), b)
        return Picks(rows, score_n[rows])
