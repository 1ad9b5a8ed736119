"""Every regime at the same labels of CIFAR-10: accuracy, and images per second of training and of scoring.

``python benchmarks/regimes.py CHECKPOINT [RESULTS.json] [--labels 500] [--device cpu]`` needs the extra deep, the
example plugin of examples/packs, and QUERIST_PACKS; CHECKPOINT is a net that ``querist pretrain`` made on the pool.
"""

import argparse
import json
import os
import time
from pathlib import Path
from typing import Any

import numpy as np

from querist.data.dataset import datasets
from querist.evidence.needs import Probs
from querist.evidence.provider import Fit
from querist.kernels.threads import single_threaded_blas
from querist.learners.base import learners
from querist.learners.frozen import FrozenLearner
from querist.progress import recording
from querist.seeds import Seed
from querist.session.setting import Setting

POOL, TEST = 2000, 1000


def regimes(checkpoint: str, device: str) -> dict[str, tuple[str, dict[str, Any]]]:
    """Return the features and the learner of every regime."""
    net, init = {"net": "small_cnn", "device": device}, {"init": checkpoint, "device": device}
    return {
        "k-NN, frozen MobileNetV2": ("mobilenet", {"name": "knn", "k": 5}),
        "linear, frozen MobileNetV2": ("mobilenet", {"name": "linear"}),
        "MLP, frozen MobileNetV2": ("mobilenet", {"name": "mlp"}),
        "k-NN, frozen checkpoint": ("checkpoint", {"name": "knn", "k": 5}),
        "linear, frozen checkpoint": ("checkpoint", {"name": "linear"}),
        "linear on augmented views of the checkpoint": ("pixels", {"name": "linear_aug", "updates": 500, **init}),
        "fine-tuned checkpoint": ("pixels", {"name": "finetune", "updates": 500, **init}),
        "from scratch, 500 updates": ("pixels", {"name": "scratch", "updates": 500, **net}),
        "from scratch, plain": ("pixels", {"name": "scratch", "preset": "plain", **net}),
        "from scratch, strong": ("pixels", {"name": "scratch", "preset": "strong", **net}),
        "ensemble of three, 500 updates each": (
            "pixels", {"name": "ensemble", "base": {"name": "scratch", "updates": 500, **net}, "members": 3},
        ),
    }  # fmt: skip


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoint")
    parser.add_argument("results", nargs="?", type=Path, default=Path(__file__).parent / "results" / "regimes.json")
    parser.add_argument("--labels", type=int, default=500)
    parser.add_argument("--device", default="cpu")
    asked = parser.parse_args()
    packs = os.environ["QUERIST_PACKS"]
    data = datasets.build({"name": "sample", "base": "cifar10_jpeg", "pool": POOL, "test": TEST})
    encoders = {
        "mobilenet": {"name": "backbone", "path": f"{packs}/backbones/mobilenet_v2_int8.npz", "size": 96},
        "checkpoint": {"name": "pretrained", "path": asked.checkpoint},
        "pixels": "pixels",
    }
    settings = {name: Setting(data, encoder) for name, encoder in encoders.items()}
    bought = np.sort(Seed(0).child("regimes").generator().choice(data.pool, asked.labels, replace=False))
    truth = data.labels.unseal()
    rows = []
    for name, (features, spec) in regimes(asked.checkpoint, asked.device).items():
        setting, learner = settings[features], learners.build(spec)
        _ = setting.features if features != "pixels" else None  # encoded before the clock starts
        labelled = setting.view(bought, truth[bought])
        pool, test = setting.view(np.setdiff1d(data.pool, bought)), setting.view(data.test)
        if isinstance(learner, FrozenLearner):
            _ = labelled[learner.features]
        epochs: list[dict[str, Any]] = []
        with single_threaded_blas(), recording(lambda event, values, seen=epochs: seen.append({event: dict(values)})):
            start = time.perf_counter()
            model = learner.fit(Fit(labelled=labelled, pool=pool, seed=Seed(0).child("fit")))
            fitted = time.perf_counter()
            probs = model.provide(Probs(), test)
            scored = time.perf_counter()
        paces = [e["epoch"]["images_per_second"] for e in epochs if "epoch" in e]
        rows.append(
            {
                "regime": name,
                "accuracy": float((probs.argmax(axis=1) == truth[data.test]).mean()),
                "fit_seconds": round(fitted - start, 2),
                "training_images_per_second": round(float(np.median(paces))) if paces else None,
                "scoring_images_per_second": round(TEST / (scored - fitted)),
            }
        )
        print(rows[-1], flush=True)
    asked.results.write_text(json.dumps({"labels": asked.labels, "test": TEST, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
