"""The nearest-class-mean learner against its formula."""

import numpy as np
import pytest

from querist.errors import SpecError
from querist.evidence.features import unit_rows
from querist.evidence.needs import Probs
from querist.evidence.provider import Fit
from querist.learners.prototype import Prototype
from querist.seeds import Seed
from querist.testing.contract import LearnerContract
from querist.testing.fakes import fake_dataset, fake_view


class TestPrototype(LearnerContract):
    make = Prototype


def fitted(data, ids, **settings):
    """Probabilities of all rows after fitting on some."""
    job = Fit(fake_view(data, ids, ids % data.c), fake_view(data, data.pool), Seed(0))
    return Prototype(**settings).fit(job).provide(Probs(), fake_view(data, np.arange(len(data.manifest))))


def test_equals_the_softmax_of_cosines_to_class_means():
    data = fake_dataset(n=60, c=4, d=5, seed=3)
    ids = np.setdiff1d(data.pool[:30], data.pool[:30][data.pool[:30] % 4 == 2])  # class 2 has no label
    x = unit_rows(data.items[np.arange(60)]).astype(float)
    means = [x[ids[ids % 4 == k]].mean(axis=0) for k in (0, 1, 3)]
    cosine = np.stack([x @ (m / np.linalg.norm(m)) for m in means], axis=1)
    weight = np.exp(cosine / 0.2)
    expected = np.zeros((60, 4))
    expected[:, [0, 1, 3]] = weight / weight.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(fitted(data, ids, temperature=0.2), expected, atol=1e-5)


def test_the_temperature_changes_no_prediction():
    data = fake_dataset(n=60, c=4, d=5, seed=4)
    ids = data.pool[:20]
    hot, cold = fitted(data, ids, temperature=1.0), fitted(data, ids, temperature=0.05)
    assert (hot.argmax(axis=1) == cold.argmax(axis=1)).all()
    assert (cold.max(axis=1) > hot.max(axis=1)).all()


def test_labels_that_cancel_leave_no_direction_and_no_nan():
    data = fake_dataset(n=30, c=3, d=4, seed=1)
    ids = data.pool[:4]
    job = Fit(fake_view(data, ids, np.array([0, 0, 1, 2])), fake_view(data, data.pool), Seed(0))
    assert np.isfinite(Prototype().fit(job).provide(Probs(), fake_view(data, data.pool))).all()


@pytest.mark.parametrize("temperature", [0.0, -1.0, np.inf])
def test_a_temperature_that_is_none(temperature):
    with pytest.raises(SpecError, match="temperature"):
        Prototype(temperature=temperature)
