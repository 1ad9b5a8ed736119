"""GLISTER."""

import numpy as np
import pytest

from querist.errors import SpecError, UnmetNeedError
from querist.evidence.evidence import Evidence
from querist.evidence.needs import Factors, Gradients, Labels, Probs
from querist.labels.oracle import SimulatedOracle
from querist.seeds import Seed
from querist.session.session import Session
from querist.session.setting import Setting
from querist.strategies.base import choose, strategies
from querist.strategies.composition import flags_of
from querist.strategies.glister import Glister
from querist.strategies.random import Random
from querist.testing.contract import StrategyContract
from querist.testing.fakes import fake_dataset, fake_evidence


class TestGlister(StrategyContract):
    make = Glister
    deterministic = True


class TestDiversity(StrategyContract):
    make = staticmethod(lambda: Glister(regulariser="diversity", strength=10.0))
    deterministic = True


class TestFacility(StrategyContract):
    make = staticmethod(lambda: Glister(regulariser="fac_loc", strength=1.0))
    deterministic = True


class TestRand(StrategyContract):
    make = staticmethod(lambda: Glister(regulariser="rand", strength=0.5))
    deterministic = False


class TestValidation(StrategyContract):
    make = staticmethod(lambda: Glister(validation=True))
    deterministic = True


def softmax(z):
    p = np.exp(z - z.max(1, keepdims=True))
    return p / p.sum(1, keepdims=True)


def world(seed=0, n=20, labelled=7, targets=6, c=3, d=4):
    """Evidence of a linear model ``w``, and everything written out."""
    rng = np.random.default_rng(seed)
    w, z = rng.normal(size=(c, d)), rng.normal(size=(n + labelled + targets, d))
    y = rng.integers(c, size=len(z))
    p = softmax(z @ w.T)
    label = np.where(np.arange(len(z)) < n, p.argmax(1), y)
    a = p - np.eye(c)[label]
    u, bought, held = np.split(np.arange(len(z)), [n, n + labelled])
    values = {
        Gradients(): Factors(a[u], z[u]), Probs(): p[u], Labels(): y[bought],
        Gradients(frame="labelled"): Factors(a[bought], z[bought]),
        Gradients(frame="targets"): Factors(a[held], z[held]), Labels(frame="targets"): y[held],
    }  # fmt: skip
    ev = Evidence(u, values, labelled=bought, targets=held, c=c)
    return ev, w, np.einsum("nc,nd->ncd", a, z), z, label, (u, bought, held)


@pytest.mark.parametrize("validation", [False, True])
@pytest.mark.parametrize("regulariser", ["none", "diversity"])
def test_M16_picks_and_gains_are_those_of_weights_written_out(validation, regulariser):
    for seed in range(5):
        ev, w, g, z, label, (u, bought, held) = world(seed)
        strategy = Glister(eta=0.3, validation=validation, regulariser=regulariser, strength=2.0)
        picked = choose(strategy, ev, 8, Seed(0).key())
        judged = held if validation else np.append(u, bought)
        w = w - 0.3 * g[bought].sum(0)
        for t, row in enumerate(picked.ids):
            mean = (softmax(z[judged] @ w.T) - np.eye(3)[label[judged]]).T @ z[judged] / len(judged)
            value = (g[u] * mean).sum((1, 2))
            if regulariser == "diversity":
                for s in picked.ids[:t]:
                    value -= 2.0 * np.exp(-np.square(g[u] - g[s]).sum((1, 2)) / 2)
            value[picked.ids[:t]] = -np.inf
            assert row == value.argmax()
            assert picked.utility[t] == pytest.approx(value.max())
            w = w - 0.3 * g[row]


def test_rand_with_strength_1_is_random_and_0_draws_nothing():
    ev = world()[0]
    drawn = choose(Glister(regulariser="rand", strength=1.0), ev, 9, Seed(0).key())
    assert drawn.ids.tolist() == choose(Random(), ev, 9, Seed(0).key()).ids.tolist()
    assert drawn.reasons[0] == "drawn at random, for a share of the batch is"
    none, zero = (choose(Glister(regulariser=r), ev, 9, Seed(0).key()) for r in ("none", "rand"))
    assert none.ids.tolist() == zero.ids.tolist()
    half = choose(Glister(regulariser="rand", strength=0.5), ev, 8, Seed(0).key())
    assert half.ids[:4].tolist() == none.ids[:4].tolist()
    assert half.utility[4:].tolist() == [0.0] * 4


def test_N1_one_hot_probabilities_have_no_gradient_and_ties_are_keyed():
    ev = fake_evidence(Glister(), kind="one_hot")
    picked = choose(Glister(), ev, 5, Seed(0).key())
    assert picked.utility.tolist() == [0.0] * 5
    assert picked.ids.tolist() == choose(Random(), ev, 5, Seed(0).key()).ids.tolist()


def test_Q1_scoring_twice_is_bit_identical():
    ev = fake_evidence(Glister(regulariser="diversity", strength=1.0))
    one, other = (choose(Glister(regulariser="diversity", strength=1.0), ev, 9, Seed(0).key()) for _ in range(2))
    assert one.utility.tobytes() == other.utility.tobytes()


def test_L7_a_validation_set_is_flagged_and_has_to_be_bought():
    assert flags_of(Glister(validation=True)) == {"validation"}
    assert flags_of(Glister()) == frozenset()
    assert flags_of(strategies.build("partitioned(glister(validation=True))")) == {"validation"}
    setting = Setting(fake_dataset(n=160, c=3))
    with pytest.raises(UnmetNeedError, match="targets"):
        Session(setting, strategy=Glister(validation=True))
    session = Session(setting, strategy=Glister(validation=True), initial="random", validation=9, seed=0)
    oracle = SimulatedOracle(setting.dataset.labels, setting.dataset.pool)
    for _ in range(4):  # the validation set, the initial pool, two queries
        session.tell(oracle.answer(session.ask(6)))
    assert [len(asked.ids) for asked in session.book.asked] == [9, 6, 6, 6]
    assert len(session.book.charged) == 27


def test_presets_and_mistakes():
    assert strategies.build({"name": "glister", "preset": "S4"}) == Glister(regulariser="diversity", strength=10.0)
    for wrong in ({"eta": -1.0}, {"strength": float("inf")}, {"regulariser": "rand", "strength": 1.5}):
        with pytest.raises(SpecError, match=r"eta|strength"):
            Glister(**wrong)
