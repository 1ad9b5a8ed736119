"""What every query strategy must do, as tests: inherit, set ``make``, done."""

from typing import Any, get_args

import numpy as np
from scipy.special import chdtri

from querist.errors import BudgetError, NeedError, ScoreError
from querist.evidence.evidence import Evidence
from querist.evidence.needs import Logits, Need, Neighbours, Sealed
from querist.registry import describe
from querist.strategies.base import Scoring, State, choose
from querist.strategies.composition import flags_of
from querist.testing.component import expect, fingerprint, skip
from querist.testing.fresh import fresh_picks, standard_picks
from querist.testing.spy import global_rng_untouched, recording
from querist.testing.strategy_harness import close, expect_same
from querist.testing.strategy_rows import UnfriendlyRows
from querist.testing.world import Kind

ALPHA = 1e-6
"""Chance that a statistical check fails a correct strategy."""


class StrategyContract(UnfriendlyRows):
    """The contract of query strategies and initial pools.

    ::

        class TestMargin(StrategyContract):
            make = Margin

    Its settings are those of `StrategyHarness`; every one has a default.
    """

    # ------------------------------------------------------------------------------------------------------- selections

    def test_returns_b_distinct_candidates(self) -> None:
        strategy = self.strategy()
        ev = self.evidence(strategy)
        for b in (1, self.b, len(ev.candidates)):
            self.check_select(strategy, ev, b)

    def test_refuses_impossible_budgets(self) -> None:
        strategy = self.strategy()
        ev = self.evidence(strategy)
        for b in (0, -1, len(ev.candidates) + 1):
            for source in [ev, *([ev.stream(7)] if isinstance(strategy, Scoring) else [])]:
                try:
                    choose(strategy, source, b, self.key())
                except BudgetError:
                    continue
                raise AssertionError(f"{b} picks among {len(ev.candidates)} candidates were not refused.")

    def test_same_key_same_picks(self) -> None:
        ev = self.evidence(strategy := self.strategy())
        first = choose(strategy, ev, self.b, self.key())
        for again in (strategy, self.strategy()):
            expect_same(first, choose(again, ev, self.b, self.key()), "the same key gave other picks")

    def test_same_picks_in_a_fresh_interpreter(self) -> None:
        if not self.fresh:
            skip("opt in with `fresh = True`")
        strategy = self.strategy()
        if not hasattr(strategy, "card"):
            skip("not registered, so a fresh interpreter cannot build it by name")
        here = standard_picks(strategy)
        for hash_seed in (1, 2):
            (there,) = fresh_picks([describe(strategy)], hash_seed)
            expect(
                here == there,
                f"a fresh interpreter (PYTHONHASHSEED={hash_seed}) picked {there}, here it was {here}. Look for sets, "
                "`hash()`, module state, or an unseeded generator.",
            )

    def test_key_matters_only_for_draws_and_ties(self) -> None:
        strategy = self.strategy()
        ev = self.evidence(strategy)
        keys = [self.key("other", i) for i in range(8)]
        picks = [choose(strategy, ev, self.b, key).ids.tolist() for key in keys]
        differ = any(p != picks[0] for p in picks)
        claim = self.deterministic
        if claim is None:
            if not isinstance(strategy, Scoring) and any(key.hashed or key.streams for key in keys):
                skip("cannot tell draws from ties; set `deterministic`")
            claim = True
        if claim:
            expect(not differ, "rows without ties were picked differently under different keys: the rule draws.")
        else:
            expect(differ, "8 different keys gave the same picks: a rule that claims to draw ignores its key.")

    def test_order_of_rows_is_irrelevant(self) -> None:
        strategy = self.strategy()
        for kind in ("generic", "ties", "duplicates"):
            ev = self.evidence(strategy, kind=kind)
            if any(isinstance(need, Neighbours) and need.frame == "candidates" for need in ev.needs):
                skip("its neighbourhood refers to rows by position and cannot be permuted")
            key = self.key()
            straight = choose(strategy, ev, self.b, key)
            if key.streams:
                skip("it reads a stream in the order of ids; only ties are checked, by their frequency")
            for seed in range(3):
                order = self.key("order", seed).generator().permutation(len(ev.candidates))
                permuted = choose(strategy, ev.cut(order), self.b, self.key())
                expect(
                    permuted.ids.tolist() == straight.ids.tolist(),
                    f"{kind} rows: picks depend on the order of rows: {permuted.ids.tolist()} instead of "
                    f"{straight.ids.tolist()}. Break ties by the smallest `key.hash(ids)`, and draw by it.",
                )

    def test_ties_are_drawn_uniformly(self) -> None:
        if not self.symmetric:
            skip("not symmetric by its own account")
        strategy = self.strategy()
        ev = self.evidence(strategy, n=6, kind="duplicates")
        trials = 300  # enough to notice that one of six is never picked
        counts = np.zeros(6)
        for i in range(trials):
            ids = choose(strategy, ev, 1, self.key("tie", i)).ids
            counts[np.searchsorted(ev.candidates, ids)] += 1
        expected = trials / 6
        statistic = float(((counts - expected) ** 2 / expected).sum())
        expect(
            statistic < float(chdtri(5, ALPHA)),
            f"six identical rows were picked {counts.astype(int).tolist()} times over {trials} keys: ties must be "
            "broken by the smallest `key.hash(ids)`, neither by position nor by a constant seed.",
        )

    def test_rows_are_rows_of_candidates(self) -> None:
        strategy = self.strategy()
        among, apart = (self.evidence(strategy, ids=ids) for ids in ("gaps", "apart"))
        key = self.key()
        picked = self.check_select(strategy, among, self.b, key)
        if isinstance(strategy, Scoring):
            score = np.asarray(strategy.score(among))[np.searchsorted(among.candidates, picked.ids)]
            expect(
                picked.utility is not None and close(picked.utility, score),
                f"the utilities {picked.utility} are not the scores {score} of the ids picked.",
            )
        foreign = [ids for ids in key.hashed if not np.isin(ids, among.candidates).all()]
        if foreign or (key.streams and not {need.frame for need in among.needs} <= {"candidates"}):
            skip("it draws with labelled rows too, so their ids matter")
        moved = choose(strategy, apart, self.b, self.key())
        expect(
            picked.ids.tolist() == moved.ids.tolist(),
            f"renumbering the labelled rows changed the picks from {picked.ids.tolist()} to {moved.ids.tolist()}: "
            "rows of another frame were returned as rows of candidates; translate with `ev.rows(frame)`.",
        )

    def test_utility_is_one_finite_number_per_pick(self) -> None:
        strategy = self.strategy()
        ev = self.evidence(strategy)
        for b in (1, self.b, len(ev.candidates)):
            picks = strategy.select(ev, b, self.key())
            for name, values in (("utility", picks.utility), ("propensity", picks.propensity)):
                if values is not None:
                    values = np.asarray(values)
                    expect(values.shape == (b,), f"{name} of {b} picks has shape {values.shape}.")
                    expect(bool(np.isfinite(values).all()), f"{name} of {b} picks is not finite: {values}.")
            if picks.propensity is not None:
                p = np.asarray(picks.propensity)
                expect(bool(((p > 0) & (p <= 1)).all()), f"propensities must lie in (0, 1], got {p}.")

    def test_logits_are_read_up_to_a_constant_per_row(self) -> None:
        strategy = self.strategy()
        plain, shifted = (self.evidence(strategy, kind=kind) for kind in ("generic", "shifted"))
        if not any(isinstance(need, Logits) for need in plain.needs):
            skip("reads no logits")
        expect_same(
            choose(strategy, plain, self.b, self.key()),
            choose(strategy, shifted, self.b, self.key()),
            "adding a constant to a row of logits, which leaves its probabilities alone, changed the picks",
            exact=False,
        )

    # ---------------------------------------------------------------------------------------------------------- scores

    def test_streaming_equals_whole(self) -> None:
        strategy = self.scoring()
        for kind in ("generic", "ties"):
            ev = self.evidence(strategy, kind=kind)
            whole = choose(strategy, ev, self.b, self.key())
            for rows in (1, 7, len(ev.candidates)):
                streamed = choose(strategy, ev.stream(rows), self.b, self.key())
                expect_same(whole, streamed, f"{kind} rows, {rows} at a time, gave other picks", exact=False)

    def test_score_is_row_wise(self) -> None:
        strategy = self.scoring()
        ev = self.evidence(strategy)
        whole = np.asarray(strategy.score(ev))
        for i in range(8):
            rng = self.key("part", i).generator()
            rows = rng.permutation(len(ev.candidates))[: int(rng.integers(1, len(ev.candidates)))]
            part = np.asarray(strategy.score(ev.cut(rows)))
            expect(
                part.shape == rows.shape and close(part, whole[rows]),
                f"the scores of {len(rows)} rows alone differ from their scores among all: a score may depend on "
                "nothing but its own row of the candidates.",
            )

    def test_scores_stay_above_their_lowest(self) -> None:
        strategy = self.scoring()
        for kind in get_args(Kind):
            least = float(np.min(strategy.score(self.evidence(strategy, kind=kind))))
            expect(
                least >= strategy.lowest - 1e-6,
                f"{kind} rows: a score of {least} is below `lowest` = {strategy.lowest}, from where wrappers count.",
            )

    def test_non_finite_scores_are_refused(self) -> None:
        strategy = self.scoring()
        ev = self.evidence(strategy)
        for bad in (np.nan, np.inf, -np.inf):
            for where in (0, len(ev.candidates) - 1):
                score = np.linspace(0, 1, len(ev.candidates))
                score[where] = bad
                broken = object.__new__(type("Broken", (type(strategy),), {"score": lambda _self, _ev, s=score: s}))
                broken.__dict__.update(vars(strategy))
                try:
                    choose(broken, ev, self.b, self.key())
                except ScoreError:
                    continue
                raise AssertionError(f"a score of {bad} in row {where} was not refused; use `checked_score`.")

    # -------------------------------------------------------------------------------------------------------- evidence

    def test_reads_only_what_it_declares(self) -> None:
        strategy = self.strategy()
        for settings in self.states(strategy):
            ev = recording(self.evidence(strategy, **settings))
            try:
                choose(strategy, ev, self.b, self.key())
            except NeedError as error:
                raise AssertionError(f"with {settings or 'a model'}: {error}") from error
            undeclared = [str(need) for need in ev.read - ev.needs]
            expect(not undeclared, f"{', '.join(undeclared)} was read but not declared (the error was swallowed).")

    def test_declares_nothing_it_never_reads(self) -> None:
        strategy = self.strategy()
        declared: set[Need[Any]] = set()
        read: set[Need[Any]] = set()
        for settings in [*self.states(strategy), {"kind": "ties"}, {"labelled": 1}]:
            ev = recording(self.evidence(strategy, **settings))
            for b in (1, self.b):
                choose(strategy, ev, b, self.key())
            declared, read = declared | ev.needs, read | ev.read
        idle = ", ".join(str(need) for need in declared - read)
        expect(not idle, f"{idle} is declared but never read: every need costs a pass over the pool.")

    def test_evidence_is_left_alone(self) -> None:
        strategy = self.strategy()
        for kind in ("generic", "ties"):
            ev = self.evidence(strategy, kind=kind)
            before = _snapshot(ev)
            choose(strategy, ev, self.b, self.key())
            expect(_snapshot(ev) == before, "the evidence was changed: other strategies and later rounds share it.")

    def test_global_generators_are_left_alone(self) -> None:
        strategy = self.strategy()
        ev = self.evidence(strategy)
        with global_rng_untouched():
            choose(strategy, ev, self.b, self.key())
        first = choose(strategy, ev, self.b, self.key())
        np.random.random(3)  # noqa: NPY002 - a rule that reads the global stream now differs
        expect_same(first, choose(strategy, ev, self.b, self.key()), "picks depend on a global generator")

    def test_keeps_no_state_between_calls(self) -> None:
        worlds: list[dict[str, Any]] = [{"seed": 1}, {"seed": 2, "n": 45}, {"seed": 3}]
        alone = [choose(s := self.strategy(), self.evidence(s, **world), self.b, self.key()) for world in worlds]
        shared = self.strategy()
        for i in (0, 2, 1, 0, 2):
            again = choose(shared, self.evidence(shared, **worlds[i]), self.b, self.key())
            expect_same(alone[i], again, "interleaved with another, a selection changed: something is remembered")

    def test_picks_follow_the_evidence(self) -> None:
        strategy = self.strategy()
        if not self.evidence(strategy).needs:
            skip("needs nothing")
        picks = [choose(strategy, self.evidence(strategy, seed=s, ids="dense"), 3, self.key()) for s in (1, 2, 3, 4)]
        utilities = [p.utility.tolist() if p.utility is not None else None for p in picks]
        ids = [p.ids.tolist() for p in picks]
        moved = any(x != y for values in (ids, utilities) for x, y in zip(values[1:], values[:-1], strict=True))
        expect(moved, "four different worlds gave the same picks with the same utilities: the evidence is not used.")

    def test_oracle_flag_is_honest(self) -> None:
        strategy = self.strategy()
        states = (State(), State(round=1, n_labelled=12, has_model=True))
        sealed = any(isinstance(need, Sealed) for state in states for need in strategy.needs_at(state))
        flagged = "oracle" in flags_of(strategy)
        expect(not sealed or flagged, "it reads sealed labels; register it with flags=('oracle',).")
        expect(sealed or not flagged, "it is flagged 'oracle' but declares no `Sealed` need.")


def _snapshot(ev: Evidence) -> dict[str, str]:
    frames = {frame: ev.ids(frame).tobytes().hex() for frame in ("candidates", "labelled", "targets")}
    return frames | {repr(need): fingerprint(ev[need]) for need in ev.needs}
