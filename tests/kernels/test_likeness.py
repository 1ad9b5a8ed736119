"""How alike rows are, against cosines of explicit outer products."""

import numpy as np
import pytest

from querist.kernels import likeness as module
from querist.kernels.likeness import Likeness


def unit(n, d, seed, dtype=np.float64):
    x = np.random.default_rng(seed).normal(size=(n, d))
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(dtype)


def explicit(*factors):
    g = factors[0].astype(float)
    for factor in factors[1:]:
        g = np.einsum("nc,nd->ncd", g, factor.astype(float)).reshape(len(g), -1)
    return (1 + g @ g.T) / 2


FACTORS = {
    "one": (unit(50, 7, 0),),
    "two": (unit(50, 4, 1), unit(50, 9, 2)),
    "float32": (unit(50, 4, 1, np.float32), unit(50, 33, 2, np.float32)),
}


@pytest.mark.parametrize("name", FACTORS)
def test_Q17_factored_similarity_is_that_of_outer_products(name):
    like, s = Likeness(*FACTORS[name]), explicit(*FACTORS[name])
    rows, others = np.array([3, 3, 49, 0]), np.array([7, 3, 12])
    np.testing.assert_allclose(like.between(rows, others), s[np.ix_(rows, others)], atol=1e-12)
    assert like.between(rows, others[:0]).shape == (4, 0)
    assert like.between(rows[:0], others).shape == (0, 3)
    assert len(like) == 50


@pytest.mark.parametrize("name", FACTORS)
@pytest.mark.parametrize("block", [7, 4096])
def test_totals_are_sums_over_rows(name, block, monkeypatch):
    monkeypatch.setattr(module, "BLOCK", block)
    like, s = Likeness(*FACTORS[name]), explicit(*FACTORS[name])
    for others in (np.arange(50), np.array([4, 9]), np.empty(0, np.intp)):
        np.testing.assert_allclose(like.total(others), s[:, others].sum(axis=1), atol=1e-11)


def test_equal_rows_are_alike_to_the_last_bit_whatever_is_beside_them():
    x = np.repeat(unit(10, 21, 3, np.float32), 4, axis=0)
    like = Likeness(x)
    whole = like.between(np.arange(40), np.arange(40))
    assert (whole.reshape(10, 4, 10, 4) == whole[::4, ::4].reshape(10, 1, 10, 1)).all()
    assert (whole == whole.T).all()
    assert (like.between(np.array([5]), np.arange(40))[0] == whole[5]).all()


def test_similarities_are_positive_semidefinite():
    like = Likeness(*FACTORS["two"])
    assert np.linalg.eigvalsh(like.between(np.arange(50), np.arange(50))).min() > -1e-12
