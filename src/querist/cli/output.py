"""How the command line talks: results on stdout, everything else on stderr, errors as advice."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import typer
from rich.console import Console, RenderableType
from rich.measure import Measurement
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from querist.progress import Listener, listening

SCHEMA = 1
"""Number of the JSON documents; raised when a key changes its meaning."""

out = Console()
err = Console(stderr=True)


def emit(document: dict[str, Any]) -> None:
    """Print one JSON document."""
    sys.stdout.write(json.dumps({"schema": SCHEMA, **document}, indent=1, allow_nan=False) + "\n")


def print_wide(table: RenderableType) -> None:
    """Print a table on stdout as wide as it has to be: a path that is folded can be neither copied nor searched for."""
    needed = Measurement.get(out, out.options.update(max_width=10_000), table).maximum
    Console(width=max(needed, out.width)).print(table, highlight=False)


def fail(error: Exception, as_json: bool) -> None:
    """Print an error a user can act on."""
    if as_json:
        usage = isinstance(error, typer.TyperException)
        kind, message = ("UsageError", error.format_message()) if usage else (type(error).__name__, str(error))
        emit({"error": {"type": kind, "message": message}})
    else:
        err.print(Text.assemble(("Error:", "bold red"), " ", str(error)))


def number(value: float | None) -> float | None:
    """Return a float as JSON has it: NaN is null."""
    return None if value is None or value != value else float(value)


@contextmanager
def progress(what: str, transient: bool = False) -> Iterator[Any]:
    """Show a bar on stderr; yields ``tick(done, total)``. A transient bar is gone when its work is done."""
    columns = (
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
        TimeElapsedColumn(), TextColumn("eta"), TimeRemainingColumn(),
    )  # fmt: skip
    with Progress(*columns, console=err, transient=transient) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


@contextmanager
def bars() -> Iterator[Listener]:
    """Within the block, show a bar on stderr for every kind of work that tells its progress; gone when it ends.

    Yields the listener, for those who want to hear the news too and pass them on.
    """
    columns = (
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), Speed(),
        TimeElapsedColumn(), TextColumn("eta"), TimeRemainingColumn(),
    )  # fmt: skip
    with Progress(*columns, console=err, transient=True) as shown:
        tasks: dict[str, TaskID] = {}

        def hear(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = shown.add_task(what, total=total)
            shown.update(tasks[what], completed=done, total=total)

        with listening(hear):
            yield hear


class Speed(ProgressColumn):
    """Units per second."""

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text(f"{speed:,.0f}/s" if speed else "", style="progress.data.speed")
