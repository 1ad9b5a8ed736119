"""The datasets ``npz`` and ``npy``: round trips and every kind of broken file."""

import pickle
import re
from pathlib import Path

import numpy as np
import pytest

from querist.data.dataset import datasets
from querist.data.files import npy, npz, read_npy
from querist.errors import DataError, SpecError, UnknownNameError

X = np.random.default_rng(0).normal(size=(8, 3)).astype(np.float32)
Y = np.array([0, 1, 2, 0, 1, 2, -1, 0])
SPLIT = np.array([0, 0, 0, 0, 0, 0, 3, 1])


@pytest.fixture
def save(tmp_path):
    def save_npz(name="set.npz", **arrays):
        np.savez(tmp_path / name, **arrays)
        return str(tmp_path / name)

    return save_npz


class TestNpz:
    def test_round_trip(self, save):
        keys = np.array([f"k{i}" for i in range(8)])
        data = npz(save(x=X, y=Y, split=SPLIT, keys=keys, classes=np.array(["a", "b", "c"])))
        assert (data.items[np.arange(8)] == X).all()
        assert data.items[np.arange(8)].dtype == np.float32
        assert data.labels.unseal().tolist() == Y.tolist()
        assert data.manifest.split.tolist() == SPLIT.tolist()
        assert data.manifest.keys == tuple(keys)
        assert (data.name, data.classes) == ("set", ("a", "b", "c"))

    def test_the_other_names_mean_the_same(self, save):
        one = npz(save(x=X, y=Y, split=SPLIT, keys=np.arange(8)))
        other = npz(save("b.npz", features=X, labels=Y, split=SPLIT, ids=np.arange(8)))
        assert one.fingerprint == other.fingerprint

    def test_names_as_labels_and_splits(self, save):
        words = np.array(["a", "b", "c", "a", "b", "c", "", "a"])
        splits = np.array(["train"] * 6 + ["left_out", "test"])
        assert npz(save(x=X, y=words, split=splits)).fingerprint == npz(
            save(x=X, y=Y, split=SPLIT, classes=np.array(["a", "b", "c"]))
        ).fingerprint  # fmt: skip

    def test_the_fingerprint_changes_with_the_content_but_not_with_the_path(self, save, tmp_path):
        (tmp_path / "far" / "away").mkdir(parents=True)
        here = npz(save(x=X, y=Y)).fingerprint
        assert npz(save("far/away/another.npz", x=X, y=Y)).fingerprint == here
        changed = X.copy()
        changed[4, 1] = np.nextafter(changed[4, 1], np.float32(9))
        assert npz(save(x=changed, y=Y)).fingerprint != here
        assert npz(save(x=X, y=np.where(Y < 0, 1, Y))).fingerprint != here
        assert npz(save(x=X.astype(np.float64), y=Y)).fingerprint != here

    def test_from_a_study_file(self, save):
        spec = {"name": "npz", "path": save(x=X, y=np.abs(Y)), "classes": ["a", "b", "c"], "test_share": 0.25}
        data = datasets.build(spec)
        assert len(data.test) == 2
        with pytest.raises(UnknownNameError, match="Did you mean 'path'"):
            datasets.build({"name": "npz", "pth": "x"})
        with pytest.raises(SpecError, match="settings path are required"):
            datasets.build("npz")

    @pytest.mark.parametrize(
        ("arrays", "message"),
        [
            ({"data": X, "y": Y}, "expected an array 'x' or 'features', got data, y"),
            ({"x": X, "features": X, "y": Y}, "expected one of x and features, got both"),
            ({"x": X, "label": Y}, "'label' is not known here. Did you mean 'labels'"),
            ({"X": X, "y": Y}, "Did you mean 'x'"),
            ({"x": X, "y": Y[:5]}, "5 labels for 8 items"),
            ({"x": X, "y": Y, "split": SPLIT[:5]}, r"shape \(5,\) for 8 items"),
            ({"x": X, "y": Y, "keys": np.arange(5)}, r"shape \(5,\) for 8 items"),
            ({"x": X, "y": Y, "keys": np.zeros(8, int)}, "0 occur more than once"),
            ({"x": X, "y": Y, "classes": np.array(["a", "b"])}, r"expected class numbers in 0\.\.1"),
            ({"x": X, "y": np.zeros(8, int)}, "at least two distinct declared classes"),
            ({"x": np.full((8, 3), np.nan), "y": Y}, "8 of 8 rows"),
            ({"x": np.float32(3), "y": Y}, "expected items of shape"),
        ],
    )
    def test_arrays_that_do_not_fit(self, save, arrays, message):
        with pytest.raises(DataError, match=message):
            npz(save(**arrays))

    def test_unrelated_arrays_are_ignored(self, save):
        assert len(npz(save(x=X, y=Y, camera=np.arange(3))).items) == 8

    def test_classes_may_not_be_declared_twice(self, save):
        with pytest.raises(DataError, match="the archive declares the classes"):
            npz(save(x=X, y=Y, classes=np.array(["a", "b", "c"])), classes=("c", "b", "a"))

    def test_pickled_objects_are_refused(self, save):
        with pytest.raises(DataError, match="pickled Python objects"):
            npz(save(x=np.array([[1], [1, 2]], dtype=object), y=Y[:2]))

    def test_a_cut_file_anywhere(self, save, tmp_path):
        path = save(x=X, y=Y)
        whole = (tmp_path / "set.npz").read_bytes()
        for length in range(0, len(whole), 97):
            (tmp_path / "set.npz").write_bytes(whole[:length])
            with pytest.raises(DataError, match=re.escape(path)):
                npz(path)

    def test_a_changed_byte_of_an_array(self, save, tmp_path):
        path = save(x=X, y=Y)
        whole = bytearray((tmp_path / "set.npz").read_bytes())
        whole[whole.index(X.tobytes()) + 3] ^= 1
        (tmp_path / "set.npz").write_bytes(whole)
        with pytest.raises(DataError, match="CRC"):
            npz(path)

    def test_missing_and_of_another_kind(self, tmp_path):
        with pytest.raises(DataError, match=r"there is no such file; expected an \.npz"):
            npz(str(tmp_path / "none.npz"))
        np.save(tmp_path / "one.npy", X)
        with pytest.raises(DataError, match="read it as 'npy'"):
            npz(str(tmp_path / "one.npy"))
        with pytest.raises(DataError, match="cannot be read"):
            npz(str(tmp_path))


class TestNpy:
    @pytest.fixture
    def path(self, tmp_path):
        np.save(tmp_path / "features.npy", X)
        return str(tmp_path / "features.npy")

    def test_is_memory_mapped_and_read_only(self, path):
        array = read_npy(Path(path))
        assert isinstance(array.base, np.memmap)
        assert not array.flags.writeable
        assert (array == X).all()

    def test_labels_from_npy_and_csv_are_the_same(self, path, tmp_path):
        np.save(tmp_path / "labels.npy", Y)
        lines = ["label", *(str(y) if y >= 0 else '""' for y in Y)]
        (tmp_path / "labels.csv").write_text("\n".join(lines) + "\n")
        one = npy(path, labels=str(tmp_path / "labels.npy"))
        other = npy(path, labels=str(tmp_path / "labels.csv"))
        assert one.labels.unseal().tolist() == Y.tolist()
        assert one.fingerprint == other.fingerprint
        assert one.manifest.keys[3] == "row/3"

    def test_csv_with_ids_and_splits(self, path, tmp_path):
        rows = [f"id{i},{'abc'[i % 3]},{'test' if i > 5 else 'pool'}" for i in range(8)]
        (tmp_path / "labels.csv").write_text("\n".join(["id,label,split", *rows]))
        data = npy(path, labels=str(tmp_path / "labels.csv"))
        assert data.manifest.keys[7] == "id7"
        assert data.test.tolist() == [6, 7]

    def test_without_labels(self, path):
        assert npy(path, classes=("a", "b")).labels.unseal().tolist() == [-1] * 8

    @pytest.mark.parametrize("suffix", [".npy", ".csv"])
    def test_files_of_different_lengths_are_both_named(self, path, tmp_path, suffix):
        labels = tmp_path / f"labels{suffix}"
        if suffix == ".npy":
            np.save(labels, Y[:6])
        else:
            labels.write_text("label\n" + "a\nb\n" * 3)
        expected = f"got 8 rows in {re.escape(path)} and 6 in {re.escape(str(labels))}"
        with pytest.raises(DataError, match=expected):
            npy(path, labels=str(labels))

    def test_other_label_files(self, path, tmp_path):
        (tmp_path / "labels.csv").write_text("name\na\n")
        with pytest.raises(DataError, match="expected a column 'label'"):
            npy(path, labels=str(tmp_path / "labels.csv"))
        with pytest.raises(DataError, match=r"\.npy or a \.csv"):
            npy(path, labels=str(tmp_path / "labels.json"))

    def test_pickles_are_refused_and_never_loaded(self, tmp_path):
        class Trap:
            def __reduce__(self):
                return pytest.fail, ("the pickle was loaded",)

        (tmp_path / "trap.npy").write_bytes(pickle.dumps(Trap()))
        np.save(tmp_path / "objects.npy", np.array([Trap()], dtype=object), allow_pickle=True)
        with pytest.raises(DataError, match="pickled Python objects, which are refused because"):
            npy(str(tmp_path / "objects.npy"), classes=("a", "b"))
        with pytest.raises(DataError, match="magic string is not correct"):
            npy(str(tmp_path / "trap.npy"), classes=("a", "b"))
        with pytest.raises(DataError, match="pickled Python objects, which are refused because"):
            npz(str(tmp_path / "trap.npy"))

    def test_a_cut_file_anywhere(self, path, tmp_path):
        whole = (tmp_path / "features.npy").read_bytes()
        for length in range(0, len(whole), 13):
            (tmp_path / "features.npy").write_bytes(whole[:length])
            with pytest.raises(DataError, match=re.escape(path)):
                npy(path, classes=("a", "b"))

    def test_an_archive_is_no_array(self, tmp_path):
        np.savez(tmp_path / "set.npz", x=X)
        with pytest.raises(DataError, match="read it as 'npz'"):
            npy(str(tmp_path / "set.npz"), classes=("a", "b"))
