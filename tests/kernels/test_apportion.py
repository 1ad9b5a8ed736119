"""Shares of a batch in turn, against a loop that deals cards."""

import numpy as np
from hypothesis import given, strategies as st

from querist.kernels.apportion import in_proportion, in_turn
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


@given(
    st.lists(st.tuples(st.floats(0, 100), st.integers(0, 30)), min_size=1, max_size=8).filter(
        lambda groups: sum(room for _, room in groups)
    ),
    st.data(),
)
def test_C8_proportional_shares_add_up_and_stay_within_their_room(groups, data):
    share, room = np.array([s for s, _ in groups]), np.array([r for _, r in groups])
    b = data.draw(st.integers(0, int(room.sum())))
    count = in_proportion(share, room, b)
    assert count.sum() == b
    assert (count >= 0).all()
    assert (count <= room).all()


@given(st.lists(st.floats(0.01, 100), min_size=1, max_size=8), st.integers(1, 200))
def test_proportional_shares_with_room_are_quotas_rounded_to_the_largest_remainders(share, b):
    share = np.sort(np.array(share))[::-1]
    count = in_proportion(share, np.full(len(share), b), b)
    assert (np.diff(count) <= 0).all()
    quota = b * share / share.sum()
    assert (np.abs(count - quota) < 1 + 1e-6).all()
    remainder = (quota - np.floor(quota + 1e-9)).round(9)
    given_more = count > np.floor(quota + 1e-9)
    if given_more.any() and not given_more.all():
        assert remainder[given_more].min() >= remainder[~given_more].max()


def test_a_full_group_passes_its_share_on_in_proportion():
    assert in_proportion(np.array([8.0, 2.0, 1.0]), np.array([3, 99, 99]), 12).tolist() == [3, 6, 3]
    assert in_proportion(np.zeros(3), np.array([5, 0, 5]), 4).tolist() == [2, 0, 2]
    assert in_proportion(np.array([3.0, 3.0, 4.0]) / 10, np.full(3, 10), 10).tolist() == [3, 3, 4]
