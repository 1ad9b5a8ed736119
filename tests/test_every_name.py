"""Every registered name of every registry runs end to end on real evidence; a listed stub is a defect."""

import dataclasses
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from querist.data.dataset import datasets
from querist.data.memory import ArrayItems, from_arrays
from querist.encoders.base import encoders
from querist.encoders.pixels import Pixels
from querist.errors import UnmetNeedError
from querist.evidence.needs import PretrainTrace
from querist.labels.oracle import SimulatedOracle
from querist.learners.base import learners
from querist.session.session import Session
from querist.session.setting import Setting
from querist.strategies.base import State, strategies
from querist.strategies.guide import required
from querist.testing.names import buildable

REQUIRED = {
    "npz": "items.npz", "npy": "items.npy", "table": "items.csv", "folder": "photos", "image_list": "photos.csv",
    "huggingface": "photos.parquet",
}  # fmt: skip
"""Datasets that read a file, and the file that `files` writes for each."""


@pytest.fixture(scope="module")
def setting():
    """A small part of the digits, with a test split."""
    whole = datasets.build("digits")
    x, y = whole.items[np.arange(240)], whole.labels.unseal()[:240]
    return Setting(from_arrays("small", x, y, classes=whole.classes, test_share=0.3))


@pytest.fixture
def files(tmp_path):
    """The same twelve items in every format."""
    x = np.arange(24, dtype=np.float32).reshape(12, 2)
    y = np.arange(12) % 3
    np.savez(tmp_path / "items.npz", x=x, y=y)
    np.save(tmp_path / "items.npy", x)
    np.save(tmp_path / "labels.npy", y)
    lines = [f"item {i},{label},{a},{b}" for i, (label, (a, b)) in enumerate(zip(y, x, strict=True))]
    (tmp_path / "items.csv").write_text("\n".join(["id,label,x0,x1", *lines]) + "\n")
    photos = [Path("photos") / str(label) / f"{i}.png" for i, label in enumerate(y)]
    for path, (a, b) in zip(photos, x, strict=True):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.array([[a, b]], np.uint8)).save(tmp_path / path)
    lines = [f"{path},{path.parent.name}" for path in photos]
    (tmp_path / "photos.csv").write_text("\n".join(["path,label", *lines]) + "\n")
    column = [{"bytes": (tmp_path / path).read_bytes(), "path": None} for path in photos]
    pq.write_table(pa.table({"image": column, "label": y}), tmp_path / "photos.parquet")
    return tmp_path


def run(setting, rounds=2, b=12, **arguments):
    """Run a session against the truth; return it after its last test."""
    session = Session(setting, seed=0, **arguments)
    oracle = SimulatedOracle(setting.dataset.labels, setting.dataset.pool)
    for _ in range(rounds + 1):
        finished = None
        while finished is None:  # a sequential strategy is asked item by item
            finished = session.tell(oracle.answer(session.ask(b)))
        assert len(finished.ids) == b
    assert 0.0 <= session.conclude()["accuracy"] <= 1.0
    assert len(session.book.labels) == (rounds + 1) * b
    return session


def learner_for(setting, name):
    """The plain learner, or a committee for strategies that want draws."""
    try:
        Session(setting, strategy=name)
    except UnmetNeedError:
        return {"name": "committee", "members": 100}
    return "linear"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Traced(Pixels):
    """Pixels, beside statistics as a pre-training keeps them."""

    def traces(self):
        return TRACES

    def trace(self, name, dataset):
        x_N_d = dataset.items[np.arange(len(dataset.manifest))]
        return np.abs(x_N_d @ np.random.default_rng(TRACES.index(name)).normal(size=(x_N_d.shape[1], 5)))


TRACES = ("simclr_loss", "vae_loss", "rotation_loss", "tau", "scan_probs", "contrast_prob_T0.1")


@pytest.mark.parametrize("name", buildable())
def test_strategy(name, setting):
    if any(isinstance(need, PretrainTrace) for need in strategies.build(name).needs_at(State())):
        setting = Setting(setting.dataset, Traced())
    one_shot = "one_shot" in strategies.card(name).flags
    initial, rounds = (name, 0) if one_shot else ("random", 2)
    session = run(setting, strategy=name, initial=initial, rounds=rounds, learner=learner_for(setting, name))
    assert len(session.book.evaluations) == (1 if one_shot else 3)


COLD = State(round=-1, n_labelled=0, has_model=False)


@pytest.mark.parametrize("name", [name for name in buildable() if not strategies.build(name).needs_at(COLD)])
def test_strategy_that_needs_nothing_starts_cold(name, setting):
    assert run(setting, strategy=name, rounds=1).initial.card.name == name


@pytest.mark.parametrize("name", [name for name in buildable() if strategies.card(name).presets])
def test_presets_build_what_they_say(name):
    card = strategies.card(name)
    for preset, settings in card.presets.items():
        built = strategies.build({"name": name, "preset": preset})
        for key, value in settings.items():
            stored = getattr(built, key)
            assert stored == value or getattr(getattr(stored, "card", None), "name", None) == value


QUICK = {"updates": 60, "lr": 0.05, "flip": False}
SETTINGS = {
    "sklearn": {"classifier": "GaussianNB"}, "scratch": QUICK, "warm": QUICK,
    "finetune": QUICK | {"unit": True, "lr": 0.5, "backbone_lr": 0.05, "batch_norm": "train"},
    "linear_aug": QUICK | {"updates": 200, "lr": 0.1, "crop": 0.0},
    "deep_propagation": QUICK,
    "finetune_propagation": QUICK | {"unit": True, "lr": 0.5, "backbone_lr": 0.05, "batch_norm": "train"},
}  # fmt: skip
"""What a learner cannot do without, or what keeps it fast."""


@pytest.mark.parametrize("name", learners.names())
def test_learner(name, setting, tmp_path):
    if name == "tuned":
        pytest.importorskip("optuna", reason="needs the extra tune")
    learner = {"name": name, **SETTINGS.get(name, {})}
    if learners.card(name).component.trains_backbone is True:  # of a wrapper, it depends on what is wrapped
        pytest.importorskip("torch", reason=f"learner {name!r} needs the extra deep")
        setting = Setting(as_images(setting.dataset))
        if "init" in required(learners.card(name).component):
            learner["init"] = pretrained_weights(tmp_path / "backbone.npz")["path"]
    session = run(setting, learner=learner, strategy="margin", initial="random", b=20)
    assert session.conclude()["accuracy"] > 0.5


def as_images(digits):
    """The same digits as grey images of 8 x 8."""
    x = digits.items[np.arange(len(digits.manifest))]
    return dataclasses.replace(digits, items=ArrayItems(np.rint(255 * x).astype(np.uint8).reshape(-1, 8, 8)))


def backbone_weights(path):
    """Write a chain of two convolutions, the second of which is the classifier."""
    rng = np.random.default_rng(0)
    arrays = {"spec": np.array([(2, 1, 1), (1, 1, 0)], np.int32)}
    for k, shape in enumerate([(8, 3, 3, 3), (2, 8, 1, 1)]):
        arrays[f"w{k}"] = rng.integers(-99, 100, shape, dtype=np.int8)
        arrays[f"s{k}"], arrays[f"b{k}"] = np.full(shape[0], 0.01, np.float32), np.zeros(shape[0], np.float32)
        arrays[f"z{k}"] = np.int32(0)
    np.savez(path, **arrays)
    return {"path": str(path), "size": 16}


def timm_weights(path):
    """Save a small model of timm as it is drawn."""
    timm = pytest.importorskip("timm", reason="needs the extra deep")
    torch = pytest.importorskip("torch", reason="needs the extra deep")
    with torch.random.fork_rng(devices=[]):
        torch.save(timm.create_model("test_vit", pretrained=False).state_dict(), path)
    return {"model": "test_vit.r160_in1k", "weights": str(path), "size": 32, "device": "cpu"}


def pretrained_weights(path):
    """Write a net as it is drawn, as if it had been trained on grey images of 8 x 8."""
    torch = pytest.importorskip("torch", reason="needs the extra deep")
    pytest.importorskip("lightning_fabric", reason="needs the extra deep")
    from querist.nets.backbones import BackboneCard, write_backbone
    from querist.nets.net import build_net

    with torch.random.fork_rng(devices=[]):
        net = build_net("small_cnn", (1, 8, 8), 2)
    card = BackboneCard("small_cnn", (1, 8, 8), 96, (80.0,), (60.0,), "none", {})
    write_backbone(path.with_suffix(""), net.backbone, card)
    return {"path": str(path.with_suffix("")), "device": "cpu"}


WEIGHTS = {"backbone": backbone_weights, "pretrained": pretrained_weights, "timm": timm_weights}
"""Encoders that read a file of weights, and what writes one and returns their settings."""

ELSEWHERE = {"torchvision", "transformers", "zero_shot"}
"""Encoders whose models take more than a line to write."""


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.deep] * (name in WEIGHTS)) for name in encoders.names()]
)
def test_encoder(name, setting, tmp_path):
    if name in ELSEWHERE:
        pytest.skip(f"reads a model of its library; see tests/encoders/test_{name}.py")
    settings = {}
    if name in WEIGHTS:
        pytest.importorskip("torch", reason="needs the extra deep")
        settings = WEIGHTS[name](tmp_path / "weights.npz")
    images = np.rint(setting.dataset.items[np.arange(240)] * 255).astype(np.uint8).reshape(-1, 8, 8)
    kept = {"items": ArrayItems(images)} if name in WEIGHTS else {}
    pictured = dataclasses.replace(setting.dataset, picture=images.__getitem__, **kept)
    run(Setting(pictured, {"name": name, **settings}), strategy="typiclust", rounds=1)


@pytest.mark.parametrize("name", datasets.names())
def test_dataset(name, files):
    card = datasets.card(name)
    if card.component.__module__ == "querist.data.torchvision_sets":
        pytest.skip("reads published files; see tests/data/test_torchvision_sets.py")
    settings = {"path": str(files / REQUIRED[name])} if name in REQUIRED else {}
    settings |= {"labels": str(files / "labels.npy")} if name == "npy" else {}
    settings |= {"prefix": "x"} if name == "table" else {}
    settings |= {"cache": str(files / "cache")} if name in ("folder", "image_list") else {}
    settings |= {"test_share": 0.3} if name in REQUIRED else {}
    settings |= {"base": "digits"} if name in ("sample", "stressed", "imbalanced") else {}
    data = datasets.build({"name": name, **settings})
    assert card.summary
    run(Setting(data), strategy="margin", initial="random", rounds=1, b=2)


@pytest.mark.parametrize("registry", [strategies, learners, encoders], ids=lambda r: r.kind)
def test_every_component_is_a_frozen_dataclass_that_explains_itself(registry):
    for card in registry.cards():
        assert dataclasses.is_dataclass(card.component)
        assert card.component.__dataclass_params__.frozen, card.name
        assert card.summary.endswith("."), f"{card.name}: the first line of its docstring is one sentence"
        for alias in card.aliases:
            assert registry.card(alias) is card
