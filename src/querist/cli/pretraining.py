"""``querist pretrain``: a backbone trained on the images of a pool without labels, resumable, and what it is worth."""

import json
import time
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from querist.cli.background import in_background
from querist.cli.output import bars, emit, err
from querist.cli.sources import StoreFolder, is_of_images, open_source, store_for
from querist.data.dataset import Dataset
from querist.encoders.pixels import Pixels
from querist.encoders.pretrained import Pretrained
from querist.encoders.pretraining.base import Method, methods
from querist.encoders.pretraining.rankings import read_groups
from querist.encoders.pretraining.training import START, pretrain as train
from querist.errors import DataError, UsageError
from querist.evidence.cache import open_cache
from querist.files import write_bytes
from querist.progress import Value, recording
from querist.registry import describe
from querist.session.probes import are_probed, knn_monitor, probe, probe_groups

REPORT = "report.json"
LOOKS = 25
"""How often k-NN accuracy is measured in a training, at most."""

COLUMNS = {"knn": "k-NN", "linear": "linear", "mlp": "MLP", "kmeans": "k-means", "nmi": "NMI", "ari": "ARI"}


def pretrain(
    method: Annotated[
        str,
        typer.Argument(
            help="Name or composition: simsiam, simclr, moco, deep_cluster, vae, rotation, scan, "
            "\"simclr(preset='scan')\"; an unknown name lists all.",
            show_default=False,
        ),
    ],
    source: Annotated[
        str,
        typer.Argument(
            help="A folder of images, a .csv, .parquet or .jsonl list of them, a .npy or .npz file of images, or a "
            "registered dataset.",
            show_default=False,
        ),
    ],
    output: Annotated[Path, typer.Option("--out", "-o", help="Folder of the backbone.")] = Path("pretrained"),
    net: Annotated[str | None, typer.Option(help="Architecture; default that of the method.")] = None,
    epochs: Annotated[int | None, typer.Option(help="Passes over the pool.")] = None,
    batch: Annotated[int | None, typer.Option(help="Images of an update; the learning rate grows with it.")] = None,
    sets: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Any other setting of the method, e.g. lr=0.1. Repeatable."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of weights, order and views.")] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    devices: Annotated[
        int | None,
        typer.Option(
            help="Processes that share every batch: one per graphics card, or of the CPU, each on one core; default 1.",
            show_default=False,
        ),
    ] = None,
    traces: Annotated[
        bool, typer.Option("--traces/--no-traces", help="Keep statistics per image, for rankings of first pools.")
    ] = True,
    store: StoreFolder = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Train a backbone on the images of a pool, without labels.

    The folder it writes is an encoder, `pretrained(path='FOLDER')`, for select, encode and studies. A killed command
    continues after the last epoch that was finished. Where every item has a label, as in a benchmark, the k-NN accuracy
    on part of the pool is shown meanwhile, and at the end test accuracies of simple classifiers, beside those on pixels
    and on the same net at random weights. These labels are for the evaluation alone; training never sees one.

    Example: `querist pretrain simclr photos --net small_cnn --epochs 100`, then
    `querist select photos --features "pretrained(path='pretrained')" --budget 50`.
    """
    chosen = _chosen(method, {"net": net, "epochs": epochs, "batch": batch, "devices": devices}, sets or (), traces)
    start = time.perf_counter()
    with bars(), recording(_tell):
        document = in_background(lambda: _carry_out(source, chosen, output, seed, device, store))
    for notice in document["notices"]:
        err.print(f"[bold yellow]Note:[/] {escape(notice)}", highlight=False)
    if document["probes"]:
        err.print(_table(document["probes"]))
    for name, values in document["groups"].items():
        words = ", ".join(f"{COLUMNS.get(key, key)} {100 * value:.1f} %" for key, value in values.items())
        err.print(f"clusters {name} beside the classes: {words}", highlight=False, markup=False, soft_wrap=True)
    kept = f", with {', '.join(document['traces'])} of every image" if document["traces"] else ""
    words = f"Written to {output}{kept}. As an encoder: pretrained(path='{output}')"
    err.print(words, highlight=False, markup=False, soft_wrap=True)
    if as_json:
        emit({**document, "seconds": round(time.perf_counter() - start, 3)})


def _chosen(text: str, options: Mapping[str, Any], sets: list[str] | tuple[str, ...], traces: bool) -> Method:
    """Return the method with the settings that were given."""
    settings = describe(methods.build(text)) | {name: value for name, value in options.items() if value is not None}
    for pair in sets:
        key, equals, value = pair.partition("=")
        if not equals:
            raise UsageError(f"--set: expected KEY=VALUE, got {pair!r}.")
        try:
            settings[key.strip()] = tomllib.loads(f"value = {value}")["value"]
        except tomllib.TOMLDecodeError:
            settings[key.strip()] = value.strip()
    if not traces:
        settings |= {name: none for name, none in (("traces", []), ("loss_views", 0)) if name in settings}
    return methods.build(settings, "pretrain")


def _carry_out(source: str, method: Method, folder: Path, seed: int, device: str, store: Path | None) -> dict[str, Any]:
    data = open_source(source, store=store)
    if not is_of_images(data):
        raise DataError(f"{source!r} holds no images to learn from. Pre-training takes images, not features.")
    benchmark = are_probed(data)
    look = knn_monitor(data, method.epochs, every=-(-method.epochs // LOOKS), seed=seed) if benchmark else None
    done = train(data, method, folder, seed=seed, device=device, **({"look": look} if look else {}))
    probes = _probes(data, folder, seed, store_for(source, store)) if benchmark else {}
    document = {
        "method": describe(method),
        "dataset": {"name": data.name, "fingerprint": data.fingerprint, "pool": len(data.pool)},
        "seed": seed,
        "labels": "all labels of the pool and the test split, for evaluation alone" if benchmark else "none",
        "history": done.history,
        "traces": list(done.traces),
        "notices": [*done.notices, *([] if benchmark else [UNPROBED])],
        "probes": probes,
        "groups": {name: probe_groups(data, group) for name, group in read_groups(folder).items()} if benchmark else {},
        "folder": str(folder),
    }
    write_bytes(folder / REPORT, json.dumps(document, indent=1, allow_nan=False).encode())
    return document


UNPROBED = (
    "Not every item has a label, so nobody knows what these features are worth. Look at neighbours of a few images, or "
    "compare first models on some labels with those on 'handcrafted'. If the folders of the source are classes, "
    "\"folder(path='SOURCE', test_share=0.2)\" reads them as labels."
)


def _probes(data: Dataset, folder: Path, seed: int, store: Path) -> dict[str, dict[str, float]]:
    """Return what features are worth: those that were trained, those of the first weights, and pixels."""
    encoders = {
        "pre-trained": Pretrained(path=str(folder)),
        "random weights": Pretrained(path=str(folder / START)),
        "pixels": Pixels(),
    }
    cache = open_cache(store / "cache")
    return {name: probe(data, encoder, seed=seed, cache=cache, name=name) for name, encoder in encoders.items()}


def _tell(event: str, values: Mapping[str, Value]) -> None:
    """Print a line per epoch that was looked at."""
    if event == "epoch" and ("knn" in values or not int(values["epoch"]) % 10):
        knn = f", k-NN {100 * float(values['knn']):.1f} %" if "knn" in values else ""
        words = (
            f"epoch {values['epoch']}: loss {float(values['loss']):.3f}{knn}, spread of features "
            f"{float(values['feature_std']):.2f}, learning rate {float(values['lr']):.3g}"
        )
        if "sure" in values:
            words += f", sure of their cluster {100 * float(values['sure']):.1f} % of the images"
        if values.get("empty_clusters"):
            words += f", empty clusters {values['empty_clusters']}"
        err.print(words, highlight=False, markup=False, soft_wrap=True)


def _table(probes: Mapping[str, Mapping[str, float]]) -> Table:
    table = Table(title="accuracy in %, with labels that no training saw", title_justify="left", box=None)
    for column in ("features", *COLUMNS.values()):
        table.add_column(column, justify="left" if column == "features" else "right")
    for name, values in probes.items():
        table.add_row(name, *(f"{100 * values[key]:.1f}" for key in COLUMNS))
    return table
