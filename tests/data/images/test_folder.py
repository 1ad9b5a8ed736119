"""The dataset ``folder``: classes, splits, keys, copies, pictures, and what it remembers."""

import os
import shutil
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from querist.data.dataset import datasets
from querist.data.images import collect, decode, ingest
from querist.data.images.folder import folder
from querist.data.manifest import LEFT_OUT, POOL, TEST, VALIDATION
from querist.errors import DataError, SpecError, UndeclaredClassesError
from querist.evidence.view import View
from querist.kernels.workers import workers
from querist.progress import listening


def everything(data):
    return (
        data.manifest.fingerprint, data.fingerprint, data.manifest.keys, data.labels.unseal().tolist(),
        data.manifest.split.tolist(), data.items[np.arange(len(data.items))].tobytes(),
    )  # fmt: skip


def names(data):
    return [Path(path).name for path in data.paths]


def snapshot(root):
    return {str(path): (path.lstat().st_mtime_ns, path.lstat().st_size) for path in [root, *root.rglob("*")]}


class TestClasses:
    def test_folders_are_classes_and_contents_are_keys(self, photos):
        (photos / "dog" / "deep" / "er").mkdir(parents=True)
        (photos / "dog" / "11.png").rename(photos / "dog" / "deep" / "er" / "x.png")
        data = datasets.build({"name": "folder", "path": str(photos)})
        assert (data.name, data.classes, len(data.pool)) == ("photos", ("cat", "dog"), 12)
        for item, path in enumerate(data.paths):
            assert data.manifest.keys[item] == sha256(Path(path).read_bytes()).hexdigest()[:16]
            assert data.classes[data.labels.unseal()[item]] == Path(path).relative_to(photos).parts[0]
        assert list(data.manifest.keys) == sorted(data.manifest.keys)
        assert data.set_aside == ()

    def test_declared_classes(self, photos):
        data = folder(str(photos), classes=("fox", "dog", "cat"))
        assert data.classes == ("fox", "dog", "cat")
        assert sorted(set(data.labels.unseal().tolist())) == [1, 2]
        with pytest.raises(DataError, match=r"the folder 'dog' is no declared class. Did you mean 'dogs'"):
            folder(str(photos), classes=("cat", "dogs"))

    def test_without_labels(self, photos, draw):
        draw(77).save(photos / "beside.png")
        data = folder(str(photos), labels="none", classes=("a", "b"))
        assert len(data.pool) == 13
        assert not data.labels.known.any()

    def test_without_labels_and_classes_nothing_is_read(self, photos, monkeypatch):
        monkeypatch.setattr(ingest, "opened", None)
        with pytest.raises(UndeclaredClassesError, match="classes must be declared"):
            folder(str(photos), labels="none")

    def test_images_beside_the_class_folders(self, photos, draw, monkeypatch):
        draw(77).save(photos / "stray.jpg")
        monkeypatch.setattr(ingest, "opened", None)
        with pytest.raises(DataError, match=r"1 lie directly in the folder itself, e.g. stray.jpg. Pass labels='none'"):
            folder(str(photos))

    def test_other_files_beside_them_are_set_aside(self, photos):
        (photos / "labels.csv").write_text("id,label\n")
        (photos / ".hidden").write_text("")
        (photos / "empty").mkdir()
        aside = {Path(path).name: reason for path, reason in folder(str(photos)).set_aside}
        assert aside == {
            "labels.csv": "it lies beside the class folders and is not called like an image",
            ".hidden": "hidden: names that begin with a dot are passed over",
            "empty": "an empty folder",
        }

    def test_one_class_is_too_few(self, photos):
        shutil.rmtree(photos / "dog")
        with pytest.raises(DataError, match=r"expected at least two class folders, got cat\. Pass labels='none'"):
            folder(str(photos))

    def test_no_folder(self, photos, tmp_path):
        with pytest.raises(DataError, match="there is no such folder"):
            folder(str(tmp_path / "nowhere"))
        with pytest.raises(DataError, match="expected a folder of images, got a file"):
            folder(str(photos / "cat" / "1.png"))
        with pytest.raises(DataError, match="size of items of 8 to 1024"):
            folder(str(photos), size=4)
        with pytest.raises(SpecError, match="labels: expected 'folders' or 'none'"):
            datasets.build({"name": "folder", "path": str(photos), "labels": "files"})

    def test_no_image_at_all_lists_the_reasons(self, tmp_path):
        for name in ("a", "b"):
            (tmp_path / "in" / name).mkdir(parents=True)
            (tmp_path / "in" / name / "x.jpg").write_bytes(b"")
        (tmp_path / "in" / "b" / "notes.md").write_text("# nothing")
        with pytest.raises(DataError, match=r"no image could be read. .*a/x.jpg: empty: .*b/notes.md: not an image"):
            folder(str(tmp_path / "in"), cache=str(tmp_path / "cache"))
        (tmp_path / "nothing").mkdir()
        with pytest.raises(DataError, match="There is no file at all"):
            folder(str(tmp_path / "nothing"), labels="none", classes=("a", "b"), cache=str(tmp_path / "cache"))


class TestSplits:
    @pytest.mark.parametrize("spelling", [str.lower, str.title, str.upper])
    def test_folders_called_like_splits_hold_the_classes(self, photos, tmp_path, spelling):
        root = tmp_path / "splits"
        for name, number in (("train", 3), ("val", 1), ("test", 2)):
            for kind in ("cat", "dog"):
                place = root / spelling(name) / kind
                place.mkdir(parents=True)
                for file in sorted((photos / kind).iterdir())[:number]:
                    shutil.move(file, place)
        (root / "README.txt").write_text("three splits")
        data = folder(str(root))
        assert data.classes == ("cat", "dog")
        assert {split: len(data.manifest.ids(split)) for split in (POOL, VALIDATION, TEST, LEFT_OUT)} == {
            POOL: 6, VALIDATION: 2, TEST: 4, LEFT_OUT: 0,
        }  # fmt: skip
        for item, path in enumerate(data.paths):
            assert data.classes[data.labels.unseal()[item]] == Path(path).parent.name
        with pytest.raises(DataError, match="there is a test split already"):
            folder(str(root), test_share=0.5)
        shutil.copy(data.paths[0], root / spelling("train") / "stray.png")
        with pytest.raises(DataError, match=r"lie directly in the folders of the splits, e.g. .*stray.png"):
            folder(str(root))

    def test_a_class_beside_makes_them_classes(self, photos):
        (photos / "cat").rename(photos / "test")
        assert folder(str(photos)).classes == ("dog", "test")

    def test_a_drawn_share(self, photos):
        data = folder(str(photos), test_share=0.25, split_seed=3)
        assert (len(data.pool), len(data.test)) == (9, 3)
        assert everything(data) == everything(folder(str(photos), test_share=0.25, split_seed=3))
        assert data.test.tolist() != folder(str(photos), test_share=0.25, split_seed=4).test.tolist()


class TestCopies:
    def test_the_first_path_counts_and_the_other_is_told(self, photos):
        shutil.copy(photos / "cat" / "3.png", photos / "cat" / "00.png")
        shutil.copy(photos / "cat" / "3.png", photos / "cat" / "copy of 3.png")
        data = folder(str(photos))
        assert len(data.manifest) == 12
        assert "00.png" in names(data)
        assert [(Path(a.path).name, a.reason) for a in data.set_aside] == [
            ("3.png", "same content as cat/00.png"), ("copy of 3.png", "same content as cat/00.png"),
        ]  # fmt: skip

    def test_two_labels_leave_the_item_out(self, photos):
        shutil.copy(photos / "cat" / "3.png", photos / "dog" / "3.png")
        data = folder(str(photos))
        item = names(data).index("3.png")
        assert data.manifest.ids(LEFT_OUT).tolist() == [item]
        assert data.labels.unseal()[item] == -1
        assert {Path(a.path).parent.name: a.reason for a in data.set_aside} == {
            "cat": "files of the same content are labelled differently: 'cat' (cat/3.png), 'dog' (dog/3.png); left out",
            "dog": "same content as cat/3.png",
        }

    def test_what_is_tested_on_is_not_learned_from(self, photos, tmp_path):
        root = tmp_path / "splits"
        shutil.copytree(photos, root / "pool")
        for kind, name in (("cat", "5.png"), ("dog", "6.png")):
            (root / "test" / kind).mkdir(parents=True)
            shutil.copy(photos / kind / name, root / "test" / kind / ("z" + name))
        data = folder(str(root))
        assert (len(data.pool), len(data.test)) == (10, 2)
        assert [data.paths[i].endswith(("z5.png", "z6.png")) for i in data.test.tolist()] == [True, True]
        assert data.set_aside[0].reason == (
            "same content as test/cat/z5.png, which is in the split 'test' while this is in 'pool'"
        )

    def test_short_hashes_that_collide_are_written_out(self, photos, monkeypatch):
        monkeypatch.setattr(collect, "KEY", 1)
        keys = folder(str(photos)).manifest.keys
        full = [sha256(path.read_bytes()).hexdigest() for path in photos.rglob("*.png")]
        starts = [key[0] for key in full]
        assert sorted(keys) == sorted(key if starts.count(key[0]) > 1 else key[0] for key in full)
        assert any(len(key) == 64 for key in keys)


class TestItems:
    def test_the_central_square(self, photos):
        data = folder(str(photos), size=16)
        assert data.items[data.pool].shape == (12, 16, 16, 3)
        for item, path in enumerate(data.paths):
            with Image.open(path) as image:
                central = image.crop((5, 0, 35, 30)).resize((16, 16), Image.Resampling.BICUBIC)
            assert np.abs(data.items[np.array([item])][0].astype(int) - np.asarray(central)).mean() < 2

    def test_very_long_strips_cost_no_memory(self, photos):
        Image.fromarray(np.tile(np.arange(256, dtype=np.uint8), (2, 200))).save(photos / "cat" / "strip.png")
        data = folder(str(photos))
        item = names(data).index("strip.png")
        assert data.picture(item).shape == (2, 51_200, 3)
        assert data.items[np.array([item])].shape == (1, 64, 64, 3)

    def test_the_picture_is_the_whole_file(self, photos, draw):
        draw(50, 61, 47, "CMYK").save(photos / "cat" / "c.jpg")
        draw(51, 33, 20, "L").save(photos / "dog" / "turned.png", exif=_turned())
        data = folder(str(photos))
        shapes = {name: data.picture(item).shape for item, name in enumerate(names(data))}
        assert shapes["1.png"] == (30, 40, 3)
        assert shapes["c.jpg"] == (47, 61, 3)
        assert shapes["turned.png"] == (33, 20, 3)
        assert (data.picture(names(data).index("1.png")) == np.asarray(draw(1))).all()
        shown = list(View(data, data.pool[:3]).images())
        assert all((image == data.picture(item)).all() for item, image in enumerate(shown))

    def test_a_file_that_changed_or_went_is_not_shown(self, photos, draw):
        data = folder(str(photos))
        changed, gone, broken = (names(data).index(name) for name in ("1.png", "2.png", "3.png"))
        draw(99).save(photos / "cat" / "1.png")
        (photos / "cat" / "2.png").unlink()
        (photos / "cat" / "3.png").write_bytes(b"")
        for item, reason in ((changed, "content has changed"), (gone, "No such file"), (broken, "content has changed")):
            with pytest.raises(DataError, match=rf"{reason}.* Open the dataset again"):
                data.picture(item)

    def test_the_fingerprint_is_of_content_and_size(self, photos, tmp_path):
        data = folder(str(photos))
        assert folder(str(photos), size=32).items.fingerprint != data.items.fingerprint
        shutil.copytree(photos, tmp_path / "elsewhere")
        assert everything(folder(str(tmp_path / "elsewhere"))) == everything(data)

    def test_renaming_and_moving_changes_nothing(self, photos):
        before = everything(folder(str(photos)))
        for number, path in enumerate(sorted(photos.rglob("*.png"))):
            place = path.parent / f"part{number % 3}"
            place.mkdir(exist_ok=True)
            path.rename(place / f"{99 - number} é ' ;.jpeg")
        assert everything(folder(str(photos))) == before


def _turned():
    exif = Image.Exif()
    exif[0x0112] = 6
    return exif


class TestMemory:
    def test_nothing_is_written_into_the_folder(self, photos):
        before = snapshot(photos)
        folder(str(photos), near_copies="leave_out")
        assert snapshot(photos) == before

    def test_the_second_time_no_file_is_opened(self, photos, monkeypatch):
        (photos / "cat" / "bad.jpg").write_bytes(b"")
        first = folder(str(photos))
        monkeypatch.setattr(ingest, "_look", None)
        again = folder(str(photos))
        assert everything(again) == everything(first)
        assert again.set_aside == first.set_aside

    def test_a_changed_file_is_read_again_and_a_vanished_one_is_gone(self, photos, draw, monkeypatch):
        first = folder(str(photos))
        draw(99).save(photos / "cat" / "1.png")
        (photos / "dog" / "7.png").unlink()
        looked = []
        real = ingest._look
        monkeypatch.setattr(ingest, "_look", lambda *args, **how: looked.append(args[2].path) or real(*args, **how))
        again = folder(str(photos))
        assert looked == ["cat/1.png"]
        assert len(again.manifest) == 11
        new = names(again).index("1.png")
        assert (again.picture(new) == np.asarray(draw(99))).all()
        fresh = folder(str(photos), cache=str(photos.parent / "another cache"))
        assert everything(again) == everything(fresh)
        assert everything(again) != everything(first)

    def test_a_change_that_keeps_the_size_is_seen(self, photos, draw):
        path = photos / "cat" / "x.bmp"
        draw(90).save(path)
        first, size = folder(str(photos)), path.stat().st_size
        draw(91).save(path)
        os.utime(path, ns=(1, path.stat().st_mtime_ns + 1))
        assert path.stat().st_size == size
        again = folder(str(photos))
        assert again.fingerprint != first.fingerprint
        assert (again.picture(names(again).index("x.bmp")) == np.asarray(draw(91))).all()

    def test_threads_change_nothing(self, photos, draw, tmp_path):
        for number in range(20, 120):
            draw(number, 20, 20).save(photos / "cat" / f"{number}.png")
        shutil.copy(photos / "cat" / "20.png", photos / "cat" / "21 again.png")
        files = []
        for count in (1, 4):
            with workers(count):
                data = folder(str(photos), cache=str(tmp_path / f"{count}"))
            found = sorted((tmp_path / f"{count}").rglob("*.*"))
            files.append((everything(data), data.set_aside, [p.read_bytes() for p in found if p.suffix != ".lock"]))
        assert files[0] == files[1]
        assert len(files[0][2]) == 2

    def test_large_pictures_wait_until_no_other_is_read(self, photos, monkeypatch):
        before = everything(folder(str(photos)))
        monkeypatch.setattr(decode, "LARGE", 100)
        with workers(3):
            assert everything(folder(str(photos), cache=str(photos.parent / "new"))) == before

    def test_what_cannot_be_opened_is_tried_again(self, photos, monkeypatch):
        real = Path.open

        def refused(path, *args, **settings):
            if path.name == "3.png":
                raise PermissionError(13, "Permission denied")
            return real(path, *args, **settings)

        with monkeypatch.context() as patch:
            patch.setattr(Path, "open", refused)
            data = folder(str(photos))
        assert [(Path(a.path).name, a.reason) for a in data.set_aside] == [("3.png", "unreadable: Permission denied")]
        assert len(folder(str(photos)).manifest) == 12

    @pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")
    def test_files_and_folders_without_permission(self, photos):
        (photos / "cat" / "3.png").chmod(0)
        (photos / "dog" / "locked").mkdir(mode=0)
        reasons = {Path(a.path).name: a.reason for a in folder(str(photos)).set_aside}
        assert reasons == {"3.png": "unreadable: Permission denied", "locked": "unreadable folder: Permission denied"}

    def test_progress_is_told(self, photos):
        heard = []
        with listening(lambda *news: heard.append(news)):
            folder(str(photos))
            folder(str(photos))
        assert heard == [("reading images", 0, 12), ("reading images", 12, 12)]

    def test_the_cache_does_not_lie_in_the_folder(self, photos, tmp_path, monkeypatch):
        with pytest.raises(DataError, match="lies within the folder of images"):
            folder(str(photos), cache=str(photos / "cache"))
        monkeypatch.setenv("QUERIST_STORE", str(photos / "store"))
        with pytest.raises(DataError, match="QUERIST_STORE"):
            folder(str(photos))
        monkeypatch.delenv("QUERIST_STORE")
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
        monkeypatch.chdir(photos)
        before = snapshot(photos)
        assert len(folder(".").manifest) == 12
        assert snapshot(photos) == before
        assert len(list((tmp_path / "home" / "querist" / "ingest").iterdir())) == 1
        monkeypatch.chdir(tmp_path)
        folder("photos")
        assert len(list((tmp_path / "querist-store" / "ingest").iterdir())) == 1
