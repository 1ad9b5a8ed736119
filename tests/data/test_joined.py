"""Two datasets as one, and which items they share."""

import numpy as np
import pytest

from querist.data.dataset import Dataset
from querist.data.joined import copies_in, joined
from querist.data.memory import from_arrays
from querist.errors import DataError, LeakError
from querist.progress import listening

RNG = np.random.default_rng(0)


def dataset(x, name="data", **settings) -> Dataset:
    return from_arrays(name, x, np.arange(len(x)) % 2, classes=("no", "yes"), **settings)


def rows(n, seed=0):
    return np.random.default_rng(seed).normal(size=(n, 3)).astype(np.float32)


class TestJoined:
    def test_items_are_those_of_the_first_and_then_those_of_the_second(self):
        a, b = dataset(rows(5), "a"), dataset(rows(4, 1), "b")
        both = joined(a, np.array([4, 1]), b)
        expected = np.concatenate([a.items[np.array([4, 1])], b.items[np.arange(4)]])
        order = np.array([5, 0, 2, 1, 3])
        assert np.array_equal(both.items[np.arange(6)], expected)
        assert np.array_equal(both.items[order], expected[order])
        assert len(both.items) == len(both.manifest) == 6
        assert both.manifest.keys[:3] == ["first/a/4", "first/a/1", "second/b/0"]

    def test_its_pool_is_the_first_and_the_pool_of_the_second(self):
        b = dataset(rows(4, 1), "b", split=["pool", "test", "validation", "pool"])
        both = joined(dataset(rows(5)), np.array([0]), b)
        assert both.pool.tolist() == [0, 1, 4]
        assert not len(both.test)

    def test_it_knows_no_label(self):
        both = joined(dataset(rows(5)), np.array([0]), dataset(rows(4, 1)))
        assert not both.labels.known.any()
        with pytest.raises(LeakError):
            np.asarray(both.labels)

    def test_content_and_choice_change_the_fingerprint(self):
        a, b, c = dataset(rows(5)), dataset(rows(4, 1)), dataset(rows(4, 2))
        prints = {
            joined(a, np.array([0]), b).fingerprint,
            joined(a, np.array([1]), b).fingerprint,
            joined(a, np.array([0]), c).fingerprint,
        }
        assert len(prints) == 3
        assert joined(a, np.array([0]), b).fingerprint in prints

    def test_items_of_different_kinds_are_refused_unless_they_are_pictures(self):
        other = dataset(rows(4).astype(np.float64)[:, :2])
        with pytest.raises(DataError, match=r"float32 of shape \(3,\) in 'data' and float64 of shape \(2,\)"):
            joined(dataset(rows(5)), np.array([0]), other)
        joined(dataset(rows(5)), np.empty(0, np.int64), other)

    def test_pictures_of_two_sizes_are_looked_at_one_by_one_but_not_stacked(self):
        small, large = (dataset(RNG.integers(0, 256, (3, s, s), dtype=np.uint8)) for s in (8, 12))
        both = joined(small, np.array([2, 0]), large)
        assert [both.picture(i).shape for i in range(5)] == [(8, 8)] * 2 + [(12, 12)] * 3
        assert np.array_equal(both.picture(0), small.picture(2))
        assert np.array_equal(both.picture(3), large.picture(1))
        with pytest.raises(DataError, match="Take an encoder of images"):
            both.items[np.arange(5)]


class TestCopies:
    def test_equal_items_are_found_whatever_they_are_called(self):
        x = rows(6)
        a, b = dataset(x, "a"), dataset(np.concatenate([rows(4, 1), x[[3, 5]]]), "b")
        assert copies_in(a, np.arange(6), b).tolist() == [-1, -1, -1, 4, -1, 5]

    def test_equal_names_are_no_equal_items(self):
        a, b = dataset(rows(6), "a"), dataset(rows(6, 1), "a")
        assert (copies_in(a, np.arange(6), b) < 0).all()

    def test_shape_and_float_precision_do_not_hide_a_copy(self):
        x = rows(4).astype(np.float16)
        other = dataset(x.astype(np.float64).reshape(4, 3, 1))
        assert copies_in(dataset(x), np.arange(4), other).tolist() == [0, 1, 2, 3]
        assert (copies_in(dataset(rows(4)), np.arange(4), dataset(rows(4)[:, :2])) < 0).all()

    def test_the_sign_of_zero_does_not_hide_a_copy(self):
        x = np.array([[0.0, 1.0], [-0.0, 2.0], [3.0, 0.0]], np.float32)
        assert copies_in(dataset(x), np.arange(3), dataset(-(-x + 0))).tolist() == [0, 1, 2]

    def test_other_scales_and_smaller_pictures_are_not_found(self):
        """As the manual says: only equal content is."""
        x = RNG.integers(1, 256, (4, 8, 8), dtype=np.uint8)
        pictures = dataset(x)
        for disguised in (dataset(x.astype(np.float32) / 255), dataset(x[:, ::2, ::2].copy()), dataset(255 - x)):
            assert (copies_in(pictures, np.arange(4), disguised) < 0).all()

    def test_progress_is_told(self):
        heard = []
        with listening(lambda *news: heard.append(news)):
            copies_in(dataset(rows(5)), np.arange(3), dataset(rows(4, 1), "this"))
        assert heard[-1] == ("looking for copies", 3, 3)
        assert ("looking at this", 4, 4) in heard

    def test_of_several_copies_the_one_outside_of_the_pool_counts(self):
        x = rows(3)
        twice = dataset(np.concatenate([x, x]), split=["test"] * 3 + ["pool"] * 3)
        assert copies_in(dataset(x), np.arange(3), twice).tolist() == [0, 1, 2]
        other_way = dataset(np.concatenate([x, x]), split=["pool"] * 3 + ["test"] * 3)
        assert copies_in(dataset(x), np.arange(3), other_way).tolist() == [3, 4, 5]

    def test_keys_that_are_hashes_of_content_count(self):
        names = [f"{i:032x}" for i in range(4)]
        a = dataset(rows(4), keys=names)
        b = dataset(rows(3, 1)[:, :2], keys=[names[2], "x", names[0]])
        assert copies_in(a, np.arange(4), b).tolist() == [2, -1, 0, -1]
        resized = dataset(rows(3, 1), keys=[names[2], "x", names[0]])
        assert copies_in(a, np.arange(4), resized).tolist() == [2, -1, 0, -1]
        numbers = [str(i) for i in range(4)]
        assert (copies_in(dataset(rows(4), keys=numbers), np.arange(4), dataset(rows(4, 1), keys=numbers)) < 0).all()

    def test_twin_against_comparison_of_all_pairs(self):
        x, y = (RNG.integers(0, 2, (n, 4), dtype=np.uint8).reshape(n, 2, 2) for n in (40, 30))
        found = copies_in(dataset(x), np.arange(40), dataset(y))
        for i, j in enumerate(found.tolist()):
            same = np.flatnonzero((y == x[i]).all(axis=(1, 2)))
            assert (j in same) if len(same) else j == -1
