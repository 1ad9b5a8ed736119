"""Folds: a partition that follows the hashes, and predictions that never saw their own row."""

import numpy as np
import pytest

from querist.kernels.folds import folds, held_out


@pytest.mark.parametrize(("n", "k"), [(2, 5), (5, 5), (13, 5), (13, 2)])
def test_folds_are_a_partition_that_follows_the_hashes(n, k):
    tie = np.random.default_rng(n).permutation(n).astype(np.uint64)
    parts = folds(tie, k)
    assert len(parts) == min(n, k)
    assert sorted(np.concatenate(parts).tolist()) == list(range(n))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1
    order = np.random.default_rng(1).permutation(n)
    permuted = {frozenset(order[part].tolist()) for part in folds(tie[order], k)}
    assert permuted == {frozenset(part.tolist()) for part in parts}


def test_no_row_is_predicted_by_a_model_that_saw_it():
    def refit(rows):
        said = np.zeros((7, 7))
        said[:, rows] = 1.0  # column j says whether row j was seen
        return said

    said = held_out(refit, np.arange(7, dtype=np.uint64), 3)
    assert not said.diagonal().any()
    assert (said.sum(axis=1) >= 4).all()
