"""Seeding on factored gradients against gradients written out."""

import numpy as np
import pytest
from hypothesis import given, strategies as st
from scipy.stats import chi2

from querist.kernels import seeding as module
from querist.kernels.seeding import gradient_seeding
from querist.kernels.workers import workers
from querist.seeds import Seed


def seeded(residual, embedding, b, seed, *, bias=False):
    """Seed with ids 0, 1, 2, ..."""
    return gradient_seeding(residual, embedding, b, np.arange(len(residual)), Seed(seed).key(), bias=bias)


def ties(n, seed=0):
    return Seed(seed).key().hash(np.arange(n))


def explicit(residual, embedding, b, seed):
    """k-means++ on n x (c d) gradients: the full race at every step."""
    tie = ties(len(residual), seed)

    def uniform(step):
        return Seed(seed).child("step", step).key().uniform(np.arange(len(residual)))

    g = np.einsum("nc,nd->ncd", residual.astype(np.float64), embedding.astype(np.float64)).reshape(len(residual), -1)
    weight, rows, gap = np.square(g).sum(axis=1), [], []
    near = np.full(len(g), np.inf)
    for step in range(b):
        if step == 0 or weight.max() == 0:
            tied = [i for i in range(len(g)) if weight[i] == weight.max() and i not in rows]
            best = min(tied, key=lambda i: tie[i])
        else:
            arrival = -np.log(uniform(step))
            best = min((i for i in range(len(g)) if weight[i] > 0), key=lambda i: arrival[i] / weight[i])
        rows.append(int(best))
        gap.append(float(np.sqrt(weight[best])))
        near = np.minimum(near, np.square(g - g[best]).sum(axis=1))
        near[rows] = 0
        weight = near.copy()
    return rows, gap


@st.composite
def factors(draw):
    n, c, d = draw(st.integers(1, 9)), draw(st.integers(1, 4)), draw(st.integers(1, 3))
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    distinct = draw(st.integers(1, n))
    pick = rng.integers(distinct, size=n)
    residual = rng.integers(-2, 3, size=(distinct, c))[pick].astype(draw(st.sampled_from([np.float32, np.float64])))
    embedding = rng.integers(-2, 3, size=(distinct, d))[pick].astype(draw(st.sampled_from([np.float32, np.float64])))
    return residual, embedding


def gradients(name, n=1500, c=5, d=4):
    """Residuals and embeddings for which the bounds of a lazy race go stale in different ways."""
    rng = np.random.default_rng(6)
    a, z, group = rng.normal(size=(n, c)), rng.normal(size=(n, d)), rng.integers(12, size=n)
    if name == "tight groups":
        a, z = a[:12][group] + 1e-5 * a, z[:12][group] + 1e-5 * z
    if name == "duplicates":
        a, z = a[group], z[group]
    if name == "uneven sizes":
        a = a * np.exp(4 * rng.normal(size=(n, 1)))
    if name == "mostly zero":
        a = a * (rng.random((n, 1)) < 0.01)
    return a * {"huge": 1e70, "tiny": 1e-75}.get(name, 1.0), z * {"huge": 1e70, "tiny": 1e-75}.get(name, 1.0)


@pytest.mark.parametrize(
    "name", ["even", "tight groups", "duplicates", "uneven sizes", "mostly zero", "huge", "tiny"]
)  # fmt: skip
@pytest.mark.parametrize("together", [1, 64])
def test_B3_lazy_race_equals_the_full_race(name, together, monkeypatch):
    monkeypatch.setattr(module, "TOGETHER", together)
    monkeypatch.setattr(module, "BLOCK", 400)
    a, z = gradients(name)
    rows, gap = seeded(a, z, 60, 3)
    expected, distance = explicit(a, z, 60, 3)
    assert rows.tolist() == expected
    np.testing.assert_allclose(gap, distance, rtol=1e-9)


def test_B3_lazy_race_measures_few_rows(monkeypatch):
    pairs = []
    measure = module.Gradients.measure

    def spy(self, rows, wait_m, bound_m, best):
        pairs.append(len(rows))
        return measure(self, rows, wait_m, bound_m, best)

    monkeypatch.setattr(module.Gradients, "measure", spy)
    a, z = gradients("even")
    seeded(a, z, 60, 3)
    assert sum(pairs) < 0.1 * 60 * len(a)


def test_U2_U4_workers_files_and_precision_of_storage_change_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "BLOCK", 100)
    a, z = (part.astype(np.float16) for part in gradients("even"))
    np.save(tmp_path / "z.npy", z)
    expected = seeded(a.astype(np.float64), z.astype(np.float64), 50, 0)
    for residual, embedding, count in (
        (a, np.load(tmp_path / "z.npy", mmap_mode="r"), 1),
        (a.astype(np.float64), z.astype(np.float32), 2),
        (a.astype(np.float32), z.astype(np.float64), 3),
    ):
        with workers(count):
            rows, gap = seeded(residual, embedding, 50, 0)
        assert rows.tolist() == expected[0].tolist()
        np.testing.assert_allclose(gap, expected[1], rtol=1e-12)


def test_noise_goes_with_ids_and_not_with_places():
    a, z = gradients("even", n=300)
    ids, key = np.arange(300) + 1000, Seed(4).key()
    order = np.random.default_rng(0).permutation(300)
    rows, _ = gradient_seeding(a, z, 30, ids, key)
    moved, _ = gradient_seeding(a[order], z[order], 30, ids[order], key)
    assert ids[rows].tolist() == ids[order][moved].tolist()


@given(factors(), st.booleans(), st.integers(0, 99), st.data())
def test_equals_explicit_gradients(world, bias, seed, data):
    residual, embedding = world
    n = len(residual)
    b = data.draw(st.integers(1, n))
    rows, gap = seeded(residual, embedding, b, seed, bias=bias)
    written = np.column_stack([embedding, np.ones(n)]) if bias else embedding
    expected, distance = explicit(residual, written, b, seed)
    assert rows.tolist() == expected
    np.testing.assert_allclose(gap, distance, rtol=1e-12)


def test_equals_explicit_gradients_of_real_numbers():
    rng = np.random.default_rng(0)
    p = rng.dirichlet(np.ones(5), size=300).astype(np.float32)
    p[np.arange(300), p.argmax(axis=1)] -= 1
    z = rng.normal(size=(300, 7)).astype(np.float32)
    rows, gap = seeded(p, z, 60, 0)
    expected, distance = explicit(p, z, 60, 0)
    assert rows.tolist() == expected
    np.testing.assert_allclose(gap, distance, rtol=1e-9)


@given(factors(), st.integers(0, 9))
def test_C2_zero_gradients_and_duplicates_yield_distinct_rows(world, seed):
    residual, embedding = world
    for a, z in ((residual, embedding), (0 * residual, embedding), (residual, 0 * embedding)):
        rows, gap = seeded(a, z, len(a), seed)
        assert sorted(rows.tolist()) == list(range(len(a)))
        assert np.isfinite(gap).all()


def test_C2_without_any_distance_the_smallest_hashes_are_taken():
    rows, gap = seeded(np.zeros((8, 3)), np.ones((8, 2)), 8, 5)
    assert rows.tolist() == ties(8, 5).argsort().tolist()
    assert gap.tolist() == [0] * 8


def test_N3_gradients_next_to_a_pick_keep_their_tiny_distance():
    rng = np.random.default_rng(1)
    a, z = np.tile(rng.normal(size=4), (50, 1)), np.tile(rng.normal(size=6), (50, 1))
    z[1:] += 1e-9 * rng.normal(size=(49, 6))
    rows, gap = seeded(a, z, 2, 0)
    g = np.einsum("nc,nd->ncd", a, z).reshape(50, -1)
    # The textbook form |g|^2 + |h|^2 - 2 <g, h> has an error of 1e-16 |g|^2 here: 100 times the squared distance.
    assert gap[1] == pytest.approx(np.linalg.norm(g[rows[1]] - g[rows[0]]), rel=1e-5)


def test_M17_first_pick_has_the_largest_gradient():
    rng = np.random.default_rng(2)
    for seed in range(20):
        a, z = rng.normal(size=(40, 3)), rng.normal(size=(40, 5))
        rows, gap = seeded(a, z, 1, seed)
        size = np.linalg.norm(a, axis=1) * np.linalg.norm(z, axis=1)
        assert rows[0] == size.argmax()
        assert gap[0] == pytest.approx(size.max())


def test_M28_second_draw_is_in_proportion_to_the_distance_to_the_first_and_not_to_the_origin():
    # Row 0 is picked first. Row 1 is near it and far from the origin, row 2 at the origin: a seeding that counts the
    # origin as a centre would never draw row 2.
    a, z = np.ones((4, 1)), np.array([[10.0], [9.0], [0.0], [4.0]])
    counts = np.zeros(4)
    for seed in range(3000):
        counts[seeded(a, z, 2, seed)[0][1]] += 1
    expected = 3000 * np.array([0.0, 1.0, 100.0, 36.0]) / 137
    assert counts[0] == 0
    assert ((counts - expected)[1:] ** 2 / expected[1:]).sum() < chi2.isf(1e-6, 2)


def test_one_residual_for_all_is_seeding_on_the_embedding():
    z = np.random.default_rng(3).normal(size=(60, 4))
    residual = np.tile([[0.5, -0.25, -0.25]], (60, 1))
    rows, gap = seeded(residual, z, 20, 7)
    expected, distance = explicit(np.ones((60, 1)), z, 20, 7)
    assert rows.tolist() == expected
    np.testing.assert_allclose(gap, np.linalg.norm(residual[0]) * np.array(distance), rtol=1e-9)


def test_potential_is_that_of_plain_seeding():
    """Mean sum of squared distances after b picks, against an independent k-means++ that starts at the same row."""
    rng = np.random.default_rng(4)
    a, z = rng.normal(size=(150, 3)), rng.normal(size=(150, 3))
    g = np.einsum("nc,nd->ncd", a, z).reshape(150, -1)

    def potential(rows):
        return np.square(g[:, None] - g[rows][None]).sum(axis=2).min(axis=1).sum()

    def plain():
        rows = [int(np.square(g).sum(axis=1).argmax())]
        while len(rows) < 10:
            near = np.square(g[:, None] - g[rows][None]).sum(axis=2).min(axis=1)
            rows.append(int(rng.choice(150, p=near / near.sum())))
        return rows

    ours = [potential(seeded(a, z, 10, s)[0]) for s in range(300)]
    theirs = [potential(plain()) for _ in range(300)]
    error = np.sqrt(np.var(ours) / 300 + np.var(theirs) / 300)
    assert abs(np.mean(ours) - np.mean(theirs)) < 5 * error


def test_inputs_stay():
    a, z = np.ones((5, 2)), np.arange(10.0).reshape(5, 2)
    before = a.copy(), z.copy()
    for array in (a, z):
        array.flags.writeable = False
    seeded(a, z, 5, 0)
    np.testing.assert_array_equal(a, before[0])
    np.testing.assert_array_equal(z, before[1])
