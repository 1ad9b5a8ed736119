"""``querist gallery``: a folder of pages that show what every strategy picks."""

from pathlib import Path
from typing import Annotated

import typer

from querist.cli.output import bars, emit, err
from querist.report.gallery import read_costs, write_gallery
from querist.strategies.base import strategies


def gallery(
    names: Annotated[
        list[str] | None, typer.Argument(help="Only these strategies; all by default.", show_default=False)
    ] = None,
    folder: Annotated[Path, typer.Option("--out", "-o", help="Folder for the pages.")] = Path("querist-gallery"),
    costs: Annotated[
        Path | None,
        typer.Option(help="JSON file with 'workload' and 'rows' of name, seconds, megabytes.", show_default=False),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Show what every strategy picks: a page of pictures, advice and settings for each, and an index to filter.

    Each strategy, those of other packages included, runs on a toy of 450 points in a plane at 4, 12, 36 and 100 labels.
    The pages need neither a network nor a server: open index.html in a browser.
    """
    measured = read_costs(costs) if costs else None
    with bars():
        index = write_gallery(folder, names or None, measured)
    count = len(names or strategies.names())
    err.print(
        f"{count} page{'s' * (count != 1)}; look at them in {index}", highlight=False, markup=False, soft_wrap=True
    )
    if as_json:
        emit({"index": str(index), "strategies": count})
