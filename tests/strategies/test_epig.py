"""EPIG."""

import numpy as np
import pytest
from scipy.special import xlogy

import querist
from querist.errors import SpecError, UnmetNeedError
from querist.evidence.evidence import Evidence
from querist.evidence.needs import Draws
from querist.learners.committee import Committee
from querist.seeds import Seed
from querist.session.session import Session
from querist.strategies.base import State, choose
from querist.strategies.epig import Epig
from querist.testing.contract import StrategyContract
from querist.testing.fakes import fake_dataset, fake_evidence

NEED = Draws(k=25, coherent=True)


class TestEpig(StrategyContract):
    make = Epig


class TestFewTargets(StrategyContract):
    def make(self):
        return Epig(k=3, targets=4)


def entropy(p):
    return -xlogy(p, p).sum()


def naive(p_k_n_c, targets):
    """The score of every row: each term of the definition, one target after the other."""
    mean = p_k_n_c.mean(axis=0)
    score = []
    for i in range(mean.shape[0]):
        joint = [np.mean([np.outer(p[i], p[t]) for p in p_k_n_c], axis=0) for t in targets]
        score.append(
            np.mean([entropy(mean[i]) + entropy(mean[t]) - entropy(j) for t, j in zip(targets, joint, strict=True)])
        )
    return np.array(score)


@pytest.mark.parametrize("targets", [9, 600])
def test_equals_the_definition(targets):
    strategy, key = Epig(targets=targets), Seed(0).key()
    ev = fake_evidence(strategy)
    chosen = np.argsort(key.child("targets").hash(ev.candidates))[:targets]
    score = naive(np.stack(ev[NEED]), chosen)
    picked = choose(strategy, ev, 60, key)
    assert picked.ids.tolist() == ev.candidates[np.argsort(-score)].tolist()
    assert picked.utility == pytest.approx(np.sort(score)[::-1], rel=1e-8)
    assert (
        picked.reasons[0] == f"its label would tell {score.max():.3g} nats about the label of another item on average"
    )


def test_is_never_above_bald_and_never_below_zero():
    draws = np.random.default_rng(0).dirichlet(np.full(4, 0.4), size=(6, 80))
    epig, bald = (querist.select(name, 80, draws=draws) for name in ("epig", "bald"))
    told = dict(zip(bald.ids.tolist(), bald.utility.tolist(), strict=True))
    assert all(0 <= u <= told[i] + 1e-12 for i, u in zip(epig.ids.tolist(), epig.utility.tolist(), strict=True))


def test_information_that_concerns_nobody_else_does_not_count():
    """Draws disagree about row 0 alone and about all other rows together; bald wants row 0, which helps nobody."""
    common = np.array([[0.8, 0.2], [0.2, 0.8], [0.8, 0.2], [0.2, 0.8]])
    alone = np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
    draws = np.concatenate([alone[:, None], np.tile(common[:, None], (1, 30, 1))], axis=1)
    assert querist.select("bald", 1, draws=draws).ids.tolist() == [0]
    picked = querist.select("epig", 31, draws=draws)
    assert picked.ids.tolist()[-1] == 0
    assert picked.utility[-1] == pytest.approx(np.log(2) / 31)  # about itself


def test_L9_targets_are_candidates_and_neither_test_items_nor_labels():
    strategy = Epig()
    assert strategy.needs_at(State()) == (NEED,)
    assert {need.frame for need in strategy.needs_at(State())} == {"candidates"}


def test_Q7_draws_that_are_not_one_function_are_refused():
    with pytest.raises(UnmetNeedError):
        Session(fake_dataset(), learner="linear", strategy="epig")
    Session(fake_dataset(), learner=Committee(members=25), strategy="epig")


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_N1_certain_members(dtype):
    sure, other = np.eye(3)[[0, 1, 0]], np.eye(3)[[1, 0, 0]]
    ev = Evidence(np.arange(3), {NEED: [sure.astype(dtype), other.astype(dtype)]}, c=3)
    picked = choose(Epig(), ev, 3, Seed(0).key())
    assert sorted(picked.ids.tolist()[:2]) == [0, 1]
    assert picked.utility == pytest.approx([2 / 3 * np.log(2)] * 2 + [0.0])


def test_members_that_are_the_same_leave_it_to_chance():
    p = np.random.default_rng(0).dirichlet(np.ones(5), size=8)
    counts = np.zeros(8)
    for seed in range(800):
        picked = querist.select("epig", 1, draws=np.stack([p] * 3), seed=seed)
        counts[picked.ids] += 1
        assert picked.utility.tolist() == [0.0]
    assert ((counts - 100) ** 2 / 100).sum() < 40  # chi-square of 7 degrees of freedom, 1e-6 beyond 40.5


def test_C18_settings():
    ev = fake_evidence(Epig(), n=60)
    few, all_ = (choose(Epig(targets=t), ev, 60, Seed(0).key()).utility for t in (5, 60))
    assert few.tolist() != all_.tolist()
    for wrong, message in ((Epig, "k to be 2"),):
        with pytest.raises(SpecError, match=message):
            wrong(k=1)
    with pytest.raises(SpecError, match="targets to be 1"):
        Epig(targets=0)
