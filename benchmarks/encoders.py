"""Images per second of every encoder that needs no network, on one thread, and of the same nets read by another reader.

Run it as ``QUERIST_PACKS=FOLDER python benchmarks/encoders.py [RESULT.json]``, where FOLDER holds the image packs and a
folder ``backbones`` with the two int8 MobileNets and a reader of them, ``mobilenet_v2.py``. Images are the first 1,000
of UC Merced, 64 x 64 RGB. Every encoder is called once on few images before, so that imports do not count.
"""

import importlib.util
import json
import os
import platform
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from measure import alternate

from querist.arrays import Array
from querist.data.dataset import Dataset
from querist.encoders.base import encoders
from querist.encoders.resize import squash
from querist.evidence.view import View
from querist.seeds import Seed

IMAGES = int(os.environ.get("QUERIST_BENCH_IMAGES", "1000"))
BATCH = 16
ENCODERS = [
    "pixels",
    "handcrafted",
    "handcrafted(size=128)",
    "backbone(path='{v1}', size=96)",
    "backbone(path='{v1}', size=128)",
    "backbone(path='{v2}', size=96)",
    "backbone(path='{v2}', size=128)",
    "backbone(path='{v2}', size=224)",
]
FILES = {"v1": "mobilenet_v1_025_128_int8.npz", "v2": "mobilenet_v2_int8.npz"}
READERS = {"v1": "MobileNetV1", "v2": "MobileNetV2"}


def main() -> None:
    packs = Path(os.environ["QUERIST_PACKS"])
    backbones = packs / "backbones"
    paths = {name: str(backbones / file) for name, file in FILES.items()}
    data = _module(Path(__file__).parents[1] / "examples" / "packs" / "querist_packs.py").uc_merced()
    view = View(data, data.pool[:IMAGES])
    torch.set_num_threads(1)
    calls: dict[str, Callable[[], Array]] = {}
    for text in ENCODERS:
        fitted = encoders.build(text.format(**paths)).fit(view, Seed(0))
        fitted.encode(view.take(np.arange(BATCH)))
        calls[text.format(**FILES)] = lambda f=fitted: f.encode(view)
    other = _module(backbones / "mobilenet_v2.py")
    for name, size in (("v1", 128), ("v2", 128)):
        net = getattr(other, READERS[name])(paths[name]).eval()
        calls[f"{FILES[name]}, size=128, the other reader"] = lambda n=net, s=size: _others(n, data, s)
    found = alternate(calls, repeats=2)
    rows = [
        {
            "encoder": name, "images_per_second": round(IMAGES / one.seconds, 1), "features": one.result.shape[1],
            "seconds": round(one.seconds, 2), "peak_mb": round(one.megabytes), "calls": one.repeats,
        }
        for name, one in found.items()
    ]  # fmt: skip
    for row in rows:
        print(f"{row['encoder']:<60} {row['images_per_second']:>9,.1f} images/s {row['features']:>6} features")
    result = {
        "images": IMAGES, "shape": [64, 64, 3], "threads": 1, "rows": rows, "machine": platform.machine(),
        "cpus": os.cpu_count(), "python": platform.python_version(),
        "versions": {name: version(name) for name in ("numpy", "torch", "scikit-image", "pillow")},
    }  # fmt: skip
    if len(sys.argv) > 1:
        Path(sys.argv[1]).write_text(json.dumps(result, indent=1) + "\n")


def _others(net: Any, data: Dataset, size: int) -> Array:
    """Features by the reader that lies beside the weights, in batches of the same size and on images resized alike."""
    done = []
    with torch.inference_mode():
        for part in View(data, data.pool[:IMAGES]).stream(BATCH):
            images = np.stack([squash(image, size) for image in part.images()])
            done.append(net.features(torch.tensor(images).permute(0, 3, 1, 2) / 127.5 - 1).numpy())
    return np.concatenate(done)


def _module(path: Path) -> Any:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise SystemExit(f"expected a Python file at {path}")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


if __name__ == "__main__":
    main()
