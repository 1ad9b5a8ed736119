"""Draws from slices of a score."""

import numpy as np
import pytest
from scipy.stats import chi2

from querist.errors import SpecError
from querist.evidence.evidence import Evidence
from querist.evidence.needs import Probs
from querist.seeds import Seed
from querist.strategies.base import choose, strategies
from querist.strategies.entropy import Entropy
from querist.strategies.least_confidence import LeastConfidence
from querist.strategies.uniform_bins import UniformBins
from querist.testing.contract import StrategyContract
from querist.testing.fakes import fake_evidence


class TestUniformBins(StrategyContract):
    make = UniformBins
    deterministic = False


class TestFewBins(StrategyContract):
    make = staticmethod(lambda: UniformBins(base=Entropy(), n_bins=4))
    deterministic = False


class TestCeil(StrategyContract):
    make = staticmethod(lambda: UniformBins(n_bins=7, quota="ceil"))
    deterministic = False


def ladder(n):
    """Rows whose least confidence falls from row to row."""
    p = np.linspace(0.55, 0.95, n)
    return Evidence(np.arange(n), {Probs(): np.column_stack([p, 1 - p])}, c=2)


def slices_of(ids, n, bins):
    label = np.repeat(np.arange(bins), [len(part) for part in np.array_split(np.arange(n), bins)])
    return label[ids]


@pytest.mark.parametrize(("n", "bins", "b"), [(60, 6, 12), (61, 6, 18), (65, 6, 6), (100, 7, 7), (50, 50, 50)])
def test_C10_every_slice_gives_the_same_when_the_batch_is_a_multiple(n, bins, b):
    for seed in range(5):
        picked = choose(UniformBins(n_bins=bins), ladder(n), b, Seed(seed).key())
        assert np.bincount(slices_of(picked.ids, n, bins), minlength=bins).tolist() == [b // bins] * bins


def test_C8_otherwise_shares_differ_by_one_and_who_has_more_is_drawn():
    more = np.zeros(6)
    for seed in range(300):
        picked = choose(UniformBins(n_bins=6), ladder(60), 8, Seed(seed).key())
        share = np.bincount(slices_of(picked.ids, 60, 6), minlength=6)
        assert share.sum() == 8
        assert sorted(share) == [1, 1, 1, 1, 2, 2]
        more += share == 2
    assert ((more - 100) ** 2 / 100).sum() < chi2.isf(1e-6, 5)


@pytest.mark.parametrize("bins", [1, 3, 30])
def test_rows_are_drawn_uniformly_within_slices(bins):
    counts, rounds = np.zeros(30), 900
    for seed in range(rounds):
        counts[choose(UniformBins(n_bins=bins), ladder(30), 3, Seed(seed).key()).ids] += 1
    assert ((counts - rounds / 10) ** 2 / (rounds / 10)).sum() < chi2.isf(1e-6, 29)


@pytest.mark.parametrize(
    "strategy", [UniformBins(n_bins=2), UniformBins(n_bins=2, quota="ceil"), UniformBins(n_bins=5)]
)
def test_propensities_are_the_frequencies_of_draws_given_the_earlier_ones(strategy):
    ev, rounds = ladder(5), 6000
    counts, stated = {}, {}
    for seed in range(rounds):
        picked = choose(strategy, ev, 3, Seed(seed).key())
        ids = tuple(picked.ids.tolist())
        counts[ids] = counts.get(ids, 0) + 1
        stated.setdefault(ids, set()).add(tuple(picked.propensity))
    assert all(len(values) == 1 for values in stated.values())
    chance = {ids: np.prod(values.pop()) for ids, values in stated.items()}
    assert sum(chance.values()) == pytest.approx(1.0)
    statistic = sum((counts[ids] - rounds * p) ** 2 / (rounds * p) for ids, p in chance.items())
    assert statistic < chi2.isf(1e-6, max(len(chance) - 1, 1))


def test_ceil_visits_slices_from_the_top_until_the_batch_is_full():
    picked = choose(UniformBins(n_bins=5, quota="ceil"), ladder(50), 8, Seed(0).key())
    assert slices_of(picked.ids, 50, 5).tolist() == [0, 0, 1, 1, 2, 2, 3, 3]


@pytest.mark.parametrize("b", [17, 20])
def test_C1_slices_smaller_than_their_share_pass_it_on(b):
    for quota in ("ceil", "largest_remainder"):
        picked = choose(UniformBins(n_bins=3, quota=quota), ladder(20), b, Seed(0).key())
        assert len(set(picked.ids.tolist())) == b


def test_N5_the_default_score_is_a_probability_and_no_logit():
    assert UniformBins().base == LeastConfidence()
    ev = fake_evidence(UniformBins())
    picked = choose(UniformBins(n_bins=4), ev, 9, Seed(0).key())
    score = LeastConfidence().score(ev)
    assert picked.utility.tolist() == score[np.searchsorted(ev.candidates, picked.ids)].tolist()


def test_names_and_mistakes():
    built = strategies.build("uncertainty_uniform_discretize")
    assert built == UniformBins(base=LeastConfidence(), n_bins=500, quota="ceil")
    binned = strategies.build("centre_of_gravity_bins")
    assert (type(binned.base).__name__, binned.n_bins, binned.quota) == ("CentreOfGravity", 500, "ceil")
    assert UniformBins().reason(0.5).startswith("drawn at random among items of like score: ")
    with pytest.raises(SpecError, match="n_bins"):
        UniformBins(n_bins=0)
