"""What rankings by the course of a training share: mean and spread over epochs, and the three ends of them."""

from typing import Literal, TypeAlias

import numpy as np

from querist.arrays import Array

Kind: TypeAlias = Literal["easy", "hard", "ambiguous"]


def difficulty(q_n_e: Array, kind: Kind) -> Array:
    """Return ``(n,)`` scores, larger is more wanted, of the probabilities that items had in the epochs of a training.

    ``easy`` is their mean, ``hard`` one minus it, ``ambiguous`` their standard deviation over epochs.

    Args:
        q_n_e: ``(n, e)``, of the own other view, or of the true label.
        kind: which end.
    """
    if kind == "ambiguous":
        return q_n_e.std(axis=1, dtype=np.float64)
    mean_n = q_n_e.mean(axis=1, dtype=np.float64)
    return mean_n if kind == "easy" else 1.0 - mean_n


WORDS: dict[Kind, str] = {
    "easy": "over the epochs of the training its mean probability is {0:.3f}",
    "hard": "over the epochs of the training it lacks {0:.3f} of certainty on average",
    "ambiguous": "over the epochs of the training its probability varies by {0:.3f}",
}
