"""Sets of labels of stored runs: what was bought by each checkpoint, as it was answered, and no more."""

import json

import numpy as np
import pytest
from hypothesis import given, strategies as st

from querist.errors import UsageError
from querist.labels.book import Book
from querist.labels.ledger import JsonlLedger
from querist.learners.base import learners
from querist.registry import digest
from querist.seeds import Seed
from querist.studies.evaluations import Evaluation, Evaluations, evaluate_all, planned, split_off
from querist.studies.label_sets import StoredStudy
from querist.testing.fakes import FakeLearner


@pytest.fixture
def source(study):
    """Run a study, and return its sets as they are stored."""

    def source(**changes):
        one = study(**changes)
        one.run()
        return one, StoredStudy(study=one.spec.model_dump_json(), store=str(one.store.path))

    return source


def test_every_checkpoint_has_what_was_bought_before_it(source):
    one, stored = source(study_strategy=["random", "margin", "whole"], validation_size=4)
    sets = stored.sets()
    assert len(sets) == 3 * 2 * 3
    runs = {(run.arm.name, run.pool, run.first): run for run in one.plan.runs}
    for part in sets:
        first = part.checkpoint if part.arm == "whole" else 0
        book = Book.replay(JsonlLedger(one.store.run(runs[part.arm, part.pool, first]).path / "ledger.jsonl"))
        ids, labels = book.known(before=part.checkpoint - first)
        assert part.ids.tolist() == ids.tolist()
        assert len(ids) == 5 + 4 * part.checkpoint
        assert part.labels.tolist() == labels.tolist()
        assert part.held.tolist() == book.known(validation=True)[0].tolist()
        assert part.initial == (len(ids) if part.arm == "whole" else 5)
        assert set(part.taken) == {*part.ids, *part.held}


def test_fits_have_the_seeds_of_the_runs(source):
    """So that a learner that was in the study gives what is on record, whatever it draws."""
    learner = learners.card("nearest").component
    _, stored = source(study_strategy=["random", "whole"], study_seeds=2)
    fitted = {(path, n) for path, n in learner.fits if n}  # pyright: ignore[reportFunctionMemberAccess]
    assert {(part.address.path, len(part.ids)) for part in stored.sets()} == fitted


def test_labels_are_those_that_were_answered(source):
    """An annotator who errs has erred for good: nobody looks the truth up again."""
    one, stored = source(study_pools=1)
    run = one.plan.runs[0]
    path = one.store.run(run).path / "ledger.jsonl"
    events = list(JsonlLedger(path))
    path.unlink()
    ledger = JsonlLedger(path)
    wrong = {i for event in events if event.kind == "answered" for i in event.ids[:1]}  # pyright: ignore[reportAttributeAccessIssue]
    for event in events:
        if event.kind == "answered":
            flipped = tuple((y + 1) % 3 if i in wrong else y for i, y in zip(event.ids, event.labels, strict=True))  # pyright: ignore[reportAttributeAccessIssue]
            event = type(event)(round=event.round, purpose=event.purpose, ids=event.ids, labels=flipped)  # pyright: ignore
        ledger.append(event)
    truth = run.arm.setting.dataset.labels.unseal()
    last = [part for part in stored.sets() if part.arm == run.arm.name][-1]
    heard = dict(zip(last.ids.tolist(), last.labels.tolist(), strict=True))
    assert {i for i, y in heard.items() if y != truth[i]} == wrong & heard.keys()
    assert wrong & heard.keys()


def test_a_result_is_known_by_all_it_depends_on_and_by_nothing_else(source, tmp_path):
    _, stored = source()
    parts = [Evaluation(part, FakeLearner()) for part in stored.sets()]
    assert len({part.key for part in parts}) == len(parts) - 2  # the initial pools of two arms are the same
    again = [Evaluation(part, FakeLearner()).key for part in stored.sets()]
    assert again == [part.key for part in parts]
    warmer = Evaluation(parts[0].set, FakeLearner(temperature=2.0))
    assert warmer.key != parts[0].key
    results = evaluate_all(stored, ["nearest"], tmp_path / "results")
    assert len(list((tmp_path / "results").glob("*.json"))) == len({one.key for one, _ in results})
    assert [metrics for _, metrics in results] == [one.run() for one, _ in results]


def test_a_damaged_result_is_made_again(source, tmp_path):
    _, stored = source(study_pools=1)
    first = evaluate_all(stored, ["nearest"], tmp_path)
    for path, text in zip(sorted(tmp_path.glob("*.json")), ("", "{", json.dumps({"schema": 99}), "[]"), strict=False):
        path.write_text(text)
    assert [m for _, m in evaluate_all(stored, ["nearest"], tmp_path)] == [m for _, m in first]
    assert all(Evaluations(tmp_path).read(one) for one, _ in first)


def test_a_dead_worker_costs_nothing_but_time(source, tmp_path, monkeypatch):
    from concurrent.futures.process import BrokenProcessPool

    def dying(*_):
        yield 1
        raise BrokenProcessPool("killed")

    _, stored = source()
    expected = [m for _, m in evaluate_all(stored, ["nearest"], tmp_path / "calm")]
    monkeypatch.setattr("querist.studies.evaluations._in_processes", dying)
    assert [m for _, m in evaluate_all(stored, ["nearest"], tmp_path / "hard", workers=3)] == expected


def test_nothing_to_evaluate_is_refused(study):
    one = study()
    with pytest.raises(UsageError, match="nothing is on record"):
        planned(StoredStudy(study=one.spec.model_dump_json(), store=str(one.store.path)), ["nearest"])


@given(st.sets(st.integers(0, 500), min_size=1, max_size=40), st.data())
def test_labels_for_validation_are_drawn_by_the_ids_alone(ids, data):
    values = np.array(sorted(ids), np.int64)
    count = data.draw(st.integers(0, len(ids) - 1))
    seed = Seed(data.draw(st.integers(0, 3)))
    train, held = split_off(values, count, seed)
    assert sorted([*train, *held]) == values.tolist()
    assert len(held) == count
    assert train.tolist() == sorted(train)
    assert held.tolist() == sorted(held)
    more = split_off(values, min(count + 1, len(ids) - 1), seed)[1]
    assert set(held) <= set(more)
    with pytest.raises(UsageError, match="fewer labels"):
        split_off(values, len(ids), seed)


def test_keys_hold_no_paths(source):
    _, stored = source(study_pools=1)
    one = Evaluation(stored.sets()[0], FakeLearner())
    assert one.key != digest([])
    assert len(one.key) == 32
