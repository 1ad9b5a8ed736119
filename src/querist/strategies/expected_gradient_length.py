"""Expected gradient length: how much a label is expected to move the last layer."""

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from querist.arrays import Array
from querist.evidence.evidence import Evidence
from querist.evidence.needs import Gradients, Need, Probs
from querist.kernels.gradient_length import expected_residual, lengths
from querist.strategies.base import Scoring, State, register


@register(
    "expected_gradient_length",
    cite="Settles, Craven & Ray, NIPS 2007; Zhang, Lease & Wallace, AAAI 2017",
    presets={"paper": {"label": "expected"}},
)
@dataclass(frozen=True, kw_only=True)
class ExpectedGradientLength(Scoring):
    """Wants the rows whose label is expected to change the last layer most.

    Identity: ``u_i = sum_c p_ic |p_i - e_c| |z_i|``: the length of the last layer's gradient, expected under the
    prediction itself. With ``label="hypothesised"`` it is the length ``|p_i - e_yhat| |z_i|`` for the most likely class
    alone, whose largest is the first pick of `badge`.

    Use when: one score is wanted that counts doubt and the size of the embedding together, on a model in training.

    Avoid when: embeddings vary in length for reasons that have nothing to do with learning, such as brightness.

    Pitfalls: unless rows are normalised, the length of the embedding dominates and outliers are bought. Rows are scored
    one by one: a batch repeats itself, which badge repairs.

    Attributes:
        label: expected over all classes, or only the one hypothesised by the model.
        normalise: count every embedding as of length 1; on unit features that changes nothing.
        gradient: of the last layer's weights (``linear``), or of weights and bias (``bias_linear``).
    """

    family: ClassVar = "uncertainty"
    regimes: ClassVar = ("M", "H")
    label: Literal["expected", "hypothesised"] = "expected"
    normalise: bool = False
    gradient: Literal["linear", "bias_linear"] = "linear"

    def needs_at(self, state: State) -> tuple[Need[Any], ...]:
        if self.label == "hypothesised":
            return (Gradients(),)
        return (Probs(),) if self.normalise else (Probs(), Gradients())

    def reason(self, utility: float) -> str:
        return f"its label is expected to move the last layer by a gradient of length {utility:.3g}"

    def score(self, ev: Evidence) -> Array:
        if self.label == "hypothesised":
            residual_n = lengths(ev[Gradients()].residual)
        else:
            residual_n = expected_residual(ev[Probs()])
        if self.normalise:
            return residual_n
        return residual_n * lengths(ev[Gradients()].embedding, more=float(self.gradient == "bias_linear"))
