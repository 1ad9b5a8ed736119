"""Tables of a study, replayed from the ledgers of its runs."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from querist.labels.book import Book
from querist.labels.events import INITIAL, VALIDATION
from querist.studies.plan import Run, StudyPlan
from querist.studies.store import Store

ROUNDS = (
    "study", "arm", "dataset", "pool", "seed", "checkpoint", "n_labels", "n_initial", "n_query", "n_validation",
    "metric", "value",
)  # fmt: skip
PICKS = ("arm", "pool", "seed", "round", "rank", "id", "key", "score", "propensity")
TUNING = (
    "arm", "pool", "seed", "checkpoint", "n_labels", "trials", "fits", "updates", "n_validation", "value", "reused",
    "settings",
)  # fmt: skip
TELEMETRY = ("arm", "pool", "seed", "round", "step", "seconds", "peak_mb", "host", "pid")


class Records(NamedTuple):
    """The compared tables of a study, and the telemetry that is never compared.

    ``tuning`` has one row per search for settings of a learner: what it cost, and as JSON what it found.
    """

    rounds: pd.DataFrame
    picks: pd.DataFrame
    telemetry: pd.DataFrame
    arms: pd.DataFrame
    tuning: pd.DataFrame


def collect_records(plan: StudyPlan, store: Store) -> Records:
    """Return the tables of everything on record, in the order of the plan; values 0..1, nothing rounded.

    Raises:
        LedgerError: a ledger is damaged.
        EditedStudyError: a stored run bought other numbers of labels than this study plans.
    """
    rounds: list[tuple[Any, ...]] = []
    picks: list[tuple[Any, ...]] = []
    telemetry: list[tuple[Any, ...]] = []
    tuning: list[tuple[Any, ...]] = []
    for run in plan.runs:
        folder = store.run(run)
        book = store.book(run)
        rounds += _rounds(run.fork or plan.spec.study.name, run, book)
        picks += _picks(run, book)
        tuning += _tuning(run, book)
        telemetry += _telemetry(run, folder.path / "telemetry.jsonl")
    arms = [
        (
            arm.name, ",".join(sorted(arm.flags)),
            *(json.dumps(arm.spec[k], sort_keys=True) for k in ("strategy", "learner", "initial", "features")),
        )
        for arm in plan.arms
    ]  # fmt: skip
    order = ["arm", "pool", "seed"]
    return Records(
        pd.DataFrame(rounds, columns=list(ROUNDS)).sort_values([*order, "checkpoint", "metric"], ignore_index=True),
        pd.DataFrame(picks, columns=list(PICKS)).sort_values([*order, "round", "rank"], ignore_index=True),
        pd.DataFrame(telemetry, columns=list(TELEMETRY)),
        pd.DataFrame(arms, columns=["arm", "flags", "strategy", "learner", "initial", "features"]),
        pd.DataFrame(tuning, columns=list(TUNING)).sort_values([*order, "checkpoint"], ignore_index=True),
    )


def _telemetry(run: Run, path: Path) -> Iterator[tuple[Any, ...]]:
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
        try:
            values = json.loads(line)
        except ValueError:  # torn by a kill
            continue
        yield (run.arm.name, run.pool, run.seed, *(values.get(k) for k in TELEMETRY[3:]))


def _tuning(run: Run, book: Book) -> Iterator[tuple[Any, ...]]:
    for number, found in sorted(book.tuning.items()):
        if number < len(run.counts):
            yield (
                run.arm.name, run.pool, run.seed, run.first + number, run.counts[number] + run.validation,
                found.trials, found.fits, found.updates, found.validation, found.value, found.reused,
                json.dumps(dict(found.settings), sort_keys=True),
            )  # fmt: skip


def _rounds(study: str, run: Run, book: Book) -> Iterator[tuple[Any, ...]]:
    arm = run.arm
    for t, n in enumerate(run.counts):
        if t in book.evaluations:
            for metric, value in book.evaluations[t].metrics.items():
                yield (
                    study, arm.name, arm.setting.dataset.name, run.pool, run.seed, run.first + t,
                    n + run.validation, run.counts[0], n - run.counts[0], run.validation, metric, value,
                )  # fmt: skip


def _picks(run: Run, book: Book) -> Iterator[tuple[Any, ...]]:
    keys = run.arm.setting.dataset.manifest.keys
    for asked in book.asked:
        if asked.purpose == VALIDATION or asked.round >= len(run.counts) - 1:
            continue
        # A one-shot arm selects afresh for every checkpoint; its picks stand under the round that they replace.
        number = run.first - 1 if asked.purpose == INITIAL else asked.round
        for rank, i in enumerate(asked.ids):
            score = asked.utility[rank] if asked.utility else float("nan")
            propensity = asked.propensity[rank] if asked.propensity else float("nan")
            yield (run.arm.name, run.pool, run.seed, number, rank, i, keys[i], score, propensity)
