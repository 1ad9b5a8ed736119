"""TensorBoard: its own reader finds what was logged, line by line, without torch or TensorFlow."""

import subprocess
import sys

import pytest

from querist.session.tracking.base import TrackedRun, trackers

pytest.importorskip("tensorboard", reason="needs the extra tensorboard")


@pytest.fixture
def run(tmp_path):
    return TrackedRun(
        study="s", name="margin | pool 0 | seed 0", identity="0123456789", settings={}, folder=tmp_path / "x"
    )


def read(run):
    """Everything that TensorBoard's reader sees of a run."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    reader = EventAccumulator(str(run.folder / "tensorboard" / run.file_name))
    reader.Reload()
    return {tag: [(point.step, point.value) for point in reader.Scalars(tag)] for tag in reader.Tags()["scalars"]}


def test_its_own_reader_finds_every_number(run):
    tracker = trackers.build("tensorboard").open(run)
    for step, loss in ((1, 0.5), (2, 0.25), (3, float("nan"))):
        tracker.log("epoch", {"loss": loss, "optimiser": "sgd", "epoch": step}, step)
    tracker.log("trial", {"optimiser": "adam"}, 1)
    tracker.log("round", {"accuracy": 0.75}, 20)
    found = read(run)  # before it is closed: a run that is killed has told what it told
    tracker.close()
    loss = found.pop("epoch/loss")
    assert loss[:2] == [(1, 0.5), (2, 0.25)]
    assert loss[2][1] != loss[2][1]
    assert found == {"epoch/epoch": [(1, 1.0), (2, 2.0), (3, 3.0)], "round/accuracy": [(20, 0.75)]}


def test_a_run_that_goes_on_is_read_together_with_its_beginning(run):
    for step in (1, 2):
        tracker = trackers.build("tensorboard").open(run)
        tracker.log("round", {"accuracy": step / 4}, step)
        tracker.close()
    assert read(run) == {"round/accuracy": [(1, 0.25), (2, 0.5)]}


def test_it_needs_neither_torch_nor_tensorflow(tmp_path):
    """In a process where neither can be imported."""
    program = f"""
import sys
sys.modules["torch"] = sys.modules["tensorflow"] = None
from pathlib import Path
from querist.session.tracking.base import TrackedRun, trackers
run = TrackedRun(study="s", name="n", identity="0" * 9, settings={{}}, folder=Path({str(tmp_path)!r}))
tracker = trackers.build("tensorboard").open(run)
tracker.log("epoch", {{"loss": 1.0}}, 1)
tracker.close()
"""
    subprocess.run([sys.executable, "-W", "error", "-c", program], check=True, timeout=120)
    assert len(list((tmp_path / "tensorboard" / "n-00000000").iterdir())) == 1
