"""Warm starts: the weights of the round before and nothing else of it, and only where they are asked for."""

import numpy as np
import pytest

from querist.errors import DataError
from querist.evidence.needs import Probs
from querist.evidence.view import View
from querist.learners.base import learners
from querist.learners.scratch import Scratch
from querist.learners.warm import Warm
from querist.registry import describe
from querist.testing.contract import LearnerContract
from querist.testing.fakes import FakeLearner

TINY = {"updates": 20, "batch": 16, "lr": 0.05, "crop": 0.0, "flip": False}


@pytest.mark.deep
@pytest.mark.usefixtures("deep")
class TestWarm(LearnerContract):
    shape = (8, 8)

    @staticmethod
    def make():
        return Warm(**{**TINY, "updates": 30})

    @pytest.fixture(autouse=True)
    def _pictures(self, pictured):
        self.pictured = pictured

    def dataset(self, c=5):
        return self.pictured(super().dataset(c))


def test_T11_a_warm_start_is_never_the_default():
    assert {card.name for card in learners.cards() if card.component.warm_starts is True} == {"warm"}


@pytest.mark.deep
def test_T11_the_first_round_is_that_of_scratch(data, job, weights):
    first = job(data, data.pool[:20])
    assert weights(Warm(**TINY).fit(first)) == weights(Scratch(**TINY).fit(first))


@pytest.mark.deep
def test_T11_training_begins_with_all_weights_of_the_round_before(data, job, weights, monkeypatch):
    """Parameters and batch statistics are the earlier ones to the bit; the earlier model stays as it was."""
    from querist.nets.running import fingerprint
    from querist.nets.training import Trainer

    learner = Warm(**TINY)
    before = learner.fit(job(data, data.pool[:20]))
    known, view = weights(before), View(data, data.pool)
    p = before.provide(Probs(), view)
    begun, trained = [], Trainer.fit

    def fit(self, net, *rest, **more):
        begun.append(fingerprint(net))
        return trained(self, net, *rest, **more)

    monkeypatch.setattr(Trainer, "fit", fit)
    after = learner.fit(job(data, data.pool[:30], seed=1, warm=before))
    cold = learner.fit(job(data, data.pool[:30], seed=1))
    assert begun[0] == known != begun[1]
    assert weights(before) == known
    assert np.array_equal(before.provide(Probs(), View(data, data.pool)), p)
    assert len({known, weights(after), weights(cold)}) == 3


@pytest.mark.deep
@pytest.mark.usefixtures("deep")
def test_T11_the_optimiser_and_the_schedule_start_anew(data, job):
    """With a vanishing rate the second round ends where the first did, but for its batch statistics: no momentum."""
    before = Warm(**TINY).fit(job(data, data.pool[:20]))
    after = Warm(**{**TINY, "lr": 1e-12}).fit(job(data, data.pool[:30], warm=before))
    for name, value in before.net.named_parameters():
        np.testing.assert_allclose(dict(after.net.named_parameters())[name].numpy(), value.numpy(), atol=1e-9)


@pytest.mark.deep
@pytest.mark.usefixtures("deep")
def test_another_net_or_another_kind_of_model_is_refused(data, job):
    before = Warm(**{**TINY, "updates": 1}).fit(job(data, data.pool[:9]))
    with pytest.raises(DataError, match=r"the model of the round before does not hold the weights of this net"):
        Warm(**{**TINY, "net": "timm/test_resnet"}).fit(job(data, data.pool[:9], warm=before))
    fake = FakeLearner().fit(job(data, data.pool[:9]))
    with pytest.raises(DataError, match="goes on from a net, and was given a"):
        Warm(**TINY).fit(job(data, data.pool[:9], warm=fake))


def test_it_is_described_as_another_learner():
    assert describe(Warm())["name"] == "warm"
    settings = {name: value for name, value in describe(Scratch()).items() if name != "revision"}
    assert {**describe(Warm()), "name": "scratch"} == settings
