"""Following the runs of a study: always in lines beside them, on request in trackers, never in the record."""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pytest

from querist.errors import MissingExtraError, UnknownNameError
from querist.session.tracking.base import TrackedRun, Tracking, trackers
from querist.session.tracking.lines import LineTracker, read_lines
from querist.studies.following import pace_of


@dataclass(frozen=True, kw_only=True)
class Notebook(Tracking):
    """Lines in the folder of the study; may fail at any step."""

    extra: ClassVar[str] = "deep"
    fails: str = ""

    def prepare(self, folder: Path, study: str) -> None:
        if self.fails == "prepare":
            raise ConnectionError("nobody answers")
        (folder / "notebook").mkdir(parents=True)

    def open(self, run: TrackedRun) -> LineTracker:
        if self.fails == "open":
            raise ConnectionError("nobody answers")
        return LineTracker(run.folder / ("missing" if self.fails == "log" else "notebook") / run.file_name)


@pytest.fixture(scope="module", autouse=True)
def _named():
    trackers.register("notebook")(Notebook)
    yield
    del trackers._cards["notebook"], trackers._names["notebook"]


def lines(study):
    return {
        run.digest: list(read_lines(study.store.run(run).path / "metrics.jsonl")) for run in study.plan.runs
    }  # fmt: skip


def ledgers(study):
    return {run.digest: (study.store.run(run).path / "ledger.jsonl").read_bytes() for run in study.plan.runs}


def test_every_round_of_every_run_stands_in_its_lines(study):
    one = study()
    one.run()
    for run in one.plan.runs:
        told = [line for line in lines(one)[run.digest] if line["event"] == "round"]
        book = one.store.book(run)
        assert [line["step"] for line in told] == [5, 9, 13]
        assert [line["accuracy"] for line in told] == [book.evaluations[t].metrics["accuracy"] for t in range(3)]


def test_a_tracker_hears_what_the_lines_hear_and_changes_no_record(study, tmp_path):
    quiet, told = study(tmp_path / "a"), study(tmp_path / "b")
    quiet.run()
    told.run(track=["notebook"])
    assert ledgers(quiet) == ledgers(told)
    for run in told.plan.runs:
        (path,) = (told.folder / "tracking" / "notebook").glob(f"*-{run.digest[:8]}")
        assert path.name.startswith(f"{run.arm.name}___pool_{run.pool}___seed_{run.seed}")
        strip = [{k: v for k, v in line.items() if k != "time"} for line in read_lines(path)]
        assert strip == [{k: v for k, v in line.items() if k != "time"} for line in lines(told)[run.digest]]


def test_a_run_that_is_on_record_is_told_to_nobody(study):
    one = study()
    one.run()
    before = lines(one)
    study().run(track=["notebook"])
    assert lines(one) == before
    assert list((one.folder / "tracking" / "notebook").iterdir()) == []


def test_a_run_that_was_killed_goes_on_in_its_lines(study):
    one = study(study_strategy=["margin"], study_pools=1)
    one.run()
    (run,) = one.plan.runs
    path = one.store.run(run).path / "ledger.jsonl"
    whole = path.read_bytes()
    path.write_bytes(b"".join(whole.splitlines(keepends=True)[:5]))
    count = len(lines(one)[run.digest])
    study(study_strategy=["margin"], study_pools=1).run()
    assert path.read_bytes() == whole
    recalls = [line["step"] for line in lines(one)[run.digest] if line["event"] == "recall"]
    assert len(lines(one)[run.digest]) > count
    assert recalls == [*range(1, len(recalls) + 1)]


@pytest.mark.parametrize("fails", ["prepare", "open", "log"])
def test_a_tracker_that_fails_stops_no_run_and_is_told_of_once(study, caplog, fails):
    one = study()
    with caplog.at_level(logging.WARNING):
        one.run(track=[f"notebook(fails='{fails}')"])
    assert all(state.finished == state.runs for state in one.status())
    (message,) = caplog.messages
    assert "notebook" in message
    assert "left out" in message
    assert all(lines(one).values())


def test_a_tracker_that_does_not_exist_or_is_not_installed_is_a_mistake_before_anything_runs(study, monkeypatch):
    one = study()
    with pytest.raises(UnknownNameError, match="Did you mean 'mlflow'"):
        one.run(track=["mlfow"])
    monkeypatch.setattr("querist.extras.find_spec", lambda module: None)
    with pytest.raises(MissingExtraError, match=r"querist\[wandb\]"):
        one.run(track=["wandb"])
    assert not one.store.path.exists()


def test_the_pace_of_an_arm_is_a_median_of_what_its_epochs_told(study):
    one = study()
    one.run()
    assert one.paces() == {}
    folders = [one.store.run(run) for run in one.plan.runs]
    assert pace_of(folders) is None
    for folder, speeds in zip(folders, ([100.0, 300.0], [200.0], [9000.0]), strict=False):
        for speed in speeds:
            LineTracker(folder.path / "metrics.jsonl").log(
                "epoch", {"images_per_second": speed, "waiting": 30 / speed}, 1
            )
    LineTracker(folders[3].path / "metrics.jsonl").log("epoch", {"loss": 1.0}, 1)  # of a pre-training, say
    assert pace_of(folders[:2]) == (200.0, 0.15)
    assert pace_of(folders) == (250.0, 0.125)
    assert pace_of(folders[3:]) is None


def test_worker_processes_follow_too(tmp_path):
    """With a real tracker and a real dataset, for those of this file exist in this process alone."""
    pytest.importorskip("tensorboard", reason="needs the extra tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    from querist.studies.spec import parse_study
    from querist.studies.study import Study

    document = {
        "study": {"name": "x", "dataset": "digits", "strategy": ["random", "margin"], "pools": 1},
        "budget": {"step": 10, "rounds": 1},
    }
    one = Study(parse_study(document), tmp_path)
    one.run(workers=2, track=["tensorboard"])
    for run in one.plan.runs:
        (folder,) = (one.folder / "tracking" / "tensorboard").glob(f"*-{run.digest[:8]}")
        reader = EventAccumulator(str(folder))
        reader.Reload()
        assert [point.step for point in reader.Scalars("round/accuracy")] == [10, 20]
        assert [line["step"] for line in lines(one)[run.digest] if line["event"] == "round"] == [10, 20]
