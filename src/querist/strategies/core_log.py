"""CoreLog: the expected gain of the log score on other rows, diverse in a batch."""

from dataclasses import dataclass

import numpy as np

from querist.evidence.evidence import Evidence
from querist.evidence.needs import Draws
from querist.kernels.targets import information_by_target, most_informative
from querist.seeds import Key
from querist.strategies._targets import Core
from querist.strategies.base import Picks, register


@register("core_log", cite="Tan, Du & Buntine, NeurIPS 2021", presets={"paper": {"k": 5, "targets": 600}})
@dataclass(frozen=True, kw_only=True)
class CoreLog(Core):
    """Wants the rows whose label is expected to change the predictions of other rows most, each in its own way.

    Identity: ``u_i = E_y mean_t KL(q_ty || pbar_t)`` in nats, where ``q_ty`` is the mean of the draws of target t,
    weighted by the probability each gave to the label y of row i; the same number as `epig` on the same targets. A
    batch takes the medoids of the best rows, clustered by the direction of their vectors over targets; clusters with
    nothing to give are made up for by rows far from the others. The batch and its constants but k and targets are ours
    where the paper is silent.

    Use when: a few well trained members are at hand and batches are large: it spreads what bald would repeat.

    Avoid when: labels are few or members are alike: the changes it weighs are then noise.

    Pitfalls: the targets are drawn from the candidates and stand for the inputs the model will meet. The share that is
    clustered trades quality for diversity.

    Attributes:
        k: draws of a stochastic model, or members of a committee, each one function of all rows.
        targets: candidates drawn at random, anew for every query; all of them where there are fewer.
        batch: ``diverse`` takes the medoids of a k-means clustering of the best rows by what they would tell about each
            target; ``top`` takes the best. One pick is always the best.
        share: of the candidates, the best by their total that are clustered; at least as many as picks.
        iterations: the most Lloyd iterations.
    """

    def reason(self, utility: float) -> str:
        if utility > 0:
            return f"its label is expected to change predictions of other items by {utility:.3g} nats on average"
        return "no other item's prediction would change more; it differs from the other picks or is drawn at random"

    def select(self, ev: Evidence, b: int, key: Key) -> Picks:
        draws, targets = ev[Draws(k=self.k, coherent=True)], self.drawn(ev, key)
        count = self.clustered(len(ev.candidates), b)
        rows, value = most_informative(draws, targets, count, key.hash(ev.candidates))
        if self.batch == "top" or b == 1:
            return Picks(rows, value)
        order = np.argsort(rows)
        rows, value = rows[order], value[order]
        return self.medoids(ev, rows, value, information_by_target(draws, targets, rows), b, key)
