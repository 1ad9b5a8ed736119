"""The b largest scores against a full sort."""

import numpy as np
import pytest
from hypothesis import given, strategies as st
from hypothesis.extra.numpy import arrays

from querist.kernels import top as module
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


@pytest.mark.parametrize("kind", ["spread", "few values", "constant", "falling", "one peak", "unlucky"])
@pytest.mark.parametrize("b", [0, 1, 7, 10, 60, 290, 300])
def test_a_threshold_from_a_sample_changes_nothing(kind, b, monkeypatch):
    monkeypatch.setattr(module, "SAMPLE", 20)
    rng = np.random.default_rng(0)
    score = {
        "spread": rng.normal(size=300), "few values": rng.integers(3, size=300).astype(float),
        "constant": np.zeros(300), "falling": -np.arange(300.0), "one peak": (np.arange(300) == 77).astype(float),
        "unlucky": rng.random(300) + 9 * (np.arange(300) % 15 == 0),  # the sample sees the largest only
    }[kind]  # fmt: skip
    tie = Seed(1).key().hash(np.arange(300))
    assert top_b(score, tie, b).tolist() == by_full_sort(score, tie, b)


def test_few_of_many_rows_are_sorted():
    score = np.random.default_rng(0).normal(size=200_000)
    assert len(module.contenders(score, 100)) < 5000
