"""The simulated oracle: true labels of the pool, and of nothing else."""

import numpy as np
import pytest

from querist.arrays import SealedArray
from querist.errors import DataError, LeakError
from querist.labels.oracle import Query, SimulatedOracle

LABELS = SealedArray([2, 0, 1, -1, 1, 0])
POOL = np.array([0, 2, 3, 5])


def ask(*ids):
    return SimulatedOracle(LABELS, POOL).answer(Query(np.array(ids, dtype=np.int64)))


def test_true_labels_in_the_order_asked():
    assert list(ask(5, 0, 2).items()) == [(5, 0), (0, 2), (2, 1)]
    assert all(type(i) is type(y) is int for i, y in ask(5, 0).items())


def test_no_question_no_answer():
    assert ask() == {}


@pytest.mark.parametrize("ids", [(1,), (0, 4), (4, 1)])
def test_ids_outside_the_pool_are_a_leak(ids):
    with pytest.raises(LeakError, match="outside the pool"):
        ask(*ids)


@pytest.mark.parametrize("ids", [(-1,), (6,), (0, 0), (0, -6)])
def test_ids_that_are_none(ids):
    with pytest.raises(DataError, match="ids asked for"):
        ask(*ids)


def test_an_item_without_a_label_is_named():
    with pytest.raises(DataError, match=r"1 of 2 items have no label, ids 3\..*left_out"):
        ask(0, 3)


def test_the_oracle_does_not_hand_out_its_array():
    oracle = SimulatedOracle(LABELS, POOL)
    first = oracle.answer(Query(np.array([0])))
    first[0] = 99  # pyright: ignore[reportIndexIssue]
    assert oracle.answer(Query(np.array([0]))) == {0: 2}
