"""TensorBoard: one folder of event files per run, flushed line by line. Needs neither torch nor TensorFlow."""

import os
import platform
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from querist.progress import Value
from querist.session.tracking.base import TrackedRun, Tracker, Tracking, numbers, register


@register("tensorboard")
@dataclass(frozen=True, kw_only=True)
class TensorBoard(Tracking):
    """Curves for ``tensorboard --logdir STORE/studies/NAME/tracking/tensorboard``."""

    extra: ClassVar[str] = "tensorboard"
    modules: ClassVar[tuple[str, ...]] = ("tensorboard",)

    def prepare(self, folder: Path, study: str) -> None:
        (folder / "tensorboard").mkdir(parents=True, exist_ok=True)

    def open(self, run: TrackedRun) -> Tracker:
        return EventFile(run.folder / "tensorboard" / run.file_name)


class EventFile:
    """Writes scalars to one new event file; an earlier one of the same run stays and is read together with it.

    Args:
        folder: of the run; made if need be.
    """

    def __init__(self, folder: Path) -> None:
        from tensorboard.compat.proto.event_pb2 import Event  # pyright: ignore[reportAttributeAccessIssue]
        from tensorboard.compat.proto.summary_pb2 import Summary  # pyright: ignore[reportAttributeAccessIssue]
        from tensorboard.summary.writer.record_writer import RecordWriter

        folder.mkdir(parents=True, exist_ok=True)
        # Readers take files in the order of their names, which begin with the time.
        name = f"events.out.tfevents.{time.time_ns() // 1000:016d}.{platform.node()}.{os.getpid()}"
        self._event, self._summary = Event, Summary
        self._writer = RecordWriter((folder / name).open("xb"))
        self._write(Event(wall_time=time.time(), file_version="brain.Event:2"))

    def log(self, event: str, values: Mapping[str, Value], step: int) -> None:
        scalars = [self._summary.Value(tag=tag, simple_value=value) for tag, value in numbers(event, values).items()]
        if scalars:
            self._write(self._event(wall_time=time.time(), step=step, summary=self._summary(value=scalars)))

    def close(self) -> None:
        self._writer.close()

    def _write(self, event: Any) -> None:
        self._writer.write(event.SerializeToString())
        self._writer.flush()
