"""A stored ranking."""

import tempfile
from pathlib import Path

import numpy as np
import pytest

from querist.data.memory import from_arrays
from querist.errors import DataError, SpecError
from querist.evidence.evidence import Evidence
from querist.labels.oracle import SimulatedOracle
from querist.seeds import Seed
from querist.session.session import Session
from querist.strategies.base import choose, strategies
from querist.strategies.composition import identity_of
from querist.strategies.ranking_file import RankingFile
from querist.testing.contract import StrategyContract


@pytest.fixture(scope="class")
def shared(request):
    with tempfile.TemporaryDirectory() as folder:
        request.cls.folder = Path(folder)
        np.save(request.cls.folder / "order.npy", np.random.default_rng(0).permutation(200_000))
        yield


@pytest.mark.usefixtures("shared")
class TestRankingFile(StrategyContract):
    symmetric = False  # rows that are alike still have different places in the file
    cold = True

    def make(self):
        return RankingFile(path=str(self.folder / "order.npy"))


def evidence(n, labelled=()):
    labelled = np.array(labelled, np.int64)
    return Evidence(np.setdiff1d(np.arange(n), labelled), {}, labelled=labelled, c=2)


@pytest.fixture
def stored(tmp_path):
    def store(order, name="order.npy"):
        np.save(tmp_path / name, order)
        return RankingFile(path=str(tmp_path / name))

    return store


def test_the_first_unlabelled_ids_of_the_file_in_its_order(stored):
    order = np.random.default_rng(0).permutation(30)
    picked = choose(stored(order), evidence(30, [3, 8, 20]), 10, Seed(0).key())
    assert picked.ids.tolist() == [i for i in order.tolist() if i not in (3, 8, 20)][:10]
    assert picked.reasons[0] == f"it is number {order.tolist().index(picked.ids[0]) + 1} of the stored ranking"


def test_C4_prefixes_are_nested_whatever_the_batches(stored):
    order = np.random.default_rng(1).permutation(40)
    strategy, bought = stored(order), []
    for b in (5, 1, 10):
        bought += choose(strategy, evidence(40, sorted(bought)), b, Seed(b).key()).ids.tolist()
    assert bought == order[:16].tolist()


@pytest.mark.parametrize(
    ("order", "words"),
    [
        ([0, 1, 1, 3], "distinct"), ([0, 1, 2, 4], "in 0..3"), ([0, 1, 2, -1], "in 0..3"),
        ([0.0, 1.0, 2.0, 3.0], "integers"), ([[0, 1, 2, 3]], "one-dimensional"), ([2, 0, 1], "does not rank 1 of 4"),
    ],
)  # fmt: skip
def test_F7_incomplete_or_repeated_ids_are_errors(stored, order, words):
    with pytest.raises(DataError, match=words):
        choose(stored(np.array(order)), evidence(4), 2, Seed(0).key())


def test_F7_objects_are_not_unpickled(stored, tmp_path):
    np.save(tmp_path / "pickled.npy", np.array([{"id": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(DataError, match="pickled"):
        choose(RankingFile(path=str(tmp_path / "pickled.npy")), evidence(1), 1, Seed(0).key())


def test_an_archive_ranks_the_ids_it_names(tmp_path):
    np.savez(tmp_path / "order.npz", ids=np.array([90, 4, 17, 2]))
    ev = Evidence(np.array([2, 17, 90]), {}, labelled=np.array([4]), c=2)
    strategy = RankingFile(path=str(tmp_path / "order.npz"))
    assert choose(strategy, ev, 3, Seed(0).key()).ids.tolist() == [90, 17, 2]
    np.savez(tmp_path / "other.npz", order=np.array([1]))
    with pytest.raises(DataError, match="expected an array 'ids'"):
        choose(RankingFile(path=str(tmp_path / "other.npz")), ev, 1, Seed(0).key())


def test_O4_the_record_holds_the_content_and_not_the_place(stored):
    one, same, other = (stored(np.roll(np.arange(5), k), f"{k}{n}.npy") for k, n in ((0, "a"), (0, "b"), (1, "a")))
    assert identity_of(one) == identity_of(same) != identity_of(other)


def test_the_path_is_required_and_the_alias_builds_it(stored):
    with pytest.raises(SpecError, match="path are required"):
        strategies.build("ranking_file")
    assert strategies.build({"name": "determined", "path": "x.npy"}) == RankingFile(path="x.npy")


def test_it_runs_end_to_end_and_opens_a_pool(stored):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(60, 3)).astype(np.float32), np.arange(60) % 3
    data = from_arrays("small", x, y, classes=("a", "b", "c"), test_share=0.3)
    order = np.random.default_rng(1).permutation(60)
    strategy = stored(order)
    session = Session(data, strategy=strategy, initial=strategy, learner="linear", seed=0)
    oracle = SimulatedOracle(data.labels, data.pool)
    bought = []
    for _ in range(3):
        query = session.ask(4)
        bought += list(query.ids)
        session.tell(oracle.answer(query))
    assert bought == [i for i in order.tolist() if i in set(data.pool.tolist())][:12]
