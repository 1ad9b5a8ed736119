"""The command line: parse, call, print."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from querist.cli import (
    demo,
    encoding,
    evaluating,
    forecasting,
    gallery,
    importing,
    listing,
    pool,
    pretraining,
    replaying,
    scoring,
    selecting,
    study,
)
from querist.cli.background import leave
from querist.cli.output import fail
from querist.data.torchvision_sets import ROOT
from querist.errors import QueristError

INTERRUPTED = 130
KEPT = "Interrupted. Everything recorded so far is kept; the same command continues from there.\n"

app = typer.Typer(
    name="querist",
    help="Which items of an unlabelled pool should be labelled next, and is it still worth asking?\n\n"
    "Start with `querist demo`: a real study on handwritten digits in under a minute, with a report to look at.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
)


@app.callback()
def settings(
    data_root: Annotated[
        Path | None, typer.Option(help=f"Folder of downloaded datasets; default ${ROOT}, then ./data.")
    ] = None,
) -> None:
    if data_root is not None:
        os.environ[ROOT] = str(data_root)  # worker processes read it too


app.command("demo")(demo.demo)
app.add_typer(study.app, name="study")
app.command("select")(selecting.select)
app.command("encode")(encoding.encode)
app.command("pretrain")(pretraining.pretrain)
app.command("scorer")(scoring.scorer)
app.command("import-backbone")(importing.import_backbone)
app.add_typer(pool.app, name="pool")
app.command("gallery")(gallery.gallery)
app.command("forecast")(forecasting.forecast)
app.command("evaluate")(evaluating.evaluate)
app.command("replay")(replaying.replay)
for kind in listing.KINDS:
    app.command(kind, help=f"List the {kind}, or explain one.")(listing.command(kind))


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command line; return its exit status: 0 done, 1 runs failed, 2 a mistake of the user, 130 interrupted."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    as_json = "--json" in arguments
    try:
        # Standing alone, typer prints its own usage errors; with --json they are ours to print.
        status = app(arguments, prog_name="querist", standalone_mode=not as_json)
    except SystemExit as stop:
        if stop.code == INTERRUPTED:  # standing alone, typer exits without a word of what is kept
            sys.stderr.write(KEPT)
        return stop.code if isinstance(stop.code, int) else 2
    except (KeyboardInterrupt, typer.Abort):
        sys.stderr.write(KEPT)
        return INTERRUPTED
    except (QueristError, typer.TyperException) as error:
        fail(error, as_json)
        return 2
    return status if isinstance(status, int) else 0


def run() -> None:
    """Entry point of the ``querist`` script."""
    leave(main())
