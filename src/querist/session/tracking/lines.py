"""``metrics.jsonl``: every measurement of a run, one JSON object per line, as it happens. Never compared."""

import json
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from querist.progress import Value

FILE = "metrics.jsonl"


class LineTracker:
    """Appends lines ``{"event": ..., "step": ..., "time": ..., name: value, ...}``; what is not finite is null.

    The file is opened for each line and nothing is held, so a kill tears one line at most.

    Args:
        path: of the file; its folder exists when the first line comes.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def log(self, event: str, values: Mapping[str, Value], step: int) -> None:
        line = {**values, "event": event, "step": step, "time": round(time.time(), 3)}
        text = json.dumps({name: _finite(value) for name, value in line.items()}, default=float)
        with self._path.open("a", encoding="utf-8") as file:
            # What a kill tore stays a line of its own.
            file.write(text + "\n" if file.tell() == 0 or self._ends() else "\n" + text + "\n")

    def close(self) -> None:
        """Nothing is held."""

    def _ends(self) -> bool:
        with self._path.open("rb") as file:
            file.seek(-1, 2)
            return file.read() == b"\n"


def read_lines(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the lines of a file in order, without torn ones; none if there is no file."""
    if not path.exists():
        return
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            values = json.loads(line)
        except ValueError:
            continue
        if isinstance(values, dict):
            yield values


def last_steps(path: Path) -> dict[str, int]:
    """Return the last step of each event in a file, from which a run that goes on counts further."""
    return {line["event"]: line["step"] for line in read_lines(path) if {"event", "step"} <= line.keys()}


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not abs(value) < float("inf") else value
