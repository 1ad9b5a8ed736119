"""Training and scoring of nets beside a plain script with torchvision and a DataLoader, in turn in one process.

    python benchmarks/deep_loop.py [RESULTS.json]

Both get the same net, the same uint8 images in memory, the same batches of the same size, the same number of updates,
SGD with Nesterov momentum and a cosine, random crops with reflection and flips; one thread computes. The script is what
one writes after torchvision's examples: a Dataset that makes a PIL image of each row, its transforms, a DataLoader. It
runs without worker processes and with one, which may use the second core; ours has no workers.
"""

import json
import os
import platform
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from measure import alternate, load
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader, Dataset, RandomSampler
from torchvision.transforms import v2

from querist.data.memory import from_arrays
from querist.evidence.needs import Probs
from querist.evidence.provider import Fit
from querist.evidence.view import View
from querist.learners.scratch import Scratch
from querist.nets.net import Net, build_net
from querist.seeds import Seed

CASES = [  # net, shape of an image, labels, updates, rows to score
    ("small_cnn", (28, 28), 500, 150, 5_000),
    ("small_cnn", (32, 32, 3), 500, 150, 5_000),
    ("resnet18_cifar", (32, 32, 3), 64, 2, 128),
]
BATCH, SCORED = 32, 256


class Pictures(Dataset[Any]):
    """Rows of an array as transformed images, one by one."""

    def __init__(self, x: np.ndarray, y: np.ndarray, transform: Callable[[Any], Any]) -> None:
        self.x, self.y, self.transform = x, y, transform

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, row: int) -> tuple[Any, int]:
        return self.transform(Image.fromarray(self.x[row])), int(self.y[row])


def transforms(side: int, channels: int) -> tuple[Any, Any]:
    """Return the transforms for training and for scoring."""
    clean = [
        v2.ToImage(),
        v2.ToDtype(torch.float32, scale=True),
        v2.Normalize([0.5] * channels, [0.29] * channels),
    ]
    crop = v2.RandomCrop(side, padding=4, padding_mode="reflect")
    return v2.Compose([crop, v2.RandomHorizontalFlip(), *clean]), v2.Compose(clean)


def plain_fit(net: Net, data: Dataset[Any], updates: int, workers: int) -> Net:
    """Train as a short script does."""
    sampler = RandomSampler(data, replacement=True, num_samples=updates * BATCH)  # pyright: ignore[reportArgumentType]
    loader = DataLoader(data, BATCH, sampler=sampler, num_workers=workers)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-4, nesterov=True)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, updates)
    net.train()
    for x, y in loader:
        optimizer.zero_grad()
        nn.functional.cross_entropy(net(x), y).backward()
        optimizer.step()
        schedule.step()
    return net


@torch.inference_mode()
def plain_score(net: Net, data: Dataset[Any], workers: int) -> np.ndarray:
    """Score as a short script does."""
    net.eval()
    return torch.cat([net(x).softmax(dim=1) for x, _ in DataLoader(data, SCORED, num_workers=workers)]).numpy()


def compare(name: str, shape: tuple[int, ...], labels: int, updates: int, rows: int) -> list[dict[str, Any]]:
    """Return and print images per second of one net on random images."""
    channels = shape[2] if len(shape) == 3 else 1
    x = np.random.default_rng(0).integers(0, 256, (labels + rows, *shape), dtype=np.uint8)
    y = np.arange(labels + rows) % 10
    dataset = from_arrays("pictures", x, y)
    ids, rest = np.arange(labels), np.arange(labels, labels + rows)
    learner = Scratch(net=name, updates=updates, batch=BATCH)
    job = Fit(View(dataset, ids, labels=y[:labels]), View(dataset, rest), Seed(0))
    train, clean = transforms(shape[0], channels)
    shown, pool = Pictures(x[:labels], y[:labels], train), Pictures(x[labels:], y[labels:], clean)

    def plain(workers: int) -> Net:
        return plain_fit(build_net(name, (channels, shape[0], shape[1]), 10), shown, updates, workers)

    model, net = learner.fit(job), plain(0)
    found = alternate(
        {
            "fit, querist": lambda: learner.fit(job),
            "fit, script": lambda: plain(0),
            "fit, script with a worker": lambda: plain(1),
            "score, querist": lambda: model.provide(Probs(), View(dataset, rest)),
            "score, script": lambda: plain_score(net, pool, 0),
            "score, script with a worker": lambda: plain_score(net, pool, 1),
        }
    )
    table = []
    for what, measured in found.items():
        rate = (updates * BATCH if what.startswith("fit") else rows) / measured.seconds
        faster = measured.seconds / found[what.partition(",")[0] + ", querist"].seconds
        image = "x".join(map(str, shape))
        table.append({"net": name, "image": image, "what": what, "images_per_second": round(rate)})
        table[-1]["querist_is_faster_by"] = round(faster, 2)
        print(f"{name:15} {image:9} {what:28} {rate:>8,.0f} images/s {faster:6.2f}", flush=True)
    return table


def main() -> None:
    """Print images per second, and write them as JSON where an argument says."""
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    table = [row for case in CASES for row in compare(*case)]
    host = {"cpu": platform.processor() or platform.machine(), "cores": os.cpu_count(), "load": load()}
    print(host, "torch", torch.__version__)
    if len(sys.argv) > 1:
        document = {"host": host, "torch": str(torch.__version__), "rows": table}
        Path(sys.argv[1]).write_text(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    main()
