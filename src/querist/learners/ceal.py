"""CEAL: a learner that is fitted again on its own confident guesses, for one round at a time."""

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from querist.arrays import Array, Rows
from querist.errors import SpecError
from querist.evidence.needs import Probs
from querist.evidence.provider import Fit, Model
from querist.kernels.scores import entropy
from querist.learners.around import AroundOne
from querist.learners.base import Learner, register
from querist.learners.linear import Linear
from querist.nets.bounds import require_options, require_within
from querist.progress import record

CHUNK = 65_536
"""Rows of the pool that are guessed at a time."""

S1: dict[str, Any] = {"delta": 0.1, "rate": 0.00033, "normalised": True}
"""Simeoni et al., ICPR 2020. Not reproduced: labels of other images, and guesses that never reach the training."""
DEEPAL_PLUS: dict[str, Any] = {"delta": 5e-5, "rate": 0.033e-5, "normalised": False}
"""Zhan et al., arXiv 2203.13450, on entropies in nats; their threshold falls by ``t rate`` at call t, which adds up."""


@register(
    "ceal",
    cite="Wang, Zhang, Li, Zhang & Lin, IEEE TCSVT 2017, arXiv 1701.03551",
    presets={"s1": S1, "deepal-plus": DEEPAL_PLUS},
)
@dataclass(frozen=True, kw_only=True)
class Ceal(AroundOne):
    """Another learner, fitted on the labels and then on labels and its confident guesses about the pool.

    Rule: in round t, rows of the pool with ``H(p) / log c < max(0, delta - rate t)`` are given the likeliest class of
    their own probabilities, and the base is fitted anew on labels and guesses together, with the seed it had. Without
    any such row the model is that of the base, bit for bit. Guesses are no labels: no ledger and no budget knows of
    them, their rows stay in the pool and may be queried, and the next round makes its own from nothing.

    What differs from the publication: there, the guesses of a round join the training of the *next* one, beside the
    labels that were bought meanwhile; a guess about a row that was then bought is dropped. Here a fit knows one round,
    so the guesses come from a first fit on the labels of the same round, never from guesses, and each round costs two
    fits where there were guesses.

    It helps where confident means right: many labels, a well calibrated base, an easy majority of the pool. It hurts
    where it does not. Guesses are mostly of the classes the labels have much of, so a skewed batch is made more
    skewed; a base that is sure of everything, such as a net trained to zero loss on a few labels, guesses the whole
    pool at once and then learns its own mistakes. Around ``linear`` on 10 to 50 random labels of digits it never
    helped: the default makes hardly a guess, ``delta = 0.3`` costs 1.5 to 3 points of accuracy and ``delta = 0.5`` up
    to 11. A progress listener is told how many guesses there were: have a look.

    Attributes:
        base: the learner.
        delta: entropy below which a guess counts in round 0; 0 for no guesses.
        rate: by how much the threshold falls per round.
        normalised: whether entropies are divided by the logarithm of the number of classes; else they are in nats.
    """

    base: Learner = field(default_factory=Linear)
    delta: float = 0.1
    rate: float = 0.00033
    normalised: bool = True

    def __post_init__(self) -> None:
        require_options(self)
        require_within("delta", self.delta, 0, math.inf)
        require_within("rate", self.rate, 0, math.inf)
        if self.base.searches:
            raise SpecError(
                "the base is tuned, and would be twice per round. Tune the whole: 'tuned' with base 'ceal'."
            )

    def threshold(self, number: int) -> float:
        """Return the entropy below which a guess counts in a round, counted from 0: ``max(0, delta - rate t)``."""
        return max(0.0, self.delta - self.rate * number)

    def fit(self, job: Fit) -> Model:
        """Return the model of the base: of the labels, or of labels and guesses if there are any."""
        first = self.base.fit(job)
        if not self.threshold(job.round):
            return first
        rows, guesses = self.guesses(first, job)
        record("ceal", round=job.round, threshold=self.threshold(job.round), guesses=len(rows))
        if not len(rows):
            return first
        rest = job.pool.take(np.setdiff1d(np.arange(len(job.pool)), rows))
        return self.base.fit(job._replace(labelled=job.labelled.supposing(job.pool.take(rows), guesses), pool=rest))

    def guesses(self, model: Model, job: Fit) -> tuple[Rows, Rows]:
        """Return rows of the pool that a model is sure of, ascending, and the likeliest class of each of them."""
        rows, guesses = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
        for start in range(0, len(job.pool), CHUNK):
            part = np.arange(start, min(start + CHUNK, len(job.pool)))
            # A refit may be given a pool that its labels are among.
            part = part[~np.isin(job.pool.ids[part], job.labelled.ids)]
            if not len(part):
                continue
            p_n_c = np.asarray(model.provide(Probs(), job.pool.take(part)))
            sure_n = self.entropy(p_n_c) < self.threshold(job.round)
            rows.append(part[sure_n])
            guesses.append(p_n_c[sure_n].argmax(axis=1))
        return np.concatenate(rows), np.concatenate(guesses)

    def entropy(self, p_n_c: Array) -> Array:
        """Return the entropies ``(n,)`` that are compared with the threshold."""
        entropy_n, c = entropy(p_n_c), p_n_c.shape[1]
        return entropy_n / np.log(c) if self.normalised and c > 1 else entropy_n

    def save(self, model: Model, folder: Path) -> None:
        """Write a model as the base writes it."""
        self.base.save(model, folder)

    def load(self, folder: Path) -> Model:
        """Return the model that `save` wrote.

        Raises:
            DataError: the folder holds no model of the base.
        """
        return self.base.load(folder)
