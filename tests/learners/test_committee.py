"""Committees: resamples, members, draws, and sessions of the strategies that need them."""

from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given, strategies as st
from scipy.stats import chi2

from querist.errors import DataError, SpecError, UnmetNeedError
from querist.evidence.needs import Draws, Features, Gradients, Logits, Probs
from querist.evidence.provider import Fit, Offer
from querist.labels.oracle import SimulatedOracle
from querist.learners.base import Learner, learners
from querist.learners.committee import Committee, resample
from querist.learners.knn import KNN
from querist.learners.linear import Linear
from querist.seeds import Seed
from querist.session.session import Session
from querist.session.setting import Setting
from querist.testing.contract import LearnerContract
from querist.testing.fakes import FakeLearner, fake_dataset, fake_view


class TestCommittee(LearnerContract):
    make = staticmethod(lambda: Committee(members=5))


class TestCommitteeOfNeighbours(LearnerContract):
    make = staticmethod(lambda: Committee(base=KNN(k=1), members=4))


class TestCommitteeOfCommittees(LearnerContract):
    make = staticmethod(lambda: Committee(base=Committee(base=KNN(k=1), members=2), members=4))


@dataclass(frozen=True, kw_only=True)
class Recording(Learner):
    """The fake learner, which remembers what it was asked for."""

    calls: list = field(default_factory=list, compare=False)

    def offers(self, need):
        return FakeLearner().offers(need)

    def fit(self, job):
        return FakeLearner().fit(job)

    def fit_many(self, jobs):
        self.calls.append(list(jobs))
        return [self.fit(job) for job in jobs]


DATA = fake_dataset(n=120, c=4, d=5)


def job(ids=None, seed=0, **more):
    ids = DATA.pool[:30] if ids is None else ids
    rest = np.setdiff1d(DATA.pool, ids)
    return Fit(fake_view(DATA, ids, ids % 4), fake_view(DATA, rest), Seed(seed).child("fit"), **more)


def draws(model, k):
    return np.stack(model.provide(Draws(k=k), fake_view(DATA, DATA.test)))


# ----------------------------------------------------------------------------------------------------------- resamples


@given(st.lists(st.integers(0, 6), min_size=1, max_size=12), st.integers(0, 999))
def test_a_resample_keeps_every_class_and_adds_no_more_than_it_must(labels, seed):
    y = np.array(labels)
    rows = resample(y, Seed(seed))
    plain = Seed(seed).generator().integers(len(y), size=len(y))
    assert set(y[rows]) == set(labels)
    assert rows.tolist() == sorted(rows)
    assert len(rows) == len(y) + len(set(labels) - set(y[plain]))
    assert not set(plain) - set(rows)


def test_rows_are_drawn_with_replacement_and_alike():
    y, count = np.zeros(6, int), np.zeros(6)
    for seed in range(1000):
        count += np.bincount(resample(y, Seed(seed)), minlength=6)
    assert count.sum() == 6000
    # Counts of a multinomial: each has variance 1000 * (1 - 1/6).
    assert ((count - 1000) ** 2 / 1000).sum() < chi2.isf(1e-6, 5)
    distinct = np.mean([len(set(resample(y, Seed(seed)))) for seed in range(1000)])
    assert distinct == pytest.approx(6 * (1 - (5 / 6) ** 6), abs=0.15)


def test_a_missed_class_is_represented_by_any_of_its_rows():
    y = np.array([0] * 20 + [1, 1, 1])
    only = [rows[rows >= 20] for rows in (resample(y, Seed(seed)) for seed in range(600))]
    assert {20, 21, 22} == {int(rows[0]) for rows in only if len(rows) == 1}


def test_one_label_per_class_still_makes_members_differ():
    ids = np.sort([DATA.pool[DATA.pool % 4 == y][0] for y in range(4)])
    p = draws(Committee(members=6).fit(job(ids)), 6)
    assert p.std(axis=0).max() > 0.05


# ------------------------------------------------------------------------------------------------------------- members


def test_R7_more_members_change_none_of_the_earlier_ones():
    few, many = (Committee(members=m).fit(job()) for m in (3, 7))
    np.testing.assert_array_equal(draws(few, 3), draws(many, 3))
    other = Committee(members=3).fit(job(seed=1))
    for j in range(3):
        assert not np.array_equal(draws(few, 3)[j], draws(other, 3)[j])


def test_R7_members_have_resamples_and_seeds_of_their_own():
    committee = Committee(members=5)
    jobs = [committee.member_job(job(), j) for j in range(5)]
    assert len({tuple(j.labelled.ids) for j in jobs}) == 5
    assert len({j.seed for j in jobs}) == 5
    assert all(j.seed != job().seed for j in jobs)
    assert [committee.member_job(job(DATA.pool[40:47]), j).seed for j in range(5)] == [j.seed for j in jobs]
    for j in jobs:
        assert j.labelled.labels.tolist() == (j.labelled.ids % 4).tolist()
        np.testing.assert_array_equal(j.labelled[Features()], fake_view(DATA, j.labelled.ids)[Features()])
        np.testing.assert_array_equal(j.labelled.items(), DATA.items[j.labelled.ids])


def test_a_member_is_the_base_fitted_on_its_resample():
    committee = Committee(base=Linear(C=3.0), members=4)
    model = committee.fit(job())
    view = fake_view(DATA, DATA.test)
    for j, p in enumerate(model.provide(Draws(k=4), view)):
        alone = Linear(C=3.0).fit(committee.member_job(job(), j)).provide(Probs(), view)
        np.testing.assert_array_equal(p, alone.astype(np.float32))


def test_all_members_of_all_jobs_go_to_the_base_in_one_call():
    base = Recording()
    committee = Committee(base=base, members=3)
    jobs = [job(seed=0), job(DATA.pool[5:9], seed=1)]
    models = committee.fit_many(jobs)
    assert [len(call) for call in base.calls] == [6]
    assert [j.seed for j in base.calls[0]] == [committee.member_job(one, j).seed for one in jobs for j in range(3)]
    for one, model in zip(jobs, models, strict=True):
        np.testing.assert_array_equal(draws(model, 3), draws(committee.fit(one), 3))


def test_each_member_starts_from_its_own_earlier_self_and_sees_the_validation_set():
    base = Recording()
    before = Committee(base=FakeLearner(), members=2).fit(job())
    held = fake_view(DATA, DATA.pool[60:70], DATA.pool[60:70] % 4)
    Committee(base=base, members=3).fit(job(warm=before, validation=held))
    assert [j.warm for j in base.calls[0]] == [*before.members, None]
    assert all(j.validation is held for j in base.calls[0])
    Committee(base=base, members=2).fit(job(warm=FakeLearner().fit(job())))
    assert [j.warm for j in base.calls[1]] == [None, None]


def test_without_labels_the_base_says_so():
    with pytest.raises(DataError, match="at least one label"):
        Committee().fit(job(DATA.pool[:0]))


@pytest.mark.parametrize("members", [1, 0])
def test_one_member_is_no_committee(members):
    with pytest.raises(SpecError, match="members to be 2 or larger"):
        Committee(members=members)


# --------------------------------------------------------------------------------------------------------------- needs


def test_probabilities_are_the_mean_of_the_members():
    model = Committee(members=5).fit(job())
    p = model.provide(Probs(), fake_view(DATA, DATA.test))
    np.testing.assert_allclose(p, draws(model, 5).mean(axis=0), atol=1e-6)
    assert p.dtype == np.float64


def test_draws_are_the_first_members_the_same_for_every_row():
    model = Committee(members=5).fit(job())
    np.testing.assert_array_equal(draws(model, 2), draws(model, 5)[:2])
    rows = np.random.default_rng(0).permutation(len(DATA.test))[:7]
    part = model.provide(Draws(k=5, coherent=True), fake_view(DATA, DATA.test[rows]))
    np.testing.assert_array_equal(np.stack(part), draws(model, 5)[:, rows])
    assert part[0].dtype == np.float32


def test_offers_what_it_has_and_says_what_to_set():
    committee = Committee(members=5)
    for need in (Probs(), Draws(k=5), Draws(k=2, coherent=True), Draws(k=3, frame="labelled")):
        assert isinstance(committee.offers(need), Offer)
    refusal = committee.offers(Draws(k=25))
    assert refusal == "it has 5 members, and a draw is a member: set members=25 in the learner, or k=5 in the strategy."
    for need in (Gradients(), Logits()):
        assert committee.offers(need) == (
            f"every member has its own {type(need).__name__} and the committee none in common; take 'linear' itself."
        )
    assert committee.offers(Features()) == Linear().offers(Features())
    with pytest.raises(UnmetNeedError, match="a committee of 5"):
        committee.fit(job()).provide(Draws(k=6), fake_view(DATA, DATA.test))


def test_is_built_by_name_and_by_composition():
    assert learners.build("committee") == Committee(base=Linear(), members=25)
    assert learners.build("committee(linear(C=2.0), members=4)") == Committee(base=Linear(C=2.0), members=4)
    assert learners.build({"name": "committee", "base": {"name": "knn", "k": 3}}) == Committee(base=KNN(k=3))


# ------------------------------------------------------------------------------------------------------------ sessions


STRATEGIES = ["mean_std", "mc_entropy", "variation_ratio", "vote_entropy", "consensus_kl", "bald", "batch_bald"]


@pytest.mark.parametrize("name", STRATEGIES)
def test_strategies_on_draws_run_end_to_end(name):
    setting = Setting(DATA)
    strategy = {"name": name, "k": 5, **({"samples": 500} if name == "batch_bald" else {})}
    session = Session(setting, learner=Committee(members=5), strategy=strategy, initial="random", seed=0)
    oracle = SimulatedOracle(DATA.labels, DATA.pool)
    for _ in range(3):
        finished = session.tell(oracle.answer(session.ask(6)))
    assert finished is not None
    assert len(finished.ids) == 6
    assert session.conclude()["accuracy"] > 0.8


def test_a_committee_too_small_is_refused_before_anything_is_asked():
    with pytest.raises(UnmetNeedError, match="set members=25 in the learner, or k=5 in the strategy"):
        Session(Setting(DATA), learner=Committee(members=5), strategy="bald")
