"""Running studies: to the end, on from where they were, beside changed ones, and past failures."""

import errno
import json
import os
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from querist.errors import EditedStudyError, LedgerCorruptError, StoreError, StudyError
from querist.labels.book import Book
from querist.labels.events import INITIAL, QUERY, VALIDATION
from querist.labels.ledger import JsonlLedger
from querist.session.evaluator import Evaluator
from querist.session.metrics import METRICS
from querist.strategies.base import strategies
from querist.studies.store import Store


def tables(study: Any) -> dict[str, bytes]:
    return {name: (study.folder / f"{name}.parquet").read_bytes() for name in ("rounds", "picks")}


def ledgers(store: Path) -> dict[str, bytes]:
    return {path.parent.name: path.read_bytes() for path in store.glob("runs/*/ledger.jsonl")}


def fits() -> list[Any]:
    return strategies_learner().fits


def strategies_learner() -> Any:
    from querist.learners.base import learners

    return learners.card("nearest").component


# ---------------------------------------------------------------------------------------------------------- one study


def test_a_study_from_nothing_to_its_tables(study, tmp_path):
    one = study(study_strategy=["random", "margin", "whole"], validation_size=3)
    assert not (tmp_path / "store").exists()
    assert [s.finished for s in one.status()] == [0, 0, 0]
    one.run()
    assert [(s.arm, s.runs, s.finished, s.failed) for s in one.status()] == [
        ("random", 2, 2, 0), ("margin", 2, 2, 0), ("whole", 6, 6, 0),
    ]  # fmt: skip
    rounds = pd.read_parquet(one.folder / "rounds.parquet")
    assert len(rounds) == 3 * 2 * 3 * len(METRICS)
    assert rounds["value"].between(0, 5).all()
    for (_, _, checkpoint), part in rounds.groupby(["arm", "pool", "checkpoint"]):
        assert part["n_labels"].unique().tolist() == [3 + 5 + 4 * checkpoint]
        assert part["n_validation"].unique().tolist() == [3]
        assert (part["n_initial"] + part["n_query"] + part["n_validation"] == part["n_labels"]).all()
        assert part["metric"].tolist() == sorted(METRICS)
    picks = pd.read_parquet(one.folder / "picks.parquet")
    shared = picks[picks["arm"] != "whole"]
    assert len(shared) == 2 * 2 * 13
    assert not shared.duplicated(["arm", "pool", "id"]).any()
    assert (picks["key"] == "item-" + picks["id"].astype(str)).all()
    assert sorted(picks[picks["arm"] == "whole"].groupby(["pool", "round"]).size().tolist()) == [5, 5, 9, 9, 13, 13]
    first = shared[shared["round"] == -1].sort_values(["arm", "pool", "rank"])
    by_arm = [part[["pool", "rank", "id"]].to_numpy().tolist() for _, part in first.groupby("arm")]
    assert by_arm[0] == by_arm[1], "initial pools are not paired"


def test_every_run_is_on_record(study, tmp_path):
    one = study(validation_size=3)
    one.run()
    for run in one.plan.runs:
        folder = tmp_path / "store" / "runs" / run.digest
        assert json.loads((folder / "spec.json").read_text()) == json.loads(json.dumps(run.spec))
        book = Book.replay(JsonlLedger(folder / "ledger.jsonl"))
        assert book.spec == json.loads(json.dumps(run.spec))
        assert book.spent == {VALIDATION: 3, INITIAL: 5, QUERY: 8}
        assert {t: e.n_labels for t, e in book.evaluations.items()} == {0: 8, 1: 12, 2: 16}
        assert not (folder / "error.json").exists()


def test_a_second_run_does_nothing(study, tmp_path):
    study().run()
    before, done = ledgers(tmp_path / "store"), len(fits())
    again = study()
    assert again.missing == 0
    again.run()
    assert ledgers(tmp_path / "store") == before
    assert len(fits()) == done


def test_the_store_and_the_name_change_no_byte(study, tmp_path):
    one, other = study(), study(store=tmp_path / "a'; echo foo" / "ünï", study_name="other")
    one.run()
    other.run()
    assert ledgers(one.store.path) == ledgers(other.store.path)
    assert tables(one)["picks"] == tables(other)["picks"]
    assert one.records().rounds.drop(columns="study").equals(other.records().rounds.drop(columns="study"))


def test_studies_in_one_store_share_their_runs(study):
    study().run()
    done = len(fits())
    other = study(study_name="other", study_strategy=["margin", "badge"])
    other.run()
    assert len(fits()) - done == 2 * 3
    assert [s.finished for s in other.status()] == [2, 2]


def test_progress_never_falls_and_ends_at_all(study, monkeypatch):
    monkeypatch.setattr("querist.studies.launch.POLL", 0.001)
    seen: list[tuple[int, int]] = []
    study(study_pools=4).run(tick=lambda *count: seen.append(count))
    assert seen[-1] == (24, 24)
    assert seen == sorted(seen)


# ----------------------------------------------------------------------------------------------- longer, wider, other


@pytest.mark.parametrize("short", [0, 1])
def test_a_longer_study_continues_a_shorter_one(study, tmp_path, monkeypatch, short):
    tested = []
    test = Evaluator.test
    monkeypatch.setattr(Evaluator, "test", lambda self, model: tested.append(1) or test(self, model))
    long = {"study_strategy": ["random", "margin", "whole"], "budget_rounds": 3}
    calm = study(store=tmp_path / "calm", **long)
    calm.run()
    whole, all_tests = Counter(fits()), len(tested)
    assert max(whole.values()) <= 3  # one-shot runs and arms share seeds; nothing is fitted twice within a run
    fits().clear()
    tested.clear()
    study(**{**long, "budget_rounds": short}).run()
    study(**long).run()
    # Where the short study ended, the ledger has the test before the query instead of behind it; nothing else differs.
    for run in calm.plan.runs:
        continued, undisturbed = Store(tmp_path / "store").book(run), Store(tmp_path / "calm").book(run)
        assert continued == undisturbed
    assert tables(study(**long)) == tables(calm)
    assert len(tested) == all_tests, "a checkpoint was tested twice"
    # The model of the last checkpoint is not kept: to choose the next query, a rule that asks it has it fitted again.
    again = Counter(fits()) - whole
    assert sorted(again.values()) == [1, 1], "one fit per pool, for margin alone"


def test_a_shorter_study_reads_what_the_longer_one_left(study):
    study(budget_rounds=3).run()
    done = len(fits())
    short = study(budget_rounds=1)
    short.run()
    assert len(fits()) == done
    records = short.records()
    assert sorted(records.rounds["checkpoint"].unique()) == [0, 1]
    assert records.picks["round"].max() == 0
    fresh = study(store=short.store.path.parent / "fresh", budget_rounds=1)
    fresh.run()
    assert tables(fresh) == tables(short)


def test_more_pools_seeds_and_arms_are_welcome(study):
    study().run()
    done = len(fits())
    wide = study(study_pools=3, study_seeds=2, study_strategy=["badge", "margin", "random"])
    wide.run()
    assert len(fits()) - done == (3 * 3 * 2 - 4) * 3
    assert [s.finished for s in wide.status()] == [6, 6, 6]
    stored = json.loads((wide.folder / "study.json").read_text())
    assert sorted(stored["arms"]) == ["badge", "margin", "random"]
    study().run()  # fewer are no contradiction either


EDITS: dict[str, tuple[dict[str, Any], str]] = {
    "step": ({"budget_step": 5}, "budget.next: 9 -> 10"),
    "initial size": ({"study_initial": {"strategy": "random", "size": 6}}, "budget.start: 5 -> 6"),
    "initial strategy": (
        {"study_initial": {"strategy": "typiclust", "size": 5}},
        "initial.name: 'random' -> 'typiclust'",
    ),
    "learner": ({"study_learner": "nearest(temperature=2)"}, "learner.temperature: 1.0 -> 2.0"),
    "features": ({"study_features": "pixels(pca=2)"}, "features.pca: None -> 2"),
    "validation": ({"validation_size": 3}, "validation: 0 -> 3"),
    "seed": ({"study_seed": 1}, "entropy: 0 -> 1"),
    "dataset": ({"study_dataset": "split_toy"}, "dataset.name: 'fake' -> 'split_toy'"),
    "later counts": ({"budget": {"counts": [5, 9, 20]}}, "bought 4 labels in round 1, this study plans 11"),
}


@pytest.mark.parametrize("edit", EDITS)
def test_an_edited_study_is_refused_with_the_difference(study, tmp_path, edit):
    changes, difference = EDITS[edit]
    study().run()
    before = {path: path.read_bytes() for path in (tmp_path / "store").rglob("*") if path.is_file()}
    done = len(fits())
    with pytest.raises(EditedStudyError) as caught:
        study(**changes).run()
    assert difference in str(caught.value)
    assert "--fork NEW_NAME" in str(caught.value)
    assert {path: path.read_bytes() for path in (tmp_path / "store").rglob("*") if path.is_file()} == before
    assert len(fits()) == done


def test_counts_that_were_not_bought_are_never_reported(study):
    """The runs are the same, for their budgets begin alike; what was tested at 13 labels must not pass for 20."""
    study().run()
    edited = study(budget={"counts": [5, 9, 20]})
    for look in (edited.status, edited.records, edited.write_tables):
        with pytest.raises(EditedStudyError, match="bought 4 labels in round 1"):
            look()


def test_a_fork_keeps_both(study):
    original = study()
    original.run()
    before = tables(original)
    fork = study(fork="wider-steps", budget_step=6)
    fork.run()
    assert fork.name == "wider-steps"
    assert fork.folder != original.folder
    assert set(fork.records().rounds["study"]) == {"wider-steps"}
    assert tables(study()) == before
    assert [s.finished for s in study().status()] == [2, 2]
    assert not {r.digest for r in fork.plan.runs} & {r.digest for r in original.plan.runs}
    with pytest.raises(EditedStudyError):
        study(fork="wider-steps", budget_step=7).run()


@pytest.mark.parametrize("fork", ["", "../up", "a b", "a/b", ".hidden", "-x"])
def test_a_fork_needs_a_name(study, fork):
    with pytest.raises(StudyError, match="--fork: expected a name"):
        study(fork=fork)


# ----------------------------------------------------------------------------------------------------------- failures


def test_a_failing_arm_is_recorded_and_the_others_finish_and_it_is_tried_again(study, tmp_path, monkeypatch):
    moody = strategies.card("moody").component
    three = {"study_strategy": ["random", "moody", "margin"]}
    calm = study(store=tmp_path / "calm", **three)
    calm.run()
    monkeypatch.setattr(moody, "broken", True)
    one = study(**three)
    one.run()
    states = {s.arm: s for s in one.status()}
    assert [(states[a].finished, states[a].failed) for a in ("random", "moody", "margin")] == [(2, 0), (0, 2), (2, 0)]
    assert states["moody"].errors == ("ArithmeticError: in a bad mood",)
    failed = [run for run in one.plan.runs if run.arm.name == "moody"]
    error = one.store.run(failed[0]).error
    assert error is not None
    assert "in a bad mood" in error["traceback"]
    assert "conftest.py" in error["traceback"]
    rounds = one.records().rounds
    assert sorted(rounds[rounds["arm"] == "moody"]["checkpoint"].unique()) == [0]
    assert set(rounds["arm"]) == {"random", "margin", "moody"}
    monkeypatch.setattr(moody, "broken", False)
    again = study(**three)
    again.run()
    assert [s.failed for s in again.status()] == [0, 0, 0]
    assert one.store.run(failed[0]).error is None
    assert ledgers(tmp_path / "store") == ledgers(tmp_path / "calm")
    assert tables(again) == tables(calm)


def test_an_arm_that_cannot_even_be_opened_fails_alone(study, monkeypatch):
    moody = strategies.card("moody").component
    one = study(study_strategy=["random", "moody"])
    monkeypatch.setattr(moody, "needs_at", lambda *_: 1 / 0)
    one.run()
    assert [(s.finished, s.failed) for s in one.status()] == [(2, 0), (0, 2)]
    assert one.status()[1].errors == ("ZeroDivisionError: division by zero",)


def test_a_damaged_ledger_is_named_and_the_others_finish(study):
    one = study(study_strategy=["random", "margin"])
    one.run()
    margin = next(run for run in one.plan.runs if run.arm.name == "margin")
    path = one.store.run(margin).path / "ledger.jsonl"
    whole = path.read_bytes()
    path.write_bytes(whole[:150] + b"X" + whole[151:])
    more = study(study_strategy=["random", "margin", "badge"])
    with pytest.raises(LedgerCorruptError) as caught:
        more.run()
    assert str(path) in str(caught.value)
    assert "delete its folder to run it again" in str(caught.value)
    states = {s.arm: s for s in more.status()}
    assert [(states[a].finished, states[a].failed) for a in ("random", "margin", "badge")] == [(2, 0), (1, 1), (2, 0)]
    assert str(path) in states["margin"].errors[0]
    for file in path.parent.iterdir():
        file.unlink()
    path.parent.rmdir()
    more.run()
    assert path.read_bytes() == whole
    assert [s.finished for s in more.status()] == [2, 2, 2]


def test_torn_telemetry_does_no_harm(study):
    one = study()
    one.run()
    path = one.store.run(one.plan.runs[0]).path / "telemetry.jsonl"
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    again = study()
    again.run()
    few, many = len(again.records().telemetry), len(whole.splitlines())
    assert 0 < few < 4 * many


def test_telemetry_is_beside_the_record(study):
    one = study()
    one.run()
    telemetry = one.records().telemetry
    assert set(telemetry["step"]) == {"fit", "evidence", "select", "evaluate"}
    assert (telemetry["seconds"] >= 0).all()
    compared = [*one.records().rounds.columns, *one.records().picks.columns]
    assert not set(compared) & {"seconds", "host", "pid", "peak_mb"}


# ------------------------------------------------------------------------------------------------ disks and processes


def test_a_full_disk_stops_the_study_and_loses_nothing(study, tmp_path, monkeypatch):
    calm = study(store=tmp_path / "calm")
    calm.run()
    write = os.write
    for room in (3, 11):
        left = [room]

        def narrow(handle: int, data: Any, left: list[int] = left) -> int:
            left[0] -= 1
            if left[0] < 0:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return write(handle, data)

        with monkeypatch.context() as patch:
            patch.setattr(os, "write", narrow)
            with pytest.raises(StoreError, match=r"No space left on device.*Free some space"):
                study().run()
    study().run()
    assert ledgers(tmp_path / "store") == ledgers(tmp_path / "calm")
    assert tables(study()) == tables(calm)


@pytest.mark.parametrize("place", ["study.json", "run folder", "lock", "telemetry"])
def test_places_that_cannot_be_written(study, monkeypatch, tmp_path, place):
    def refuse(*_: Any, **__: Any):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    one = study()
    if place == "study.json":
        monkeypatch.setattr("querist.files.secrets.token_hex", refuse)
    if place == "run folder":
        monkeypatch.setattr(Store, "run", lambda self, run: folder_of(tmp_path / "a file" / run.digest))
        (tmp_path / "a file").write_text("")
    if place == "lock":
        monkeypatch.setattr("querist.studies.store.FileLock.acquire", refuse)
    if place == "telemetry":
        opened = Path.open
        monkeypatch.setattr(
            Path, "open", lambda s, *a, **k: refuse() if s.name == "telemetry.jsonl" else opened(s, *a, **k)
        )
        one.run()
        assert [s.finished for s in one.status()] == [2, 2]
        return
    with pytest.raises((StoreError, OSError)) as caught:
        one.run()
    if place != "study.json":
        assert isinstance(caught.value, StoreError)


def folder_of(path: Path) -> Any:
    from querist.studies.store import RunFolder

    return RunFolder(path)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="the superuser may write everywhere")
def test_a_read_only_store(study, tmp_path):
    (tmp_path / "store").mkdir(mode=0o500)
    with pytest.raises(StoreError, match="read-only for you"):
        study().run()


def test_a_run_that_another_process_holds_is_left_to_it(study, monkeypatch):
    from querist.studies.execute import execute

    one = study()
    held = one.plan.runs[1]
    with one.store.run(held).claim() as mine:
        assert mine
        assert execute(one.plan.runs, one.store) == [held]
        with one.store.run(held).claim() as second:
            assert not second
    assert execute(one.plan.runs, one.store) == []


def test_the_study_waits_for_runs_held_elsewhere_and_takes_them_over(study, monkeypatch):
    one = study()
    held = one.store.run(one.plan.runs[2]).claim()
    assert held.__enter__()
    slept = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == 3:
            held.__exit__(None, None, None)

    monkeypatch.setattr("querist.studies.launch.time.sleep", sleep)
    one.run()
    assert len(slept) == 3
    assert [s.finished for s in one.status()] == [2, 2]


def test_a_killed_worker_is_made_up_for(study, monkeypatch, caplog):
    from concurrent.futures.process import BrokenProcessPool

    import joblib

    class Broken:
        def __init__(self, *_: Any, **__: Any) -> None: ...

        def __call__(self, tasks: Any) -> None:
            raise BrokenProcessPool("a worker was killed")

    monkeypatch.setattr(joblib, "Parallel", Broken)
    one = study()
    one.run(workers=2)
    assert [s.finished for s in one.status()] == [2, 2]
    assert "a worker process was killed" in caplog.text


def test_cohorts_of_any_size_write_the_same(study, tmp_path, monkeypatch):
    study(store=tmp_path / "calm").run()
    monkeypatch.setattr("querist.studies.execute.COHORT", 1)
    study().run()
    assert ledgers(tmp_path / "store") == ledgers(tmp_path / "calm")


def test_seeds_change_fits_and_no_initial_pool(study):
    one = study(study_seeds=2, study_pools=1, study_strategy=["random"])
    one.run()
    picks = one.records().picks
    both = [part["id"].tolist() for _, part in picks.groupby("seed")]
    assert both[0] == both[1]
    assert len({path for path, _ in fits()}) == 2 * 3


def test_values_are_full_precision(study):
    one = study()
    one.run()
    run = one.plan.runs[0]
    evaluated = Book.replay(one.store.run(run).ledger).evaluations[1].metrics
    rounds = pd.read_parquet(one.folder / "rounds.parquet")
    chosen = rounds[(rounds["arm"] == run.arm.name) & (rounds["pool"] == 0) & (rounds["checkpoint"] == 1)]
    assert dict(zip(chosen["metric"], chosen["value"], strict=True)) == evaluated
    assert rounds["value"].dtype == np.float64
