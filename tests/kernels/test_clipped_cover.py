"""Facility location between floors and caps, against its definition."""

from itertools import combinations

import numpy as np
import pytest

from querist.kernels import clipped_cover as module
from querist.kernels.clipped_cover import ClippedCover, clipped_cover, nearest
from querist.kernels.likeness import Likeness
from querist.kernels.maximise import maximise
from querist.kernels.workers import workers
from querist.seeds import Seed


def unit(n, d, seed=0):
    x = np.random.default_rng(seed).normal(size=(n, d))
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)


def similar(*factors):
    product = np.ones((len(factors[0]),) * 2)
    for factor in factors:
        product *= factor.astype(float) @ factor.astype(float).T
    return (1 + product) / 2


def value(s, picked, floor, cap):
    best = s[:, list(picked)].max(axis=1, initial=0)
    return float(np.maximum(np.minimum(best, cap) - floor, 0).sum())


@pytest.mark.parametrize("factors", [1, 2])
@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (0.6, 1.0), (0.0, 0.7), (0.5, 0.8)])
def test_gains_are_differences_of_the_definition_at_every_step(factors, low, high):
    rng, n = np.random.default_rng(1), 90
    parts = (unit(n, 5), unit(n, 6, 2))[:factors]
    floor, cap = low * rng.random(n), np.minimum(high + 0.2 * rng.random(n), 1)
    cap[:9] = floor[:9] / 2  # caps below their floors count for nothing
    s, cover, picked = similar(*parts), ClippedCover(Likeness(*parts), np.arange(n), floor, cap), []
    for _ in range(30):
        rest = np.setdiff1d(np.arange(n), picked)
        before = value(s, picked, floor, cap)
        expected = [value(s, [*picked, row], floor, cap) - before for row in rest]
        np.testing.assert_allclose(cover.gains(rest), expected, atol=1e-9)
        picked.append(int(rest[np.argmax(expected)]))
        cover.add(picked[-1])


def test_greedy_is_lazy_exact_and_near_the_best():
    n, b = 12, 3
    x, rng = unit(n, 3), np.random.default_rng(2)
    floor, cap = 0.5 * rng.random(n), 0.5 + 0.5 * rng.random(n)
    s = similar(x)
    lazy, naive = (
        maximise(
            ClippedCover(Likeness(x), np.arange(n), floor, cap), np.arange(n), np.arange(n), n, Seed(0).key(), method
        )
        for method in ("lazy", "naive")
    )
    assert lazy[0].tolist() == naive[0].tolist()
    assert lazy[1].tolist() == naive[1].tolist()
    best = max(value(s, some, floor, cap) for some in combinations(range(n), b))
    assert value(s, lazy[0][:b], floor, cap) >= (1 - 1 / np.e) * best
    assert lazy[1][:b].sum() == pytest.approx(value(s, lazy[0][:b], floor, cap))


def run(n=300, limit=10_000, b=40):
    x, rng = unit(n, 6), np.random.default_rng(0)
    x[n // 2 : n // 2 + 40] = x[:40]
    floor, cap = 0.4 * rng.random(n), 0.6 + 0.4 * rng.random(n)
    ids = np.arange(n)
    return clipped_cover(
        Likeness(x), ids, lambda rows: (floor[rows], cap[rows]), ids, b, Seed(0).key(), limit=limit,
        sample_n=Seed(1).key().hash(ids),
    ), (similar(x), floor, cap)  # fmt: skip


def test_U2_U4_neither_threads_nor_blocks_nor_leaving_rows_out_change_a_bit(monkeypatch):
    straight, _ = run()
    for name, size in (("WIDE", 4), ("TALL", 7), ("KEPT", 0.0), ("KEPT", 2.0)):
        monkeypatch.setattr(module, name, size)
        with workers(2):
            again, _ = run()
        assert again.rows.tolist() == straight.rows.tolist()
        assert again.gain.tolist() == straight.gain.tolist()


def test_certificates_bound_what_is_lost():
    exact, (s, floor, cap) = run()
    assert not exact.certificate.sampled
    assert exact.certificate.added == pytest.approx(value(s, exact.rows, floor, cap))
    assert 1 >= exact.certificate.share >= 1 - 1 / np.e
    sampled, _ = run(limit=100)
    assert sampled.certificate.references == 33
    assert sampled.certificate.added == pytest.approx(value(s, sampled.rows, floor, cap), abs=1e-6)
    assert sampled.certificate.most >= exact.certificate.added
    assert sampled.certificate.added > 0.8 * exact.certificate.added


def test_nearest():
    parts = (unit(60, 4), unit(60, 5, 1))
    rows, others = np.array([4, 59, 0]), np.arange(10, 50)
    found = nearest(Likeness(*parts), rows, others)
    np.testing.assert_allclose(found, similar(*parts)[np.ix_(rows, others)].max(axis=1), atol=1e-11)
    assert nearest(Likeness(*parts), rows, others[:0]).tolist() == [0, 0, 0]
    assert nearest(Likeness(*parts), rows[:0], others).shape == (0,)
