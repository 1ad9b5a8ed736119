"""Ensembles: seeds of their own and no resamples, several kinds of members, both accuracies, files."""

import json
from dataclasses import dataclass, field

import numpy as np
import pytest

from querist.errors import DataError, SpecError, UnmetNeedError
from querist.evidence.needs import Draws, Embeddings, Probs
from querist.evidence.provider import Fit, Offer
from querist.evidence.view import View
from querist.labels.oracle import SimulatedOracle
from querist.learners.base import Learner, learners
from querist.learners.ensemble import Ensemble
from querist.learners.finetune import Finetune
from querist.learners.knn import KNN
from querist.learners.linear import Linear
from querist.learners.mlp import MLP
from querist.learners.scratch import Scratch
from querist.learners.warm import Warm
from querist.progress import recording
from querist.seeds import Seed
from querist.session.session import Session
from querist.session.setting import Setting
from querist.testing.contract import LearnerContract
from querist.testing.fakes import FakeLearner, fake_dataset, fake_view

DATA = fake_dataset(n=120, c=4, d=5)
SMALL = MLP(updates=40, hidden=12, lr=0.01)
TINY = {"updates": 15, "batch": 16, "lr": 0.05}


class TestEnsemble(LearnerContract):
    make = staticmethod(lambda: Ensemble(base=SMALL, members=3))


class TestEnsembleOfKinds(LearnerContract):
    make = staticmethod(lambda: Ensemble(base=(Linear(), KNN(k=1), SMALL), members=3))


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


def fit_of(ids=None, seed=0, **more):
    ids = DATA.pool[:30] if ids is None else ids
    return Fit(fake_view(DATA, ids, ids % 4), fake_view(DATA, np.setdiff1d(DATA.pool, ids)), Seed(seed), **more)


def draws(model, k):
    return np.stack(model.provide(Draws(k=k), fake_view(DATA, DATA.test)))


def test_T26_members_see_all_labels_and_have_seeds_of_their_own(tmp_path):
    """Init, order and augmentation are children of the seed of the job: distinct, declared, the same in any number."""
    base = Recording()
    ensemble = Ensemble(base=base, members=4)
    one, two = fit_of(folder=tmp_path), fit_of(DATA.pool[5:9], seed=3)
    ensemble.fit_many([one, two])
    (call,) = base.calls
    assert [j.seed for j in call] == [job.seed.child("member", j) for job in (one, two) for j in range(4)]
    assert len({j.seed for j in call}) == 8
    assert all(j.labelled is one.labelled for j in call[:4])
    assert [j.folder for j in call] == [tmp_path / f"member-{j:02d}" for j in range(4)] + [None] * 4


def test_T26_more_members_change_none_of_the_earlier_ones():
    few, many = (Ensemble(base=SMALL, members=m).fit(fit_of()) for m in (2, 4))
    assert np.array_equal(draws(few, 2), draws(many, 2))
    assert len(np.unique(draws(many, 4), axis=0)) == 4


def test_T26_a_member_has_the_whole_recipe_of_a_single_model():
    ensemble = Ensemble(base=SMALL, members=3)
    model, view = ensemble.fit(fit_of()), fake_view(DATA, DATA.test)
    for j, p in enumerate(draws(model, 3)):
        alone = SMALL.fit(ensemble.member_job(fit_of(), j)).provide(Probs(), view)
        assert np.array_equal(p, alone.astype(np.float32))


def test_T26_both_accuracies_are_reported():
    held = DATA.pool[40:80]
    noisy = np.where(held % 3 == 0, (held + 1) % 4, held % 4)
    validation, heard = fake_view(DATA, held, noisy), []
    with recording(lambda event, values: heard.append((event, dict(values)))):
        model = Ensemble(base=MLP(updates=8, hidden=4), members=5).fit(fit_of(validation=validation))
    p = np.stack(model.provide(Draws(k=5), validation))
    each = [(q.argmax(axis=1) == noisy).mean() for q in p]
    averaged = (p.mean(axis=0).argmax(axis=1) == noisy).mean()
    assert model.accuracies(validation) == pytest.approx((np.mean(each), averaged))
    assert heard == [("ensemble", {"members": 5, "mean_of_members": np.mean(each), "averaged": averaged})]
    assert np.mean(each) != averaged
    heard.clear()
    with recording(lambda *news: heard.append(news)):
        Ensemble(base=SMALL, members=2).fit(fit_of())
    assert heard == []


def test_learners_of_a_list_take_turns():
    kinds = (Linear(), MLP(updates=5), MLP(updates=6))
    ensemble = Ensemble(base=kinds, members=3)
    assert ensemble.bases == kinds
    model = ensemble.fit(fit_of())
    view = fake_view(DATA, DATA.test)
    for j, kind in enumerate(kinds):
        expected = kind.fit(ensemble.member_job(fit_of(), j)).provide(Probs(), view)
        assert np.array_equal(model.members[j].provide(Probs(), view), expected)
    assert Ensemble(base=kinds[1:], members=5).bases == (*kinds[1:], *kinds[1:], kinds[1])


def test_members_that_would_be_copies_are_refused():
    with pytest.raises(SpecError, match=r"'linear' gives the same model whatever the seed.*'committee' of it"):
        Ensemble(base=Linear())
    with pytest.raises(SpecError, match="'knn' gives the same model"):
        Ensemble(base=(MLP(), KNN()), members=4)
    with pytest.raises(SpecError, match="'linear' gives the same model"):
        Ensemble(base=(Linear(), Linear()), members=2)
    with pytest.raises(SpecError, match="members to be 2 or larger"):
        Ensemble(members=1)
    with pytest.raises(SpecError, match="got an empty list"):
        Ensemble(base=())


def test_offers_what_it_has_and_says_what_to_set():
    ensemble = Ensemble(base=SMALL)
    assert ensemble.members == 5
    assert isinstance(ensemble.offers(Draws(k=5, coherent=True)), Offer)
    assert "set members=20 in the learner, or k=5 in the strategy" in ensemble.offers(Draws(k=20))
    refusal = "every member has its own Embeddings and the ensemble none in common; take 'mlp' itself."
    assert ensemble.offers(Embeddings()) == refusal
    with pytest.raises(UnmetNeedError):
        ensemble.fit(fit_of()).provide(Draws(k=6), fake_view(DATA, DATA.test))


def test_is_built_by_name_from_a_table_and_by_composition():
    assert learners.build("ensemble") == Ensemble(base=MLP(), members=5)
    assert learners.build("ensemble(mlp(hidden=8), members=3)") == Ensemble(base=MLP(hidden=8), members=3)
    both = learners.build({"name": "ensemble", "base": ["linear", {"name": "mlp", "hidden": 8}], "members": 2})
    assert both == Ensemble(base=(Linear(), MLP(hidden=8)), members=2)
    assert hash(both) == hash(Ensemble(base=(Linear(), MLP(hidden=8)), members=2))


def test_identity_is_made_of_those_of_its_members(backbone):
    tuned = Finetune(init=str(backbone))
    for ensemble, inner in (
        (Ensemble(base=tuned), lambda found: found),
        (Ensemble(base=(tuned, SMALL)), lambda found: found[0]),
    ):
        identity = ensemble.identity()
        assert inner(identity["base"]) == tuned.identity()
        assert str(backbone) not in json.dumps(identity)


def test_each_member_starts_from_its_own_earlier_self():
    base = Recording()
    before = Ensemble(base=FakeLearner(), members=2).fit(fit_of())
    Ensemble(base=base, members=3).fit(fit_of(warm=before))
    assert [j.warm for j in base.calls[0]] == [*before.members, None]


@pytest.mark.deep
@pytest.mark.usefixtures("deep")
def test_nets_of_an_ensemble_are_kept_member_by_member(data, job, tmp_path):
    ensemble = Ensemble(base=(Scratch(**TINY), Scratch(**TINY, dropout=0.3)), members=2)
    assert ensemble.keeps
    assert not Ensemble(base=(Scratch(**TINY), SMALL), members=2).keeps
    model = ensemble.fit(job(data, data.pool[:20]))
    ensemble.save(model, tmp_path / "model")
    again = ensemble.load(tmp_path / "model")
    one, other = (np.stack(m.provide(Draws(k=2), View(data, data.pool))) for m in (model, again))
    assert np.array_equal(one, other)
    assert not np.array_equal(one[0], one[1])
    with pytest.raises(DataError, match="Expected a checkpoint"):
        Ensemble(base=Scratch(**TINY), members=3).load(tmp_path / "model")
    Ensemble(base=Scratch(**TINY), members=3)
    with pytest.raises(SpecError, match="keeps models of its own"):
        ensemble.save(model.members[0], tmp_path / "other")


@pytest.mark.deep
@pytest.mark.usefixtures("deep")
def test_warm_members_go_on_from_their_own_weights(data, job, weights, monkeypatch):
    from querist.nets.running import fingerprint
    from querist.nets.training import Trainer

    ensemble = Ensemble(base=Warm(**TINY), members=2)
    before = ensemble.fit(job(data, data.pool[:20]))
    begun, trained = [], Trainer.fit

    def fit(self, net, *rest, **more):
        begun.append(fingerprint(net))
        return trained(self, net, *rest, **more)

    monkeypatch.setattr(Trainer, "fit", fit)
    ensemble.fit(job(data, data.pool[:30], warm=before))
    assert begun == [weights(member) for member in before.members]


@pytest.mark.parametrize("name", ["bald", "variation_ratio", "vote_entropy"])
def test_strategies_on_draws_run_end_to_end(name):
    learner = Ensemble(base=SMALL, members=3)
    session = Session(Setting(DATA), learner=learner, strategy={"name": name, "k": 3}, initial="random", seed=0)
    oracle = SimulatedOracle(DATA.labels, DATA.pool)
    for _ in range(2):
        session.tell(oracle.answer(session.ask(8)))
    assert session.conclude()["accuracy"] > 0.7
