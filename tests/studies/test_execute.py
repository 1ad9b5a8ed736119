"""Runs whose strategy looks back or asks one by one: on from every line of their ledgers, and what the tables say."""

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import pytest

from querist.errors import EditedStudyError, StudyError
from querist.evidence.needs import Labels, Probs
from querist.labels.book import Book
from querist.labels.ledger import JsonlLedger
from querist.strategies.base import Picks, Strategy, strategies
from querist.testing.sequential import FakeSequential


@dataclass(frozen=True, kw_only=True)
class Aims(Strategy):
    """Takes rows of the class that the validation set has most of."""

    needs: ClassVar = (Probs(), Labels(frame="targets"))

    def select(self, ev: Any, b: int, key: Any):
        wanted = np.bincount(ev[Labels(frame="targets")], minlength=ev.c).argmax()
        return Picks(np.argsort(-ev[Probs()][:, wanted], kind="stable")[:b])


@pytest.fixture(scope="module", autouse=True)
def _registered(registered):
    strategies.register("fake_sequential", flags=("sequential",))(FakeSequential)
    strategies.register("aims")(Aims)


@pytest.fixture
def small(study):
    """A study of one pool with both kinds of strategy."""
    return lambda *arguments, **changes: study(
        *arguments, **{"study_strategy": ["fake_sequential", "tod"], "study_pools": 1, "validation_size": 3, **changes}
    )


def ledger_of(study: Any, arm: str) -> Path:
    (run,) = (run for run in study.plan.runs if run.arm.name == arm)
    return study.store.run(run).path / "ledger.jsonl"


def test_the_tables_count_a_query_that_is_asked_one_by_one_as_one(small):
    one = small()
    one.run()
    rounds, picks = (pd.read_parquet(one.folder / f"{name}.parquet") for name in ("rounds", "picks"))
    for arm in ("fake_sequential", "tod"):
        part = rounds[rounds["arm"] == arm]
        assert part.groupby("checkpoint")["n_labels"].unique().tolist() == [[8], [12], [16]]
        chosen = picks[picks["arm"] == arm]
        assert chosen.groupby("round")["rank"].apply(list).to_dict() == {
            -1: [*range(5)],
            0: [*range(4)],
            1: [*range(4)],
        }
    book = Book.replay(JsonlLedger(ledger_of(one, "fake_sequential")))
    chosen = picks[(picks["arm"] == "fake_sequential") & (picks["round"] == 1)]
    assert chosen["id"].tolist() == list(book.asked[-1].ids)
    assert chosen["score"].tolist() == list(book.asked[-1].utility)
    assert ledger_of(one, "fake_sequential").read_text().count('"event":"asked"') == 2 + 2 * 4
    flags = one.records().arms.set_index("arm")["flags"].to_dict()
    assert flags == {"fake_sequential": "sequential", "tod": ""}


@pytest.mark.parametrize("arm", ["fake_sequential", "tod"])
def test_on_from_every_line_of_a_ledger(small, arm):
    one = small()
    one.run()
    path = ledger_of(one, arm)
    whole = path.read_bytes()
    lines = whole.splitlines(keepends=True)
    for count in range(len(lines)):
        path.write_bytes(b"".join(lines[:count]) + lines[count][: len(lines[count]) // 2])
        small().run()
        assert path.read_bytes() == whole, f"after {count} lines and a torn one"


@pytest.mark.parametrize("kept", [1, 2, 3, 4, 5, 6, 7, 8])
def test_a_shorter_study_finishes_the_query_that_a_longer_one_began(small, kept):
    long = small()
    long.run()
    path = ledger_of(long, "fake_sequential")
    whole = path.read_bytes()
    lines = whole.splitlines(keepends=True)
    begun = next(i for i, line in enumerate(lines) if b'"round":1' in line)
    path.write_bytes(b"".join(lines[: begun + kept]))
    short = small(budget={"step": 4, "rounds": 1})
    short.run()
    assert whole.startswith(path.read_bytes())
    assert [status.finished for status in short.status()] == [1, 1]
    small().run()
    assert path.read_bytes() == whole


def test_a_longer_study_continues_a_shorter_one(small, tmp_path):
    small(tmp_path / "whole").run()
    for rounds in (1, 2):
        small(tmp_path / "grown", budget={"step": 4, "rounds": rounds}).run()
    for arm in ("fake_sequential", "tod"):
        one, other = (ledger_of(small(tmp_path / name), arm) for name in ("whole", "grown"))
        lines = [[line for line in p.read_text().splitlines() if '"evaluated"' not in line] for p in (one, other)]
        stories = [[line.rpartition(',"chain"')[0] for line in part] for part in lines]
        assert stories[0] == stories[1]
        assert Book.replay(JsonlLedger(one)) == Book.replay(JsonlLedger(other))


def test_another_step_is_refused_even_in_the_midst_of_a_query(small):
    one = small(budget={"counts": [5, 9, 13]})
    one.run()
    path = ledger_of(one, "fake_sequential")
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:-3]))
    with pytest.raises(EditedStudyError, match="bought 4 labels in round 1, this study plans 3"):
        small(budget={"counts": [5, 9, 12]}).run()
    small(budget={"counts": [5, 9, 13]}).run()
    assert path.read_bytes().splitlines(keepends=True) == lines


def test_what_no_round_can_have_is_refused_by_the_plan(study):
    with pytest.raises(StudyError, match=r"(?s)Previous\(need=Logits\(.*only outputs of the model are remembered"):
        study(study_learner="knn", study_strategy=["random", "tod(space=logits)"])
    with pytest.raises(StudyError, match=r"(?s)Labels\(frame='targets'\).*size = n under \[validation\]"):
        study(study_strategy=["random", "aims"])


def test_targets_are_the_validation_set_of_the_study(study):
    one = study(study_strategy=["random", "aims"], validation_size=6)
    one.run()
    assert all(status.finished == status.runs for status in one.status())


def test_cohorts_of_any_size_write_the_same(small, tmp_path, monkeypatch):
    contents = []
    for size in (1, 4, 32):
        monkeypatch.setattr("querist.studies.execute.COHORT", size)
        one = small(tmp_path / str(size), study_pools=3)
        one.run()
        runs = sorted((tmp_path / str(size)).glob("runs/*/ledger.jsonl"))
        contents.append([path.read_bytes() for path in runs])
    assert all(one == other for one, other in pairwise(contents))
