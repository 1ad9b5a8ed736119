"""The ledger on disk: kills, damage, full disks, odd paths, and writers that are not alone."""

import errno
import json
import os
from pathlib import Path

import pytest

from querist.errors import LedgerCorruptError, LedgerError, StoreError
from querist.labels.events import Answered, Asked, Evaluated, Opened
from querist.labels.ledger import JsonlLedger, MemoryLedger

OPENED = Opened(spec={"strategy": "margin", "note": 'naïve "quotes", ,"chain":"x"}\n\u2028\ud800'})
ASKED = Asked(round=0, purpose="query", ids=(3, 1, 2), utility=(0.1, -1e-300, 5e300), reasons=("a", "", "ß"))
ANSWERED = Answered(round=0, purpose="query", ids=(3, 1, 2), labels=(0, -1, 2))
EVALUATED = Evaluated(checkpoint=0, n_labels=3, metrics={"accuracy": 0.1 + 0.2})
EVENTS = [OPENED, ASKED, EVALUATED, ANSWERED]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.jsonl"


@pytest.fixture
def written(path: Path) -> bytes:
    """The bytes of a ledger with four events."""
    ledger = JsonlLedger(path)
    for event in EVENTS:
        ledger.append(event)
    return path.read_bytes()


def test_events_come_back_in_order(path, written):
    assert list(JsonlLedger(path)) == EVENTS
    assert written.count(b"\n") == len(EVENTS)


def test_the_same_events_are_the_same_bytes(tmp_path, written):
    other = JsonlLedger(tmp_path / "other" / "ledger.jsonl")
    other.append(*EVENTS)  # in one write instead of four
    assert other.path.read_bytes() == written


def test_a_memory_ledger_holds_the_same(path, written):
    memory = MemoryLedger()
    memory.append(*EVENTS)
    assert list(memory) == list(JsonlLedger(path))


def test_iterating_while_appending_is_safe(path):
    ledger = JsonlLedger(path)
    ledger.append(OPENED)
    for _ in ledger:
        ledger.append(ASKED)
    assert list(ledger) == [OPENED, ASKED]


def test_no_file_before_the_first_event(path):
    assert list(JsonlLedger(path)) == []
    assert not path.exists()


# ----------------------------------------------------------------------------------------------------------- torn ends


def test_a_write_torn_at_any_byte_is_forgiven(path, written):
    start = written.rindex(b"\n", 0, -1) + 1
    for cut in range(start, len(written)):
        path.write_bytes(written[:cut])
        ledger = JsonlLedger(path)
        assert list(ledger) == EVENTS[:-1], f"torn at byte {cut}"
        assert list(JsonlLedger(path)) == EVENTS[:-1], f"opened again after being torn at byte {cut}"
        ledger.append(ANSWERED)
        assert path.read_bytes() == written, f"continued after being torn at byte {cut}"


def test_a_shorter_record_leaves_nothing_of_a_longer_torn_one(path, written):
    long = Asked(round=1, purpose="query", ids=tuple(range(100, 160)))
    JsonlLedger(path).append(long)
    path.write_bytes(path.read_bytes()[:-3])
    JsonlLedger(path).append(EVALUATED)
    assert path.read_bytes().startswith(written)
    assert path.read_bytes().count(b"\n") == 5
    assert path.read_bytes().endswith(b'"}\n')


def test_a_tear_inside_several_events_keeps_the_complete_ones(path):
    JsonlLedger(path).append(OPENED)
    first = path.stat().st_size
    JsonlLedger(path).append(ASKED, EVALUATED, ANSWERED)
    whole = path.read_bytes()
    ends = [i + 1 for i, byte in enumerate(whole) if byte == ord("\n")]
    for cut in range(first, len(whole)):
        path.write_bytes(whole[:cut])
        assert list(JsonlLedger(path)) == EVENTS[: sum(end <= cut for end in ends)]


def test_a_hole_in_the_last_line_is_a_tear(path, written):
    """After a power failure a file may have its length, but not all of its blocks."""
    start = written.rindex(b"\n", 0, -1) + 1
    path.write_bytes(written[:start] + bytes(40) + written[start + 40 :])
    assert list(JsonlLedger(path)) == EVENTS[:-1]


# -------------------------------------------------------------------------------------------------------------- damage


@pytest.mark.parametrize("mask", [0x01, 0x04, 0x07, 0x20, 0xFF])
def test_a_flipped_byte_is_found_or_is_the_torn_last_line(path, written, mask):
    last = written.rindex(b"\n", 0, -1) + 1
    for at in range(len(written)):
        damaged = bytearray(written)
        damaged[at] ^= mask
        path.write_bytes(damaged)
        try:
            events = list(JsonlLedger(path))
        except LedgerCorruptError:
            continue
        assert at >= last, f"byte {at} was flipped in a line that was complete, and nobody noticed"
        assert events == EVENTS[:-1]


@pytest.mark.parametrize("gone", [0, 1, 2])
def test_a_line_that_is_missing_is_found(path, written, gone):
    lines = written.splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:gone] + lines[gone + 1 :]))
    with pytest.raises(LedgerCorruptError, match=f"line {gone + 1}: does not continue"):
        JsonlLedger(path)


def test_lines_that_changed_places_are_found(path, written):
    lines = written.splitlines(keepends=True)
    path.write_bytes(b"".join([lines[0], lines[2], lines[1], lines[3]]))
    with pytest.raises(LedgerCorruptError, match="line 2"):
        JsonlLedger(path)


def test_a_line_of_another_ledger_is_found(tmp_path, path, written):
    other = JsonlLedger(tmp_path / "other.jsonl")
    other.append(Opened(spec={"strategy": "entropy"}))
    other.append(ASKED)
    path.write_bytes(written.splitlines(keepends=True)[0] + other.path.read_bytes().splitlines(keepends=True)[1])
    with pytest.raises(LedgerCorruptError, match="line 2"):
        JsonlLedger(path)


@pytest.mark.parametrize(
    "line", [b"", b"[]", b"3", b'"chain"', b"{}", b'{"chain":5}', b"\xff\xfe", b'{"event":"opened"}']
)
def test_a_foreign_line_in_the_middle_is_found(path, written, line):
    lines = written.splitlines(keepends=True)
    path.write_bytes(b"".join([lines[0], line + b"\n", *lines[1:]]))
    with pytest.raises(LedgerCorruptError, match="line 2"):
        JsonlLedger(path)


def test_a_damaged_ledger_says_what_to_do(path, written):
    path.write_bytes(b"X" + written[1:])
    with pytest.raises(LedgerCorruptError, match=r"Restore the file from a copy, or delete its folder"):
        JsonlLedger(path)


def test_an_event_of_a_newer_version_is_refused(path):
    ledger = JsonlLedger(path)
    ledger.append(Opened(spec={}, schema=2))
    with pytest.raises(LedgerError, match="newer Querist"):
        JsonlLedger(path)


def test_a_folder_in_the_place_of_a_ledger(path):
    path.mkdir()
    with pytest.raises(LedgerError, match="cannot read"):
        JsonlLedger(path)


def test_numbers_json_does_not_have_are_refused_before_anything_is_written(path, written):
    ledger = JsonlLedger(path)
    with pytest.raises(ValueError, match="JSON"):
        ledger.append(Evaluated(checkpoint=1, n_labels=3, metrics={"nll": float("inf")}))
    assert path.read_bytes() == written
    assert list(ledger) == EVENTS


# ---------------------------------------------------------------------------------------------------------- full disks


def refuse(number: int):
    def write(*_args):
        raise OSError(number, os.strerror(number))

    return write


@pytest.mark.parametrize("call", ["write", "fsync"])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EIO])
def test_a_refused_write_loses_nothing(path, written, monkeypatch, call, number):
    ledger = JsonlLedger(path)
    with monkeypatch.context() as patch:
        patch.setattr(os, call, refuse(number))
        with pytest.raises(StoreError) as caught:
            ledger.append(ASKED)
    assert str(path) in str(caught.value)
    assert os.strerror(number) in str(caught.value)
    if number != errno.EIO:
        assert "Free some space" in str(caught.value)
    assert path.read_bytes() == written
    assert list(ledger) == list(JsonlLedger(path)) == EVENTS
    ledger.append(ASKED)
    assert list(JsonlLedger(path)) == [*EVENTS, ASKED]


@pytest.mark.parametrize("room", [0, 1, 60])
def test_a_disk_that_fills_up_while_writing(path, written, monkeypatch, room):
    ledger, write = JsonlLedger(path), os.write
    left = [room]

    def narrow(handle, data):
        if not left[0]:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        count = write(handle, bytes(data)[: left[0]])
        left[0] -= count
        return count

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", narrow)
        with pytest.raises(StoreError, match="Free some space"):
            ledger.append(ASKED)
    assert path.read_bytes() == written
    ledger.append(ASKED)
    assert list(JsonlLedger(path)) == [*EVENTS, ASKED]


def test_a_disk_that_fills_up_and_cannot_be_cut_back(path, written, monkeypatch):
    """Whatever half of a line stays behind, the next append and the next process pass over it."""
    ledger, write, cut = JsonlLedger(path), os.write, os.ftruncate
    calls = []
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", lambda handle, data: calls.append(write(handle, bytes(data)[:25])) or 0)
        patch.setattr(os, "ftruncate", lambda handle, size: refuse(errno.EIO)() if calls else cut(handle, size))
        with pytest.raises(StoreError):
            ledger.append(ASKED)
    assert len(path.read_bytes()) == len(written) + 25
    assert list(JsonlLedger(path)) == EVENTS
    ledger.append(ASKED)
    assert list(JsonlLedger(path)) == [*EVENTS, ASKED]


def test_short_writes_are_continued(path, monkeypatch):
    """A system may write less than it was given, for instance after a signal, with room enough."""
    write = os.write
    monkeypatch.setattr(os, "write", lambda handle, data: write(handle, bytes(data)[:7]))
    JsonlLedger(path).append(*EVENTS)
    assert list(JsonlLedger(path)) == EVENTS


def test_the_kernel_itself_refuses(path, written):
    resource = pytest.importorskip("resource")
    ledger = JsonlLedger(path)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(written) + 30, hard))
    try:
        with pytest.raises(StoreError, match="Free some space"):
            ledger.append(ASKED)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert path.read_bytes() == written
    ledger.append(ASKED)
    assert list(JsonlLedger(path)) == [*EVENTS, ASKED]


@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES])
def test_a_read_only_place_says_so(path, monkeypatch, number):
    monkeypatch.setattr(os, "open", refuse(number))
    with pytest.raises(StoreError, match="read-only for you"):
        JsonlLedger(path).append(OPENED)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="the superuser may write everywhere")
def test_a_folder_without_the_right_to_write(path, written):
    path.chmod(0o400)
    path.parent.chmod(0o500)
    try:
        ledger = JsonlLedger(path)
        assert list(ledger) == EVENTS
        with pytest.raises(StoreError, match="read-only for you"):
            ledger.append(ASKED)
    finally:
        path.parent.chmod(0o700)


def test_a_file_in_the_place_of_the_folder(tmp_path):
    (tmp_path / "run").write_text("a file")
    with pytest.raises(StoreError, match="cannot write"):
        JsonlLedger(tmp_path / "run" / "ledger.jsonl").append(OPENED)


# ------------------------------------------------------------------------------------------------------- other writers


def test_another_writer_is_noticed_and_not_overwritten(path, written):
    mine, theirs = JsonlLedger(path), JsonlLedger(path)
    theirs.append(ASKED)
    after = path.read_bytes()
    with pytest.raises(LedgerError, match="another process"):
        mine.append(EVALUATED)
    assert path.read_bytes() == after
    again = JsonlLedger(path)
    assert list(again) == [*EVENTS, ASKED]
    again.append(EVALUATED)


def test_another_writer_is_noticed_even_if_the_size_stays(path, written):
    """What it wrote is as long as the torn line that was there before."""
    JsonlLedger(path).append(Evaluated(checkpoint=7, n_labels=3, metrics={"accuracy": 0.25}))
    path.write_bytes(path.read_bytes()[:-1])
    mine, theirs = JsonlLedger(path), JsonlLedger(path)
    theirs.append(Evaluated(checkpoint=7, n_labels=3, metrics={"accuracy": 0.5}))
    after = path.read_bytes()
    with pytest.raises(LedgerError, match="another process"):
        mine.append(ASKED)
    assert path.read_bytes() == after


def test_a_ledger_that_was_removed_is_not_filled_with_zeros(path, written):
    ledger = JsonlLedger(path)
    path.unlink()
    with pytest.raises(LedgerError, match="another process"):
        ledger.append(ASKED)
    assert list(JsonlLedger(path)) == []


def test_a_ledger_that_was_cut_is_not_filled_with_zeros(path, written):
    ledger = JsonlLedger(path)
    path.write_bytes(written[:-20])
    with pytest.raises(LedgerError, match="another process"):
        ledger.append(ASKED)
    assert path.read_bytes() == written[:-20]


# ----------------------------------------------------------------------------------------------------------- odd paths


@pytest.mark.parametrize("name", ["a'; echo foo", "ünïcödé 数据", "with space", "new\nline", "-rf", "%s{x}", "." * 3])
def test_odd_folders(tmp_path, name):
    path = tmp_path / name / name / "ledger.jsonl"
    for event in EVENTS:
        JsonlLedger(os.fspath(path)).append(event)
    assert list(JsonlLedger(path)) == EVENTS
    path.write_bytes(b"{}\n{}\n")
    with pytest.raises(LedgerCorruptError) as caught:
        JsonlLedger(path)
    assert str(path) in str(caught.value)


def test_a_person_can_read_it(path, written):
    lines = [json.loads(line) for line in written.splitlines()]
    assert [line["event"] for line in lines] == ["opened", "asked", "evaluated", "answered"]
    assert lines[1]["ids"] == [3, 1, 2]
    assert {"time", "host", "pid"}.isdisjoint(set().union(*lines))
