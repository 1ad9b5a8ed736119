"""The plan: which source meets each need of a strategy, settled before anything is trained."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from querist.errors import UnmetNeedError
from querist.evidence.needs import Need
from querist.evidence.provider import Offer


class Source(Protocol):
    """Something that may meet needs: the learner, the feature store, the session's own book."""

    @property
    def name(self) -> str:
        """What an error message calls it, e.g. ``learner 'linear'``."""
        ...

    def offers(self, need: Need[Any]) -> Offer | str:
        """Return an offer, or the reason why there is none."""
        ...


@dataclass(frozen=True)
class Plan:
    """Needs with the source that meets each."""

    sources: Mapping[Need[Any], Source]

    def met_by(self, source: Source) -> list[Need[Any]]:
        """Return the needs one source has to meet."""
        return [need for need, chosen in self.sources.items() if chosen is source]


def plan(who: str, needs: Iterable[Need[Any]], sources: Sequence[Source], wants: Iterable[Need[Any]] = ()) -> Plan:
    """Return which source meets each need; the first that offers does.

    Args:
        who: the strategy, for the message.
        needs: what it declared for the present state.
        sources: in order of preference.
        wants: what it can do without; those nobody offers are left out.

    Raises:
        UnmetNeedError: lists every unmet need with the reason each source gave.
    """
    chosen: dict[Need[Any], Source] = {}
    refusals: list[str] = []
    for need in needs:
        reasons: list[str] = []
        for source in sources:
            offer = source.offers(need)
            if isinstance(offer, Offer):
                chosen[need] = source
                break
            reasons.append(f"{source.name}: {offer}")
        else:
            refusals += [f"  {need}", *(f"    - {reason}" for reason in reasons)]
    if refusals:
        raise UnmetNeedError("\n".join([f"{who} needs evidence that nothing here provides:", *refusals]))
    for want in wants:
        offering = (source for source in sources if isinstance(source.offers(want), Offer))
        if (source := next(offering, None)) is not None:
            chosen.setdefault(want, source)
    return Plan(chosen)
