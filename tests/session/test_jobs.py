"""Jobs as values: evidence in chunks, and the seal before every test."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pytest

from querist.errors import LeakError
from querist.evidence.evidence import Evidence
from querist.evidence.needs import Features, Probs
from querist.session.jobs import EvaluateJob, EvidenceJob, is_streamed
from querist.strategies.base import Scoring, strategies
from querist.testing.fakes import FakeLearner


def gather(candidates: Any) -> Evidence:
    return Evidence(candidates, {}, c=2)


def test_chunks_cover_the_pool_once_however_often_they_are_read(monkeypatch):
    monkeypatch.setattr("querist.session.jobs.CHUNK", 7)
    pool = np.arange(3, 50, 2)
    chunks = EvidenceJob(gather, pool, streamed=True).run()
    for _ in range(2):
        parts = [part.candidates for part in chunks]  # pyright: ignore[reportGeneralTypeIssues]
        assert [len(part) for part in parts] == [7, 7, 7, 3]
        assert np.array_equal(np.concatenate(parts), pool)


@pytest.mark.parametrize(("streamed", "n"), [(False, 24), (True, 7), (True, 0)])
def test_one_piece_where_it_cannot_or_need_not_be_cut(monkeypatch, streamed, n):
    monkeypatch.setattr("querist.session.jobs.CHUNK", 7)
    ev = EvidenceJob(gather, np.arange(n), streamed).run()
    assert isinstance(ev, Evidence)
    assert len(ev.candidates) == n


def test_only_row_wise_strategies_without_whole_frames_are_streamed():
    @dataclass(frozen=True, kw_only=True)
    class Whole(Scoring):
        needs: ClassVar = (Features(frame="all"),)

        def score(self, ev: Any):
            return np.zeros(len(ev.candidates))

    for strategy, expected in (("margin", True), ("badge", False), ("stochastic(margin)", False), ("random", False)):
        built = strategies.build(strategy)
        assert is_streamed(built, built.needs) is expected, strategy
    assert not is_streamed(Whole(), Whole().needs)


def test_no_test_before_the_seal(setting):
    with pytest.raises(LeakError, match="after its query is sealed"):
        EvaluateJob(setting.evaluator, None, sealed=False).run()  # pyright: ignore[reportArgumentType]


def test_jobs_ask_for_nothing_but_what_was_declared(make, play, monkeypatch):
    asked = []

    @dataclass(frozen=True, kw_only=True)
    class Spy(FakeLearner):
        def fit(self, job: Any):
            model = super().fit(job)
            provide = type(model).provide
            return type(
                "Model", (), {"provide": lambda self, n, v: asked.append((n, len(v))) or provide(model, n, v)}
            )()

    session = make(learner=Spy(), strategy="margin")
    play(session, 5, 5)
    assert asked == [(Probs(), 85), (Probs(), 30)]
