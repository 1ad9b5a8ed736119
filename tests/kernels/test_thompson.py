"""Thompson sampling over arms."""

import numpy as np
import pytest
from scipy.stats import dirichlet

from querist.kernels import thompson
from querist.kernels.thompson import class_values, drawn_arms, replayed


def test_values_are_reciprocal_counts_and_negative_for_a_majority():
    assert class_values(np.array([0.0, 1.0, 4.0, 5.0])).tolist() == [1, 1, 0.25, 0.2]
    assert class_values(np.array([1.0, 2.0, 8.0])).tolist() == [1, 0.5, -0.125]
    assert class_values(np.array([3.0, 3.0])).tolist() == [1 / 3, 1 / 3]  # half is no majority
    assert class_values(np.zeros(3)).tolist() == [1, 1, 1]


def test_frequencies_are_those_of_draws_from_the_posteriors():
    seen, value = np.array([[3.0, 0.5, 0.0], [0.0, 2.0, 2.0], [1.0, 1.0, 1.0]]), np.array([0.1, 0.5, 1.0])
    arm = drawn_arms(seen, value, 20_000, np.random.default_rng(0))
    rng = np.random.default_rng(1)
    reward = np.stack([dirichlet(1 + row).rvs(20_000, random_state=rng) @ value for row in seen], axis=1)
    expected = np.bincount(reward.argmax(axis=1), minlength=3) / 20_000
    assert np.bincount(arm, minlength=3) / 20_000 == pytest.approx(expected, abs=0.02)


def test_blocks_draw_the_same_stream(monkeypatch):
    seen, value = np.random.default_rng(0).random((3, 5)), np.random.default_rng(1).random(5)
    whole = drawn_arms(seen, value, 50, np.random.default_rng(2))
    monkeypatch.setattr(thompson, "BLOCK", 40)
    assert drawn_arms(seen, value, 50, np.random.default_rng(2)).tolist() == whole.tolist()


def test_one_arm_draws_nothing():
    generator = np.random.default_rng(0)
    assert drawn_arms(np.zeros((1, 3)), np.ones(3), 4, generator).tolist() == [0] * 4
    assert generator.random() == np.random.default_rng(0).random()


@pytest.mark.parametrize("discount", [0.0, 0.9, 1.0])
def test_a_replay_finds_what_a_bandit_that_remembers_knows(discount):
    rng, c, arms = np.random.default_rng(0), 4, 3
    first = np.array([2.0, 0.0, 1.0, 5.0])
    seen, count, past = np.zeros((arms, c)), first.copy(), []
    for t in range(8):
        found, known = replayed(past, first, arms, discount, lambda s: np.random.default_rng(100 + s))
        assert found == pytest.approx(seen)
        assert known.tolist() == count.tolist()
        arm = drawn_arms(seen, class_values(count), 6, np.random.default_rng(100 + t))
        label = rng.integers(-1, c, size=6)  # some labels never come
        past.append(label)
        seen = seen * discount
        for a, y in zip(arm, label, strict=True):
            if y >= 0:
                seen[a, y] += 1
                count[y] += 1


def test_a_dominated_arm_is_drawn_as_often_as_the_discount_lets_it():
    seen = np.zeros((2, 2))
    value, share = np.array([0.0, 1.0]), []
    for t in range(600):
        arm = drawn_arms(seen, value, 5, np.random.default_rng(t))
        seen *= 0.9
        seen[0, 0] += (arm == 0).sum()  # brings what is common
        seen[1, 1] += (arm == 1).sum()  # brings what is rare
        share.append((arm == 0).mean())
    # The other arm has 5 / (1 - 0.9) = 50 discounted labels: a draw of 1 + 50 rare and 1 common is below a uniform one,
    # which is what an arm without counts has, with probability 1 / 52; counts of its own make it less.
    assert 1 / 200 < np.mean(share[100:]) < 1 / 52 + 0.01
