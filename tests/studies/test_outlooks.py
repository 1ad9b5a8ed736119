"""Forecasts of stored runs: found by file and by name, kept beside the runs, in no compared record."""

import json
from dataclasses import replace

import numpy as np
import pytest

from querist.analysis.forecast import advise, forecast
from querist.data.dataset import Dataset, datasets
from querist.errors import UnmetNeedError, UsageError
from querist.session.outlook import outlook, standings
from querist.studies.outlooks import (
    COLUMNS,
    FILE,
    checks_of,
    forecast_table,
    kept_by_name,
    kept_of,
    measured_before,
    measured_of,
    stored_studies,
)
from querist.testing.fakes import fake_dataset


@pytest.fixture(scope="module", autouse=True)
def _found_by_its_own_name(registered):
    """The dataset `toy` calls itself `fake`; runs know datasets by what they call themselves."""

    @datasets.register("fake")
    def fake() -> Dataset:
        """Ninety pool items and thirty test items in three clouds."""
        return fake_dataset()


@pytest.fixture
def ran(study):
    """A study of runs at 10, 20, ..., 70 labels."""
    one = study(study_initial={"strategy": "random", "size": 10}, budget={"step": 10, "rounds": 6}, validation_size=4)
    one.run()
    return one


def test_by_name_and_by_file_it_is_the_same_study(ran):
    by_file, by_name = kept_of(ran.plan, ran.store), kept_by_name(ran.store, "toy-study")
    assert len(by_file) == 4
    assert {run.digest for run in by_file} == {run.digest for run in by_name}
    assert [(run.arm, run.pool) for run in by_name] == [("margin", 0), ("margin", 1), ("random", 0), ("random", 1)]
    for one in by_file:
        twin = next(run for run in by_name if run.digest == one.digest)
        assert (twin.arm, twin.pool, twin.seed, twin.address) == (one.arm, one.pool, one.seed, one.address)
        assert measured_of(one, each=True) == measured_of(twin._replace(folder=one.folder), each=True)
        (one.folder.path / FILE).unlink()
        told = measured_of(twin, each=True)
        (one.folder.path / FILE).unlink()
        assert measured_of(one, each=True) == told
    assert len({id(run.setting) for run in by_name}) == 1
    assert stored_studies(ran.store) == ["toy-study"]


def test_each_checkpoint_is_measured_once_and_kept(ran, monkeypatch):
    run = kept_of(ran.plan, ran.store)[2]
    assert measured_before(run) == {}
    last = measured_of(run)
    assert [(number, values.n) for number, values in last] == [(1, 20), (6, 70)], "the last, and the one 50 before"
    each = measured_of(run, each=True)
    assert [values.n for _, values in each] == [10, 20, 30, 40, 50, 60, 70]
    assert [each[1], each[6]] == last
    for standing, (number, values) in zip(standings(run.folder.ledger, run.setting.dataset.pool), each, strict=True):
        assert outlook(run.setting, run.learner, standing, run.address, run.seed) == values
        assert number == standing.checkpoint
    monkeypatch.setattr("querist.studies.outlooks.outlook", lambda *_: pytest.fail("measured again"))
    assert measured_of(run, each=True) == each == sorted(measured_before(run).items())


def test_what_another_revision_measured_is_measured_again(ran):
    run = kept_of(ran.plan, ran.store)[0]
    fresh, path = measured_of(run), run.folder.path / FILE
    stored = json.loads(path.read_text())
    stored["revision"] = 0
    stored["checkpoints"]["6"]["expected"] = 0.123
    path.write_text(json.dumps(stored))
    assert measured_of(run) == fresh


def test_no_compared_record_knows_of_forecasts(ran):
    def records():
        files = {p: p.read_bytes() for p in ran.store.path.glob("runs/*/*") if p.name != FILE}
        return files, {name: (ran.folder / f"{name}.parquet").read_bytes() for name in ("rounds", "picks")}

    before = records()
    for run in kept_of(ran.plan, ran.store):
        measured_of(run, each=True)
    ran.run()
    ran.write_tables()
    assert records() == before
    assert [status.finished for status in ran.status()] == [2, 2]


def test_the_table_says_what_was_forecast_and_nothing_else(ran):
    runs = kept_of(ran.plan, ran.store)
    assert forecast_table(runs).empty
    assert list(forecast_table(runs).columns) == list(COLUMNS)
    measured = measured_of(runs[3], each=True)
    table = forecast_table(runs, price=30.0, horizon=15)
    assert set(zip(table["arm"], table["pool"], strict=True)) == {("margin", 1)}
    checks = [forecast(values, 15) for _, values in measured]
    assert [check for _, check in checks_of(measured, 15)] == checks
    assert table["gain"].tolist() == [check.gain for check in checks]
    assert table["horizon"].tolist() == [15] * 7
    told = [advise(checks[: i + 1], 30.0) for i in range(7)]
    assert table["stop"].tolist() == [advice.stop for advice in told]
    assert table["n_before"].tolist() == [0, 0, 0, 0, 0, 10, 20]
    assert table["p_worth_it"].tolist() == [advice.p_worth_it for advice in told]


def test_a_pool_that_ran_out_has_forecasts_up_to_its_end(study):
    one = study(study_initial={"strategy": "random", "size": 30}, budget={"step": 30, "rounds": 2}, study_pools=1)
    one.run()
    run = kept_of(one.plan, one.store)[0]
    checks = checks_of(measured_of(run, each=True))
    assert [(check.n, check.horizon) for _, check in checks] == [(30, 60), (60, 30)]


def test_too_few_labels_are_left_out(study):
    one = study(study_pools=1)  # 5, 9 and 13 labels
    one.run()
    assert [values.n for _, values in measured_of(kept_of(one.plan, one.store)[0], each=True)] == [13]


def test_a_learner_with_a_backbone_is_refused(ran):
    run = kept_of(ran.plan, ran.store)[0]

    class Deep(type(run.learner)):
        trains_backbone = True

    with pytest.raises(UnmetNeedError, match="backbone"):
        measured_of(run._replace(learner=Deep()))


class TestByName:
    def test_an_unknown_name_lists_those_there_are(self, ran):
        with pytest.raises(UsageError, match=r"no study 'toy'.*toy-study"):
            kept_by_name(ran.store, "toy")

    def test_a_dataset_that_needs_settings_asks_for_the_file(self, study):
        one = study(study_dataset={"name": "split_toy", "share": 0.4})
        one.run()
        with pytest.raises(UsageError, match=r"(?s)split_toy.*not those that were recorded.*--study toy-study.toml"):
            kept_by_name(one.store, "toy-study")
        assert len(kept_of(one.plan, one.store)) == 4

    def test_a_dataset_nobody_knows_asks_for_the_file(self, ran):
        for path in ran.store.path.glob("runs/*/spec.json"):
            path.write_text(path.read_text().replace('"fake"', '"gone"'))
        stored = ran.folder / "study.json"
        stored.write_text(stored.read_text().replace('"fake"', '"gone"'))
        with pytest.raises(UsageError, match=r"unknown dataset 'gone'.*--study toy-study.toml"):
            kept_by_name(ran.store, "toy-study")

    def test_other_studies_of_the_store_are_left_alone(self, ran, study):
        study(
            study_name="other", study_learner="linear", study_initial={"strategy": "random", "size": 10},
            budget={"step": 10, "rounds": 1}, study_pools=1,
        ).run()  # fmt: skip
        assert stored_studies(ran.store) == ["other", "toy-study"]
        assert {type(run.learner).__name__ for run in kept_by_name(ran.store, "other")} == {"Linear"}
        assert len(kept_by_name(ran.store, "other")) == 2
        assert len(kept_by_name(ran.store, "toy-study")) == 4


def test_runs_that_never_started_are_no_runs(study):
    one = study()
    assert kept_of(one.plan, one.store) == []


def test_measured_values_survive_their_file(ran):
    run = kept_of(ran.plan, ran.store)[1]
    for number, values in measured_of(run):
        assert measured_before(run)[number] == values
        assert np.isfinite(list(vars(values).values())).all()
        assert replace(values, n=values.n) == values
