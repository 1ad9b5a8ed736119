"""The index: what is forgiven, what is read again, and that two readers do not disturb each other."""

import os
import shutil
import threading
from pathlib import Path

import numpy as np
import pytest

from querist.data.images import ingest as module
from querist.data.images.folder import folder
from querist.data.images.index import Index, Record, folder_of
from querist.data.images.ingest import ingest
from querist.data.images.prints import Print
from querist.data.images.walk import walk
from querist.errors import StoreError


@pytest.fixture
def read(photos, tmp_path):
    """Return a function that reads the folder and tells which files it opened."""
    cache = tmp_path / "cache"

    def read(size=16):
        opened = []
        real = module._look
        module._look = lambda *args, **how: opened.append(args[2].path) or real(*args, **how)
        try:
            done = ingest(photos, walk(photos)[0], size, cache)
        finally:
            module._look = real
        items, proofs = done.index.prints()
        seen = {record.path: (record.content, items[record.row].tobytes(), proofs[record.row].tobytes(), record.hash)
                for record in done.pictures}  # fmt: skip
        return opened, seen

    read.lines = lambda: next(cache.rglob("records.jsonl"))
    read.prints = lambda: next(cache.rglob("prints.bin"))
    return read


def test_all_is_known_the_second_time(read):
    opened, seen = read()
    assert len(opened) == 12
    assert len(seen) == 12
    assert read() == ([], seen)


@pytest.mark.parametrize("cut", [1, 7, 60, 200])
def test_a_torn_last_record_is_forgiven(read, cut):
    opened, seen = read()
    whole = read.lines().read_bytes()
    read.lines().write_bytes(whole[:-cut])
    lost = whole[:-cut].count(b"\n")
    assert read() == (opened[lost:], seen)
    assert read.lines().read_bytes() == whole
    assert read() == ([], seen)


def test_from_a_damaged_record_on_files_are_read_again(read):
    opened, seen = read()
    lines = read.lines().read_bytes().split(b"\n")
    lines[4] = lines[4].replace(b'"size":', b'"size":1')
    read.lines().write_bytes(b"\n".join(lines))
    assert read() == (opened[4:], seen)
    assert read() == ([], seen)


def test_prints_that_are_missing_are_made_again(read):
    opened, seen = read()
    whole = read.prints().read_bytes()
    read.prints().write_bytes(whole[: len(whole) // 2 + 5])
    assert read() == (opened[6:], seen)
    read.prints().unlink()
    assert read() == (opened, seen)
    assert read.prints().read_bytes() == whole


def test_what_lies_behind_the_last_record_is_cut_off(read):
    _, seen = read()
    whole = read.prints().read_bytes()
    with read.prints().open("ab") as file:
        file.write(b"half a print of a killed process")
    with read.lines().open("ab") as file:
        file.write(b"1234abcd {")
    assert read() == ([], seen)
    index = Index(read.lines().parent, 16)
    index.append([(Record("new", 1, 1, content="ab", row=12), _print(16))])
    assert read.prints().read_bytes() == whole + _print(16).item.tobytes() + _print(16).proof.tobytes()
    assert Index(read.lines().parent, 16).known("new", 1, 1) is not None


def test_what_lies_there_may_be_longer_than_what_is_written(read, photos):
    read()
    lines, prints = read.lines().read_bytes(), read.prints().read_bytes()
    width = len(prints) // 12
    read.lines().write_bytes(b"\n".join(lines.split(b"\n")[:11]) + b"\nab {" + bytes(5000))
    read.prints().write_bytes(prints[: 11 * width] + bytes(3 * width + 7))
    assert len(read()[0]) == 1
    assert read.lines().read_bytes() == lines
    assert read.prints().read_bytes() == prints


def test_prints_are_safe_before_the_records_that_point_to_them(read, monkeypatch):
    calls = []

    def logged(name):
        real = getattr(os, name)

        def call(handle, *args):
            calls.append((name, Path(f"/dev/fd/{handle}").resolve().name))
            return real(handle, *args)

        monkeypatch.setattr(os, name, call)

    logged("write")
    logged("fsync")
    monkeypatch.setattr(module, "BATCH", 6)
    read()
    ours = [call for call in calls if call[1] in ("prints.bin", "records.jsonl")]
    one = [("write", "prints.bin"), ("fsync", "prints.bin"), ("write", "records.jsonl"), ("fsync", "records.jsonl")]
    assert ours == one * 2


@pytest.mark.parametrize("batch", [1, 5, 64])
def test_equal_files_share_a_print_whatever_the_batches(read, photos, monkeypatch, batch):
    for number in range(4):
        shutil.copy(photos / "cat" / "1.png", photos / "cat" / f"1 again {number}.png")
    monkeypatch.setattr(module, "BATCH", batch)
    opened, seen = read()
    assert len(opened) == 16
    assert read.prints().stat().st_size == 12 * (16 * 16 + 32 * 32) * 3
    assert len({seen[path] for path in seen if "/1" in path and "dog" not in path}) == 1


def _print(size):
    return Print(np.full((size, size, 3), 7, np.uint8), np.full((32, 32, 3), 9, np.uint8), 5)


def test_every_size_has_its_own_index(read, tmp_path, photos):
    _, small = read(16)
    opened, large = read(24)
    assert len(opened) == 12
    assert {key: value[0] for key, value in small.items()} == {key: value[0] for key, value in large.items()}
    places = {folder_of(tmp_path, photos, 16), folder_of(tmp_path, photos, 24), folder_of(tmp_path, tmp_path, 16)}
    assert len(places) == 3


def test_moved_files_are_hashed_but_not_decoded(read, photos, monkeypatch):
    _, seen = read()
    for path in sorted(photos.rglob("*.png")):
        path.rename(path.with_suffix(".old.png"))
    monkeypatch.setattr(module, "opened", None)
    opened, again = read()
    assert len(opened) == 12
    assert sorted(again.values()) == sorted(seen.values())


def test_long_files_are_not_read_unless_they_begin_like_an_image(read, photos, draw, monkeypatch):
    (photos / "cat" / "film.mp4").write_bytes(bytes(5000))
    monkeypatch.setattr(module, "LONG", 100)
    monkeypatch.setattr(module, "sha256", lambda data, real=module.sha256: real(data) if any(data) else None)
    assert len(read()[1]) == 12
    record = Index(read.lines().parent, 16).records["cat/film.mp4"]
    assert record.refused == "not an image: the content is of no known image format"
    draw(60).save(photos / "cat" / "huge.png")
    monkeypatch.setattr(module, "MOST_BYTES", 100)
    read()
    refused = Index(read.lines().parent, 16).records["cat/huge.png"].refused
    assert refused.startswith("too large: ")
    assert refused.endswith("bytes; at most 100 are read")


def test_two_at_once_share_the_work(photos, tmp_path, monkeypatch):
    opened = []
    real = module._look
    monkeypatch.setattr(module, "_look", lambda *args, **how: opened.append(args[2].path) or real(*args, **how))
    found = []

    def work():
        found.append(folder(str(photos), cache=str(tmp_path / "cache")).fingerprint)

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(found)) == 1
    assert len(found) == 3
    assert len(opened) == 12


def test_a_cache_that_cannot_be_written(photos, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StoreError, match=r"cannot (read|write)"):
        folder(str(photos), cache=str(tmp_path / "file"))


def test_paths_of_any_kind(tmp_path, draw):
    root = tmp_path / "odd"
    odd = ("a'; echo foo", "zwei Wörter", "\u2028 line", "new\nline", "tab\t", "%s {0}", "😀")
    for number, name in enumerate(odd):
        (root / "ab"[number % 2]).mkdir(parents=True, exist_ok=True)
        draw(number).save(root / "ab"[number % 2] / f"{name}.png")
    cache = str(tmp_path / "cache")
    first, again = folder(str(root), cache=cache), folder(str(root), cache=cache)
    assert sorted(Path(path).stem for path in again.paths) == sorted(odd)
    assert first.paths == again.paths
    assert again.picture(0).shape == (30, 40, 3)
