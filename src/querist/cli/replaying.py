"""``querist replay``: a stored query asked again, from the model that chose it."""

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from querist.cli.background import in_background
from querist.cli.output import bars, emit, err, number, out
from querist.cli.sources import described_source
from querist.cli.study import DEFAULT_STORE, Fork, Json, Sets, StorePath
from querist.data.dataset import datasets
from querist.errors import UnknownNameError, UsageError
from querist.labels.ledger import JsonlLedger, Ledger
from querist.session.machine import diff
from querist.session.replay import Replayed, replay as ask_again
from querist.session.session import Session
from querist.strategies.base import strategies
from querist.strategies.composition import flags_of
from querist.studies.execute import session_of
from querist.studies.outlooks import kept_by_name
from querist.studies.plan import Run
from querist.studies.rebuilding import session_again, setting_again, spec_of
from querist.studies.store import RunFolder, Store
from querist.studies.study import Study

SHOWN = 20
"""Picks that are printed where all are the same."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Stored:
    """A run on record, and how to open it on another ledger.

    Attributes:
        folder: of the run.
        name: what it is called here.
        open_on: opens it with the models that are kept, or without them.
        one_shot: the round that its only query stands for, if its strategy chooses all at once; otherwise None.
    """

    folder: Path
    name: str
    open_on: Callable[[Ledger, bool], Session]
    one_shot: int | None = None


def replay(
    run: Annotated[
        str,
        typer.Argument(
            help="The file of a study, its name in the store, or the folder of one run (STORE/runs/...).",
            show_default=False,
        ),
    ],
    round: Annotated[  # noqa: A002 - the name of the option
        int | None,
        typer.Option(min=-1, help="Which query, counted from 0; -1 is the initial pool. By default the last one."),
    ] = None,
    arm: Annotated[str | None, typer.Option(help="Of a study: which arm.", show_default=False)] = None,
    pool: Annotated[int, typer.Option(min=0, help="Of a study: which initial pool.")] = 0,
    seed: Annotated[int, typer.Option(min=0, help="Of a study: which training seed.")] = 0,
    store: StorePath = DEFAULT_STORE,
    sets: Sets = None,
    fork: Fork = None,
    dataset: Annotated[
        str | None,
        typer.Option(help="Of a run's folder: the dataset, if it cannot be had by its name.", show_default=False),
    ] = None,
    refit: Annotated[bool, typer.Option("--refit", help="Leave the stored model aside and fit it again.")] = False,
    as_json: Json = False,
) -> None:
    """Ask a stored query again: the same model must choose the same items.

    The ledger up to the query, the model of its round (kept with `querist study run --keep-models`, otherwise fitted
    again from the labels of that time), the same evidence, the same strategy. Exits with 0 if it returns the same ids
    in the same order, and with 1 and the difference if not. Nothing in the store is changed.

    Example: `querist replay study.toml --store runs --arm margin --pool 0 --seed 0 --round 2`
    """
    with bars():
        stored, found = in_background(
            lambda: _carry_out(run, round, arm, pool, seed, store, sets or (), fork, dataset, refit)
        )
    shown = found.recorded.round if stored.one_shot is None else stored.one_shot
    if as_json:
        emit(_document(stored, found, shown))
    else:
        _say(stored, found, shown)
    if not found.same:
        raise typer.Exit(1)


def _carry_out(
    run: str, number: int | None, arm: str | None, pool: int, seed: int, store: Path, sets: Sequence[str],
    fork: str | None, dataset: str | None, refit: bool,
) -> tuple[Stored, Replayed]:  # fmt: skip
    path = Path(run)
    if (path / "spec.json").is_file() or (path.is_dir() and not run.endswith(".toml")):
        if arm is not None or sets or fork:
            raise UsageError(
                f"--arm, --set and --fork choose among the runs of a study; {run} is the folder of one run."
            )
        stored = _of_folder(path, store, dataset)
    elif dataset is not None:
        raise UsageError("--dataset goes with the folder of a run; the file of a study says which dataset it is of.")
    elif run.endswith(".toml"):
        stored = _of_file(Study.read(path, store, sets=sets, fork=fork), number, arm, pool, seed)
    else:
        stored = _of_name(Store(store), run, arm, pool, seed)
    events = list(JsonlLedger(stored.folder / "ledger.jsonl"))
    if not events:
        raise UsageError(f"nothing is on record of {stored.name} in {stored.folder}. Run the study first.")
    wanted = number if stored.one_shot is None else -1
    return stored, ask_again(events, lambda ledger: stored.open_on(ledger, refit), wanted)


def _of_file(study: Study, number: int | None, arm: str | None, pool: int, seed: int) -> Stored:
    runs: list[tuple[str, int, int, Run]] = [(run.arm.name, run.pool, run.seed, run) for run in study.plan.runs]
    mine = [run for *_, run in _choose(runs, study.name, arm, pool, seed)]
    run, one_shot = _of_round(mine, [r.first for r in mine], mine[0].arm.one_shot, number)
    folder = study.store.run(run)
    if not (folder.path / "ledger.jsonl").exists():
        raise UsageError(_not_on_record(study, run))

    def open_on(ledger: Ledger, refit: bool) -> Session:
        return session_of(run, ledger, RunFolder(_models(folder.path, refit)), "read")

    name = f"{run.arm.name}, pool {run.pool}, seed {run.seed}"
    return Stored(folder=folder.path, name=name, open_on=open_on, one_shot=one_shot)


def _of_name(store: Store, study: str, arm: str | None, pool: int, seed: int) -> Stored:
    runs = [(k.arm, k.pool, k.seed, k) for k in kept_by_name(store, study)]
    chosen = _choose(runs, study, arm, pool, seed)[0][-1]
    spec = spec_of(chosen.folder.path)
    if "one_shot" in flags_of(strategies.build(spec["strategy"])):
        raise UsageError(
            f"{chosen.arm!r} chooses a whole budget at once and has a run for every round. Give the file of the study "
            "in place of its name, or the folder of a run."
        )

    def open_on(ledger: Ledger, refit: bool) -> Session:
        return session_again(spec, chosen.setting, ledger, _models(chosen.folder.path, refit), "read")

    name = f"{chosen.arm}, pool {chosen.pool}, seed {chosen.seed}"
    return Stored(folder=chosen.folder.path, name=name, open_on=open_on)


def _of_folder(path: Path, store: Path, dataset: str | None) -> Stored:
    spec = spec_of(path)
    cache = Store(path.parent.parent if path.parent.name == "runs" else store).cache
    data = None if dataset is None else datasets.build(described_source(dataset), "--dataset")
    advice = "Give the file of the study in place of the folder, or say where the data are: --dataset SOURCE."
    setting = setting_again(spec, cache, dataset=data, advice=advice)

    def open_on(ledger: Ledger, refit: bool) -> Session:
        return session_again(spec, setting, ledger, _models(path, refit), "read")

    name = f"{spec['strategy']['name']}, pool {spec['pool']}, seed {spec['seed']}"
    return Stored(folder=path, name=name, open_on=open_on)


def _models(path: Path, refit: bool) -> Path:
    """Where the models are; nowhere, if they are to be left aside."""
    return path / "no models" if refit else path


def _choose(
    runs: Sequence[tuple[str, int, int, Any]], study: str, arm: str | None, pool: int, seed: int
) -> list[tuple[str, int, int, Any]]:
    """The runs of one arm, pool and seed: one, or one per checkpoint of a strategy that chooses all at once."""
    arms = list(dict.fromkeys(name for name, *_ in runs))
    if arm is None and len(arms) != 1:
        raise UsageError(f"study {study!r} has {len(arms)} arms: {', '.join(arms)}. Name one: --arm.")
    arm = arms[0] if arm is None else arm
    if arm not in arms:
        raise UnknownNameError("arm", arm, arms, f"study {study!r}")
    found = [run for run in runs if run[:3] == (arm, pool, seed)]
    if not found:
        pools, seeds = (sorted({run[i] for run in runs if run[0] == arm}) for i in (1, 2))
        raise UsageError(
            f"{arm!r} has no run of pool {pool} and seed {seed} in study {study!r}: pools {pools[0]} to {pools[-1]}, "
            f"seeds {seeds[0]} to {seeds[-1]}."
        )
    return found


def _of_round(runs: Sequence[Any], firsts: Sequence[int], one_shot: bool, number: int | None) -> tuple[Any, int | None]:
    """The run that has a round: of a strategy that chooses all at once, each has one."""
    if not one_shot:
        return runs[0], None
    rounds = [first - 1 for first in firsts]
    if number is not None and number not in rounds:
        raise UsageError(f"this strategy chose for rounds {rounds[0]} to {rounds[-1]}, got --round {number}.")
    place = len(runs) - 1 if number is None else rounds.index(number)
    return runs[place], rounds[place]


def _not_on_record(study: Study, run: Run) -> str:
    """Why a run is not in the store: it was never started, or with other settings or data."""
    words = f"nothing is on record of {run.arm.name!r}, pool {run.pool}, seed {run.seed} in {study.store.path}."
    path = study.folder / "study.json"
    arms = json.loads(path.read_bytes())["arms"] if path.exists() else {}
    if run.arm.name in arms:
        here = {part: json.loads(json.dumps(run.spec))[part] for part in arms[run.arm.name] if part in run.spec}
        if lines := diff(arms[run.arm.name], here):
            return "\n".join([f"{words} What is stored has other settings or data:", *lines])
    return f"{words} Run it first: querist study run."


def _document(stored: Stored, found: Replayed, shown: int) -> dict[str, Any]:
    keep_finite = found.apart if math.isfinite(found.apart) else None
    return {
        "run": stored.folder.name, "folder": str(stored.folder), "name": stored.name, "round": shown,
        "same": found.same, "recorded": list(found.recorded.ids), "replayed": list(found.replayed.ids),
        "differing": [
            {"rank": rank + 1, "recorded": then, "replayed": now} for rank, then, now in found.differing
        ],
        "scores": {name: None if asked.utility is None else [number(u) for u in asked.utility]
                   for name, asked in (("recorded", found.recorded), ("replayed", found.replayed))},
        "metrics": {"recorded": dict(found.metrics), "replayed": dict(found.tested)},
        "largest_difference": keep_finite, "loaded": list(found.loaded), "fits": found.fits,
    }  # fmt: skip


def _say(stored: Stored, found: Replayed, shown: int) -> None:
    what = "the initial pool" if shown < 0 else f"the query of round {shown}"
    differing = {rank for rank, *_ in found.differing}
    count = len(found.recorded.ids)
    table = Table(title=f"{stored.name}: {what}", title_justify="left", box=None, pad_edge=False)
    for column in ("rank", "recorded", "score", "replayed", "score", ""):
        table.add_column(column, justify="right" if column else "left")
    for rank in [rank for rank in range(count) if rank < SHOWN or rank in differing]:
        cells = [cell for asked in (found.recorded, found.replayed) for cell in _cells(asked, rank)]
        table.add_row(str(rank + 1), *cells, "differs" if rank in differing else "")
    out.print(table)
    if found.same:
        out.print(f"Same: {count} of {count} ids, in the same order. {_numbers(found)}", highlight=False)
    else:
        rank, then, now = found.differing[0]
        out.print(
            f"DIFFERENT: {len(differing)} of {count} ids; the first at rank {rank + 1}: {then} on record, "
            f"{'none' if now is None else now} now. {_numbers(found)}\nAnother version of Querist or of a library, "
            "another device, or a model that was replaced can do that.",
            highlight=False,
        )
    err.print(_how(found), highlight=False, soft_wrap=True)


def _cells(asked: Any, rank: int) -> tuple[str, str]:
    if rank >= len(asked.ids):
        return "–", ""
    return str(asked.ids[rank]), "" if asked.utility is None else f"{asked.utility[rank]:.6g}"


def _numbers(found: Replayed) -> str:
    tested = "Scores and test metrics are" if found.metrics else "Scores are"
    if not found.apart:
        return f"{tested} those on record, to the last bit."
    if math.isinf(found.apart):
        return "Not all scores and test metrics that are on record were made again."
    return f"{tested} up to {found.apart:.3g} away from those on record."


def _how(found: Replayed) -> str:
    loaded = ", ".join(map(str, found.loaded))
    parts = [
        *([f"read from disk: round {loaded}"] if loaded else []),
        *([f"fitted again: {found.fits}"] if found.fits else []),
    ]
    return f"Models {'; '.join(parts)}." if parts else "No model was needed."
