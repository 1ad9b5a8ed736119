"""One scorer from beginning to end: open both sources, train or load, score, and write outputs, rankings and cards."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from numpy.lib import format as npy

from querist.arrays import Array, Labels
from querist.cli.selection import AUTO, in_words
from querist.cli.sources import UNDECLARED, is_of_images, labelled_source, open_source, store_for, with_classes
from querist.data.dataset import Dataset
from querist.data.memory import content_digest
from querist.encoders.base import Encoder, encoders
from querist.encoders.default import default_encoder
from querist.encoders.pixels import Pixels
from querist.encoders.pretraining.rankings import write_ranking
from querist.errors import UsageError
from querist.evidence.cache import open_cache
from querist.evidence.evidence import Evidence
from querist.files import atomic_write, require_writable_folder
from querist.learners.base import Learner, learners
from querist.registry import describe, digest
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
from querist.strategies._scorer_card import card_beside, classes_option, is_ours, write_with_card
from querist.strategies.base import State, Strategy, choose, strategies
from querist.strategies.external_model_rank import ExternalModelRank
from querist.studies.stored_models import models_below

NAMED = ("probs", "logits", "draws")
"""Outputs with a column per class."""
LONGEST = 80
"""Characters of a strategy in the name of a file; 255 is what most systems take of all of it."""


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


def carry_out(order: Order) -> dict[str, Any]:
    """Train, score, and write the files; return the card with what people must know.

    Raises:
        QueristError: something cannot be done; the message says what to do instead.
    """
    if order.leave_out and order.external_study:
        raise UsageError("--leave-out-shared trains without the shared items, --external-study with them: choose one.")
    if order.groups and order.output not in NAMED:
        raise UsageError(f"--groups goes with {', '.join(NAMED)}: {order.output} have no classes.")
    rules = _rules(order)
    groups = order.file.with_name(f"{order.file.stem}_groups.npy")
    _check_targets(order.file, *([groups] if order.groups else []), *(_ranking_file(order, slug) for slug in rules))
    pool = open_source(order.pool, classes=order.classes, prefix=order.prefix, store=order.store)
    if order.classes and pool.classes != order.classes:
        raise UsageError(f"--classes: {order.pool} has classes of its own, {', '.join(pool.classes)}.")
    made, notices = _scorer(order, pool)
    values, classes, notice = _in_order(made.outputs(order.output, order.draws), made, order.output)
    card = _card(order, made, values, classes)
    write_with_card(order.file, card, lambda: _write_array(order.file, values))
    files = _rank(order, rules, made, card)
    if order.groups:
        votes = (values.mean(axis=1) if order.output == "draws" else values).argmax(axis=1)
        own = {**card, "output": "likeliest classes", "shape": list(votes.shape), "classes": []}
        write_with_card(groups, own, lambda: _write_array(groups, votes))
        files["likeliest classes"] = groups
    made.forget()
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
        if (folder / "ledger.jsonl").is_file() or (folder / "runs").is_dir():
            example = models_below([folder])[-1]
            raise UsageError(f"{folder} holds more than one model: name the folder of one, as in {example}.")
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
        store = store_for(order.pool, order.store)
        made = train_scorer(
            lesson, pool, learner, encoder, seed=order.seed, cache=open_cache(store / "cache"), rooms=store / "scorers"
        )
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


def _rules(order: Order) -> dict[str, Strategy]:
    """Return the strategies to rank by, all of which must do with the outputs alone, by what their files are called."""
    rules: dict[str, Strategy] = {}
    fitting = {order.output, "embeddings"} if order.output == "logits" else {order.output}
    for rule in (strategies.build(word, "--strategy") for word in order.strategies):
        kinds = {type(need).__name__.lower() for need in rule.needs_at(State(has_model=True))}
        if not kinds or not kinds <= fitting or ExternalModelRank(path="", base=rule).needs_at(State()):
            raise UsageError(
                f"--strategy: {in_words(rule)} reads {', '.join(sorted(kinds)) or 'no output of a model'}, a ranking "
                f"has {order.output} alone to go by. Choose another --output or another strategy, or use the file in a "
                f"session: external_model_rank(path={str(order.file)!r}, base=...)."
            )
        slug = re.sub(r"[^A-Za-z0-9_.]+", "-", in_words(rule)).strip("-")
        if len(slug) > LONGEST or rules.get(slug, rule) != rule:  # no file may be called so, or another one is
            slug = f"{slug[:LONGEST]}-{digest(describe(rule))[:8]}"
        rules[slug] = rule
    return rules


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
        return values, own, f"The columns are {', '.join(own)}. Tell querist select: {classes_option(own)}"
    return values, own, (
        f"The scorer knows other classes than the {len(declared)} of the pool: {', '.join(own)}. Its doubts can rank "
        "the pool (--strategy); as probabilities of the pool's classes they mean nothing."
    )  # fmt: skip


def _ranking_file(order: Order, slug: str) -> Path:
    return order.file.with_name(f"{order.file.stem}_{slug}_sorted_idx.npy")


def _rank(order: Order, rules: Mapping[str, Strategy], made: Scorer, card: Mapping[str, Any]) -> dict[str, Path]:
    """Write the whole pool in the order in which each strategy would pick it; return the files by strategy."""
    pool, key = made.scored, Seed(order.seed).child("scorer", "ranking").key()
    own = {**card, "output": "ranking", "shape": [len(pool.manifest)], "classes": []}
    found = {}
    for slug, rule in rules.items():
        external = ExternalModelRank(path=str(order.file), base=rule)
        picked = choose(external, Evidence(pool.pool, {}, c=len(made.classes)), len(pool.pool), key).ids
        write = partial(write_ranking, order.file.parent, f"{order.file.stem}_{slug}", picked, pool)
        path = found[f"the pool by {in_words(rule)}"] = _ranking_file(order, slug)
        write_with_card(path, own, write)
    return found


def _card(order: Order, made: Scorer, values: Array, classes: Sequence[str]) -> dict[str, Any]:
    lesson, pool = made.lesson, made.scored
    trained = made.setting.spec if not made.learner.trains_backbone else {}
    return {
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


def _write_array(file: Path, values: Array | Labels) -> None:
    with atomic_write(file) as target:
        npy.write_array(target, values, allow_pickle=False)  # pyright: ignore[reportArgumentType]


def _check_targets(*files: Path) -> None:
    """Refuse early what would be lost, or could not be written after the training."""
    if files[0].suffix != ".npy":
        raise UsageError(f"--out: expected a file that ends in .npy, got {files[0]}.")
    for file in files:
        taken = [path for path in (file, card_beside(file)) if path.exists()]
        if taken and not is_ours(file):
            raise UsageError(f"--out: {taken[0]} exists and was not written by querist scorer. Choose another name.")
    require_writable_folder(files[0])
