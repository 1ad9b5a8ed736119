"""The feature store: both forms of every row, the encoder's isolation from test rows and labels, and the cache key."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from querist.arrays import SealedArray
from querist.data.dataset import Dataset
from querist.data.manifest import Manifest
from querist.data.memory import ArrayItems, content_digest, from_arrays
from querist.encoders.base import Encoder, FittedEncoder
from querist.encoders.pixels import Pixels
from querist.errors import DataError, LeakError, NeedError
from querist.evidence import features as store, parts
from querist.evidence.cache import FolderCache, MemoryCache
from querist.evidence.features import FrozenFeatures, compute_features, unit_rows
from querist.evidence.needs import Features
from querist.evidence.view import View
from querist.progress import listening
from querist.registry import describe
from querist.seeds import Seed

N = 60
X = np.random.default_rng(0).normal(size=(N, 4)).astype(np.float32)
X[7] = 0
LABELS = np.arange(N) % 3
SPLIT = np.array([0] * 40 + [1] * 10 + [2] * 5 + [3] * 5)


class SpyItems(ArrayItems):
    """Remembers which ids were read."""

    def __init__(self, array):
        super().__init__(array)
        self.read = []

    def __getitem__(self, ids):
        self.read.extend(np.asarray(ids).tolist())
        return super().__getitem__(ids)


def dataset_of(x=X, labels=LABELS, split=SPLIT, name="toy"):
    return Dataset(
        Manifest(name, tuple(f"k{i}" for i in range(len(x))), split.astype(np.int8), ("a", "b", "c")),
        SpyItems(x),
        SealedArray(labels),
        content_digest(labels),
    )


@dataclass(frozen=True, kw_only=True)
class Shift(Encoder):
    """Adds the mean of the pool and a draw of the seed: depends on all that it may depend on."""

    by: float = 0.0

    def fit(self, pool, seed):
        return Shifted(pool.items().mean(axis=0) + self.by + seed.integer() % 1000)


class Shifted(FittedEncoder):
    def __init__(self, offset):
        self.offset = offset

    def encode(self, view):
        return (view.items() + self.offset).astype(np.float32)


def raw(features):
    return features[Features(frame="all", normalise=False)]


class TestWhatIsReturned:
    def test_both_forms_for_every_row(self):
        features = compute_features(dataset_of(), Pixels(), Seed(0))
        assert (raw(features) == X).all()
        unit = features[Features(frame="all")]
        norms = np.linalg.norm(unit, axis=1)
        np.testing.assert_allclose(np.delete(norms, 7), 1, atol=1e-6)
        assert norms[7] == 0
        np.testing.assert_allclose(unit * np.linalg.norm(X, axis=1, keepdims=True), X, atol=1e-6)
        assert unit.dtype == raw(features).dtype == np.float32
        assert not unit.flags.writeable
        assert not raw(features).flags.writeable

    def test_the_name_of_the_encoder_finds_the_same_arrays(self):
        features = compute_features(dataset_of(), Pixels(), Seed(0))
        assert len(features) == 4
        for normalise in (True, False):
            plain = Features(frame="all", normalise=normalise)
            assert features[replace(plain, encoder="pixels")] is features[plain]
        assert Features(frame="all", encoder="other") not in features

    def test_views_find_them(self):
        data = dataset_of()
        features = compute_features(data, Pixels(), Seed(0))
        view = View(data, data.test, features=features)
        assert (view[Features(encoder="pixels", normalise=False)] == X[40:50]).all()
        assert (view[Features()] == unit_rows(X)[40:50]).all()
        with pytest.raises(NeedError, match="features computed for this session"):
            view[Features(encoder="other")]

    def test_rows_of_extreme_length(self):
        x = np.array([[3e38, 3e38], [1e-44, 0], [0, 0], [-5, 0]], dtype=np.float32)
        np.testing.assert_allclose(unit_rows(x), [[0.5**0.5] * 2, [1, 0], [0, 0], [-1, 0]], rtol=1e-6)

    @pytest.mark.parametrize("chunk", [1, 7, 60])
    @pytest.mark.parametrize("pca", [None, 3])
    def test_the_chunk_does_not_matter(self, monkeypatch, chunk, pca):
        whole = compute_features(dataset_of(), Pixels(pca=pca), Seed(0))
        monkeypatch.setattr(store, "CHUNK", chunk)
        parts = compute_features(dataset_of(), Pixels(pca=pca), Seed(0))
        assert all(whole[need].tobytes() == parts[need].tobytes() for need in whole)

    def test_progress_counts_rows_to_the_end(self, monkeypatch):
        monkeypatch.setattr(store, "CHUNK", 25)
        calls = []
        with listening(lambda *news: calls.append(news)):
            compute_features(dataset_of(), Pixels(), Seed(0))
        assert calls == [("encoding", done, N) for done in (0, 25, 50, 60)]


class TestIsolation:
    def test_the_fit_never_sees_a_test_row_and_encoding_sees_all_once(self):
        data = dataset_of()
        seen_by_fit = []

        class Watched(Shift):
            def fit(self, pool, seed):
                fitted = super().fit(pool, seed)
                seen_by_fit.extend(data.items.read)
                data.items.read.clear()
                return fitted

        compute_features(data, Watched(), Seed(0))
        assert sorted(seen_by_fit) == list(range(40))
        assert data.items.read == list(range(N))

    @pytest.mark.parametrize("encoder", [Pixels(), Pixels(pca=2), Shift()])
    def test_features_do_not_change_with_rows_outside_the_pool(self, encoder):
        changed = X.copy()
        changed[40:] += 100
        one, other = (raw(compute_features(dataset_of(x), encoder, Seed(0))) for x in (X, changed))
        assert one[:40].tobytes() == other[:40].tobytes()
        assert one[40:].tobytes() != other[40:].tobytes()

    def test_labels_cannot_be_read_while_fitting_or_encoding(self):
        class Peeking(Shift):
            def fit(self, pool, seed):
                return pool.labels

        class PeekingLater(Shift):
            def fit(self, pool, seed):
                return type("Fitted", (), {"encode": lambda self, view: view.labels})()

        for encoder in (Peeking(), PeekingLater()):
            with pytest.raises(LeakError, match="nobody bought"):
                compute_features(dataset_of(), encoder, Seed(0))


class TestCache:
    def test_a_second_call_reads_no_item_and_gives_the_same(self, tmp_path):
        first = compute_features(dataset_of(), Pixels(pca=2), Seed(0), FolderCache(tmp_path))
        data = dataset_of()
        data.items._digest = dataset_of().items.fingerprint
        second = compute_features(data, Pixels(pca=2), Seed(0), FolderCache(tmp_path))
        assert data.items.read == []
        assert all(first[need].tobytes() == second[need].tobytes() for need in first)
        assert len(list(tmp_path.glob("*.npy"))) == 2

    def test_everything_the_features_depend_on_is_in_the_key(self):
        def changed(array, at, value):
            array = array.copy()
            array[at] = value
            return array

        cache = MemoryCache()
        variants = [
            (dataset_of(), Shift(), Seed(0)),
            (dataset_of(changed(X, (55, 1), 9)), Shift(), Seed(0)),
            (dataset_of(split=changed(SPLIT, 0, 3)), Shift(), Seed(0)),
            (dataset_of(X.astype(np.float64)), Shift(), Seed(0)),
            (dataset_of(), Shift(by=1.0), Seed(0)),
            (dataset_of(), Shift(), Seed(1)),
            (dataset_of(), Shift(), Seed(0, ("a",))),
            (dataset_of(), Pixels(), Seed(0)),
            (dataset_of(), Pixels(pca=4), Seed(0)),
        ]
        for count, variant in enumerate(variants, start=1):
            features = raw(compute_features(*variant, cache))
            assert len(cache._arrays) == 2 * count
            assert (features == raw(compute_features(*variant))).all()

    def test_labels_and_names_are_not(self):
        cache = MemoryCache()
        for data in (dataset_of(), dataset_of(labels=LABELS[::-1].copy()), dataset_of(name="renamed")):
            compute_features(data, Shift(), Seed(0), cache)
        assert len(cache._arrays) == 2

    def test_a_cache_that_was_emptied_in_part_is_filled_again(self, tmp_path):
        expected = compute_features(dataset_of(), Shift(), Seed(0), FolderCache(tmp_path))
        for path in sorted(tmp_path.glob("*.*")):
            content = path.read_bytes()
            path.unlink()
            again = compute_features(dataset_of(), Shift(), Seed(0), FolderCache(tmp_path))
            assert all(again[need].tobytes() == expected[need].tobytes() for need in expected)
            assert path.read_bytes() == content


@dataclass(frozen=True, kw_only=True)
class Coarse(Shift):
    """`Shift`, kept in half precision, as a network's features are."""

    storage = "float16"


class TestHalfPrecision:
    def test_is_how_raw_rows_are_kept_and_unit_rows_are_made_of_them(self, tmp_path):
        exact = raw(compute_features(dataset_of(), Shift(), Seed(0)))
        for cache in (None, FolderCache(tmp_path), FolderCache(tmp_path)):
            features = compute_features(dataset_of(), Coarse(), Seed(0), cache)
            assert raw(features).dtype == np.float16
            assert (raw(features) == exact.astype(np.float16)).all()
            unit = features[Features(frame="all")]
            assert unit.dtype == np.float32
            assert (unit == unit_rows(exact.astype(np.float16))).all()
            assert (unit != unit_rows(exact)).any()
        assert sorted(np.load(p).dtype.name for p in tmp_path.glob("*.npy")) == ["float16", "float32"]

    def test_views_widen_it(self):
        data = dataset_of()
        features = compute_features(data, Coarse(), Seed(0))
        for ids in (data.test, np.arange(N)):
            seen = View(data, ids, features=features)[Features(normalise=False)]
            assert seen.dtype == np.float32
            assert (seen == raw(features)[ids]).all()

    def test_numbers_it_cannot_hold_name_the_ids(self):
        x = X.copy()
        x[13] = 1e6
        with pytest.raises(DataError, match=r"features of encoder Coarse, kept as float16: .*ids 13"):
            compute_features(dataset_of(x), Coarse(), Seed(0))

    def test_is_in_the_key(self):
        cache = MemoryCache()

        @dataclass(frozen=True, kw_only=True)
        class Fine(Coarse):
            storage = "float32"

            def identity(self):
                return {**super().identity(), "name": "Coarse"}

        for encoder in (Coarse(), Fine()):
            compute_features(dataset_of(), encoder, Seed(0), cache)
        assert len(cache._arrays) == 4


class TestIdentity:
    @dataclass(frozen=True, kw_only=True)
    class FromFile(Shift):
        """Its setting is a path, of which only the content counts."""

        path: str

        def identity(self):
            return {"name": "from_file", "content": Path(self.path).read_text()}

    def test_replaces_settings_in_the_key(self, tmp_path):
        cache = MemoryCache()
        for name, content, entries in (("a", "1", 2), ("b", "1", 2), ("a", "2", 4)):
            (tmp_path / name).write_text(content)
            features = compute_features(dataset_of(), self.FromFile(path=str(tmp_path / name)), Seed(0), cache)
            assert len(cache._arrays) == entries
            assert Features(frame="all", encoder="from_file") in features


class TestStopped:
    def test_encoding_goes_on_where_it_stopped_with_the_same_bits(self, tmp_path, monkeypatch):
        monkeypatch.setattr(store, "CHUNK", 8)
        monkeypatch.setattr(parts, "RECORD_SECONDS", 0)
        expected = compute_features(dataset_of(), Shift(), Seed(0))
        data = dataset_of()

        class Stops(ArrayItems):
            def __getitem__(self, ids):
                if 30 in ids and len(ids) == 8:
                    raise KeyboardInterrupt
                return super().__getitem__(ids)

        with pytest.raises(KeyboardInterrupt):
            compute_features(replace(data, items=Stops(X)), Shift(), Seed(0), FolderCache(tmp_path))
        news = []
        with listening(lambda *told: news.append(told)):
            features = compute_features(data, Shift(), Seed(0), FolderCache(tmp_path))
        assert sorted(data.items.read) == sorted([*range(40), *range(24, N)])  # the fit sees the pool again
        assert news[:2] == [("encoding", 24, N), ("encoding", 32, N)]
        assert all(features[need].tobytes() == expected[need].tobytes() for need in expected)


class TestFrozenFeatures:
    def test_say_what_there_is_without_computing(self):
        calls = []

        def compute():
            calls.append(1)
            return compute_features(dataset_of(), Pixels(), Seed(0))

        lazy = FrozenFeatures("pixels", compute)
        assert set(lazy) == set(compute_features(dataset_of(), Pixels(), Seed(0)))
        assert len(lazy) == 4
        assert lazy.get(Features(frame="all", encoder="other")) is None
        view = View(dataset_of(), np.arange(3), features=lazy)
        with pytest.raises(NeedError, match="features computed for this session: Features"):
            view[Features(encoder="other")]
        assert view.take(np.arange(2)).items().shape == (2, 4)
        assert calls == []
        assert (view[Features(normalise=False)] == X[:3]).all()
        assert lazy[Features(frame="all")] is lazy[Features(frame="all", encoder="pixels")]
        assert calls == [1]


class TestBadEncoders:
    @pytest.mark.parametrize(
        ("encode", "message"),
        [
            (lambda v: np.where(v.ids[:, None] == 42, np.nan, v.items()).astype(np.float32), "ids 42"),
            (lambda v: v.items().astype(np.float64), "expected float32 features"),
            (lambda v: v.items()[1:], rf"of shape \({N}, d\), got float32 of shape \(59, 4\)"),
            (lambda v: v.items()[:, 0], "got float32 of shape"),
        ],
    )
    def test_are_refused(self, encode, message):
        class Bad(Shift):
            def fit(self, pool, seed):
                return type("Fitted", (), {"encode": lambda self, view: encode(view)})()

        cache = MemoryCache()
        with pytest.raises(DataError, match=message):
            compute_features(dataset_of(), Bad(), Seed(0), cache)
        assert not cache._arrays


class TestViewStream:
    def test_parts_make_the_whole(self):
        data = from_arrays("toy", X, LABELS)
        ids = np.arange(3, 50)
        view = View(data, ids, features={Features(frame="all"): X}, labels=LABELS[ids])
        parts = list(view.stream(10))
        assert [len(part) for part in parts] == [10, 10, 10, 10, 7]
        assert np.concatenate([part.items() for part in parts]).tolist() == X[ids].tolist()
        assert np.concatenate([part.labels for part in parts]).tolist() == LABELS[ids].tolist()
        assert np.concatenate([part[Features()] for part in parts]).tolist() == X[ids].tolist()

    def test_a_part_of_an_unlabelled_view_has_no_labels(self):
        part = next(View(from_arrays("toy", X, LABELS), np.arange(5)).stream(2))
        with pytest.raises(LeakError):
            _ = part.labels


def test_the_description_in_the_key_is_the_whole_configuration():
    assert describe(Shift(by=2.0)) == {"name": "Shift", "by": 2.0}


def test_N10_a_row_of_zeros_stays_zero_and_leaves_all_others_alone():
    others = np.flatnonzero(X.any(axis=1))
    assert len(others) == N - 1
    np.testing.assert_array_equal(unit_rows(X)[others], unit_rows(X[others]))
    np.testing.assert_array_equal(unit_rows(X)[7], 0.0)
    np.testing.assert_allclose(np.linalg.norm(unit_rows(X)[others].astype(float), axis=1), 1.0, atol=1e-6)
