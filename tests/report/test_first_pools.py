"""Many first pools: scores against counts by hand, correlations against planted ones, and the section of the report."""

import json
import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import vl_convert
from scipy import stats

from querist.report.first_pools import SCORES, correlations_of, first_pools, pools_of, score_pools
from querist.report.initial_grid import grids
from querist.report.page import report_page
from querist.report.palette import PAPERS
from querist.report.results import StudyResults

BUDGETS = (10, 20, 40)
RNG = np.random.default_rng(3)
CLASSES = RNG.integers(1, 9, 25)
NOISE = RNG.normal(0, 0.01, (25, 3))


def results(pools=25, initials=("random", "typiclust"), strategies=("random",), learners=("linear",), scored=True):
    """Pools with more classes start and end higher; typiclust is higher everywhere, margin by 2 points."""
    rounds, arms, scores = [], [], []
    for learner in learners:
        for initial in initials:
            for strategy in strategies:
                arm = f"{strategy} | initial={initial}, learner={learner}"
                arms.append((arm, "", f'"{strategy}"', f'"{learner}"', f'{{"name": "{initial}"}}', '"pixels"'))
                for pool in range(pools):
                    lift = 0.05 * (initial != "random") + 0.02 * (strategy == "margin")
                    scores.append((arm, pool, 10, int(CLASSES[pool]), 0.3 * CLASSES[pool], 0.5))
                    for t, n in enumerate(BUDGETS):
                        value = 0.4 + 0.1 * t + lift + 0.01 * CLASSES[pool] + NOISE[pool, t]
                        rounds.append(("s", arm, "digits", pool, 0, t, n, "accuracy", value))
    names = ["study", "arm", "dataset", "pool", "seed", "checkpoint", "n_labels", "metric", "value"]
    table = pd.DataFrame(arms, columns=["arm", "flags", "strategy", "learner", "initial", "features"])
    for column in ("strategy", "learner", "features"):
        table[column] = table[column].str.strip('"')
    return StudyResults(
        name="s", metric="accuracy", rounds=pd.DataFrame(rounds, columns=names), arms=table,
        picks=pd.DataFrame(columns=["arm", "pool", "seed", "round", "rank", "id", "key"]),
        first_pools=pd.DataFrame(scores, columns=["arm", "pool", "labels", *SCORES]) if scored else None,
    )  # fmt: skip


def test_scores_are_counted_once_per_pool_and_averaged_over_the_pool():
    rng = np.random.default_rng(0)
    x, pool = rng.normal(size=(30, 3)), np.arange(24)
    rows = [("a", 0, 0, -1, 0, 3), ("a", 0, 0, -1, 1, 7), ("a", 0, 0, 0, 0, 9), ("a", 0, 1, -1, 0, 20)]
    rows += [("a", 1, 0, -1, 0, 1), ("b", 1, 0, -1, 0, 1)]
    picks = pd.DataFrame([(*row, f"k{row[-1]}") for row in rows], columns=[*"apsrki", "key"])
    picks.columns = ["arm", "pool", "seed", "round", "rank", "id", "key"]
    found = score_pools(picks, {3: 0, 7: 1, 9: 1, 20: 2, 1: 2}, 4, x, pool).to_dict("records")
    gap = np.linalg.norm(x[pool][:, None] - x, axis=2)
    assert [(row["arm"], row["pool"], row["labels"], row["classes"]) for row in found] == [
        ("a", 0, 2, 2), ("a", 1, 1, 1), ("b", 1, 1, 1),
    ]  # fmt: skip
    assert [row["entropy"] for row in found] == pytest.approx([1.0, 0.0, 0.0])
    expected = [gap[:, [3, 7]].min(axis=1).mean(), gap[:, 1].mean(), gap[:, 1].mean()]
    assert [row["distance"] for row in found] == pytest.approx(expected, abs=1e-9)


def test_correlations_are_of_the_random_pools_by_pool():
    (found,) = correlations_of(results())
    last = 0.6 + 0.01 * CLASSES + NOISE[:, 2]
    first = 0.4 + 0.01 * CLASSES + NOISE[:, 0]
    assert found["pools"] == 25
    for score, values in (("classes", CLASSES), ("entropy", CLASSES), ("first", first)):
        assert found["with_final"][score]["rho"] == pytest.approx(stats.spearmanr(values, last).statistic, abs=1e-9)
    assert found["with_final"]["distance"]["rho"] is None
    assert [row["labels"] for row in found["early_with_late"]] == [10, 20]
    assert found["early_with_late"][0]["rho"] == pytest.approx(stats.spearmanr(first, last).statistic, abs=1e-9)
    json.dumps(found, allow_nan=False)


def test_other_ways_are_kept_apart_from_the_random_pools():
    (pools,) = pools_of(results())
    assert set(pools.others) == {"typiclust"}
    np.testing.assert_allclose(pools.others["typiclust"]["final"], pools.final + 0.05, atol=1e-9)
    assert pools.level.shape == (3, 25)


def test_pools_without_scores_still_tell_early_from_late():
    (pools,) = pools_of(results(scored=False))
    assert set(pools.scores) == {"first"}


def test_fewer_pools_or_unfinished_runs_show_nothing():
    assert first_pools(results(pools=19)) == ()
    study = results(pools=20)
    assert len(first_pools(study)) == 1
    last = study.rounds.index[(study.rounds["pool"] == 3) & (study.rounds["checkpoint"] == 2)]
    assert first_pools(replace(study, rounds=study.rounds.drop(last))) == ()


def test_each_learner_is_a_group_of_its_own():
    found = list(pools_of(results(learners=("linear", "knn"))))
    assert [pools.name for pools in found] == ["learner linear, features pixels", "learner knn, features pixels"]


@pytest.mark.parametrize("paper", PAPERS)
def test_figures_draw_and_hold_every_pool(paper):
    (part,) = first_pools(results())
    assert set(part.figures) == {"f0-pools", "f0-early", "f0-classes", "f0-entropy", "f0-distance", "f0-first"}
    for spec in part.figures.values():
        drawn = vl_convert.vegalite_to_svg({**spec, "width": 400, "config": part.themes[paper]}, allowed_base_urls=[])
        assert drawn.count("<path") > 5
    points = part.figures["f0-classes"]["layer"][0]["data"]["values"]
    assert sorted(row["score"] for row in points) == sorted(CLASSES)
    assert len(part.figures["f0-pools"]["layer"][0]["data"]["values"]) == 75
    assert part.figures["f0-pools"]["layer"][0]["encoding"]["x"]["scale"]["type"] == "log"


def test_the_report_has_the_section_only_where_the_study_does():
    text = report_page(results())
    assert "What the first pool is worth" in text
    assert text == report_page(results())
    numbers = set(re.findall(r'data-regime="(\d+)"', text))
    data = json.loads(re.search(r'id="figures">(.*?)</script>', text, re.S)[1])
    assert numbers == {str(i) for i in range(len(data["themes"]))} == {"0", "1"}
    assert set(re.findall(r'data-figure="([^"]+)"', text)) == set(data["figures"])
    plain = report_page(results(pools=6))
    assert "What the first pool is worth" not in plain
    assert "First pools and strategies" not in plain


class TestGrid:
    def test_holds_the_difference_of_every_pair_to_random_after_random(self):
        (part,) = grids(results(pools=8, strategies=("random", "margin")))
        (spec,) = part.figures.values()
        cells = (spec if "data" in spec else spec["layer"][0])["data"]["values"]
        rows = {(r["first pool"], r["strategy"]): r for r in cells}
        assert {key: row["difference"] for key, row in rows.items()} == pytest.approx({
            ("random", "random"): 0.0, ("random", "margin"): 2.0, ("typiclust", "random"): 5.0,
            ("typiclust", "margin"): 7.0,
        }, abs=1e-6)  # fmt: skip
        assert rows["random", "random"]["shown"] == "reference"
        assert rows["typiclust", "margin"]["ends"] == "+7.0 to +7.0"
        for paper in PAPERS:
            drawn = vl_convert.vegalite_to_svg({**spec, "width": 400, "config": part.themes[paper]})
            assert "+7.0" in drawn

    def test_needs_several_of_both(self):
        assert grids(results(pools=8)) == ()
        assert grids(results(pools=8, initials=("random",), strategies=("random", "margin"))) == ()
        assert grids(results(pools=8, initials=("typiclust", "other"), strategies=("random", "margin"))) == ()

    def test_what_has_not_run_yet_spoils_nothing(self):
        study = results(pools=8, strategies=("random", "margin"))
        assert grids(replace(study, rounds=study.rounds.iloc[:0])) == ()
