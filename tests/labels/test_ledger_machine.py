"""A ledger under appends, kills, full disks, damage and reopening in any order, beside a plain list."""

import errno
import os
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path

from hypothesis import settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from querist.errors import LedgerCorruptError, LedgerError, StoreError
from querist.labels.events import Answered, Asked, Evaluated, Event, Opened
from querist.labels.ledger import JsonlLedger

MEMORY = Path("/dev/shm")
"""A disk in memory, where there is one: thousands of examples should not wait for a real one."""
EXAMPLES = int(os.environ.get("QUERIST_EXAMPLES", "100"))

ids = st.lists(st.integers(0, 10**6), min_size=1, max_size=3).map(tuple)
event = st.one_of(
    st.builds(Opened, spec=st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=2)),
    st.builds(Asked, round=st.integers(-1, 9), purpose=st.text(max_size=5), ids=ids, reasons=st.just(("x\ny",))),
    st.builds(Answered, round=st.integers(-1, 9), purpose=st.just("query"), ids=ids, labels=ids),
    st.builds(Evaluated, checkpoint=st.integers(0, 9), n_labels=st.integers(0, 9), metrics=st.just({"nll": 0.1})),
)


@contextmanager
def patched(name: str, replacement):
    original = getattr(os, name)
    setattr(os, name, replacement)
    try:
        yield original
    finally:
        setattr(os, name, original)


class LedgerMachine(RuleBasedStateMachine):
    @initialize()
    def start(self):
        self.folder = Path(tempfile.mkdtemp(dir=MEMORY if MEMORY.is_dir() else None))
        self.path = self.folder / "a'; echo foo" / "ledger.jsonl"
        self.ledger = JsonlLedger(self.path)
        self.known: list[Event] = []

    def teardown(self):
        shutil.rmtree(self.folder, ignore_errors=True)

    def complete_lines(self) -> bytes:
        whole = self.path.read_bytes() if self.path.exists() else b""
        return whole[: whole.rfind(b"\n") + 1]

    @rule(events=st.lists(event, min_size=1, max_size=3))
    def append(self, events):
        self.ledger.append(*events)
        self.known += events
        left = self.path.read_bytes().removeprefix(self.complete_lines())
        assert not left, "something torn is left behind what was written"

    @rule()
    def reopen(self):
        self.ledger = JsonlLedger(self.path)

    @rule(events=st.lists(event, min_size=1, max_size=3), share=st.floats(0, 1, exclude_max=True))
    def killed_while_writing(self, events, share):
        """The process dies; of its last write only a beginning is in the file."""
        before = self.complete_lines()
        self.ledger.append(*events)
        written = self.path.read_bytes()[len(before) :]
        cut = int(share * len(written))
        self.path.write_bytes(before + written[:cut])
        self.known += events[: written[:cut].count(b"\n")]
        self.ledger = JsonlLedger(self.path)

    @rule(events=st.lists(event, min_size=1, max_size=2), room=st.integers(0, 80), keep=st.booleans())
    def the_disk_is_full(self, events, room, keep):
        """A write that does not fit is taken back, now or, if the disk does not even allow that, by the next append."""
        left = [room]

        def write(handle, data):
            if not left[0]:
                raise OSError(errno.ENOSPC, "full")
            count = really_write(handle, bytes(data)[: left[0]])
            left[0] -= count
            return count

        def ftruncate(handle, size):
            if keep and len(events) == 1 and left[0] < room:
                raise OSError(errno.EIO, "broken")
            really_cut(handle, size)

        with patched("write", write) as really_write, patched("ftruncate", ftruncate) as really_cut:
            try:
                self.ledger.append(*events)
            except StoreError:
                pass
            else:
                self.known += events

    @rule(events=st.lists(event, min_size=1, max_size=2))
    def another_process_writes(self, events):
        """The other one goes on; this one is told and must open the ledger again."""
        other = JsonlLedger(self.path)
        other.append(*events)
        self.known += events
        after = self.path.read_bytes()
        try:
            self.ledger.append(*events)
        except LedgerError:
            assert self.path.read_bytes() == after
        else:
            raise AssertionError("the other process was overwritten")
        self.ledger = other

    @precondition(lambda self: self.known)
    @rule(data=st.data(), mask=st.integers(1, 255))
    def a_byte_is_flipped(self, data, mask):
        complete = self.complete_lines()
        at = data.draw(st.integers(0, len(complete) - 1))
        damaged = bytearray(complete)
        damaged[at] ^= mask
        copy = self.folder / "copy.jsonl"
        copy.write_bytes(damaged)
        try:
            events = list(JsonlLedger(copy))
        except LedgerCorruptError:
            return
        assert events == self.known[:-1]
        assert at > complete.rfind(b"\n", 0, -1), "damage in the middle went unnoticed"

    @invariant()
    def the_file_holds_what_is_known(self):
        if not hasattr(self, "known"):
            return
        assert list(self.ledger) == self.known
        assert list(JsonlLedger(self.path)) == list(JsonlLedger(self.path)) == self.known


TestLedger = LedgerMachine.TestCase
TestLedger.settings = settings(max_examples=EXAMPLES, stateful_step_count=15, deadline=None)
