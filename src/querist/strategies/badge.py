"""BADGE: batch active learning by diverse gradient embeddings."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from querist.evidence.evidence import Evidence
from querist.evidence.needs import Gradients
from querist.kernels.seeding import gradient_seeding
from querist.seeds import Key
from querist.strategies.base import Picks, Strategy, register


@register(
    "badge", cite="Ash et al., ICLR 2020", presets={"paper": {"gradient": "linear"}, "S4": {"gradient": "linear"}}
)
@dataclass(frozen=True, kw_only=True)
class Badge(Strategy):
    """Wants rows whose hypothesised last-layer gradients are large and far from one another.

    First the largest ``|g_i|``, then draws with probability in proportion to ``D_i^2``, the squared distance to the
    nearest pick in gradient space; ``g_i = (p_i - e_yhat) (x) z_i`` is never written out.

    Use when: a classifier head is trained and batches of any size are wanted that are uncertain and diverse, without a
    setting to tune.

    Avoid when: there are fewer than about four labels per class: it gained on UC Merced from there on, and nothing on
    CIFAR-10 within 20 labels per class.

    Pitfalls: rows the model is certain of have gradients of length 0; once all are, the rest is drawn at random. The
    length of embeddings counts, so their scale decides much.

    Attributes:
        gradient: of the last layer's weights (``linear``), or of weights and bias (``bias_linear``).
    """

    family: ClassVar = "hybrid"
    regimes: ClassVar = ("L", "M", "H")
    gradient: Literal["linear", "bias_linear"] = "linear"
    needs: ClassVar = (Gradients(),)

    def reason(self, utility: float) -> str:
        return f"labelling it would move the model by a gradient {utility:.3g} away from those of the other picks"

    def select(self, ev: Evidence, b: int, key: Key) -> Picks:
        residual_n_c, embedding_n_d = ev[Gradients()]
        bias = self.gradient == "bias_linear"
        return Picks(*gradient_seeding(residual_n_c, embedding_n_d, b, ev.candidates, key, bias=bias))
