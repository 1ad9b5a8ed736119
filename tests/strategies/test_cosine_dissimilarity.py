"""Mean angle to a reference set: the linear form is the double sum."""

import numpy as np
import pytest

from querist.errors import SpecError
from querist.evidence.evidence import Evidence
from querist.evidence.needs import Embeddings
from querist.seeds import Seed
from querist.strategies.base import State, choose
from querist.strategies.composition import flags_of
from querist.strategies.cosine_dissimilarity import CosineDissimilarity
from querist.testing.contract import StrategyContract


class TestCosineDissimilarity(StrategyContract):
    make = CosineDissimilarity


class TestCosineDissimilarityOfEmbeddings(StrategyContract):
    make = staticmethod(lambda: CosineDissimilarity(space="embeddings"))


def world(seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(50, 4)).astype(np.float32)
    labelled = np.array([3, 9, 20], np.int64)
    return x, np.setdiff1d(np.arange(50), labelled), labelled


def double_sum(x, reference):
    unit = [row / np.linalg.norm(row) for row in x.astype(np.float64)]
    others = [row / np.linalg.norm(row) for row in reference.astype(np.float64)]
    return np.array([sum(1 - u @ v for v in others) / len(others) for u in unit])


def evidence(x, ids, labelled):
    values = {Embeddings(): x[ids], Embeddings(frame="labelled"): x[labelled]}
    return Evidence(ids, values, labelled=labelled, c=3)


def test_M23_the_linear_form_is_the_double_sum():
    x, ids, labelled = world()
    picked = choose(CosineDissimilarity(space="embeddings"), evidence(x, ids, labelled), 12, Seed(0).key())
    expected = double_sum(x, x[labelled])
    np.testing.assert_allclose(picked.utility, expected[picked.ids], rtol=1e-5)
    assert picked.ids.tolist() == sorted(ids.tolist(), key=lambda i: -expected[i])[:12]


def test_N10_lengths_do_not_matter_and_rows_of_zeros_survive():
    x, ids, labelled = world(1)
    scaled = x * np.random.default_rng(2).uniform(0.1, 9, (50, 1)).astype(np.float32)
    one, other = (
        choose(CosineDissimilarity(space="embeddings"), evidence(e, ids, labelled), 12, Seed(0).key())
        for e in (x, scaled)
    )
    assert one.ids.tolist() == other.ids.tolist()
    x[5] = 0
    picked = choose(CosineDissimilarity(space="embeddings"), evidence(x, ids, labelled), 47, Seed(0).key())
    assert picked.utility[picked.ids == 5] == 1


def test_files_of_an_external_model_are_flagged(tmp_path):
    x, ids, labelled = world(3)
    reference = np.random.default_rng(4).normal(size=(7, 4))
    np.save(tmp_path / "x.npy", x)
    np.save(tmp_path / "r.npy", reference)
    rule = CosineDissimilarity(path=str(tmp_path / "x.npy"), reference=str(tmp_path / "r.npy"), trained_on="other data")
    assert flags_of(rule) == {"external"}
    assert not flags_of(CosineDissimilarity())
    assert rule.needs_at(State()) == ()
    picked = choose(rule, Evidence(ids, {}, labelled=labelled, c=3), 10, Seed(0).key())
    np.testing.assert_allclose(picked.utility, double_sum(x, reference)[picked.ids], rtol=1e-5)


def test_half_an_external_model_is_refused():
    with pytest.raises(SpecError, match="together"):
        CosineDissimilarity(path="x.npy")


def test_without_a_reference_all_rows_are_alike_and_drawn_by_key():
    x, _, _ = world(5)
    ids, none, key = np.arange(50), np.array([], np.int64), Seed(0).key()
    picked = choose(CosineDissimilarity(space="embeddings"), evidence(x, ids, none), 9, key)
    assert picked.utility.tolist() == [1.0] * 9
    assert picked.ids.tolist() == np.argsort(key.hash(ids))[:9].tolist()
