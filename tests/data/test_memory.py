"""Datasets from arrays: labels, splits, keys, fingerprints, and every kind of bad input."""

from hashlib import sha256

import numpy as np
import pytest
from hypothesis import given, strategies as st
from hypothesis.extra import numpy as hnp

from querist.data import memory
from querist.data.dataset import Dataset, datasets
from querist.data.memory import ArrayItems, content_digest, from_arrays
from querist.errors import DataError, LeakError, SpecError
from querist.strategies.base import strategies

X = np.arange(12, dtype=np.float32).reshape(6, 2)


class TestLabels:
    def test_names_are_numbered_in_sorted_order(self):
        data = from_arrays("toy", X, ["dog", "cat", "", None, "dog", "ant"])
        assert data.classes == ("ant", "cat", "dog")
        assert data.labels.unseal().tolist() == [2, 1, -1, -1, 2, 0]

    def test_declared_order_wins_and_may_hold_absent_classes(self):
        data = from_arrays("toy", X, ["dog", "cat", "", None, "dog", "ant"], classes=["dog", "emu", "cat", "ant"])
        assert data.labels.unseal().tolist() == [0, 2, -1, -1, 0, 3]
        assert data.c == 4

    @pytest.mark.parametrize(
        "labels",
        [
            [0, 1, 2, None, -1, 1],
            list(np.array([0, 1, 2, -1, -1, 1])),
            np.array([0, 1, 2, -1, -1, 1], np.int8),
            np.array([[0, 1, 2, -1, -1, 1]]).T,
        ],
    )
    def test_numbers(self, labels):
        data = from_arrays("toy", X, labels)
        assert data.labels.unseal().tolist() == [0, 1, 2, -1, -1, 1]
        assert data.classes == ("0", "1", "2")

    def test_a_missing_value_of_pandas_is_unlabelled(self):
        labels = np.array(["a", float("nan"), "b", "a", "a", "a"], dtype=object)
        assert from_arrays("toy", X, labels).labels.unseal().tolist() == [0, -1, 1, 0, 0, 0]

    def test_without_labels_everything_is_unlabelled(self):
        assert from_arrays("toy", X, classes=["a", "b"]).labels.unseal().tolist() == [-1] * 6

    def test_labels_are_sealed(self):
        with pytest.raises(LeakError):
            np.asarray(from_arrays("toy", X, [0, 1, 0, 1, 0, 1]).labels)

    @pytest.mark.parametrize(
        ("labels", "classes", "message"),
        [
            ([0, 1, 0], None, "3 labels for 6 items"),
            ([0, 1, 2, 3, 0, 1], ["a", "b", "c"], r"0\.\.2 .*got 3 in rows 3"),
            ([0, 1, -2, 1, 0, 1], ["a", "b"], "got -2 in rows 2"),
            ([1, 2, 3, 1, 2, 3], None, "no item has class 0"),
            ([0, 1, 10**12, 1, 0, 1], None, "reach 1000000000000 but no item has class 2"),
            (["a", "b", "c", "a", "a", "a"], ["a", "b"], "row 2 has the label 'c'"),
            (["a"] * 6, None, "at least two distinct declared classes"),
            ([0] * 6, None, "at least two distinct declared classes"),
            ([0.0, 1.0, 0.0, 1.0, 0.0, 1.0], None, "got 0.0 in row 0"),
            ([0, "a", 1, 1, 1, 1], None, "got 'a' in row 1"),
            ([True, False] * 3, None, "got True in row 0"),
            (np.eye(6), None, "one-hot"),
            (None, None, "classes must be declared"),
            ([-1] * 6, None, "classes must be declared"),
            ([""] * 6, None, "classes must be declared"),
        ],
    )
    def test_what_is_refused(self, labels, classes, message):
        with pytest.raises(DataError, match=message):
            from_arrays("toy", X, labels, classes=classes)


class TestSplits:
    def test_without_a_split_everything_is_pool(self):
        data = from_arrays("toy", X, [0, 1] * 3)
        assert data.pool.tolist() == list(range(6))
        assert data.test.tolist() == []

    @pytest.mark.parametrize(
        "split", [["pool", "train", "test", "validation", "val", "left_out"], np.array([0, 0, 1, 2, 2, 3], np.uint8)]
    )
    def test_names_and_positions(self, split):
        data = from_arrays("toy", X, [0, 1] * 3, split=split)
        assert data.manifest.split.tolist() == [0, 0, 1, 2, 2, 3]

    @pytest.mark.parametrize(
        ("split", "message"),
        [
            (["pool"] * 5 + ["tset"], "row 5 has the unknown split 'tset'. Known: pool, test, validation, left_out"),
            ([0, 1, 2, 3, 4, 0], "unknown splits 4 in rows 4. Known: 0 pool, 1 test"),
            (["pool"] * 4, r"shape \(4,\) for 6 items"),
            ([True] * 6, "unknown split True"),
        ],
    )
    def test_unknown_ones_are_refused(self, split, message):
        with pytest.raises(DataError, match=message):
            from_arrays("toy", X, [0, 1] * 3, split=split)

    def test_a_test_item_needs_a_label(self):
        with pytest.raises(DataError, match="test items need labels, rows 5 have none"):
            from_arrays("toy", X, [0, 1, 0, 1, 0, -1], split=[0, 0, 0, 0, 1, 1])

    def test_a_drawn_test_share_takes_labelled_items_only(self):
        labels = np.tile([0, 1, -1], 40)
        data = from_arrays("toy", np.zeros((120, 1)), labels, test_share=0.25)
        assert len(data.test) == 20
        assert (labels[data.test] >= 0).all()
        assert len(data.pool) == 100

    def test_the_draw_depends_on_its_seed_and_shows_in_the_fingerprint(self):
        def draw(**options):
            return from_arrays("toy", np.zeros((50, 1)), np.arange(50) % 2, **options)

        first, again, other = draw(test_share=0.2), draw(test_share=0.2), draw(test_share=0.2, split_seed=1)
        assert first.test.tolist() == again.test.tolist() != other.test.tolist()
        assert len({d.fingerprint for d in (first, other, draw(test_share=0.4), draw())}) == 4
        assert set(first.test) < set(draw(test_share=0.4).test)

    @pytest.mark.parametrize("share", [0.0, 1.0, -0.1, 1.5, 0.01])
    def test_a_share_that_leaves_nothing_on_one_side_is_refused(self, share):
        with pytest.raises(DataError, match="test_share"):
            from_arrays("toy", X, [0, 1] * 3, test_share=share)

    def test_a_share_beside_a_test_split_is_refused(self):
        with pytest.raises(DataError, match="there is a test split already"):
            from_arrays("toy", X, [0, 1] * 3, split=[0, 0, 0, 0, 0, 1], test_share=0.5)


class TestKeys:
    def test_default_and_given(self):
        assert from_arrays("toy", X, [0, 1] * 3).manifest.keys[:2] == ("toy/0", "toy/1")
        assert from_arrays("toy", X, [0, 1] * 3, keys=range(6)).manifest.keys == tuple("012345")

    @pytest.mark.parametrize(
        ("keys", "message"),
        [
            (["a", "b", "a", "d", "e", "f"], "a occur more than once"),
            (["a", "b"], r"shape \(2,\) for 6"),
            (["a", "", "c", "d", "e", "f"], "row 1 has an empty id"),
        ],
    )
    def test_bad_keys(self, keys, message):
        with pytest.raises(DataError, match=message):
            from_arrays("toy", X, [0, 1] * 3, keys=keys)


class TestItems:
    @pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
    def test_values_that_are_not_finite_are_named_by_row(self, value):
        x = X.copy()
        x[[2, 5], 1] = value
        with pytest.raises(DataError, match="2 of 6 rows hold NaN or infinite values, ids 2, 5"):
            from_arrays("toy", x, [0, 1] * 3)

    @pytest.mark.parametrize(
        ("x", "message"),
        [
            (np.array([[1], "a"], dtype=object), "pickle"),
            (np.array([["a"], ["b"]]), "numbers"),
            (np.zeros(6), r"got shape \(6,\)"),
            (np.zeros((0, 3)), r"got shape \(0, 3\)"),
        ],
    )
    def test_items_of_another_kind(self, x, message):
        with pytest.raises(DataError, match=message):
            from_arrays("toy", x, [0, 1] * 3)

    @pytest.mark.parametrize(
        ("shape", "shown"), [((2, 4, 3), (4, 3)), ((2, 4, 3, 1), (4, 3)), ((2, 4, 3, 3), (4, 3, 3))]
    )
    def test_uint8_images_have_pictures(self, shape, shown):
        x = np.arange(np.prod(shape), dtype=np.uint8).reshape(shape)
        picture = from_arrays("toy", x, [0, 1]).picture
        assert picture is not None
        assert picture(1).tolist() == x[1].reshape(shown).tolist()

    def test_other_items_have_none(self):
        assert from_arrays("toy", X, [0, 1] * 3).picture is None
        assert from_arrays("toy", np.zeros((2, 4, 4)), [0, 1]).picture is None


ARRAYS = hnp.arrays(
    st.sampled_from([np.float32, np.int64, np.uint8]),
    hnp.array_shapes(min_dims=2, max_dims=3, max_side=5),
    elements=st.integers(0, 9),
)


class TestFingerprint:
    @given(ARRAYS)
    def test_is_the_hash_of_dtype_shape_and_bytes(self, array):
        text = f"{array.dtype.newbyteorder('<').str} {array.shape}".encode()
        assert content_digest(array) == sha256(text + array.tobytes()).hexdigest()[:32]

    @given(ARRAYS, st.data())
    def test_every_value_the_shape_and_the_dtype_count(self, array, data):
        changed = array.copy()
        place = data.draw(st.integers(0, array.size - 1))
        changed.flat[place] += 1
        others = [changed, array.reshape(1, *array.shape), array.astype(np.float64)]
        assert content_digest(array) not in {content_digest(other) for other in others}

    def test_neither_layout_nor_block_size_nor_memory_map_count(self, tmp_path, monkeypatch):
        array = np.random.default_rng(0).normal(size=(37, 5))
        expected = content_digest(array)
        np.save(tmp_path / "a.npy", array)
        assert content_digest(np.asfortranarray(array)) == expected
        assert content_digest(array.astype(">f8")) == expected
        assert content_digest(np.load(tmp_path / "a.npy", mmap_mode="r")) == expected
        monkeypatch.setattr(memory, "BLOCK_BYTES", 100)
        assert content_digest(array) == expected

    def test_of_a_dataset_covers_items_labels_split_keys_and_classes_but_no_name(self):
        def make(name="toy", x=X, labels=(0, 1, 0, 1, 0, 1), split=(0, 0, 0, 0, 0, 1), keys=tuple("abcdef"), cls="xyz"):
            return from_arrays(name, x, labels, split=split, keys=keys, classes=tuple(cls)).fingerprint

        variants = [
            make(),
            make(x=X + 1),
            make(labels=(0, 1, 0, 1, 0, 2)),
            make(split=(0, 0, 0, 0, 1, 1)),
            make(keys=tuple("abcdeg")),
            make(cls="xyw"),
        ]
        assert len(set(variants)) == len(variants)
        assert make(name="other") == make()

    def test_items_cannot_be_written_through(self):
        with pytest.raises(ValueError, match="read-only"):
            ArrayItems(X.copy())._array[0] = 1


class TestRegistry:
    def test_a_dataset_that_exists_already_passes_through(self):
        data = from_arrays("toy", X, [0, 1] * 3)
        assert datasets.build(data) is data

    def test_but_not_through_another_registry(self):
        with pytest.raises(SpecError, match="expected the name of a strategy"):
            strategies.build(from_arrays("toy", X, [0, 1] * 3))

    def test_by_name(self):
        assert isinstance(datasets.build("digits"), Dataset)
        assert {"digits", "npz", "npy", "table"} <= set(datasets.names())
