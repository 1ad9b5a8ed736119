"""Verdicts on published learning curves: real grids, real ties, real gaps."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from scipy.integrate import trapezoid

from querist.analysis.judge import judge
from querist.analysis.verdicts import compare

CURVES = Path(__file__).parents[3] / "shared" / "data" / "curves" / "labelbench_curves.csv"
pytestmark = pytest.mark.skipif(not CURVES.exists(), reason="the published curves are not beside this checkout")


@pytest.fixture(scope="module")
def published():
    table = pd.read_csv(CURVES).sort_values(["setting", "strategy", "seed", "num_labeled"])
    return pd.DataFrame({
        "study": "published", "arm": table["strategy"], "dataset": table["setting"], "pool": table["seed"], "seed": 0,
        "checkpoint": table.groupby(["setting", "strategy", "seed"]).cumcount(), "n_labels": table["num_labeled"],
        "metric": "accuracy", "value": table["test_acc_pct"] / 100,
    })  # fmt: skip


@pytest.fixture(scope="module")
def comparisons(published):
    settings = {
        name: rounds for name, rounds in published.groupby("dataset")
        if "random" in set(rounds["arm"]) and rounds["arm"].nunique() > 1
    }  # fmt: skip
    return {name: compare(rounds, "accuracy") for name, rounds in settings.items()}


def test_four_seeds_support_no_verdict(comparisons):
    assert len(comparisons) > 15
    for found in comparisons.values():
        assert {a.verdict for a in found.arms} == {"reference", "withheld"}


def test_numbers_equal_numpy_and_scipy_on_every_setting(comparisons):
    checked = 0
    for found in comparisons.values():
        areas = {}
        for run, curve in found.curves.items():
            grid = np.unique([*curve.n[(curve.n > found.start) & (curve.n < found.stop)], found.start, found.stop])
            heights = np.interp(grid, curve.n, curve.value)
            areas[run] = trapezoid(heights, grid) / (found.stop - found.start)
        for arm in found.arms:
            shared = [p for p in {r.pool for r in areas} if (arm.arm, p, 0) in areas and ("random", p, 0) in areas]
            if arm.verdict == "reference" or len(shared) < 2:
                continue
            ours = [areas[(arm.arm, p, 0)] for p in shared]
            theirs = [areas[("random", p, 0)] for p in shared]
            assert arm.difference == pytest.approx(np.mean(ours) - np.mean(theirs), abs=1e-12)
            assert arm.p_t == pytest.approx(stats.ttest_rel(ours, theirs).pvalue, rel=1e-6)
            checked += 1
    assert checked > 80


def test_budgets_of_one_label_too_many_are_told(comparisons):
    told = [w for found in comparisons.values() for w in found.warnings if w.startswith("badge and random bought")]
    assert len(told) > 3


def test_E1_permuting_arms_inside_published_pools_gives_no_more_verdicts_than_promised(comparisons):
    """Blocks are (setting, seed); swapping the arms' names at random inside a block is a true null on real noise."""
    blocks = np.array([
        areas
        for found in comparisons.values()
        for areas in _areas_of(found, ("random", "margin", "confidence", "entropy"))
    ])  # fmt: skip
    assert len(blocks) > 30
    rng, count = np.random.default_rng(0), 1000
    false = 0
    for _ in range(count):
        sample = rng.permuted(blocks[rng.choice(len(blocks), 10, replace=False)], axis=1)
        rulings = judge({str(i): np.round(sample[:, i] - sample[:, 0], 12) for i in (1, 2, 3)}, rope=0.0)
        false += any(r.verdict in ("better", "worse") for r in rulings.values())
    assert false / count <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / count)


def _areas_of(found, arms):
    """The areas of these arms, one row per seed all of them have."""
    for pool in sorted({run.pool for run in found.curves}):
        curves = [found.curves.get((arm, pool, 0)) for arm in arms]
        if all(curve is not None for curve in curves):
            yield [np.interp(np.linspace(found.start, found.stop, 200), c.n, c.value).mean() for c in curves]
