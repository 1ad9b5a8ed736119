"""Numbers in print, and sentences that say no more than the verdict."""

import dataclasses
import math

import pytest

from querist.report.wording import (
    amount,
    claim,
    headline,
    interval,
    level,
    metric_name,
    notes_of,
    p_value,
    signed,
)


@pytest.mark.parametrize(
    ("value", "metric", "text"),
    [
        (0.8534, "accuracy", "85.3"), (1.0, "accuracy", "100.0"), (0.0, "macro_f1", "0.0"), (1.2345, "nll", "1.234"),
        (math.nan, "accuracy", "–"),
    ],
)  # fmt: skip
def test_level(value, metric, text):
    assert level(value, metric) == text


@pytest.mark.parametrize(
    ("value", "metric", "text"),
    [
        (0.0213, "accuracy", "+2.1"), (-0.0213, "accuracy", "−2.1"), (0.0002, "accuracy", "0.0"),
        (-0.0002, "accuracy", "0.0"), (0.0, "accuracy", "0.0"), (-0.05, "nll", "−0.050"), (math.nan, "nll", "–"),
    ],
)  # fmt: skip
def test_signed(value, metric, text):
    assert signed(value, metric) == text


@pytest.mark.parametrize(
    ("p", "text"),
    [(0.0004, "< .001"), (0.001, ".001"), (0.0134, ".013"), (0.5, ".500"), (1.0, "> .999"), (math.nan, "–")],
)
def test_p_value(p, text):
    assert p_value(p) == text


def test_units():
    assert amount(-0.0213, "accuracy") == "2.1 points"
    assert amount(0.2, "nll") == "0.200"
    assert (metric_name("balanced_accuracy"), metric_name("nll")) == ("balanced accuracy", "NLL")


def test_claims_of_a_study(make):
    found = make().regimes[0].comparison
    margin, entropy, badge = found["margin"], found["entropy"], found["badge"]
    assert claim(margin, found) == (
        f"margin is better than random by {amount(margin.difference, 'accuracy')} of accuracy "
        f"(95 % interval {interval(margin, 'accuracy')}; p < .001)."
    )
    assert claim(entropy, found).startswith("entropy is worse than random by 3.")
    assert "−3" in claim(entropy, found)
    assert claim(badge, found) == (
        "badge is equivalent to random: the difference lies within ±0.5 points "
        f"(95 % interval {interval(badge, 'accuracy')})."
    )
    assert claim(found["random"], found) == ""
    assert claim(found["oracle_uniform"], found, ("oracle",)).startswith("oracle_uniform (oracle) is better")


def test_claims_without_a_decision_decide_nothing(make):
    found = make(pools=3).regimes[0].comparison
    said = claim(found["margin"], found)
    assert said == "No verdict on margin. 3 of the 5 paired pools a verdict needs: run 2 more pools."
    row = dataclasses.replace(found["margin"], verdict="undecided", note="About 9 more pools would decide.")
    assert claim(row, found).startswith("Whether margin differs from random is undecided: +")
    assert claim(row, found).endswith("About 9 more pools would decide.")
    for sentence in (said, claim(row, found)):
        assert "better" not in sentence
        assert "worse" not in sentence


def test_headline_counts_verdicts(make):
    assert headline(make().regimes[0].comparison) == (
        "Of 6 strategies, 3 are better than random, 1 is worse, 2 are equivalent."
    )
    few = make({"random": 0.0, "margin": 0.03}, pools=2).regimes[0].comparison
    assert headline(few) == "Of 1 strategy, none is better than random, 1 is without a verdict."


def test_notes_are_told_once_with_all_their_arms(make):
    notes = notes_of(make(pools=3).regimes[0].comparison)
    assert list(map(len, notes.values())) == [6]
