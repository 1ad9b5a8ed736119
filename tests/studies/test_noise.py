"""Noise as an option of a study: what hears it, what does not, and what it leaves as it was."""

import json

import numpy as np
import pytest

from querist.cli.study import _announcement
from querist.errors import EditedStudyError, StudyError
from querist.labels.book import Book
from querist.labels.events import INITIAL, QUERY, VALIDATION
from querist.registry import digest
from querist.report.study import results_of
from querist.studies.plan import plan_study
from querist.studies.spec import parse_study

UNIFORM = {"noise": "uniform", "rate": 0.5}
DIGITS = {
    "study": {"name": "a", "dataset": "digits", "strategy": ["random", "margin"], "pools": 1},
    "budget": {"step": 5, "rounds": 1},
}


def books(study):
    return {run: Book.replay(study.store.run(run).ledger) for run in study.plan.runs}


def wrong(run, book, purpose=None):
    """Ids of a run that got a wrong answer, and the answers."""
    truth = run.arm.setting.dataset.labels.unseal()
    return {i: y for i, y in book.labels.items() if y != truth[i] and purpose in (None, book.charged[i])}


@pytest.mark.parametrize("oracle", [None, {}, {"noise": "none"}])
def test_a_study_without_noise_is_what_it_was_before_there_was_noise(oracle):
    """Both digests were written down by the version before this option."""
    document = DIGITS if oracle is None else {**DIGITS, "oracle": oracle}
    spec = parse_study(document)
    assert digest(spec.model_dump(mode="json")) == "ee7c59bd624ca71f3b8a994d4ea5391b"
    runs = plan_study(spec).runs
    assert [run.digest for run in runs] == ["04c7a9396c08538d3625a6ef2d7a17b8", "87ab94331b826ecc83f052cd77dcc6a2"]
    assert all("oracle" not in run.spec for run in runs)


CHANGES = [
    UNIFORM,
    {**UNIFORM, "rate": 0.4},
    {**UNIFORM, "truth": True},
    {**UNIFORM, "initial": False},
    {**UNIFORM, "validation": False},
    {"noise": "class_conditional", "rate": 0.5, "confused": {"0": "1"}},
    {"noise": "class_conditional", "rate": 0.5, "confused": {"1": 0}},
    {"noise": "class_conditional", "matrix": [[0.5, 0.5, 0], [0, 1, 0], [0, 0, 1]]},
]


def test_every_setting_of_the_noise_makes_another_run(plan):
    found = [{run.digest for run in plan().runs}]
    for oracle in CHANGES:
        runs = plan(oracle=oracle).runs
        mine = {run.digest for run in runs}
        assert all(not mine & known for known in found)
        assert all(run.spec["oracle"]["revision"] == 1 for run in runs)
        found.append(mine)


def test_a_class_is_the_same_by_name_and_by_number(plan):
    names = plan().runs[0].arm.setting.dataset.classes
    by_name, by_number = (
        plan(oracle={"noise": "class_conditional", "rate": 0.5, "confused": {true: wrong}})
        for true, wrong in ((names[0], names[2]), ("0", 2))
    )
    assert [run.digest for run in by_name.runs] == [run.digest for run in by_number.runs]


@pytest.mark.parametrize("oracle", CHANGES)
def test_a_spec_with_noise_survives_its_way_to_a_worker(make_document, oracle):
    spec = parse_study(make_document(oracle=oracle))
    assert type(spec).model_validate_json(spec.model_dump_json()) == spec
    assert spec.oracle.model == parse_study(make_document(oracle=oracle)).oracle.model


@pytest.mark.parametrize(
    ("oracle", "expected"),
    [
        ({"noise": "unifrom", "rate": 0.1}, "oracle.noise: expected 'none', 'uniform' or 'class_conditional'"),
        ({"rate": 0.1}, 'oracle: rate without noise; expected noise = "uniform"'),
        ({"noise": "uniform"}, "oracle: expected a rate above 0 and at most 1, for example rate = 0.2, got none"),
        ({"noise": "uniform", "rate": "0.1"}, "oracle.rate: expected a valid number, got '0.1'"),
        ({"noise": "uniform", "rates": 0.1}, "unknown key 'rates' in [oracle]. Did you mean 'rate'?"),
        ({**UNIFORM, "initial": "no"}, "oracle.initial: expected a valid boolean, got 'no'"),
        ({"noise": "class_conditional", "rate": 0.1, "confused": {"0": [1]}}, "class that '0' is taken for, got [1]"),
        ({"noise": "class_conditional", "rate": 0.1, "confused": {"0": "x"}}, "oracle: 'x' is no declared class"),
        ({"noise": "class_conditional", "matrix": [[1.0]]}, "oracle: expected a matrix with 3 rows of 3 numbers"),
    ],
)  # fmt: skip
def test_one_mistake(plan, oracle, expected):
    with pytest.raises(StudyError) as caught:
        plan(oracle=oracle)
    assert len(caught.value.mistakes) == 1
    assert expected in caught.value.mistakes[0]


def test_t12_every_arm_and_training_seed_of_a_pool_hears_the_same_wrong_answers(study):
    one = study(oracle=UNIFORM, study_seeds=2, study_strategy=["random", "margin", "entropy"], validation_size=6)
    one.run()
    heard = {}
    for run, book in books(one).items():
        assert wrong(run, book)
        for i, y in book.labels.items():
            assert heard.setdefault((run.pool, i), y) == y
    both = {i for pool, i in heard if pool == 0} & {i for pool, i in heard if pool == 1}
    assert any(heard[0, i] != heard[1, i] for i in both)  # another pool, another draw


def test_the_fit_hears_what_was_answered_and_the_test_does_not(study):
    """With every answer wrong, accuracy falls far below chance: the labels of the test split are the true ones."""
    metrics = {}
    for name, rate in (("clean", None), ("wrong", 1.0)):
        one = study(
            oracle={"noise": "class_conditional", "rate": rate, "confused": {"0": 1, "1": 2, "2": 0}} if rate else {},
            study_name=name, budget={"counts": [30, 40]},
            study_initial={"strategy": "random", "size": 30},
        )  # fmt: skip
        one.run()
        rounds = one.records().rounds
        metrics[name] = rounds[rounds["metric"] == "accuracy"]["value"].mean()
    assert metrics["clean"] > 0.8
    assert metrics["wrong"] < 0.1


@pytest.mark.parametrize("noisy", ["initial", "validation"])
def test_switches(study, noisy):
    switches = {"initial": False, "validation": False, noisy: True}
    one = study(oracle={"noise": "uniform", "rate": 1.0, **switches}, validation_size=6)
    one.run()
    for run, book in books(one).items():
        for purpose in (INITIAL, VALIDATION, QUERY):
            spared = purpose in (INITIAL, VALIDATION) and not switches[purpose]
            assert len(wrong(run, book, purpose)) == (0 if spared else book.spent[purpose])


def test_killed_and_continued_it_hears_the_same(study, tmp_path):
    one = study(oracle=UNIFORM)
    one.run()
    for run in one.plan.runs:
        path = one.store.run(run).path / "ledger.jsonl"
        whole = path.read_bytes()
        path.write_bytes(b"".join(whole.splitlines(keepends=True)[:4]))
        study(oracle=UNIFORM).run()
        assert path.read_bytes() == whole


def test_noise_under_an_old_name_is_refused_with_the_difference(study):
    study().run()
    with pytest.raises(EditedStudyError, match=r"oracle: None -> .*uniform"):
        study(oracle=UNIFORM).run()
    study(oracle=UNIFORM, fork="noisy").run()


def test_what_a_reader_is_told(study):
    words = "50 % of answers wrong, uniformly over the other classes"
    one, quiet = study(oracle=UNIFORM), study()
    assert f"Simulated answers: {words}." in _announcement(one)
    assert "nswers" not in _announcement(quiet)
    one.run()
    settings = results_of(one).settings
    assert settings["simulated answers"] == words
    stored = json.loads((one.store.run(one.plan.runs[0]).path / "spec.json").read_bytes())["oracle"]
    assert stored == {
        "noise": "uniform", "rate": 0.5, "truth": False, "revision": 1, "initial": True, "validation": True,
    }  # fmt: skip
    assert np.isclose(stored["rate"], 0.5)
