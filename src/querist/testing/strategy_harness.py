"""What the checks of a strategy stand on: its evidence, its keys, one selection, and comparisons."""

from typing import Any, ClassVar

import numpy as np

from querist.errors import SelectionError
from querist.evidence.evidence import Evidence
from querist.evidence.needs import Features, History, Labels, Neighbours, PretrainTrace, Sealed
from querist.seeds import Key, Seed
from querist.strategies.base import Scoring, Selection, State, Strategy, choose
from querist.strategies.composition import flags_of, resolved
from querist.testing.component import ComponentContract, expect, skip
from querist.testing.fakes import fake_evidence
from querist.testing.spy import SpyKey

WITHOUT_MODEL = (Features, Neighbours, PretrainTrace, Sealed, History, Labels)
"""Needs that can be met before anything was trained."""


class StrategyHarness(ComponentContract):
    """Settings and helpers of the contract of strategies; use `StrategyContract`.

    Attributes:
        make: a class, a callable without arguments, or a method, that returns the strategy.
        b: a typical batch.
        cold: whether it claims to work before anything is labelled; None: if its needs in that state are label-free.
        deterministic: whether the key matters for nothing but ties; None: as far as can be told (a `Scoring` is). False
            claims that it draws, and then different keys must give different picks.
        symmetric: whether rows that are alike in everything must be picked equally often.
        fresh: also compare with a fresh interpreter (costs a second or two).
        memory_rows, memory_megabytes: what `test_memory_stays_linear` allows on how many candidates.
    """

    b: ClassVar[int] = 7
    cold: ClassVar[bool | None] = None
    deterministic: ClassVar[bool | None] = None
    symmetric: ClassVar[bool] = True
    fresh: ClassVar[bool] = False
    memory_rows: ClassVar[int] = 7000
    memory_megabytes: ClassVar[float] = 40.0

    def strategy(self) -> Strategy:
        """Return a fresh strategy as the engine would run it on frozen features."""
        return resolved(self.build(), trains_backbone=False)

    def evidence(self, strategy: Strategy, **settings: Any) -> Evidence:
        """Return evidence for a strategy; override for needs outside the vocabulary. Settings of `fake_evidence`."""
        if "one_shot" in flags_of(strategy):
            settings["labelled"] = 0  # the engine gives it nothing else
        return fake_evidence(strategy, **settings)

    def key(self, *steps: str | int) -> SpyKey:
        """Return a key; the same steps, the same key."""
        return SpyKey(Seed(0).child("contract", *steps))

    def check_select(self, strategy: Strategy, ev: Evidence, b: int, key: Key | None = None) -> Selection:
        picked = choose(strategy, ev, b, key or self.key())
        where = f"{b} of {len(ev.candidates)} candidates"
        expect(picked.ids.dtype == np.int64 and picked.ids.shape == (b,), f"{where}: ids are {picked.ids!r}.")
        expect(len(np.unique(picked.ids)) == b, f"{where}: ids repeat: {picked.ids.tolist()}.")
        expect(
            bool(np.isin(picked.ids, ev.candidates).all()), f"{where}: not all of {picked.ids.tolist()} are candidates."
        )
        expect(all(isinstance(r, str) for r in picked.reasons), f"{where}: reasons must be text: {picked.reasons}.")
        return picked

    def check_survives(self, **settings: Any) -> None:
        strategy = self.strategy()
        ev = self.evidence(strategy, **settings)
        for b in (1, self.b, len(ev.candidates)):
            try:
                first = self.check_select(strategy, ev, b)
            except SelectionError as error:
                raise AssertionError(f"with {settings}, {b} picks: {error}") from error
            expect_same(first, choose(strategy, ev, b, self.key()), f"with {settings}, the same key gave other picks")

    def scoring(self) -> Scoring:
        strategy = self.strategy()
        return strategy if isinstance(strategy, Scoring) else skip("not a Scoring")

    def states(self, strategy: Strategy) -> list[dict[str, Any]]:
        cold = self.cold is not False and all(isinstance(n, WITHOUT_MODEL) for n in strategy.needs_at(State()))
        return [{}, {"labelled": 0}] if cold else [{}]


def expect_same(one: Selection, other: Selection, problem: str, *, exact: bool = True) -> None:
    expect(one.ids.tolist() == other.ids.tolist(), f"{problem}: {other.ids.tolist()} instead of {one.ids.tolist()}.")
    if one.utility is None or other.utility is None:
        expect(one.utility is other.utility, f"{problem}: a utility came and went.")
        return
    same = np.array_equal(one.utility, other.utility) if exact else close(other.utility, one.utility)
    expect(same, f"{problem}: utilities {other.utility} instead of {one.utility}.")


def close(one: Any, other: Any) -> bool:
    narrow = min(np.finfo(np.asarray(x).dtype).nmant if np.asarray(x).dtype.kind == "f" else 52 for x in (one, other))
    return bool(np.allclose(one, other, rtol=2.0 ** (8 - narrow), atol=2.0 ** (8 - narrow)))
