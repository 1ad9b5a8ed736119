"""Mean angle to a reference set, in the outputs of a model, as a ranking."""

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np

from querist.arrays import Array
from querist.errors import SpecError
from querist.evidence.evidence import Evidence
from querist.evidence.features import unit_rows
from querist.evidence.needs import Embeddings, Features, Need
from querist.strategies._scorer_card import flags_by_card, require_items
from querist.strategies._stored import all_stored_rows, stored_rows
from querist.strategies.base import Scoring, State, register

WHO = "strategy cosine_dissimilarity"
EMBEDDED = (Embeddings(), Embeddings(frame="labelled"))


@register("cosine_dissimilarity", cite="published as VAAL in a fork of Chandra et al. 2020, arXiv 2011.14696")
@dataclass(frozen=True, kw_only=True)
class CosineDissimilarity(Scoring):
    """Wants the rows whose outputs point least in the directions of a reference set.

    Identity: ``u_i = sum_(j in R) (1 - cos(l_i, l_j)) = |R| - <l_i / |l_i|, sum_j l_j / |l_j|>``, in linear time. The
    utility is divided by ``|R|``. By default R is what is labelled, in the space the learner works in; with files, it
    is the reference set of another model, and no model of the session is needed. Without labels all rows score 1.

    Use when: items unlike those that a model was trained on are wanted.

    Avoid when: the reference is large and diverse: its directions cancel, and all rows score the same.

    Pitfalls: one direction stands for the whole reference set. It is not VAAL, under whose name it was published.

    Attributes:
        path: file of an external model's outputs, a row per item; see `stored_rows` for its forms.
        reference: .npy file of its outputs on the reference set, ``(r, d)``.
        trained_on: the data and labels behind that model, in words; it stands in the records.
        space: frozen features or the task model's embeddings; ``auto`` takes embeddings where the learner trains them.
    """

    path: str | None = None
    reference: str | None = None
    trained_on: str = ""
    space: Literal["auto", "features", "embeddings"] = "auto"
    files: ClassVar = ("path", "reference")
    family: ClassVar = "cold start"
    regimes: ClassVar = ("VL", "L")
    needs: ClassVar = (Features(), Features(frame="labelled"))

    def __post_init__(self) -> None:
        given = [self.path is not None, self.reference is not None, bool(self.trained_on.strip())]
        if any(given) and not all(given):
            raise SpecError("Expected path, reference and trained_on together, for an external model, or none of them.")

    def flags(self) -> frozenset[str]:
        return frozenset() if self.path is None else frozenset({"external"}) | flags_by_card(self.path)

    def require_items(self, keys: str, classes: tuple[str, ...]) -> None:
        if self.path is not None:
            require_items(self.path, keys, classes, WHO)

    def needs_at(self, state: State) -> tuple[Need[Any], ...]:
        if self.path is not None:
            return ()
        return EMBEDDED if self.space == "embeddings" else self.needs

    def reason(self, utility: float) -> str:
        return f"its mean dissimilarity to the reference set is {utility:.3g}"

    def score(self, ev: Evidence) -> Array:
        if self.path is None or self.reference is None:
            x_n_d, x_r_d = (ev[need] for need in (EMBEDDED if self.space == "embeddings" else self.needs))
        else:
            x_n_d = stored_rows(self.path, ev.candidates, (None,), who=WHO)
            x_r_d = all_stored_rows(self.reference, x_n_d.shape[1], who=WHO)
        mean_d = unit_rows(x_r_d).sum(axis=0, dtype=np.float64) / max(len(x_r_d), 1)
        return 1.0 - unit_rows(x_n_d) @ mean_d
