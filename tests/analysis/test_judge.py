"""The rule of verdicts, case by case."""

import math

import numpy as np
import pytest
from hypothesis import given, strategies as st

from querist.analysis.judge import VERDICTS, judge
from querist.analysis.paired import paired_test
from querist.errors import UsageError

ROPE = 0.005


def spread(mean, sd, pools):
    """Differences with exactly this mean and standard deviation, symmetric around the mean."""
    x = np.linspace(-1, 1, pools)
    return mean + sd * x / x.std(ddof=1)


def ruling(d, others=0, **settings):
    """The ruling on `d` among `others` arms that differ from the reference by chance alone."""
    null = {f"null {i}": spread(0.0, 0.02, len(d)) for i in range(others)}
    return judge({"arm": np.asarray(d), **null}, **({"rope": ROPE} | settings))["arm"]


@pytest.mark.parametrize("pools", [0, 1, 2, 4])
def test_below_five_pools_withheld_however_clear(pools):
    found = ruling(spread(0.2, 0.001, pools) if pools > 1 else [0.2] * pools)
    assert found.verdict == "withheld"
    assert found.pools_needed == 5 - pools
    assert f"{pools} of the 5 paired pools" in found.note
    assert ("1 more pool." if pools == 4 else f"{5 - pools} more pools.") in found.note


@pytest.mark.parametrize(("sign", "verdict"), [(1, "better"), (-1, "worse")])
def test_five_pools_the_t_test_stands_alone_and_says_so(sign, verdict):
    found = ruling(sign * spread(0.05, 0.01, 5), others=3)
    assert found.verdict == verdict
    assert found.test.p_wilcoxon == 0.0625
    assert "Large effects only" in found.note
    assert "t test stands alone" in found.note


@pytest.mark.parametrize("pools", [6, 9])
def test_between_six_and_nine_pools_large_effects_only(pools):
    found = ruling(spread(0.05, 0.01, pools))
    assert (found.verdict, found.note) == ("better", "Large effects only.")


def test_signed_rank_that_cannot_reach_the_corrected_level_is_taken_uncorrected():
    clean = ruling(spread(0.05, 0.01, 6), others=8)
    assert clean.p_wilcoxon_holm > 0.05 > clean.test.p_wilcoxon
    assert clean.verdict == "better"
    assert "taken uncorrected" in clean.note
    mixed = ruling([0.1, 0.1, 0.1, 0.1, 0.1, -0.001], others=3)
    assert mixed.p_holm <= 0.05 < mixed.test.p_wilcoxon
    assert (mixed.verdict, "disagree" in mixed.note) == ("undecided", True)


def test_from_ten_pools_on_better_and_worse_carry_no_restriction():
    for sign, verdict in ((1, "better"), (-1, "worse")):
        found = ruling(sign * spread(0.05, 0.01, 10), others=5)
        assert (found.verdict, found.note, found.pools_needed) == (verdict, "", None)


def test_lower_is_better_turns_the_verdict_round():
    d = spread(0.05, 0.01, 10)
    assert ruling(d, higher_is_better=False).verdict == "worse"
    assert ruling(-d, higher_is_better=False).verdict == "better"


def test_interval_inside_the_region_is_equivalent_from_ten_pools_and_withheld_before():
    assert ruling(spread(0.0, 0.002, 10)).verdict == "equivalent"
    few = ruling(spread(0.0, 0.002, 9))
    assert (few.verdict, few.pools_needed) == ("withheld", 1)
    assert "small effect needs 10 pools" in few.note


def test_a_certain_but_tiny_difference_is_equivalent_and_says_that_it_is_certain():
    found = ruling(spread(0.002, 0.0005, 10))
    assert found.p_holm < 0.001
    assert found.verdict == "equivalent"
    assert "Statistically different" in found.note
    assert ruling(spread(0.002, 0.0005, 10), rope=0.0).verdict == "better"


def test_small_but_significant_effect_is_withheld_below_ten_pools():
    d = spread(0.004, 0.0025, 8)
    assert paired_test(d).upper > ROPE
    found = ruling(d)
    assert found.p_holm <= 0.05
    assert (found.verdict, found.pools_needed) == ("withheld", 2)
    # The same differences, declared to matter, are a verdict.
    assert ruling(d, rope=0.001).verdict == "better"


def test_E2_holm_decides_not_the_single_p():
    d = spread(0.02, 0.022, 10)
    assert paired_test(d).p_t < 0.05
    assert ruling(d).verdict == "better"
    found = ruling(d, others=9)
    assert found.p_holm > 0.05
    assert found.verdict == "undecided"
    assert "correction for 10 comparisons" in found.note
    assert found.pools_needed is not None


def test_t_and_signed_rank_that_disagree_are_undecided():
    outlier = ruling([*spread(0.02, 0.001, 11), -0.9])
    assert outlier.test.p_t > 0.05 >= outlier.test.p_wilcoxon
    assert (outlier.verdict, "disagree" in outlier.note) == ("undecided", True)
    few_but_large = ruling([0.0, 0.0, 0.19, 0.1, 0.15, 0.01, 0.12, -0.02, -0.02, 0.11])
    assert few_but_large.test.p_t <= 0.05 < few_but_large.test.p_wilcoxon
    assert (few_but_large.verdict, "disagree" in few_but_large.note) == ("undecided", True)


def test_undecided_forecasts_the_pools_that_remain():
    found = ruling(spread(0.01, 0.02, 10))
    assert found.verdict == "undecided"
    # d_z = .5 needs 34 pools for 80 % power at 5 %.
    assert found.pools_needed == 24
    assert "about 24 more pools would decide" in found.note
    centred = ruling(spread(0.0, 0.01, 10))
    half = [2.093 * 0.01 / math.sqrt(20), 2.086 * 0.01 / math.sqrt(21)]
    assert centred.pools_needed is not None
    assert half[0] < ROPE
    assert centred.pools_needed + 10 in (18, 19, 20)


def test_forecast_is_none_when_nothing_within_reason_would_do():
    found = ruling(spread(0.005, 0.2, 10))
    assert (found.verdict, found.pools_needed) == ("undecided", None)


def test_a_reason_from_outside_withholds_the_verdict():
    found = ruling(spread(0.05, 0.01, 10), withhold={"arm": "fewer runs of random"})
    assert (found.verdict, found.note) == ("withheld", "Fewer runs of random.")


def test_identical_results_are_equivalent_under_every_region():
    for rope in (0.0, 0.005):
        assert ruling([0.0] * 10, rope=rope).verdict == "equivalent"


@pytest.mark.parametrize("rope", [-0.1, math.nan, math.inf])
def test_refuses_a_region_that_is_none(rope):
    with pytest.raises(UsageError, match="region of equivalence"):
        judge({"arm": np.zeros(5)}, rope=rope)


@given(st.lists(st.lists(st.floats(-0.2, 0.2), min_size=6, max_size=12), min_size=1, max_size=4))
def test_verdicts_follow_from_the_numbers_they_are_printed_with(arms):
    found = judge({str(i): np.round(d, 6) for i, d in enumerate(arms)}, rope=ROPE)
    for r in found.values():
        assert r.verdict in VERDICTS
        if r.verdict in ("better", "worse"):
            assert r.p_holm <= 0.05
            assert r.test.p_wilcoxon <= 0.05
            assert (r.test.mean > 0) == (r.verdict == "better")
            assert not -ROPE <= r.test.lower <= r.test.upper <= ROPE
            assert r.test.pools >= 10 or abs(r.test.mean) > ROPE
        if r.verdict == "equivalent":
            assert r.test.pools >= 10
            assert max(abs(r.test.lower), abs(r.test.upper)) <= ROPE
        if r.verdict == "undecided":
            assert r.note


@given(st.lists(st.floats(-0.2, 0.2), min_size=5, max_size=12))
def test_swapping_arm_and_reference_mirrors_the_verdict(d):
    mirror = {"better": "worse", "worse": "better"}
    there, back = ruling(np.round(d, 6)), ruling(-np.round(d, 6))
    assert back.verdict == mirror.get(there.verdict, there.verdict)
