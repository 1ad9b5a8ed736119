"""From a study in its store to what a report is made of."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from querist.analysis.correlation import FEWEST
from querist.arrays import Array, Ids
from querist.data.dataset import Dataset
from querist.encoders.pixels import flatten
from querist.evidence.needs import Features
from querist.labels.book import Book
from querist.registry import describe, digest
from querist.report.first_pools import score_pools
from querist.report.maps import EmbeddingMap, embedding_map
from querist.report.results import StudyResults
from querist.seeds import Seed
from querist.session.hubs import pool_hubness
from querist.studies.outlooks import forecast_table, kept_of
from querist.studies.records import Records
from querist.studies.study import Study


def results_of(study: Study) -> StudyResults:
    """Return the results on record of a study, complete or not."""
    records = study.records()
    dataset = study.plan.arms[0].setting.dataset
    labels = _bought(study)
    return StudyResults(
        name=study.name,
        rounds=records.rounds,
        picks=records.picks,
        arms=records.arms,
        metric=study.spec.study.metric,
        rope=study.spec.study.rope,
        settings=_settings(study, dataset, records),
        pictures=Pictures(dataset) if dataset.picture is not None else None,
        captions={i: dataset.classes[label] for i, label in labels.items()},
        map=_map(study),
        forecasts=forecast_table(kept_of(study.plan, study.store)),
        first_pools=_first_pools(study, records, labels),
    )


def _map(study: Study) -> EmbeddingMap:
    """The pool as frozen features see it, or as pixels do, where every learner trains a backbone."""
    arms = study.plan.arms
    frozen = [arm.setting for arm in arms if not arm.learner.trains_backbone]
    dataset = arms[0].setting.dataset
    rows, of = (_Flat(dataset), "pixels") if not frozen else (
        frozen[0].features[Features(frame="all")], f"features by {describe(frozen[0].encoder)['name']}"
    )  # fmt: skip
    return embedding_map(rows, dataset.pool, dataset.pool[:0], Seed(0).child(dataset.name).key(), of=of)


class _Flat:
    """Items as rows of numbers, made when they are asked for."""

    def __init__(self, dataset: Dataset) -> None:
        self._dataset = dataset

    def __getitem__(self, ids: Ids) -> Array:
        return flatten(self._dataset.items[ids], ids)


class Pictures(Mapping[int, npt.NDArray[np.uint8]]):
    """The items of a dataset as images, made when they are looked at."""

    def __init__(self, dataset: Dataset) -> None:
        self._dataset = dataset

    def __getitem__(self, item: int) -> npt.NDArray[np.uint8]:
        picture = self._dataset.picture
        if picture is None or not 0 <= item < len(self):
            raise KeyError(item)
        return picture(item)

    def __iter__(self) -> Iterator[int]:
        return iter(range(len(self)))

    def __len__(self) -> int:
        return len(self._dataset.manifest)


def _settings(study: Study, dataset: Dataset, records: Records) -> dict[str, str]:
    table = study.spec.study
    counts = study.plan.arms[0].counts
    return {
        "dataset": f"{dataset.name}: {len(dataset.pool):,} items to choose from, {len(dataset.test):,} to test on, "
        f"{dataset.c} classes (content {dataset.fingerprint[:12]})",
        "features": _text(table.features),
        **_hubs(study),
        "learner": _text(table.learner),
        **_tuning(records),
        "initial pool": _text(table.initial),
        "labels at each checkpoint": ", ".join(map(str, counts)),
        "validation labels": str(study.spec.validation.size),
        **({} if (noise := study.spec.oracle.model) is None else {"simulated answers": str(noise)}),
        "initial pools": str(table.pools),
        "training seeds": str(table.seeds),
        "configuration": digest(study.spec.model_dump(mode="json"))[:12],
    }


def _tuning(records: Records) -> dict[str, str]:
    """What the search for settings of the learner cost, if there was one."""
    rows = records.tuning.to_dict("records")
    if not rows:
        return {}
    trials, fits, updates, reused = (sum(int(row[name]) for row in rows) for name in COSTS)
    steps = f", {updates:,} optimiser steps" if updates else ""
    by = "validation labels" if any(row["n_validation"] for row in rows) else "cross-validation among the labels"
    taken = f"; {reused:,} rounds took over what training seed 0 found" if reused else ""
    return {
        "search for settings": f"{len(rows) - reused:,} searches, {trials:,} trials, {fits:,} fits{steps}, judged by "
        f"{by}{taken}"
    }


COSTS = ("trials", "fits", "updates", "reused")


def _hubs(study: Study) -> dict[str, str]:
    """Whether a few items are near everything, for each set of frozen features that a learner reads."""
    frozen = {id(arm.setting): arm.setting for arm in study.plan.arms if not arm.learner.trains_backbone}
    found = [(describe(setting.encoder)["name"], pool_hubness(setting)) for setting in frozen.values()]
    words = [f"{name}: {hubs}" if len(found) > 1 else str(hubs) for name, hubs in found]
    notices = [hubs.notice for _, hubs in found if hubs.worrying]
    return {"hubness of the features": "; ".join([*words, *notices])} if found else {}


def _text(component: Any) -> str:
    if isinstance(component, Mapping):
        return ", ".join(f"{key} {_text(value)}" for key, value in component.items())
    return str(component)


def _bought(study: Study) -> dict[int, int]:
    """Classes of labels that were bought; nobody else's are shown."""
    labels: dict[int, int] = {}
    for run in study.plan.runs:
        labels |= Book.replay(study.store.run(run).ledger).labels
    return labels


def _first_pools(study: Study, records: Records, labels: Mapping[int, int]) -> pd.DataFrame | None:
    """What first pools look like, where there are enough of them to learn something from that."""
    frozen = [arm for arm in study.plan.arms if not arm.learner.trains_backbone]
    if study.spec.study.pools < FEWEST or not frozen:
        return None
    tables = []
    for setting in {id(arm.setting): arm.setting for arm in frozen}.values():
        data, x_N_d = setting.dataset, setting.features[Features(frame="all")]
        mine = [arm.name for arm in frozen if arm.setting is setting]
        picks = records.picks.loc[records.picks["arm"].isin(mine)]
        tables.append(score_pools(picks, labels, data.c, x_N_d, data.pool))
    return pd.concat(tables, ignore_index=True)
