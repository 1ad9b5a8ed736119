"""ZCore."""

import numpy as np
import pytest
from scipy.stats import spearmanr

from querist.errors import SpecError
from querist.evidence.evidence import Evidence
from querist.evidence.needs import Features
from querist.kernels.subspaces import subspace_scores
from querist.seeds import Seed
from querist.strategies.base import choose
from querist.strategies.zcore import ZCore
from querist.testing.contract import StrategyContract


class TestZCore(StrategyContract):
    make = ZCore
    cold = True
    deterministic = False


class TestZCoreOfThreeDimensions(StrategyContract):
    make = staticmethod(lambda: ZCore(dims=3, neighbours=5, exponent=1.0))
    cold = True


def evidence(x, labelled=()):
    labelled = np.array(labelled, np.int64)
    return Evidence(np.setdiff1d(np.arange(len(x)), labelled), {Features(frame="all"): x}, labelled=labelled, c=3)


def rows(n, d=4, seed=0):
    return np.random.default_rng(seed).normal(size=(n, d)).astype(np.float32)


def test_the_score_is_a_keyed_start_and_what_the_subspaces_say():
    x, key = rows(40), Seed(0).child("round", 0).key()
    picked = choose(ZCore(rounds=300, neighbours=6), evidence(x), 40, key)
    still = Seed(0).key()
    score = still.child("start").uniform(np.arange(40)) + subspace_scores(
        x, still.hash(np.arange(40)), 300, still.child("points").generator(), neighbours=6
    )
    assert picked.ids.tolist() == np.argsort(-score).tolist()
    assert picked.utility == pytest.approx(np.sort(score)[::-1])


def test_exact_duplicates_are_never_both_among_the_first():
    x = rows(60)
    x[30:] = x[:30]
    picked = choose(ZCore(rounds=2000), evidence(x), 25, Seed(0).key()).ids
    assert len(set((picked % 30).tolist())) == 25


def test_more_rounds_settle_the_order():
    x = rows(80)

    def agreement(rounds):
        one, other = (
            subspace_scores(x, np.arange(80).astype(np.uint64), rounds, np.random.default_rng(seed), neighbours=10)
            for seed in (1, 2)
        )
        return spearmanr(one, other).statistic

    few, some, many = agreement(80), agreement(1500), agreement(20_000)
    assert few < some < many
    assert many > 0.95


def test_budgets_are_nested_over_rounds_and_the_key_of_the_round_does_not_matter():
    x, seed = rows(50), Seed(3)
    whole = choose(ZCore(), evidence(x), 50, seed.child("round", 0, "select").key()).ids
    first = np.sort(whole[:20])
    second = choose(ZCore(), evidence(x, first), 10, seed.child("round", 1, "select").key()).ids
    assert second.tolist() == whole[20:30].tolist()


def test_rounds_are_the_fewer_of_the_two_settings():
    x, key = rows(20), Seed(0).key()
    some = choose(ZCore(rounds=200, per_row=10**6), evidence(x), 20, key)
    assert choose(ZCore(rounds=10**6, per_row=10), evidence(x), 20, key).utility.tolist() == some.utility.tolist()


@pytest.mark.parametrize("wrong", [{"rounds": 0}, {"dims": 0}, {"neighbours": 0}, {"exponent": -1.0}])
def test_C18_settings_must_make_sense(wrong):
    with pytest.raises(SpecError, match=f"Expected {next(iter(wrong))} to be"):
        ZCore(**wrong)


def test_reasons_say_which_way_the_balance_tips():
    assert ZCore().reason(3.5) == "it covers 3.5 random points more than its neighbours make redundant"
    assert ZCore().reason(-3.5) == "its neighbours make 3.5 random points more redundant than it covers"
