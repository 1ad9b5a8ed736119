"""From rounds to verdicts: pairing, missing runs, directions, and what is refused."""

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from scipy.integrate import trapezoid

from querist.analysis.judge import judge
from querist.analysis.verdicts import compare
from querist.errors import DataError, UnknownNameError, UsageError

BUDGETS = (10, 20, 40, 80)
GAIN = {"random": 0.0, "margin": 0.03, "entropy": -0.03, "badge": 0.0002}


def study(pools=10, seeds=1, gain=None, metric="accuracy", budgets=BUDGETS, noise=0.0005):
    """Rounds whose arms differ from random by `gain` at every budget, up to a little noise."""
    rng = np.random.default_rng(0)
    records = []
    for pool in range(pools):
        level = rng.normal(0.5, 0.03)
        for arm, extra in (GAIN if gain is None else gain).items():
            for seed in range(seeds):
                jitter = rng.normal(0, noise)
                for checkpoint, n in enumerate(budgets):
                    value = level + extra + jitter + 0.1 * math.log10(n / 10)
                    records.append(("s", arm, "digits", pool, seed, checkpoint, n, metric, value))
    columns = ["study", "arm", "dataset", "pool", "seed", "checkpoint", "n_labels", "metric", "value"]
    return pd.DataFrame(records, columns=columns)


def without(rounds, arm, pool=None, seed=None, checkpoint=None):
    drop = rounds["arm"] == arm
    for column, value in (("pool", pool), ("seed", seed), ("checkpoint", checkpoint)):
        if value is not None:
            drop &= rounds[column] == value
    return rounds[~drop]


def test_verdicts_and_numbers_of_a_clear_study():
    rounds = study()
    found = compare(rounds, "accuracy")
    assert {a.arm: a.verdict for a in found.arms} == {
        "margin": "better", "random": "reference", "badge": "equivalent", "entropy": "worse",
    }  # fmt: skip
    assert (found.arms[0].arm, found.arms[-1].arm) == ("margin", "entropy")
    assert (found.start, found.stop, found.grid) == (10, 80, (10, 20, 40, 80))
    assert (found.missing, found.warnings) == ((), ())
    wide = rounds.pivot_table(index=["arm", "pool"], columns="n_labels", values="value").sort_index()
    aubc = pd.Series(trapezoid(wide.to_numpy(), BUDGETS, axis=1) / 70, index=wide.index)
    for arm in ("margin", "entropy", "badge"):
        theirs = stats.ttest_rel(aubc[arm], aubc["random"])
        assert found[arm].aubc == pytest.approx(aubc[arm].mean(), abs=1e-12)
        assert found[arm].difference == pytest.approx((aubc[arm] - aubc["random"]).mean(), abs=1e-12)
        assert found[arm].p_t == pytest.approx(theirs.pvalue, rel=1e-6)
        ranks = stats.wilcoxon(aubc[arm] - aubc["random"], method="exact")
        assert found[arm].p_wilcoxon == pytest.approx(ranks.pvalue, rel=1e-9)
    assert found["margin"].wins == 10
    assert found["entropy"].losses == 10
    assert (found["margin"].win_rate, found["entropy"].win_rate) == (1, 0)
    assert found["margin"].final == pytest.approx(wide.loc["margin"][80].mean(), abs=1e-12)
    logs = trapezoid(wide.loc["margin"].to_numpy(), np.log2(BUDGETS), axis=1) / 3
    assert found["margin"].log_aubc == pytest.approx(logs.mean(), abs=1e-12)


def test_holm_covers_every_arm_but_the_reference():
    found = compare(study(), "accuracy")
    p = sorted(a.p_t for a in found.arms if a.arm != "random")
    assert min(a.p_holm for a in found.arms if a.arm != "random") == pytest.approx(3 * p[0])
    assert math.isnan(found["random"].p_holm)


def test_table_has_one_row_per_arm_and_one_column_per_field():
    table = compare(study(), "accuracy").table
    assert table["arm"].tolist() == [a.arm for a in compare(study(), "accuracy").arms]
    assert table["aubc"].is_monotonic_decreasing
    assert {"aubc", "difference", "lower", "upper", "p_t", "p_wilcoxon", "p_holm", "d_z", "verdict"} <= set(table)


def test_E3_result_does_not_depend_on_the_order_of_rows():
    rounds = study(noise=0.01)
    shuffled = rounds.sample(frac=1, random_state=np.random.default_rng(1))
    pd.testing.assert_frame_equal(compare(shuffled, "accuracy").table, compare(rounds, "accuracy").table)


def test_E3_missing_runs_are_listed_and_the_other_pairs_stay_paired():
    rounds = without(without(study(pools=12), "margin", pool=3), "margin", pool=7)
    found = compare(rounds, "accuracy")
    assert [(m.arm, m.pool, m.seed, m.why) for m in found.missing] == [
        ("margin", 3, 0, "no run"), ("margin", 7, 0, "no run"),
    ]  # fmt: skip
    assert (found["margin"].pools, found["margin"].runs, found["badge"].pools) == (10, 10, 12)
    assert found["margin"].sd < 0.002, "pairs by position would mix pools, whose levels differ by 0.03"
    assert found["margin"].verdict == "better"


def test_unfinished_runs_are_left_out_and_listed():
    rounds = without(study(), "margin", pool=2, checkpoint=3)
    found = compare(rounds, "accuracy")
    assert [(m.arm, m.pool, m.why) for m in found.missing] == [("margin", 2, "it has 3 of 4 checkpoints")]
    assert found.stop == 80
    assert found["margin"].pools == 9


def test_E11_an_arm_without_a_finished_run_is_withheld_not_zero():
    rounds = study()
    rounds = rounds[(rounds["arm"] != "margin") | (rounds["checkpoint"] == 0)]
    found = compare(rounds, "accuracy")
    assert found.arms[-1].arm == "margin"
    assert math.isnan(found["margin"].aubc)
    assert (found["margin"].verdict, found["margin"].runs, found["margin"].pools_needed) == ("withheld", 0, 5)


def test_seeds_are_averaged_inside_a_pool_before_anything_is_tested():
    found = compare(study(pools=10, seeds=3, noise=0.02), "accuracy")
    assert (found["margin"].pools, found["margin"].runs) == (10, 30)
    single = compare(study(pools=4, seeds=5), "accuracy")
    assert single["margin"].verdict == "withheld", "twenty runs of four pools are four pieces of evidence"


def test_random_with_fewer_runs_than_an_arm_withholds_that_arm():
    rounds = without(study(seeds=2), "random", pool=4, seed=1)
    rounds = without(without(rounds, "badge", pool=4, seed=1), "badge", pool=5, seed=1)
    found = compare(rounds, "accuracy")
    assert found["margin"].verdict == "withheld"
    assert found["margin"].note == ("Fewer runs of random (19) than of this arm (20): run random on pool 4 seed 1 too.")
    assert found["badge"].verdict == "equivalent"
    assert found["margin"].difference == pytest.approx(0.03, abs=0.002), "the numbers stay visible"


def test_random_with_more_runs_than_an_arm_is_welcome():
    rounds = pd.concat([study(), study(pools=20, gain={"random": 0.0}).query("pool >= 10")])
    found = compare(rounds, "accuracy")
    assert found["margin"].verdict == "better"
    assert len(found.missing) == 30


def test_nll_is_better_when_lower():
    found = compare(study(metric="nll"), "nll")
    assert not found.higher_is_better
    assert (found["entropy"].verdict, found["margin"].verdict) == ("better", "worse")
    assert found.arms[0].arm == "entropy"
    assert found["entropy"].wins == 10
    assert found["entropy"].difference < 0


def test_another_reference():
    found = compare(study(), "accuracy", reference="margin")
    assert found["random"].verdict == "worse"
    assert found["margin"].verdict == "reference"


def test_rope_is_the_declared_one():
    gain = {"random": 0.0, "margin": 0.004}
    assert compare(study(gain=gain), "accuracy")["margin"].verdict == "equivalent"
    assert compare(study(gain=gain), "accuracy", rope=0.001)["margin"].verdict == "better"


def test_common_range_is_the_intersection_and_cuts_are_told():
    rounds = study(budgets=(10, 20, 40))
    longer = study(budgets=(10, 20, 40, 160))
    found = compare(pd.concat([longer[longer["arm"] == "random"], rounds[rounds["arm"] == "margin"]]), "accuracy")
    assert (found.start, found.stop) == (10, 40)
    assert found["margin"].difference == pytest.approx(0.03, abs=0.002)
    assert found.warnings[-1] == (
        "Areas end at 40 labels, where arm 'margin', pool 0, seed 0 ends; other runs reach 160."
    )


def test_arms_that_bought_other_numbers_of_labels_are_named_once():
    rounds = study()
    extra = (rounds["arm"] == "badge") & (rounds["checkpoint"] > 0)
    rounds.loc[extra, "n_labels"] += rounds.loc[extra, "checkpoint"]
    warnings = compare(rounds, "accuracy").warnings
    assert "badge and random bought different numbers of labels (pool 0, checkpoint 1: 21 and 20)" in warnings[0]
    assert len(warnings) == 2


def test_numbers_agree_with_the_rule_of_verdicts_alone():
    found = compare(study(noise=0.02), "accuracy")
    areas = {run: trapezoid(c.value, c.n) / 70 for run, c in found.curves.items()}
    differences = {
        arm: np.round([areas[(arm, p, 0)] - areas[("random", p, 0)] for p in range(10)], 12)
        for arm in ("badge", "entropy", "margin")
    }  # fmt: skip
    for arm, ruling in judge(differences, rope=0.005).items():
        assert (found[arm].verdict, found[arm].note) == (ruling.verdict, ruling.note)
        assert found[arm].p_holm == pytest.approx(ruling.p_holm)


@pytest.mark.parametrize(
    ("rounds", "error", "message"),
    [
        (
            without(study(), "random"),
            UsageError,
            r"compares arms with 'random'.*'badge', 'entropy', 'margin'\. Add 'rand",
        ),
        (study(gain={"random": 0.0}), UsageError, "Add another strategy to the study"),
        (study(metric="macro_f1"), UnknownNameError, "unknown metric 'accuracy'"),
        (study(budgets=(10,)), UsageError, "No run of 'random' has two checkpoints"),
        (study().iloc[:0], DataError, "no round is on record yet"),
    ],
)
def test_refuses(rounds, error, message):
    with pytest.raises(error, match=message):
        compare(rounds, "accuracy")


def test_E6_two_result_sets_are_not_compared_in_one_table():
    with pytest.raises(DataError, match="one dataset, got 'digits', 'letters'"):
        compare(pd.concat([study(), study().assign(dataset="letters")]), "accuracy")
