"""BALD on the members of an ensemble."""

from dataclasses import dataclass

from querist.arrays import Array
from querist.evidence.evidence import Evidence
from querist.kernels import draws
from querist.strategies._ensemble import EnsembleScoring
from querist.strategies.base import register


@register(
    "ensemble_bald",
    cite="Houlsby et al. 2011, arXiv 1112.5745; Beluch et al., CVPR 2018",
    presets={"paper": {"k": 5}, "S2": {"k": 3}},
)
@dataclass(frozen=True, kw_only=True)
class EnsembleBald(EnsembleScoring):
    """Wants the rows whose label would tell most about which trained member is right.

    Identity: ``u_i = H(mean_k p^(k)_i) - mean_k H(p^(k)_i)`` in nats, at most ``log k``: `bald` on members that were
    each trained on their own; exactly 0 where all members agree.

    Use when: members are trained anyway and labels are noisy: what no label would settle does not count.

    Avoid when: there are few members and few labels: a single odd member decides the whole batch.

    Pitfalls: rows are scored one by one, so a batch repeats itself. With 3 members nothing exceeds log 3 = 1.1 nats.

    Attributes:
        k: members, at least 2; S2 trains 3, the paper 5.
    """

    def reason(self, utility: float) -> str:
        return f"its label would tell {utility:.3f} nats about which member is right"

    def score(self, ev: Evidence) -> Array:
        return draws.mutual_information(self.draws(ev))
