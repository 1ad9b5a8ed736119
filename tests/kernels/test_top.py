"""The b largest scores against a full sort."""

import numpy as np
from hypothesis import given, strategies as st
from hypothesis.extra.numpy import arrays

from querist.kernels.top import top_b
from querist.seeds import Seed


def by_full_sort(score, tie, b):
    return sorted(range(len(score)), key=lambda i: (-score[i], tie[i]))[:b]


@given(
    arrays(np.float64, st.integers(1, 20), elements=st.sampled_from([-1.0, 0.0, 0.5, 0.5 + 1e-16, 1e300])), st.data()
)
def test_equals_a_full_sort_whatever_the_ties(score, data):
    tie = Seed(data.draw(st.integers(0, 9))).key().hash(np.arange(len(score)))
    b = data.draw(st.integers(0, len(score)))
    assert top_b(score, tie, b).tolist() == by_full_sort(score, tie, b)


def test_N6_equal_scores_go_by_hash_and_not_by_position():
    score, ids = np.zeros(50), np.arange(100, 150)
    tie = Seed(3).key().hash(ids)
    order = np.random.default_rng(0).permutation(50)
    assert ids[top_b(score, tie, 7)].tolist() == ids[order][top_b(score, tie[order], 7)].tolist()
    assert top_b(score, tie, 7).tolist() == tie.argsort()[:7].tolist()
