"""Shares of a batch in turn, against a loop that deals cards."""

import numpy as np
from hypothesis import given, strategies as st

from querist.kernels.apportion import in_turn
from querist.seeds import Seed


def dealt(group, turn, tie, b, most=None):
    hands = {g: sorted(np.flatnonzero(group == g), key=lambda i: tie[i]) for g in np.argsort(turn).tolist()}
    rows, lap = [], 0
    while any(hands.values()) and len(rows) < b and (most is None or lap < most):
        rows += [hand.pop(0) for hand in hands.values() if hand]
        lap += 1
    return rows[:b]


@st.composite
def groups(draw):
    g = draw(st.integers(1, 5))
    group = np.array(draw(st.lists(st.integers(0, g - 1), min_size=1, max_size=20)), np.int64)
    turn = np.random.default_rng(draw(st.integers(0, 9))).permutation(g)
    return group, turn, Seed(draw(st.integers(0, 9))).key().hash(np.arange(len(group)))


@given(groups(), st.integers(1, 25), st.none() | st.integers(0, 4))
def test_equals_dealing_in_turn(world, b, most):
    group, turn, tie = world
    assert in_turn(group, turn, tie, b, most=most).tolist() == dealt(group, turn, tie, b, most)


@given(groups(), st.data())
def test_C8_shares_sum_to_the_batch_and_a_smaller_batch_is_a_prefix(world, data):
    group, turn, tie = world
    b = data.draw(st.integers(1, len(group)))
    rows = in_turn(group, turn, tie, b)
    assert len(set(rows.tolist())) == b
    assert in_turn(group, turn, tie, len(group))[:b].tolist() == rows.tolist()
    shares, supply = np.bincount(group[rows], minlength=len(turn)), np.bincount(group, minlength=len(turn))
    # Largest remainder with leftovers passed on: nobody has two more than a group that could still give.
    assert all(shares[a] <= shares[z] + 1 for a in range(len(turn)) for z in range(len(turn)) if shares[z] < supply[z])
