"""What learners around one other learner share: what it is, it offers and it depends on."""

from typing import Any

from querist.evidence.needs import Need
from querist.evidence.provider import Offer
from querist.learners.base import Learner


class AroundOne(Learner):
    """A learner whose models are those of `base`, fitted in a way of its own; subclasses say which way."""

    base: Learner

    @property
    def trains_backbone(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        """Whether the base does."""
        return self.base.trains_backbone

    @property
    def warm_starts(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        """Whether the base does: all fits of a round then go on from the model of the round before."""
        return self.base.warm_starts

    @property
    def keeps(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        """Whether the base does."""
        return self.base.keeps

    @property
    def seeded(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        """Whether the base is."""
        return self.base.seeded

    def identity(self) -> dict[str, object]:
        """Return all that a model depends on besides its job, as JSON values."""
        return super().identity() | {"base": self.base.identity()}

    def offers(self, need: Need[Any]) -> Offer | str:
        """Offer what the base offers."""
        return self.base.offers(need)
