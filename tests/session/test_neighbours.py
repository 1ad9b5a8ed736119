"""Neighbours as evidence: among which rows, in which space, and how often they are sought."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pytest

from querist import select
from querist.errors import UnmetNeedError
from querist.evidence.needs import Features, Labels, Neighbours
from querist.session import neighbours as module
from querist.session.neighbours import NeighbourSource, neighbourhood
from querist.session.session import Session
from querist.strategies.base import Picks, Strategy


@dataclass(frozen=True, kw_only=True)
class Wants(Strategy):
    """Declares neighbours and the features they are found among, and keeps the evidence it was given."""

    need: Neighbours
    seen: ClassVar[list[Any]] = []

    def needs_at(self, state: Any):
        return self.need, self.need.features, Labels()

    def select(self, ev: Any, b: int, key: Any):
        self.seen.append(ev)
        return Picks(np.arange(b))


def plain(x, k):
    """Lists of the nearest others by distance, then position, and the distances."""
    x = np.asarray(x, np.float64)
    gap = np.square(x[:, None] - x[None]).sum(axis=2)
    np.fill_diagonal(gap, np.inf)
    order = np.argsort(gap, axis=1, kind="stable")[:, : min(k, len(x) - 1)]
    return order, np.sqrt(np.take_along_axis(gap, order, axis=1))


def assert_neighbours(graph, x, k):
    order, far = plain(x, k)
    assert graph.indptr.tolist() == (np.arange(len(x) + 1) * order.shape[1]).tolist()
    assert graph.indices.tolist() == order.ravel().tolist()
    np.testing.assert_allclose(graph.distances, far.ravel(), rtol=1e-9)


@pytest.mark.parametrize("validation", [0, 4])
@pytest.mark.parametrize("normalise", [True, False])
@pytest.mark.parametrize("frame", ["candidates", "labelled", "all"])
def test_neighbours_are_rows_of_the_frame_in_the_space_asked_for(make, play, frame, normalise, validation):
    strategy = Wants(need=Neighbours(k=6, frame=frame, normalise=normalise))
    session: Session = make(strategy=strategy, initial="random", validation=validation)
    play(session, 5, 4, 3, 3)
    ev = strategy.seen[-1]
    assert_neighbours(ev[strategy.need], ev[Features(frame=frame, normalise=normalise)], 6)


def test_normalised_and_plain_features_have_other_neighbours(setting):
    source, pool = NeighbourSource(setting), setting.dataset.pool
    one, other = (source.provide(Neighbours(k=6, normalise=on), pool) for on in (True, False))
    assert not np.array_equal(one.indices, other.indices)


def test_as_long_as_the_rows_stay_the_neighbours_are_not_sought_again(make, play, monkeypatch):
    sought = []

    def counting(x, k):
        sought.append(len(x))
        return neighbourhood(x, k)

    monkeypatch.setattr(module, "neighbourhood", counting)
    play(make(strategy=Wants(need=Neighbours(k=2, frame="all")), initial="random", validation=3), 5, 4, 3, 3)
    assert sought == [87]
    sought.clear()
    play(make(strategy=Wants(need=Neighbours(k=2)), initial="random"), 5, 4, 3)
    assert sought == [85, 81]


def test_fewer_rows_than_neighbours_are_all_neighbours():
    graph = neighbourhood(np.array([[0.0], [3.0], [1.0]]), 20)
    assert graph.indptr.tolist() == [0, 2, 4, 6]
    assert graph.indices.tolist() == [2, 1, 2, 0, 0, 1]
    assert graph.distances.tolist() == [1, 3, 2, 3, 1, 2]
    empty = neighbourhood(np.zeros((0, 4)), 5)
    assert (empty.indptr.tolist(), len(empty.indices), len(empty.distances)) == ([0], 0, 0)


def test_offers_say_what_they_cost(setting):
    source = NeighbourSource(setting)
    assert source.offers(Neighbours(frame="all")).note == "compares all pairs of rows"  # pyright: ignore
    assert source.offers(Neighbours()).note == "compares all pairs of rows anew in every round"  # pyright: ignore
    assert source.offers(Features()) == "it provides Neighbours only."


@pytest.mark.parametrize("frame", ["candidates", "all"])
def test_select_finds_neighbours_among_the_features_it_was_given(frame):
    x = np.random.default_rng(0).normal(size=(40, 5))
    strategy = Wants(need=Neighbours(k=4, frame=frame))
    select(strategy, 2, features=x, labelled=[3, 30], labels=[0, 1], classes=2)
    ev = strategy.seen[-1]
    rows = np.arange(40) if frame == "all" else np.setdiff1d(np.arange(40), [3, 30])
    unit = ev[strategy.need.features]
    np.testing.assert_allclose(unit, (x / np.linalg.norm(x, axis=1, keepdims=True))[rows], atol=1e-6)
    assert_neighbours(ev[strategy.need], unit, 4)
    with pytest.raises(UnmetNeedError, match=r"pass features=\(N, d\)"):
        select(strategy, 2, probs=np.full((40, 2), 0.5), labelled=[3, 30], labels=[0, 1])
