"""The cache of arrays: one entry per key, whole or absent, whatever dies, fills up or is damaged."""

import errno
import json
import logging
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

from querist import files as atomic_files
from querist.errors import DataError, StoreError
from querist.evidence import parts
from querist.evidence.cache import FolderCache, MemoryCache, open_cache

KEY = {"what": "features", "seed": [0, "a"], "dtype": "float32"}
VALUE = np.arange(30, dtype=np.float32).reshape(10, 3)


class Blocks:
    """Yields `VALUE` in parts and counts how often it was asked."""

    def __init__(self, value=VALUE, size=4):
        self.value, self.size, self.starts = value, size, []

    @property
    def calls(self):
        return len(self.starts)

    def __call__(self, start):
        self.starts.append(start)
        return (self.value[at : at + self.size] for at in range(start, len(self.value), self.size))


def files(folder):
    return sorted(p.suffix for p in folder.iterdir() if p.is_file())


@pytest.fixture(params=["memory", "folder"])
def cache(request, tmp_path):
    return open_cache(None if request.param == "memory" else tmp_path / "cache")


class TestBoth:
    @pytest.mark.parametrize("dtype", [np.float32, np.float16, np.int64, np.bool_])
    @pytest.mark.parametrize("shape", [(10,), (10, 3), (10, 2, 2), (10, 0)])
    def test_returns_what_was_made_read_only(self, cache, dtype, shape):
        value = (np.arange(np.prod(shape)) % 5).reshape(shape).astype(dtype)
        for _ in range(2):
            read = cache.fetch(KEY, 10, Blocks(value))
            assert read.dtype == dtype
            assert read.shape == shape
            assert (read == value).all()
            assert type(read) is np.ndarray
            with pytest.raises(ValueError, match="read-only"):
                read[0] = 1

    def test_makes_each_key_once(self, cache):
        blocks = Blocks()
        cache.fetch(KEY, 10, blocks)
        cache.fetch(dict(reversed(KEY.items())), 10, blocks)
        assert blocks.calls == 1
        for other in ({**KEY, "seed": [0, "b"]}, {**KEY, "dtype": "float16"}, {"what": "features"}, [KEY]):
            cache.fetch(other, 10, blocks)
        assert blocks.calls == 5

    def test_does_not_keep_a_reference_to_what_it_was_given(self, cache):
        value = VALUE.copy()
        read = cache.fetch(KEY, 10, lambda _: [value])
        value[:] = -1
        assert (read == VALUE).all()

    @pytest.mark.parametrize(
        ("parts", "message"),
        [
            ([VALUE[:9]], "Expected blocks of 10 rows in all, got 9"),
            ([VALUE, VALUE[:1]], "got more"),
            ([], "got 0"),
            ([VALUE[:5], VALUE[5:].astype(np.float64)], "blocks of float32.*got float64"),
            ([VALUE[:5], VALUE[5:, :2]], r"row shape \(3,\), got float32 and \(2,\) after 5 rows"),
        ],
    )
    def test_blocks_that_do_not_fit_leave_no_entry(self, cache, parts, message):
        with pytest.raises(DataError, match=message):
            cache.fetch(KEY, 10, lambda _: parts)
        assert (cache.fetch(KEY, 10, Blocks()) == VALUE).all()

    def test_an_error_while_making_leaves_no_entry(self, cache):
        def fail(start):
            if start < 4:
                yield VALUE[start:4]
            raise FileNotFoundError("an image is missing")

        for _ in range(2):
            with pytest.raises(FileNotFoundError, match="an image is missing"):
                cache.fetch(KEY, 10, fail)
        blocks = Blocks()
        assert (cache.fetch(KEY, 10, blocks) == VALUE).all()
        assert blocks.starts == [0 if isinstance(cache, MemoryCache) else 4]

    def test_values_that_are_no_json_are_no_keys(self, cache):
        with pytest.raises((TypeError, ValueError), match="JSON"):
            cache.fetch({"radius": float("nan")}, 10, Blocks())


class TestFolder:
    def test_entries_outlive_the_object_and_are_memory_mapped(self, tmp_path):
        FolderCache(tmp_path).fetch(KEY, 10, Blocks())
        blocks = Blocks()
        read = FolderCache(str(tmp_path)).fetch(KEY, 10, blocks)
        assert blocks.calls == 0
        assert (read == VALUE).all()
        assert isinstance(read.base, np.memmap)

    def test_an_entry_is_an_ordinary_npy_file_with_its_key_beside_it(self, tmp_path):
        FolderCache(tmp_path).fetch(KEY, 10, Blocks())
        (array,), (sidecar,) = tmp_path.glob("*.npy"), tmp_path.glob("*.json")
        assert (np.load(array, allow_pickle=False) == VALUE).all()
        record = json.loads(sidecar.read_text())
        assert record == {
            "format": 1, "key": KEY, "dtype": "<f4", "shape": [10, 3], "bytes": array.stat().st_size,
        }  # fmt: skip
        assert array.stem == sidecar.stem

    @pytest.mark.parametrize("damage", ["cut", "longer", "gone", "header", "sidecar", "sidecar cut", "other key"])
    def test_a_damaged_entry_is_made_again_with_a_warning(self, tmp_path, caplog, damage):
        FolderCache(tmp_path).fetch(KEY, 10, Blocks())
        (array,), (sidecar,) = tmp_path.glob("*.npy"), tmp_path.glob("*.json")
        content, record = array.read_bytes(), json.loads(sidecar.read_text())
        if damage == "cut":
            array.write_bytes(content[:-4])
        elif damage == "longer":
            array.write_bytes(content + b"    ")
        elif damage == "gone":
            array.unlink()
        elif damage == "header":
            array.write_bytes(content.replace(b"<f4", b"<i4"))
        elif damage == "sidecar":
            sidecar.write_text(json.dumps({**record, "shape": [30, 1]}))
        elif damage == "sidecar cut":
            sidecar.write_text(sidecar.read_text()[:20])
        else:
            sidecar.write_text(json.dumps({**record, "key": "another"}))
        blocks = Blocks()
        with caplog.at_level(logging.WARNING):
            read = FolderCache(tmp_path).fetch(KEY, 10, blocks)
        assert (read == VALUE).all()
        assert blocks.calls == 1
        assert [r.name for r in caplog.records] == ["querist.evidence.cache"]
        assert "is damaged" in caplog.text
        assert str(array) in caplog.text
        caplog.clear()
        FolderCache(tmp_path).fetch(KEY, 10, blocks)
        assert blocks.calls == 1
        assert not caplog.records

    def test_an_array_in_use_survives_being_made_again(self, tmp_path):
        first = FolderCache(tmp_path).fetch(KEY, 10, Blocks())
        next(tmp_path.glob("*.json")).unlink()
        FolderCache(tmp_path).fetch(KEY, 10, Blocks())
        assert (first == VALUE).all()

    def test_a_sound_entry_is_read_where_nothing_can_be_written(self, tmp_path, monkeypatch):
        FolderCache(tmp_path).fetch(KEY, 10, Blocks())

        def refuse(*_args, **_kwargs):
            raise AssertionError("something was written")

        monkeypatch.setattr(Path, "mkdir", refuse)
        monkeypatch.setattr(Path, "replace", refuse)
        assert (FolderCache(tmp_path).fetch(KEY, 10, Blocks()) == VALUE).all()


class TestTheDiskRefuses:
    def test_a_full_disk_in_the_middle_of_an_entry(self, tmp_path, monkeypatch):
        cache = FolderCache(tmp_path)
        cache.fetch("kept", 10, Blocks())
        before = sorted(p for p in tmp_path.iterdir() if p.is_file())
        opened = Path.open

        class Full:
            """A file on a disk with room for 100 bytes more."""

            def __init__(self, file):
                self.file, self.left = file, 100

            def __getattr__(self, name):
                return getattr(self.file, name)

            def write(self, data):
                self.left -= len(data)
                if self.left < 0:
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                return self.file.write(data)

        with monkeypatch.context() as patch:
            patch.setattr(Path, "open", lambda self, mode="r", **k: Full(opened(self, mode, **k)))
            with pytest.raises(StoreError, match=r"No space left on device. Free some space.*stored before is intact"):
                cache.fetch(KEY, 10, Blocks())
        assert sorted(p for p in tmp_path.iterdir() if p.is_file()) == before
        assert (cache.fetch("kept", 10, lambda _: pytest.fail("made again")) == VALUE).all()
        assert (cache.fetch(KEY, 10, Blocks()) == VALUE).all()

    @pytest.mark.parametrize("failing", [0, 1])
    def test_at_the_sync_of_either_file(self, tmp_path, monkeypatch, failing):
        calls = []

        def fsync(handle):
            calls.append(handle)
            if len(calls) == 1 + 2 * failing:  # of the sidecar, then of its folder, then of the array
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        with monkeypatch.context() as patch:
            patch.setattr(atomic_files.os, "fsync", fsync)
            with pytest.raises(StoreError, match="Free some space"):
                FolderCache(tmp_path).fetch(KEY, 10, Blocks())
        assert files(tmp_path) == [".json"] * failing
        blocks = Blocks()
        assert (FolderCache(tmp_path).fetch(KEY, 10, blocks) == VALUE).all()
        # All rows were on disk when the sync failed, and none is made a second time.
        assert blocks.calls == 0
        assert files(tmp_path) == [".json", ".npy"]
        assert files(tmp_path / "parts") == []

    def test_a_read_only_folder(self, tmp_path, monkeypatch):
        opened = Path.open

        def refuse(self, mode="r", **options):
            if "x" in mode:
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
            return opened(self, mode, **options)

        monkeypatch.setattr(Path, "open", refuse)
        monkeypatch.setattr(Path, "mkdir", lambda *_, **__: refuse(tmp_path, "x"))
        with pytest.raises(StoreError, match=r"read-only for you: choose one you can write to"):
            FolderCache(tmp_path).fetch(KEY, 10, Blocks())

    def test_a_folder_that_is_a_file(self, tmp_path):
        (tmp_path / "file").write_text("")
        with pytest.raises(StoreError, match="choose another folder"):
            FolderCache(tmp_path / "file").fetch(KEY, 10, Blocks())


class TestUnfinished:
    @pytest.fixture(autouse=True)
    def _record_every_block(self, monkeypatch):
        monkeypatch.setattr(parts, "RECORD_SECONDS", 0)

    @staticmethod
    def stop_after(folder, blocks, key=KEY):
        """Stop a process that makes an entry after some blocks of four rows."""

        def stopped(start):
            for at in range(start, 4 * blocks, 4):
                yield VALUE[at : at + 4]
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            FolderCache(folder).fetch(key, 10, stopped)
        (part,) = (folder / "parts").glob("*.npy")
        return part, part.with_suffix(".json")

    @pytest.mark.parametrize("done", [1, 2, 3])
    def test_is_continued_to_the_same_bytes(self, tmp_path, done):
        part, record = self.stop_after(tmp_path, done)
        assert json.loads(record.read_text())["done"] == min(4 * done, 10)
        assert files(tmp_path) == []
        blocks = Blocks()
        FolderCache(tmp_path).fetch(KEY, 10, blocks)
        assert blocks.starts == ([4 * done] if done < 3 else [])
        FolderCache(tmp_path / "whole").fetch(KEY, 10, Blocks())
        for whole in (tmp_path / "whole").glob("*.*"):
            assert (tmp_path / whole.name).read_bytes() == whole.read_bytes()
        assert not part.exists()
        assert not record.exists()

    def test_again_and_again(self, tmp_path):
        for done in (1, 1, 2):
            self.stop_after(tmp_path, done)
        blocks = Blocks(size=1)
        assert (FolderCache(tmp_path).fetch(KEY, 10, blocks) == VALUE).all()
        assert blocks.starts == [8]

    def test_rows_behind_the_record_do_not_count(self, tmp_path):
        part, _ = self.stop_after(tmp_path, 2)
        with part.open("ab") as file:
            file.write(b"half a row" * 9)
        assert (FolderCache(tmp_path).fetch(KEY, 10, Blocks()) == VALUE).all()
        FolderCache(tmp_path / "whole").fetch(KEY, 10, Blocks())
        for whole in (tmp_path / "whole").glob("*.*"):
            assert (tmp_path / whole.name).read_bytes() == whole.read_bytes()

    def test_another_key_does_not_use_it(self, tmp_path):
        self.stop_after(tmp_path, 2)
        blocks = Blocks(VALUE + 1)
        assert (FolderCache(tmp_path).fetch({**KEY, "seed": [1]}, 10, blocks) == VALUE + 1).all()
        assert blocks.starts == [0]

    @pytest.mark.parametrize("damage", ["byte", "cut", "gone", "record cut", "other key", "other length", "no row"])
    def test_a_damaged_part_is_begun_anew_with_a_warning(self, tmp_path, caplog, damage):
        part, record = self.stop_after(tmp_path, 2)
        content, said = part.read_bytes(), json.loads(record.read_text())
        match damage:
            case "byte":
                part.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
            case "cut":
                part.write_bytes(content[:-1])
            case "gone":
                part.unlink()
            case "record cut":
                record.write_text(record.read_text()[:40])
            case "other key":
                record.write_text(json.dumps({**said, "key": "another"}))
            case "other length":
                record.write_text(json.dumps({**said, "shape": [11, 3]}))
            case "no row":
                record.write_text(json.dumps({**said, "done": 0}))
        blocks = Blocks()
        with caplog.at_level(logging.WARNING):
            assert (FolderCache(tmp_path).fetch(KEY, 10, blocks) == VALUE).all()
        assert blocks.starts == [0]
        assert [r.name for r in caplog.records] == ["querist.evidence.cache"]
        assert f"the unfinished cache entry {part} is damaged" in caplog.text

    def test_blocks_of_another_kind_are_refused_and_nothing_is_kept(self, tmp_path):
        self.stop_after(tmp_path, 2)
        with pytest.raises(DataError, match=r"Expected blocks of float32.*got float64.*after 8 rows"):
            FolderCache(tmp_path).fetch(KEY, 10, Blocks(VALUE.astype(np.float64)))
        blocks = Blocks()
        FolderCache(tmp_path).fetch(KEY, 10, blocks)
        assert blocks.starts == [0]

    def test_records_are_not_written_for_every_block(self, tmp_path, monkeypatch):
        monkeypatch.setattr(parts, "RECORD_SECONDS", 1000)
        written = []
        monkeypatch.setattr(parts, "write_bytes", lambda path, _data: written.append(path))
        FolderCache(tmp_path).fetch(KEY, 10, Blocks(size=1))
        assert written == []


WORKER = """
    import sys, time
    import numpy as np
    from querist.evidence import cache, parts

    parts.RECORD_SECONDS = 0
    folder, stop = sys.argv[1], sys.argv[2]
    value = np.arange(30, dtype=np.float32).reshape(10, 3)

    def wait():
        print("ready", flush=True)
        sys.stdin.read()

    def blocks(start):
        print("making from", start, flush=True)
        if start == 0:
            yield value[:4]
        if stop == "array":
            wait()
        yield value[4:]

    if stop == "sidecar":
        cache.write_bytes = lambda *_: wait()
    if stop == "move":
        parts.Part.finish = lambda *_: wait()
    if stop == "start":
        wait()
    made = cache.FolderCache(folder).fetch("shared", 10, blocks)
    assert (made == value).all()
"""


def worker(folder, stop):
    command = [sys.executable, "-c", textwrap.dedent(WORKER), str(folder), stop]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def until_ready(process):
    assert process.stdout is not None
    while process.stdout.readline() not in ("ready\n", ""):
        pass


@pytest.mark.parametrize(("stop", "left", "starts"), [("array", [], [4]), ("sidecar", [], []), ("move", [".json"], [])])
def test_kill_in_the_middle_of_a_write(tmp_path, stop, left, starts, caplog):
    FolderCache(tmp_path).fetch("other", 10, Blocks())
    with worker(tmp_path, stop) as process:
        until_ready(process)
        os.kill(process.pid, signal.SIGKILL)
    assert files(tmp_path) == sorted([".json", ".npy", *left])
    blocks = Blocks()
    cache = FolderCache(tmp_path)
    assert (cache.fetch("other", 10, lambda _: pytest.fail("made again")) == VALUE).all()
    assert (cache.fetch("shared", 10, blocks) == VALUE).all()
    assert blocks.starts == starts
    assert not caplog.records


def test_of_two_processes_one_makes_the_entry_and_the_other_waits_for_it(tmp_path, caplog):
    with worker(tmp_path, "array") as first, worker(tmp_path, "start") as second:
        until_ready(first)
        until_ready(second)
        assert second.stdin is not None
        second.stdin.close()
        with pytest.raises(subprocess.TimeoutExpired):
            second.wait(0.5)
        assert first.stdin is not None
        first.stdin.close()
        assert first.wait() == second.wait() == 0
        assert second.stdout is not None
        assert "making" not in second.stdout.read()
    assert files(tmp_path) == [".json", ".npy"]
    assert list((tmp_path / "parts").iterdir()) == []
    assert (FolderCache(tmp_path).fetch("shared", 10, lambda _: pytest.fail("made again")) == VALUE).all()
    assert not caplog.records


def test_who_waits_for_a_process_that_dies_goes_on_from_its_rows(tmp_path):
    with worker(tmp_path, "array") as first, worker(tmp_path, "start") as second:
        until_ready(first)
        until_ready(second)
        assert second.stdin is not None
        second.stdin.close()
        os.kill(first.pid, signal.SIGKILL)
        assert second.wait() == 0
        assert second.stdout is not None
        assert "making from 4" in second.stdout.read()


def test_memory_and_folder_agree_on_their_interface():
    assert isinstance(open_cache(None), MemoryCache)
    assert isinstance(open_cache("anywhere"), FolderCache)
