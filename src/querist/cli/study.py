"""``querist study run|status|report``: studies from TOML files."""

import os
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.table import Table

from querist.cli.output import emit, err, out, progress
from querist.errors import UsageError
from querist.report.page import write_report
from querist.report.study import results_of
from querist.report.summary import summary_document, summary_table
from querist.studies.following import Followers
from querist.studies.study import Study

app = typer.Typer(no_args_is_help=True, help="Compare strategies: run, watch and report studies written as TOML files.")

File = Annotated[Path, typer.Argument(help="The study, a TOML file.", show_default=False)]
StorePath = Annotated[
    Path, typer.Option("--store", envvar="QUERIST_STORE", help="Folder of runs; they are shared between studies.")
]
Sets = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Override a setting, e.g. study.pools=20. Repeatable."),
]
Grids = Annotated[
    list[str] | None,
    typer.Option("--grid", metavar="KEY=A,B", help="Vary a setting, e.g. study.learner=linear,knn. Repeatable."),
]
Fork = Annotated[
    str | None,
    typer.Option("--fork", metavar="NAME", help="Keep changed settings under this name, beside the old ones."),
]
Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout, everything else on stderr.")]
DEFAULT_STORE = Path("querist-store")


@app.command()
def run(
    file: File,
    store: StorePath = DEFAULT_STORE,
    workers: Annotated[int, typer.Option(min=1, help="Processes; each uses one thread.")] = os.cpu_count() or 1,
    sets: Sets = None,
    grids: Grids = None,
    fork: Fork = None,
    keep_models: Annotated[
        Literal["last", "all", "none"],
        typer.Option(help="Which models of deep learners stay beside each run; querist replay and evaluate use them."),
    ] = "last",
    track: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Follow the runs in tensorboard, mlflow or wandb as well. Repeatable."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Run a study, or continue it: what is on record is never run again.

    Kill it at any time and start the same command again. A second process, here or on another machine that sees the
    store, shares the work.
    """
    Followers("", tuple(track or ())).check()  # before the study is read, which may take long
    study = _open(file, store, sets, grids, fork)
    err.print(_announcement(study), highlight=False, markup=False)
    with progress(study.name) as tick:
        study.run(workers=workers, tick=tick, keep=keep_models, track=track or ())
    conclude(study, as_json)


@app.command()
def status(
    file: File,
    store: StorePath = DEFAULT_STORE,
    sets: Sets = None,
    grids: Grids = None,
    fork: Fork = None,
    as_json: Json = False,
) -> None:
    """Show how far a study is."""
    study = _open(file, store, sets, grids, fork)
    states = study.status()
    paces = study.paces()
    if as_json:
        arms = [vars(state) | ({"pace": paces[state.arm]._asdict()} if state.arm in paces else {}) for state in states]
        emit({"study": study.name, "store": str(study.store.path), "arms": arms})
        return
    table = Table(title=f"{study.name} in {study.store.path}", title_justify="left", box=None, pad_edge=False)
    for column in ("arm", "runs", "finished", "started", "failed", *(("images/s", "waiting") if paces else ())):
        table.add_column(column, justify="left" if column == "arm" else "right")
    for state in states:
        pace = paces.get(state.arm)
        speed = ["", ""] if pace is None else [f"{pace.images_per_second:,.0f}", f"{pace.waiting:.0%}"]
        counts = (str(getattr(state, column)) for column in ("runs", "finished", "started", "failed"))
        table.add_row(state.arm, *counts, *(speed if paces else ()))
    if paces:
        table.caption = "images/s of training, and the share of its time in which the net waited: medians on record"
        table.caption_justify = "left"
    out.print(table)
    _print_errors(study)


@app.command()
def report(
    file: File,
    store: StorePath = DEFAULT_STORE,
    sets: Sets = None,
    grids: Grids = None,
    fork: Fork = None,
    as_json: Json = False,
) -> None:
    """Write the report of what is on record: verdicts, curves, picks; one HTML file that works offline."""
    if not (store / "runs").is_dir():
        raise UsageError(
            f"--store: there are no runs in {store}. Run the study first, querist study run {file}, or name "
            "the store that it was run in."
        )
    study = _open(file, store, sets, grids, fork)
    study.write_tables()
    conclude(study, as_json)


def conclude(study: Study, as_json: bool, report: Path | None = None) -> None:
    """Write the report and print the verdicts; exit with 1 if runs failed."""
    results = results_of(study)
    path = report or study.folder / "report.html"
    failed = sum(state.failed for state in study.status())
    document = {"failed_runs": failed, "store": str(study.store.path)}
    try:
        write_report(path, study=results)
        document |= {**summary_document(results), "report": str(path)}
        shown = summary_table(results)
    except UsageError as reason:
        # The runs are worth keeping where there is nothing to compare them with.
        document |= {"study": study.name, "report": None, "note": str(reason)}
        shown = f"No verdicts: {reason}\nThe tables are in {study.folder}."
    if as_json:
        emit(document)
    else:
        out.print(shown, highlight=False)
        _print_errors(study)
        if document["report"]:
            out.print(f"Report: {path}", highlight=False, soft_wrap=True)
    if failed:
        raise typer.Exit(1)


def _open(file: Path, store: Path, sets: list[str] | None, grids: list[str] | None, fork: str | None) -> Study:
    return Study.read(file, store, sets=sets or (), grids=grids or (), fork=fork)


def _announcement(study: Study) -> str:
    runs = len(study.plan.runs)
    known = runs - study.missing
    words = f"{study.missing} new run{'s' * (study.missing != 1)}" + (f", {known} on record" if known else "")
    arms = len(study.plan.arms)
    noise = study.spec.oracle.model
    heard = "" if noise is None else f" Simulated answers: {noise}."
    return (
        f"{study.name}: {arms} arms x {study.spec.study.pools} pools x {study.spec.study.seeds} seeds; {words}.{heard}"
    )


def _print_errors(study: Study) -> None:
    for state in study.status():
        for message in state.errors:
            err.print(f"[bold red]{state.arm}[/] failed: ", end="")
            err.print(message, markup=False, highlight=False)
    if any(state.failed for state in study.status()):
        err.print(f"Tracebacks: {study.store.path / 'runs'}/*/error.json", highlight=False)
