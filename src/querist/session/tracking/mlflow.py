"""MLflow: one MLflow run per run, in a local database or on a server."""

import logging
import os
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from querist.progress import Value
from querist.session.tracking.base import TrackedRun, Tracker, Tracking, flat, numbers, register

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

LONGEST = 500
"""Characters of a parameter that every version of MLflow takes."""


@register("mlflow")
@dataclass(frozen=True, kw_only=True)
class MLflow(Tracking):
    """Runs of an experiment named after the study; settings are parameters, measurements are metrics.

    Attributes:
        uri: of the tracking server; None: the database ``tracking/mlflow.db`` in the folder of the study, for
            ``mlflow server --backend-store-uri sqlite:///STORE/studies/NAME/tracking/mlflow.db``.
    """

    extra: ClassVar[str] = "mlflow"
    modules: ClassVar[tuple[str, ...]] = ("mlflow", "sqlalchemy", "alembic")
    uri: str | None = None

    def prepare(self, folder: Path, study: str) -> None:
        self._experiment(self._client(folder), folder, study)

    def open(self, run: TrackedRun) -> Tracker:
        client = self._client(run.folder)
        with _calm():
            tags = {"querist.study": run.study, "querist.run": run.identity}
            found = client.create_run(self._experiment(client, run.folder, run.study), run_name=run.name, tags=tags)
        tracker = MLflowRun(client, found.info.run_id)
        tracker.settings(flat(run.settings))
        return tracker

    def _client(self, folder: Path) -> "MlflowClient":
        # Before the import: it would report to its makers.
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        with _calm():
            from mlflow.tracking import MlflowClient

            folder.mkdir(parents=True, exist_ok=True)
            return MlflowClient(tracking_uri=self.uri or f"sqlite:///{(folder / 'mlflow.db').resolve().as_posix()}")

    def _experiment(self, client: "MlflowClient", folder: Path, study: str) -> str:
        with _calm():
            known = client.get_experiment_by_name(study)
            if known is not None:
                return known.experiment_id
            place = None if self.uri else (folder / "mlflow-artifacts").resolve().as_uri()
            return client.create_experiment(study, artifact_location=place)


class MLflowRun:
    """Logs to one MLflow run, and marks it as finished when it is closed."""

    def __init__(self, client: "MlflowClient", run: str) -> None:
        self._client, self._run = client, run

    def settings(self, values: Mapping[str, object]) -> None:
        """Write parameters, cut to the length that every version of MLflow takes."""
        from mlflow.entities import Param

        with _calm():
            self._client.log_batch(self._run, params=[Param(k, str(v)[:LONGEST]) for k, v in values.items()])

    def log(self, event: str, values: Mapping[str, Value], step: int) -> None:
        from mlflow.entities import Metric

        now = time.time_ns() // 1_000_000
        metrics = [Metric(_key(name), value, now, step) for name, value in numbers(event, values).items()]
        if metrics:
            with _calm():
                self._client.log_batch(self._run, metrics=metrics)

    def close(self) -> None:
        with _calm():
            self._client.set_terminated(self._run)


def _key(name: str) -> str:
    """MLflow knows letters, digits and a few signs; names of classes may have others."""
    return "".join(sign if sign.isalnum() or sign in "_-. :/" else "_" for sign in name)


@contextmanager
def _calm() -> Iterator[None]:
    """Keep what MLflow and its database layer have to say about themselves from whoever runs a study."""
    speaker = logging.getLogger("mlflow.store.db.utils")
    level = speaker.level
    speaker.setLevel(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        speaker.setLevel(level)
