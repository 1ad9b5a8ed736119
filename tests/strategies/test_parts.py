"""Parts of a pool as wrappers give them to their base."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest

from querist.evidence.evidence import Evidence
from querist.evidence.needs import Draws, Features, Gradients, Labels, Neighbours, Probs, Refit
from querist.seeds import Seed
from querist.strategies._parts import needs_of_parts, part_of
from querist.strategies.badge import Badge
from querist.strategies.base import Picks, Strategy, choose
from querist.strategies.partitioned import Partitioned
from querist.strategies.typiclust import TypiClust
from querist.strategies.uherding import UHerding
from querist.testing.fakes import fake_evidence
from querist.testing.world import FakeWorld

NEAR = Neighbours(frame="all", k=3)


@dataclass(frozen=True, kw_only=True)
class Near(Strategy):
    """Picks the rows with the nearest neighbours."""

    needs: ClassVar = (NEAR,)

    def needs_at(self, state):
        return self.needs if state.has_model else ()

    def select(self, ev, b, key):
        first = ev[NEAR].distances[ev[NEAR].indptr[:-1]]
        return Picks(np.argsort(first[ev.rows("candidates")])[:b])


def alone(needs, rows):
    """The evidence about some candidates of the world of `fake_evidence`, read from that world."""
    whole = fake_evidence(needs)
    world = FakeWorld(n=60, labelled=12, c=4, d=6, seed=Seed(0))
    ids = np.sort(whole.candidates[rows])
    frames = {"candidates": ids, "labelled": whole.labelled, "all": np.union1d(ids, whole.labelled)}
    values = {need: world.value(need, frames[need.frame]) for need in needs}
    return whole, Evidence(ids, values, labelled=whole.labelled, c=4)


ROWS = np.array([50, 3, 4, 17, 22, 58, 9, 31, 40, 12, 1, 27, 35, 44, 20])


@pytest.mark.parametrize("base", [UHerding(), TypiClust(), Badge()])
def test_C4_a_base_picks_in_a_part_what_it_picks_if_there_is_nothing_else(base):
    needs = (Features(frame="all"), Probs(), Labels(), Gradients())
    whole, lonely = alone(needs, ROWS)
    part = part_of(whole, ROWS, base)
    assert part.evidence.candidates.tolist() == lonely.candidates.tolist() == whole.candidates[part.rows].tolist()
    for frame in ("candidates", "labelled", "all"):
        assert part.evidence.ids(frame).tolist() == lonely.ids(frame).tolist()
        assert part.evidence.rows(frame).tolist() == lonely.rows(frame).tolist()
    one, other = (choose(base, ev, 7, Seed(0).key()) for ev in (part.evidence, lonely))
    assert one.ids.tolist() == other.ids.tolist()
    assert one.utility == pytest.approx(other.utility)


@pytest.mark.parametrize("base", [UHerding(), TypiClust(), Badge()])
def test_C4_the_picks_of_parts_are_those_of_the_base_in_each(base):
    ev, key = fake_evidence(base), Seed(4).key()
    picked = choose(Partitioned(base=base, parts=3), ev, 11, key)
    order = np.argsort(key.child("parts").hash(ev.candidates))
    expected = []
    for j, share in enumerate((4, 4, 3)):
        rows = np.sort(order[j::3])
        _, lonely = alone(tuple(ev.needs), rows)
        expected.append(choose(base, lonely, share, key if j == 0 else key.child("part", j)).ids)
    in_turn = [expected[j][lap] for lap in range(4) for j in range(3) if lap < len(expected[j])]
    assert picked.ids.tolist() == in_turn


def test_values_are_those_of_the_rows_of_the_part():
    needs = (Features(frame="all"), Probs(), Labels(), Draws(k=4), Refit())
    whole, lonely = alone(needs, ROWS)
    part = part_of(whole, ROWS, Near()).evidence
    for need in needs[:3]:
        assert part[need].tolist() == lonely[need].tolist()
    assert [draw.tolist() for draw in part[Draws(k=4)]] == [draw.tolist() for draw in lonely[Draws(k=4)]]
    fitted = np.arange(5)
    assert part[Refit()](fitted) == pytest.approx(lonely[Refit()](fitted))


def test_neighbours_of_a_part_are_found_within_the_part():
    assert needs_of_parts(Near().needs) == (Features(frame="all"),)
    whole, lonely = alone((Features(frame="all"), NEAR), ROWS)
    given = Evidence(
        whole.candidates, {Features(frame="all"): whole[Features(frame="all")]}, labelled=whole.labelled, c=4
    )
    part = part_of(given, ROWS, Near())
    for one, other in zip(part.evidence[NEAR], lonely[NEAR], strict=True):
        assert one == pytest.approx(other, abs=1e-6)
    everything = part_of(given, np.arange(60), Near())
    assert everything.evidence[NEAR].indices.tolist() == whole[NEAR].indices.tolist()
    one, other = Partitioned(base=Near(), parts=1), Near()
    assert choose(one, given, 9, Seed(0).key()).ids.tolist() == choose(other, whole, 9, Seed(0).key()).ids.tolist()


def test_the_whole_pool_is_no_copy():
    ev = fake_evidence(UHerding())
    assert part_of(ev, np.arange(60), UHerding()).evidence is ev
