"""BatchBALD."""

import numpy as np
import pytest

import querist
from querist.errors import SpecError, UnmetNeedError
from querist.evidence.needs import Draws
from querist.evidence.plan import plan
from querist.evidence.provider import Offer
from querist.kernels.draws import mutual_information
from querist.seeds import Seed
from querist.strategies.base import State, choose, strategies
from querist.strategies.batch_bald import BatchBald
from querist.testing.contract import StrategyContract
from querist.testing.fakes import fake_evidence


class TestBatchBald(StrategyContract):
    make = staticmethod(lambda: BatchBald(k=8, samples=5000))  # all configurations of seven labels in four classes
    deterministic = True


class TestBatchBaldSampled(StrategyContract):
    make = staticmethod(lambda: BatchBald(k=4, samples=24))
    deterministic = False


def test_as_it_comes_it_enumerates_a_small_batch():
    ev = fake_evidence(BatchBald())
    one, other = (choose(BatchBald(), ev, 7, Seed(seed).key()) for seed in range(2))
    assert one.ids.tolist() == other.ids.tolist()
    assert one.utility.tolist() == other.utility.tolist() == sorted(one.utility, reverse=True)


def test_b_1_is_bald_whatever_the_draws():
    for seed in range(5):
        draws = np.random.default_rng(seed).dirichlet(np.ones(5), size=(6, 80))
        one, other = (querist.select(name, 1, draws=draws) for name in ("batch_bald", "bald"))
        assert one.ids.tolist() == other.ids.tolist()
        assert one.utility.tolist() == other.utility.tolist()


def test_a_duplicate_tells_less_than_something_new():
    """The plain top of BALD takes both copies of the best row; together they tell less than the best and the third."""
    best, third = (
        [[0.95, 0.05], [0.05, 0.95], [0.95, 0.05], [0.05, 0.95]],
        [[0.9, 0.1], [0.9, 0.1], [0.1, 0.9], [0.1, 0.9]],
    )
    draws = np.stack([best, best, third], axis=1)
    assert set(querist.select("bald", 2, draws=draws).ids) == {0, 1}
    picked = querist.select("batch_bald", 3, draws=draws)
    assert picked.ids[1] == 2
    # The third row is independent of the first two: it loses nothing.
    assert picked.utility[1] == pytest.approx(mutual_information(list(draws))[2])
    assert picked.utility[2] < 0.7 * picked.utility[1]
    assert picked.reasons[1] == (
        f"its label would add {picked.utility[1]:.3g} nats to what the other picks tell about which draw is right"
    )


def test_says_when_nothing_is_left_to_tell():
    draws = np.repeat(np.eye(3)[:, None, :], 4, axis=1)
    picked = querist.select("batch_bald", 4, draws=draws)
    assert picked.utility.tolist() == [pytest.approx(np.log(3)), 0, 0, 0]
    assert picked.reasons[1].startswith("nothing that the draws disagree about is left")
    other = {querist.select("batch_bald", 4, draws=draws, seed=seed).ids[1] for seed in range(30)}
    assert other == {0, 1, 2, 3}


def test_Q7_draws_that_are_not_coherent_are_refused():
    class Dropout:
        name = "learner 'dropout'"

        def offers(self, need):
            if isinstance(need, Draws) and not need.coherent:
                return Offer()
            return "its masks differ from row to row, so draws are not coherent."

    needs = BatchBald().needs_at(State(has_model=True))
    assert needs == (Draws(k=100, coherent=True),)
    with pytest.raises(UnmetNeedError, match="not coherent"):
        plan("strategy 'batch_bald'", needs, [Dropout()])


def test_Q7_draw_j_is_the_same_member_for_every_row():
    """Two rows tell the same when members are paired one way and different things when paired another way."""
    row = np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
    same = querist.select("batch_bald", 2, draws=np.stack([row, row], axis=1))
    other = querist.select("batch_bald", 2, draws=np.stack([row, row[[0, 2, 1, 3]]], axis=1))
    assert same.utility == pytest.approx([np.log(2), 0])
    assert other.utility == pytest.approx([np.log(2), np.log(2)])


def test_C18_every_setting_matters():
    assert BatchBald(k=7).needs_at(State()) == (Draws(k=7, coherent=True),)
    few, many = BatchBald(k=6, samples=6), BatchBald(k=6, samples=5000)
    ev = fake_evidence(few)
    one, other = (choose(strategy, ev, 12, Seed(0).key()) for strategy in (few, many))
    assert one.utility[0] == other.utility[0]
    assert one.utility.tolist() != other.utility.tolist()


def test_sampled_batches_follow_ids_and_not_rows():
    strategy = BatchBald(k=5, samples=15)
    ev = fake_evidence(strategy)
    straight = choose(strategy, ev, 15, Seed(0).key())
    for seed in range(3):
        order = np.random.default_rng(seed).permutation(len(ev.candidates))
        permuted = choose(strategy, ev.cut(order), 15, Seed(0).key())
        assert permuted.ids.tolist() == straight.ids.tolist()


def test_C19_presets_and_bad_settings():
    assert strategies.build({"name": "batch_bald", "preset": "S4"}) == BatchBald(k=40, samples=1000)
    assert BatchBald() == BatchBald(k=100, samples=40_000)
    for setting in ({"k": 1}, {"samples": 0}):
        with pytest.raises(SpecError, match="or larger"):
            BatchBald(**setting)
