"""Fits that are killed: at any instant, on a full disk, with a damaged state; they end with the same bits."""

import os
import random
import select
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the extra deep")
pytest.importorskip("lightning_fabric", reason="needs the extra deep")
pytestmark = pytest.mark.deep

from querist.errors import StoreError
from querist.nets.course import Course
from querist.nets.images import Normalisation
from querist.nets.net import Net
from querist.nets.recipe import Recipe
from querist.nets.running import fingerprint, make_fabric, reproducible
from querist.nets.saving import Saver
from querist.nets.training import Examples, Trainer
from querist.seeds import Seed

CPU = torch.device("cpu")

RECIPES = {
    "sgd": Recipe(updates=40, batch=6, lr=0.05, policy="trivialaugment", mixup=0.5),
    "adam, ema, best": Recipe(
        updates=40, batch=6, optimizer="adam", lr=0.01, ema=0.8, keep="best", looks=7, dynamics=True, cutout=0.3
    ),
    "lars, swa": Recipe(updates=20, batch=6, optimizer="lars", swa=1.0, swa_snapshots=6, looks=5, keep="best"),
    "adamw, multistep": Recipe(
        updates=40, batch=6, optimizer="adamw", lr=0.01, schedule="multistep", milestones=(0.5,), clip=0.5,
        precise_bn=True, looks=3, class_weights=True,
    ),
}  # fmt: skip


class KilledError(Exception):
    """What stands for a kill."""


class Dies(Trainer):
    """Is killed after some updates, before or after its state is written."""

    at = 10**9

    def after(self, run):
        super().after(run)
        if run.course.done == self.at:
            raise KilledError


def examples(l=17, c=3, side=8, seed=0):
    rng = np.random.default_rng(seed)
    y = np.arange(l) % c
    return Examples((rng.integers(0, 156, (l, side, side, 1)) + 50 * y[:, None, None, None]).astype(np.uint8), y)


def net_of(dropout=0.4):
    with reproducible(Seed(3), CPU):
        backbone = torch.nn.Sequential(
            torch.nn.Conv2d(1, 4, 3), torch.nn.BatchNorm2d(4), torch.nn.ReLU(), torch.nn.Conv2d(4, 6, 3, 2),
            torch.nn.BatchNorm2d(6), torch.nn.Flatten(),
        )  # fmt: skip
        return Net(backbone, 24, 3, dropout)


def fit(recipe, folder=None, at=None, seed=0, train=None, seconds=0.0):
    """The net and the record of a fit that writes its state after every update."""
    trainer = Dies(recipe, make_fabric("cpu"), Normalisation((120.0,), (60.0,)), save_seconds=seconds)
    trainer.at = at
    net = net_of()
    with reproducible(Seed(seed).child("g"), CPU):
        record = trainer.fit(net, train or examples(), Seed(seed), validation=examples(9, seed=1), folder=folder)
    return net, record


def die(*arguments, **settings):
    with pytest.raises(KilledError):
        fit(*arguments, **settings)


@pytest.mark.parametrize("name", RECIPES)
def test_T4_a_fit_that_is_killed_again_and_again_ends_with_the_same_bits(name, tmp_path):
    recipe = RECIPES[name]
    net, record = fit(recipe)
    for at in (3, 4, 21, 25, len(record.losses)):
        die(recipe, tmp_path, at)
        assert list(tmp_path.glob("fit-*.safetensors")), "it left a state"
    again, other = fit(recipe, tmp_path)
    assert fingerprint(again) == fingerprint(net)
    assert torch.equal(other.losses, record.losses)
    assert other.rates == record.rates
    assert other.looks == record.looks
    assert other.kept == record.kept
    if record.dynamics:
        assert all(np.array_equal(a, b) for a, b in zip(other.dynamics, record.dynamics, strict=True))
    assert not list(tmp_path.iterdir()), "a fit that is done leaves nothing"


def test_it_really_goes_on_and_does_not_begin_again(tmp_path, monkeypatch):
    recipe = RECIPES["sgd"]
    die(recipe, tmp_path, 30)
    steps = []
    monkeypatch.setattr(Trainer, "step", lambda self, *rest, _step=Trainer.step: steps.append(1) or _step(self, *rest))
    fit(recipe, tmp_path)
    assert len(steps) == 40 - 29  # it died in update 30, whose state was not written


@pytest.mark.parametrize("other", ["recipe", "seed", "labels", "images", "net"])
def test_a_state_of_other_settings_or_data_is_not_gone_on_with(other, tmp_path, monkeypatch):
    recipe, train = RECIPES["sgd"], examples()
    die(recipe, tmp_path, 20, train=train)
    settings = {"recipe": recipe, "train": train, "seed": 0}
    match other:
        case "recipe":
            settings["recipe"] = replace(recipe, lr=0.049)
        case "seed":
            settings["seed"] = 1
        case "labels":
            settings["train"] = Examples(train.images, train.labels[::-1].copy())
        case "images":
            settings["train"] = Examples(train.images ^ 1, train.labels)
        case "net":
            monkeypatch.setitem(net_of.__globals__, "net_of", lambda: _other_net())
    expected, _ = fit(**settings)
    found, _ = fit(folder=tmp_path, **settings)
    assert fingerprint(found) == fingerprint(expected)
    assert len(list(tmp_path.iterdir())) == 1, "the state of the other fit is not its business"


def _other_net():
    with reproducible(Seed(4), CPU):
        return Net(torch.nn.Sequential(torch.nn.Conv2d(1, 2, 7), torch.nn.Flatten()), 8, 3)


@pytest.mark.parametrize("damage", ["empty", "half", "words"])
def test_a_damaged_state_is_none(damage, tmp_path):
    recipe = RECIPES["adam, ema, best"]
    die(recipe, tmp_path, 20)
    (state,) = tmp_path.iterdir()
    whole = state.read_bytes()
    state.write_bytes({"empty": b"", "half": whole[: len(whole) // 2], "words": b"no state" * 99}[damage])
    assert fingerprint(fit(recipe, tmp_path)[0]) == fingerprint(fit(recipe)[0])


def test_a_full_disk_costs_the_insurance_and_not_the_fit(tmp_path, monkeypatch):
    recipe, refused = RECIPES["sgd"], []

    def refuse(path, tensors, card):
        refused.append(path)
        raise StoreError("cannot write: no space left on device")

    monkeypatch.setattr("querist.nets.saving.write_state", refuse)
    with pytest.warns(RuntimeWarning, match="training goes on, but a kill would undo it: cannot write") as warned:
        found, _ = fit(recipe, tmp_path)
    assert len(warned) == 1, "said once, not at every attempt"
    assert len(refused) == 40
    assert fingerprint(found) == fingerprint(fit(recipe)[0])


def test_a_folder_that_cannot_be_made_is_the_same(tmp_path):
    (tmp_path / "file").write_text("not a folder")
    with pytest.warns(RuntimeWarning, match="training goes on"):
        fit(RECIPES["sgd"], tmp_path / "file")


def test_a_state_is_written_when_it_is_time(tmp_path):
    now, written = [0.0], []
    saver = Saver(tmp_path, "name", 30, lambda: now[0])
    net = net_of()
    course = Course(net, torch.optim.SGD(net.parameters(), 0.1), make_fabric("cpu"), torch.zeros(3, 2), None)
    for second in (0, 10, 29, 30, 31, 59, 60, 95):
        now[0], course.done = float(second), second
        saver.save(course)
        fresh = Course(net, torch.optim.SGD(net.parameters(), 0.1), make_fabric("cpu"), torch.zeros(3, 2), None)
        saver.restore(fresh)
        written.append(fresh.done)
    assert written == [0, 0, 0, 30, 30, 30, 60, 95]


ATTEMPTS = """
import importlib.util, os, sys, time
specification = importlib.util.spec_from_file_location("saving", sys.argv[1])
tests = importlib.util.module_from_spec(specification)
specification.loader.exec_module(tests)
from pathlib import Path
print("ready", flush=True)
for name in sys.stdin:
    child = os.fork()
    if child == 0:
        net, record = tests.fit(tests.RECIPES[name.strip()], Path(sys.argv[2]))
        print("done", tests.fingerprint(net), len(record.losses), flush=True)
        os._exit(0)
    print("child", child, flush=True)
    os.waitpid(child, 0)
    print("over", flush=True)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL")
def test_kill_9_at_random_instants(tmp_path):
    """A real process, killed while it trains and while it writes; the state an attempt left is what the next finds."""
    name, draws = "adam, ema, best", random.Random(0)
    expected, _ = fit(RECIPES[name])
    folder = tmp_path / "folder"
    command = [sys.executable, "-W", "ignore", "-c", ATTEMPTS, __file__, str(folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0) as process:
        try:
            assert process.stdout.readline() == b"ready\n"
            ends = [_attempt(process, folder, name, draws if kill < 6 else None) for kill in range(7)]
        finally:
            process.stdin.close()
            process.kill()
    assert ends[:3] == [b""] * 3, "it was killed before it was done, or this shows nothing"
    found = next(end for end in ends if end)
    assert found.decode().split() == ["done", fingerprint(expected), "40"]
    assert not list(folder.iterdir()), "not even half a file of an attempt that was killed while it wrote"


def _attempt(process, folder, name, draws):
    """Return what an attempt said at its end; nothing, if it was killed soon after it had written a state."""
    before = _states(folder)
    process.stdin.write(f"{name}\n".encode())
    child = int(process.stdout.readline().split()[1])
    if draws is not None:
        while _states(folder) == before and not select.select([process.stdout], [], [], 0.001)[0]:
            pass
        time.sleep(draws.uniform(0, 0.06))
        with suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
    said = b""
    while (line := process.stdout.readline()) != b"over\n":
        said = line
    return said


def _states(folder):
    try:
        return [path.stat().st_mtime_ns for path in folder.glob("fit-*.safetensors")]
    except FileNotFoundError:  # a fit that is done forgets its state
        return None
