"""Checks of a strategy on unfriendly rows: duplicates, zeros, certainties, one class, one candidate, no labels."""

from dataclasses import fields

from querist.strategies.base import State, choose
from querist.strategies.composition import resolved
from querist.testing.component import expect, skip
from querist.testing.spy import peak_memory
from querist.testing.strategy_harness import WITHOUT_MODEL, StrategyHarness


class UnfriendlyRows(StrategyHarness):
    """The checks of `StrategyContract` that every rule must survive."""

    def test_duplicate_rows(self) -> None:
        self.check_survives(kind="duplicates")

    def test_near_duplicates_of_labelled_rows(self) -> None:
        self.check_survives(kind="near_duplicates")

    def test_many_ties(self) -> None:
        self.check_survives(kind="ties")

    def test_zero_features(self) -> None:
        self.check_survives(kind="zeros")

    def test_large_features(self) -> None:
        self.check_survives(kind="large")

    def test_probabilities_of_zero_and_one(self) -> None:
        for dtype in ("float64", "float32", "float16"):
            self.check_survives(kind="one_hot", dtype=dtype)

    def test_one_class_seen(self) -> None:
        self.check_survives(kind="one_class")

    def test_missing_classes(self) -> None:
        self.check_survives(kind="missing_class", c=7)

    def test_two_classes(self) -> None:
        self.check_survives(c=2)

    def test_one_label(self) -> None:
        self.check_survives(labelled=1)

    def test_one_dimension(self) -> None:
        self.check_survives(d=1)

    def test_one_candidate(self) -> None:
        strategy = self.strategy()
        ev = self.evidence(strategy, n=1)
        picked = self.check_select(strategy, ev, 1)
        expect(picked.ids.tolist() == ev.candidates.tolist(), "the only candidate was not picked.")

    def test_cold_start(self) -> None:
        strategy = self.strategy()
        needs = strategy.needs_at(State())
        free = all(isinstance(need, WITHOUT_MODEL) for need in needs)
        if self.cold is False or (self.cold is None and not free):
            skip("claims no cold start")
        asked = ", ".join(str(need) for need in needs if not isinstance(need, WITHOUT_MODEL))
        expect(free, f"claims a cold start but needs {asked} before there is a model; see `needs_at`.")
        for kind in ("generic", "duplicates", "ties", "zeros"):
            self.check_survives(kind=kind, labelled=0)

    def test_embeddings_do_as_well_as_features(self) -> None:
        built = self.build()
        if "auto" not in [getattr(built, field.name) for field in fields(built) if field.name == "space"]:
            skip("has no space to choose")
        strategy = resolved(built, trains_backbone=True)
        for kind in ("generic", "ties", "zeros"):
            ev = self.evidence(strategy, kind=kind)
            for b in (1, self.b):
                self.check_select(strategy, ev, b)

    def test_memory_stays_linear(self) -> None:
        strategy = self.strategy()
        ev = self.evidence(strategy, n=self.memory_rows, c=40, d=64, labelled=80)
        choose(strategy, self.evidence(strategy), 1, self.key())  # compilation is not the rule's memory
        with peak_memory() as peak:
            choose(strategy, ev, self.b, self.key())
        expect(
            peak.megabytes < self.memory_megabytes,
            f"{self.memory_rows} candidates took {peak.megabytes:.0f} MB beside the evidence, allowed are "
            f"{self.memory_megabytes:.0f}: work in blocks, build neither n x n nor n x (c d).",
        )
