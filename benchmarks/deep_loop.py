"""One cycle of active learning on images, and augmentation alone, beside plain scripts with torchvision in one process.

    python benchmarks/deep_loop.py [RESULTS.json]

A cycle trains a net from scratch, scores the pool and selects 100 items by margin. Both sides get the same net, the
same uint8 images in memory, batches of the same size, the same number of updates, SGD with Nesterov momentum and a
cosine, random crops with reflection, flips and, where said, RandAugment; one thread computes. The script is what one
writes after torchvision's examples: a Dataset of uint8 tensors, which are faster there than Pillow's images, its
transforms, a DataLoader. It runs without worker processes and with one, which may use the second core; ours has no
workers. The calls take turns, and the best of at most three is told. Results are written as JSON and, beside it, as a
page.
"""

import json
import os
import platform
import sys
import time
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from measure import alternate, load
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader, Dataset, RandomSampler
from torchvision.transforms import v2

import querist
from querist.data.memory import from_arrays
from querist.evidence.needs import Probs
from querist.evidence.provider import Fit
from querist.evidence.view import View
from querist.learners.scratch import Scratch
from querist.nets.augmentation import Augmentation
from querist.nets.augmenting import Augmenting
from querist.nets.net import Net, build_net
from querist.nets.running import generator
from querist.progress import recording
from querist.seeds import Seed

CYCLES = [  # net, shape of an image, policy, labels, updates, rows of the pool
    ("small_cnn", (28, 28), "none", 500, 100, 3_000),
    ("small_cnn", (32, 32, 3), "none", 500, 100, 3_000),
    ("small_cnn", (32, 32, 3), "randaugment", 500, 100, 3_000),
    ("resnet18_cifar", (32, 32, 3), "none", 64, 2, 128),
]
BATCH, SCORED, BUDGET = 32, 256, 100

POLICIES: Mapping[str, Mapping[str, Any]] = {
    "none": {},
    "cutout": {"cutout": 0.5},
    "randaugment": {"policy": "randaugment"},
    "trivialaugment": {"policy": "trivialaugment"},
    "randaugment_s2": {"policy": "randaugment_s2", "magnitude": 5},
    "fixmatch": {"policy": "fixmatch", "operations": 3},
}
"""Settings; crops and flips come first."""
PEERS: Mapping[str, v2.Transform] = {
    "none": v2.Identity(),
    "randaugment": v2.RandAugment(2, 9),
    "trivialaugment": v2.TrivialAugmentWide(),
}
"""What does the same in torchvision, where anything does."""
VARIED, TIMES = 128, 10
"""Images of a batch, and batches, of the part on augmentation alone."""


class Cycle(NamedTuple):
    """What a cycle took, in seconds by the clock, and the share of its training in which the net was not at work."""

    train: float
    score: float
    select: float
    waiting: float
    cpu: float
    """Seconds of the processor, those of worker processes included: what a busy machine changes least."""


def cpu_seconds() -> float:
    """Return the seconds of the processor so far, of this process and of those it has waited for."""
    return sum(os.times()[:4])


class Pictures(Dataset[Any]):
    """Rows of an array ``(n, h, w)`` or ``(n, h, w, 3)`` as transformed images, one by one."""

    def __init__(self, x: np.ndarray, y: np.ndarray, transform: Callable[[Any], Any]) -> None:
        self.x, self.y, self.transform = images_of(x), y, transform

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, row: int) -> tuple[Any, int]:
        return self.transform(self.x[row]), int(self.y[row])


def images_of(x: np.ndarray) -> torch.Tensor:
    """Return images as torchvision likes them, ``(n, channels, h, w)``."""
    return torch.from_numpy(x[:, None] if x.ndim == 3 else x.transpose(0, 3, 1, 2).copy())


def varying(side: int) -> list[v2.Transform]:
    """Return the transforms that both sides begin with."""
    return [v2.RandomCrop(side, padding=side // 8, padding_mode="reflect"), v2.RandomHorizontalFlip()]


def clean(channels: int) -> list[v2.Transform]:
    """Return the transforms of scoring."""
    return [v2.ToDtype(torch.float32, scale=True), v2.Normalize([0.5] * channels, [0.29] * channels)]


def plain_fit(net: Net, data: Dataset[Any], updates: int, workers: int) -> float:
    """Train as a short script does; return the seconds the net was at work."""
    sampler = RandomSampler(data, replacement=True, num_samples=updates * BATCH)  # pyright: ignore[reportArgumentType]
    loader = DataLoader(data, BATCH, sampler=sampler, num_workers=workers)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-4, nesterov=True)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, updates)
    net.train()
    computing = 0.0
    for x, y in loader:
        start = time.perf_counter()
        optimizer.zero_grad()
        nn.functional.cross_entropy(net(x), y).backward()
        optimizer.step()
        computing += time.perf_counter() - start
        schedule.step()
    return computing


@torch.inference_mode()
def plain_score(net: Net, data: Dataset[Any], workers: int) -> np.ndarray:
    """Score as a short script does."""
    net.eval()
    return torch.cat([net(x).softmax(dim=1) for x, _ in DataLoader(data, SCORED, num_workers=workers)]).numpy()


def plain_margin(probs: np.ndarray) -> np.ndarray:
    """Select as a short script does."""
    second, first = np.partition(probs, -2, axis=1)[:, -2:].T
    return np.argsort(first - second)[:BUDGET]


def cycles(
    name: str, shape: tuple[int, ...], policy: str, labels: int, updates: int, rows: int
) -> list[dict[str, Any]]:
    """Return and print what a cycle takes on random images."""
    channels = shape[2] if len(shape) == 3 else 1
    x = np.random.default_rng(0).integers(0, 256, (labels + rows, *shape), dtype=np.uint8)
    y = np.arange(labels + rows) % 10
    dataset = from_arrays("pictures", x, y)
    ids, rest = np.arange(labels), np.arange(labels, labels + rows)
    learner = Scratch(net=name, updates=updates, batch=BATCH, policy=policy)  # pyright: ignore[reportArgumentType]
    train = v2.Compose([*varying(shape[0]), PEERS[policy], *clean(channels)])
    shown = Pictures(x[:labels], y[:labels], train)
    pool = Pictures(x[labels:], y[labels:], v2.Compose(clean(channels)))

    def querist_cycle() -> Cycle:
        epochs: list[tuple[float, float]] = []  # seconds, and those of waiting

        def hear(event: str, values: Mapping[str, Any]) -> None:
            if event == "epoch":
                seconds = 1 / values["images_per_second"]
                epochs.append((seconds, seconds * values["waiting"]))

        before, start = cpu_seconds(), time.perf_counter()
        with recording(hear):
            model = learner.fit(Fit(View(dataset, ids, labels=y[:labels]), View(dataset, rest), Seed(0)))
        trained = time.perf_counter()
        probs = model.provide(Probs(), View(dataset, rest))
        scored = time.perf_counter()
        querist.select("margin", budget=BUDGET, probs=probs, seed=0)
        waiting = sum(w for _, w in epochs) / sum(s for s, _ in epochs)
        selected = time.perf_counter()
        return Cycle(trained - start, scored - trained, selected - scored, waiting, cpu_seconds() - before)

    def plain_cycle(workers: int) -> Cycle:
        before, start = cpu_seconds(), time.perf_counter()
        net = build_net(name, (channels, shape[0], shape[1]), 10)
        computing = plain_fit(net, shown, updates, workers)
        trained = time.perf_counter()
        probs = plain_score(net, pool, workers)
        scored = time.perf_counter()
        plain_margin(probs)
        selected, seconds = time.perf_counter(), trained - start
        waiting = 1 - computing / seconds
        return Cycle(seconds, scored - trained, selected - scored, waiting, cpu_seconds() - before)

    sides: dict[str, Callable[[], Cycle]] = {
        "querist": querist_cycle,
        "script": lambda: plain_cycle(0),
        "script, a worker": lambda: plain_cycle(1),
    }
    seen: dict[str, list[Cycle]] = {side: [] for side in sides}
    for first in (querist_cycle, sides["script"]):  # what is compiled or loaded at first use
        first()
    alternate({side: lambda side=side: seen[side].append(sides[side]()) for side in sides})
    best = {side: min(found, key=lambda c: c.train + c.score + c.select) for side, found in seen.items()}
    total = {side: c.train + c.score + c.select for side, c in best.items()}
    table = []
    for side, c in best.items():
        row = {"net": name, "image": "x".join(map(str, shape)), "policy": policy, "side": side}
        row |= {"cycle_seconds": round(total[side], 3), "select_seconds": round(c.select, 5)}
        row |= {"train_images_per_second": round(updates * BATCH / c.train)}
        row |= {"score_images_per_second": round(rows / c.score), "waiting": round(c.waiting, 3)}
        row |= {"times_querist": round(total[side] / total["querist"], 2), "cpu_seconds": round(c.cpu, 2)}
        row |= {"cpu_times_querist": round(c.cpu / best["querist"].cpu, 2)}
        table.append(row)
        print(*row.values(), sep="  ", flush=True)
    return table


def varied() -> list[dict[str, Any]]:
    """Return and print images a second of the processor of every policy on 32 x 32 colour images, without a net."""
    x = np.random.default_rng(0).integers(0, 256, (2_000, 32, 32, 3), dtype=np.uint8)
    rows = np.random.default_rng(1).integers(0, len(x), (TIMES, VARIED))
    tensors, pictures = images_of(x), [Image.fromarray(image) for image in x]
    calls: dict[str, Callable[[], Any]] = {}

    def ours(settings: Mapping[str, Any]) -> Callable[[], Any]:
        vary = Augmentation(x, Augmenting(**settings), torch.device("cpu"), (0, 0, 0))
        batches, draws = torch.from_numpy(rows), generator(Seed(0))
        return lambda: [vary(batch, draws) for batch in batches]

    def theirs(read: Callable[[int], Any], *transforms: v2.Transform) -> Callable[[], Any]:
        whole = v2.Compose([*varying(32), *transforms])
        return lambda: [torch.stack([whole(read(row)) for row in batch]) for batch in rows.tolist()]

    for policy, settings in POLICIES.items():
        calls[f"{policy}: querist"] = ours(settings)
        if policy in PEERS:
            calls[f"{policy}: torchvision, tensors"] = theirs(tensors.__getitem__, PEERS[policy])
            calls[f"{policy}: torchvision, Pillow"] = theirs(pictures.__getitem__, PEERS[policy], v2.PILToTensor())
    seen: dict[str, list[float]] = {what: [] for what in calls}

    def timed(what: str) -> None:
        before = time.process_time()
        calls[what]()
        seen[what].append(time.process_time() - before)

    alternate({what: lambda what=what: timed(what) for what in calls})
    table = []
    for what, seconds in seen.items():
        policy, _, side = what.partition(": ")
        row = {"policy": policy, "side": side, "images_per_cpu_second": round(TIMES * VARIED / min(seconds))}
        table.append(row)
        print(*row.values(), sep="  ", flush=True)
    return table


def page(document: Mapping[str, Any]) -> str:
    """Return the results as Markdown."""
    text = f"# Training loop\n\n{document['host']}, torch {document['torch']}; `python benchmarks/deep_loop.py`.\n"
    titles = {
        "cycles": f"One cycle: train from scratch, score the pool, select {BUDGET} by margin",
        "policies": f"Augmentation alone: batches of {VARIED} colour images of 32 x 32",
    }
    for part, title in titles.items():
        rows = document[part]
        text += f"\n## {title}\n\n| {' | '.join(name.replace('_', ' ') for name in rows[0])} |\n"
        text += "|" + "---|" * len(rows[0]) + "\n"
        text += "".join(f"| {' | '.join(map(str, row.values()))} |\n" for row in rows)
    return text


def main() -> None:
    """Print what was measured, and write it where an argument says."""
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    before = load()
    policies = varied()
    table = [row for case in CYCLES for row in cycles(*case)]
    host = {"cpu": platform.processor() or platform.machine(), "cores": os.cpu_count(), "load": [before, load()]}
    document = {"host": host, "torch": str(torch.__version__), "cycles": table, "policies": policies}
    print(host, "torch", torch.__version__)
    if len(sys.argv) > 1:
        target = Path(sys.argv[1])
        target.write_text(json.dumps(document, indent=1) + "\n")
        target.with_suffix(".md").write_text(page(document))


if __name__ == "__main__":
    main()
