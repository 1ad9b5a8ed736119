"""Strategies whose settings name a file: what a study calls them, and what the identity of a run holds."""

import json
import shutil

import numpy as np
import pytest

from querist.errors import StudyError


@pytest.fixture
def teacher(tmp_path):
    path = tmp_path / "clip.npy"
    np.save(path, np.random.default_rng(0).dirichlet(np.ones(3), size=120))
    return path


def pcoreset(path):
    return {"name": "pcoreset", "teacher": str(path)}


def test_an_arm_is_called_by_the_name_of_its_file_and_its_runs_by_what_the_file_says(plan, teacher, tmp_path):
    there = tmp_path / "elsewhere" / "clip.npy"
    there.parent.mkdir()
    shutil.copy(teacher, there)
    one, moved = (plan(study_strategy=["random", pcoreset(path)]) for path in (teacher, there))
    assert [arm.name for arm in one.arms] == ["random", "pcoreset(teacher=clip)"]
    assert str(tmp_path) not in json.dumps(one.arms[1].spec)
    assert [run.digest for run in one.runs] == [run.digest for run in moved.runs]
    np.save(there, np.random.default_rng(1).dirichlet(np.ones(3), size=120))
    other = plan(study_strategy=["random", pcoreset(there)])
    same = {run.digest for run in one.runs} & {run.digest for run in other.runs}
    assert same == {run.digest for run in one.runs if run.arm.name == "random"}


def test_a_missing_file_is_a_mistake_of_the_study_told_beside_others(plan, tmp_path):
    with pytest.raises(StudyError) as caught:
        plan(study_strategy=["margn", pcoreset(tmp_path / "none.npy")], study_initial=pcoreset(tmp_path / "no.npy"))
    text = str(caught.value)
    for part in ("study.strategy[0]", "study.strategy[1]: strategy pcoreset: expected a file at", "study.initial"):
        assert part in text


def test_a_teacher_can_choose_the_initial_pool(study, teacher):
    done = study(study_strategy=["random"], study_initial={"strategy": pcoreset(teacher), "size": 5}, study_pools=1)
    assert done.plan.arms[0].flags == {"initial_external"}
