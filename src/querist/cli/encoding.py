"""``querist encode``: frozen features of images or other items as a file, resumable, with images per second."""

import csv
import json
import os
import time
from collections.abc import Iterator
from functools import partial
from io import BytesIO, StringIO
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import typer
from numpy.lib import format as npy
from rich.markup import escape

from querist.arrays import Array, require_finite
from querist.cli.background import in_background
from querist.cli.output import bars, emit, err
from querist.cli.picks import reasons_in_words, write_set_aside
from querist.cli.sources import ENCODED, StoreFolder, is_of_images, open_source, store_for, with_classes
from querist.data.dataset import Dataset
from querist.data.manifest import SPLITS
from querist.encoders.base import Encoder, encoders
from querist.encoders.default import default_encoder
from querist.encoders.pixels import Pixels
from querist.encoders.spread import Spread
from querist.encoders.zero_shot import ZeroShot
from querist.errors import UsageError
from querist.evidence.cache import open_cache
from querist.evidence.features import encode_here
from querist.evidence.needs import Features
from querist.files import AtomicFile, atomic_write, write_bytes
from querist.kernels.hubness import Hubness
from querist.kernels.workers import workers
from querist.progress import Listener, listening
from querist.session.hubs import pool_hubness
from querist.session.setting import Setting

AUTO = "auto"
ROWS = 4096
"""Rows written at a time."""


def encode(
    source: Annotated[
        str,
        typer.Argument(
            help="A folder of images, a .csv, .parquet or .jsonl list of them, a .npy or .npz file of images, or a "
            "registered dataset.",
            show_default=False,
        ),
    ],
    encoder: Annotated[
        str,
        typer.Option(
            "--encoder",
            "-e",
            help="Name or composition: 'handcrafted', \"backbone(path='net.npz', size=96)\", "
            "\"timm(model='resnet18.a1_in1k')\", \"transformers(model='facebook/dinov2-small')\", "
            "\"pretrained(path='FOLDER')\"; auto takes the best that can be had, and says if it is not the best. "
            "\"zero_shot(classes=['cat', 'dog'])\" writes probabilities of named classes, without a label.",
        ),
    ] = AUTO,
    output: Annotated[Path, typer.Option("--out", "-o", help="File of the features; must end in .npy.")] = Path(
        "features.npy"
    ),
    precision: Annotated[
        Literal["float16", "float32"] | None,
        typer.Option(
            help="How features are written; half precision is plenty, and the default but for probabilities.",
            show_default=False,
        ),
    ] = None,
    devices: Annotated[
        int,
        typer.Option(
            help="Processes that share the images: one per graphics card. Without cards they share the cores, which "
            "pays where images are slow to read, for one process uses all cores, too."
        ),
    ] = 1,
    store: StoreFolder = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Turn items into feature vectors, once.

    Writes features.npy, one row per item; features.csv, which says which item each row is; and features.json, which
    says what they were made of and by. A killed command continues where it stopped, and `querist select` on the same
    source with the same encoder finds everything computed.

    Example: `querist encode photos --encoder handcrafted`, then `querist select features.npy --budget 50`.
    """
    _check_target(output)
    start = time.perf_counter()
    with bars() as shown:
        meter = Meter(shown)
        with listening(meter):
            document = in_background(lambda: _carry_out(source, encoder, output, precision, devices, store))
    seconds = time.perf_counter() - start
    document |= {"encoded": meter.rows, "per_second": meter.per_second, "seconds": round(seconds, 3)}
    if document["notice"]:
        err.print(f"[bold yellow]Note:[/] {escape(document['notice'])}", highlight=False)
    rows, width = document["shape"]
    if aside := document["set_aside"]:
        words = f"{len(aside):,} file{'s' * (len(aside) != 1)} set aside ({reasons_in_words(aside)}); which and why: "
        err.print(words + document["files"]["set_aside"], highlight=False, markup=False, soft_wrap=True)
    speed = (
        f", {meter.rows:,} of them now at {meter.per_second:,.0f} per second" if meter.rows else ", all known before"
    )
    words = f"{rows:,} items of {width:,} features by {document['encoder']['name']}{speed}. Written to {output}"
    err.print(words, highlight=False, markup=False, soft_wrap=True)
    hubs: Hubness = document["hubness"]
    err.print(f"Hubness {hubs}.", highlight=False, markup=False, soft_wrap=True)
    if hubs.worrying:
        err.print(f"[bold yellow]Note:[/] {escape(hubs.notice)}", highlight=False)
    if as_json:
        emit({**document, "set_aside": [entry._asdict() for entry in aside], "hubness": hubs._asdict()})


class Meter:
    """Hears how encoding proceeds, measures it, and passes the news on."""

    def __init__(self, shown: Listener) -> None:
        self._shown, self._start = shown, (0.0, 0)
        self.rows, self.seconds = 0, 0.0

    def __call__(self, what: str, done: int, total: int) -> None:
        if what == "encoding":
            now = time.perf_counter()
            if not self._start[0]:
                self._start = now, done
            self.rows, self.seconds = done - self._start[1], now - self._start[0]
        self._shown(what, done, total)

    @property
    def per_second(self) -> float | None:
        """Items per second, None if none had to be encoded."""
        return round(self.rows / self.seconds, 1) if self.rows and self.seconds else None


def _carry_out(
    source: str, name: str, output: Path, precision: str | None, devices: int, store: Path | None
) -> dict[str, Any]:
    opener = partial(open_source, source, store=store)
    encoding = encode_here if devices == 1 else Spread(opener, devices)
    with workers(os.cpu_count() or 1):
        data = opener()
        encoder, notice = _chosen(name, data)
        precision = precision or ("float32" if isinstance(encoder, ZeroShot) else "float16")
        setting = Setting(data, encoder, cache=open_cache(store_for(source, store) / "cache"), encoding=encoding)
        x_N_d = setting.features[Features(frame="all", normalise=False)]
        hubs = pool_hubness(setting)
    spec = setting.spec
    record = {
        "format": ENCODED,
        "source": source,
        "dataset": spec["dataset"],
        "encoder": spec["features"],
        "seed": spec["features_seed"],
        "notice": notice,
        "shape": list(x_N_d.shape),
        "dtype": precision,
    }
    with atomic_write(output) as file:
        _write_array(file, x_N_d, np.dtype(precision))
        # Before the array takes its place: one without them, left by a kill, would look like somebody else's file.
        write_bytes(output.with_suffix(".json"), json.dumps(record, indent=1, allow_nan=False).encode())
        write_bytes(output.with_suffix(".csv"), _table(data))
    files = {kind: str(output.with_suffix(f".{kind}")) for kind in ("npy", "csv", "json")}
    if data.set_aside:
        aside = output.with_name(f"{output.stem}.set_aside.csv")
        write_set_aside(aside, data.set_aside)
        files["set_aside"] = str(aside)
    return {**record, "set_aside": data.set_aside, "files": files, "hubness": hubs}


def _chosen(name: str, data: Dataset) -> tuple[Encoder, str | None]:
    """The encoder, and what a person must know about it."""
    if name != AUTO:
        return with_classes(encoders.build(name), data), None
    return default_encoder() if is_of_images(data) else (Pixels(), None)


def _check_target(output: Path) -> None:
    """Refuse early what would be lost or could not be written at the end."""
    if output.suffix != ".npy":
        raise UsageError(f"--out: expected a file that ends in .npy, got {output}.")
    record = output.with_suffix(".json")
    taken = [path for path in (output, output.with_suffix(".csv"), record) if path.exists()]
    if taken:
        try:
            ours = json.loads(record.read_bytes())["format"] == ENCODED
        except (OSError, ValueError, KeyError, TypeError):
            ours = False
        if not ours:
            raise UsageError(f"--out: {taken[0]} exists and was not written by querist encode. Choose another name.")


def _write_array(file: AtomicFile, x_N_d: Array, dtype: np.dtype[Any]) -> None:
    """Write a matrix in the format .npy and in some precision, without holding it in that precision."""
    head = BytesIO()
    described = {"descr": npy.dtype_to_descr(dtype), "fortran_order": False, "shape": x_N_d.shape}
    npy.write_array_header_1_0(head, described)  # pyright: ignore[reportArgumentType]
    file.write(head.getvalue())
    for block in _converted(x_N_d, dtype):
        file.write(block.tobytes())


def _converted(x_N_d: Array, dtype: np.dtype[Any]) -> Iterator[Array]:
    for start in range(0, len(x_N_d), ROWS):
        with np.errstate(over="ignore"):
            block = x_N_d[start : start + ROWS].astype(dtype)
        ids = np.arange(start, start + len(block))
        require_finite(block, f"features written as {dtype} (--precision float32 has more room)", ids)
        yield block


def _table(data: Dataset) -> bytes:
    """Which item each row is."""
    text = StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["row", "key", "split", *(["path"] if data.paths else [])])
    for row, (key, split) in enumerate(zip(data.manifest.keys, data.manifest.split.tolist(), strict=True)):
        writer.writerow([row, key, SPLITS[split], *([data.paths[row]] if data.paths else [])])
    return text.getvalue().encode()
