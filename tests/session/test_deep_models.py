"""Nets in a session: killed anywhere, models on disk or not, they choose and score the same, bit for bit."""

import numpy as np
import pytest

from querist.data.memory import from_arrays
from querist.labels.ledger import JsonlLedger
from querist.labels.oracle import SimulatedOracle
from querist.session.replay import replay
from querist.session.session import Session
from querist.session.setting import Setting

pytest.importorskip("torch", reason="needs the extra deep")
pytestmark = pytest.mark.deep

SMALL = {"net": "small_cnn", "updates": 3, "batch": 4, "device": "cpu"}
LEARNERS = {
    "scratch": {"name": "scratch", **SMALL, "dropout": 0.5},
    "warm": {"name": "warm", **SMALL},
    "ensemble": {"name": "ensemble", "base": {"name": "warm", **SMALL}, "members": 2},
}


@pytest.fixture(scope="module")
def images():
    """Forty grey images of two kinds, a quarter for testing."""
    rng = np.random.default_rng(0)
    y = np.arange(40) % 2
    x = (rng.integers(0, 120, size=(40, 8, 8)) + 100 * y[:, None, None] * (np.arange(8) > 3)).astype(np.uint8)
    split = np.where(np.arange(40) % 4 == 3, "test", "pool")
    return Setting(from_arrays("tiny images", x, y, split=split))


def finish(session: Session) -> None:
    oracle = SimulatedOracle(session.dataset.labels, session.dataset.pool)
    for size in (4, 3, 3)[len(session.book.asked) - (session.book.pending is not None) :]:
        session.tell(oracle.answer(session.ask(size)))
    session.conclude()


@pytest.mark.parametrize("name", LEARNERS)
@pytest.mark.parametrize("keep", ["last", "none"])
def test_on_from_every_line_of_a_ledger(images, tmp_path, name, keep):
    settings = {"learner": LEARNERS[name], "strategy": "margin", "initial": "random"}
    whole = Session(images, **settings, ledger=JsonlLedger(tmp_path / "whole.jsonl"))
    finish(whole)
    expected = (tmp_path / "whole.jsonl").read_bytes()
    lines = expected.splitlines(keepends=True)
    path = tmp_path / "killed.jsonl"
    for count in range(3, len(lines)):
        path.write_bytes(b"".join(lines[:count]))
        session = Session(images, **settings, ledger=JsonlLedger(path), folder=tmp_path / "kept", keep=keep)
        finish(session)
        assert path.read_bytes() == expected, f"after {count} lines"
        assert not (tmp_path / "kept" / "fits").exists()


@pytest.mark.parametrize("name", LEARNERS)
def test_a_stored_net_chooses_and_scores_the_same_again(images, tmp_path, name):
    settings = {"learner": LEARNERS[name], "strategy": "margin", "initial": "random"}
    session = Session(images, **settings, folder=tmp_path, keep="all")
    finish(session)
    for number in (0, 1):
        found = replay(
            session.ledger,
            lambda ledger: Session(images, **settings, ledger=ledger, folder=tmp_path, keep="read"), number,
        )  # fmt: skip
        assert (found.same, found.apart, found.loaded, found.fits) == (True, 0.0, (number,), 0)
        again = replay(session.ledger, lambda ledger: Session(images, **settings, ledger=ledger), number)
        assert (again.same, again.apart, again.loaded) == (True, 0.0, ())
