"""Judging settings: what a fold is given, and that nothing in it has seen the labels that are held out."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from querist.evidence.provider import Fit, Model
from querist.learners.ensemble import Ensemble
from querist.learners.judging import Judge, updates_of
from querist.learners.linear import Linear
from querist.learners.scratch import Scratch
from querist.seeds import Seed
from querist.testing.fakes import FakeLearner, fake_dataset, fake_view

DATA = fake_dataset(n=60, c=3, d=4)
IDS = DATA.pool[:18]


@dataclass(frozen=True, kw_only=True)
class Remembering(FakeLearner):
    """Keeps the jobs it is given."""

    jobs: list[Fit]

    def fit_many(self, jobs: Sequence[Fit]) -> list[Model]:
        self.jobs.extend(jobs)
        return [super(Remembering, self).fit(job) for job in jobs]

    def fit(self, job: Fit) -> Model:  # pyright: ignore[reportIncompatibleMethodOverride]
        return self.fit_many([job])[0]


def jobs_of(validation=None) -> tuple[Fit, list[Fit]]:
    """Return the job of a round that goes on from an earlier model, and those that judging settings makes of it."""
    labelled, pool = fake_view(DATA, IDS, IDS % 3), fake_view(DATA, DATA.pool[30:])
    before = FakeLearner().fit(Fit(labelled, pool, Seed(1)))
    job = Fit(labelled, pool, Seed(2), validation=validation, warm=before)
    learner = Remembering(jobs=[])
    Judge(learner, job, 3)({}, 1.0, None)
    return job, learner.jobs


def test_no_fold_goes_on_from_a_model_that_has_seen_what_it_holds_out():
    job, folds = jobs_of()
    assert [fold.warm for fold in folds] == [None] * 3
    assert [fold.validation for fold in folds] == [None] * 3
    kept = np.concatenate([fold.labelled.ids for fold in folds])
    assert sorted(kept) == sorted([*IDS, *IDS])  # each row is held out once
    assert len({fold.seed for fold in folds} | {job.seed}) == 4


def test_on_a_validation_set_settings_are_judged_as_they_will_be_used():
    ids = DATA.pool[18:27]
    job, (fit,) = jobs_of(fake_view(DATA, ids, ids % 3))
    assert fit.warm is job.warm
    assert fit.validation is job.validation
    assert fit == job


def test_the_steps_of_several_members_add_up():
    """In epochs they hang on the number of labels; a member that takes none adds none."""
    short, long = Scratch(updates=7), Scratch(epochs=2, batch=8)
    assert updates_of(Ensemble(base=(short, long), members=4), 20) == 2 * (7 + 5)
    assert updates_of(Ensemble(base=(short, Linear()), members=2), 20) == 7
