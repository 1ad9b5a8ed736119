"""``querist scorer``: a model trained on other labels, and what it says of a pool, as a file that strategies read."""

from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.markup import escape

from querist.cli.background import in_background
from querist.cli.output import bars, emit, err
from querist.cli.scored import Order, carry_out
from querist.cli.selection import AUTO
from querist.cli.sources import StoreFolder, declared_classes
from querist.strategies._scorer_card import card_beside


def scorer(
    train: Annotated[
        str,
        typer.Argument(
            help="What to learn from: a folder with a folder per class, a file with labels, a registered dataset; or "
            "the folder of a model that a study kept.",
            show_default=False,
        ),
    ],
    pool: Annotated[str, typer.Argument(help="What to score, as for querist select.", show_default=False)],
    file: Annotated[Path, typer.Option("--out", "-o", help="File of the outputs; must end in .npy.")] = Path(
        "scorer.npy"
    ),
    learner: Annotated[
        str, typer.Option("--learner", "-l", help="What is trained, e.g. \"scratch(net='small_cnn')\".")
    ] = "linear",
    features: Annotated[
        str, typer.Option(help="Encoder of both, for learners on frozen features; auto fits the items.")
    ] = AUTO,
    output: Annotated[
        Literal["probs", "logits", "draws", "embeddings"], typer.Option(help="What to write of every item.")
    ] = "probs",
    draws: Annotated[int, typer.Option(min=2, help="How many, with --output draws.")] = 20,
    size: Annotated[
        int | None, typer.Option(help="Train on so many labels, drawn at random.", show_default="all there are")
    ] = None,
    split: Annotated[
        Literal["pool", "test", "validation"], typer.Option(help="Of what to learn from: which split.")
    ] = "pool",
    classes: Annotated[
        str | None,
        typer.Option(metavar="NAMES|NUMBER", help="Classes of the pool, in order, where it has none of its own: the "
                     "columns follow them.", show_default="those learned from"),
    ] = None,
    strategy: Annotated[
        list[str] | None,
        typer.Option("--strategy", "-s", help="Write the ranking of the whole pool by this strategy too. Repeatable."),
    ] = None,
    groups: Annotated[
        bool, typer.Option("--groups", help="Write the number of the likeliest class of every item too.")
    ] = False,
    dataset: Annotated[
        str | None,
        typer.Option(help="Of a kept model: what it was trained on, where its name does not say where that is.",
                     show_default=False),
    ] = None,
    leave_out_shared: Annotated[
        bool, typer.Option("--leave-out-shared", help="Do not train on items that are to be scored, too.")
    ] = False,
    external_study: Annotated[
        bool,
        typer.Option("--external-study", help="Train on them in spite of all, and mark every result that rests on it."),
    ] = False,
    prefix: Annotated[
        str | None, typer.Option(help="Table files: feature columns begin with this.", show_default=False)
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the draw of labels, the training, and ties.")] = 0,
    store: StoreFolder = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:  # fmt: skip
    """Train a model on other labels and write what it says of a pool, so that strategies can start there without any.

    Writes scorer.npy, a row per item, and scorer.json, the card that says what the scorer was trained on: the strategy
    external_model_rank reads both. With --strategy, the ranking of the whole pool goes into
    scorer_STRATEGY_sorted_idx.npy, for ranking_file and querist evaluate; with --groups, the likeliest class of every
    item into scorer_groups.npy, for cluster_balanced_random and its kin. Each has a card of its own.

    No label of the pool is read. Items that are in both sources are found by their content, and refused: a scorer that
    was trained on the test split of the dataset it scores has seen the answers.

    Example: `querist scorer photos-2024 photos-2025 --out probs.npy`, then
    `querist select photos-2025 --classes cat,dog,bird --strategy "external_model_rank(path='probs.npy')" --budget 50`.
    """
    order = Order(
        train=train, pool=pool, learner=learner, features=features, output=output, draws=draws, size=size, split=split,
        classes=declared_classes(classes) if classes is not None else (), strategies=tuple(strategy or ()), file=file,
        dataset=dataset, groups=groups, leave_out=leave_out_shared, external_study=external_study, prefix=prefix,
        seed=seed, store=store,
    )  # fmt: skip
    with bars():
        document = in_background(lambda: carry_out(order))
    for notice in document["notices"]:
        err.print(f"[bold yellow]Note:[/] {escape(notice)}", highlight=False, soft_wrap=True)
    for name, path in document["files"].items():
        err.print(f"{name}: {path}", highlight=False, markup=False, soft_wrap=True)
    shape = " x ".join(f"{size:,}" for size in document["shape"])
    words = f"{document['trained_on']}: {output} of {shape}, written to {file}; the card is {card_beside(file)}"
    err.print(words, highlight=False, markup=False, soft_wrap=True)
    if as_json:
        emit(document)
