"""A strategy fed with the outputs of somebody else's model, so that it can start without labels."""

from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from querist.errors import SpecError
from querist.evidence.evidence import Evidence
from querist.evidence.needs import Draws, Embeddings, Logits, Need, Probs
from querist.seeds import Key
from querist.strategies._scorer_card import card_of, require_items, resolved_path
from querist.strategies._stored import stored_rows
from querist.strategies.base import Picks, State, Strategy, register
from querist.strategies.entropy import Entropy

WHO = "strategy external_model_rank"
OUTPUTS = (Probs, Logits, Draws, Embeddings)
"""What a model puts out and a file can hold."""


@register(
    "external_model_rank",
    cite="Chen et al. 2022, arXiv 2210.02442",
    presets={
        "S3_entropy": {"base": "entropy"},
        "S3_margin": {"base": "margin"},
        "S3_bald": {"base": {"name": "bald", "k": 25}},
        "S3_coreset": {"base": {"name": "k_center_greedy", "space": "embeddings", "normalise": False}},
    },
    flags=("external",),
)
@dataclass(frozen=True, kw_only=True)
class ExternalModelRank(Strategy):
    """Wants what a base strategy wants when it sees the stored outputs of a model that was trained on other labels.

    Identity: the picks are those of the base fed with the same arrays. The file holds the one kind of output that the
    base reads, a row per item: probabilities or logits ``(N, c)``, draws ``(N, k, c)``, or embeddings ``(N, d)``, which
    may be logits too. Whatever else the base needs comes from the session as usual. ``querist scorer`` trains a model
    elsewhere and writes such a file with a card beside it, from which the provenance is read.

    Use when: a model of a neighbouring task exists, and its doubts are the best guess of where labels are missing.

    Avoid when: results are compared with strategies that know nothing of other labels: this is flagged ``external``.

    Pitfalls: a model trained on a test or validation split of the same data has seen the answers to the comparison; say
    what it was trained on, or leave it to the card, and it is flagged ``external_study``.

    Attributes:
        path: the file of outputs; see `stored_rows` for its forms.
        trained_on: the data and labels behind the model, in words; it stands in the records. Empty: as the card says.
        base: what reads the outputs.
        external_study: whether the model was trained on labels of the dataset whose items it scores; true wherever the
            card says so, whatever is set here.
    """

    path: str
    trained_on: str = ""
    base: Strategy = field(default_factory=Entropy)
    external_study: bool = False
    files: ClassVar = ("path",)
    feeds: ClassVar = True
    family: ClassVar = "cold start"
    regimes: ClassVar = ("VL", "L")

    def __post_init__(self) -> None:
        # Resolved here, so that whatever describes the strategy has the words themselves and not where they are.
        card = card_of(self.path)
        if card is not None:
            object.__setattr__(self, "trained_on", self.trained_on.strip() or card.trained_on)
            object.__setattr__(self, "external_study", self.external_study or card.external_study)
        if resolved_path(self.path).is_file():  # what is missing is missed when it is asked for
            self._require_provenance()
        kinds = {type(need) for need in self._wanted(State()) if isinstance(need, OUTPUTS)}
        if len(kinds) != 1:
            names = ", ".join(sorted(kind.__name__ for kind in kinds)) or "none"
            raise SpecError(f"Expected a base that reads one kind of output, which the file holds; it reads {names}.")

    def _require_provenance(self) -> None:
        if not self.trained_on.strip():
            raise SpecError(
                "Expected trained_on to say which data and labels the external model saw, got nothing, and there is no "
                f"card of querist scorer beside {self.path}."
            )

    def needs_at(self, state: State) -> tuple[Need[Any], ...]:
        return tuple(need for need in self._wanted(state) if not isinstance(need, OUTPUTS))

    def flags(self) -> frozenset[str]:
        return frozenset({"external_study"} if self.external_study else ())

    def reason(self, utility: float) -> str:
        seen = " that saw labels of this dataset" if self.external_study else ""
        return f"by an external model{seen}: {self.base.reason(utility) or f'{utility:.3g}'}"

    def select(self, ev: Evidence, b: int, key: Key) -> Picks:
        self._require_provenance()
        order = np.argsort(ev.candidates)
        ev = ev.cut(order)
        wanted = self._wanted(State(n_labelled=len(ev.labelled)))
        values = {need: self._stored(need, ev) if isinstance(need, OUTPUTS) else ev[need] for need in wanted}
        picks = self.base.select(Evidence(ev.candidates, values, labelled=ev.labelled, c=ev.c), b, key)
        return picks._replace(rows=order[picks.rows])

    def require_items(self, keys: str, classes: tuple[str, ...]) -> None:
        require_items(self.path, keys, classes, WHO)

    def _wanted(self, state: State) -> tuple[Need[Any], ...]:
        """Return what the base needs; it has a model, if not the session's."""
        # What the base can do without is not asked for: refits of the session's learner say nothing about this model.
        return self.base.needs_at(State(round=state.round, n_labelled=state.n_labelled, has_model=True))

    def _stored(self, need: Need[Any], ev: Evidence) -> Any:
        """Return the value of a need from the file."""
        match need:
            case Probs() | Logits():
                shape = (ev.c,)
            case Draws():
                shape = (None, ev.c)
            case _:
                shape = (None,)
        rows = stored_rows(self.path, ev.ids(need.frame), shape, who=WHO)
        return [rows[:, j] for j in range(rows.shape[1])] if isinstance(need, Draws) else rows
