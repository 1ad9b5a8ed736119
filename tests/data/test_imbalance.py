"""Uneven pools: the published counts to the item, the same part again, and test items left alone."""

import numpy as np
import pytest

from querist.data.dataset import datasets
from querist.data.imbalance import class_counts
from querist.data.memory import from_arrays
from querist.errors import UsageError
from querist.kernels.apportion import in_proportion
from querist.strategies.base import strategies


def even(c=10, each=200, test=20):
    """Pool items of `c` classes in turn, `each` of each, and test items."""
    n = c * (each + test)
    y = np.arange(n) % c
    split = np.where(np.arange(n) < c * each, "pool", "test")
    names = [f"class {j}" for j in range(c)]
    return from_arrays("even", np.arange(n, dtype=np.float32)[:, None], y, split=split, classes=names)


EVEN = even()


def build(base=EVEN, **settings):
    return datasets.build({"name": "imbalanced", "base": base, **settings})


def sizes(data, split="pool"):
    return np.bincount(data.labels.unseal()[getattr(data, split)], minlength=data.c)


def keys(data, ids):
    return [data.manifest.keys[i] for i in ids.tolist()]


@pytest.mark.parametrize(
    ("c", "largest", "ratio", "total", "some"),
    [
        (10, 5000, 0.01, 12_406, [5000, 2997, 1796, 1077, 645, 387, 232, 139, 83, 50]),
        (10, 5000, 0.02, 13_996, [5000, 3237, 2096, 1357, 878, 568, 368, 238, 154, 100]),
        (10, 5000, 0.1, 20_431, [5000]),
        (100, 500, 0.01, 10_847, [500]),
        (100, 500, 0.02, 12_608, [500]),
        (100, 500, 0.1, 19_573, [500]),
    ],
)
def test_published_counts_of_long_tailed_cifar(c, largest, ratio, total, some):
    found = class_counts(c, largest, "exponential", ratio)
    assert found[: len(some)].tolist() == some
    assert (found.sum(), found[-1]) == (total, round(ratio * largest))


@pytest.mark.parametrize(("c", "largest", "last", "preset"), [(10, 1154, 204, "S2"), (100, 132, 28, "S2_cifar100")])
def test_published_counts_of_the_decaying_profile(c, largest, last, preset):
    """The strategy that draws initial sets of this profile has its constants from another table."""
    share = strategies.build({"name": "long_tail_oracle", "preset": preset}).shares(c)
    published = in_proportion(share, np.full(c, 5000), 5000)
    assert (published[0], published[-1]) == (largest, last)
    if c == 10:
        assert published.tolist() == [1154, 878, 678, 533, 427, 351, 295, 255, 225, 204]
    found = class_counts(c, largest, "s2")
    np.testing.assert_array_equal(found, in_proportion(share, np.full(c, 5000), found.sum()))
    assert np.abs(found - published).max() <= 1
    assert class_counts(c, 10 * largest, "s2").sum() == pytest.approx(10 * found.sum(), rel=2e-3)


def test_steps():
    assert class_counts(6, 30, "step", 0.2).tolist() == [30, 30, 30, 6, 6, 6]
    assert class_counts(5, 30, "step", 0.25).tolist() == [30, 30, 30, 7, 7]
    assert class_counts(2, 30, "exponential", 0.25).tolist() == [30, 7]


@pytest.mark.parametrize("profile", ["exponential", "step", "s2"])
@pytest.mark.parametrize("shuffled", [False, True])
def test_a_pool_has_those_counts_and_the_test_items_stay(profile, shuffled):
    data = build(profile=profile, shuffled=shuffled)
    expected = class_counts(10, 200, profile)
    assert expected.min() < expected.max() == 200
    found = sizes(data)
    np.testing.assert_array_equal(np.sort(found), np.sort(expected))
    assert np.array_equal(found, expected) != shuffled
    assert keys(data, data.test) == keys(EVEN, EVEN.test)
    assert (sizes(data, "test") == 20).all()
    np.testing.assert_array_equal(data.items[data.test], EVEN.items[EVEN.test])


def test_items_keep_their_keys_and_labels():
    data = build(ratio=0.05)
    truth = dict(zip(EVEN.manifest.keys, EVEN.labels.unseal().tolist(), strict=True))
    content = dict(zip(EVEN.manifest.keys, EVEN.items[np.arange(len(EVEN.items))][:, 0].tolist(), strict=True))
    assert [truth[key] for key in data.manifest.keys] == data.labels.unseal().tolist()
    assert [content[key] for key in data.manifest.keys] == data.items[np.arange(len(data.items))][:, 0].tolist()
    assert data.classes == EVEN.classes


def test_the_same_settings_give_the_same_part_and_others_another():
    variants = [{}, {"seed": 1}, {"ratio": 0.2}, {"profile": "step"}, {"profile": "s2"}, {"shuffled": True}]
    found = [build(**settings).fingerprint for settings in variants]
    assert len(set(found)) == len(variants)
    assert found == [build(**settings).fingerprint for settings in variants]
    assert build().fingerprint == build(ratio=0.1).fingerprint
    assert [build(**s).name for s in variants[2:5]] == ["even-exponential-0.2", "even-step-0.1", "even-s2"]


@pytest.mark.parametrize("shuffled", [False, True])
def test_a_larger_ratio_contains_the_pool_of_a_smaller_one(shuffled):
    small, large = (build(ratio=ratio, shuffled=shuffled) for ratio in (0.05, 0.3))
    assert set(keys(small, small.pool)) < set(keys(large, large.pool))


def test_a_ratio_of_one_changes_nothing():
    data = build(ratio=1.0)
    assert keys(data, data.pool) == keys(EVEN, EVEN.pool)


def test_a_class_that_is_too_small_keeps_all_it_has():
    y = np.repeat([0, 1, 2], [100, 12, 80])
    base = from_arrays("uneven", np.arange(192.0)[:, None], y)
    assert sizes(build(base, ratio=0.25)).tolist() == [100, 12, 25]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"ratio": 0.0}, "above 0 and at most 1, got 0.0"),
        ({"ratio": 1.1}, "got 1.1"),
        ({"ratio": float("nan")}, "expected float | None, got nan"),
        ({"profile": "s2", "ratio": 0.1}, "'s2' has no ratio, got 0.1"),
        ({"base": even(5), "profile": "s2"}, "published for 10 and for 100 classes, not for 5"),
        ({"ratio": 0.004}, "nothing would be left of the classes class 9 of 'even', whose largest class has 200"),
        ({"base": from_arrays("part", [[0.0], [1.0], [2.0]], ["a", "b", ""])}, "labels for all pool items of 'part'"),
    ],
)
def test_what_cannot_be_is_refused(settings, words):
    with pytest.raises(UsageError, match=words):
        build(**settings)


def test_by_its_name_in_a_composition():
    data = datasets.build("imbalanced(digits, profile=step, ratio=0.2)")
    assert data.name == "digits-step-0.2"
    assert sizes(data)[5:].max() == int(0.2 * sizes(datasets.build("digits")).max())
