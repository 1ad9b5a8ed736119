"""What a query strategy is: a frozen configuration, declared needs, and a pure function of evidence."""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np

from querist.arrays import Array, Ids, Rows, some
from querist.errors import BudgetError, ScoreError, SelectionError, SpecError
from querist.evidence.evidence import Evidence
from querist.evidence.needs import Need
from querist.kernels.certificate import Certificate
from querist.kernels.top import contenders, top_b
from querist.registry import Card, Registry
from querist.seeds import Key


@dataclass(frozen=True, kw_only=True)
class State:
    """Where a session stands when it plans a query; all a strategy may know before it sees evidence.

    ``c`` is the number of declared classes, None where nobody has declared them yet.
    """

    round: int = 0
    n_labelled: int = 0
    has_model: bool = False
    c: int | None = None


class Picks(NamedTuple):
    """What a strategy returns: distinct candidate rows in the order picked, with the utility each had when picked.

    A rule that draws may add the propensity: the probability of each draw given the earlier ones. A rule that bounds
    what it loses against the best possible batch may add the certificate.
    """

    rows: Rows
    utility: Array | None = None
    propensity: Array | None = None
    certificate: Certificate | None = None


class Selection(NamedTuple):
    """Picks turned into ids. If only a sample of the pool was looked at, the first reason says so."""

    ids: Ids
    utility: Array | None
    propensity: Array | None
    reasons: tuple[str, ...]
    certificate: Certificate | None = None


FAMILIES = (
    "random and oracle", "uncertainty", "committee", "coverage", "hybrid", "submodular", "submodular information",
    "wrapper", "cold start", "budget-adaptive", "auxiliary model", "adversarial", "graph diffusion",
)  # fmt: skip
"""What a strategy can be a kind of."""

REGIMES = {
    "VL": "no labels, or up to 2 per class",
    "L": "up to 10 labels per class",
    "M": "10 to 100 labels per class",
    "H": "more than 100 labels per class",
}
"""Where a strategy is at home."""


class Strategy(ABC):
    """A query strategy or an initial pool. Subclasses are frozen, keyword-only dataclasses.

    ``needs`` is what it must know; a strategy whose needs are label-free can choose an initial pool. ``wants`` is what
    it can do without, but uses where somebody offers it: it finds out by ``need in ev.needs``.

    ``feeds`` says that what it wraps is given its evidence by it: a session then plans no need of the wrapped ones.

    ``files`` names the settings that are paths: specifications record what such a file holds and not where it lies.

    ``family`` is one of `FAMILIES`, ``regimes`` are those of `REGIMES` where it is at home. A docstring may have
    paragraphs that begin with ``Use when:``, ``Avoid when:`` and ``Pitfalls:``; guides for people are made of them.
    """

    registry: ClassVar["Registry[Any]"]
    card: ClassVar[Card[Any]]
    family: ClassVar[str] = ""
    regimes: ClassVar[tuple[str, ...]] = ()
    needs: ClassVar[tuple[Need[Any], ...]] = ()
    wants: ClassVar[tuple[Need[Any], ...]] = ()
    files: ClassVar[tuple[str, ...]] = ()
    feeds: ClassVar[bool] = False

    def needs_at(self, state: State) -> tuple[Need[Any], ...]:
        """Return the needs in a given state; by default always the same."""
        return self.needs

    def wants_at(self, state: State) -> tuple[Need[Any], ...]:
        """Return the wants in a given state; by default none before there is a model."""
        return self.wants if state.has_model else ()

    def flags(self) -> frozenset[str]:
        """Return what a reader of results must know about these settings, beside what holds for the name."""
        return frozenset()

    def require_items(self, keys: str, classes: tuple[str, ...]) -> None:  # noqa: B027 - most files say nothing of it
        """Raise `DataError` if one of its `files` says that it is of other items or classes; asked before a plan.

        Args:
            keys: digest of the keys of all items, in order.
            classes: the declared classes.
        """

    def reason(self, utility: float) -> str:
        """Return one sentence for people about a pick with this utility."""
        return ""

    def reasons(self, picks: Picks) -> list[str]:
        """Return one sentence for each pick; by default what `reason` says of its utility."""
        utility = [float("nan")] * len(picks.rows) if picks.utility is None else np.asarray(picks.utility).tolist()
        return [self.reason(u) for u in utility]

    @abstractmethod
    def select(self, ev: Evidence, b: int, key: Key) -> Picks:
        """Return `b` distinct rows of the candidates, ``1 <= b <= n``, ties by smallest ``key.hash``."""


class Scoring(Strategy):
    """A strategy that scores each row on its own and takes the `b` largest; the engine may stream it.

    ``lowest`` is the smallest value a score can take; wrappers that weight rows by their score count from there.
    """

    lowest: ClassVar[float] = 0.0

    @abstractmethod
    def score(self, ev: Evidence) -> Array:
        """Return ``(n,)`` scores, larger is more wanted; row i depends on row i of candidate needs alone."""

    def select(self, ev: Evidence, b: int, key: Key) -> Picks:
        """Return the rows with the largest scores, ties by smallest keyed hash."""
        score = checked_score(self, ev)
        rows = contenders(score, b)
        rows = rows[top_b(score[rows], key.hash(ev.candidates[rows]), b)]
        return Picks(rows, score[rows])


strategies: Registry[Strategy] = Registry("strategy", "querist.strategies")
Strategy.registry = strategies
register = strategies.register


def card_of(strategy: Strategy) -> Card[Any]:
    """Return what a strategy is registered as; one that is not registered goes by the name of its class, unflagged."""
    card = vars(type(strategy)).get("card")  # not inherited: a variation of a registered rule is another rule
    return card or Card(name=type(strategy).__qualname__, component=type(strategy))


def checked_score(strategy: Scoring, ev: Evidence) -> Array:
    """Return the scores of a strategy.

    Raises:
        ScoreError: a score is not finite; names the ids.
        SelectionError: not one score per candidate.
    """
    score = np.asarray(strategy.score(ev))
    if score.shape != ev.candidates.shape:
        raise SelectionError(
            f"{_name(strategy)} returned scores of shape {score.shape} for {len(ev.candidates)} candidates."
        )
    if not np.issubdtype(score.dtype, np.floating):
        score = score.astype(np.float64)  # votes may be counted as unsigned integers, whose negatives are no order
    if not np.isfinite(score).all():
        bad = ev.candidates[~np.isfinite(score)]
        raise ScoreError(f"{_name(strategy)} gave {len(bad)} scores that are not finite, ids {some(bad)}.")
    return score


def choose(strategy: Strategy, evidence: Evidence | Iterable[Evidence], b: int, key: Key) -> Selection:
    """Return the ids of the picks of a strategy. The only place where rows become ids.

    Args:
        strategy: what chooses.
        evidence: about all candidates; for a `Scoring`, chunks of it will do, ascending by id.
        b: number of picks.
        key: randomness of this query.

    Raises:
        BudgetError: `b` is below 1 or above the number of candidates.
        SelectionError: the strategy broke its contract.
    """
    if isinstance(evidence, Evidence):
        _within(b, len(evidence.candidates))
        return _finish(strategy, evidence.candidates, strategy.select(evidence, b, key), b)
    if not isinstance(strategy, Scoring):
        raise SelectionError(f"{_name(strategy)} looks at all candidates together and cannot be streamed.")
    _within(b, None)
    ids, score = np.empty(0, np.int64), np.empty(0)
    seen = 0
    for chunk in evidence:
        seen += len(chunk.candidates)
        ids, score = np.concatenate([ids, chunk.candidates]), np.concatenate([score, checked_score(strategy, chunk)])
        rows = top_b(score, key.hash(ids), min(b, len(ids)))
        ids, score = ids[rows], score[rows]
    _within(b, seen)
    return _finish(strategy, ids, Picks(np.arange(b), score), b)


def require_at_least(strategy: Strategy, least: int, *settings: str) -> None:
    """Raise `SpecError` if one of the named settings is below `least`."""
    for setting in settings:
        if (value := getattr(strategy, setting)) < least:
            raise SpecError(f"Expected {setting} to be {least} or larger, got {value}.")


def require_between(strategy: Strategy, least: float, most: float, *settings: str) -> None:
    """Raise `SpecError` unless each of the named settings is a finite number within the bounds."""
    for setting in settings:
        if not least <= (value := getattr(strategy, setting)) <= most or value == float("inf"):
            bound = f"between {least:g} and {most:g}" if most < float("inf") else f"finite and {least:g} or larger"
            raise SpecError(f"Expected {setting} to be {bound}, got {value}.")


def _within(b: int, n: int | None) -> None:
    """Raise `BudgetError` unless `b` picks can be had from `n` candidates; None while their number is not known."""
    if not isinstance(b, int | np.integer) or isinstance(b, bool) or b < 1 or (n is not None and b > n):
        most = "number of candidates" if n is None else f"{n} candidates"
        raise BudgetError(f"Expected a budget between 1 and the {most}, got {b!r}.")


def _finish(strategy: Strategy, candidates: Ids, picks: Picks, b: int) -> Selection:
    rows = np.asarray(picks.rows)
    if rows.shape != (b,) or not np.issubdtype(rows.dtype, np.integer):
        raise SelectionError(
            f"{_name(strategy)} returned {rows.dtype} rows of shape {rows.shape}, expected {b} integers."
        )
    if rows.min() < 0 or rows.max() >= len(candidates) or len(np.unique(rows)) != b:
        outside = f"lie outside 0..{len(candidates) - 1}"
        raise SelectionError(f"{_name(strategy)} returned rows that repeat or {outside}.")
    utility = None if picks.utility is None else np.asarray(picks.utility, dtype=np.float64)
    if utility is not None and (utility.shape != (b,) or not np.isfinite(utility).all()):
        raise SelectionError(f"{_name(strategy)} returned utilities that are not {b} finite numbers.")
    propensity = None if picks.propensity is None else np.asarray(picks.propensity, dtype=np.float64)
    if propensity is not None and (propensity.shape != (b,) or not ((propensity > 0) & (propensity <= 1)).all()):
        raise SelectionError(f"{_name(strategy)} returned propensities that are not {b} numbers in (0, 1].")
    words = strategy.reasons(picks)
    if picks.certificate is not None and picks.certificate.sampled:
        words[0] = "; ".join(filter(None, (words[0], str(picks.certificate))))
    return Selection(candidates[rows].astype(np.int64), utility, propensity, tuple(words), picks.certificate)


def _name(strategy: Strategy) -> str:
    return f"strategy {card_of(strategy).name!r}"
