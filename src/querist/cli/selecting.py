"""``querist select``: what to label next, from a file of features."""

import csv
import os
from io import StringIO
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from querist.cli.output import emit, err, number, out, progress
from querist.data.columnfiles import read_csv
from querist.data.dataset import Dataset, datasets
from querist.data.files import as_labels
from querist.errors import DataError, UndeclaredClassesError
from querist.files import write_bytes
from querist.kernels.workers import workers
from querist.labels.events import QUERY
from querist.labels.oracle import Query, SimulatedOracle
from querist.session.session import Session
from querist.session.setting import Setting

READERS = {".npz": "npz", ".npy": "npy", ".csv": "table", ".parquet": "table", ".pq": "table"}
UNDECLARED = ("class 1", "class 2")
"""Stand-ins for the classes of a file without labels; nothing that starts without labels looks at them."""


def select(
    source: Annotated[str, typer.Argument(help="A .npy, .npz, .csv or .parquet file, or a registered dataset.")],
    budget: Annotated[int, typer.Option("--budget", "-b", help="How many items to pick.")],
    strategy: Annotated[
        str, typer.Option("--strategy", "-s", help="Name or composition, e.g. 'stochastic(margin, beta=1)'.")
    ] = "typiclust",
    labels: Annotated[
        Path | None, typer.Option(help="CSV with the columns id and label: what is labelled so far.")
    ] = None,
    learner: Annotated[str, typer.Option(help="What turns those labels into a model.")] = "linear",
    features: Annotated[str, typer.Option(help="Encoder of the items, e.g. 'pixels(pca=64)'.")] = "pixels",
    prefix: Annotated[str | None, typer.Option(help="Table files: feature columns begin with this.")] = None,
    seed: Annotated[int, typer.Option(help="Randomness of draws and ties.")] = 0,
    output: Annotated[Path | None, typer.Option("--out", "-o", help="Write the picks to this CSV file.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Pick what to label next.

    Without labels a strategy that needs no model starts cold. Items of the source that have a label already, or those
    in --labels, are learned from and never picked.
    """
    known = _known(labels) if labels else None
    data = _open(source, sorted(set(known.values())) if known else None, prefix)
    with progress("features", transient=True) as tick:
        session = Session(Setting(data, features, progress=tick), learner=learner, strategy=strategy, seed=seed)
        session.adopt(_by_id(data, known) if known else _own_labels(data))
        with workers(os.cpu_count() or 1):
            query = session.ask(budget)
    asked = session.book.asked[-1]
    chooser = session.strategy if asked.purpose == QUERY else session.initial
    if chooser is not session.strategy:
        err.print(
            f"Nothing is labelled yet and {strategy!r} needs a model: this first batch is chosen by "
            f"{chooser.card.name!r}. Label it and pass --labels.",
            highlight=False,
        )
    utilities = asked.utility or (None,) * budget
    rows = [
        {"rank": rank, "id": int(i), "key": data.manifest.keys[int(i)], "utility": number(utility), "reason": reason}
        for rank, (i, utility, reason) in enumerate(
            zip(query.ids, utilities, query.reasons or ("",) * budget, strict=True)
        )
    ]
    if output:
        write_bytes(output, _csv(rows))
        err.print(f"{len(rows)} picks written to {output}", highlight=False)
    if as_json:
        emit({"source": source, "spec": session.spec, "labelled": len(session.book.labels), "picks": rows})
    elif not output:
        out.print(_table(rows, f"{chooser.card.name}: {len(rows)} of {len(data.pool)} items"))


def _open(source: str, classes: list[str] | None, prefix: str | None) -> Dataset:
    path = Path(source)
    if path.suffix.lower() not in READERS:
        return datasets.build(source)
    kind = READERS[path.suffix.lower()]
    spec: dict[str, Any] = {"name": kind, "path": source} | ({"prefix": prefix} if prefix else {})
    if classes:
        return datasets.build({**spec, "classes": classes})
    try:
        return datasets.build(spec)
    except UndeclaredClassesError:
        return datasets.build({**spec, "classes": UNDECLARED})


def _known(path: Path) -> dict[str, str]:
    """Read labels by key; lines without a label are not labelled."""
    columns = read_csv(path, ("id", "label")).text
    if not {"id", "label"} <= columns.keys():
        raise DataError(f"{path}: expected the columns id and label, got {', '.join(columns) or 'neither'}.")
    pairs = [(key, label) for key, label in zip(columns["id"], columns["label"], strict=True) if label]
    if len({key for key, _ in pairs}) < len(pairs):
        raise DataError(f"{path}: an id is labelled twice.")
    return dict(pairs)


def _by_id(data: Dataset, known: dict[str, str]) -> dict[int, Any]:
    """Keys to ids; a file without keys of its own is labelled by row number."""
    positions = {key: i for i, key in enumerate(data.manifest.keys)}
    positions |= {str(i): i for i in range(len(data.manifest)) if str(i) not in positions}
    if stray := [key for key in known if key not in positions]:
        raise DataError(f"labels: ids {', '.join(stray[:5])} are not in the source. Use its keys or its row numbers.")
    labels = as_labels(list(known.values()), data.classes)
    values = labels.tolist() if not isinstance(labels, list) else labels
    return {positions[key]: value for key, value in zip(known, values, strict=True)}


def _own_labels(data: Dataset) -> dict[int, Any]:
    """Labels the source itself has, if it is partly labelled; a fully labelled benchmark starts cold."""
    ids = data.pool[data.labels.known[data.pool]]
    if len(ids) in (0, len(data.pool)):
        return {}
    return dict(SimulatedOracle(data.labels, data.pool).answer(Query(ids)))


def _csv(rows: list[dict[str, Any]]) -> bytes:
    text = StringIO()
    writer = csv.DictWriter(text, fieldnames=["rank", "id", "key", "utility", "reason"])
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def _table(rows: list[dict[str, Any]], title: str) -> Table:
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    for column in ("rank", "id", "key", "utility", "reason"):
        table.add_column(column, justify="right" if column in ("rank", "id", "utility") else "left")
    for row in rows:
        utility = "" if row["utility"] is None else f"{row['utility']:.4g}"
        table.add_row(str(row["rank"]), str(row["id"]), row["key"], utility, row["reason"])
    return table
