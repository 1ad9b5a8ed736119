"""The contract of learners catches planted defects, one at least per check, and lets the fake pass."""

import random
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest

from querist.errors import DataError
from querist.evidence.needs import Draws, Embeddings, Gradients, Logits, Probs
from querist.evidence.provider import Offer
from querist.testing.contract import LearnerContract
from querist.testing.fakes import FakeLearner, FakeModel
from querist.testing.plants import Plants, own_checks

plants = Plants(LearnerContract)


class TestFakeLearner(LearnerContract):
    make = FakeLearner


class TestHotLearner(LearnerContract):
    shape = (2, 3)

    def make(self):
        return FakeLearner(temperature=7.0)


@plants("test_same_job_same_model")
class R2_Unseeded(FakeLearner):  # noqa: N801
    def fit(self, job):
        model = super().fit(job)
        return replace(model, bias=model.bias + np.random.default_rng().normal(size=len(model.bias)))


@plants("test_fit_many_equals_fit")
class Pooled(FakeLearner):
    def fit_many(self, jobs):
        models = [self.fit(job) for job in jobs]
        if not models:
            return []
        mean = np.mean([m.bias for m in models], axis=0)
        return [replace(m, bias=0.999999 * m.bias + 1e-6 * mean) for m in models]


@plants("test_fit_many_equals_fit")
class SortsJobs(FakeLearner):
    def fit_many(self, jobs):
        return [self.fit(job) for job in sorted(jobs, key=lambda job: len(job.labelled))]


@plants("test_fit_many_equals_fit")
class DropsTwins(FakeLearner):
    def fit_many(self, jobs):
        return [self.fit(job) for job in {id(job): job for job in jobs[1:]}.values()]


@plants("test_learns")
class WrongSign(FakeLearner):
    def fit(self, job):
        model = super().fit(job)
        return replace(model, weight=-model.weight, bias=-model.bias)


@plants("test_global_generators_are_left_alone")
class R1_Global(FakeLearner):  # noqa: N801
    def fit(self, job):
        np.random.seed(0)  # noqa: NPY002
        return super().fit(job)


@plants("test_reads_only_bought_labels")
class L1_PoolLabels(FakeLearner):  # noqa: N801
    def fit(self, job):
        return self.also(super().fit(job), job.pool.labels)

    def also(self, model, labels):
        return model


@plants("test_reads_only_bought_labels")
class L1_Unseals(FakeLearner):  # noqa: N801
    def fit(self, job):
        job.pool._dataset.labels.unseal()
        return super().fit(job)


@plants("test_reads_only_bought_labels")
class L5_TestItems(FakeLearner):  # noqa: N801
    def fit(self, job):
        job.pool._dataset.items[job.pool._dataset.test]
        return super().fit(job)


@dataclass(frozen=True, eq=False)
class PeekingModel(FakeModel):
    def provide(self, need, view):
        if isinstance(need, Probs):
            _ = view.labels
        return super().provide(need, view)


@plants("test_reads_only_bought_labels")
class L5_PeeksWhenTested(FakeLearner):  # noqa: N801
    def fit(self, job):
        return PeekingModel(**vars(super().fit(job)))


@plants("test_job_is_left_alone")
class SortsLabels(FakeLearner):
    def fit(self, job):
        model = super().fit(job)
        job.labelled._labels.sort()
        return model


@plants("test_validation_and_warm_start_are_accepted", TypeError)
class NoValidation(FakeLearner):
    def fit(self, job):
        if job.validation is not None:
            raise TypeError("validation is not supported")
        return super().fit(job)


class Twisted(FakeLearner):
    """Passes what the model provides through `twist`."""

    def fit(self, job):
        return TwistedModel(**vars(super().fit(job)), learner=self)

    def twist(self, need, value, view):
        return value


@dataclass(frozen=True, eq=False)
class TwistedModel(FakeModel):
    learner: Any

    def provide(self, need, view):
        return self.learner.twist(need, super().provide(need, view), view)


@plants("test_probabilities_are_valid_on_any_view")
class NormalisesByView(Twisted):
    def twist(self, need, value, view):
        if not isinstance(need, Probs):
            return value
        value = value / value.mean(axis=0)
        return value / value.sum(axis=1, keepdims=True)


@plants("test_probabilities_are_valid_on_any_view", DataError)
class Q9_DropsLast(Twisted):  # noqa: N801
    def twist(self, need, value, view):
        return value[: len(value) // 8 * 8] if isinstance(need, Probs) else value


@plants("test_probabilities_are_valid_on_any_view", DataError)
class LogitsForProbabilities(Twisted):
    def twist(self, need, value, view):
        return np.log(value) if isinstance(need, Probs) else value


@plants("test_probabilities_are_valid_on_any_view")
class Q9_Shuffled(Twisted):  # noqa: N801
    def twist(self, need, value, view):
        return value[np.random.default_rng(len(view)).permutation(len(view))] if isinstance(need, Probs) else value


@plants("test_unseen_classes_keep_their_columns", DataError)
class L3_SeenClasses(FakeLearner):  # noqa: N801
    def fit(self, job):
        model = super().fit(job)
        seen = np.unique(job.labelled.labels)
        return FakeModel(model.weight[:, seen], model.bias[seen])


@plants("test_unseen_classes_keep_their_columns")
class M15_ColumnsInOrderSeen(FakeLearner):  # noqa: N801
    def fit(self, job):
        model = super().fit(job)
        seen = np.unique(job.labelled.labels)
        order = np.concatenate([seen, np.setdiff1d(np.arange(job.labelled.c), seen)])
        return FakeModel(model.weight[:, order], model.bias[order])


@plants("test_one_class_seen", ValueError)
class TwoClassesAtLeast(FakeLearner):
    def fit(self, job):
        if len(np.unique(job.labelled.labels)) < 2:
            raise ValueError("needs samples of at least 2 classes")
        return super().fit(job)


@plants("test_one_class_seen")
class SilentFallback(FakeLearner):
    def fit(self, job):
        model = super().fit(job)
        if len(np.unique(job.labelled.labels)) < 2:
            return FakeModel(0 * model.weight, np.eye(len(model.bias))[0])
        return model


class Spreads(FakeLearner):
    """Divides by a spread of the labelled rows that may vanish."""

    def spread(self, x, y):
        return x.std(axis=0)

    def fit(self, job):
        model = super().fit(job)
        x = job.labelled.items().reshape(len(job.labelled), -1).astype(float)
        with np.errstate(all="ignore"):
            return replace(model, weight=model.weight / self.spread(x, job.labelled.labels)[:, None])


@plants("test_one_label", DataError)
@plants("test_equal_items_with_different_labels", DataError)
class ByTotalSpread(Spreads):
    pass


@plants("test_one_label_per_class", DataError)
class ByClassSpread(Spreads):
    def spread(self, x, y):
        return np.mean([x[y == j].std(axis=0) for j in np.unique(y)], axis=0)


@plants("test_zero_items", DataError)
class N10_NoEpsilon(Twisted):  # noqa: N801
    def twist(self, need, value, view):
        x = view.items().reshape(len(view), -1)
        with np.errstate(all="ignore"):
            norm = np.linalg.norm(x, axis=1, keepdims=True) / np.linalg.norm(x, axis=1, keepdims=True)
        return value * norm if isinstance(need, Probs) else value


@plants("test_offers_or_says_why_not")
class Terse(FakeLearner):
    def offers(self, need):
        return "no" if isinstance(need, Draws) else super().offers(need)


@plants("test_offers_or_says_why_not")
class ReturnsNone(FakeLearner):
    def offers(self, need):
        return None if isinstance(need, Draws) else super().offers(need)


@plants("test_offers_or_says_why_not")
class OffersNothing(FakeLearner):
    def offers(self, need):
        return "this learner has nothing to say about anything"


@plants("test_offers_are_kept")
class Q5_OffersDraws(FakeLearner):  # noqa: N801
    def offers(self, need):
        return Offer() if isinstance(need, Draws) else super().offers(need)


@plants("test_offers_are_kept")
class OneDraw(Twisted):
    def offers(self, need):
        return Offer() if isinstance(need, Draws) else super().offers(need)

    def fit(self, job):
        return OneDrawModel(**vars(super().fit(job)))


@dataclass(frozen=True, eq=False)
class OneDrawModel(TwistedModel):
    def provide(self, need, view):
        return [self.provide(Probs(), view)] if isinstance(need, Draws) else super().provide(need, view)


@plants("test_scoring_twice_is_identical")
class Q1_Noisy(Twisted):  # noqa: N801
    def twist(self, need, value, view):
        return value * (1 + 1e-7 * random.Random().random()) if isinstance(need, Logits) else value


@plants("test_scoring_twice_is_identical")
class Q3_UpdatesStatistics(FakeLearner):  # noqa: N801
    def fit(self, job):
        model = super().fit(job)
        return RunningModel(model.weight, model.bias.copy())


@dataclass(frozen=True, eq=False)
class RunningModel(FakeModel):
    def provide(self, need, view):
        value = super().provide(need, view)
        if isinstance(need, Embeddings):
            self.bias[:] += 1e-3 * value.mean()
        return value


@plants("test_needs_agree_with_one_another")
class ScaledLogits(Twisted):
    def twist(self, need, value, view):
        return 0.5 * value if isinstance(need, Logits) else value


@plants("test_needs_agree_with_one_another")
class OtherLayer(Twisted):
    def twist(self, need, value, view):
        return value / np.linalg.norm(value, axis=1, keepdims=True) if isinstance(need, Embeddings) else value


@plants("test_needs_agree_with_one_another")
class HypothesisedEverywhere(Twisted):
    def twist(self, need, value, view):
        if not isinstance(need, Gradients):
            return value
        p = self.probabilities(view)
        return value._replace(residual=p - np.eye(view.c)[p.argmax(axis=1)])

    def probabilities(self, view):
        return FakeModel(self.last.weight, self.last.bias).provide(Probs(), view)

    def fit(self, job):
        model = super().fit(job)
        object.__setattr__(self, "last", model)
        return model


@plants("test_needs_agree_with_one_another")
class FlippedResidual(Twisted):
    def twist(self, need, value, view):
        return value._replace(residual=-value.residual) if isinstance(need, Gradients) else value


@pytest.mark.parametrize("plant", plants, ids=str)
def test_plants_are_caught(plant):
    plant.verify()


def test_every_check_has_a_plant():
    assert plants.checks == own_checks(LearnerContract)
