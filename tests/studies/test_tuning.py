"""Studies whose learner searches its settings: what their tables say, two processes, and training seeds in a row."""

import json
import os
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import pytest

from querist.errors import StudyError
from querist.evidence.provider import Fit
from querist.labels.book import Book
from querist.learners.base import learners
from querist.report.study import results_of
from querist.studies.execute import execute
from querist.testing.fakes import FakeLearner, FakeModel

pytest.importorskip("optuna", reason="needs the extra tune")


@dataclass(frozen=True, kw_only=True)
class Blurred(FakeLearner):
    """The fake learner under noise: the better, the less of it and the longer it trains."""

    fits: ClassVar[list[tuple[Any, ...]]] = []
    broken: ClassVar[tuple[int, int] | None] = None
    blur: float = 1.0
    updates: int = 64

    def fit(self, job: Fit) -> FakeModel:
        _, pool, _, seed = job.seed.path[1:5]
        if self.broken == (pool, seed):
            raise ArithmeticError("broken")
        self.fits.append((os.getpid(), pool, seed, len(job.labelled)))
        model = super().fit(job)
        noise = job.seed.child("noise").generator().normal(size=model.weight.shape)
        return FakeModel(model.weight + noise * self.blur * 10 / np.sqrt(self.updates), model.bias)


@pytest.fixture(scope="module", autouse=True)
def _registered(registered):
    learners.register("blurred")(Blurred)


@pytest.fixture(autouse=True)
def _calm_too(monkeypatch):
    Blurred.fits.clear()
    monkeypatch.setattr(Blurred, "broken", None)
    monkeypatch.setattr("querist.studies.launch.POLL", 0.02)


def learner(**changes: Any) -> dict[str, Any]:
    space = {"blur": {"low": 0.1, "high": 30.0, "log": True}}
    return {"name": "tuned", "base": "blurred", "space": space, "trials": 8, "mode": "per-cycle", **changes}


def records_of(store: Any) -> dict[str, bytes]:
    found = [*store.glob("runs/*/ledger.jsonl"), *store.glob("studies/*/rounds.parquet")]
    found += [*store.glob("studies/*/picks.parquet"), *store.glob("studies/*/tuning.parquet")]
    return {str(path.relative_to(store)): path.read_bytes() for path in found}


def book_of(one: Any, run: Any) -> Book:
    return one.store.book(run)


def test_the_table_says_what_tuning_cost(study):
    one = study(study_learner=learner(), validation_size=6)
    one.run()
    table = pd.read_parquet(one.folder / "tuning.parquet")
    assert len(table) == 2 * 2 * 3
    assert table.groupby("checkpoint")["n_labels"].unique().tolist() == [[11], [15], [19]]
    assert set(table["trials"]) == {8}
    assert set(table["fits"]) == {8 + 2 + 1}
    assert set(table["n_validation"]) == {6}
    assert table["fits"].sum() == len(Blurred.fits)
    assert not table["reused"].any()
    assert table["value"].between(0, 1).all()
    for run in one.plan.runs:
        mine = table[(table["arm"] == run.arm.name) & (table["pool"] == run.pool)]
        noted = book_of(one, run).tuning
        assert [json.loads(text) for text in mine["settings"]] == [dict(noted[t].settings) for t in range(3)]
    words = results_of(one).settings["search for settings"]
    assert words == "12 searches, 96 trials, 132 fits, judged by validation labels"


def test_a_study_that_tunes_nothing_has_no_such_table(study):
    one = study(study_learner=learner(mode="none"))
    one.run()
    assert not (one.folder / "tuning.parquet").exists()
    assert "search for settings" not in results_of(one).settings


def test_tuning_buys_nothing_beyond_the_validation_set(study, tmp_path):
    counts = {}
    for name, made, size in (("plain", learner(mode="none"), 0), ("crossed", learner(), 0), ("held", learner(), 9)):
        one = study(tmp_path / name, study_learner=made, validation_size=size)
        one.run()
        rounds = pd.read_parquet(one.folder / "rounds.parquet")
        counts[name] = sorted(rounds["n_labels"].unique())
    assert counts == {"plain": [5, 9, 13], "crossed": [5, 9, 13], "held": [14, 18, 22]}


def test_all_arms_of_a_pool_start_with_the_same_search(study):
    for mode in ("fixed", "per-cycle"):
        one = study(study_name=mode, study_learner=learner(mode=mode), study_strategy=["random", "margin", "badge"])
        one.run()
        table = pd.read_parquet(one.folder / "tuning.parquet")
        first = table[table["checkpoint"] == 0]
        assert first.groupby("pool")["settings"].nunique().tolist() == [1, 1]
        assert first["settings"].nunique() == 2, "the pools are not told apart"
        assert set(table["checkpoint"]) == ({0} if mode == "fixed" else {0, 1, 2})


def test_T15_two_processes_prune_at_once(study, tmp_path):
    changes = {"study_learner": learner(), "study_strategy": ["random", "margin", "entropy"]}
    study(tmp_path / "calm", **changes).run()
    one = study(tmp_path / "shared", **changes)
    children = []
    for _ in range(2):
        if (child := os.fork()) == 0:
            status = 1
            try:
                remaining = one.plan.runs
                one.store.enter(one.plan, one.name)
                import querist.studies.execute as module

                module.COHORT = 1
                while remaining := execute(remaining, one.store):
                    pass
                (tmp_path / f"{os.getpid()}.json").write_text(json.dumps(sorted({f[1:3] for f in Blurred.fits})))
                status = 0
            finally:
                os._exit(status)
        children.append(child)
    assert [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children] == [0, 0]
    one.run()
    assert not list((tmp_path / "shared").glob("runs/*/error.json"))
    assert records_of(tmp_path / "shared") == records_of(tmp_path / "calm")
    assert all(json.loads((tmp_path / f"{child}.json").read_text()) for child in children), "one had nothing to do"


def test_two_worker_processes(study, tmp_path):
    light = {"name": "tuned", "base": "knn", "space": {"k": [1, 3, 5, 7]}, "trials": 3, "sampler": "tpe"}
    ids = np.arange(90)
    np.savez(
        tmp_path / "items.npz", x=np.random.default_rng(0).normal(size=(90, 4)).astype(np.float32), y=ids % 3,
        split=np.where(ids < 60, "pool", "test"),
    )  # fmt: skip
    data = {"name": "npz", "path": str(tmp_path / "items.npz")}
    for name, workers in (("one", 1), ("two", 2)):
        study(tmp_path / name, study_learner=light, study_dataset=data).run(workers=workers)
    assert records_of(tmp_path / "one") == records_of(tmp_path / "two")
    assert any(name.endswith("tuning.parquet") for name in records_of(tmp_path / "one"))


# ------------------------------------------------------------------------------------------------------- training seeds


def test_T15_twelve_training_seeds_take_over_what_the_first_one_found(study):
    one = study(study_learner=learner(reuse=True), study_seeds=12, study_pools=1)
    one.run()
    assert all(status.finished == status.runs == 12 for status in one.status())
    table = pd.read_parquet(one.folder / "tuning.parquet")
    assert len(table) == 2 * 12 * 3
    assert table.groupby(["arm", "checkpoint"])["settings"].nunique().eq(1).all()
    assert (table["reused"] == (table["seed"] > 0)).all()
    assert table.loc[table["seed"] > 0, ["trials", "fits", "updates"]].to_numpy().sum() == 0
    fits = pd.DataFrame(Blurred.fits, columns=["pid", "pool", "seed", "l"]).groupby("seed").size()
    assert fits[0] == 2 * 3 * (3 * (8 + 2 + 1) + 1)
    assert fits[1:].tolist() == [2 * 3] * 11, "a later seed searched"
    values = one.records().rounds.query("metric == 'nll' and checkpoint == 2 and arm == 'random'")["value"]
    assert values.nunique() == 12, "the seeds are one and the same"
    assert "took over" in results_of(one).settings["search for settings"]


def test_seeds_that_search_for_themselves_find_other_settings(study):
    one = study(study_learner=learner(), study_seeds=3, study_pools=1)
    one.run()
    table = pd.read_parquet(one.folder / "tuning.parquet")
    assert not table["reused"].any()
    assert table.query("checkpoint == 0 and arm == 'random'")["settings"].nunique() == 3


def test_reuse_is_resumed_from_every_line(study, tmp_path):
    one = study(study_learner=learner(reuse=True), study_seeds=2, study_pools=1, study_strategy=["margin"])
    one.run()
    whole = records_of(one.store.path)
    (later,) = (run for run in one.plan.runs if run.seed == 1)
    path = one.store.run(later).path / "ledger.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    assert sum(b'"reused":true' in line for line in lines) == 3
    for count in range(len(lines)):
        path.write_bytes(b"".join(lines[:count]))
        Blurred.fits.clear()
        study(study_learner=learner(reuse=True), study_seeds=2, study_pools=1, study_strategy=["margin"]).run()
        assert records_of(one.store.path) == whole
        assert len(Blurred.fits) <= 3


def test_a_seed_whose_reference_failed_says_so_and_searches_nothing(study, monkeypatch):
    monkeypatch.setattr(Blurred, "broken", (0, 0))
    changes = {"study_learner": learner(reuse=True), "study_seeds": 2, "study_strategy": ["margin"]}
    one = study(**changes)
    one.run()
    (status,) = one.status()
    assert (status.runs, status.finished, status.failed) == (4, 2, 2)
    assert any("takes over the settings" in error and "it failed: broken" in error for error in status.errors)
    assert not any(fit[1:3] == (0, 1) for fit in Blurred.fits)
    monkeypatch.setattr(Blurred, "broken", None)
    again = study(**changes)
    again.run()
    (status,) = again.status()
    assert (status.finished, status.failed) == (4, 0)


def test_a_run_before_its_reference_is_refused_and_not_searched(study):
    one = study(study_learner=learner(reuse=True), study_seeds=2, study_pools=1, study_strategy=["margin"])
    first, later = one.plan.runs
    assert later.reference is not None
    assert (first.reference, later.reference.digest) == (None, first.digest)
    one.store.enter(one.plan, one.name)
    assert execute([later], one.store) == []
    error = one.store.run(later).error
    assert error is not None
    assert "it is not finished" in error["message"]
    assert not Blurred.fits
    one.run()
    assert [status.finished for status in one.status()] == [2]
    assert one.store.run(later).error is None


def test_what_a_space_lacks_is_a_mistake_of_the_study(study):
    with pytest.raises(StudyError, match=r"study.learner: .*unknown setting 'blurr' in Blurred. Did you mean 'blur'"):
        study(study_learner=learner(space={"blurr": [1.0]}))
    with pytest.raises(StudyError, match=r"study.learner: .*unknown space 'lineer'. Did you mean 'linear'"):
        study(study_learner=learner(space="lineer"))
