"""A strategy made ready for the gallery: what it says of itself, what it needs, and what it picks of the toy."""

import re
from dataclasses import dataclass
from typing import Any

from querist.evidence.needs import Need
from querist.registry import Card
from querist.report.toy import Shown, show
from querist.session.machine import COLD, LATER
from querist.session.pairing import needs_of, starts
from querist.strategies.base import Strategy
from querist.strategies.composition import resolved
from querist.strategies.guide import Guide, guide, plain, required

FOLDER = "strategy"
"""Where the pages lie beside the index."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Exhibit:
    """One strategy, ready to be put on a page.

    Attributes:
        card: what is registered.
        guide: what its docstring says.
        cold: what it needs before there are labels.
        warm: what it needs once there is a model.
        wants: what it can do without then.
        starts: whether it can choose the initial pool.
        configured: whether it could be built, so that its needs are known.
        shown: what it picks of the toy, or why it cannot be shown.
        cost: a sentence on time and memory, if it was measured.
    """

    card: Card[Any]
    guide: Guide
    cold: tuple[Need[Any], ...] = ()
    warm: tuple[Need[Any], ...] = ()
    wants: tuple[Need[Any], ...] = ()
    starts: bool = False
    configured: bool = True
    shown: Shown | str
    cost: str = ""

    @property
    def name(self) -> str:
        """The registry name."""
        return self.card.name

    @property
    def family(self) -> str:
        """What kind of strategy it is; those that do not say are ``other``."""
        return self.card.component.family or "other"  # pyright: ignore[reportFunctionMemberAccess]

    @property
    def regimes(self) -> tuple[str, ...]:
        """Where it is at home."""
        return self.card.component.regimes  # pyright: ignore[reportFunctionMemberAccess]

    @property
    def page(self) -> str:
        """The file of its page within `FOLDER`."""
        return page_of(self.name)


def page_of(name: str) -> str:
    """Return the file name of a strategy's page; whatever a third party calls it, it is one file in one folder."""
    return re.sub(r"[^\w-]", lambda sign: f"~{ord(sign[0]):x}", name) + ".html"


def exhibit(card: Card[Any], cost: str = "") -> Exhibit:
    """Return a strategy with what it picks of the toy; one that fails there says so and spoils nothing else."""
    built = plain(card)
    if isinstance(built, str):
        return Exhibit(card=card, guide=guide(card.component), configured=False, shown=built, cost=cost)
    strategy = resolved(built, trains_backbone=False)
    missing = ", ".join(required(card.component))
    shown = f"It has no defaults for: {missing}." if missing else _shown(strategy)
    return Exhibit(
        card=card, guide=guide(card.component), cold=strategy.needs_at(COLD), warm=needs_of(strategy),
        wants=strategy.wants_at(LATER), starts=starts(strategy), shown=shown, cost=cost,
    )  # fmt: skip


def _shown(strategy: Strategy) -> Shown | str:
    try:
        return show(strategy)
    except Exception as error:  # a mistake of a third party must not cost everybody the gallery
        return str(error) or type(error).__name__
