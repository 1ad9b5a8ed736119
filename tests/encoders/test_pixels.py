"""Pixels: scale, projection, and features of an item that depend on that item alone, to the last bit."""

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from querist.data.memory import from_arrays
from querist.encoders import pixels
from querist.encoders.base import encoders
from querist.encoders.pixels import Pixels, flatten
from querist.errors import DataError, SpecError
from querist.evidence.view import View
from querist.registry import describe
from querist.seeds import Seed

RNG = np.random.default_rng(0)
X = RNG.normal(size=(1300, 6, 5)).astype(np.float32)


def dataset_of(x, pool=None):
    split = np.full(len(x), 3)
    split[slice(None) if pool is None else pool] = 0
    return from_arrays("toy", x, np.arange(len(x)) % 2, split=split, keys=[f"k{i}" for i in range(len(x))])


def encode(x, ids=None, pool=None, **settings):
    data = dataset_of(x, pool)
    fitted = Pixels(**settings).fit(View(data, data.pool), Seed(0))
    return fitted.encode(View(data, np.arange(len(x)) if ids is None else np.asarray(ids)))


class TestFlat:
    def test_flattens_in_reading_order_and_keeps_values(self):
        features = encode(X)
        assert features.dtype == np.float32
        assert (features == X.reshape(1300, 30)).all()

    def test_divides_uint8_by_255_and_nothing_else(self):
        x = np.arange(256, dtype=np.uint8).reshape(16, 4, 4)
        assert (encode(x) == (x.reshape(16, 16) / 255).astype(np.float32)).all()
        assert (encode(x.astype(np.int16)) == x.reshape(16, 16)).all()

    def test_of_no_rows(self):
        assert encode(X, ids=np.empty(0, np.int64)).shape == (0, 30)
        assert encode(X, ids=np.empty(0, np.int64), pca=3).shape == (0, 3)

    def test_a_number_beyond_float32_names_the_item(self):
        with pytest.raises(DataError, match="ids 7"):
            flatten(np.array([[1e300], [2.0]]), np.array([7, 9]))


class TestPca:
    def test_is_the_projection_on_the_singular_vectors_of_the_pool(self):
        pool = np.arange(0, 1300, 3)
        features = encode(X, pool=pool, pca=4)
        flat = X.reshape(1300, -1).astype(np.float64)
        mean = flat[pool].mean(axis=0)
        axes = np.linalg.svd(flat[pool] - mean, full_matrices=False)[2][:4].T
        expected = (flat - mean) @ axes
        signs = np.sign((expected * features).sum(axis=0))
        np.testing.assert_allclose(features, expected * signs, atol=1e-5)

    def test_more_dimensions_than_pool_items(self):
        wide = RNG.normal(size=(20, 400)).astype(np.float32)
        features = encode(wide, pca=19)
        distances = np.linalg.norm(wide[:, None] - wide[None], axis=2)
        # 20 items span 19 directions, so nothing is lost.
        np.testing.assert_allclose(np.linalg.norm(features[:, None] - features[None], axis=2), distances, atol=1e-3)

    @pytest.mark.parametrize(
        ("pool", "pca", "message"),
        [
            (None, 31, "31 components do not fit 1300 pool items of 30 dimensions; the most is 30"),
            (slice(0, 12), 13, "13 components do not fit 12 pool items of 30 dimensions; the most is 12"),
        ],
    )
    def test_more_components_than_fit(self, pool, pca, message):
        with pytest.raises(SpecError, match=message):
            encode(X, pool=pool, pca=pca)

    @pytest.mark.parametrize("pca", [0, -3])
    def test_a_number_that_is_none(self, pca):
        with pytest.raises(SpecError, match=f"at least 1, or None, got {pca}"):
            Pixels(pca=pca)

    def test_the_most_that_fits_does(self):
        assert encode(X, pca=30).shape == (1300, 30)
        assert encode(X, pool=slice(0, 12), pca=12).shape == (1300, 12)


@pytest.mark.parametrize("pca", [None, 1, 5, 17])
class TestRowsAreIndependent:
    def test_of_which_others_are_encoded(self, pca):
        whole = encode(X, pca=pca)
        ids = np.sort(RNG.choice(1300, 700, replace=False))
        for some in (ids, ids[:1], ids[-3:], np.arange(511, 514), np.arange(1, 1300)):
            assert encode(X, ids=some, pca=pca).tobytes() == whole[some].tobytes()

    def test_of_the_values_of_others(self, pca):
        changed = X.copy()
        changed[900:] = RNG.normal(size=changed[900:].shape) * 100
        pool = np.arange(900)
        assert encode(X, pool=pool, pca=pca)[:900].tobytes() == encode(changed, pool=pool, pca=pca)[:900].tobytes()

    def test_of_their_place(self, pca):
        # The pool stays in place, so the axes do; the other rows are shuffled.
        order = np.concatenate([np.arange(900), 900 + RNG.permutation(400)])
        pool = np.arange(900)
        assert encode(X[order], pool=pool, pca=pca).tobytes() == encode(X, pool=pool, pca=pca)[order].tobytes()

    @pytest.mark.parametrize("block", [64, 96, 1024])
    def test_of_the_block_size_of_encoding(self, pca, block, monkeypatch):
        data = dataset_of(X)
        fitted = Pixels(pca=pca).fit(View(data, data.pool), Seed(0))
        view = View(data, np.arange(1300))
        whole = fitted.encode(view)
        monkeypatch.setattr(pixels, "BLOCK", block)
        assert fitted.encode(view).tobytes() == whole.tobytes()


@pytest.mark.parametrize("shape", [(1024, 300), (400, 700)])
def test_neither_threads_nor_the_seed_change_a_bit(shape):
    data = dataset_of(RNG.normal(size=shape).astype(np.float32))
    view = View(data, data.pool)
    results = []
    for limit in (1, 2):
        with threadpool_limits(limit):
            fitted = Pixels(pca=5).fit(view, Seed(limit))
            # The axes too, for rounding features to float32 would hide a difference.
            results.append((fitted.axes.tobytes(), fitted.encode(view).tobytes()))
    assert results[0] == results[1]


def test_nothing_is_read_but_the_pool_while_fitting():
    data = dataset_of(X, pool=slice(100, 300))
    seen = []

    class Recorder(View):
        def items(self):
            seen.extend(self.ids.tolist())
            return super().items()

        def stream(self, rows):
            return (Recorder(data, part.ids) for part in super().stream(rows))

    Pixels(pca=3).fit(Recorder(data, data.pool), Seed(0))
    assert set(seen) == set(range(100, 300))


def test_is_registered():
    assert describe(encoders.build("pixels(pca=7)")) == {"name": "pixels", "pca": 7}
    assert encoders.build({"name": "pixels"}) == Pixels()
