"""What must hold of all strategies together: processes and threads, memory, growth, distinctness."""

import tracemalloc
from itertools import combinations
from time import process_time

import numpy as np
import pytest

from querist.evidence.evidence import Evidence
from querist.evidence.needs import (
    Factors,
    Features,
    Gradients,
    Head,
    History,
    Labels,
    Need,
    Past,
    Probs,
    Refit,
    Sealed,
)
from querist.registry import describe
from querist.seeds import Seed
from querist.strategies.base import State, choose, strategies
from querist.strategies.composition import resolved
from querist.testing.fakes import fake_evidence
from querist.testing.fresh import fresh_picks, standard_picks
from querist.testing.names import buildable

NAMES = buildable()

STAGED = {"schedule", "tcm", "select_al", "typiclust"}
"""Rules that begin with typiclust, and it; the world below is a beginning."""

RETRIEVAL = {"smi_com", "smi_flqmi", "smi_gcmi"}
"""Rules that rank by similarity to the query set if that is one row, as it is here."""

SAME_HERE = {frozenset(pair) for rules in (STAGED, RETRIEVAL) for pair in combinations(sorted(rules), 2)}
SAME_HERE |= {frozenset({"dcom", "margin"})}
"""Names that run one rule in this world by design: dcom is margin once its balls cover everything, as they do here."""


def build(name):
    return resolved(strategies.build(name), trains_backbone=False)


def pool(strategy, n, d=16, c=20, labelled=40):
    """Evidence on a large pool, cheap to make."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(n, d)).astype(np.float32)
    p = rng.random((n, c), np.float32) + 0.01
    p /= p.sum(axis=1, keepdims=True)
    taken = np.sort(rng.choice(n, labelled, replace=False))
    ids = {"all": np.arange(n), "candidates": np.setdiff1d(np.arange(n), taken), "labelled": taken}

    def value(need: Need, rows):
        match need:
            case Probs():
                return p[rows]
            case Features():
                return x[rows]
            case Gradients():
                return Factors(p[rows], x[rows])
            case Head():
                return lambda z: z @ x[:c].T
            case Labels() | Sealed():
                return p[rows].argmax(axis=1)
            case Refit():
                return lambda fitted: p[rows]
            case History():
                return Past((), ())
        pytest.skip(f"{need} is not made here")

    needs = strategy.needs_at(State(n_labelled=labelled, has_model=True))
    values = {need: value(need, ids[need.frame]) for need in needs}
    return Evidence(ids["candidates"], values, labelled=taken, c=c)


def test_U2_C11_R2_other_processes_and_thread_counts_pick_the_same(monkeypatch):
    built = [build(name) for name in NAMES]
    here = [standard_picks(strategy) for strategy in built]
    for threads, hash_seed in ((1, 1), (8, 2)):
        for library in ("OPENBLAS", "OMP", "MKL"):
            monkeypatch.setenv(f"{library}_NUM_THREADS", str(threads))
        there = fresh_picks([describe(strategy) for strategy in built], hash_seed)
        assert dict(zip(NAMES, there, strict=True)) == dict(zip(NAMES, here, strict=True))


@pytest.mark.parametrize("name", NAMES)
def test_Q17_U13_memory_on_fifty_thousand_rows(name):
    strategy = build(name)
    ev = pool(strategy, 50_000)
    choose(strategy, fake_evidence(strategy), 3, Seed(0).key())  # compile first
    tracemalloc.start()
    try:
        assert len(choose(strategy, ev, 20, Seed(0).key()).ids) == 20
        peak = tracemalloc.get_traced_memory()[1] / 2**20
    finally:
        tracemalloc.stop()
    # A copy of the features is 3 MB, N x N in float32 would be 10 GB; a graph of 50 neighbours has 60 MB, both ways.
    assert peak < (400 if name == "jlp" else 40)


@pytest.mark.parametrize("name", ["badge", "class_uniform_oracle", "k_center_greedy", "kmeans_multi_batch", "random"])
def test_Q18_time_grows_with_rows_and_not_with_their_square(name):
    strategy = build(name)

    def seconds(n):
        ev = pool(strategy, n, d=8)
        best = np.inf
        for _ in range(3):
            start = process_time()
            choose(strategy, ev, 10, Seed(0).key())
            best = min(best, process_time() - start)
        return best

    seconds(200)
    assert seconds(40_000) < 60 * max(seconds(2_000), 1e-4)  # 20 times the rows; squared it would be 400 times


@pytest.fixture(scope="module")
def rankings():
    built = {name: build(name) for name in NAMES}
    evs = {name: fake_evidence(strategy) for name, strategy in built.items()}
    return {n: choose(s, evs[n], len(evs[n].candidates), Seed(3).child(n).key()).ids.tolist() for n, s in built.items()}


@pytest.mark.parametrize(("one", "other"), list(combinations(NAMES, 2)))
def test_C15_U14_no_two_names_run_one_rule(rankings, one, other):
    assert (rankings[one] == rankings[other]) <= ({one, other} in SAME_HERE)
