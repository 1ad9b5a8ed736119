"""What is found below a folder, what is passed over and why, always in the order of bytes."""

import os

import pytest

from querist.data.images.walk import Found, by_bytes, look_at, walk


def write(path, data=b"x"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def test_files_in_the_order_of_bytes(tmp_path):
    for name in ("b/1", "a-/2", "a/3", "a/B", "a/é", "a.txt", "Z"):
        write(tmp_path / name, b"four")
    found, passed = walk(tmp_path)
    assert [file.path for file in found] == ["Z", "a-/2", "a.txt", "a/3", "a/B", "a/é", "b/1"]
    assert [file.path for file in found] == sorted((file.path for file in found), key=str.encode)
    assert {file.size for file in found} == {4}
    assert found[0].mtime_ns == (tmp_path / "Z").stat().st_mtime_ns
    assert passed == []


def test_links_are_followed_but_not_in_circles(tmp_path):
    root = tmp_path / "root"
    write(tmp_path / "outside" / "1.png")
    write(root / "a" / "2.png")
    (root / "b").symlink_to(tmp_path / "outside", target_is_directory=True)
    (root / "a" / "linked.png").symlink_to("2.png")
    (root / "a" / "up").symlink_to(root, target_is_directory=True)
    (root / "a" / "self").symlink_to("self")
    (root / "a" / "lost.png").symlink_to("/nowhere/at all")
    found, passed = walk(root)
    assert [file.path for file in found] == ["a/2.png", "a/linked.png", "b/1.png"]
    reasons = dict(passed)
    assert reasons.pop("a/lost.png") == "broken link: it points to '/nowhere/at all', which does not exist"
    assert reasons.pop("a/self").startswith("unreadable: Too many levels")
    assert reasons == {"a/up": "a link back to a folder it lies in"}


def test_hidden_empty_and_misnamed_folders(tmp_path):
    write(tmp_path / ".git" / "objects" / "1.png")
    write(tmp_path / "x.jpg" / "1.png")
    write(tmp_path / "a" / "._1.png")
    (tmp_path / "e").mkdir()
    found, passed = walk(tmp_path)
    assert found == []
    assert [thing.path for thing in passed] == [".git", "a/._1.png", "e", "x.jpg"]
    assert passed[3].reason.startswith("a folder with the name of an image")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs pipes in the file system")
def test_a_pipe_is_not_opened(tmp_path):
    os.mkfifo(tmp_path / "p.png")
    assert walk(tmp_path) == ([], [("p.png", "not a regular file but a pipe, a socket or a device")])


def test_names_that_are_no_text(tmp_path):
    try:
        write(tmp_path / os.fsdecode(b"caf\xe9.png"))
    except OSError:
        pytest.skip("this file system has no such names")
    assert walk(tmp_path) == ([], [("caf\\xe9.png", "its name is not valid UTF-8; rename it")])


def test_looking_at_one_place(tmp_path):
    write(tmp_path / "a")
    assert look_at("name", tmp_path / "a") == Found("name", 1, (tmp_path / "a").stat().st_mtime_ns)
    assert look_at("b", tmp_path / "b") == ("b", "missing: there is no such file")
    assert look_at(".", tmp_path) == (".", "a folder, not an image")
    for name in ("nul\0l", "half \ud83d"):
        passed = look_at(name, tmp_path / name)
        assert passed[1] == "no file can have this name"
        assert by_bytes(passed)
