"""FALCUN: draws of uncertain rows whose predictions differ from those drawn before."""

from dataclasses import dataclass
from math import isfinite
from typing import ClassVar

from querist.errors import SpecError
from querist.evidence.evidence import Evidence
from querist.evidence.needs import Probs
from querist.kernels import scores
from querist.kernels.relevance import relevance_draws
from querist.seeds import Key
from querist.strategies.base import Picks, Strategy, register


@register("falcun", cite="Gilhuber et al., ECML PKDD 2024", presets={"paper": {"gamma": 10.0}})
@dataclass(frozen=True, kw_only=True)
class Falcun(Strategy):
    """Draws rows with a small margin whose class probabilities are unlike those of the rows drawn before.

    Row i is drawn with probability in proportion to ``(u_i + D_i)^gamma``: ``u_i = 1 - (p_(1) - p_(2))``, and ``D_i``
    starts as ``u_i`` and falls to ``min(D_i, |p_i - p_q|_1)`` with every pick q. In the sum it is scaled to 0..1 over
    the rows that are left, from the first draw on, as the authors' code does. It reads nothing but probabilities.

    Use when: batches are large, embeddings are not at hand or too wide, and a batch of small margins alone would ask
    for one confusion between classes over and over.

    Avoid when: the model has few labels and its probabilities mean little, or there are two classes, whose
    probabilities are one number and leave no room for diversity.

    Pitfalls: two rows that look nothing alike but are predicted alike count as one. Once all rows left are certain and
    predicted alike, it draws at random.

    Attributes:
        gamma: 0 draws uniformly; the larger, the closer to the most relevant row.
    """

    family: ClassVar = "hybrid"
    regimes: ClassVar = ("L", "M", "H")
    gamma: float = 10.0
    needs: ClassVar = (Probs(),)

    def __post_init__(self) -> None:
        if not (isfinite(self.gamma) and self.gamma >= 0.0):
            raise SpecError(f"Expected gamma to be a finite number, 0 or larger, got {self.gamma}.")

    def reason(self, utility: float) -> str:
        if utility <= 0.0:
            return "drawn at random: the model is certain of all that is left, and predicts it like earlier picks"
        return f"drawn with a relevance of {utility:.3g}: how torn the model is, plus how unlike earlier picks"

    def select(self, ev: Evidence, b: int, key: Key) -> Picks:
        p_n_c = ev[Probs()]
        # Probabilities may miss a sum of one a little; a margin above 1 is none.
        uncertainty_n = (1.0 + scores.margin(p_n_c)).clip(min=0.0)
        return Picks(*relevance_draws(p_n_c, uncertainty_n, b, ev.candidates, key, gamma=self.gamma))
