"""Boundaries on a line against loops over all places."""

from itertools import pairwise

import numpy as np
from hypothesis import given, strategies as st

from querist.kernels.one_against_rest import ANYWHERE, BESIDE, beside, bisection, interval, ordering, threshold

MARKS = st.lists(st.sampled_from([-1, 0, 0, 0, 1]), min_size=1, max_size=24).map(np.array)
WITH_ROOM = MARKS.filter(lambda mark: (mark == 0).any())


def ties(n, seed=0):
    return np.random.default_rng(seed).permutation(n).astype(np.uint64)


def naive_bisection(mark, tie):
    labelled = [i for i in range(len(mark)) if mark[i]]
    pairs = [(i, j) for i, j in pairwise(labelled) if mark[i] != mark[j]]
    runs = [(j - i - 1, tie[(i + j) // 2], (i + j) // 2) for i, j in pairs if j - i > 1]
    if runs:
        length, _, middle = min(runs)
        return middle, length
    free = [i for i in range(len(mark)) if mark[i] == 0]
    if not pairs:
        return min(free, key=lambda i: tie[i]), ANYWHERE
    return min(free, key=lambda i: (min(abs(i + 0.5 - j) for _, j in pairs), tie[i])), BESIDE


@given(WITH_ROOM, st.integers(0, 5))
def test_bisection_equals_a_search_of_all_runs(mark, seed):
    tie = ties(len(mark), seed)
    assert bisection(mark, tie) == naive_bisection(mark, tie)


@given(MARKS)
def test_threshold_agrees_with_most_labels(mark):
    agreed = [(mark[:h] > 0).sum() + (mark[h:] < 0).sum() for h in range(len(mark) + 1)]
    best = [h for h, a in enumerate(agreed) if a == max(agreed)]
    assert threshold(mark) == best[len(best) // 2]


@given(WITH_ROOM, st.data())
def test_beside_is_the_nearest_place_without_a_label(mark, data):
    place, tie = data.draw(st.integers(0, len(mark))), ties(len(mark))
    free = [i for i in range(len(mark)) if mark[i] == 0]
    assert beside(mark, place, tie) == min(free, key=lambda i: (abs(i + 0.5 - place), tie[i]))


@given(MARKS)
def test_interval_without_errors_holds_all_thresholds_that_explain_every_label(mark):
    mark = np.concatenate([np.maximum(mark, 0), np.minimum(mark, 0)])  # own rows first: separable
    start, stop = interval(mark)
    agreed = np.array([(mark[:h] > 0).sum() + (mark[h:] < 0).sum() for h in range(len(mark) + 1)])
    explain = np.flatnonzero(agreed == np.count_nonzero(mark))
    assert (start, stop) == (explain.min(), explain.max())
    assert not mark[start:stop].any()


def test_every_label_that_contradicts_halves_the_interval():
    mark = np.zeros(66, int)
    mark[0], mark[-1] = 1, -1
    assert interval(mark) == (1, 65)
    # One error in the class's own half: the side that agrees with more labels is kept.
    mark[[5, 6, 7]], mark[30] = 1, -1
    assert interval(mark) == (8, 30)
    mark[31] = 1
    start, stop = interval(mark)
    wide = 65 - 8 - 2
    assert np.count_nonzero(mark[start:stop] == 0) == -(-wide // 4)


@given(MARKS)
def test_an_interval_lies_within_the_line(mark):
    start, stop = interval(mark)
    assert 0 <= start <= stop <= len(mark)


def test_ordering_puts_rows_predicted_as_the_class_first():
    p = np.array([[0.4, 0.3, 0.3], [0.2, 0.7, 0.1], [0.9, 0.05, 0.05], [0.4, 0.5, 0.1], [0.2, 0.7, 0.1]])
    tie = np.array([0, 9, 2, 3, 4], np.uint64)
    assert ordering(p, 0, tie).tolist() == [2, 0, 3, 4, 1]
    assert ordering(p, 1, tie).tolist() == [4, 1, 3, 0, 2]
    two = np.random.default_rng(0).random(50)
    p = np.stack([two, 1 - two], axis=1)
    assert ordering(p, 0, ties(50)).tolist() == np.argsort(-two).tolist()


def random_marks(count):
    rng = np.random.default_rng(7)
    for _ in range(count):
        mark = rng.choice([-1, 0, 1], size=rng.integers(2, 40), p=[0.2, 0.6, 0.2])
        mark[rng.integers(len(mark))] = 0
        yield mark, ties(len(mark), rng.integers(1000))


def test_long_lines_with_many_runs():
    lengths = set()
    for mark, tie in random_marks(400):
        assert bisection(mark, tie) == naive_bisection(mark, tie)
        lengths.add(bisection(mark, tie)[1])
    assert lengths >= {ANYWHERE, BESIDE, 1, 2, 3, 4}


def naive_shrunk(mark, start, stop, wanted):
    """Move the end whose threshold agrees with fewer labels, both in turn if they agree with as many."""

    def agreed(h):
        return (mark[:h] > 0).sum() + (mark[h:] < 0).sum()

    while (open_rows := (mark[start:stop] == 0).sum()) > wanted:
        if agreed(start) < agreed(stop) or (agreed(start) == agreed(stop) and open_rows % 2 == 0):
            start += 1
        else:
            stop -= 1
    return start, stop


def test_noisy_intervals_shrink_towards_the_better_threshold():
    shrunk = 0
    for mark, _ in random_marks(300):
        own, other = np.flatnonzero(mark > 0), np.flatnonzero(mark < 0)
        first_other, last_own = min(other, default=len(mark)), max(own, default=-1)
        start = max((i for i in own if i < first_other), default=-1) + 1
        stop = min((i for i in other if i > last_own), default=len(mark))
        inside = np.count_nonzero(mark[start:stop])
        wanted = -(-(stop - start - inside) // 2**inside)
        assert interval(mark) == naive_shrunk(mark, start, stop, wanted)
        shrunk += inside > 0
    assert shrunk > 100
