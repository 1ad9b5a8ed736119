"""Facility location."""

import numpy as np
import pytest

from querist.evidence.evidence import Evidence
from querist.evidence.needs import Embeddings, Features
from querist.kernels.coverage import Similarity, cosine
from querist.seeds import Seed
from querist.strategies import max_herding
from querist.strategies.base import State, choose, strategies
from querist.strategies.facility_location import FacilityLocation
from querist.strategies.max_herding import MaxHerding
from querist.testing.contract import StrategyContract
from querist.testing.fakes import fake_evidence

UNIT = Features(frame="all")


class TestFacilityLocation(StrategyContract):
    make = FacilityLocation
    deterministic = True
    cold = True


class TestEmbeddingFacilityLocation(StrategyContract):
    make = staticmethod(lambda: FacilityLocation(space="embeddings"))
    deterministic = True


def evidence(x, labelled=()):
    labelled = np.array(labelled, np.int64)
    return Evidence(np.setdiff1d(np.arange(len(x)), labelled), {UNIT: x}, labelled=labelled, c=2)


def directions(n, d=5, seed=0):
    x = np.random.default_rng(seed).normal(size=(n, d))
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)


@pytest.mark.parametrize("labelled", [(), (3, 8, 20)])
def test_equals_naive_facility_location_on_cosines(labelled):
    x = directions(70)
    like = (1 + x.astype(float) @ x.T.astype(float)) / 2
    picked = choose(FacilityLocation(), evidence(x, labelled), 30, Seed(0).key())
    covered = like[:, list(labelled)].max(axis=1, initial=0)
    for row, utility in zip(picked.ids, picked.utility, strict=True):
        gain = np.maximum(like - covered[:, None], 0).sum(axis=0)
        gain[list(labelled)] = -1
        # Rows have length 1 in float32 only, and nearest neighbours of one another gain the same.
        assert utility == pytest.approx(gain[row], abs=1e-5)
        assert gain[row] == pytest.approx(gain.max(), abs=1e-5)
        covered = np.maximum(covered, like[:, row])


def test_is_max_herding_with_the_same_kernel(monkeypatch):
    monkeypatch.setattr(max_herding, "gaussian", lambda sigma: cosine())
    ev = evidence(directions(200), range(9))
    same = choose(MaxHerding(), ev, 60, Seed(0).key())
    picked = choose(FacilityLocation(), ev, 60, Seed(0).key())
    assert picked.ids.tolist() == same.ids.tolist()
    np.testing.assert_allclose(picked.utility, 200 * same.utility, rtol=1e-12)


def test_C3_when_all_is_covered_it_goes_on_farthest_first():
    x = np.repeat(directions(4), 5, axis=0)
    picked = choose(FacilityLocation(), evidence(x, [0]), 12, Seed(0).key())
    assert sorted(picked.ids[:3] // 5) == [1, 2, 3]
    assert (picked.utility[:3] > 0).all()
    assert picked.utility[3:].tolist() == [0] * 9
    assert len(set(picked.ids.tolist())) == 12
    assert picked.reasons[0] == f"it brings the pool {picked.utility[0]:.3g} closer to what is labelled or picked"
    assert picked.reasons[-1].startswith("everything is covered")


def test_space_decides_what_is_asked_for_and_embeddings_are_made_unit_rows():
    state = State(n_labelled=3, has_model=True)
    assert FacilityLocation().needs_at(state) == (UNIT,)
    assert FacilityLocation(space="embeddings").needs_at(state) == (Embeddings(frame="all"),)
    plain, embedded = FacilityLocation(), FacilityLocation(space="embeddings")
    by_features = choose(plain, fake_evidence(plain), 9, Seed(0).key())
    by_embeddings = choose(embedded, fake_evidence(embedded), 9, Seed(0).key())
    assert by_embeddings.ids.tolist() == by_features.ids.tolist()


def test_is_registered():
    assert strategies.build("facility_location") == FacilityLocation()
    assert isinstance(cosine(), Similarity)
