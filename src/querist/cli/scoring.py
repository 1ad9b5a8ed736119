"""``querist scorer``: a model trained on other labels, and what it says of a pool, as a file that strategies read."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from numpy.lib import format as npy
from rich.markup import escape

from querist.arrays import Array
from querist.cli.background import in_background
from querist.cli.output import bars, emit, err
from querist.cli.selection import AUTO, in_words
from querist.cli.sources import (
    UNDECLARED,
    StoreFolder,
    declared_classes,
    is_of_images,
    labelled_source,
    open_source,
    store_for,
    with_classes,
)
from querist.data.dataset import Dataset
from querist.data.memory import content_digest
from querist.encoders.base import Encoder, encoders
from querist.encoders.default import default_encoder
from querist.encoders.pixels import Pixels
from querist.encoders.pretraining.rankings import write_ranking
from querist.errors import UsageError
from querist.evidence.cache import open_cache
from querist.evidence.evidence import Evidence
from querist.files import atomic_write, file_digest, write_bytes
from querist.learners.base import Learner, learners
from querist.seeds import Seed
from querist.session.checkpoints import card_of
from querist.session.scorer import (
    Scorer,
    against,
    lesson_of,
    need_of,
    require_offered,
    stored_scorer,
    train_scorer,
)
from querist.strategies._scorer_card import FORMAT, card_beside
from querist.strategies.base import State, Strategy, choose, strategies
from querist.strategies.external_model_rank import ExternalModelRank

NAMED = ("probs", "logits", "draws")
"""Outputs with a column per class."""


@dataclass(frozen=True, kw_only=True)
class Order:
    """What is asked for; the options of ``querist scorer`` explain the fields."""

    train: str
    pool: str
    learner: str
    features: str
    output: str
    draws: int
    size: int | None
    split: str
    classes: tuple[str, ...]
    strategies: tuple[str, ...]
    file: Path
    dataset: str | None
    groups: bool
    leave_out: bool
    external_study: bool
    prefix: str | None
    seed: int
    store: Path | None


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
        err.print(f"[bold yellow]Note:[/] {escape(notice)}", highlight=False)
    for name, path in document["files"].items():
        err.print(f"{name}: {path}", highlight=False, markup=False, soft_wrap=True)
    shape = " x ".join(f"{size:,}" for size in document["shape"])
    words = f"{document['trained_on']}: {output} of {shape}, written to {file}; the card is {card_beside(file)}"
    err.print(words, highlight=False, markup=False, soft_wrap=True)
    if as_json:
        emit(document)


def carry_out(order: Order) -> dict[str, Any]:
    """Train, score, and write the files; return the card with what people must know.

    Raises:
        QueristError: something cannot be done; the message says what to do instead.
    """
    _check_target(order.file)
    if order.groups and order.output not in NAMED:
        raise UsageError(f"--groups goes with {', '.join(NAMED)}: {order.output} have no classes.")
    rules = _rules(order)
    pool = open_source(order.pool, classes=order.classes, prefix=order.prefix, store=order.store)
    if order.classes and pool.classes != order.classes:
        raise UsageError(f"--classes: {order.pool} has classes of its own, {', '.join(pool.classes)}.")
    made, notices = _scorer(order, pool)
    values, classes, notice = _in_order(made.outputs(order.output, order.draws), made, order.output)
    with atomic_write(order.file) as file:
        npy.write_array(file, values, allow_pickle=False)  # pyright: ignore[reportArgumentType]
    card = _card(order, made, values, classes)
    _write_card(order.file, card)
    files = _rank(order, rules, made)
    if order.groups:
        files["likeliest classes"] = order.file.with_name(f"{order.file.stem}_groups.npy")
        votes = values.mean(axis=1) if order.output == "draws" else values
        with atomic_write(files["likeliest classes"]) as file:
            npy.write_array(file, votes.argmax(axis=1), allow_pickle=False)  # pyright: ignore[reportArgumentType]
    for path in files.values():
        _write_card(path, {**card, "output": "ids or numbers", "classes": []})
    return {
        **card, "notices": [*notices, *([notice] if notice else [])],
        "files": {name: str(path) for name, path in files.items()},
    }  # fmt: skip


def _scorer(order: Order, pool: Dataset) -> tuple[Scorer, list[str]]:
    """Return the scorer, and what a person must know about it."""
    folder, notices = Path(order.train), list[str]()
    if card_of(folder) is not None:
        if order.size is not None or order.split != "pool" or order.leave_out:
            raise UsageError(
                "--size, --split and --leave-out-shared do not go with a kept model: it is trained already."
            )
        source = None if order.dataset is None else labelled_source(order.dataset, store=order.store)
        made = stored_scorer(folder, pool, source, external_study=order.external_study)
    else:
        if order.dataset is not None:
            raise UsageError(f"--dataset goes with the folder of a kept model, which {order.train} is not.")
        learner = learners.build(order.learner, "--learner")
        require_offered(learner, need_of(order.output, order.draws))
        data = labelled_source(order.train, prefix=order.prefix, store=order.store)
        lesson = lesson_of(data, order.split, order.size, order.seed)
        lesson = against(lesson, pool, leave_out=order.leave_out, external_study=order.external_study)
        if lesson.dropped:
            notices.append(f"{lesson.dropped:,} items are in both sources, and were not trained on.")
        encoder, notice = _encoder(order.features, learner, data, pool)
        notices += [notice] if notice else []
        cache = open_cache(store_for(order.pool, order.store) / "cache")
        made = train_scorer(lesson, pool, learner, encoder, seed=order.seed, cache=cache)
    if made.lesson.shared:
        notices.append(
            "The scorer was trained on items that it scores. Whatever it chooses is flagged external_study, and test "
            "results say nothing about what such a choice is worth elsewhere."
        )
    elif order.external_study:
        notices.append("Both sources have no item in common, so --external-study marks nothing.")
    return made, notices


def _encoder(name: str, learner: Learner, data: Dataset, pool: Dataset) -> tuple[Encoder, str | None]:
    if name != AUTO:
        return with_classes(encoders.build(name, "--features"), data), None
    if learner.trains_backbone or not (is_of_images(data) and is_of_images(pool)):
        return Pixels(), None
    return default_encoder()


def _rules(order: Order) -> list[Strategy]:
    """Return the strategies to rank by, all of which must do with the outputs alone; before anything is trained."""
    built = [strategies.build(word, "--strategy") for word in order.strategies]
    for rule in built:
        probe = ExternalModelRank(path="", trained_on="to be trained", base=rule)
        others = probe.needs_at(State())
        kinds = {type(need).__name__.lower() for need in rule.needs_at(State(has_model=True))}
        fitting = {order.output, "embeddings"} if order.output == "logits" else {order.output}
        if others or not kinds <= fitting:
            raise UsageError(
                f"--strategy: {in_words(rule)} reads {', '.join(sorted(kinds)) or 'nothing'}, a ranking has "
                f"{order.output} alone to go by. Choose another --output, or use the file in a session: "
                f"external_model_rank(path='{order.file}', base=...)."
            )
    return built


def _in_order(values: Array, made: Scorer, output: str) -> tuple[Array, tuple[str, ...], str | None]:
    """Return outputs with columns in the order of the declared classes of the pool, what they are, and a notice."""
    own, declared = made.classes, made.scored.classes
    if output not in NAMED:
        return values, (), None
    if declared == own:
        return values, own, None
    if set(own) == set(declared):
        return values[..., [own.index(name) for name in declared]], declared, None
    if declared == UNDECLARED:
        return values, own, f"The columns are {', '.join(own)}. Tell querist select: --classes {','.join(own)}"
    return values, own, (
        f"The scorer knows other classes than the {len(declared)} of the pool: {', '.join(own)}. Its doubts can rank "
        "the pool (--strategy); as probabilities of the pool's classes they mean nothing."
    )  # fmt: skip


def _rank(order: Order, rules: Sequence[Strategy], made: Scorer) -> dict[str, Path]:
    """Write the whole pool in the order in which each strategy would pick it; return the files by strategy."""
    pool, key = made.scored, Seed(order.seed).child("scorer", "ranking").key()
    found = {}
    for rule in rules:
        external = ExternalModelRank(path=str(order.file), base=rule)
        picked = choose(external, Evidence(pool.pool, {}, c=len(made.classes)), len(pool.pool), key).ids
        word = re.sub(r"[^A-Za-z0-9_.]+", "-", in_words(rule)).strip("-")
        name = f"the pool by {in_words(rule)}"
        found[name] = write_ranking(order.file.parent, f"{order.file.stem}_{word}", picked, pool)
    return found


def _card(order: Order, made: Scorer, values: Array, classes: Sequence[str]) -> dict[str, Any]:
    lesson, pool = made.lesson, made.scored
    trained = made.setting.spec if not made.learner.trains_backbone else {}
    return {
        "format": FORMAT,
        "output": order.output,
        "shape": list(values.shape),
        "classes": list(classes),
        "trained_on": made.trained_on,
        "external_study": bool(lesson.shared),
        "shared": dict(lesson.shared),
        "scorer": {
            "source": order.train,
            "dataset": {"name": lesson.data.name, "fingerprint": lesson.data.fingerprint},
            "split": lesson.split,
            "n_labels": len(lesson.ids),
            "left_out": lesson.dropped,
            "ids": content_digest(lesson.ids),
            "learner": made.learner.identity(),
            "features": trained.get("features"),
            "seed": made.seed,
        },
        "pool": {
            "source": order.pool,
            "dataset": {"name": pool.name, "fingerprint": pool.fingerprint},
            "keys": pool.manifest.key_fingerprint,
        },
    }


def _write_card(file: Path, card: dict[str, Any]) -> None:
    """Write the card beside a file; it says which content it is of."""
    text = json.dumps({**card, "file": file_digest(file)}, indent=1, allow_nan=False)
    write_bytes(card_beside(file), text.encode())


def _check_target(file: Path) -> None:
    """Refuse early what would be lost or could not be written at the end."""
    if file.suffix != ".npy":
        raise UsageError(f"--out: expected a file that ends in .npy, got {file}.")
    beside = card_beside(file)
    taken = [path for path in (file, beside) if path.exists()]
    if taken:
        try:
            ours = json.loads(beside.read_bytes())["format"] == FORMAT
        except (OSError, ValueError, KeyError, TypeError):
            ours = False
        if not ours:
            raise UsageError(f"--out: {taken[0]} exists and was not written by querist scorer. Choose another name.")
