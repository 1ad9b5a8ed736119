"""The checks every door applies, and labels nobody may read."""

import copy
import operator
import pickle

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from hypothesis.extra import numpy as hnp

from querist.arrays import SealedArray, as_ids, readonly, require_finite, require_probabilities, some
from querist.errors import DataError, LeakError


@settings(deadline=None)
@given(st.lists(st.integers(-3, 20), max_size=12), st.one_of(st.none(), st.integers(1, 15)))
def test_as_ids_is_the_slow_check(values, upper):
    good = len(set(values)) == len(values) and all(v >= 0 and (upper is None or v < upper) for v in values)
    if good:
        ids = as_ids(values, upper)
        assert ids.dtype == np.int64
        assert ids.tolist() == values
    else:
        with pytest.raises(DataError):
            as_ids(values, upper)


@pytest.mark.parametrize("values", [[0.0, 1.0], [[1, 2]], ["a"], [True, False], 3, np.zeros((0, 2)) + 0.5])
def test_as_ids_refuses_what_are_no_ids(values):
    if np.size(values) == 0:
        assert as_ids(values).shape == (0,)
    else:
        with pytest.raises(DataError, match="picks to be a one-dimensional array of integers"):
            as_ids(values, what="picks")


def test_as_ids_names_the_offenders():
    with pytest.raises(DataError, match=r"candidates to be distinct, but 3, 7 occur more than once"):
        as_ids([7, 3, 3, 7, 1], what="candidates")
    with pytest.raises(DataError, match=r"in 0\.\.4, got 5, 9"):
        as_ids([5, 1, 9], 5)
    with pytest.raises(DataError, match="0 or larger, got -1"):
        as_ids([-1])


def test_as_ids_returns_a_copy():
    mine = np.arange(3)
    as_ids(mine)[0] = 9
    assert mine[0] == 0


@settings(deadline=None)
@given(
    hnp.arrays(
        st.sampled_from([np.float16, np.float32, np.float64]),
        hnp.array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=5),
        elements=st.sampled_from([0.0, 1.0, -6e4, 6e4, np.nan, np.inf, -np.inf]),
    )
)
def test_require_finite_is_the_slow_check(array):
    bad = [i for i, row in enumerate(array) if not np.isfinite(row).all()]
    if bad:
        with pytest.raises(DataError, match=f"x: {len(bad)} of {len(array)} rows") as caught:
            require_finite(array, "x", 10 * np.arange(len(array)))
        assert f"ids {some(10 * np.array(bad))}." in str(caught.value)
    else:
        require_finite(array, "x")


def test_require_finite_is_not_fooled_by_sums():
    require_finite(np.full((4, 2), 1e308), "x")  # the sum overflows
    with pytest.raises(DataError, match="ids 0, 2"):
        require_finite(np.array([np.inf, 1.0, -np.inf]), "x")  # the infinities cancel


@settings(deadline=None)
@given(
    hnp.arrays(np.float64, st.tuples(st.integers(0, 6), st.integers(1, 4)), elements=st.floats(0, 1)),
    st.lists(st.integers(0, 5), max_size=3),
)
def test_require_probabilities_accepts_rows_that_sum_to_one_and_nothing_else(raw, spoiled):
    p = (raw + 1e-3) / (raw + 1e-3).sum(axis=1, keepdims=True)
    require_probabilities(p)
    require_probabilities(p.astype(np.float32))
    spoiled = sorted({i for i in spoiled if i < len(p)})
    if spoiled:
        p[spoiled] *= 1.01
        with pytest.raises(DataError, match=f"{len(spoiled)} of {len(p)} rows are not probabilities") as caught:
            require_probabilities(p, ids=100 + np.arange(len(p)))
        assert f"ids {some(100 + np.array(spoiled))}." in str(caught.value)


@pytest.mark.parametrize(
    "p", [[[1.5, -0.5]], [[0.0, 0.0]], [[np.nan, 1.0]], [0.5, 0.5], [[2.0, 1.0]], [[1e-3 + 1.0 + 1e-6, 0.0]]]
)
def test_require_probabilities_refuses(p):
    with pytest.raises(DataError):
        require_probabilities(np.array(p))


@pytest.mark.parametrize("p", [[[1.0, 0.0]], [[0.0, 0.0, 1.0]], np.zeros((0, 3)), [[1.0005, 0.0]]])
def test_require_probabilities_accepts_certainty_and_rounding(p):
    require_probabilities(np.array(p))


def test_readonly_shares_and_refuses():
    mine = np.arange(4)
    view = readonly(mine)
    with pytest.raises(ValueError, match="read-only"):
        view[0] = 1
    mine[0] = 7
    assert view[0] == 7
    assert mine.flags.writeable


@settings(deadline=None)
@given(st.lists(st.integers(0, 99), max_size=12))
def test_some_shows_five(values):
    shown = some(np.array(values, dtype=np.int64))
    assert shown == ", ".join(map(str, values[:5])) + (f" and {len(values) - 5} more" if len(values) > 5 else "")


SEALED = SealedArray([2, 0, 1])


@pytest.mark.parametrize(
    "use",
    [
        np.asarray,
        np.array,
        np.unique,
        np.sum,
        np.bincount,
        lambda s: np.equal(s, 1),
        lambda s: np.less(s, 1),
        lambda s: np.arange(3) == s,
        lambda s: np.arange(3) + s,
        lambda s: np.arange(3) < s,
        lambda s: np.arange(9)[s],
        lambda s: s[0],
        lambda s: s[:],
        lambda s: s[np.array([0, 1])],
        lambda s: s[np.array([True, False, True])],
        list,
        set,
        iter,
        sorted,
        max,
        lambda s: 2 in s,
        lambda s: next(reversed(s)),
        lambda s: [*s],
        lambda s: dict(enumerate(s)),
        lambda s: s == np.array([2, 0, 1]),
        lambda s: s != 1,
        lambda s: operator.eq(s, s),
        pickle.dumps,
        copy.copy,
        copy.deepcopy,
        lambda s: copy.deepcopy({"labels": s}),
    ],
)
def test_l1_sealed_labels_refuse_every_use(use):
    with pytest.raises(LeakError, match="sealed labels were read"):
        use(SEALED)


@pytest.mark.parametrize("use", [hash, lambda s: s + 1, lambda s: s < 1, lambda s: s.max(), memoryview, int])
def test_l1_sealed_labels_have_nothing_else_to_offer(use):
    with pytest.raises((TypeError, AttributeError, LeakError)):
        use(SEALED)


def test_sealed_labels_can_be_counted_shown_and_unsealed():
    assert len(SEALED) == 3
    assert bool(SEALED)
    assert repr(SEALED) == "SealedArray(3 labels)"
    assert SEALED.unseal().tolist() == [2, 0, 1]
    assert SEALED.unseal().dtype == np.int64
    with pytest.raises(ValueError, match="read-only"):
        SEALED.unseal()[0] = 1


def test_sealed_labels_are_a_copy():
    mine = np.array([1, 2])
    sealed = SealedArray(mine)
    mine[0] = 9
    assert sealed.unseal().tolist() == [1, 2]
