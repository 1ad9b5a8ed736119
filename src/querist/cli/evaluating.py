"""``querist evaluate``: any learner on stored sets of labels, and stored models, tested without asking anything."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from querist.cli.background import in_background
from querist.cli.evaluated import (
    Outcome,
    outcome_of_files,
    outcome_of_models,
    outcome_of_study,
    require_writable,
)
from querist.cli.output import bars, emit, err, print_wide
from querist.cli.sources import described_source
from querist.cli.study import DEFAULT_STORE, Fork, Json, Sets, StorePath
from querist.data.dataset import datasets
from querist.errors import UnknownNameError, UsageError
from querist.evidence.cache import open_cache
from querist.studies.evaluations import evaluate_all
from querist.studies.label_sets import IndexFiles, StoredStudy
from querist.studies.stored_models import measure_models
from querist.studies.study import Study


def evaluate(
    files: Annotated[
        list[Path] | None,
        typer.Argument(
            help="Files that list ids, one set each: .npy, .txt, .csv (a column id) or .json.", show_default=False
        ),
    ] = None,
    dataset: Annotated[
        str | None,
        typer.Option(
            "--dataset", "-d", show_default=False,
            help="What the ids are positions in: a registered dataset, by name or composition, a folder with a folder "
            "per class, or an .npz archive.",
        ),
    ] = None,
    learner: Annotated[
        list[str] | None,
        typer.Option("--learner", "-l", help="What is trained, e.g. \"scratch(net='resnet18_cifar')\". Repeatable.",
                     show_default="linear"),
    ] = None,
    encoder: Annotated[
        str | None,
        typer.Option("--encoder", "-e", help="Features for learners on frozen features.",
                     show_default="pixels, or those of the study"),
    ] = None,
    first: Annotated[
        list[int] | None,
        typer.Option(min=1, help="Use the first so many ids of each file, e.g. of a ranking. Repeatable.",
                     show_default="all"),
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Of files: train each learner so many times.")] = 1,
    seed: Annotated[int, typer.Option(help="Of files: randomness, the same for every file.")] = 0,
    validation: Annotated[
        int, typer.Option(min=0, help="Of files: so many labels of each set are for validation instead of training.")
    ] = 0,
    study: Annotated[
        Path | None,
        typer.Option(help="Evaluate the labels of every run and checkpoint of this study.", show_default=False),
    ] = None,
    arms: Annotated[list[str] | None, typer.Option("--arm", help="Of a study: only this arm. Repeatable.")] = None,
    sets: Sets = None,
    fork: Fork = None,
    checkpoints: Annotated[
        list[Path] | None,
        typer.Option(help="Test stored models: the folder of a model, a run, or a store. Repeatable.",
                     show_default=False),
    ] = None,
    store: StorePath = DEFAULT_STORE,
    output: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="Write the table to this .parquet or .csv file.", show_default=False),
    ] = None,
    workers: Annotated[int, typer.Option(min=1, help="Processes; each uses one thread.")] = 1,
    as_json: Json = False,
) -> None:  # fmt: skip
    """Train and test learners on stored sets of labels, or test stored models. Nothing is asked.

    Of a set only its own labels are read; test labels only by the evaluator. What was evaluated before is on record in
    the store, so a command that was stopped goes on, and no learner is trained twice on the same labels. A learner that
    goes on from the round before starts anew on every set.

    Examples:

    `querist evaluate kmeans.npy random.npy --dataset cifar10 --learner linear --learner knn --seeds 5`

    Select by a cheap proxy, report with the full model: `querist evaluate --study study.toml --store runs --learner
    "scratch(net='resnet18_cifar')"` trains the net on the labels that every arm bought, with the pools and seeds of
    the study, so that arms are compared in pairs.

    `querist evaluate --checkpoints runs` tests every model that a store keeps.
    """
    folders = [*checkpoints, *(files or ())] if checkpoints else []  # a shell's wildcard gives the rest as files
    given = {"files": files and not folders, "--study": study, "--checkpoints": folders}
    asked = [name for name, value in given.items() if value]
    if len(asked) != 1:
        got = " and ".join(asked) or "none of them"
        raise UsageError(f"Expected files of ids with --dataset, or --study FILE, or --checkpoints FOLDER, got {got}.")
    _refuse(asked[0], {
        "--dataset": dataset, "--learner": learner, "--encoder": encoder, "--first": first, "--seeds": seeds > 1,
        "--seed": seed, "--validation": validation, "--arm": arms, "--set": sets, "--fork": fork,
    })  # fmt: skip
    require_writable(output)
    words = tuple(learner or ["linear"])

    def work() -> Outcome:
        if study is not None:
            opened = Study.read(study, store, sets=sets or (), fork=fork)
            done = evaluate_all(_stored(opened, arms or (), encoder), words, _folder(store), workers=workers)
            return outcome_of_study(opened, done, output)
        if folders:
            data = None if dataset is None else datasets.build(described_source(dataset), "--dataset")
            cache = open_cache(store / "cache" if store.exists() else None)
            return outcome_of_models(list(measure_models(folders, cache, data)), output)
        if dataset is None:
            raise UsageError("--dataset is missing: ids are positions in one. querist datasets lists those there are.")
        source = IndexFiles(
            files=tuple(map(str, files or ())), dataset=json.dumps(described_source(dataset)),
            encoder=encoder or "pixels", first=tuple(sorted(set(first or ()))), seeds=seeds, validation=validation,
            seed=seed, store=str(store),
        )  # fmt: skip
        return outcome_of_files(evaluate_all(source, words, _folder(store), workers=workers), source.encoder, output)

    with bars():
        done = in_background(work)
    if as_json:
        emit(done.document)
        return
    print_wide(done.shown)
    if done.note:
        err.print(done.note, highlight=False, markup=False, soft_wrap=True)


GOES_WITH = {
    "--dataset": ("files", "--checkpoints"), "--learner": ("files", "--study"), "--encoder": ("files", "--study"),
    "--first": ("files",), "--seeds": ("files",), "--seed": ("files",), "--validation": ("files",),
    "--arm": ("--study",), "--set": ("--study",), "--fork": ("--study",),
}  # fmt: skip
WHY_NOT = {
    "--study": "The runs of a study have pools, seeds and validation sets of their own.",
    "--checkpoints": "Stored models are trained already.",
    "files": "A file of ids belongs to no study.",
}


def _refuse(mode: str, given: dict[str, object]) -> None:
    """Raise `UsageError` for an option that has no meaning here."""
    for option, value in given.items():
        if value and mode not in GOES_WITH[option]:
            raise UsageError(f"{option} does not go with {mode}. {WHY_NOT[mode]}")


def _folder(store: Path) -> Path:
    """Where results are kept."""
    return store / "evaluations"


def _stored(study: Study, arms: Sequence[str], encoder: str | None) -> StoredStudy:
    known = [arm.name for arm in study.plan.arms]
    if unknown := [arm for arm in arms if arm not in known]:
        raise UnknownNameError("arm", unknown[0], known, f"study {study.name!r}")
    return StoredStudy(
        study=study.spec.model_dump_json(), store=str(study.store.path), fork=study.fork, arms=tuple(arms),
        encoder=encoder, source=study.name,
    )  # fmt: skip
