"""Learners and encoders that see what they must not: every one of them is caught."""

from dataclasses import dataclass

import numpy as np
import pytest

from querist.encoders.pixels import Pixels
from querist.errors import DataError, LeakError
from querist.evidence.needs import Features, Probs
from querist.labels.oracle import SimulatedOracle
from querist.learners.linear import Linear
from querist.session.session import Session
from querist.session.setting import Setting
from querist.testing.contract import EncoderContract, LearnerContract
from querist.testing.fakes import FakeFittedEncoder, FakeLearner
from querist.testing.plants import Plant

frozen = dataclass(frozen=True, kw_only=True)


def contract_fails(contract, check, component, raises=AssertionError):
    """The conformance kit must fail a component, with a message that says what to change."""
    Plant(check, type("Contract", (contract,), {"make": component})(), raises).verify()


@dataclass(frozen=True, eq=False)
class Model:
    """A model whose probabilities are those of another, after `change`."""

    model: object
    change: object

    def provide(self, need, view):
        value = self.model.provide(need, view)
        return self.change(value, view) if isinstance(need, Probs) else value


# --------------------------------------------------------------------------------------------------------------- labels


def test_fits_on_labels_of_the_pool(watch):
    """It uses the unlabelled pool as if it were labelled."""

    @frozen
    class Greedy(FakeLearner):
        def fit(self, job):
            return super().fit(job._replace(labelled=job.pool))

    with pytest.raises(LeakError, match=r"labels of 81 rows .* that nobody bought"):
        watch(learner=Greedy(), initial="random").play(9, 5)


def test_reads_labels_of_the_candidates_when_it_provides(watch):
    """Asked for probabilities, it looks up the answers."""

    @frozen
    class Crams(FakeLearner):
        def fit(self, job):
            return Model(super().fit(job), lambda p, view: np.eye(view.c)[view.labels])

    with pytest.raises(LeakError, match="nobody bought"):
        watch(learner=Crams(), initial="random").play(9, 5)


def test_reads_labels_of_the_test_view_when_it_provides(watch):
    """Tested, it looks up the answers."""

    @frozen
    class Cheats(FakeLearner):
        def fit(self, job):
            return Model(super().fit(job), lambda p, view: np.eye(view.c)[view.labels] if len(view) == 30 else p)

    spied = watch(learner=Cheats(), initial="random")
    with pytest.raises(LeakError, match=r"labels of 30 rows .* this view is of unlabelled or test rows"):
        spied.play(9, 5)
    assert spied.steps[-1] == "evaluate"


@pytest.mark.parametrize("how", [np.asarray, lambda labels: labels.unseal()])
def test_peeks_at_test_labels_through_the_dataset(watch, how):
    """It goes behind its view to the labels of the dataset, sealed or not."""

    @frozen
    class Peeks(FakeLearner):
        def fit(self, job):
            how(job.labelled._dataset.labels)
            return super().fit(job)

    with pytest.raises(LeakError, match=r"sealed labels were read|unsealed by .*test_learner_leaks.py"):
        watch(learner=Peeks(), initial="random").play(9, 5)
    contract_fails(LearnerContract, "test_reads_only_bought_labels", Peeks)


def test_mixes_the_labels_of_sessions_fitted_together(dataset):
    """Fitting many label sets at once, it fits each on the labels of all: more than each of them paid for."""

    @frozen
    class Mixes(FakeLearner):
        def fit_many(self, jobs):
            largest = max(jobs, key=lambda job: len(job.labelled))
            return [self.fit(largest) for _ in jobs]

    contract_fails(LearnerContract, "test_fit_many_equals_fit", Mixes)


# ------------------------------------------------------------------------------------------------------------ test rows


def picks_differ(record, dataset, twins, **arguments):
    """Whether other test rows make other picks, which no honest component does."""
    one, other = (record(data, (9, 5, 4), **arguments).asked for data in (dataset, twins.with_other_test(dataset)))
    return one != other


def test_remembers_the_test_rows_of_the_last_evaluation(dataset, twins, record):
    """Tested in one round, it adapts to the test rows in the next: other test rows make other picks."""
    seen = []

    @frozen
    class Adapts(FakeLearner):
        def fit(self, job):
            power = 1 + sum(np.abs(x).mean() % 1 for x in seen)
            return Model(super().fit(job), lambda p, view: self.remember(p, view, power))

        def remember(self, p, view, power):
            if len(view) == 30:
                seen.append(view.items())
            q = p ** (power if view.ids[0] % 2 else 1 / power)
            return q / q.sum(axis=1, keepdims=True)

    def forgetful(*args, **arguments):
        seen.clear()
        return record(*args, **arguments)

    assert picks_differ(forgetful, dataset, twins, learner=Adapts(), strategy="stochastic", initial="random")


def test_centres_on_features_of_all_rows(dataset, twins, record):
    """It goes behind its view to the features of the test rows: other test rows make other picks."""

    @frozen
    class Centres(Linear):
        def fit(self, job):
            centre = job.pool._features[Features(frame="all")].mean(axis=0)
            return Model(super().fit(job), lambda p, view: self.sharpen(p, view[self.features], centre))

        def sharpen(self, p, x, centre):
            power = 1 + np.square(x - centre).sum(axis=1, keepdims=True)
            return p**power / (p**power).sum(axis=1, keepdims=True)

    assert picks_differ(record, dataset, twins, learner=Centres(), strategy="margin", initial="random")


@frozen
class FitsOnEverything(Pixels):
    """An encoder that goes behind the view of the pool, so that its axes fit test rows too."""

    def fit(self, pool, seed):
        x = pool._dataset.items[np.arange(len(pool._dataset.items))].astype(np.float64)
        x = x.reshape(len(x), -1)
        return FakeFittedEncoder(x.mean(axis=0), np.eye(x.shape[1]))


def test_fits_an_encoder_on_test_rows(dataset, twins, record, watch):
    """The spy on items sees it, the conformance kit sees it, and other test rows make other picks."""
    spied = watch(features=FitsOnEverything(), strategy="k_center_greedy").play(9, 5)
    assert np.isin(dataset.test, spied.items.read("fit encoder")).all()
    contract_fails(EncoderContract, "test_fit_sees_the_pool_alone", FitsOnEverything)
    assert picks_differ(record, dataset, twins, features=FitsOnEverything(), strategy="k_center_greedy")


def test_reads_test_rows_before_its_encoder_is_fitted(dataset, watch):
    """An encoder encodes in its fit: whoever fits next would know test rows."""

    @frozen
    class Twice(Pixels):
        def fit(self, pool, seed):
            return FitsOnEverything().fit(pool, seed)

    spied = watch(features=Twice(), strategy="k_center_greedy")
    _ = spied.session.setting.features.computed
    with pytest.raises(AssertionError, match="test items were read before"):
        spied.session.setting.encoder.fit(spied.session.setting.view(dataset.pool), spied.session.seed)


def test_reads_labels_in_an_encoder(dataset):
    """An encoder supervises itself with labels of the pool."""

    @frozen
    class Supervised(Pixels):
        def fit(self, pool, seed):
            _ = pool.labels
            return super().fit(pool, seed)

    with pytest.raises(LeakError, match="nobody bought"):
        Session(Setting(dataset, Supervised()), strategy="k_center_greedy").ask(5)
    contract_fails(EncoderContract, "test_reads_no_labels", Supervised)


def test_encodes_rows_by_their_neighbours(dataset, twins, record):
    """An encoder centres whatever it is given at once, so a row of the pool depends on the test rows beside it."""

    @frozen
    class Centred(Pixels):
        def fit(self, pool, seed):
            fitted = super().fit(pool, seed)
            return type("Fitted", (), {"encode": lambda _self, view: (x := fitted.encode(view)) - x.mean(axis=0)})()

    contract_fails(EncoderContract, "test_encoding_is_row_wise", Centred)
    assert picks_differ(record, dataset, twins, features=Centred(), strategy="k_center_greedy")


# -------------------------------------------------------------------------------------------------------------- outputs


def test_changes_its_mind_between_two_calls():
    """Its outputs change with every call, so what was chosen and what is tested are two models."""

    @frozen
    class Fickle(FakeLearner):
        def fit(self, job):
            calls = []

            def drift(p, view):
                calls.append(1)
                q = p + 0.01 * len(calls)
                return q / q.sum(axis=1, keepdims=True)

            return Model(super().fit(job), drift)

    contract_fails(LearnerContract, "test_scoring_twice_is_identical", Fickle)


def test_counts_classes_by_the_labels_it_saw(dataset):
    """It has one column per class it has seen; a class that was not bought yet is missing."""

    @frozen
    class Counts(FakeLearner):
        def fit(self, job):
            seen = np.unique(job.labelled.labels)
            return Model(super().fit(job), lambda p, view: p[:, seen] / p[:, seen].sum(axis=1, keepdims=True))

    contract_fails(LearnerContract, "test_unseen_classes_keep_their_columns", Counts, DataError)
    session = Session(Setting(dataset), learner=Counts(), strategy="margin", initial="random", seed=0)
    session.tell(dict.fromkeys(session.ask(6).ids.tolist(), 1))
    with pytest.raises(DataError, match=r"Expected probs of \(84, 3\), got shape \(84, 1\)"):
        session.ask(5)
    with pytest.raises(DataError, match=r"Expected probs of \(30, 3\), got shape \(30, 1\)"):
        session.conclude()


def test_numbers_classes_by_the_labels_it_saw(dataset):
    """It has a column per declared class, but numbers them in the order in which they were bought."""

    @frozen
    class Renumbers(FakeLearner):
        def fit(self, job):
            seen = np.unique(job.labelled.labels)
            order = [*seen, *np.setdiff1d(np.arange(job.labelled.c), seen)]
            return Model(super().fit(job), lambda p, view: p[:, order])

    contract_fails(LearnerContract, "test_unseen_classes_keep_their_columns", Renumbers)


def test_answers_for_other_rows_than_it_was_asked_about(dataset):
    """It returns a row per item of the dataset, so positions are no longer those of the view."""

    @frozen
    class Everything(FakeLearner):
        def fit(self, job):
            return Model(super().fit(job), lambda p, view: np.resize(p, (len(dataset.manifest), view.c)))

    session = Session(Setting(dataset), learner=Everything(), strategy="margin", initial="random", seed=0)
    session.tell(SimulatedOracle(dataset.labels, dataset.pool).answer(session.ask(6)))
    with pytest.raises(DataError, match=r"Expected probs of \(84, 3\), got shape \(120, 3\)"):
        session.ask(5)
