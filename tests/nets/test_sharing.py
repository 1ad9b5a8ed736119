"""Scoring by several processes: every row once, in its place, whoever scores it and whenever it comes back."""

import sys
import threading
import time

import numpy as np
import pytest
from hypothesis import given, strategies as st

torch = pytest.importorskip("torch", reason="needs the extra deep")
pytest.importorskip("lightning_fabric", reason="needs the extra deep")
pytestmark = pytest.mark.deep

from querist.data.memory import from_arrays
from querist.errors import DataError, FitError
from querist.evidence.view import View
from querist.nets import sharing
from querist.nets.sharing import parts_of, shared
from querist.progress import listening, tell

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def pictures():
    x = np.random.default_rng(0).integers(0, 256, (1000, 5, 4), dtype=np.uint8)
    return from_arrays("pictures", x, np.arange(1000) % 2)


def sums(view):
    """Return ids, and sums of the images: rows ``(n, 2)`` that know which they are."""
    tell("scoring", len(view), len(view))
    return np.stack([view.ids, view.items().reshape(len(view), -1).sum(axis=1)], axis=1).astype(np.float32)


def draws(view):
    one = sums(view)
    return np.stack([one, 2 * one, 3 * one])


def threads(task, devices, kind, step):
    """Do a task in threads of this process, the first of which is the slowest."""

    def work(rank):
        if rank == 0:
            time.sleep(0.05)
        task.work(rank, devices, kind, None)

    working = [threading.Thread(target=work, args=(rank,), daemon=True) for rank in range(devices)]
    for thread in working:
        thread.start()
    while any(thread.is_alive() for thread in working):
        step()


@pytest.fixture
def always(monkeypatch):
    """Share whatever is more than a trial, in threads."""
    monkeypatch.setattr(sharing, "WORTH", -1.0)
    monkeypatch.setattr(sharing, "run", threads)


@pytest.mark.parametrize("score", [sums, draws])
@pytest.mark.parametrize("devices", [2, 3])
@pytest.mark.parametrize("order", ["ascending", "shuffled", "repeated"])
def test_every_row_comes_back_to_its_place(pictures, always, score, devices, order):
    rng = np.random.default_rng(1)
    orders = {"ascending": np.arange(900), "shuffled": rng.permutation(1000), "repeated": rng.integers(0, 1000, 800)}
    view = View(pictures, orders[order])
    heard = []
    with listening(lambda *news: heard.append(news)):
        found = shared(score, view, devices, CPU, lambda room: lambda device: score)
    assert np.array_equal(found, score(view))
    assert found.dtype == np.float32
    assert {(what, total) for what, _, total in heard} == {("scoring", len(view))}
    counts = [done for _, done, _ in heard if done]
    assert counts[:2] == [64, 128], "the trial is part of the work"
    if order != "repeated":
        assert counts[-1] == len(view)


def test_what_one_device_does_soon_starts_no_process(pictures, monkeypatch):
    monkeypatch.setattr(sharing, "run", None)
    view = View(pictures, np.arange(1000))
    assert np.array_equal(shared(sums, view, 2, CPU, None), sums(view))
    monkeypatch.setattr(sharing, "WORTH", -1.0)
    few = view.take(np.arange(128))
    assert np.array_equal(shared(sums, few, 2, CPU, None), sums(few))
    assert np.array_equal(shared(sums, view, 1, CPU, None), sums(view))


def test_what_takes_long_is_shared(pictures, monkeypatch):
    monkeypatch.setattr(sharing, "run", threads)
    monkeypatch.setattr(sharing, "WORTH", 0.5)
    sent = []

    def slow(view):
        time.sleep(len(view) * 0.01 if not sent else 0)
        return sums(view)

    def send(room):
        sent.append(room)
        return lambda device: slow

    view = View(pictures, np.arange(500))  # 3.7 seconds are left after the trial, of which two devices save half
    assert np.array_equal(shared(slow, view, 2, CPU, send), sums(view))
    assert sent
    assert not sent[0].exists()


def test_rows_that_do_not_come_back_are_an_error(pictures, always, monkeypatch):
    give = sharing._give
    monkeypatch.setattr(
        sharing, "_give",
        lambda room, kind, part, ids, values: give(room, kind, part, ids, values)
        if kind == "images" else give(room, kind, part, ids[1:], values[1:]),
    )  # fmt: skip
    with pytest.raises(FitError, match=r"8 of 500 rows did not come back .* Set devices = 1"):
        shared(sums, View(pictures, np.arange(628)), 2, CPU, lambda room: lambda device: sums)


def test_items_that_change_are_refused(always):
    class Changing:
        def __init__(self):
            self.calls = 0

        def __len__(self):
            return 300

        def __getitem__(self, ids):
            self.calls += 1
            return np.full((len(ids), 4, 4), self.calls % 256, np.uint8)

    data = from_arrays("changing", np.zeros((300, 4, 4), np.uint8), np.arange(300) % 2)
    object.__setattr__(data, "items", Changing())
    with pytest.raises(DataError, match="were read twice and differ"):
        shared(sums, View(data, np.arange(300)), 2, CPU, lambda room: lambda device: sums)


@given(
    n=st.integers(1, 5000), devices=st.integers(2, 5), size=st.sampled_from([1, 8, 64]),
    row_bytes=st.sampled_from([1, 10_000, 1 << 20, 1 << 28]),
)  # fmt: skip
def test_parts_are_whole_blocks_and_hold_every_row_once(n, devices, size, row_bytes):
    parts = parts_of(n, devices, size, row_bytes)
    assert np.array_equal(np.concatenate(parts), np.arange(n))
    assert all(len(part) % size == 0 for part in parts[:-1])
    assert max(map(len, parts)) <= max(size, sharing.CHUNK_BYTES // row_bytes)
    blocks = -(-n // size)
    shares = [sum(-(-len(part) // size) for part in parts[rank::devices]) for rank in range(devices)]
    assert max(shares) - min(shares) <= max(2, blocks / (devices * 4) + 1), "devices have about as much to do"


KILLED = """
import os, signal

def make(device):
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL")
def test_a_process_that_dies_is_an_error_that_says_what_to_do(pictures, tmp_path, monkeypatch):
    (tmp_path / "querist_test_killed.py").write_text(KILLED)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sharing, "WORTH", -1.0)
    from querist_test_killed import make

    with pytest.raises(FitError, match=r"(?s)process \d of 2 was killed by signal 9.*set devices = 1"):
        shared(sums, View(pictures, np.arange(1000)), 2, CPU, lambda room: make)
