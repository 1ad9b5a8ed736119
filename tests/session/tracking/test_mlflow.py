"""MLflow: its own client finds what was logged in the local database, and nothing leaves the machine."""

import socket

import pytest

from querist.session.tracking.base import TrackedRun, trackers

for module in ("mlflow", "sqlalchemy", "alembic"):
    pytest.importorskip(module, reason="needs the extra mlflow")


@pytest.fixture
def lonely(monkeypatch):
    """A machine without a network."""

    def refuse(self, address):
        raise AssertionError(f"something wants to connect to {address}")

    monkeypatch.setattr(socket.socket, "connect", refuse)


def test_its_own_client_finds_every_number(tmp_path, lonely):
    """One test, for the database takes seconds to make."""
    from mlflow.tracking import MlflowClient

    run = TrackedRun(
        study="my study", name="margin | pool 0 | seed 0", identity="0123456789",
        settings={"learner": {"name": "scratch", "lr": 0.1}, "pool": 0, "long": "x" * 9000}, folder=tmp_path / "a b",
    )  # fmt: skip
    tracking = trackers.build("mlflow")
    tracking.prepare(run.folder, run.study)
    tracking.prepare(run.folder, run.study)
    tracker = tracking.open(run)
    for step, loss in ((1, 0.5), (2, 0.25)):
        tracker.log("epoch", {"loss": loss, "optimiser": "sgd"}, step)
    tracker.log("recall", {"straße (a|b)": 0.5}, 1)
    tracker.log("trial", {"optimiser": "adam"}, 1)
    other = tracking.open(run)  # many at a time
    tracker.close()

    client = MlflowClient(tracking_uri=f"sqlite:///{run.folder / 'mlflow.db'}")
    (experiment,) = [e for e in client.search_experiments() if e.name != "Default"]
    assert experiment.name == "my study"
    states = {found.info.status: found for found in client.search_runs([experiment.experiment_id])}
    assert set(states) == {"FINISHED", "RUNNING"}
    found = states["FINISHED"]
    assert found.info.run_name == run.name
    assert found.data.params["learner.name"] == "scratch"
    assert found.data.params["learner.lr"] == "0.1"
    assert len(found.data.params["long"]) == 500
    assert found.data.tags["querist.run"] == run.identity
    history = client.get_metric_history(found.info.run_id, "epoch/loss")
    assert [(point.step, point.value) for point in history] == [(1, 0.5), (2, 0.25)]
    assert set(found.data.metrics) == {"epoch/loss", "recall/straße _a_b_"}
    other.close()
