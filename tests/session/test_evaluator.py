"""The evaluator: a model is shown test items without labels, and judged on valid probabilities."""

import numpy as np
import pytest

from querist.errors import DataError, LeakError
from querist.evidence.needs import Probs
from querist.session.evaluator import Evaluator
from querist.session.metrics import evaluate
from querist.testing.fakes import FakeLearner


class Says:
    def __init__(self, p):
        self.p = p

    def provide(self, need, view):
        assert need == Probs()
        return self.p(view) if callable(self.p) else self.p


@pytest.fixture
def truth(setting):
    return setting.dataset.test % 3


def test_the_metrics_are_those_of_the_test_split(setting, truth):
    p = np.eye(3)[(truth + (np.arange(30) < 6)) % 3]
    assert Evaluator(setting).test(Says(p)) == evaluate(p, truth)
    assert Evaluator(setting).test(Says(p))["accuracy"] == pytest.approx(0.8)


def test_a_model_sees_the_test_items_and_no_labels(setting):
    seen = []
    Evaluator(setting).test(Says(lambda view: seen.append(view) or np.full((30, 3), 1 / 3)))
    assert np.array_equal(seen[0].ids, setting.dataset.test)
    with pytest.raises(LeakError):
        _ = seen[0].labels


@pytest.mark.parametrize(
    "p",
    [
        np.full((30, 2), 0.5),
        np.full((29, 3), 1 / 3),
        np.full((30, 3), 0.5),
        np.full((30, 3), np.nan),
        np.tile([1.5, -0.5, 0], (30, 1)),
    ],
)
def test_what_is_no_probability_is_refused(setting, p):
    with pytest.raises(DataError):
        Evaluator(setting).test(Says(p))


def test_real_models_pass(setting):
    ids = setting.dataset.pool[:9]
    from querist.evidence.provider import Fit
    from querist.seeds import Seed

    model = FakeLearner().fit(Fit(setting.view(ids, ids % 3), setting.view(setting.dataset.pool[9:]), Seed(0)))
    assert Evaluator(setting).test(model)["accuracy"] > 0.9
