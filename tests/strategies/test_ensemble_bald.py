"""BALD on the members of an ensemble."""

import numpy as np
import pytest

import querist
from querist.evidence.evidence import Evidence
from querist.evidence.needs import Draws
from querist.learners.committee import Committee
from querist.seeds import Seed
from querist.session.session import Session
from querist.strategies.base import State, choose, strategies
from querist.strategies.ensemble_bald import EnsembleBald
from querist.testing.contract import StrategyContract
from querist.testing.fakes import fake_dataset


class TestEnsembleBald(StrategyContract):
    make = EnsembleBald


def test_T17_equals_the_score_of_draws_on_the_same_draws():
    draws = np.random.default_rng(0).dirichlet(np.full(4, 0.5), size=(3, 50))
    one = querist.select("ensemble_bald", 50, draws=draws, seed=1)
    other = querist.select("bald", 50, draws=draws, seed=1)
    assert one.utility.tolist() == other.utility.tolist()
    by_id, same = (dict(zip(p.ids.tolist(), p.utility.tolist(), strict=True)) for p in (one, other))
    assert by_id == same


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_N1_certain_rows_and_members_that_agree_tell_nothing(dtype):
    p = np.array([[[1, 0, 0], [0, 1, 0], [0.5, 0.5, 0]], [[1, 0, 0], [0, 0, 1], [0.5, 0.5, 0]]], dtype)
    picked = choose(EnsembleBald(), Evidence(np.arange(3), {Draws(k=3, coherent=True): list(p)}, c=3), 3, Seed(0).key())
    assert picked.ids[0] == 1
    assert picked.utility == pytest.approx([np.log(2), 0.0, 0.0])
    assert picked.utility[1:].tolist() == [0.0, 0.0]


def test_R7_members_are_the_same_however_many_there_are():
    def picks(members):
        session = Session(
            fake_dataset(), learner=Committee(members=members), strategy="ensemble_bald", initial="random"
        )
        first = session.ask(6)
        session.tell({i: i % 3 for i in first.ids.tolist()})
        return session.ask(5).ids.tolist()

    assert picks(3) == picks(8)


def test_C19_presets_and_what_it_needs():
    for preset, k in (("paper", 5), ("S2", 3)):
        assert strategies.build({"name": "ensemble_bald", "preset": preset}) == EnsembleBald(k=k)
    assert EnsembleBald().needs_at(State()) == (Draws(k=3, coherent=True),)
