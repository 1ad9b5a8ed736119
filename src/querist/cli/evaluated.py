"""What ``querist evaluate`` prints and writes: means, verdicts, tables, documents."""

from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from rich.console import RenderableType
from rich.table import Table

from querist.cli.selection import in_words
from querist.errors import DataError, UsageError
from querist.files import write_bytes
from querist.registry import describe
from querist.report.results import PICK_COLUMNS, StudyResults
from querist.report.summary import summary_document, summary_table
from querist.report.wording import FLAGS
from querist.strategies._scorer_card import flags_by_card
from querist.studies.evaluations import Evaluation
from querist.studies.records import ROUNDS
from querist.studies.stored_models import StoredModel, Untested
from querist.studies.study import Study

COLUMNS = (*ROUNDS, "learner")
EXTERNAL_STUDY = "external_study"
SUFFIXES = (".parquet", ".csv")
Done = Sequence[tuple[Evaluation, dict[str, float]]]


@dataclass(frozen=True, kw_only=True, eq=False)
class Outcome:
    """What to print, and the same as a document."""

    shown: RenderableType
    document: dict[str, Any]
    note: str = ""


def outcome_of_files(done: Done, encoder: str, output: Path | None) -> Outcome:
    """Return means over the seeds of each file, size and learner; rankings of an external study are marked."""
    name = done[0][0].set.setting.dataset.name
    marked = sorted({one.set.arm for one, _ in done if EXTERNAL_STUDY in flags_by_card(one.set.arm)})
    rows = table_of(done, "files")
    _write(rows.assign(**{EXTERNAL_STUDY: rows["arm"].isin(marked)}), output)
    results = [row | {EXTERNAL_STUDY: row["set"] in marked} for row in _results(done)]
    document = {"dataset": name, "encoder": encoder, "results": results, "table": output and str(output)}
    note = f"{EXTERNAL_STUDY}, {FLAGS[EXTERNAL_STUDY]}: {', '.join(marked)}" if marked else ""
    return Outcome(shown=means_of(done, "accuracy", f"{name}: accuracy"), document=document, note=note)


def outcome_of_study(study: Study, done: Done, output: Path | None) -> Outcome:
    """Return the verdicts of each learner on the sets of a study; means, where there is nothing to compare with."""
    rows = table_of(done, study.name)
    path = output or study.folder / "evaluated.parquet"
    _write(rows, path)
    document = {"study": study.name, "store": str(study.store.path), "table": str(path), "results": _results(done)}
    results = _as_results(study, rows)
    try:
        shown, verdicts, note = summary_table(results), summary_document(results), None
    except (UsageError, DataError) as reason:
        shown, verdicts, note = (
            means_of(done, results.metric, f"{study.name}: {results.metric}"),
            None,
            f"No verdicts: {reason}",
        )
    said = "\n".join([*([note] if note else []), f"Every result: {path}"])
    return Outcome(shown=shown, document=document | {"verdicts": verdicts, "note": note}, note=said)


def _as_results(study: Study, rows: pd.DataFrame) -> StudyResults:
    """The evaluated sets as results of a study whose arms differ in the learner that was trained on them, too."""
    several = len(set(rows["learner"])) > 1
    parts: list[pd.DataFrame] = []
    arms: list[pd.DataFrame] = []
    described = study.records().arms
    for learner, part in rows.groupby("learner", sort=False):
        ending = f" | learner={learner}" if several else ""
        mine = described[described["arm"].isin(list(part["arm"]))]
        parts.append(part.assign(arm=part["arm"] + ending))
        trained = [f"{learner} trained on what {own} bought" for own in mine["learner"]]
        arms.append(mine.assign(arm=mine["arm"] + ending, learner=trained))
    return StudyResults(
        name=study.name, rounds=pd.concat(parts, ignore_index=True), picks=pd.DataFrame(columns=list(PICK_COLUMNS)),
        arms=pd.concat(arms, ignore_index=True), metric=study.spec.study.metric, rope=study.spec.study.rope,
    )  # fmt: skip


def outcome_of_models(every: Sequence[StoredModel | Untested], output: Path | None) -> Outcome:
    """Return stored models with their test metrics, and those that have none with the reason.

    Raises:
        UsageError: none could be tested.
    """
    found = [one for one in every if isinstance(one, StoredModel)]
    skipped = [one for one in every if isinstance(one, Untested)]
    if not found:
        raise UsageError("\n".join([f"none of {len(skipped)} stored models can be tested.", *_reasons(skipped)]))
    table = Table(title="stored models", title_justify="left", box=None, pad_edge=False)
    for column in ("model", "strategy", "learner", "labels", "accuracy, %", "on record"):
        table.add_column(column, justify="right" if column in ("labels", "accuracy, %") else "left", overflow="fold")
    for one in found:
        labels = f"{one.n_labels:,}" if one.n_labels else "–"
        table.add_row(
            str(one.folder), str(one.spec["strategy"]["name"]), str(one.spec["learner"]["name"]), labels,
            f"{100 * one.metrics['accuracy']:.1f}", {True: "same", False: "DIFFERENT", None: "–"}[one.same],
        )  # fmt: skip
    _write(pd.DataFrame([_row_of_model(one) for one in found]), output)
    different = sum(one.same is False for one in found)
    notes = [f"{different} of {len(found)} models have other test metrics than on record."] if different else []
    if skipped:
        notes += [f"{len(skipped)} of {len(every)} models were skipped:", *_reasons(skipped)]
    return Outcome(
        shown=table, note="\n".join(notes),
        document={
            "models": [_row_of_model(one) | {"recorded": dict(one.recorded)} for one in found],
            "skipped": [{"folder": str(one.folder), "reason": one.reason} for one in skipped],
        },
    )  # fmt: skip


def _reasons(skipped: Sequence[Untested]) -> list[str]:
    """Return every reason once, with the models it is of."""
    models: dict[str, list[str]] = {}
    for one in skipped:
        models.setdefault(one.reason, []).append(str(one.folder))
    return [
        f"  {folders[0]}{f' and {len(folders) - 1} more' if len(folders) > 1 else ''}: {reason}"
        for reason, folders in models.items()
    ]


def _row_of_model(one: StoredModel) -> dict[str, Any]:
    return {
        "folder": str(one.folder), "strategy": one.spec["strategy"]["name"], "learner": one.spec["learner"]["name"],
        "round": one.round, "n_labels": one.n_labels, **one.metrics, "same": one.same,
    }  # fmt: skip


def table_of(done: Done, study: str) -> pd.DataFrame:
    """Return results in the columns of a study's rounds, and the learner as a composition."""
    rows = []
    for one, metrics in done:
        part, held = one.set, len(one.set.held)
        where = (study, part.arm, part.setting.dataset.name, part.pool, part.seed, part.checkpoint)
        counts = (len(part.ids) + held, part.initial, len(part.ids) - part.initial, held)
        rows += [(*where, *counts, metric, value, in_words(one.learner)) for metric, value in metrics.items()]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _results(done: Done) -> list[dict[str, Any]]:
    return [
        {
            "set": one.set.arm, "pool": one.set.pool, "seed": one.set.seed, "checkpoint": one.set.checkpoint,
            "n_labels": len(one.set.ids) + len(one.set.held), "n_validation": len(one.set.held),
            "learner": describe(one.learner), "metrics": metrics,
        }
        for one, metrics in done
    ]  # fmt: skip


def means_of(done: Done, metric: str, title: str) -> Table:
    """Return the mean and the spread over pools and seeds of every set, size and learner."""
    values: dict[tuple[str, int, str], list[float]] = {}
    for one, metrics in done:
        place = (one.set.arm, len(one.set.ids) + len(one.set.held), in_words(one.learner))
        values.setdefault(place, []).append(metrics[metric])
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    for column in ("set", "labels", "learner", "runs", "mean", "sd"):
        table.add_column(column, justify="left" if column in ("set", "learner") else "right", overflow="fold")
    for (arm, n, learner), found in values.items():
        spread = f"{np.std(found, ddof=1):.4f}" if len(found) > 1 else "–"
        table.add_row(arm, f"{n:,}", learner, str(len(found)), f"{np.mean(found):.4f}", spread)
    return table


def require_writable(path: Path | None) -> None:
    """Raise `UsageError` now, and not after hours of training, if the name of a table does not say what it is."""
    if path is not None and path.suffix not in SUFFIXES:
        raise UsageError(f"--out: expected a file that ends in {' or '.join(SUFFIXES)}, got {path}.")


def _write(rows: pd.DataFrame, path: Path | None) -> None:
    """Write a table; the suffix says how."""
    if path is None:
        return
    buffer = BytesIO()
    if path.suffix == ".parquet":
        rows.to_parquet(buffer, index=False)
    else:
        rows.to_csv(buffer, index=False)
    write_bytes(path, buffer.getvalue())
