"""Weights & Biases: one W&B run per run, kept on disk unless it is asked to be sent."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

from querist.progress import Value
from querist.session.tracking.base import TrackedRun, Tracker, Tracking, register


@register("wandb")
@dataclass(frozen=True, kw_only=True)
class WandB(Tracking):
    """Runs of a project named after the study.

    Attributes:
        mode: ``offline`` writes to ``tracking/wandb`` in the folder of the study, for ``wandb sync`` later; ``online``
            sends as it happens.
        entity: the account or team; None takes that of the user.
    """

    extra: ClassVar[str] = "wandb"
    modules: ClassVar[tuple[str, ...]] = ("wandb",)
    mode: Literal["offline", "online"] = "offline"
    entity: str | None = None

    def prepare(self, folder: Path, study: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)

    def open(self, run: TrackedRun) -> Tracker:
        if self.mode == "offline":
            # Before the import: it would report its own errors to its makers.
            os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
        import wandb

        run.folder.mkdir(parents=True, exist_ok=True)
        settings = wandb.Settings(
            silent=True, console="off", disable_git=True, disable_code=True, x_disable_stats=True, x_disable_meta=True
        )
        # Many runs of one process are open at a time, and none of them is "the" run.
        opened = wandb.init(
            project=run.study, name=run.name, config=dict(run.settings), dir=run.folder, mode=self.mode,
            entity=self.entity, reinit="create_new", settings=settings,
        )  # fmt: skip
        return WandBRun(opened)


class WandBRun:
    """Logs to one W&B run. Every event has an axis of its own, ``EVENT/step``: W&B's own counts calls."""

    def __init__(self, run: Any) -> None:
        self._run, self._axes = run, set[str]()

    def log(self, event: str, values: Mapping[str, Value], step: int) -> None:
        axis = f"{event}/step"
        if event not in self._axes:
            self._run.define_metric(axis, hidden=True)
            self._run.define_metric(f"{event}/*", step_metric=axis)
            self._axes.add(event)
        self._run.log({**{f"{event}/{name}": value for name, value in values.items()}, axis: step})

    def close(self) -> None:
        self._run.finish()
