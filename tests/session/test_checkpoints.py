"""Models on disk and warm starts: a chain of rounds that a kill anywhere leaves as it was."""

import json
import logging
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from querist.errors import SpecError, StoreError
from querist.evidence.evidence import Evidence
from querist.evidence.needs import Need, Probs
from querist.evidence.provider import Fit
from querist.files import write_bytes
from querist.labels.ledger import JsonlLedger
from querist.labels.oracle import SimulatedOracle
from querist.learners.committee import Committee
from querist.seeds import Key
from querist.session.checkpoints import Checkpoints, card_of
from querist.session.cohort import advance
from querist.session.session import Session
from querist.session.setting import Setting
from querist.strategies.base import Picks, State, Strategy
from querist.testing.fakes import FakeLearner, fake_dataset
from querist.testing.keeping import FakeKeeping, FakeWarm

SIZES = (5, 4, 4, 3, 4)
"""An initial pool and four queries: models of rounds 0 to 3, and of 4 to conclude."""


@dataclass(frozen=True, kw_only=True)
class Watched(FakeKeeping):
    """Notes its jobs, and its loads."""

    jobs: ClassVar[list[Fit]] = []
    loads: ClassVar[list[str]] = []

    def fit(self, job: Fit) -> Any:
        self.jobs.append(job)
        return super().fit(job)

    def load(self, folder: Path) -> Any:
        self.loads.append(folder.name)
        return super().load(folder)


@dataclass(frozen=True, kw_only=True)
class WatchedWarm(FakeWarm, Watched):
    """The same, and goes on from the round before."""


@dataclass(frozen=True, kw_only=True)
class Forgetful(WatchedWarm):
    """Goes on from the round before, and has models not worth a file."""

    keeps: ClassVar[bool] = False


@dataclass(frozen=True, kw_only=True)
class Dropping(Watched):
    """Leaves something in its folder, as a long fit does, and reads nothing of it."""

    def fit(self, job: Fit) -> Any:
        assert job.folder is not None
        write_bytes(job.folder / "progress", b"half")
        return super().fit(job)


@pytest.fixture(autouse=True)
def _forget():
    Watched.jobs.clear()
    Watched.loads.clear()


def numbers(jobs: list[Fit]) -> list[Any]:
    """The rounds that were fitted."""
    return [job.seed.path[-2] for job in jobs]


def rooms(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "models").glob("*"))


def lived(make, play, **settings):
    """Return a session that went through all rounds undisturbed."""
    session = make(**{"strategy": "margin", **settings})
    play(session, *SIZES)
    session.conclude()
    return session


@pytest.mark.parametrize("learner", [Watched(), Committee(base=Watched(), members=2)])
def test_t11_no_fit_starts_warm_that_is_not_configured_to(make, play, learner, tmp_path):
    lived(make, play, learner=learner, folder=tmp_path, keep="all")
    assert len(Watched.jobs) >= 5
    assert all(job.warm is None for job in Watched.jobs)


@pytest.mark.parametrize("wrap", [False, True])
def test_a_warm_start_begins_at_the_model_of_the_round_before(make, play, wrap):
    learner = Committee(base=WatchedWarm(), members=2) if wrap else WatchedWarm()
    lived(make, play, learner=learner)
    jobs = [job for job in Watched.jobs if not wrap or job.seed.path[-2] == 0]  # of the first member
    assert len(jobs) == 5
    assert jobs[0].warm is None
    given = [job.warm for job in jobs[1:]]
    fitted = [WatchedWarm().fit(job) for job in jobs[:-1]]
    for warm, model in zip(given, fitted, strict=True):
        assert warm is not None
        assert np.array_equal(warm.weight, model.weight)  # pyright: ignore[reportAttributeAccessIssue]


def test_a_warm_start_changes_what_is_chosen(make, play):
    """Otherwise nothing below could fail."""
    cold, warm = (lived(make, play, learner=learner) for learner in (FakeKeeping(), FakeWarm()))
    assert cold.book.asked != warm.book.asked


def test_a_strategy_that_asks_no_model_leaves_the_chain_whole(make, play):
    sessions = [lived(make, play, learner=FakeWarm(), strategy=s) for s in ("random", "margin")]
    for session in sessions:
        model = None
        for number in range(5):
            job = session._fit_job(session.book.round - number).fit
            model = FakeWarm().fit(job._replace(warm=model))
        assert model is not None
        assert np.array_equal(session._models[4].weight, model.weight)  # pyright: ignore[reportAttributeAccessIssue]


@pytest.mark.parametrize("strategy", ["margin", "random", "tod"])
@pytest.mark.parametrize("keep", ["last", "all", "none"])
@pytest.mark.parametrize("learner", [Watched(), WatchedWarm(), Forgetful(), Committee(base=WatchedWarm(), members=2)])
def test_on_from_every_line_of_a_ledger(make, play, tmp_path, learner, keep, strategy):
    settings = {"learner": learner, "strategy": strategy, "validation": 3}
    whole = make(**settings, ledger=JsonlLedger(tmp_path / "whole.jsonl"))
    play(whole, 3, *SIZES)
    whole.conclude()
    expected = (tmp_path / "whole.jsonl").read_bytes()
    lines = expected.splitlines(keepends=True)
    path = tmp_path / "killed.jsonl"
    for count in range(1, len(lines) + 1):
        # With the models of earlier lives, which for this ledger are partly of its future.
        path.write_bytes(b"".join(lines[:count]))
        session = make(**settings, ledger=JsonlLedger(path), folder=tmp_path / "kept", keep=keep)
        finish(session)
        assert path.read_bytes() == expected, f"after {count} lines"
        assert not (tmp_path / "kept" / "fits").exists()


def finish(session: Session) -> None:
    """Go on as `lived` does, from wherever a session is."""
    oracle = SimulatedOracle(session.dataset.labels, session.dataset.pool)
    for size in (3, *SIZES)[len(session.book.asked) - (session.book.pending is not None) :]:
        session.tell(oracle.answer(session.ask(size)))
    session.conclude()


def test_a_finished_model_is_loaded_and_not_fitted_again(make, play, tmp_path):
    settings = {"learner": WatchedWarm(), "strategy": "margin", "folder": tmp_path / "kept"}
    first = make(**settings, ledger=JsonlLedger(tmp_path / "ledger.jsonl"))
    play(first, *SIZES)
    query = first.ask(3)
    assert numbers(Watched.jobs) == [0, 1, 2, 3, 4]
    again = make(**settings, ledger=JsonlLedger(tmp_path / "ledger.jsonl"))
    assert again.ask().ids.tolist() == query.ids.tolist()
    assert Watched.loads == []  # nothing was left to do
    again.tell(dict.fromkeys(query.ids.tolist(), 0))
    again.ask(2)
    assert numbers(Watched.jobs) == [0, 1, 2, 3, 4, 5]
    assert Watched.loads == ["round-004"]
    assert [timing.step for timing in again.timings if timing.step in ("load", "fit")] == ["load", "fit"]


def test_last_keeps_what_may_be_asked_for_again_and_all_keeps_all(make, play, tmp_path):
    for name, settings in {
        "last": {}, "all": {"keep": "all"}, "none": {"keep": "none"}, "back": {"strategy": "tod"},
    }.items():  # fmt: skip
        lived(make, play, learner=FakeKeeping(), folder=tmp_path / name, **settings)
    assert rooms(tmp_path / "last") == ["round-004"]
    assert rooms(tmp_path / "all") == [f"round-00{i}" for i in range(5)]
    assert rooms(tmp_path / "none") == []
    assert rooms(tmp_path / "back") == ["round-003", "round-004"]
    card = card_of(tmp_path / "all" / "models" / "round-003")
    assert card is not None
    assert card["round"] == 3
    assert card["spec"]["strategy"]["name"] == "margin"


def test_a_learner_that_keeps_nothing_writes_nothing(make, play, tmp_path):
    lived(make, play, learner=FakeLearner(), folder=tmp_path, keep="all")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("damage", ["cut", "no card", "other card", "of other labels"])
def test_a_model_that_is_not_of_this_fit_is_fitted_again(make, play, tmp_path, damage, caplog):
    settings = {"learner": Watched(), "strategy": "margin", "folder": tmp_path / "kept"}
    path = tmp_path / "ledger.jsonl"
    first = make(**settings, ledger=JsonlLedger(path))
    play(first, *SIZES)
    before = path.read_bytes()
    expected = first.ask(4).ids.tolist()
    model = tmp_path / "kept" / "models" / "round-004"
    match damage:
        case "cut":
            (model / "model.json").write_bytes((model / "model.json").read_bytes()[:-9])
        case "no card":
            (model / "fit.json").unlink()
        case "other card":
            (model / "fit.json").write_text("[1]")
        case _:
            other = make(**{**settings, "folder": tmp_path / "other"}, seed=1)
            play(other, *SIZES)
            other.ask(4)
            model.rename(tmp_path / "own")
            (tmp_path / "other" / "models" / "round-004").rename(model)
    path.write_bytes(before)
    Watched.jobs.clear()
    Watched.loads.clear()
    with caplog.at_level(logging.WARNING):
        again = make(**settings, ledger=JsonlLedger(path))
        assert again.ask(4).ids.tolist() == expected
    assert numbers(Watched.jobs) == [4]
    assert Watched.loads == (["round-004"] if damage == "cut" else [])
    assert ("cannot be used and is fitted again" in caplog.text) == (damage == "cut")


def test_every_fit_has_a_room_of_its_own_until_its_model_is_kept_or_its_round_is_done(make, play, tmp_path):
    session = make(learner=Dropping(), strategy="margin", folder=tmp_path)
    play(session, *SIZES)
    session.ask(3)
    folders = [job.folder for job in Watched.jobs]
    assert [folder.parent for folder in folders if folder] == [tmp_path / "fits" / f"round-00{i}" for i in range(5)]
    assert not (tmp_path / "fits").exists()
    none = make(learner=Dropping(), strategy="margin", folder=tmp_path / "none", keep="none")
    play(none, 5)
    none.aim(4)
    while (job := none.job()) is not None and job.step != "evaluate":
        none.deliver(job, job.run())
    (left,) = (tmp_path / "none" / "fits" / "round-000").iterdir()
    assert (left / "progress").read_bytes() == b"half"
    assert left.name == folders[0].name if folders[0] else False  # the same fit, whatever is kept
    none.conclude()
    assert not (tmp_path / "none" / "fits").exists()


@pytest.mark.parametrize("differing", [0, 1])
def test_rooms_of_other_labels_are_other_rooms(make, tmp_path, setting, differing):
    """One answer differs, to the initial pool or to the first query."""
    truth, rooms = setting.dataset.labels.unseal(), []
    for wrong in (0, 1):
        session = make(learner=Watched(), strategy="random", folder=tmp_path)
        for number, b in enumerate((5, 4)):
            ids = session.ask(b).ids.tolist()
            first = ids[0] if number == differing else None
            session.tell({i: (int(truth[i]) + wrong * (i == first)) % 3 for i in ids})
        session.aim(2)
        job = session.job()
        rooms.append(job.fit.folder)  # pyright: ignore[reportOptionalMemberAccess, reportAttributeAccessIssue]
    assert rooms[0].parent == rooms[1].parent
    assert rooms[0] != rooms[1]


def test_reading_leaves_everything_as_it_is(make, play, tmp_path):
    settings = {"learner": Watched(), "strategy": "margin", "folder": tmp_path / "kept"}
    path = tmp_path / "ledger.jsonl"
    session = make(**settings, ledger=JsonlLedger(path))
    play(session, *SIZES)
    before = path.read_bytes()
    expected = session.ask(4).ids.tolist()
    write_bytes(tmp_path / "kept" / "fits" / "round-009" / "progress", b"of another process")
    state = {p: p.read_bytes() for p in (tmp_path / "kept").rglob("*") if p.is_file()}
    path.write_bytes(before)
    Watched.jobs.clear()
    reading = make(**settings, ledger=JsonlLedger(path), keep="read")
    assert reading.ask(4).ids.tolist() == expected
    assert Watched.jobs == []
    reading.tell(dict.fromkeys(expected, 0))
    reading.ask(2)
    assert [job.folder for job in Watched.jobs] == [None]
    assert {p: p.read_bytes() for p in (tmp_path / "kept").rglob("*") if p.is_file()} == state


def test_an_unknown_word_is_refused(make, tmp_path):
    with pytest.raises(SpecError, match="Expected keep to be 'last', 'all', 'none', 'read', got 'some'"):
        make(folder=tmp_path, keep="some")


@pytest.mark.parametrize("learner", [FakeKeeping(), FakeWarm()])
@pytest.mark.parametrize("keep", ["last", "all"])
def test_a_kill_at_every_change_of_the_disk(make, tmp_path, monkeypatch, learner, keep):
    """The process dies before the n-th write or deletion; the next one goes on to the same bytes."""
    calm = make(learner=learner, strategy="margin", ledger=JsonlLedger(tmp_path / "calm.jsonl"))
    finish_without_validation(calm)
    expected = (tmp_path / "calm.jsonl").read_bytes()

    class Killed(BaseException):
        pass

    calls = Counter[str]()
    limit = 0

    def dying(function: Any) -> Any:
        def call(*args: Any, **kwargs: Any) -> Any:
            calls["all"] += 1
            if calls["all"] == limit:
                raise Killed
            return function(*args, **kwargs)

        return call

    from querist.labels import ledger
    from querist.session import checkpoints
    from querist.testing import keeping

    monkeypatch.setattr(keeping, "write_bytes", dying(write_bytes))
    monkeypatch.setattr(checkpoints, "write_bytes", dying(write_bytes))
    monkeypatch.setattr(checkpoints.shutil, "rmtree", dying(checkpoints.shutil.rmtree))
    monkeypatch.setattr(ledger.os, "write", dying(ledger.os.write))
    deaths = 0
    while True:
        calls.clear()
        limit = deaths + 1
        folder = tmp_path / f"{keep}-{deaths}"
        settings = {"learner": learner, "strategy": "margin", "folder": folder, "keep": keep}
        try:
            finish_without_validation(make(**settings, ledger=JsonlLedger(folder / "ledger.jsonl")))
        except Killed:
            deaths += 1
        else:
            break
        limit = 0
        finish_without_validation(make(**settings, ledger=JsonlLedger(folder / "ledger.jsonl")))
        assert (folder / "ledger.jsonl").read_bytes() == expected, f"killed before call {deaths}"
        assert rooms(folder) == (["round-004"] if keep == "last" else [f"round-00{i}" for i in range(5)])
    assert deaths > 25


def finish_without_validation(session: Session) -> None:
    oracle = SimulatedOracle(session.dataset.labels, session.dataset.pool)
    for size in SIZES[len(session.book.asked) - (session.book.pending is not None) :]:
        session.tell(oracle.answer(session.ask(size)))
    session.conclude()


def test_a_cohort_keeps_models_as_single_sessions_do(make, tmp_path):
    sessions = [make(learner=FakeWarm(), strategy="margin", folder=tmp_path / str(i), seed=i) for i in range(3)]
    oracle = SimulatedOracle(sessions[0].dataset.labels, sessions[0].dataset.pool)
    for size in SIZES:
        for session in sessions:
            session.aim(size)
        assert advance(sessions) == {}
        for session in sessions:
            session.tell(oracle.answer(session.query))
    alone = make(learner=FakeWarm(), strategy="margin", seed=2)
    finish_without_validation(alone)
    assert sessions[2].book.asked == alone.book.asked
    assert [rooms(tmp_path / str(i)) for i in range(3)] == [["round-003"]] * 3


def test_a_disk_that_refuses_is_told_as_such(tmp_path):
    (tmp_path / "models").write_text("a file where a folder should be")
    kept = Checkpoints(tmp_path, FakeKeeping())
    model = FakeKeeping().load(_saved(tmp_path / "elsewhere"))
    with pytest.raises(StoreError, match="cannot write"):
        kept.save(0, "0" * 32, model, {}, 0)


def _saved(folder: Path) -> Path:
    write_bytes(folder / "model.json", json.dumps({"weight": [[1.0]], "bias": [0.0]}).encode())
    return folder


def test_killed_between_the_query_and_its_test_the_model_is_not_fitted_again(make, play, tmp_path):
    settings = {"learner": Watched(), "strategy": "margin", "folder": tmp_path / "kept"}
    path = tmp_path / "ledger.jsonl"
    session = make(**settings, ledger=JsonlLedger(path))
    play(session, *SIZES)
    session.ask(4)
    whole = path.read_bytes()
    *lines, last = whole.splitlines(keepends=True)
    assert b'"evaluated"' in last
    path.write_bytes(b"".join(lines))
    Watched.jobs.clear()
    make(**settings, ledger=JsonlLedger(path)).ask()
    assert (Watched.jobs, Watched.loads) == ([], ["round-004"])
    assert path.read_bytes() == whole


def test_a_model_of_other_settings_is_not_taken(make, play, tmp_path):
    """The labels are the same, and so is the folder; the learner is not."""
    path = tmp_path / "ledger.jsonl"
    for learner in (Watched(), Watched(temperature=3.0)):
        path.unlink(missing_ok=True)
        session = make(learner=learner, strategy="random", folder=tmp_path / "kept", ledger=JsonlLedger(path))
        play(session, *SIZES)
        Watched.jobs.clear()
        Watched.loads.clear()
        session.conclude()
    assert numbers(Watched.jobs) == [4]
    assert Watched.loads == []


@dataclass(frozen=True, kw_only=True)
class EverySecond(Strategy):
    """Looks at the model in even rounds, and at nothing in odd ones."""

    def needs_at(self, state: State) -> tuple[Need[Any], ...]:
        return (Probs(),) if state.has_model and state.round % 2 == 0 else ()

    def select(self, ev: Evidence, b: int, key: Key) -> Picks:
        score = key.uniform(ev.candidates) if Probs() not in ev.needs else ev[Probs()].max(axis=1)
        return Picks(np.argsort(score, kind="stable")[:b])


def test_a_round_without_a_model_does_not_cost_the_chain_its_last_one(make, play, tmp_path):
    data = fake_dataset()
    untested = replace(data, manifest=replace(data.manifest, split=np.zeros(len(data.manifest), np.int8)))
    settings = {"data": Setting(untested), "learner": WatchedWarm(), "strategy": EverySecond(), "folder": tmp_path}
    path = tmp_path / "ledger.jsonl"
    first = make(**settings, ledger=JsonlLedger(path))
    play(first, 5, 4, 4, 4, 4)  # the initial pool and rounds 0 to 3
    assert rooms(tmp_path) == ["round-002"]
    assert numbers(Watched.jobs) == [0, 1, 2]
    Watched.jobs.clear()
    again = make(**settings, ledger=JsonlLedger(path))
    asked = again.ask(4).ids.tolist()
    assert Watched.loads == ["round-002"]
    assert numbers(Watched.jobs) == [3, 4]
    calm = make(**{**settings, "folder": None})
    play(calm, 5, 4, 4, 4, 4)
    assert calm.ask(4).ids.tolist() == asked
