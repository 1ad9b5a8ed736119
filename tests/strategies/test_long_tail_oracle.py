"""A long-tailed draw by the true labels."""

import numpy as np
import pytest
from scipy.stats import chi2

from querist.errors import SpecError, UsageError
from querist.evidence.evidence import Evidence
from querist.evidence.needs import Sealed
from querist.seeds import Seed
from querist.strategies.base import choose, strategies
from querist.strategies.composition import flags_of
from querist.strategies.long_tail_oracle import LongTailOracle
from querist.testing.contract import StrategyContract


class TestLongTailOracle(StrategyContract):
    make = LongTailOracle
    cold = True
    deterministic = False


class TestLongTailOracleInSteps(StrategyContract):
    make = staticmethod(lambda: LongTailOracle(profile="step", ratio=0.1))
    cold = True


def evidence(counts, labelled=()):
    y = np.repeat(np.arange(len(counts)), counts)
    y = y[np.random.default_rng(0).permutation(len(y))]
    labelled = np.array(labelled, np.int64)
    ids = np.setdiff1d(np.arange(len(y)), labelled)
    return y, Evidence(ids, {Sealed(): y[ids]}, labelled=labelled, c=len(counts))


PROFILES = [
    LongTailOracle(), LongTailOracle(ratio=0.2), LongTailOracle(profile="step", ratio=0.1),
    *(strategies.build({"name": "long_tail_oracle", "preset": p}) for p in ("S2", "S2_cifar100", "S3", "S3_upstream")),
]  # fmt: skip


@pytest.mark.parametrize("strategy", PROFILES)
@pytest.mark.parametrize("b", [1, 7, 50, 333])
def test_C8_counts_add_up_and_never_rise(strategy, b):
    y, ev = evidence([400] * 10)
    count = np.bincount(y[choose(strategy, ev, b, Seed(0).key()).ids], minlength=10)
    assert count.sum() == b
    assert (np.diff(count) <= 0).all()
    quota = b * strategy.shares(10) / strategy.shares(10).sum()
    assert (np.abs(count - quota) < 1).all()


def test_the_profiles_are_those_of_the_two_systems():
    s2 = strategies.build({"name": "long_tail_oracle", "preset": "S2"})
    assert s2.shares(10) == pytest.approx([500 + 4000 * np.exp(-0.32 * (c + 0.5)) for c in range(10)])
    s3 = strategies.build({"name": "long_tail_oracle", "preset": "S3"})
    assert s3.shares(10) == pytest.approx([0.01 ** (c / 9) for c in range(10)])
    assert LongTailOracle(profile="step", ratio=0.1).shares(5).tolist() == [1, 1, 1, 0.1, 0.1]
    assert LongTailOracle().shares(1).tolist() == [1]


def test_the_order_of_classes_is_an_argument():
    y, ev = evidence([100] * 4)
    key, order = Seed(0).key(), (2, 0, 3, 1)
    count = np.bincount(y[choose(LongTailOracle(ratio=0.1, order=order), ev, 60, key).ids], minlength=4)
    declared = np.bincount(y[choose(LongTailOracle(ratio=0.1), ev, 60, key).ids], minlength=4)
    assert count[list(order)].tolist() == declared.tolist()
    with pytest.raises(UsageError, match="an order of 4 classes, got one of 3"):
        choose(LongTailOracle(order=(0, 1, 2)), ev, 5, key)


def test_what_a_small_class_cannot_give_passes_to_the_others():
    y, ev = evidence([5, 50, 50])
    count = np.bincount(y[choose(LongTailOracle(ratio=1.0), ev, 65, Seed(0).key()).ids], minlength=3)
    assert count.tolist() == [5, 30, 30]
    everything = choose(LongTailOracle(), ev, 105, Seed(0).key()).ids
    assert sorted(everything.tolist()) == list(range(105))
    for order, given in {(1, 2, 0): [5, 20, 20], (2, 0, 1): [5, 13, 27]}.items():
        strategy = LongTailOracle(profile="step", ratio=0.5, order=order)
        count = np.bincount(y[choose(strategy, ev, 45, Seed(0).key()).ids], minlength=3)
        assert count.tolist() == given


def test_R5_R6_within_a_class_the_draw_is_uniform_and_keyed():
    y, ev = evidence([8, 8])
    counts = np.zeros(16)
    for seed in range(400):
        counts[choose(LongTailOracle(ratio=1.0), ev, 4, Seed(seed).key()).ids] += 1
    for label in (0, 1):
        seen = counts[y == label]
        assert seen.sum() == 800
        assert ((seen - 100) ** 2 / 75).sum() < chi2.ppf(1 - 1e-6, 8)
    again = [choose(LongTailOracle(), ev, 6, Seed(1).child("round", t).key()).ids.tolist() for t in (0, 1)]
    assert again[0] == again[1]


def test_L6_it_is_flagged_as_an_oracle():
    assert flags_of(LongTailOracle()) == {"oracle"}


@pytest.mark.parametrize(
    ("wrong", "what"),
    [
        ({"ratio": 0.0}, "ratio"), ({"ratio": 1.5}, "ratio"), ({"floor": 0.0, "scale": 0.0}, "scale and floor"),
        ({"decay": 0.1}, "decay"), ({"order": (0, 2)}, "order"), ({"order": (0, 0)}, "order"),
    ],
)  # fmt: skip
def test_C18_settings_must_make_sense(wrong, what):
    with pytest.raises(SpecError, match=f"Expected {what} to"):
        LongTailOracle(**wrong)
