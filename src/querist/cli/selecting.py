"""``querist select``: what to label next, from a folder of images, a list of them, or a file of features."""

from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.markup import escape

from querist.cli.background import in_background
from querist.cli.labels import read_labels
from querist.cli.output import bars, emit, err, out
from querist.cli.picks import reasons_in_words, table_of
from querist.cli.selection import AUTO, DEFAULT, Order, Selected, carry_out
from querist.cli.sources import StoreFolder, declared_classes

INTERRUPTED = 130
"""The exit status that shells give to a command that was stopped by Ctrl-C."""


def select(
    source: Annotated[
        str,
        typer.Argument(
            help="A folder of images, a .csv, .parquet or .jsonl list of them, a .npy, .npz, .csv or .parquet file of "
            "features, or a registered dataset.",
            show_default=False,
        ),
    ],
    budget: Annotated[
        int,
        typer.Option(
            "--budget",
            "-b",
            help="How many items to pick; querist pool report suggests how many to begin with.",
            show_default=False,
        ),
    ],
    strategy: Annotated[
        str,
        typer.Option("--strategy", "-s", help="Name or composition, e.g. badge or 'stochastic(margin, beta=1)'."),
    ] = DEFAULT,
    labels: Annotated[
        list[Path] | None,
        typer.Option(
            help="CSV with the columns id (or path, or key) and label: what is labelled so far. A picks.csv with its "
            "column label filled in will do. Repeatable.",
            show_default=False,
        ),
    ] = None,
    learner: Annotated[str, typer.Option(help="What turns those labels into a model.")] = "linear",
    features: Annotated[
        str, typer.Option(help="Encoder of the items, e.g. 'handcrafted' or 'pixels(pca=64)'; auto fits the items.")
    ] = AUTO,
    prefix: Annotated[
        str | None, typer.Option(help="Table files: feature columns begin with this.", show_default=False)
    ] = None,
    classes: Annotated[
        str | None,
        typer.Option(
            metavar="NAMES|NUMBER",
            help="The classes, in order, as in cat,dog,bird, or how many there are; for sources without labels, where "
            "probabilities of another model are read or not every class has a label yet.",
            show_default=False,
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Randomness of draws and ties.")] = 0,
    output: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            show_default=False,
            help="Folder for picks.csv, picks.html and set_aside.csv, or a .csv file for the picks alone. Without it "
            "images go to the present folder and features to the terminal.",
        ),
    ] = None,
    sheet: Annotated[
        Path | None, typer.Option(help="Write the contact sheet to this .html file.", show_default=False)
    ] = None,
    map: Annotated[  # noqa: A002 - the name of the option
        Literal["pca", "umap", "none"], typer.Option(help="The map on the contact sheet; umap needs the extra umap.")
    ] = "pca",
    store: StoreFolder = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Pick what to label next.

    The default strategy works without labels and with any number of them. Items of the source that have a label
    already, or those in --labels, are learned from and never picked. Of images that look alike only one can be picked;
    files that are no images are set aside and listed. picks.html shows what was picked, why, and what each stands for.
    """
    order = Order(
        source=source, budget=budget, strategy=strategy, lines=read_labels(labels or ()), learner=learner,
        features=features, prefix=prefix, classes=declared_classes(classes) if classes is not None else (), seed=seed,
        output=output, sheet=sheet, map=map, store=store,
    )  # fmt: skip
    try:
        with bars():
            done = in_background(lambda: carry_out(order))
    except KeyboardInterrupt:
        err.print(
            "Interrupted; nothing was picked. What was read and encoded so far is kept: the same command continues "
            "from there.",
            highlight=False,
            soft_wrap=True,
        )
        raise typer.Exit(INTERRUPTED) from None
    _say(done)
    if as_json:
        emit(done.document)
    elif done.targets.picks is None:
        out.print(table_of(done.rows, done.title))


def _say(done: Selected) -> None:
    """Tell a person what was chosen, what was set aside, and where everything is."""
    for notice in done.notices:
        err.print(f"[bold yellow]Note:[/] {escape(notice)}", highlight=False)
    aside, goals = done.data.set_aside, done.targets
    if aside:
        where = f"; which and why: {goals.set_aside}" if goals.set_aside else ""
        words = f"{len(aside):,} file{'s' * (len(aside) != 1)} set aside ({reasons_in_words(aside)}){where}"
        err.print(words, highlight=False, markup=False, soft_wrap=True)
    if goals.picks:
        err.print(f"{done.title}, written to {goals.picks}", highlight=False, markup=False, soft_wrap=True)
    if goals.sheet:
        err.print(f"Look at them in {goals.sheet}", highlight=False, markup=False, soft_wrap=True)
