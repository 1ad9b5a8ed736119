"""One fit on two processes of the CPU: the same weights as on one, and errors, kills and states as on one."""

import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the extra deep")
pytest.importorskip("lightning_fabric", reason="needs the extra deep")
pytestmark = [
    pytest.mark.deep,
    pytest.mark.skipif(not torch.distributed.is_available(), reason="this torch has no processes"),
]

from querist.errors import FitError, SpecError
from querist.nets import ranks
from querist.nets.checkpoints import read_state
from querist.nets.images import Normalisation
from querist.nets.net import build_net
from querist.nets.recipe import Recipe
from querist.nets.running import make_fabric, reproducible
from querist.nets.training import Examples, Trainer
from querist.progress import listening, recording
from querist.seeds import Seed

CPU = torch.device("cpu")
NORMALISE = Normalisation((120.0,), (60.0,))


def examples(l=23, c=3, side=8, seed=0):
    rng = np.random.default_rng(seed)
    y = np.arange(l) % c
    return Examples((rng.integers(0, 156, (l, side, side, 1)) + 50 * y[:, None, None, None]).astype(np.uint8), y)


def net_of():
    with reproducible(Seed(3), CPU):
        return build_net("small_cnn", (1, 8, 8), 3)


def fit(recipe, devices, folder=None, kind=Trainer, build=None):
    net = net_of()
    trainer = kind(recipe, make_fabric("cpu"), NORMALISE, save_seconds=0.0)
    with reproducible(Seed(1), CPU):
        held = examples(11, seed=1)
        return net, ranks.fit(trainer, devices, net, examples(), Seed(0), validation=held, folder=folder, build=build)


RECIPE = Recipe(
    updates=6, batch=7, lr=0.05, mixup=0.5, class_weights=True, clip=1.0, precise_bn=True, looks=3, dynamics=True,
    label_smoothing=0.1,
)  # fmt: skip
"""A batch that two processes cannot halve."""


def test_T4_two_processes_end_where_one_does():
    one, alone = fit(RECIPE, 1)
    news, records = [], []
    with listening(lambda *told: news.append(told)), recording(lambda event, values: records.append((event, values))):
        two, shared = fit(RECIPE, 2, build=partial(build_net, "small_cnn", (1, 8, 8), 3))
    assert shared.rates == alone.rates, "the horizon is that of the whole batch"
    torch.testing.assert_close(shared.losses, alone.losses, rtol=1e-4, atol=1e-5)
    for name, value in one.state_dict().items():
        torch.testing.assert_close(two.state_dict()[name], value, rtol=1e-3, atol=1e-4, msg=name)
    assert [look.update for look in shared.looks] == [2, 4, 6]
    for a, b in zip(shared.looks, alone.looks, strict=True):
        assert a.accuracy == b.accuracy
        assert a.loss == pytest.approx(b.loss, rel=1e-3)
    assert shared.dynamics.p_true == pytest.approx(alone.dynamics.p_true, abs=1e-3)
    assert news == [("training", 6, 6)]
    assert [event for event, _ in records] == ["epoch"]
    assert records[0][1]["loss"] == pytest.approx(float(alone.losses.mean()), rel=1e-4)
    assert not two.training


DIES = """
import os, signal
from querist.nets.training import Trainer

class Dies(Trainer):
    def after(self, run):
        super().after(run)
        if run.course.done == 4 and self.fabric.global_rank == 1:
            os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL")
def test_a_process_that_dies_ends_the_fit_and_its_state_is_gone_on_with(tmp_path, monkeypatch):
    (tmp_path / "querist_test_dies.py").write_text(DIES)
    monkeypatch.syspath_prepend(tmp_path)
    from querist_test_dies import Dies

    recipe, folder = Recipe(updates=6, batch=6, lr=0.05, ema=0.5), tmp_path / "folder"
    with pytest.raises(FitError, match=r"process 1 of 2 was killed by signal 9"):
        fit(recipe, 2, folder, Dies)
    monkeypatch.setattr(Dies, "after", Trainer.after)  # of the same name, so of the same identity, and never dies
    (state,) = folder.glob("fit-*.safetensors")
    assert read_state(state, "fit").card["done"] in (3, 4)
    (tmp_path / "querist_test_dies.py").write_text(DIES.replace("done == 4", "done == -1"))
    again, record = fit(recipe, 2, folder, Dies)
    one, alone = fit(recipe, 1)
    torch.testing.assert_close(record.losses, alone.losses, rtol=1e-4, atol=1e-5)
    for name, value in one.state_dict().items():
        torch.testing.assert_close(again.state_dict()[name], value, rtol=1e-3, atol=1e-4, msg=name)
    assert not list(folder.iterdir())


SCRIPT = """
import sys
import numpy as np
import torch
from pathlib import Path
from querist.nets import ranks
from querist.nets.images import Normalisation
from querist.nets.net import build_net
from querist.nets.recipe import Recipe
from querist.nets.running import make_fabric
from querist.nets.training import Examples, Trainer
from querist.progress import recording
from querist.seeds import Seed

print("began", flush=True)
examples = Examples(np.random.default_rng(0).integers(0, 255, (8, 6, 6, 1), dtype=np.uint8), np.arange(8) % 2)
trainer = Trainer(Recipe(updates=int(sys.argv[1]), batch=4, lr=1e-3), make_fabric("cpu"), Normalisation((1.0,), (1.0,)))
with recording(lambda event, values: print(event, flush=True)):
    ranks.fit(trainer, 2, build_net("small_cnn", (1, 6, 6), 2), examples, Seed(0))
print("done", flush=True)
"""


def children_of(pid):
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            if path.read_text().rsplit(")", 1)[1].split()[1] == str(pid):
                found.append(int(path.parent.name))
        except OSError:
            pass
    return found


@pytest.mark.skipif(not Path("/proc").exists(), reason="needs /proc")
def test_a_plain_script_can_use_it_and_when_it_is_killed_nothing_is_left(tmp_path):
    """No guard around its main part, so a process that imported it would start a fit of its own."""
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    with subprocess.Popen([sys.executable, str(script), "1000000"], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout.readline() == "began\n"
            assert process.stdout.readline() == "epoch\n", "both train, and the first has told so"
            children = children_of(process.pid)
            assert len(children) == 2
        finally:
            process.kill()
    late = time.monotonic() + 30
    while any(Path(f"/proc/{child}/cmdline").exists() and _alive(child) for child in children):
        assert time.monotonic() < late, "a process outlives its parent"
        time.sleep(0.05)


def _alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def test_what_cannot_be_shared_is_refused_before_anything_starts():
    class Own(torch.nn.Linear):
        pass

    net = net_of()
    trainer = Trainer(Recipe(), make_fabric("cpu"), NORMALISE)
    with pytest.raises(SpecError, match=r"Expected devices to be at least 1 .* got 0"):
        ranks.fit(trainer, 0, net, examples(), Seed(0))
    net.head = Own(96, 3)
    with pytest.raises(SpecError, match=r"Own is defined in .*, which other processes do not import: .*devices = 1"):
        ranks.fit(trainer, 2, net, examples(), Seed(0))
    Own.__qualname__, Own.__module__ = "Own", "__main__"
    with pytest.raises(SpecError, match="Own is defined in '__main__'"):
        ranks.fit(trainer, 2, net, examples(), Seed(0))
    net.head = torch.nn.Linear(96, 3)
    torch.nn.utils.parametrizations.weight_norm(net.backbone.layers[0])
    with pytest.raises(SpecError, match=r"has a parametrisation, such as weight normalisation, .* give `build`"):
        ranks.fit(trainer, 2, net, examples(), Seed(0))


@pytest.mark.parametrize("world", [2, 3])
@pytest.mark.parametrize("n", [3, 7, 8])
def test_shares_are_every_row_once_and_weigh_as_the_whole(world, n):
    trainer = Trainer(Recipe(batch=8), make_fabric("cpu"), NORMALISE)
    rows = []
    for rank in range(world):
        trainer.fabric = SimpleNamespace(global_rank=rank, world_size=world)
        rows += list(range(n))[trainer.own(n)]
    assert sorted(rows) == list(range(n))


def test_more_devices_than_images_in_a_batch_are_refused():
    trainer = Trainer(Recipe(batch=2), make_fabric("cpu"), NORMALISE)
    trainer.fabric = SimpleNamespace(global_rank=0, world_size=3)
    with pytest.raises(SpecError, match="a batch of 2 images cannot be shared by 3 devices"):
        trainer.require_sense(None)
