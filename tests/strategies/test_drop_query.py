"""DropQuery."""

import numpy as np
import pytest

from querist.errors import SpecError
from querist.evidence.evidence import Evidence
from querist.evidence.features import unit_rows
from querist.evidence.needs import Embeddings, Features, Head
from querist.seeds import Seed
from querist.strategies.base import State, choose
from querist.strategies.centroid_init import CentroidInit
from querist.strategies.drop_query import DropQuery, contradictions, disputed
from querist.testing.contract import StrategyContract
from querist.testing.fakes import fake_evidence

KEY = Seed(0).key()
FROZEN = Head(space="features")


class TestDropQuery(StrategyContract):
    make = DropQuery
    deterministic = False
    cold = True


class TestSharedDropQuery(StrategyContract):
    make = staticmethod(lambda: DropQuery(masks="shared", passes=4, rho=0.5, enough=2))
    deterministic = False
    cold = True


def unit(n, d=6, seed=0):
    x = np.random.default_rng(seed).normal(size=(n, d))
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)


def linear(d=6, c=4, seed=5):
    weight, bias = np.random.default_rng(seed).normal(size=(d, c)), np.linspace(-0.3, 0.3, c)
    return lambda x: np.einsum("nd,dc->nc", x.astype(np.float64), weight) + bias


def fickle(x):
    """Rows with a zero are of another class than rows without one."""
    part = (x == 0).any(axis=1)
    return np.stack([~part, part], axis=1).astype(float)


def evidence(x, head, ids=None):
    return Evidence(np.arange(len(x)) if ids is None else ids, {Features(): x, FROZEN: head}, c=4)


@pytest.mark.parametrize("shared", [False, True])
def test_contradictions_equal_one_entry_at_a_time(shared, monkeypatch):
    monkeypatch.setattr("querist.strategies.drop_query.BLOCK", 40)
    x, head, rho = unit(30), linear(), 0.6
    ids = np.arange(30) * 7 + 3
    found = contradictions(head, x, ids, 5, rho, KEY, shared=shared)
    expected = np.zeros(30)
    for row in range(30):
        for turn in range(5):
            part = x[[row]].copy()
            for entry in range(6):
                number = np.array([entry if shared else ids[row] * 6 + entry])
                dropped = KEY.child("dropped", turn).uniform(number)[0] < rho
                part[0, entry] = 0 if dropped else x[row, entry] / (1 - rho)
            expected[row] += head(part).argmax() != head(x[[row]]).argmax()
    assert found.tolist() == expected.tolist()
    assert 0 < found.sum() < 150


def test_entries_are_dropped_with_probability_rho_and_apart_from_one_another():
    seen = []

    def spy(x):
        seen.append(x.copy())
        return np.zeros((len(x), 2))

    contradictions(spy, np.ones((4000, 5), np.float32), np.arange(4000), 2, 0.75, KEY)
    whole, *partial = seen
    assert (whole == 1).all()
    for kept in partial:
        assert set(np.unique(kept)) == {0.0, 4.0}
        assert (kept > 0).mean() == pytest.approx(0.25, abs=0.015)
        assert np.abs(np.corrcoef(kept.T) - np.eye(5)).max() < 0.08
    assert abs(np.corrcoef(partial[0].ravel(), partial[1].ravel())[0, 1]) < 0.04
    seen.clear()
    contradictions(spy, np.ones((50, 400), np.float32), np.arange(50), 2, 0.75, KEY, shared=True)
    assert all((kept == kept[0]).all() for kept in seen)
    assert (seen[1][0] > 0).mean() == pytest.approx(0.25, abs=0.1)
    assert (seen[1][0] != seen[2][0]).any()


def test_what_a_row_loses_follows_its_id_and_not_its_place():
    x, ids, order = unit(50), np.arange(50) + 9, np.random.default_rng(0).permutation(50)
    straight = contradictions(linear(), x, ids, 6, 0.7, KEY)
    assert contradictions(linear(), x[order], ids[order], 6, 0.7, KEY).tolist() == straight[order].tolist()
    assert contradictions(linear(), x, ids + 1, 6, 0.7, KEY).tolist() != straight.tolist()


def test_candidates_grow_when_the_threshold_falls():
    v = np.array([0, 1, 2, 3, 4, 5, 5, 2])
    assert disputed(v, 5, 1).tolist() == [3, 4, 5, 6]
    assert disputed(v, 5, 4).tolist() == [3, 4, 5, 6]
    assert disputed(v, 5, 5).tolist() == [2, 3, 4, 5, 6, 7]
    assert disputed(v, 5, 7).tolist() == [1, 2, 3, 4, 5, 6, 7]
    assert disputed(v, 5, 99).tolist() == [1, 2, 3, 4, 5, 6, 7], "rows without a contradiction never count"
    assert disputed(v, 1, 99).tolist() == disputed(v, 5, 99).tolist()


def test_without_dropping_it_draws_at_random():
    x, drawn = unit(20), np.zeros(20)
    for seed in range(300):
        picked = choose(DropQuery(rho=0.0), evidence(x, linear()), 4, Seed(seed).key())
        assert picked.utility.tolist() == [0] * 4
        drawn[picked.ids] += 1
    assert drawn.min() > 30
    assert "at random" in picked.reasons[0]


def test_with_every_row_disputed_it_is_centroid_init():
    x = unit(150, d=40)
    for masks in ("row", "shared"):
        one = choose(DropQuery(masks=masks), evidence(x, fickle), 9, KEY)
        other = choose(CentroidInit(), Evidence(np.arange(150), {Features(): x}, c=4), 9, KEY)
        assert one.ids.tolist() == other.ids.tolist()
        assert one.utility.tolist() == other.utility.tolist()


def test_before_there_is_a_model_it_is_centroid_init():
    for kind in ("generic", "ties", "duplicates", "zeros"):
        one, other = (
            choose(strategy, fake_evidence(strategy, labelled=0, kind=kind), 9, KEY)
            for strategy in (DropQuery(), CentroidInit())
        )
        assert one.ids.tolist() == other.ids.tolist()
        assert one.utility.tolist() == other.utility.tolist()


def test_C1_few_disputed_rows_come_first_and_the_rest_is_random():
    x = unit(60)
    disputed_rows = [4, 17, 30]

    def head(rows):
        part = np.array([int(np.abs(row - x[disputed_rows]).max(axis=1).min() < 1e-6) for row in rows])
        return np.stack([part, np.full(len(rows), 0.5)], axis=1)

    rest = np.zeros(60)
    for seed in range(200):
        picked = choose(DropQuery(passes=1, rho=0.75), evidence(x, head), 8, Seed(seed).key())
        certain = picked.utility > 0
        assert set(picked.ids[certain]) <= set(disputed_rows)
        rest[picked.ids[~certain]] += 1
    assert rest[np.setdiff1d(np.arange(60), disputed_rows)].min() > 3
    assert len(set(picked.ids)) == 8


def test_picks_are_the_medoids_of_disputed_rows():
    x = np.repeat(np.eye(6), 40, axis=0) + 0.05 * np.random.default_rng(0).normal(size=(240, 6))
    x = (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)
    weight = np.eye(6)
    weight[:, :3] *= 60  # whatever is left of the first three groups decides, unless it was dropped

    def head(rows):
        return np.einsum("nd,dc->nc", rows.astype(np.float64), weight)

    v = contradictions(head, x, np.arange(240), 3, 0.75, KEY)
    rows = disputed(v, 3, 25 * 4)
    picked = choose(DropQuery(), evidence(x, head), 4, KEY)
    assert set(picked.ids) <= set(rows)
    assert picked.utility.sum() == len(rows)
    assert picked.reasons[0] == (
        f"it is the most central of {picked.utility[0]:.0f} similar items, all unclear to the model if there is one"
    )


def test_needs_follow_the_state_and_the_space():
    warm, cold = State(round=1, n_labelled=5, has_model=True), State()
    assert DropQuery().needs_at(cold) == (Features(),)
    assert DropQuery().needs_at(warm) == (Features(), FROZEN)
    assert DropQuery(space="embeddings").needs_at(warm) == (Embeddings(), Head())
    assert DropQuery(space="embeddings").needs_at(cold) == (Features(),)


def test_embeddings_are_dropped_from_as_they_are_and_clustered_as_unit_rows():
    x = unit(150) * np.random.default_rng(1).uniform(1, 9, size=(150, 1)).astype(np.float32)
    seen = []

    def head(rows):
        seen.append(rows)
        return fickle(rows)

    ev = Evidence(np.arange(150), {Embeddings(): x, Head(): head}, c=2)
    picked = choose(DropQuery(space="embeddings"), ev, 9, KEY)
    np.testing.assert_array_equal(seen[0], x)
    disputed_rows = np.flatnonzero(contradictions(fickle, x, np.arange(150), 3, 0.75, KEY) > 1)
    clustered = Evidence(disputed_rows, {Features(): unit_rows(x[disputed_rows])}, c=2)
    assert picked.ids.tolist() == choose(CentroidInit(), clustered, 9, KEY).ids.tolist()
    raw = Evidence(disputed_rows, {Features(): x[disputed_rows]}, c=2)
    assert picked.ids.tolist() != choose(CentroidInit(), raw, 9, KEY).ids.tolist()


def test_C18_C19_settings():
    x = unit(400)
    settings = (
        {}, {"passes": 9}, {"rho": 0.3}, {"enough": 1}, {"masks": "shared"}, {"iterations": 1}, {"restarts": 9},
    )  # fmt: skip
    picks = [tuple(choose(DropQuery(**s), evidence(x, linear()), 12, KEY).utility) for s in settings]
    assert len(set(picks)) == len(settings)
    for wrong in ({"passes": 0}, {"enough": 0}, {"rho": 1.0}, {"rho": -0.1}, {"restarts": 0}):
        with pytest.raises(SpecError, match=next(iter(wrong))):
            DropQuery(**wrong)


def test_N5_a_constant_added_to_the_logits_of_a_row_changes_nothing():
    x, head = unit(200), linear()

    def shifted(rows):
        return head(rows) + 1e3 * np.sin(40.0 * rows[:, :1])

    one, other = (choose(DropQuery(), evidence(x, judge), 8, KEY) for judge in (head, shifted))
    assert one.ids.tolist() == other.ids.tolist()
    assert one.utility.tolist() == other.utility.tolist()
    assert one.utility.min() > 0
