"""The recipes of published systems: every value of every preset, written out, and that each of them builds."""

import dataclasses

import pytest

from querist.errors import UnknownNameError
from querist.learners.base import learners
from querist.registry import describe

# What `crop` stands for: 4 of 32 pixels. Values that a row leaves out are the defaults of the learner.
FOUR_OF_32 = 0.125
SGD = {"optimizer": "sgd", "momentum": 0.9, "warmup": 0.0, "decay_all": True, "crop": FOUR_OF_32, "flip": True}

TABLE = {
    ("scratch", "plain"): {"updates": 1500},
    ("scratch", "strong"): {
        "updates": 1200, "policy": "randaugment", "operations": 2, "magnitude": 9, "label_smoothing": 0.1,
        "weight_decay": 5e-3, "swa": 0.25, "swa_lr": 0.02, "swa_snapshots": 25,
    },
    ("scratch", "s0-scratch"): {
        **SGD, "net": "torchvision/resnet18", "lr": 0.1, "nesterov": False, "weight_decay": 1e-4, "batch": 128,
        "epochs": 100.0, "schedule": "multistep", "milestones": (0.30, 0.60, 0.90), "gamma": 0.1,
    },
    ("scratch", "s1"): {
        **SGD, "net": "cnn13", "lr": 0.2, "nesterov": True, "weight_decay": 2e-4, "batch": 32, "epochs": 200.0,
        "schedule": "cosine", "stretch": 210 / 200,
    },
    ("scratch", "s2"): {
        "net": "vgg16_bn", "optimizer": "adam", "lr": 3e-4, "weight_decay": 1e-4, "decay_all": True, "batch": 256,
        "epochs": 150.0, "schedule": "constant", "warmup": 0.0, "crop": 0.0, "flip": True,
    },
    ("scratch", "s2-sr"): {
        "net": "vgg16_bn", "optimizer": "adam", "lr": 3e-4, "weight_decay": 1e-4, "decay_all": True, "batch": 256,
        "epochs": 150.0, "schedule": "constant", "warmup": 0.0, "crop": 0.0, "flip": True,
        "policy": "randaugment_s2", "operations": 1, "magnitude": 5, "swa": 50 / 150, "swa_lr": 5e-4,
        "swa_snapshots": 20,
    },
    ("scratch", "s4"): {
        **SGD, "net": "resnet18_cifar", "lr": 0.01, "nesterov": False, "weight_decay": 5e-4, "batch": 20,
        "epochs": 200.0, "schedule": "cosine", "precision": "mixed",
    },
    ("warm", "s2-imagenet"): {
        **SGD, "net": "torchvision/resnet50", "lr": 0.01, "nesterov": False, "weight_decay": 3e-4, "batch": 256,
        "epochs": 100.0, "schedule": "multistep", "milestones": (0.35, 0.55, 0.80), "gamma": 0.1, "warmup": 5 / 100,
    },
    ("warm", "s2-imagenet-sr"): {
        **SGD, "net": "torchvision/resnet50", "lr": 0.1, "nesterov": False, "weight_decay": 3e-4, "batch": 256,
        "epochs": 200.0, "schedule": "multistep", "milestones": (80 / 200, 130 / 200, 160 / 200, 180 / 200),
        "gamma": 0.1, "warmup": 5 / 200, "policy": "randaugment_s2", "operations": 1, "magnitude": 9,
    },
    ("warm", "s3-cifar10"): {
        **SGD, "net": "resnet18_cifar", "lr": 0.025, "nesterov": True, "weight_decay": 3e-4, "batch": 96,
        "epochs": 200.0, "schedule": "cosine",
    },
    ("warm", "s3-medmnist"): {
        **SGD, "net": "resnet18_cifar", "optimizer": "adam", "lr": 3e-4, "weight_decay": 3e-4, "batch": 128,
        "epochs": 200.0, "schedule": "constant",
    },
    ("warm", "s3-mnist"): {
        **SGD, "net": "resnet18_cifar", "optimizer": "adam", "lr": 5e-3, "weight_decay": 3e-4, "batch": 64,
        "epochs": 100.0, "schedule": "constant", "flip": False,
    },
    ("warm", "s3-tiny"): {
        **SGD, "net": "resnet18_cifar", "optimizer": "adam", "lr": 1e-3, "weight_decay": 3e-4, "batch": 200,
        "epochs": 100.0, "schedule": "constant",
    },
    ("finetune", "s0-finetune"): {
        "optimizer": "adam", "lr": 1e-2, "backbone_lr": 1e-4, "weight_decay": 0.0, "batch": 128, "epochs": 100.0,
        "schedule": "multistep", "milestones": (0.50, 0.75), "gamma": 0.1, "warmup": 0.0, "batch_norm": "train",
        "unit": True, "resize": False, "crop": FOUR_OF_32, "flip": True,
    },
    ("finetune", "s1"): {
        **SGD, "lr": 0.2, "backbone_lr": None, "nesterov": True, "weight_decay": 2e-4, "batch": 32, "epochs": 200.0,
        "schedule": "cosine", "stretch": 210 / 200, "batch_norm": "train",
    },
    ("finetune", "s4"): {
        **SGD, "lr": 0.01, "backbone_lr": None, "nesterov": False, "weight_decay": 5e-4, "batch": 20, "epochs": 200.0,
        "schedule": "cosine", "batch_norm": "train",
    },
    ("linear_aug", "s0-linear"): {
        "optimizer": "adam", "lr": 1e-2, "weight_decay": 0.0, "batch": 128, "epochs": 100.0, "schedule": "multistep",
        "milestones": (0.50, 0.75), "gamma": 0.1, "warmup": 0.0, "unit": True, "resize": False, "crop": FOUR_OF_32,
        "flip": True,
    },
    ("linear_aug", "s0-entropy"): {
        "optimizer": "adam", "lr": 1e-3, "weight_decay": 0.0, "batch": 128, "epochs": 100.0, "schedule": "multistep",
        "milestones": (0.50, 0.75), "gamma": 0.1, "warmup": 0.0, "unit": False, "resize": False, "crop": FOUR_OF_32,
        "flip": True,
    },
}  # fmt: skip
REQUIRED = {"finetune": {"init": "somewhere"}, "linear_aug": {"init": "somewhere"}}


@pytest.mark.parametrize(("name", "preset"), [pytest.param(*key, id=" ".join(key)) for key in TABLE])
def test_a_preset_has_the_values_of_the_table(name, preset):
    required = REQUIRED.get(name, {})
    built = learners.build({"name": name, "preset": preset, **required})
    plain = learners.build({"name": name, **required})
    expected = {field.name: getattr(plain, field.name) for field in dataclasses.fields(plain)} | TABLE[name, preset]
    found = {field.name: getattr(built, field.name) for field in dataclasses.fields(built)}
    assert {k: v for k, v in found.items() if v != expected[k]} == {}
    assert learners.build(describe(built)) == built


def test_the_table_is_complete():
    deep = ("scratch", "warm", "finetune", "linear_aug")
    there = {(name, preset) for name in deep for preset in learners.card(name).presets}
    assert there == set(TABLE)


@pytest.mark.parametrize(("name", "preset"), [pytest.param(*key, id=" ".join(key)) for key in TABLE])
def test_the_rate_of_a_preset_begins_and_ends_where_it_was_published(name, preset):
    built = learners.build({"name": name, "preset": preset, **REQUIRED.get(name, {})})
    horizon = built.horizon(1_000)
    first, last = built.rate(0, horizon), built.rate(horizon - 1, horizon)
    ends = {
        "s0-scratch": 1e-4, "s1": 0.2 * 0.0056, "s2-imagenet": 1e-5, "s2-imagenet-sr": 1e-5, "s0-finetune": 1e-4,
        "s0-linear": 1e-4, "s0-entropy": 1e-5, "s4": 0.0, "s3-cifar10": 0.0, "plain": 0.0, "strong": 0.0,
    }  # fmt: skip
    assert last == pytest.approx(ends.get(preset, built.lr), rel=0.05, abs=1e-4 * built.lr)
    assert first == pytest.approx(built.lr, rel=1e-3) or built.warmup


def test_strong_takes_as_many_updates_as_its_counterpart():
    """Equal work: what is averaged in is taken off the rest."""
    from querist.nets.plan import make_plan

    strong, plain = (learners.build({"name": "scratch", "preset": preset}) for preset in ("strong", "plain"))
    for l in (10, 500, 5_000):
        assert make_plan(strong, l).total == make_plan(plain, l).total
    assert strong.policy == "randaugment"
    assert strong.swa


def test_an_unknown_preset_suggests_the_nearest():
    with pytest.raises(UnknownNameError, match="Did you mean 's2-sr'"):
        learners.build({"name": "scratch", "preset": "s2-srr"})
