"""Greedy joint information against the enumeration of every configuration of labels, and samples against their law."""

import tracemalloc
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from scipy.special import xlogy

from querist.kernels import joint as module
from querist.kernels.draws import mutual_information
from querist.kernels.joint import FLOOR, ROUNDING, Outcomes, gains, joint_information, observe
from querist.kernels.workers import workers
from querist.seeds import Seed


def ties(n, seed=0):
    return Seed(seed).key().hash(np.arange(n))


def streams(seed=0):
    return lambda step: Seed(seed).child("step", step).generator()


def never(step):
    raise AssertionError(f"random numbers were asked for in step {step}, where everything can be enumerated.")


def members(k, n, c, seed=0, dtype=np.float64, concentration=0.4):
    return list(np.random.default_rng(seed).dirichlet(np.full(c, concentration), size=(k, n)).astype(dtype))


@st.composite
def worlds(draw):
    """Draws with exact zeros, duplicates and rows on which all agree; at most 64 configurations of three labels."""
    k, c, n = draw(st.integers(2, 5)), draw(st.integers(1, 4)), draw(st.integers(1, 7))
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    p = rng.dirichlet(np.full(c, 0.5), size=(k, n))
    p[rng.random(p.shape) < draw(st.sampled_from([0.0, 0.3]))] = 0.0
    p[p.sum(axis=2) == 0, 0] = 1.0
    p /= p.sum(axis=2, keepdims=True)
    p = p[:, rng.integers(draw(st.integers(1, n)), size=n)]
    p[:, rng.random(n) < 0.2] = p[:1, :1]
    return list(p)


def information(p_m_k_c):
    """The mutual information of the labels of m rows and the draw, by writing out all c^m configurations."""
    m, k, c = p_m_k_c.shape
    joint = 0.0
    for labels in product(range(c), repeat=m):
        chance = np.mean([np.prod([p_m_k_c[j, draw, y] for j, y in enumerate(labels)]) for draw in range(k)])
        joint -= xlogy(chance, chance)
    return joint + xlogy(p_m_k_c, p_m_k_c).sum(axis=2).mean(axis=1).sum()


def greedy(draws, b, tie):
    """The rule as it is written: every row, every configuration, every step; and whether only equal rows ever tied."""
    p, rows, values, before, clear = np.stack(draws, axis=1), [], [], 0.0, True
    for step in range(b):
        left = [i for i in range(len(p)) if i not in rows]
        value = {i: information(p[[*rows, i]]) - before for i in left}
        if step and max(value.values()) < FLOOR:
            rest = sorted(left, key=lambda i: tie[i])[: b - step]
            return [*rows, *rest], [*values, *[0.0] * len(rest)], clear
        tied = [i for i in left if value[i] >= max(value.values()) - 1e-9]
        best = min(tied, key=lambda i: tie[i])
        clear &= all(np.array_equal(p[i], p[best]) for i in tied)
        rows.append(best)
        values.append(value[best])
        before = information(p[rows])
    return rows, values, clear


def outcomes_of(draws, rows, samples, generator=never):
    outcomes = Outcomes.none(len(draws))
    for step, row in enumerate(rows, start=1):
        outcomes = observe(outcomes, np.stack([p[row] for p in draws]), samples, generator, step)
    return outcomes


# -------------------------------------------------------------------------------------------------------- enumeration


@given(worlds(), st.integers(0, 9), st.data())
@settings(max_examples=60)
def test_M1_equals_the_rule_as_it_is_written(draws, seed, data):
    n = len(draws[0])
    b = data.draw(st.integers(1, min(n, 3)))
    rows, gain = joint_information(draws, b, ties(n, seed), samples=64, generator=never)
    expected, value, clear = greedy(draws, b, ties(n, seed))
    if clear:  # what is equal by another route need not be equal to the last bit
        assert rows.tolist() == expected
        np.testing.assert_allclose(gain, value, atol=1e-10)
    else:
        assert gain[0] == pytest.approx(value[0], abs=1e-10)


@given(worlds(), st.data())
@settings(max_examples=60)
def test_M1_outcomes_are_those_of_bayes(draws, data):
    p = np.stack(draws, axis=1)
    rows = data.draw(st.lists(st.integers(0, len(p) - 1), min_size=1, max_size=3))
    outcomes = outcomes_of(draws, rows, 64)
    chances = [
        [np.prod([p[row, draw, y] for row, y in zip(rows, labels, strict=True)]) for draw in range(len(draws))]
        for labels in product(range(p.shape[2]), repeat=len(rows))
    ]
    likelihood = np.array([chance for chance in chances if max(chance) > 0])
    np.testing.assert_allclose(outcomes.weight_m, likelihood.mean(axis=1), atol=1e-15)
    np.testing.assert_allclose(outcomes.belief_k_m.T, likelihood / likelihood.sum(axis=1, keepdims=True), atol=1e-12)
    assert not outcomes.sampled


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_M1_first_pick_is_the_largest_mutual_information(dtype):
    for seed in range(10):
        draws = members(5, 300, 4, seed, dtype)
        rows, gain = joint_information(draws, 1, ties(300), samples=1, generator=never)
        score = mutual_information(draws)
        assert rows.tolist() == [score.argmax()]
        assert gain.tolist() == [score.max()]


@given(worlds())
@settings(max_examples=40)
def test_information_grows_with_every_pick_and_is_at_most_the_sum_of_its_parts(draws):
    rows, gain = joint_information(draws, min(len(draws[0]), 4), ties(len(draws[0])), samples=256, generator=never)
    assert (gain >= 0).all()
    assert (np.diff(gain) <= 1e-12).all()
    assert (gain <= mutual_information(draws)[rows] + 1e-12).all()
    assert gain.sum() <= np.log(len(draws)) + 1e-12


@pytest.mark.parametrize(("k", "c"), [(3, 2), (8, 3), (21, 5)])
def test_lazy_evaluation_picks_what_full_evaluation_picks(k, c, monkeypatch):
    monkeypatch.setattr(module, "FIRST", 8)
    draws = members(k, 700, c, seed=k, dtype=np.float32)
    rows, gain = joint_information(draws, 6, ties(700), samples=4000, generator=never)
    for step in range(1, 6):
        full = gains(draws, outcomes_of(draws, rows[:step], 4000), np.arange(700))
        full[rows[:step]] = -1
        assert rows[step] == full.argmax()
        assert gain[step] == pytest.approx(full.max(), abs=1e-12)


def test_the_best_is_found_in_double_precision():
    """Rows that single precision cannot tell apart: the hash must not choose among them."""
    draws = members(6, 40, 3, seed=2)
    first = joint_information(draws, 1, ties(40), samples=99, generator=never)[0][0]
    wanted = joint_information(draws, 2, ties(40), samples=99, generator=never)[0][1]
    blend = np.linspace(0, 3e-8, 8)[:, None]  # towards a row that tells more or less
    near = [np.concatenate([p[[first]], (1 - blend) * p[wanted] + blend * p[0]]) for p in draws]
    exact = gains(near, outcomes_of(near, [0], 99), np.arange(1, 9))
    assert len(set(exact.astype(np.float32))) < 8
    for seed in range(10):
        rows, gain = joint_information(
            [np.roll(p, seed, axis=0) for p in near], 2, ties(9, seed), samples=99, generator=never
        )
        assert (rows - seed) % 9 == pytest.approx([0, 1 + exact.argmax()])
        assert gain[1] == exact.max()


def test_lazy_evaluation_leaves_most_rows_alone(monkeypatch):
    evaluated, compute = [], module._approximate_gains
    monkeypatch.setattr(module, "FIRST", 32)
    monkeypatch.setattr(module, "_approximate_gains", lambda *args: evaluated.append(len(args[-1])) or compute(*args))
    noise = np.linspace(0, 1, 4000)[:, None] ** 4  # most rows tell little, as in a real pool
    (common,) = members(1, 4000, 4)
    draws = [(1 - noise) * common + noise * own for own in members(10, 4000, 4)]
    joint_information(draws, 5, ties(4000), samples=2000, generator=never)
    assert sum(evaluated) < 0.25 * 4 * 4000


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    ("k", "c", "picks"), [(2, 2, 9), (5, 3, 1), (20, 10, 2), (6, 101, 1), (101, 7, 2), (3, 1000, 0)]
)
def test_single_precision_is_wrong_by_less_than_its_bound(k, c, picks, dtype):
    for concentration in (0.02, 0.4, 10.0):
        draws = members(k, 60, c, seed=c, dtype=np.float64, concentration=concentration)
        draws = [p.astype(dtype) for p in draws]
        outcomes, rows = outcomes_of(draws, range(picks), 2000), np.arange(60)
        belief = outcomes.belief_k_m.astype(np.float32)
        mean = outcomes.belief_k_m @ outcomes.weight_m
        approximate = module._approximate_gains(draws, outcomes.weight_m, belief, mean, rows)
        assert np.abs(approximate - gains(draws, outcomes, rows)).max() < ROUNDING


def test_U2_U4_blocks_and_threads_change_nothing(monkeypatch):
    draws = members(5, 300, 3)
    outcomes, rows = outcomes_of(draws, [4, 9, 11, 200], 81), np.arange(0, 300, 7)
    expected = gains(draws, outcomes, rows), joint_information(draws, 5, ties(300), samples=81, generator=never)
    with workers(4):
        threaded = joint_information(draws, 5, ties(300), samples=81, generator=never)
    monkeypatch.setattr(module, "ENTRIES", 10)
    np.testing.assert_allclose(gains(draws, outcomes, rows), expected[0], atol=1e-14)
    again = joint_information(draws, 5, ties(300), samples=81, generator=never)
    assert again[0].tolist() == expected[1][0].tolist() == threaded[0].tolist()
    assert threaded[1].tolist() == expected[1][1].tolist()


# ------------------------------------------------------------------------------------------------------------- samples


def test_M2_samples_are_label_configurations_with_the_right_law():
    """Configurations are told apart by the belief they lead to."""
    draws = members(3, 4, 2, seed=3)
    exact = outcomes_of(draws, range(4), 16)
    counts = np.zeros(16)
    for seed in range(40):
        sampled = outcomes_of(draws, range(4), 15, streams(seed))
        assert sampled.sampled
        assert sampled.weight_m.tolist() == [1 / 15] * 15
        gap = np.abs(sampled.belief_k_m[:, :, None] - exact.belief_k_m[:, None, :]).max(axis=0)
        assert gap.min(axis=1).max() < 1e-12
        counts += np.bincount(gap.argmin(axis=1), minlength=16)
    # Stratified samples vary less than independent ones, for which this statistic would have a mean of 15.
    expected = counts.sum() * exact.weight_m
    assert ((counts - expected) ** 2 / expected).sum() < 40


@pytest.mark.parametrize("exact_rows", [0, 1, 3])
def test_M2_sampled_gains_converge_to_the_exact_ones(exact_rows):
    """From wherever sampling starts: no bias, and 64 times the samples bring an eighth of the error, or less."""
    draws = members(4, 30, 3, seed=5)
    exact = gains(draws, outcomes_of(draws, range(5), 3**5), np.arange(5, 30))
    table = outcomes_of(draws, range(exact_rows), 3**5)
    # The same table with every line written many times over has more lines than may be enumerated.
    table = Outcomes(np.tile(table.weight_m, 4000) / 4000, np.tile(table.belief_k_m, 4000), False)
    error = {}
    for samples in (60, 3840):
        values = []
        for seed in range(30):
            outcomes = table
            for row in range(exact_rows, 5):
                outcomes = observe(outcomes, np.stack([p[row] for p in draws]), samples, streams(seed), row)
                assert outcomes.sampled
            values.append(gains(draws, outcomes, np.arange(5, 30)))
        if samples == 3840:
            scatter = np.std(values, axis=0, ddof=1) / np.sqrt(30)
            assert (np.abs(np.mean(values, axis=0) - exact) < 6 * scatter).all()
        error[samples] = np.sqrt(np.mean(np.square(np.array(values) - exact)))
    assert error[3840] < 0.002
    assert error[60] / error[3840] > 5


def test_M2_sampled_batches_are_as_good_as_exact_ones():
    draws = members(5, 40, 2, seed=1)
    exact, value = joint_information(draws, 8, ties(40), samples=2**8, generator=never)
    for seed in range(5):
        rows, gain = joint_information(draws, 8, ties(40), samples=100, generator=streams(seed))
        truth = [gains(draws, outcomes_of(draws, rows[:m], 2**8), rows[m : m + 1])[0] for m in range(8)]
        np.testing.assert_allclose(gain, truth, atol=0.03)
        assert sum(truth) > 0.98 * value.sum()
        assert rows[:4].tolist() == exact[:4].tolist()


def test_sampled_gains_are_mean_divergences_of_beliefs():
    """Of every sample the information its own belief leaves: never negative, and nothing where a belief is certain."""
    draws = members(3, 12, 4, seed=7)
    outcomes = outcomes_of(draws, range(6), 9, streams())
    assert outcomes.sampled
    p = np.stack(draws)
    expected = []
    for i in range(12):
        mixture = outcomes.belief_k_m.T @ p[:, i]
        own = outcomes.belief_k_m.T @ xlogy(p[:, i], p[:, i]).sum(axis=1)
        expected.append((own - xlogy(mixture, mixture).sum(axis=1)).mean())
    np.testing.assert_allclose(gains(draws, outcomes, np.arange(12)), expected, atol=1e-13)
    assert min(expected) > 0
    certain = Outcomes(np.array([0.9, 0.1]), np.array([[1.0, 0.0], [0.0, 0.0], [0.0, 1.0]]), True)
    np.testing.assert_allclose(gains(draws, certain, np.arange(12)), 0, atol=1e-14)


@pytest.mark.parametrize(("k", "samples", "expected"), [(4, 100, 100), (3, 100, 99), (7, 2, 7)])
def test_as_many_samples_as_are_asked_for_and_at_least_one_per_draw(k, samples, expected):
    outcomes = outcomes_of(members(k, 9, 3), range(9), samples, streams())
    assert outcomes.weight_m.shape == (expected,)
    assert outcomes.belief_k_m.shape == (k, expected)
    np.testing.assert_allclose(outcomes.belief_k_m.sum(axis=0), 1)


def test_long_batches_of_hard_evidence_stay_finite():
    draws = members(4, 120, 3, concentration=0.02, dtype=np.float32)
    rows, gain = joint_information(draws, 120, ties(120), samples=50, generator=streams())
    assert sorted(rows.tolist()) == list(range(120))
    assert np.isfinite(gain).all()
    outcomes = outcomes_of(draws, range(120), 50, streams())
    assert np.isfinite(outcomes.belief_k_m).all()


# ------------------------------------------------------------------------------------------------------- ties and keys


def test_N6_C2_equal_rows_go_by_hash_and_are_distinct():
    draws = [np.repeat(p, 6, axis=0) for p in members(4, 5, 3)]
    for seed in range(5):
        rows, _ = joint_information(draws, 30, ties(30, seed), samples=50, generator=streams())
        assert sorted(rows.tolist()) == list(range(30))
        group = rows[0] // 6
        assert rows[0] == min(range(6 * group, 6 * group + 6), key=lambda i: ties(30, seed)[i])


@pytest.mark.parametrize("samples", [5, 100_000])
def test_U3_order_of_rows_is_irrelevant(samples):
    draws, tie = members(6, 90, 3), ties(90)
    rows, gain = joint_information(draws, 7, tie, samples=samples, generator=streams())
    order = np.random.default_rng(0).permutation(90)
    again, value = joint_information([p[order] for p in draws], 7, tie[order], samples=samples, generator=streams())
    assert order[again].tolist() == rows.tolist()
    assert value.tolist() == gain.tolist()


def test_N4_draws_that_are_the_same_leave_everything_to_the_hash():
    draws = members(1, 40, 3) * 5
    rows, gain = joint_information(draws, 40, ties(40), samples=10, generator=never)
    assert rows.tolist() == ties(40).argsort().tolist()
    assert gain.tolist() == [0] * 40


def test_once_the_picks_tell_all_the_rest_goes_by_hash():
    certain = np.eye(4)[:, None, :].repeat(3, axis=1)
    rest = np.random.default_rng(0).dirichlet(np.ones(4), size=(4, 20))
    rows, gain = joint_information(
        list(np.concatenate([certain, rest], axis=1)), 10, ties(23), samples=99, generator=never
    )
    assert rows[0] < 3
    assert gain[0] == pytest.approx(np.log(4))
    assert gain[1:].tolist() == [0] * 9
    left = np.setdiff1d(np.arange(23), rows[:1])
    assert rows[1:].tolist() == left[ties(23)[left].argsort()][:9].tolist()


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_N1_probabilities_of_zero_and_one(dtype):
    draws = list(np.eye(3, dtype=dtype)[np.random.default_rng(0).integers(3, size=(5, 30))])
    rows, gain = joint_information(draws, 30, ties(30), samples=20, generator=streams())
    assert sorted(rows.tolist()) == list(range(30))
    assert np.isfinite(gain).all()
    assert gain.sum() <= np.log(5) + 1e-9


def test_inputs_stay_and_the_same_streams_give_the_same_batch():
    draws = members(4, 50, 3)
    before = np.stack(draws)
    for p in draws:
        p.flags.writeable = False
    one, other = (joint_information(draws, 9, ties(50), samples=40, generator=streams(1)) for _ in range(2))
    np.testing.assert_array_equal(np.stack(draws), before)
    assert one[0].tolist() == other[0].tolist()
    assert one[1].tolist() == other[1].tolist()
    third = joint_information(draws, 9, ties(50), samples=40, generator=streams(2))
    assert third[1].tolist() != one[1].tolist()


def test_nothing_of_the_size_of_rows_times_configurations_is_made():
    draws = members(10, 3000, 5, dtype=np.float32)
    joint_information([p[:50] for p in draws], 3, ties(50), samples=100, generator=streams())
    tracemalloc.start()
    try:
        joint_information(draws, 7, ties(3000), samples=5000, generator=streams())
        peak = tracemalloc.get_traced_memory()[1] / 2**20
    finally:
        tracemalloc.stop()
    assert peak < 10  # rows x configurations in single precision would be 60 MB, times classes 300 MB
