"""What a certificate says."""

import numpy as np
import pytest

from querist.kernels.certificate import Certificate, most_possible


def test_the_share_is_a_share():
    assert Certificate(3.0, 4.0, 9, 9, 1.0).share == 0.75
    assert Certificate(4.0 + 1e-12, 4.0, 9, 9, 1.0).share == 1.0
    assert Certificate(0.0, 0.0, 9, 9, 1.0).share == 1.0


def test_words_name_the_sample_and_the_confidence():
    assert str(Certificate(3.0, 4.0, 9, 9, 1.0)) == (
        "the batch adds at least 75.0% of what the best one of its size could add"
    )
    assert str(Certificate(3.0, 4.0, 5, 9, 0.99)) == (
        "gains were estimated from 5 of 9 rows; "
        "the batch adds at least 75.0% of what the best one of its size could add with 99% confidence"
    )
    assert "at least 99.9% of" in str(Certificate(99.96, 100.0, 9, 9, 1.0)), "a bound is not rounded up"


@pytest.mark.parametrize(("added", "left", "b", "most"), [(3.0, 9.0, 1, 3.0), (3.0, 0.5, 2, 3.5), (3.0, 9.0, 2, 4.0)])
def test_the_smaller_of_two_bounds(added, left, b, most):
    assert most_possible(added, left, b) == pytest.approx(most)


def test_with_many_picks_at_least_1_minus_1_over_e():
    assert most_possible(1.0, np.inf, 10**6) == pytest.approx(1 / (1 - 1 / np.e), rel=1e-5)
    assert most_possible(0.0, 0.0, 0) == 0.0
