"""Folders of pictures to read: smooth ones, cheap to write, every one different."""

import importlib.util
import os
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image

Draw = Callable[..., Image.Image]


@pytest.fixture(scope="session")
def draw() -> Draw:
    """Return a picture by its number."""

    def draw(number: int, width: int = 40, height: int = 30, mode: str = "RGB") -> Image.Image:
        colours = np.random.default_rng(number).integers(0, 256, (5, 6, 3), dtype=np.uint8)
        return Image.fromarray(colours).resize((width, height), Image.Resampling.BICUBIC).convert(mode)

    return draw


@pytest.fixture
def photos(tmp_path: Path, draw: Draw, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder of two classes with six pictures each, and let indices be kept beside it."""
    monkeypatch.setenv("QUERIST_STORE", str(tmp_path / "store"))
    root = tmp_path / "photos"
    for number in range(12):
        path = root / ("cat" if number < 6 else "dog") / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        draw(number).save(path)
    return root


@pytest.fixture(scope="session")
def planter() -> ModuleType:
    """Return the benchmark's module that plants bad files."""
    if not hasattr(os, "mkfifo"):
        pytest.skip("needs pipes in the file system, so not Windows")
    path = Path(__file__).parents[3] / "benchmarks" / "plant_bad_files.py"
    spec = importlib.util.spec_from_file_location("plant_bad_files", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
