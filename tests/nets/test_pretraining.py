"""The loop of pre-training: schedules, batches, and monitors and kills, neither of which change anything."""

import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the extra deep")
pytest.importorskip("lightning_fabric", reason="needs the extra deep")
pytestmark = pytest.mark.deep

from torch import nn

from querist.data.memory import from_arrays
from querist.errors import DataError, FitError
from querist.evidence.view import View
from querist.nets.images import Normalisation
from querist.nets.passes import Passes
from querist.nets.pretraining import Loader, Pretrainer, cut, embedding_of, spread
from querist.nets.running import fingerprint, make_fabric, reproducible
from querist.nets.tasks.base import Outcome, Start, Task
from querist.progress import listening, recording
from querist.seeds import Seed

CPU = torch.device("cpu")
NORMALISE = Normalisation((100.0,), (50.0,))


def pool_of(n=23):
    x = np.random.default_rng(0).integers(0, 256, (n + 1, 6, 6, 1), dtype=np.uint8)
    data = from_arrays("toy", x, np.arange(n + 1) % 2)
    return View(data, data.pool[:n])


class Guess(Task):
    """Reconstructs the mean of an image from a noisy view: a task with batch statistics, dropout and a fixed part."""

    def __init__(self, start):
        super().__init__(start)
        self.fixed, self.head = nn.Linear(4, 4), nn.Sequential(nn.Dropout(0.5), nn.Linear(4, 1))
        self.seen: list[list[int]] = []
        self.fresh = False
        self.register_buffer("steps", torch.zeros(1), persistent=False)

    def begin(self, epoch, features, draws):
        if self.fresh:
            assert features().shape == (self.n, 4)
            self.head[1].reset_parameters()
            return self.head.parameters()
        return ()

    def views(self, rows, load, draws):
        self.seen.append(rows.tolist())
        x = load(rows).float()
        return (self.normalise(x + 20 * draws.normal(36).view(x.shape)),)

    def forward(self, *views):
        z = self.fixed(self.backbone(views[0]))
        return z.detach(), (self.head(z).squeeze(1) - views[0].mean(dim=(1, 2, 3))).square()

    def outcome(self, rows, *parts):
        z, loss = parts
        return Outcome(loss.mean(), z, {"error": loss.detach()})

    def measured(self):
        return {"steps": float(self.steps)}

    def constant(self):
        return (self.fixed,)

    def stepped(self):
        self.steps += 1

    def finish(self, load, seed, share):
        assert not self.training
        return {"brightness": load(torch.arange(self.n)).float().mean(dim=(1, 2, 3))[:, None]}


def task_of(n=23, seed=0):
    with reproducible(Seed(seed), CPU):
        backbone = nn.Sequential(
            nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()
        )
        return Guess(Start(backbone, 4, (1, 6, 6), n, NORMALISE))


def train(folder, task=None, look=None, seed=0, n=23, identity="x", **settings):
    task = task or task_of(n)
    passes = Passes(**{"epochs": 3, "batch": 8, "lr": 0.5, **settings})
    arguments = (look,) if look else ()
    made = Pretrainer(passes, make_fabric("cpu"), *arguments).fit(task, pool_of(n), Seed(seed), folder, identity)
    return task, made


class TestEpochs:
    @pytest.mark.parametrize(("n", "batch"), [(23, 8), (9, 8), (8, 8), (5, 8), (2, 2), (257, 256)])
    def test_an_epoch_sees_every_image_once_in_batches_as_equal_as_can_be(self, n, batch):
        sizes = [len(rows) for rows in cut(torch.arange(n), batch)]
        assert sum(sizes) == n
        assert max(sizes) <= batch
        assert min(sizes) >= 2
        assert max(sizes) - min(sizes) <= 1

    def test_epochs_are_permutations_that_depend_on_the_seed(self, tmp_path):
        task, _ = train(tmp_path / "a")
        epochs = [[row for rows in task.seen[i : i + 3] for row in rows] for i in (0, 3, 6)]
        assert all(sorted(rows) == list(range(23)) for rows in epochs)
        assert len({tuple(rows) for rows in epochs}) == 3
        again, other = (train(tmp_path / str(seed), seed=seed)[0].seen for seed in (0, 1))
        assert again == task.seen
        assert other != task.seen

    def test_t5_constant_parts_keep_the_highest_rate_while_others_follow_the_schedule(self, tmp_path):
        rates = []

        class Watching(Pretrainer):
            def optimizer(self, task):
                made = super().optimizer(task)
                fixed = {id(p) for p in task.fixed.parameters()}
                for group in made.param_groups:
                    assert all((id(p) in fixed) == group["constant"] for p in group["params"])
                made.register_step_pre_hook(
                    lambda optimizer, *_: rates.append({g["constant"]: g["lr"] for g in optimizer.param_groups})
                )
                return made

        passes = Passes(epochs=3, batch=8, lr=0.5)
        Watching(passes, make_fabric("cpu")).fit(task_of(), pool_of(), Seed(0), tmp_path, "x")
        assert [rate[True] for rate in rates] == [passes.peak] * 9
        assert [rate[False] for rate in rates] == [passes.rate(t, 9) for t in range(9)]
        assert rates[0][False] == passes.peak == 0.5 * 8 / 256

    def test_history_traces_and_news(self, tmp_path):
        news, records = [], []
        with listening(lambda *heard: news.append(heard)), recording(lambda event, v: records.append((event, v))):
            task, made = train(tmp_path)
        assert [entry["epoch"] for entry in made.history] == [1, 2, 3]
        assert set(made.history[0]) == {"epoch", "loss", "feature_std", "lr", "steps"}
        assert [entry["steps"] for entry in made.history] == [3, 6, 9]
        assert [(event, dict(values)) for event, values in records] == [("epoch", entry) for entry in made.history]
        assert ("pre-training", 9, 9) in news
        assert made.traces["error"].shape == (23, 3)
        assert made.traces["error"].dtype == np.float32
        assert (made.traces["error"] > 0).all()
        assert np.allclose(made.traces["brightness"][:, 0], pool_of().items().reshape(23, -1).mean(axis=1), rtol=1e-5)
        weights = [len(rows) / 23 for rows in task.seen[:3]]
        by_hand = np.mean([made.traces["error"][rows, 0].mean() for rows in task.seen[:3]])
        assert made.history[0]["loss"] == pytest.approx(by_hand, rel=1e-5)
        assert sum(weights) == pytest.approx(1)

    def test_what_is_looked_at_changes_nothing(self, tmp_path):
        looked = []

        def look(epoch, embed):
            torch.manual_seed(3)
            looked.append(embed(pool_of()))
            return {"knn": 0.5} if epoch == 2 else {}

        watched, made = train(tmp_path / "a", look=look)
        alone, _ = train(tmp_path / "b")
        assert fingerprint(watched) == fingerprint(alone)
        assert [entry.get("knn") for entry in made.history] == [None, 0.5, None]
        assert np.array_equal(looked[-1], embedding_of(watched.backbone, NORMALISE)(pool_of()))
        assert not np.array_equal(looked[0], looked[1])

    def test_torch_is_left_as_it_was(self, tmp_path):
        state, threads = torch.get_rng_state(), torch.get_num_threads()
        train(tmp_path)
        assert torch.equal(state, torch.get_rng_state())
        assert torch.get_num_threads() == threads

    @pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
    def test_parameters_drawn_anew_have_no_momentum(self, tmp_path, optimizer):
        task = task_of()
        task.fresh = True
        kept = []

        class Watching(Pretrainer):
            def epoch(self, epoch, task, module, optimizer, load, draws):
                states = [optimizer.optimizer.state.get(p, {}) for p in task.head.parameters()]
                kept.append([float(value.abs().max()) for state in states for value in state.values()])
                return super().epoch(epoch, task, module, optimizer, load, draws)

        passes = Passes(epochs=2, batch=8, optimizer=optimizer)
        Watching(passes, make_fabric("cpu")).fit(task, pool_of(), Seed(0), tmp_path, "x")
        assert not kept[0]
        assert kept[1]
        assert not any(kept[1])

    def test_clipped_gradients_move_nothing_far(self, tmp_path):
        before = [p.clone() for p in task_of().parameters()]
        settings = {"weight_decay": 0.0, "momentum": 0.0, "schedule": "constant"}
        for clip, most in ((1e-6, 1e-6), (None, None)):
            task, _ = train(tmp_path / str(clip), clip=clip, **settings)
            moved = max(float((a - b).detach().abs().max()) for a, b in zip(before, task.parameters(), strict=True))
            assert moved <= most if most else moved > 1e-3

    @pytest.mark.parametrize("clip", [None, 1e30])
    def test_a_loss_that_explodes_is_an_error_that_says_when(self, tmp_path, clip):
        with pytest.raises(FitError, match=r"from update \d+ of 9 on. Lower lr"):
            train(tmp_path, lr=1e30, clip=clip)

    def test_a_pool_of_one_image_is_refused(self, tmp_path):
        with pytest.raises(DataError, match="at least two images"):
            train(tmp_path, n=1)


class TestSpread:
    def test_is_one_on_the_sphere_and_zero_at_a_point(self):
        draws = torch.Generator().manual_seed(0)
        assert float(spread(torch.randn(5000, 32, generator=draws))) == pytest.approx(1, abs=0.02)
        assert float(spread(torch.ones(10, 5))) == pytest.approx(0, abs=1e-6)


class TestLoader:
    def test_images_read_by_batch_are_those_kept(self):
        pool, rows = pool_of(), torch.tensor([5, 0, 22, 5])
        kept, read = Loader(pool, CPU)(rows), Loader(pool, CPU, resident=0)(rows)
        assert torch.equal(kept, read)
        assert np.array_equal(kept.numpy().transpose(0, 2, 3, 1), pool.items()[rows.numpy()])


SCRIPT = """
    import os, signal, sys
    from pathlib import Path
    sys.path.insert(0, {here!r})
    from test_pretraining import train
    from querist.progress import listening
    def die(what, done, total):
        if what == "pre-training" and done == 9:
            os.kill(os.getpid(), signal.SIGKILL)
    with listening(die):
        train(Path({folder!r}))
"""


class TestKill:
    def test_a_killed_training_ends_with_the_same_bits(self, tmp_path):
        script = textwrap.dedent(SCRIPT.format(here=str(Path(__file__).parent), folder=str(tmp_path / "killed")))
        assert subprocess.run([sys.executable, "-c", script]).returncode == -signal.SIGKILL
        (whole, first), (task, made) = train(tmp_path / "whole"), train(tmp_path / "killed", task=task_of(seed=9))
        assert len(task.seen) == 3, "it was killed after its third epoch and before that was written"
        assert fingerprint(task) == fingerprint(whole)
        assert made.history == first.history
        assert np.array_equal(made.traces["error"], first.traces["error"])

    @pytest.mark.parametrize("optimizer", ["sgd", "adamw", "lars"])
    def test_a_training_that_breaks_off_goes_on_after_its_last_epoch(self, tmp_path, optimizer):
        whole, first = train(tmp_path / "a", optimizer=optimizer, lr=0.01)

        def stop(epoch, embed):
            if epoch == 3:
                raise KeyboardInterrupt
            return {}

        with pytest.raises(KeyboardInterrupt):
            train(tmp_path / "b", look=stop, optimizer=optimizer, lr=0.01)
        task, made = train(tmp_path / "b", task=task_of(seed=9), optimizer=optimizer, lr=0.01)
        assert len(task.seen) == 3
        assert fingerprint(task) == fingerprint(whole)
        assert made.history == first.history
        assert np.array_equal(made.traces["error"], first.traces["error"])
        assert float(task.steps) == 9, "a buffer that its module does not count to its state is kept too"

    def test_the_state_of_another_training_and_a_damaged_one_are_refused(self, tmp_path):
        train(tmp_path)
        with pytest.raises(DataError, match="another pre-training"):
            train(tmp_path, identity="y")
        state = tmp_path / "state.safetensors"
        state.write_bytes(state.read_bytes()[:50])
        with pytest.raises(DataError, match="damaged"):
            train(tmp_path)
