"""Atomic files: whole or not at all, whatever happens while they are written."""

import errno
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from querist import files
from querist.errors import DataError, StoreError
from querist.files import atomic_write, file_digest, remove_leftovers, require_file, write_bytes


def names(folder):
    return sorted(p.name for p in folder.iterdir())


def test_writes_and_replaces(tmp_path):
    target = tmp_path / "new" / "folder" / "a.txt"
    write_bytes(target, b"one")
    write_bytes(target, b"two")
    assert target.read_bytes() == b"two"
    assert names(target.parent) == ["a.txt"]


def test_readers_see_the_old_file_until_the_end(tmp_path):
    target = tmp_path / "a.txt"
    write_bytes(target, b"old")
    with atomic_write(target) as file:
        file.write(b"new")
        assert target.read_bytes() == b"old"
    assert target.read_bytes() == b"new"


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, MemoryError])
def test_an_error_of_the_writer_leaves_the_old_file_and_nothing_else(tmp_path, error):
    write_bytes(tmp_path / "a.txt", b"old")

    def fail():
        with atomic_write(tmp_path / "a.txt") as file:
            file.write(b"half")
            raise error

    with pytest.raises(error):
        fail()
    assert (tmp_path / "a.txt").read_bytes() == b"old"
    assert names(tmp_path) == ["a.txt"]


def test_an_os_error_of_the_caller_is_not_blamed_on_the_file(tmp_path):
    with pytest.raises(FileNotFoundError), atomic_write(tmp_path / "a.txt"):
        Path(tmp_path / "missing.png").read_bytes()


@pytest.mark.parametrize("step", ["fsync", "replace", "open"])
@pytest.mark.parametrize(
    ("number", "advice"),
    [
        (errno.ENOSPC, "No space left on device. Free some space"),
        (errno.EROFS, "Read-only file system. The folder is read-only for you"),
        (errno.EACCES, "Permission denied. The folder is read-only for you"),
        (errno.EIO, "Input/output error. Check the path"),
    ],
)
def test_a_disk_that_refuses(tmp_path, monkeypatch, step, number, advice):
    write_bytes(tmp_path / "a.txt", b"old")

    def refuse(*_args, **_kwargs):
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch:
        patch.setattr(*((files.os, "fsync") if step == "fsync" else (Path, step)), refuse)
        with pytest.raises(StoreError, match=f"a.txt: {advice}.*What was stored before is intact"):
            write_bytes(tmp_path / "a.txt", b"new")
    assert (tmp_path / "a.txt").read_bytes() == b"old"
    assert names(tmp_path) == ["a.txt"]


def test_a_real_limit_on_the_size_of_files(tmp_path):
    script = """
        import resource, sys
        from pathlib import Path
        from querist.files import write_bytes
        from querist.errors import StoreError
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
        write_bytes(Path(sys.argv[1]), b"x" * 50_000)
        try:
            write_bytes(Path(sys.argv[1]), b"y" * 200_000)
        except StoreError as error:
            print(error)
    """
    command = [sys.executable, "-c", textwrap.dedent(script), str(tmp_path / "a.bin")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "File too large. Free some space" in done.stdout
    assert (tmp_path / "a.bin").read_bytes() == b"x" * 50_000
    assert names(tmp_path) == ["a.bin"]


def test_a_folder_that_cannot_be(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match=r"cannot write .*choose another folder"):
        write_bytes(tmp_path / "file" / "a.txt", b"x")


def test_leftovers_go_when_they_are_a_day_old(tmp_path):
    for name, age in (("old", 2), ("young", 0.5)):
        path = tmp_path / f".{name}.npy.1-ab.tmp"
        path.write_text("")
        then = path.stat().st_mtime - age * 24 * 3600
        os.utime(path, (then, then))
    (tmp_path / "kept.npy").write_text("")
    os.utime(tmp_path / "kept.npy", (0, 0))
    remove_leftovers(tmp_path)
    assert names(tmp_path) == [".young.npy.1-ab.tmp", "kept.npy"]
    remove_leftovers(tmp_path / "none")
    remove_leftovers(tmp_path / "kept.npy")


def test_a_file_is_found_through_variables_and_a_missing_one_is_explained(tmp_path, monkeypatch):
    (tmp_path / "w").write_bytes(b"1")
    monkeypatch.setenv("WEIGHTS", str(tmp_path))
    assert require_file("$WEIGHTS/w", "encoder x", "a file of weights") == tmp_path / "w"
    with pytest.raises(DataError, match=r"encoder x: expected a file of weights at .*but there is none.*working dir"):
        require_file("$WEIGHTS/none", "encoder x", "a file of weights")
    with pytest.raises(DataError, match="An environment variable in it is not set"):
        require_file("$NO_SUCH_VARIABLE/w", "encoder x", "a file of weights")


def test_a_digest_follows_the_content_alone(tmp_path):
    one, other = tmp_path / "one", tmp_path / "other"
    one.write_bytes(b"content")
    other.write_bytes(b"content")
    assert file_digest(one) == file_digest(other)
    other.write_bytes(b"Content")
    assert file_digest(one) != file_digest(other)
    assert len(file_digest(one)) == 32
