"""Datasets made of others: parts that nest, defects of the size that was asked for, and test items left alone."""

import numpy as np
import pytest

from querist.data.dataset import datasets
from querist.errors import DataError

BASE = {"name": "digits"}


def build(**spec):
    return datasets.build({"base": BASE, **spec})


def parts(data, ids):
    return data.items[ids], data.labels.unseal()[ids], [data.manifest.keys[i] for i in ids.tolist()]


WHOLE = datasets.build("digits")
TEST = parts(WHOLE, WHOLE.test)


def same(one, other):
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


def test_a_sample_is_a_part_and_a_larger_one_holds_the_smaller():
    small, large = build(name="sample", pool=50, test=30), build(name="sample", pool=200, test=30)
    assert (len(small.pool), len(small.test), len(small.items)) == (50, 30, 80)
    keys = [set(parts(data, data.pool)[2]) for data in (small, large, WHOLE)]
    assert keys[0] < keys[1] < keys[2]
    assert keys[0] != set(parts(other := build(name="sample", pool=50, seed=1), other.pool)[2])
    truth = dict(zip(WHOLE.manifest.keys, WHOLE.labels.unseal().tolist(), strict=True))
    assert [truth[key] for key in small.manifest.keys] == small.labels.unseal().tolist()
    assert same(
        parts(build(name="sample", pool=50), (whole := build(name="sample", pool=50)).test), parts(whole, whole.test)
    )


@pytest.mark.parametrize("pool", [0, 1298])
def test_a_sample_that_cannot_be_drawn_is_refused(pool):
    with pytest.raises(DataError, match="1 to 1297 pool items of 'digits'"):
        build(name="sample", pool=pool)


@pytest.mark.parametrize("kind", ["label_noise", "outliers", "near_copies", "long_tail"])
def test_defects_leave_the_test_items_alone_and_are_the_same_again(kind):
    data = build(name="stressed", kind=kind, share=0.4)
    assert data.name == f"digits-{kind}"
    assert same(parts(data, data.test), TEST)
    assert data.fingerprint == build(name="stressed", kind=kind, share=0.4).fingerprint
    assert data.fingerprint != build(name="stressed", kind=kind, share=0.4, seed=1).fingerprint


def changed(data):
    x, y, keys = parts(data, data.pool)
    assert keys == parts(WHOLE, WHOLE.pool)[2]
    was_x, was_y, _ = parts(WHOLE, WHOLE.pool)
    return (x != was_x).any(axis=tuple(range(1, x.ndim))), y != was_y


def test_t15_a_share_of_the_answers_is_wrong_and_nothing_else():
    moved, wrong = changed(build(name="stressed", kind="label_noise", share=0.2))
    assert not moved.any()
    assert wrong.sum() == round(0.2 * 1297)  # a wrong answer is never the true one


def test_outliers_keep_their_values_and_lose_their_shape():
    data = build(name="stressed", kind="outliers", share=0.3)
    moved, _ = changed(data)
    assert abs(moved.sum() - 0.3 * 1297) <= 3
    flat = [np.sort(d.items[d.pool].reshape(1297, -1), axis=1) for d in (data, WHOLE)]
    np.testing.assert_array_equal(*flat)


def test_near_copies_lie_beside_few_originals_with_their_labels():
    data = build(name="stressed", kind="near_copies", share=0.6)
    moved, _ = changed(data)
    x, y, _ = parts(data, data.pool)
    x = x.reshape(len(x), -1).astype(float)
    sound = np.flatnonzero(~moved)
    gap = ((x[moved][:, None] - x[sound][None]) ** 2).sum(axis=2)
    source = sound[gap.argmin(axis=1)]
    assert abs(moved.sum() - 0.6 * 1297) <= 3
    assert len(np.unique(source)) <= round(0.4 * 1297) // 10 + 1
    assert (y[source] == y[moved]).all()
    typical = np.median(((x[sound[:200], None] - x[sound[None, :200]]) ** 2).sum(axis=2))
    assert gap.min(axis=1).max() < 0.05 * typical


def test_a_long_tail_falls_from_class_to_class():
    data = build(name="stressed", kind="long_tail", share=0.1)
    sizes = np.bincount(data.labels.unseal()[data.pool], minlength=10)
    assert sizes[-1] == pytest.approx(0.1 * sizes.max(), abs=2)
    assert (np.diff(sizes) <= 1).all()


@pytest.mark.parametrize("share", [0.0, 1.0, -0.2])
def test_an_impossible_share_is_refused(share):
    with pytest.raises(DataError, match="above 0 and below 1"):
        build(name="stressed", share=share)
