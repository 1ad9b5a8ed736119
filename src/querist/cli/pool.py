"""``querist pool report``: what a pool holds, what picks cover of it, and how many labels to begin with."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import typer
from rich.table import Table

from querist.cli.background import in_background
from querist.cli.labels import Line, classes_of, match, read_labels
from querist.cli.output import bars, emit, err, out
from querist.cli.pool_files import read_course, read_rounds
from querist.cli.selection import in_words
from querist.cli.sources import UNDECLARED, StoreFolder, is_of_images, open_source, store_for
from querist.data.columnfiles import read_csv
from querist.data.dataset import Dataset
from querist.encoders.base import encoders
from querist.encoders.default import default_encoder
from querist.encoders.pixels import Pixels
from querist.errors import UnknownNameError, UsageError
from querist.evidence.cache import open_cache
from querist.evidence.needs import Features
from querist.kernels.workers import workers
from querist.labels.oracle import Query, SimulatedOracle
from querist.report.pool import Chosen, PoolReport, look_at_pool
from querist.report.pool_map import Drawn, mapped_pool
from querist.report.pool_page import pool_document, write_pool_report
from querist.report.results import StudyResults
from querist.report.study import results_of
from querist.seeds import Seed
from querist.session.given import GivenFeatures, are_given
from querist.session.setting import Setting
from querist.studies.study import Study

AUTO = "auto"
NOTHING_CHOSEN = "Nothing was chosen yet: --picks takes what 'querist select' wrote, --study the picks of a study."
NO_DATA_MAP = "No course of a training was given (--data-map), so there is no data map."

app = typer.Typer(no_args_is_help=True, help="Look at a pool: what it holds, and what picks cover of it.")


@dataclass(frozen=True, kw_only=True)
class Order:
    """What is asked for; the options of ``querist pool report`` explain the fields."""

    source: str | None
    encoder: str
    picks: Sequence[Path]
    study: Path | None
    arm: str | None
    map: Drawn
    data_map: Path | None
    output: Path
    seed: int
    store: Path | None


@app.callback()
def _group() -> None:
    """Keeps ``report`` a command of its own."""


@app.command()
def report(
    source: Annotated[
        str | None,
        typer.Argument(
            help="A folder of images, a list of them, a file of features, or a registered dataset; not needed with "
            "--study.",
            show_default=False,
        ),
    ] = None,
    encoder: Annotated[str, typer.Option("--encoder", "-e", help="Encoder of the items; auto fits them.")] = AUTO,
    picks: Annotated[
        list[Path] | None,
        typer.Option(
            help="What was chosen: picks.csv or the --json document of querist select, or a file of ids (.npy, .txt, "
            ".json). One file per round, in order; a column 'round' splits one file.",
            show_default=False,
        ),
    ] = None,
    study: Annotated[
        Path | None,
        typer.Option(help="A study (TOML): its dataset, features and picks, and its figures.", show_default=False),
    ] = None,
    arm: Annotated[
        str | None, typer.Option(help="With --study: whose picks, of its first pool; its first arm's by default.")
    ] = None,
    map: Annotated[  # noqa: A002 - the name of the option
        Literal["pca", "umap", "tsne", "none"], typer.Option(help="How the map is made; umap needs the extra umap.")
    ] = "pca",
    data_map: Annotated[
        Path | None,
        typer.Option(
            help="Course of a training: .npy with a row per item and a column per epoch, the probability of the true "
            "label; or the dynamics.parquet beside a trained model.",
            show_default=False,
        ),
    ] = None,
    output: Annotated[Path, typer.Option("--out", "-o", help="The page.")] = Path("pool.html"),
    seed: Annotated[int, typer.Option(help="Randomness of samples, clusterings and the map.")] = 0,
    store: StoreFolder = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Write a page about a pool: classes, a map with the picks, near-duplicates, and how many labels to begin with.

    One HTML file that works offline. What there is no data for is left out, and the page says why. Nothing is bought
    and nothing chosen: budgets are suggestions. Of a labelled benchmark the sealed labels are opened for the page.

    Example: `querist select photos --budget 50`, then `querist pool report photos --picks picks.csv`.

    Example: `querist pool report digits --out digits.html`, for the pool alone.

    Example: `querist pool report --study study.toml --store querist-store`, for what a study chose.
    """
    order = Order(
        source=source, encoder=encoder, picks=picks or (), study=study, arm=arm, map=map, data_map=data_map,
        output=output, seed=seed, store=store,
    )  # fmt: skip
    with bars():
        found = in_background(partial(_carry_out, order))
    _say(found, order, err if as_json else out)
    if as_json:
        emit({**pool_document(found), "report": str(output)})


def _carry_out(order: Order) -> PoolReport:
    if order.output.suffix.lower() not in (".html", ".htm"):
        raise UsageError(f"--out: expected a file that ends in .html, got {order.output}.")
    if order.study is not None and order.picks:
        raise UsageError("--picks and --study both say what was chosen. Leave one of them out.")
    if order.study is None and (order.source is None or order.arm is not None):
        lacking = "SOURCE: expected a pool to look at" if order.source is None else "--arm: expected --study with it"
        raise UsageError(f"{lacking}, for example 'querist pool report digits' or '--study study.toml'.")
    with workers(os.cpu_count() or 1):
        lines = [line for file in order.picks for line in _filled_in(file)]
        setting, chosen, study = _of_study(order) if order.study else _of_source(order, lines)
        data = setting.dataset
        benchmark = bool(len(data.pool)) and bool(data.labels.known[data.pool].all())
        x_N_d, key = setting.features[Features(frame="all")], Seed(order.seed).child("pool report").key()
        name = in_words(setting.encoder)
        marked = np.unique(chosen.ids) if isinstance(chosen, Chosen) else data.pool[:0]
        found = look_at_pool(
            setting, labels=_labels(data, lines, order.source or ""), encoder=name, chosen=chosen, benchmark=benchmark,
            declared=data.classes != UNDECLARED, study=study, seed=order.seed,
            pool_map=mapped_pool(x_N_d, data.pool, marked, key, order.map, f"features by {name}"),
            data_map=NO_DATA_MAP if order.data_map is None else read_course(order.data_map, data),
        )  # fmt: skip
        write_pool_report(order.output, found)
    return found


def _of_source(order: Order, lines: Sequence[Line]) -> tuple[Setting, Chosen | str, None]:
    source, classes = str(order.source), classes_of(lines)
    if len(classes) == 1:
        classes = (*classes, next(name for name in UNDECLARED if name not in classes))
    data = open_source(source, classes=classes, store=order.store)
    if not len(data.pool):
        raise UsageError(f"{source}: there is no item to choose from.")
    if order.encoder != AUTO:
        encoder = encoders.build(order.encoder)
    else:
        encoder = default_encoder()[0] if is_of_images(data) else Pixels()
    if encoder == Pixels() and are_given(data):
        setting: Setting = GivenFeatures(data)
    else:
        setting = Setting(data, encoder, cache=open_cache(store_for(source, order.store) / "cache"))
    return setting, read_rounds(order.picks, data, source) if order.picks else NOTHING_CHOSEN, None


def _of_study(order: Order) -> tuple[Setting, Chosen | str, StudyResults]:
    store = order.store or Path("querist-store")
    study = Study.read(order.study or Path(), store)
    names = [arm.name for arm in study.plan.arms]
    if order.arm is not None and order.arm not in names:
        raise UnknownNameError("arm", order.arm, names, f"the study {study.name!r}")
    arm = study.plan.arms[names.index(order.arm) if order.arm else 0]
    setting = arm.setting
    if order.encoder != AUTO:
        raise UsageError(
            "--encoder: the features are those of the study. Leave it out, or pass SOURCE without --study."
        )
    if (
        order.source is not None
        and open_source(order.source, store=order.store).fingerprint != setting.dataset.fingerprint
    ):
        raise UsageError(f"{order.source} is not what {study.name!r} was run on. Leave SOURCE out: the study says it.")
    results = results_of(study)
    mine = results.picks.loc[results.picks["arm"] == arm.name]
    mine = mine.loc[(mine["pool"] == mine["pool"].min()) & (mine["seed"] == mine["seed"].min())]
    if mine.empty:
        return setting, f"No run of {arm.name!r} is on record; 'querist study run' makes them.", results
    rounds = {int(n): part["id"].to_numpy(np.int64) for n, part in mine.groupby("round", sort=True)}  # pyright: ignore[reportArgumentType]
    return setting, Chosen(
        rounds=tuple(rounds.values()), words=f"by {arm.name} in {study.name}",
        names=tuple("initial pool" if n < 0 else f"query {n + 1}" for n in rounds),
    ), results  # fmt: skip


def _filled_in(file: Path) -> list[Line]:
    """The labels that people wrote into a table of picks."""
    is_table = file.suffix.lower() == ".csv" and "label" in read_csv(file, ()).names
    return read_labels([file]) if is_table else []


def _labels(data: Dataset, lines: Sequence[Line], source: str) -> dict[int, int]:
    """Known labels: those of the source, and those that people wrote beside the picks."""
    ids = data.pool[data.labels.known[data.pool]]
    answers = SimulatedOracle(data.labels, data.pool).answer(Query(ids)) if len(ids) else {}
    written = match(lines, data, source).labels if lines else {}
    numbers = {i: data.classes.index(name) if isinstance(name, str) else int(name) for i, name in written.items()}
    return {**{i: label for i, label in answers.items() if label is not None}, **numbers}


def _say(found: PoolReport, order: Order, console: Any) -> None:
    table = Table(title="Suggested first budgets", title_justify="left", box=None, pad_edge=False)
    for name in ("by", "labels", "because"):
        table.add_column(name, justify="right" if name == "labels" else "left")
    for suggestion in found.plan.suggestions:
        table.add_row(
            suggestion.rule, "more" if suggestion.labels is None else f"{suggestion.labels:,}", suggestion.why
        )
    console.print(table)
    err.print(f"Look at the pool in {order.output}", highlight=False, markup=False, soft_wrap=True)
