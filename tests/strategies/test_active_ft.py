"""ActiveFT."""

import numpy as np
import pytest

from querist.errors import SpecError, UsageError
from querist.evidence.evidence import Evidence
from querist.evidence.needs import Features
from querist.kernels.free_centres import moved_centres, nearest_unused
from querist.seeds import Seed
from querist.session.select import select
from querist.strategies.active_ft import ActiveFT
from querist.strategies.base import choose
from querist.testing.contract import StrategyContract


class TestActiveFT(StrategyContract):
    make = staticmethod(lambda: ActiveFT(steps=20, rate=0.02))
    cold = True
    deterministic = False


def unit(x):
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)


def blobs(k=5, each=30, d=8, seed=0):
    rng = np.random.default_rng(seed)
    centres = np.linalg.qr(rng.normal(size=(d, d)))[0][:k]
    return unit(np.repeat(centres, each, axis=0) + 0.08 * rng.normal(size=(k * each, d)))


def evidence(x):
    return Evidence(np.arange(len(x)), {Features(): x}, c=3)


def test_separate_blobs_give_one_pick_each_from_nearly_every_start():
    x = blobs()

    def hit(rate):
        picked = (choose(ActiveFT(rate=rate), evidence(x), 5, Seed(s).key()).ids for s in range(20))
        return [len(set((ids // 30).tolist())) for ids in picked]

    assert hit(0.01).count(5) >= 16  # of random rows, 1 in 26
    assert min(hit(0.01)) >= 4
    assert hit(0.001).count(5) <= 6  # the paper's rate, as the docstring warns


def test_picks_are_nearest_to_centres_that_start_at_keyed_random_rows():
    x, key = blobs(), Seed(1).key()
    start = np.argsort(key.child("start").hash(np.arange(150)))[:7]
    centres, _ = moved_centres(x, x[start], tau=0.07, balance=1.0, steps=300, rate=0.001)
    rows, near = nearest_unused(x, centres, key.hash(np.arange(150)))
    picked = choose(ActiveFT(), evidence(x), 7, key)
    assert picked.ids.tolist() == rows.tolist()
    assert picked.utility.tolist() == near.tolist()
    assert picked.reasons[0].startswith("it is the item nearest to one of the points that represent the pool")


def test_C2_every_row_is_taken_once_even_if_all_are_alike():
    x = np.repeat(unit(np.ones((1, 3))), 12, axis=0)
    assert sorted(choose(ActiveFT(steps=5), evidence(x), 12, Seed(0).key()).ids.tolist()) == list(range(12))


def test_a_whole_budget_is_selected_at_once():
    with pytest.raises(UsageError, match="selects a whole budget at once"):
        select("active_ft", 3, features=blobs(), labelled=[1, 2], seed=0)


@pytest.mark.parametrize("wrong", [{"tau": 0.0}, {"balance": -1.0}, {"rate": np.inf}, {"steps": 0}])
def test_C18_settings_must_make_sense(wrong):
    with pytest.raises(SpecError, match=f"Expected {next(iter(wrong))} to be"):
        ActiveFT(**wrong)
