"""Near copies of pictures: what is left out, what leaks are told, and how many planted copies are found."""

import importlib.util
import io
import logging
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageEnhance

from querist.data.dataset import datasets
from querist.data.images.folder import folder
from querist.data.images.near import leave_out_near_copies, near_copies
from querist.data.manifest import LEFT_OUT
from querist.data.memory import from_arrays
from querist.errors import DataError

ROOT = Path(__file__).parents[3]
PACKS = Path(os.environ.get("QUERIST_PACKS", ROOT.parent / "shared" / "data"))
has_packs = pytest.mark.skipif(
    not (PACKS / "uc_merced64.npz").is_file(),
    reason="no packs: QUERIST_PACKS names no folder with them, nor is there ../shared/data beside the repository",
)


def again(image, quality):
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return Image.open(io.BytesIO(buffer.getvalue())).convert("RGB")


CHANGES = {
    "jpeg 90": lambda image: again(image, 90),
    "jpeg 50": lambda image: again(image, 50),
    "twice as large": lambda image: image.resize((image.width * 2, image.height * 2), Image.Resampling.BICUBIC),
    "three quarters": lambda image: image.resize((image.width * 3 // 4, image.height * 3 // 4)),
    "brighter": lambda image: ImageEnhance.Brightness(image).enhance(1.15),
    "darker": lambda image: ImageEnhance.Brightness(image).enhance(0.8),
    "contrast": lambda image: ImageEnhance.Contrast(image).enhance(1.2),
}


@pytest.fixture
def copied(photos, draw):
    """A folder with three near copies of cat/1 and one of dog/7."""
    for number, change in enumerate(("jpeg 90", "twice as large", "darker")):
        CHANGES[change](draw(1)).save(photos / "cat" / f"1{'abc'[number]}.png")
    CHANGES["contrast"](draw(7)).save(photos / "dog" / "7d.png")
    return photos


def groups(data, pairs):
    return sorted(tuple(Path(data.paths[item]).name[0] for item in pair) for pair in pairs)


class TestLeavingOut:
    def test_one_of_each_stays_the_one_with_the_smallest_id(self, copied):
        data = folder(str(copied), near_copies="leave_out")
        out = data.manifest.ids(LEFT_OUT)
        assert (len(data.manifest), len(data.pool), len(out)) == (16, 12, 4)
        left = sorted(Path(data.paths[i]).name[0] for i in data.pool.tolist())
        assert left == sorted("0123456789" + "11")  # 1, 10 and 11: one of the ones, and the pictures 10 and 11
        for item in out.tolist():
            aside = next(a for a in data.set_aside if a.path == data.paths[item])
            kept = data.paths.index(aside.reason.removeprefix("near copy of "))
            assert kept < item
            assert kept in data.pool
            assert Path(data.paths[kept]).name[0] == Path(data.paths[item]).name[0]

    def test_keeping_them_they_are_told_on_request(self, copied):
        data = folder(str(copied))
        assert len(data.pool) == 16
        assert data.set_aside == ()
        found = near_copies(data)
        assert groups(data, found.pool) == [("1", "1")] * 3 + [("7", "7")]
        assert found.leaks == ()
        left_out = leave_out_near_copies(data)
        assert left_out.fingerprint == folder(str(copied), near_copies="leave_out").fingerprint != data.fingerprint

    def test_names_do_not_matter(self, copied):
        before = folder(str(copied), near_copies="leave_out")
        for number, path in enumerate(sorted(copied.rglob("*.png"))):
            path.rename(path.with_name(f"{50 - number}.x"))
        after = folder(str(copied), near_copies="leave_out")
        assert after.fingerprint == before.fingerprint
        assert after.pool.tolist() == before.pool.tolist()

    def test_nothing_alike_changes_nothing(self, photos):
        assert folder(str(photos), near_copies="leave_out").fingerprint == folder(str(photos)).fingerprint

    def test_leaks_are_told_and_stay(self, photos, draw, tmp_path, caplog):
        root = tmp_path / "splits"
        root.mkdir()
        photos.rename(root / "pool")
        for kind, number in (("cat", 2), ("dog", 8)):
            (root / "test" / kind).mkdir(parents=True)
            again(draw(number), 90).save(root / "test" / kind / f"{number}.jpg")
        with caplog.at_level(logging.WARNING):
            data = folder(str(root), near_copies="leave_out")
        assert (len(data.pool), len(data.test)) == (12, 2)
        assert groups(data, near_copies(data).leaks) == [("2", "2"), ("8", "8")]
        assert near_copies(data).pool == ()
        assert "2 items of the pool look like test or validation items" in caplog.text

    def test_the_size_of_items_does_not_matter(self, copied):
        fingerprints = {size: near_copies(folder(str(copied), size=size)).pool for size in (8, 64, 100)}
        assert len(set(fingerprints.values())) == 1


class TestOtherDatasets:
    def test_pictures_in_arrays(self, draw):
        images = np.stack([np.asarray(draw(i, 32, 32)) for i in (0, 1, 2, 1)])
        images[3] = np.clip(images[3] * 0.9, 0, 255)
        data = from_arrays("arrays", images, [0, 1, 0, 1])
        assert near_copies(data).pool == ((3, 1),)
        grey = from_arrays("grey", images[..., 1], [0, 1, 0, 1])
        assert near_copies(grey).pool == ((3, 1),)
        left = leave_out_near_copies(data)
        assert left.pool.tolist() == [0, 1, 2]
        assert left.set_aside == (("arrays/3", "near copy of arrays/1"),)

    def test_no_pictures(self):
        with pytest.raises(DataError, match="no pictures"):
            near_copies(from_arrays("numbers", np.zeros((3, 2)), [0, 1, 0]))


@pytest.fixture(scope="module")
def pack():
    spec = importlib.util.spec_from_file_location("querist_packs", ROOT / "examples" / "packs" / "querist_packs.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    cards, names = dict(datasets._cards), dict(datasets._names)
    spec.loader.exec_module(module)
    datasets._cards, datasets._names = cards, names
    before = os.environ.get("QUERIST_PACKS")
    os.environ["QUERIST_PACKS"] = str(PACKS)
    yield module.read_pack
    if before is None:
        del os.environ["QUERIST_PACKS"]
    else:
        os.environ["QUERIST_PACKS"] = before


@has_packs
@pytest.mark.parametrize(
    ("filename", "recall", "precision"),
    [("uc_merced64.npz", 0.98, 1.0), ("brain_tumor_mri96.npz", 0.99, 0.9)],
)
def test_planted_copies_among_real_pictures(pack, filename, recall, precision):
    # Brain scans have true near copies among them, so what is found beside the planted ones is no mistake.
    data = pack("real", filename)
    originals = [Image.fromarray(data.picture(item)).convert("RGB") for item in range(0, 1200, 2)]
    pictures, planted = [*originals], {}
    for number, (name, change) in enumerate(CHANGES.items()):
        for item in range(number, len(originals), len(CHANGES)):
            planted[len(pictures)] = (item, name)
            pictures.append(change(originals[item]))
    shown = from_arrays(
        "planted", np.zeros((len(pictures), 1)), np.arange(len(pictures)) % 2,
        picture=lambda item: np.asarray(pictures[item]),
    )  # fmt: skip
    found = dict(near_copies(shown).pool)
    met = [copy for copy, (item, _) in planted.items() if copy in found and found[copy] in (item, found.get(item))]
    missed = {planted[copy][1] for copy in planted.keys() - set(met)}
    assert len(met) >= recall * len(planted), missed
    assert sum(copy in planted for copy in found) >= precision * len(found), [c for c in found if c not in planted]


@has_packs
def test_known_near_copies_of_brain_scans_are_found(pack):
    # The pack leaves 580 scans out because they are near copies of test scans, by a measure of its makers; 573 here.
    data = pack("brain", "brain_tumor_mri96.npz")
    out = data.manifest.ids(LEFT_OUT)
    test = data.test
    ids = np.concatenate([test, out])
    shown = from_arrays(
        "scans", np.zeros((len(ids), 1)), np.arange(len(ids)) % 2, split=["test"] * len(test) + ["pool"] * len(out),
        picture=lambda item: data.picture(int(ids[item])),
    )  # fmt: skip
    assert len(near_copies(shown).leaks) >= 0.97 * len(out)
