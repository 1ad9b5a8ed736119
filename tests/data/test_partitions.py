"""Stored partitions: round trips, verification at every load, and the draw."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from querist.data.manifest import SPLITS, Manifest
from querist.data.memory import from_arrays
from querist.data.partitions import (
    PARTS,
    Partition,
    apply_partition,
    draw_partition,
    read_partition,
    write_partition,
)
from querist.errors import DataError
from querist.seeds import Seed

SEED = Seed(7).child("digits", 3)


def manifest_of(n, split=None, keys=None, classes=("a", "b")):
    split = np.zeros(n, np.int8) if split is None else np.array(split, np.int8)
    return Manifest("toy", tuple(keys or (f"toy/{i}" for i in range(n))), split, classes)


def partition_of(manifest, **parts):
    parts = {"pool": [], "test": [], **parts}
    arrays = {name: np.array(ids, np.int64) for name, ids in parts.items()}
    return Partition(manifest=manifest, seed=SEED, rule="given", **arrays)


def rewrite(path, **changes):
    """Change arrays of a stored partition behind its back; None removes one."""
    with np.load(path) as archive:
        arrays = {name: archive[name] for name in archive.files} | changes
    np.savez(path, **{name: array for name, array in arrays.items() if array is not None})


assignments = st.lists(st.integers(0, 4), min_size=1, max_size=30)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(assignments, st.randoms())
def test_round_trip(tmp_path, where, random):
    manifest = manifest_of(len(where))
    parts = {name: [i for i, w in enumerate(where) if w == j] for j, name in enumerate(PARTS)}
    for ids in parts.values():
        random.shuffle(ids)
    stored = partition_of(manifest, **parts)
    write_partition(tmp_path / "p.npz", stored)
    read = read_partition(tmp_path / "p.npz", manifest)
    for name, ids in parts.items():
        assert getattr(read, name).tolist() == ids
        assert getattr(read, name).dtype == np.int64
    assert (read.seed, read.rule, read.fingerprint) == (SEED, "given", stored.fingerprint)


@given(assignments, st.data())
def test_an_id_in_two_parts_or_twice_is_refused(where, data):
    parts = {name: [i for i, w in enumerate(where) if w == j] for j, name in enumerate(PARTS)}
    name = data.draw(st.sampled_from(PARTS))
    taken = [i for i, w in enumerate(where) if w < 4]
    if not taken:
        return
    item = data.draw(st.sampled_from(taken))
    parts[name].append(item)
    with pytest.raises(DataError, match=rf"\b{item}\b"):
        partition_of(manifest_of(len(where)), **parts)


@pytest.mark.parametrize("ids", [[-1], [5]])
def test_ids_out_of_range_are_refused(ids):
    with pytest.raises(DataError, match=r"test ids of the partition to be in 0\.\.4"):
        partition_of(manifest_of(5), test=ids)


def test_the_file_is_the_same_every_time_and_needs_no_pickle(tmp_path):
    partition = draw_partition(manifest_of(50), SEED, test=10, initial=5)
    write_partition(tmp_path / "a.npz", partition)
    write_partition(tmp_path / "b.npz", draw_partition(manifest_of(50), SEED, test=10, initial=5))
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    with np.load(tmp_path / "a.npz", allow_pickle=False) as archive:
        assert {archive[name].dtype for name in PARTS} == {np.dtype(np.int64)}


class TestAnotherManifest:
    @pytest.fixture
    def path(self, tmp_path):
        write_partition(tmp_path / "p.npz", draw_partition(manifest_of(6), SEED, test=2))
        return tmp_path / "p.npz"

    @pytest.mark.parametrize(
        ("manifest", "difference"),
        [
            (manifest_of(7), "it was drawn from 6 items, 'toy' has 7"),
            (manifest_of(6, classes=("a", "c")), r"classes \['a', 'b'\], 'toy' has \['a', 'c'\]"),
            (manifest_of(6, keys=["toy/0", "toy/1", "x", "toy/3", "y", "z"]), "item 2 was another one.*'x'"),
            (manifest_of(6, split=[0, 0, 0, 1, 0, 3]), r"item 3 \('toy/3'\) was in split 'pool', now it is in 'test'"),
        ],
    )
    def test_is_refused_with_the_first_difference(self, path, manifest, difference):
        with pytest.raises(DataError, match=difference):
            read_partition(path, manifest)

    def test_also_when_applied(self):
        partition = draw_partition(manifest_of(6), SEED, test=2)
        data = from_arrays("toy", np.zeros((7, 1)), np.arange(7) % 2, classes=("a", "b"))
        with pytest.raises(DataError, match="drawn from 6 items, 'toy' has 7"):
            apply_partition(data, partition)

    def test_a_new_name_is_no_other_manifest(self, path):
        assert len(read_partition(path, replace(manifest_of(6), name="renamed")).test) == 2


class TestDamage:
    @pytest.fixture
    def path(self, tmp_path):
        write_partition(tmp_path / "p.npz", partition_of(manifest_of(6), pool=[0, 1, 2], test=[3, 4], initial=[5]))
        return tmp_path / "p.npz"

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"test": np.array([2, 4])}, "2 are in both pool and test"),
            ({"test": np.array([4, 4])}, "4 occur more than once"),
            ({"test": np.array([3, 6])}, r"in 0\.\.5, got 6"),
            ({"test": np.array([3.0, 4.0])}, "integers, got float64"),
            ({"test": np.array([3])}, "its parts were changed"),
            ({"initial": np.empty(0, np.int64), "pool": np.array([0, 1, 2, 5])}, "its parts were changed"),
            ({"validation": None}, "it lacks 'validation'"),
            ({"about": None}, "it lacks 'about'"),
            ({"about": np.array("{}")}, "it lacks 'format'"),
            ({"about": np.array('{"format": 9}')}, "format 9, this version reads format 1"),
            ({"about": np.array("not json")}, "expected a stored partition"),
        ],
    )
    def test_is_found_at_load(self, path, changes, message):
        rewrite(path, **changes)
        with pytest.raises(DataError, match=message):
            read_partition(path, manifest_of(6))

    def test_missing_and_cut(self, path):
        with pytest.raises(DataError, match="there is no such file"):
            read_partition(path.with_name("none.npz"), manifest_of(6))
        path.write_bytes(path.read_bytes()[:-40])
        with pytest.raises(DataError, match=re.escape(str(path))):
            read_partition(path, manifest_of(6))

    def test_what_is_stored_beside_the_arrays(self, path):
        with np.load(path) as archive:
            about = json.loads(str(archive["about"]))
        assert about["manifest"] == manifest_of(6).fingerprint
        assert (about["format"], about["rule"], about["seed"]) == (1, "given", [7, "digits", 3])


class TestApply:
    def test_gives_the_dataset_new_splits(self):
        data = from_arrays("toy", np.arange(6.0)[:, None], [0, 1] * 3)
        partition = partition_of(data.manifest, pool=[0, 4], test=[1], validation=[3], initial=[5])
        applied = apply_partition(data, partition)
        assert [SPLITS[s] for s in applied.manifest.split] == ["pool", "test", "left_out", "validation", "pool", "pool"]
        assert applied.pool.tolist() == [0, 4, 5]
        assert applied.test.tolist() == [1]
        assert applied.items is data.items
        assert applied.fingerprint != data.fingerprint
        assert data.pool.tolist() == list(range(6))


class TestDraw:
    @given(st.integers(0, 5), st.integers(0, 5), st.integers(0, 5), st.integers(0, 3))
    def test_sizes_are_exact_and_everything_is_covered(self, test, validation, initial, entropy):
        split = [0] * 20 + [1, 1, 2, 3]
        part = draw_partition(
            manifest_of(24, split), Seed(entropy), test=test, validation=validation, initial=initial
        )  # fmt: skip
        assert (len(part.test), len(part.validation), len(part.initial)) == (test + 2, validation + 1, initial)
        assert {20, 21} <= set(part.test.tolist())
        assert sorted(np.concatenate([part.pool, part.test, part.validation, part.initial])) == list(range(23))

    def test_parts_do_not_disturb_one_another(self):
        def draw(**sizes):
            return draw_partition(manifest_of(100), SEED, **sizes)

        small = draw(test=10, initial=5)
        assert draw(test=10, initial=9).initial[:5].tolist() == small.initial.tolist()
        kept = np.intersect1d(draw(test=10, initial=20, validation=20).initial, draw(test=10, initial=20).initial)
        assert len(kept) >= 10
        assert draw(test=10, validation=20).test.tolist() == small.test.tolist()
        assert draw_partition(manifest_of(100), Seed(8), test=10).test.tolist() != small.test.tolist()

    @pytest.mark.parametrize("sizes", [{"test": 101}, {"test": 60, "initial": 41}, {"initial": -1}])
    def test_sizes_that_do_not_fit(self, sizes):
        with pytest.raises(DataError, match="the 100 items of the pool"):
            draw_partition(manifest_of(100), SEED, **sizes)
