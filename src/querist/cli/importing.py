"""``querist import-backbone``: a checkpoint of another system as an encoder."""

import json
from pathlib import Path
from typing import Annotated

import typer

from querist import extras
from querist.cli.output import emit, err
from querist.errors import UsageError

CARD = "card.json"


def import_backbone(
    form: Annotated[
        str,
        typer.Argument(
            metavar="FORMAT",
            help="What wrote it: moco_v2, compress, simsiam, simclr (its many rewritings, and SCAN), torchal (its "
            "classifiers).",
            show_default=False,
        ),
    ],
    file: Annotated[Path, typer.Argument(help="A .pth, .pt, .tar or .safetensors file.", show_default=False)],
    output: Annotated[Path, typer.Option("--out", "-o", help="Folder of the backbone.")] = Path("imported"),
    net: Annotated[
        str | None,
        typer.Option(
            help="Architecture, if it is no ResNet: one whose weights the file has under the same names, such as "
            "torchvision/vgg16_bn.",
            show_default=False,
        ),
    ] = None,
    size: Annotated[
        int | None, typer.Option(min=1, help="Side of its images; 224, or 32 with a 3 x 3 stem.", show_default=False)
    ] = None,
    mean: Annotated[
        str | None, typer.Option(help="Of its channels in 0..1: 0.485,0.456,0.406.", show_default=False)
    ] = None,
    std: Annotated[str | None, typer.Option(help="Of its channels in 0..1.", show_default=False)] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Turn a checkpoint of another system into an encoder.

    The backbone is kept; projectors, predictors, queues and classifiers are dropped. A weight that is missing, or a
    name that belongs to neither, is an error: nothing is ever left at random. Code in the file is never run.

    Without --mean and --std, nets with the stem of ImageNet get its normalisation, and those with a 3 x 3 stem that of
    CIFAR-10, or none if the format is torchal. They have to be those of the training.

    Example: `querist import-backbone moco_v2 moco_v2_800ep_pretrain.pth.tar --out moco`, then
    `querist encode photos --encoder "pretrained(path='moco')"`.
    """
    extras.require("querist import-backbone", "deep", "torch", "lightning_fabric", "safetensors")
    from querist.nets.importing import import_backbone as write

    if not file.is_file():
        raise UsageError(f"there is no file {file}. Expected a checkpoint of {form!r}.")
    _check_target(output, form)
    channels = {name: _three(name, text) for name, text in (("mean", mean), ("std", std)) if text is not None}
    card = write(file, form, output, net=net, size=size, **channels)
    words = f"{card.net}, {card.d:,} features of images of {card.shape[1]} x {card.shape[2]}. Written to {output}."
    err.print(f"{words} As an encoder: pretrained(path='{output}')", highlight=False, markup=False, soft_wrap=True)
    if as_json:
        emit({**card._asdict(), "folder": str(output)})


def _check_target(folder: Path, form: str) -> None:
    """Refuse a folder of something else: a training of days may be in it."""
    if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        try:
            ours = json.loads((folder / CARD).read_bytes())["about"]["imported"]["format"] == form
        except (OSError, ValueError, KeyError, TypeError):
            ours = False
        if not ours:
            raise UsageError(f"--out: {folder} holds something else than an imported {form!r}. Choose another folder.")


def _three(name: str, text: str) -> list[float]:
    try:
        values = [float(part) for part in text.split(",")]
    except ValueError:
        values = []
    if len(values) != 3:
        raise UsageError(f"--{name}: expected three numbers, as in 0.485,0.456,0.406, got {text!r}.")
    return values
