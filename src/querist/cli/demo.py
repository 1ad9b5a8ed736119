"""``querist demo``: a real study on bundled data, from nothing to a report."""

from importlib.resources import as_file, files
from pathlib import Path
from typing import Annotated

import typer

from querist.cli.output import err, progress
from querist.cli.study import conclude
from querist.studies.study import Study


def demo(
    out: Annotated[Path, typer.Option(help="Folder for the runs and the report.")] = Path("querist-demo"),
    workers: Annotated[int, typer.Option(min=1, help="Processes; each uses one thread.")] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Compare query strategies on handwritten digits: no network, no GPU, under a minute.

    Ten paired initial pools of ten labels, eight queries of ten, a linear head. The table at the end says which
    strategies are better than drawing at random, by how much, and how sure that is; report.html shows it.
    """
    with as_file(files("querist.studies") / "demo.toml") as file:
        study = Study.read(file, out)
    err.print(
        f"{len(study.plan.arms)} strategies x {study.spec.study.pools} pools on {study.spec.study.dataset}: "
        "1,297 images to choose from, 500 to test on.",
        highlight=False,
    )
    with progress("demo") as tick:
        study.run(workers=workers, tick=tick)
    conclude(study, as_json, report=out / "report.html")
