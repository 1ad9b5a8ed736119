"""Learners fitted again: the answer is that of a fit on those labels alone."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest

from querist.errors import UnmetNeedError
from querist.evidence.evidence import Evidence
from querist.evidence.needs import Probs, Refit
from querist.evidence.provider import Offer
from querist.learners.base import learners
from querist.session.refit import RefitSource
from querist.session.session import Session
from querist.session.setting import Setting
from querist.strategies.base import Picks, Strategy
from querist.testing.fakes import FakeLearner, fake_dataset


@pytest.mark.parametrize("learner", ["linear", "knn", {"name": "committee", "base": "linear", "members": 3}])
def test_it_equals_a_fit_on_those_labels(learner):
    setting = Setting(fake_dataset(80))
    pool, y = setting.dataset.pool, setting.dataset.labels.unseal()
    built, bought, rows = learners.build(learner), pool[:20], np.array([0, 3, 4, 9, 11])
    session = Session(setting, learner=built, strategy="margin", seed=3)
    session.adopt({int(i): int(y[i]) for i in bought})
    session.aim(2)
    job = session.job()
    fit = job.fit  # pyright: ignore[reportAttributeAccessIssue, reportOptionalMemberAccess]
    again = RefitSource(built).provide(fit.labelled, setting.view(pool[20:]), fit.seed)
    alone = built.fit(fit._replace(labelled=setting.view(bought[rows], y[bought[rows]])))
    np.testing.assert_array_equal(again(rows), alone.provide(Probs(), setting.view(pool[20:])))
    assert not np.array_equal(again(rows), again(np.arange(20)))


def test_a_want_is_met_where_it_can_be_and_left_out_where_it_cannot():
    @dataclass(frozen=True)
    class Wants(Strategy):
        wants: ClassVar = (Refit(),)
        seen: ClassVar[list[bool]] = []

        def select(self, ev: Evidence, b, key) -> Picks:
            self.seen.append(Refit() in ev.needs)
            if Refit() in ev.needs:
                assert ev[Refit()](np.arange(1)).shape == (len(ev.candidates), ev.c)
            return Picks(np.arange(b))

    @dataclass(frozen=True, kw_only=True)
    class Deep(FakeLearner):
        trains_backbone: ClassVar[bool] = True

    data = fake_dataset(60)
    for learner in (FakeLearner(), Deep()):
        session = Session(data, learner=learner, strategy=Wants(), initial="random", seed=0)
        for _ in range(2):
            session.tell(dict.fromkeys(session.ask(3).ids.tolist(), 0))
    assert Wants.seen == [True, False]


def test_a_backbone_is_not_trained_again_for_one_query():
    @dataclass(frozen=True, kw_only=True)
    class Deep(FakeLearner):
        trains_backbone: ClassVar[bool] = True

    assert isinstance(RefitSource(FakeLearner()).offers(Refit()), Offer)
    assert "backbone" in str(RefitSource(Deep()).offers(Refit()))
    assert "targets" in str(RefitSource(FakeLearner()).offers(Refit(frame="targets")))

    @dataclass(frozen=True)
    class Needs(Strategy):
        needs: ClassVar = (Refit(),)

        def select(self, ev: Evidence, b, key) -> Picks:
            return Picks(np.arange(b))

    with pytest.raises(UnmetNeedError, match="takes too long"):
        Session(fake_dataset(60), learner=Deep(), strategy=Needs(), initial="random")
