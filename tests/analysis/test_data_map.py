"""Data maps against a loop over items in plain Python."""

import itertools
import statistics

import numpy as np
import pytest
from hypothesis import given, strategies as st

from querist.analysis.data_map import data_map
from querist.errors import DataError


def naive(rows):
    """One item after another, from rows (id, epoch, p, correct)."""
    found = {}
    for item in sorted({row[0] for row in rows}):
        course = sorted((epoch, p, right) for i, epoch, p, right in rows if i == item)
        ps, rights = [p for _, p, _ in course], [right for _, _, right in course]
        forgotten = sum(1 for now, then in itertools.pairwise(rights) if now and not then)
        found[item] = (
            sum(ps) / len(ps), statistics.pstdev(ps), sum(rights) / len(rights), forgotten, any(rights),
        )  # fmt: skip
    return found


@given(
    ids=st.lists(st.integers(0, 50), min_size=1, max_size=6, unique=True),
    epochs=st.lists(st.integers(0, 99), min_size=1, max_size=7, unique=True),
    data=st.data(),
)
def test_equals_a_loop_over_items_whatever_the_order_of_rows(ids, epochs, data):
    pairs = data.draw(st.permutations([(i, e) for i in ids for e in epochs]))
    count = len(pairs)
    ps = data.draw(st.lists(st.sampled_from([0.0, 0.1, 0.33, 0.5, 1.0]), min_size=count, max_size=count))
    rights = data.draw(st.lists(st.booleans(), min_size=count, max_size=count))
    columns = [np.array(column) for column in zip(*pairs, strict=True)]
    found = data_map(*columns, np.array(ps), np.array(rights))
    expected = naive([(i, e, p, r) for (i, e), p, r in zip(pairs, ps, rights, strict=True)])
    assert found.ids.tolist() == list(expected)
    for row, item in enumerate(found.ids.tolist()):
        confidence, variability, correctness, forgotten, learnt = expected[item]
        assert found.confidence[row] == pytest.approx(confidence)
        assert found.variability[row] == pytest.approx(variability, abs=1e-12)
        assert found.correctness[row] == pytest.approx(correctness)
        assert (found.forgetting[row], found.learnt[row]) == (forgotten, learnt)


def test_float32_probabilities_are_averaged_in_float64():
    p = np.full(100_000, 0.1, dtype=np.float32)
    found = data_map(np.zeros(len(p), np.int64), np.arange(len(p)), p, p > 0.5)
    assert found.confidence[0] == pytest.approx(float(np.float32(0.1)), abs=1e-15)
    assert found.variability[0] < 1e-12


def test_regions():
    ids, p = np.arange(4), np.array([0.1, 0.33, 0.67, 0.9])
    assert data_map(ids, ids * 0, p, p > 0.5).regions.tolist() == ["hard", "ambiguous", "ambiguous", "easy"]


def test_what_never_was_right_was_not_forgotten_but_not_learnt_either():
    ids, epochs = np.array([7, 7, 9, 9]), np.array([0, 1, 0, 1])
    found = data_map(ids, epochs, np.full(4, 0.5), np.array([False, False, True, False]))
    assert found.forgetting.tolist() == [0, 1]
    assert found.learnt.tolist() == [False, True]


@pytest.mark.parametrize(
    ("ids", "epochs", "p", "message"),
    [
        ([1, 1, 2], [0, 1, 0], [0.5] * 3, r"items \[?2\]? do not have each of the 2 epochs once"),
        ([1, 1, 2, 2], [0, 0, 0, 1], [0.5] * 4, r"items \[?1\]? do not have each"),
        ([1, 2], [0, 0], [0.5, 1.5], "Expected probabilities, got values from 0.5 to 1.5"),
        ([1, 2], [0, 0], [0.5, float("nan")], "p_true"),
        ([1, 2], [0], [0.5, 0.5], "Expected columns of one length"),
    ],
)
def test_columns_that_are_no_record(ids, epochs, p, message):
    with pytest.raises(DataError, match=message):
        data_map(np.array(ids), np.array(epochs), np.array(p), np.array(p) > 0.7)
