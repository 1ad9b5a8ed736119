"""How a study falls into groups of comparable arms."""

import json

import pandas as pd
import pytest

from querist.errors import DataError, UsageError
from querist.report.results import StudyResults

NAMES = ["random | learner=linear", "margin | learner=linear", "random | learner=knn", "margin | learner=knn"]


@pytest.fixture
def grid(make):
    """Two learners; margin helps the first and hurts the second, and the second learner is much better."""
    study = make(dict(zip(NAMES, (0.0, 0.03, 0.2, 0.17), strict=True)))
    arms = pd.DataFrame({
        "arm": NAMES,
        "flags": [(), ("one_shot",), "", "initial_oracle,one_shot"],
        "strategy": [json.dumps({"name": name.split(" ")[0], "revision": 1}) for name in NAMES],
        "learner": ['{"name": "linear"}'] * 2 + ['{"name": "knn"}'] * 2,
        "features": "pixels",
        "initial": "random",
    })  # fmt: skip
    return make(dict.fromkeys(NAMES, 0.0), rounds=study.rounds, picks=study.picks, arms=arms)


def test_one_group_without_a_grid(make):
    (regime,) = make().regimes
    assert (regime.name, regime.suffix, regime.reference) == ("", "", "random")
    assert regime.comparison["margin"].verdict == "better"


def test_arms_are_compared_inside_their_own_group(grid):
    linear, knn = grid.regimes
    assert (linear.name, knn.name) == ("learner=linear", "learner=knn")
    assert [row.arm for row in linear.comparison.arms] == ["margin", "random"]
    assert linear.comparison["margin"].verdict == "better"
    assert knn.comparison["margin"].verdict == "worse"
    assert knn.comparison["margin"].difference == pytest.approx(-0.03, abs=0.002)
    assert set(knn.picks["arm"]) == {"random", "margin"}


def test_reference_is_the_arm_whose_strategy_is_random_whatever_it_is_called(make):
    gains = {"chance": 0.0, "margin": 0.03}
    arms = pd.DataFrame({"arm": list(gains), "strategy": ['{"name": "random"}', '{"name": "margin"}']})
    assert make(gains, arms=arms).regimes[0].comparison.reference == "chance"


def test_groups_without_a_suffix_are_named_by_their_settings(make):
    gains = {"random a": 0.0, "m a": 0.03, "random b": 0.0, "m b": 0.0}
    arms = pd.DataFrame({
        "arm": list(gains), "strategy": ["random", "margin"] * 2, "learner": ["linear"] * 2 + ['{"name": "knn"}'] * 2,
    })  # fmt: skip
    regimes = make(gains, arms=arms).regimes
    assert [r.name for r in regimes] == ["learner linear", "learner knn"]
    assert regimes[1].comparison.reference == "random b"


def test_no_random_arm_says_add_one(make):
    study = make({"margin": 0.0, "entropy": 0.1})
    with pytest.raises(UsageError, match="Add 'random' to the study"):
        _ = study.regimes[0].comparison


def test_flags_from_tuples_and_from_words(grid):
    linear, knn = grid.regimes
    assert linear.flags("random") == ()
    assert linear.flags("margin") == ("one_shot",)
    assert knn.flags("margin") == ("initial_oracle", "one_shot")
    assert knn.flags("random") == ()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"picks": pd.DataFrame({"arm": []})}, "picks lacks the columns pool, seed"),
        ({"arms": pd.DataFrame({"name": []})}, "arms lacks the columns arm"),
        ({"arms": pd.DataFrame({"arm": ["random"]})}, "rounds hold arms that the table of arms lacks: '<script>"),
    ],
)
def test_refuses_incomplete_tables(make, changes, message):
    with pytest.raises(DataError, match=message):
        make(**changes)


def test_one_strategy_and_several_initial_pools_compare_the_pools_with_the_random_one():
    arms = pd.DataFrame({
        "arm": ["random | initial=typiclust", "random | initial=random"],
        "strategy": ["random", "random"],
        "learner": ["linear", "linear"],
        "features": ["pixels", "pixels"],
        "initial": ["typiclust", "random"],
    })  # fmt: skip
    empty = pd.DataFrame({c: [] for c in ("arm", "pool", "seed", "checkpoint", "n_labels", "metric", "value")})
    picks = pd.DataFrame({c: [] for c in ("arm", "pool", "seed", "round", "rank", "id", "key")})
    (regime,) = StudyResults(name="s", rounds=empty, picks=picks, arms=arms, metric="accuracy").regimes
    assert regime.reference == "random | initial=random"
    assert set(regime.members) == set(arms["arm"])
