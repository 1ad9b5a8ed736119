"""Shares that even out what groups have."""

import numpy as np
from hypothesis import given, strategies as st

from querist.kernels.quotas import water_fill


def one_at_a_time(have, supply, b, tie):
    share = np.zeros_like(have)
    for _ in range(b):
        able = np.flatnonzero(share < supply)
        share[able[np.lexsort((tie[able], (have + share)[able]))[0]]] += 1
    return share


groups = st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=7)


@given(groups, st.integers(0, 2**32), st.floats(0, 1))
def test_equals_giving_one_at_a_time(groups, seed, part):
    have, supply = np.array(groups).T
    tie = np.random.default_rng(seed).permutation(len(have))
    b = int(part * supply.sum())
    share = water_fill(have, supply, b, tie)
    assert share.tolist() == one_at_a_time(have, supply, b, tie).tolist()
    assert share.sum() == b


@given(st.integers(1, 60), st.integers(1, 9), st.floats(0, 1))
def test_C8_over_parts_of_like_size_it_is_the_largest_remainder(n, parts, part):
    parts, b = min(parts, n), int(part * n)
    size = np.array([len(x) for x in np.array_split(np.arange(n), parts)])
    exact = size * b / n
    expected = np.floor(exact).astype(int)
    order = np.argsort(-np.round(exact - expected, 9), kind="stable")
    expected[order[: b - expected.sum()]] += 1
    assert water_fill(np.zeros_like(size), size, b, np.arange(parts)).tolist() == expected.tolist()


def test_C1_groups_without_supply_get_nothing_and_pass_their_share_on():
    have, supply = np.array([0, 5, 0, 1]), np.array([0, 9, 2, 9])
    assert water_fill(have, supply, 8, np.arange(4)).tolist() == [0, 1, 2, 5]


def test_the_remainder_goes_by_ties():
    nothing, plenty = np.zeros(4, int), np.full(4, 9)
    assert water_fill(nothing, plenty, 6, np.array([2, 0, 3, 1])).tolist() == [1, 2, 1, 2]
