"""Weights & Biases: offline runs on disk that hold what was logged, several at a time."""

import json

import pytest

from querist.session.tracking.base import TrackedRun, trackers

wandb = pytest.importorskip("wandb", reason="needs the extra wandb")


@pytest.fixture
def service(monkeypatch):
    """End the process that W&B writes with."""
    monkeypatch.setenv("WANDB_MODE", "offline")
    yield
    wandb.teardown()


def records(path):
    """Every record of a run file: the log format of LevelDB, in blocks of 32 KiB after a header of seven bytes."""
    from wandb.proto import wandb_internal_pb2

    content, position, parts = path.read_bytes(), 7, b""
    assert content[:4] == b":W&B"
    while position + 7 <= len(content):
        left = 32768 - position % 32768
        if left < 7:
            position += left
            continue
        length, kind = int.from_bytes(content[position + 4 : position + 6], "little"), content[position + 6]
        parts += content[position + 7 : position + 7 + length]
        position += 7 + length
        if kind in (1, 4):  # whole, or the last part
            record = wandb_internal_pb2.Record()
            record.ParseFromString(parts)
            parts = b""
            yield record


def test_an_offline_run_holds_every_value(tmp_path, service):
    tracking = trackers.build("wandb")
    tracking.prepare(tmp_path, "my study")
    opened = []
    for name in ("margin", "random"):
        run = TrackedRun(
            study="my study",
            name=name,
            identity="0123456789",
            settings={"learner": {"name": "linear"}},
            folder=tmp_path,
        )
        opened.append(tracking.open(run))
    for tracker, loss in zip(opened, (0.5, 0.25), strict=True):
        tracker.log("epoch", {"loss": loss, "optimiser": "sgd"}, 7)
    for tracker in opened:
        tracker.close()
    assert wandb.run is None
    wandb.teardown()  # waits until the process that writes has written
    told = {}
    for path in tmp_path.glob("wandb/offline-run-*/run-*.wandb"):
        found = list(records(path))
        (about,) = [record.run for record in found if record.WhichOneof("record_type") == "run"]
        (line,) = [record.history for record in found if record.WhichOneof("record_type") == "history"]
        values = {item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in line.item}
        assert about.project == "my study"
        told[about.display_name] = {name: value for name, value in values.items() if not name.startswith("_")}
    assert told == {
        name: {"epoch/loss": loss, "epoch/optimiser": "sgd", "epoch/step": 7}
        for name, loss in (("margin", 0.5), ("random", 0.25))
    }
