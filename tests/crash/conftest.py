"""Two small studies, and a nursery: a process that forks children which run them."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

COMPARED = ("runs/*/ledger.jsonl", "runs/*/spec.json", "studies/*/rounds.parquet", "studies/*/picks.parquet")


@dataclass
class Child:
    """A process that runs a study in a process group of its own."""

    nursery: "Nursery"
    pid: int
    told: Path

    def wait(self) -> int:
        """Return its exit status when it ended; negative: the signal that killed it."""
        return self.nursery.tell({"wait": self.pid})

    @property
    def outcome(self) -> dict[str, Any]:
        """What it told at its end, or what it printed if it did not come that far."""
        text = self.told.read_text(encoding="utf-8")
        return json.loads(text) if text else {"printed": self.told.with_suffix(".log").read_text(encoding="utf-8")}


class Nursery:
    """Starts children in milliseconds, for it has imported and compiled everything."""

    def __init__(self, study: dict[str, Any], folder: Path) -> None:
        self.folder, self.count = folder, 0
        self.server = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("nursery.py"))],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            # What killed workers leave behind goes with the folder, and not to shared memory.
            env={**os.environ, "OPENBLAS_NUM_THREADS": "1", "JOBLIB_TEMP_FOLDER": str(folder)},
        )  # fmt: skip
        assert self.tell({"study": study, "store": str(folder / "first")}) == "ready"

    def tell(self, request: dict[str, Any]) -> Any:
        """Send a request; return the answer."""
        assert self.server.stdin is not None
        assert self.server.stdout is not None
        self.server.stdin.write(json.dumps(request) + "\n")
        self.server.stdin.flush()
        answer = self.server.stdout.readline()
        assert answer, f"the nursery ended with status {self.server.wait(timeout=60)}"
        return json.loads(answer)

    def start(self, study: dict[str, Any], store: Path, **request: Any) -> Child:
        """Start a child that runs a study in a store; the other settings are those of `nursery.child`."""
        self.count += 1
        told = self.folder / f"{self.count}.json"
        return Child(self, self.tell({"study": study, "store": str(store), "outcome": str(told), **request}), told)

    def run(self, study: dict[str, Any], store: Path, **request: Any) -> tuple[int, Child]:
        """Start a child and wait for its end; return its status too."""
        child = self.start(study, store, **request)
        return child.wait(), child


@pytest.fixture(scope="session")
def items(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An archive of 60 items to choose from and 30 to test on, in three overlapping clouds."""
    rng = np.random.default_rng(0)
    y = np.arange(90) % 3
    path = tmp_path_factory.mktemp("data") / "items.npz"
    np.savez(
        path, x=(rng.normal(size=(3, 6))[y] + rng.normal(size=(90, 6))).astype(np.float32), y=y,
        split=np.where(np.arange(90) < 60, "pool", "test"),
    )  # fmt: skip
    return path


def document(items: Path, name: str, **study: Any) -> dict[str, Any]:
    table = {"name": name, "dataset": {"name": "npz", "path": str(items)}, "learner": "linear"}
    return {
        "study": {**table, "initial": {"strategy": "random", "size": 4}, **study},
        "budget": {"step": 3, "rounds": 3}, "validation": {"size": 2},
    }  # fmt: skip


@pytest.fixture(scope="session")
def tiny(items: Path) -> dict[str, Any]:
    """A study of one run."""
    return document(items, "tiny", strategy=["margin"], pools=1) | {"budget": {"step": 3, "rounds": 1}}


@pytest.fixture(scope="session")
def small(items: Path) -> dict[str, Any]:
    """A study of three arms and three pools, four checkpoints each: one asks item by item, one looks back a round."""
    return document(items, "small", strategy=["random", "galaxy", "tod"], pools=3)


@pytest.fixture(scope="session")
def nursery(small: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nursery]:
    """The nursery, for all tests of this folder."""
    if not Path("/proc/self/fd").exists():
        pytest.skip("needs fork and /proc, so Linux")
    nursery = Nursery(small, tmp_path_factory.mktemp("nursery"))
    yield nursery
    nursery.server.communicate(timeout=60)


@pytest.fixture(scope="session")
def records() -> Callable[[Path], dict[str, bytes]]:
    """Return what is compared in a store, by name."""

    def records(store: Path) -> dict[str, bytes]:
        found = [path for pattern in COMPARED for path in sorted(store.glob(pattern))]
        return {str(path.relative_to(store)): path.read_bytes() for path in found}

    return records
