"""Studies whose learners keep models or go on from the round before: the same records, killed or not, kept or not."""

from pathlib import Path
from typing import Any

import pytest

from querist.learners.base import learners
from querist.strategies.base import strategies
from querist.testing.keeping import FakeKeeping, FakeWarm
from querist.testing.sequential import FakeSequential


@pytest.fixture(scope="module", autouse=True)
def _registered(registered):
    learners.register("keeping")(FakeKeeping)
    learners.register("fake_warm")(FakeWarm)
    strategies.register("fake_sequential", flags=("sequential",))(FakeSequential)


@pytest.fixture
def small(study):
    """A study of one pool: a strategy for each way to ask, and a wrapper around the learner."""

    def small(store: Any, **changes: Any):
        return study(store, **{
            "study_strategy": ["random", "margin", "fake_sequential", "tod"], "study_pools": 1,
            "study_learner": "fake_warm",
            "validation_size": 3, **changes,
        })  # fmt: skip

    return small


def ledgers(one: Any) -> dict[str, Path]:
    return {run.arm.name: one.store.run(run).path / "ledger.jsonl" for run in one.plan.runs}


@pytest.mark.parametrize("learner", ["fake_warm", "keeping", {"name": "committee", "base": "fake_warm", "members": 2}])
def test_records_do_not_depend_on_what_is_kept(small, tmp_path, learner):
    contents = []
    for keep in ("last", "all", "none"):
        one = small(tmp_path / keep, study_learner=learner)
        one.run(keep=keep)
        assert all(status.finished == status.runs for status in one.status())
        contents.append([path.read_bytes() for path in ledgers(one).values()])
    assert contents[0] == contents[1] == contents[2]
    for keep, count in (("last", 1), ("all", 3), ("none", 0)):
        for arm, path in ledgers(small(tmp_path / keep, study_learner=learner)).items():
            found = list((path.parent / "models").glob("*"))
            assert len(found) == count + (arm == "tod" and keep == "last")
            assert not (path.parent / "fits").exists()


@pytest.mark.parametrize("keep", ["last", "none"])
@pytest.mark.parametrize("arm", ["random", "margin", "fake_sequential", "tod"])
def test_on_from_every_line_of_a_ledger(small, tmp_path, keep, arm):
    whole = small(tmp_path / "whole")
    whole.run(keep="none")
    expected = ledgers(whole)[arm].read_bytes()
    lines = expected.splitlines(keepends=True)
    for count in range(len(lines)):
        one = small(tmp_path / "killed", study_strategy=[arm])
        path = ledgers(one)[arm]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"".join(lines[:count]) + lines[count][: len(lines[count]) // 2])
        one.run(keep=keep)
        assert path.read_bytes() == expected, f"after {count} lines and a torn one"


def test_a_longer_study_goes_on_from_the_models_of_a_shorter_one(small, tmp_path):
    small(tmp_path / "whole", budget={"step": 4, "rounds": 3}).run()
    small(tmp_path / "grown", budget={"step": 4, "rounds": 1}).run()
    small(tmp_path / "grown", budget={"step": 4, "rounds": 3}).run()
    for arm, path in ledgers(small(tmp_path / "whole", budget={"step": 4, "rounds": 3})).items():
        other = ledgers(small(tmp_path / "grown", budget={"step": 4, "rounds": 3}))[arm]
        assert _asked(path) == _asked(other), arm


def _asked(path: Path) -> list[str]:
    lines = [line for line in path.read_text().splitlines() if '"event":"asked"' in line]
    return [line.rpartition(',"chain"')[0] for line in lines]
