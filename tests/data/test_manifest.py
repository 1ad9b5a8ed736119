"""The manifest is a frozen, checked list of items with a fingerprint of everything in it."""

import dataclasses
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from querist.data.manifest import LEFT_OUT, POOL, SPLITS, TEST, VALIDATION, Manifest, NumberedKeys
from querist.errors import DataError

# Keys are printable: file names, not control characters.
KEYS = st.lists(st.text(st.characters(exclude_categories=["C"]), min_size=1, max_size=5), unique=True, max_size=8)


def manifest(keys=("a", "b", "c"), split=(0, 1, 0), classes=("no", "yes"), name="toy"):
    return Manifest(name, tuple(keys), np.array(split, dtype=np.int64), tuple(classes))


@settings(deadline=None)
@given(KEYS, st.data())
def test_splits_part_the_ids(keys, data):
    split = data.draw(st.lists(st.integers(0, 3), min_size=len(keys), max_size=len(keys)))
    made = manifest(keys, split)
    assert len(made) == len(keys)
    parts = [made.ids(name) for name in SPLITS]
    assert sorted(np.concatenate(parts).tolist()) == list(range(len(keys)))
    for code, ids in enumerate(parts):
        assert ids.tolist() == [i for i, s in enumerate(split) if s == code]
        assert ids.dtype == np.int64
        assert not ids.flags.writeable


def test_splits_have_their_places():
    # Stored partitions and manifests hold the positions.
    assert SPLITS == (POOL, TEST, VALIDATION, LEFT_OUT) == ("pool", "test", "validation", "left_out")


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"split": (0, 1)}, "one split per item, got 2 splits for 3 items"),
        ({"keys": ("a", "b", "a")}, "distinct ids, but a occur more than once"),
        ({"classes": ("only",)}, "two distinct declared classes"),
        ({"classes": ()}, "two distinct declared classes"),
        ({"classes": ("x", "x")}, "two distinct declared classes"),
        ({"split": (0, 4, 0)}, "positions in .*, got 0, 4"),
        ({"split": (0, -1, 0)}, "got -1, 0"),
    ],
)
def test_what_is_no_manifest_is_refused(wrong, says):
    with pytest.raises(DataError, match=says):
        manifest(**wrong)


def test_a_manifest_is_frozen():
    made = manifest()
    with pytest.raises(dataclasses.FrozenInstanceError):
        made.name = "other"
    with pytest.raises(ValueError, match="read-only"):
        made.split[0] = 1
    assert made.split.dtype == np.int8


def test_q10_the_fingerprint_sees_keys_order_splits_and_classes_and_not_the_name():
    base = manifest()
    assert base.fingerprint == manifest(name="renamed").fingerprint
    assert len(base.fingerprint) == 32
    others = [
        manifest(keys=("a", "b", "d")), manifest(keys=("b", "a", "c")), manifest(split=(0, 0, 1)),
        manifest(split=(0, 1, 2)), manifest(classes=("yes", "no")), manifest(classes=("no", "yes", "maybe")),
        manifest(keys=("a", "b"), split=(0, 1)), manifest(keys=("ab", "c", "d")), manifest(classes=("n", "oyes")),
    ]  # fmt: skip
    assert len({base.fingerprint, *(other.fingerprint for other in others)}) == len(others) + 1


@settings(deadline=None, max_examples=60)
@given(KEYS, KEYS)
def test_different_keys_have_different_fingerprints(one, other):
    if len(one) == len(other) and one != other:
        split = [0] * len(one)
        assert manifest(one, split).fingerprint != manifest(other, split).fingerprint


def test_the_fingerprint_is_golden():
    # Caches and run records are found by it.
    assert manifest().fingerprint == "32a20feab129973a0198a83737e85f39"


@given(st.text(max_size=4), st.integers(0, 9), st.integers(-12, 12), st.integers(-12, 12))
def test_numbered_keys_are_the_keys_written_out(prefix, n, start, stop):
    keys, written = NumberedKeys(prefix, n), tuple(f"{prefix}/{i}" for i in range(n))
    assert keys == written == tuple(keys)
    assert len(keys) == n
    assert keys[start:stop] == written[start:stop]
    for i in range(-n, n):
        assert keys[i] == keys[np.int64(i)] == written[i]
    with pytest.raises(IndexError):
        keys[n]
    assert manifest(keys, [0] * n).fingerprint == manifest(written, [0] * n).fingerprint


def test_keys_are_hashed_in_parts_as_one_list(monkeypatch):
    whole = manifest("abcdefg", [0] * 7).fingerprint
    monkeypatch.setattr("querist.data.manifest.HASHED", 3)
    assert manifest("abcdefg", [0] * 7).fingerprint == whole


def test_a_million_numbered_keys_take_no_memory():
    tracemalloc.start()
    made = Manifest("large", NumberedKeys("row", 1_000_000), np.zeros(1_000_000, np.int8), ("a", "b"))
    assert made.fingerprint
    assert tracemalloc.get_traced_memory()[1] < 40e6
    tracemalloc.stop()
