"""Many sessions in step: their fits go to the learner in one call, everything else runs one by one."""

import time
from collections.abc import Sequence
from typing import Any

from querist.errors import SpecError, StoreError
from querist.kernels.threads import single_threaded_blas
from querist.session.jobs import FitJob, Job, timed
from querist.session.session import Session


def advance(sessions: Sequence[Session]) -> dict[Session, Exception]:
    """Run the jobs of all sessions until each has reached its goal (`Session.aim`).

    Grouping changes nothing in any session: a learner's ``fit_many`` equals its ``fit``, bit for bit.

    Returns:
        The sessions that stopped with an error; the others are not affected by it.

    Raises:
        StoreError: nothing can be written any more, so none can go on.
    """
    failed: dict[Session, Exception] = {}
    with single_threaded_blas():
        active = list(sessions)
        while active:
            waiting: list[tuple[Session, Job]] = []
            for session in active:
                try:
                    if (job := session.job()) is not None:
                        waiting.append((session, job))
                except StoreError:
                    raise
                except Exception as error:  # a strategy's own code may raise anything: it ends this session alone
                    failed[session] = error
            shared = [(s, job) for s, job in waiting if isinstance(job, FitJob) and not _takes_long(job)]
            _fit_together(shared, failed)
            for session, job in waiting:
                # A fit that takes long is delivered when it is done, and its news belong to one session.
                if not isinstance(job, FitJob) or _takes_long(job):
                    _run(session, job, failed)
            active = [session for session, _ in waiting if session not in failed]
    return failed


def _takes_long(job: FitJob) -> bool:
    return job.learner.keeps or job.learner.searches


def _fit_together(waiting: list[tuple[Session, FitJob]], failed: dict[Session, Exception]) -> None:
    while waiting:
        learner = waiting[0][1].learner
        group = [(s, job) for s, job in waiting if job.learner == learner]
        waiting = [(s, job) for s, job in waiting if job.learner != learner]
        start = time.perf_counter()
        try:
            models = list(learner.fit_many([job.fit for _, job in group]))
            if len(models) != len(group):
                raise SpecError(
                    f"{type(learner).__name__}.fit_many returned {len(models)} models for {len(group)} jobs."
                )
        except StoreError:
            raise
        except Exception as error:
            if len(group) == 1:
                failed[group[0][0]] = error
                continue
            # One of them cannot be fitted: find out which, and let the others go on.
            for session, job in group:
                _run(session, job, failed)
            continue
        share = (time.perf_counter() - start) / len(group)
        for (session, job), model in zip(group, models, strict=True):
            _deliver(session, job, model, share, failed)


def _run(session: Session, job: Job, failed: dict[Session, Exception]) -> None:
    try:
        with session.news.heard(session.book.round):
            result, seconds = timed(job)
    except StoreError:
        raise
    except Exception as error:
        failed[session] = error
    else:
        _deliver(session, job, result, seconds, failed)


def _deliver(session: Session, job: Job, result: Any, seconds: float, failed: dict[Session, Exception]) -> None:
    try:
        session.deliver(job, result, seconds)
    except StoreError:
        raise
    except Exception as error:
        failed[session] = error
