"""The nearest pick of every row, against a search through all pairs."""

import numpy as np
import pytest
from hypothesis import given, strategies as st

from querist.kernels import owners as module
from querist.kernels.owners import owners
from querist.kernels.workers import workers


def brute(x, rows, picks):
    owner, gap = [], []
    for row in rows:
        if row in picks:
            owner.append(list(picks).index(row))
            gap.append(0.0)
            continue
        distances = [float(np.linalg.norm(x[row].astype(np.float64) - x[pick].astype(np.float64))) for pick in picks]
        owner.append(int(np.argmin(distances)))
        gap.append(min(distances))
    return owner, gap


@given(st.integers(1, 40), st.integers(1, 5), st.integers(0, 10_000), st.sampled_from([np.float16, np.float32]))
def test_the_nearest_of_all_pairs(n, d, entropy, dtype):
    rng = np.random.default_rng(entropy)
    # Small integers: ties and duplicates everywhere, and no rounding.
    x = rng.integers(-2, 3, (n, d)).astype(dtype)
    picks = rng.permutation(n)[: rng.integers(1, n + 1)]
    rows = np.flatnonzero(rng.random(n) < 0.8)
    owner, gap = owners(x, rows, picks)
    expected = brute(x, rows, picks)
    assert owner.tolist() == expected[0]
    np.testing.assert_allclose(gap, expected[1], atol=1e-12)
    assert np.bincount(owner, minlength=len(picks)).sum() == len(rows)


@pytest.mark.parametrize("size", [64, 4096])
def test_blocks_and_threads_change_nothing(size, monkeypatch):
    x = np.random.default_rng(0).normal(size=(500, 7)).astype(np.float32) + 100.0
    rows, picks = np.arange(500), np.arange(0, 500, 31)
    whole = owners(x, rows, picks)
    expected = brute(x, rows, picks)
    assert whole[0].tolist() == expected[0]
    np.testing.assert_allclose(whole[1], expected[1], atol=1e-9)
    monkeypatch.setattr(module, "BLOCK", size)
    with workers(2):
        parts = owners(x, rows, picks)
    assert parts[0].tolist() == whole[0].tolist()
    np.testing.assert_allclose(parts[1], whole[1], atol=1e-9)
