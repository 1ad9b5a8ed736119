"""The example of a user's own registered datasets: found by entry point, read correctly, refused clearly."""

import importlib.util
import io
import os
import subprocess
import sys
import textwrap
import tomllib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from querist.data.dataset import Dataset, datasets
from querist.data.manifest import LEFT_OUT
from querist.errors import DataError, SpecError

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "packs"
FOLDER = Path(os.environ.get("QUERIST_PACKS", ROOT.parent / "shared" / "data"))


@pytest.fixture
def packs(monkeypatch):
    """The example's module; the names it registers are forgotten afterwards."""
    monkeypatch.setattr(datasets, "_cards", dict(datasets._cards))
    monkeypatch.setattr(datasets, "_names", dict(datasets._names))
    spec = importlib.util.spec_from_file_location("querist_packs", EXAMPLE / "querist_packs.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def write_pack(path, files, mode, tile, label, split, classes=("a", "b")):
    encoded = []
    for image in files:
        buffer = io.BytesIO()
        Image.fromarray(image).save(buffer, "PNG")
        encoded.append(buffer.getvalue())
    np.savez(
        path, blob=np.frombuffer(b"".join(encoded), np.uint8), off=np.cumsum([0, *map(len, encoded)]),
        mode=np.array(mode), tile=np.array(tile), label=np.array(label), split=np.array(split, np.uint8),
        classes=np.array(classes),
    )  # fmt: skip


def random_images(*shape):
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def all_items(data):
    return data.items[np.arange(len(data.manifest))]


class TestReading:
    @pytest.fixture(autouse=True)
    def folder(self, tmp_path, monkeypatch):
        monkeypatch.setenv("QUERIST_PACKS", str(tmp_path))

    @pytest.mark.parametrize(("shape", "mode"), [((4, 6, 5), "L"), ((4, 6, 5, 3), "RGB")])
    def test_one_file_per_item(self, packs, tmp_path, shape, mode):
        images = random_images(*shape)
        write_pack(tmp_path / "mnist.npz", images, mode, (0, 0, 0), [0, 1, 0, 1], [0, 1, 2, 3])
        data = datasets.build("mnist_pack")
        assert all_items(data).dtype == np.uint8
        assert (all_items(data) == images).all()
        assert (data.picture(2) == images[2]).all()
        assert data.manifest.split.tolist() == [0, 1, 2, 3]
        assert data.manifest.keys[3] == "mnist_pack/3"
        assert data.classes == ("a", "b")
        assert data.labels.unseal().tolist() == [0, 1, 0, 1]

    @pytest.mark.parametrize(("channels", "mode"), [((), "L"), ((3,), "RGB")])
    def test_mosaics_in_reading_order_with_blank_tiles_at_the_end(self, packs, tmp_path, channels, mode):
        images = random_images(7, 4, 5, *channels)
        padded = np.concatenate([images, np.zeros((5, 4, 5, *channels), np.uint8)])
        # Two mosaics of two rows with three tiles each.
        mosaics = [
            np.concatenate([np.concatenate(list(padded[i : i + 3]), axis=1) for i in (start, start + 3)])
            for start in (0, 6)
        ]
        write_pack(tmp_path / "mnist.npz", mosaics, mode, (4, 5, 3), np.arange(7) % 2, np.zeros(7))
        assert (all_items(datasets.build("mnist_pack")) == images).all()

    def test_fewer_images_than_labels_are_refused(self, packs, tmp_path):
        write_pack(tmp_path / "mnist.npz", random_images(3, 6, 5), "L", (0, 0, 0), [0, 1, 0, 1], [0] * 4)
        with pytest.raises(DataError, match="expected 4 images in the pack, got 3"):
            datasets.build("mnist_pack")

    def test_a_smaller_pool_is_keyed_nested_and_keeps_the_test_set(self, packs, tmp_path):
        write_pack(
            tmp_path / "mnist.npz", random_images(50, 3, 3), "L", (0, 0, 0), np.arange(50) % 2, [0] * 40 + [1] * 10
        )  # fmt: skip
        whole, ten, five = (datasets.build({"name": "mnist_pack", "pool": n}) for n in (40, 10, 5))
        assert whole.fingerprint == datasets.build("mnist_pack").fingerprint
        assert (len(ten.pool), len(five.pool)) == (10, 5)
        assert set(five.pool) < set(ten.pool)
        assert ten.pool.tolist() != list(range(10))
        assert ten.test.tolist() == list(range(40, 50))
        assert len(ten.manifest.ids(LEFT_OUT)) == 30
        assert len({whole.fingerprint, ten.fingerprint, five.fingerprint}) == 3
        for size in (0, 41):
            with pytest.raises(DataError, match=f"expected a pool of 1 to 40 items, got {size}"):
                datasets.build({"name": "mnist_pack", "pool": size})
        with pytest.raises(SpecError, match="pool: expected"):
            datasets.build({"name": "mnist_pack", "pool": "all"})

    def test_a_folder_that_is_missing_or_not_named(self, packs, tmp_path, monkeypatch):
        with pytest.raises(DataError, match=r"uc_merced64\.npz; QUERIST_PACKS is"):
            datasets.build("uc_merced")
        monkeypatch.delenv("QUERIST_PACKS")
        with pytest.raises(DataError, match="set the environment variable QUERIST_PACKS"):
            datasets.build("uc_merced")


def test_querist_finds_the_names_by_entry_point_and_imports_them_late(tmp_path):
    project = tomllib.loads((EXAMPLE / "pyproject.toml").read_text())["project"]
    points = project["entry-points"]["querist.data"]
    info = tmp_path / "querist_packs-0.1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: querist-packs\nVersion: 0.1.0\n")
    (info / "entry_points.txt").write_text(
        "[querist.data]\n" + "".join(f"{name} = {target}\n" for name, target in points.items())
    )
    write_pack(tmp_path / "uc_merced64.npz", random_images(4, 6, 5, 3), "RGB", (0, 0, 0), [0, 1, 0, 1], [0] * 4)
    script = """
        import sys
        from querist.data.dataset import datasets
        print(*datasets.names())
        print("querist_packs" in sys.modules)
        print(datasets.build("uc_merced").items[[0, 3]].shape)
        print(sorted(card.name for card in datasets.cards()) == datasets.names())
    """
    paths = os.pathsep.join([str(tmp_path), str(EXAMPLE)])
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        env={**os.environ, "PYTHONPATH": paths, "QUERIST_PACKS": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    names, imported, shape, complete = done.stdout.splitlines()
    assert set(points) | {"digits", "npz", "npy", "table"} <= set(names.split())
    assert imported == "False"
    assert shape == "(2, 6, 5, 3)"
    assert complete == "True"


@pytest.mark.skipif(
    not (FOLDER / "fashion_mnist.npz").is_file(),
    reason="no packs: QUERIST_PACKS names no folder with them, nor is there ../shared/data beside the repository",
)
@pytest.mark.parametrize(
    ("name", "shape", "splits", "c", "mean"),
    [
        # Means of the official train splits on the scale 0..1 as published; CIFAR-10 is compressed here.
        ("mnist_pack", (28, 28), (60_000, 10_000, 0, 0), 10, [0.1307]),
        ("fashion_mnist_pack", (28, 28), (60_000, 10_000, 0, 0), 10, [0.2860]),
        ("cifar10_jpeg", (32, 32, 3), (50_000, 10_000, 0, 0), 10, [0.4914, 0.4822, 0.4465]),
        ("brain_tumor_mri", (96, 96), (4732, 1281, 0, 580), 4, None),
        ("magnetic_tile", (128, 128), (1008, 336, 0, 0), 6, None),
        ("uc_merced", (64, 64, 3), (1680, 420, 0, 0), 21, None),
    ],
)
def test_the_real_packs(packs, monkeypatch, name, shape, splits, c, mean):
    monkeypatch.setenv("QUERIST_PACKS", str(FOLDER))
    data = datasets.build(name)
    assert isinstance(data, Dataset)
    assert tuple(np.bincount(data.manifest.split, minlength=4)) == splits
    assert data.c == c
    assert set(data.labels.unseal()) == set(range(c))
    items = data.items[data.pool]
    assert items.shape[1:] == shape
    assert (data.picture(11) == data.items[np.array([11])][0]).all()
    if mean is not None:
        channels = items.reshape(len(items), -1, len(mean)).mean(axis=(0, 1)) / 255
        assert channels == pytest.approx(mean, abs=0.002)
