"""SCAN: both losses against plain loops, neighbours against brute force, and the change of stages."""

import math

import numpy as np
import pytest

from querist.data.memory import from_arrays
from querist.errors import SpecError

torch = pytest.importorskip("torch", reason="needs the extra deep")
pytest.importorskip("lightning_fabric", reason="needs the extra deep")
pytestmark = pytest.mark.deep

from torch import nn

from querist.encoders.pretraining.base import methods
from querist.evidence.view import View
from querist.nets.images import Normalisation
from querist.nets.pretraining import Pretrainer
from querist.nets.running import make_fabric, reproducible
from querist.nets.share import Draws
from querist.nets.tasks.base import Start
from querist.nets.tasks.scan import consistency, self_labelling
from querist.seeds import Seed


class TestConsistency:
    def test_is_what_a_plain_loop_gives(self):
        rng = np.random.default_rng(0)
        logits = rng.normal(size=(2, 7, 4))
        p, q = (np.exp(part) / np.exp(part).sum(axis=1, keepdims=True) for part in logits)
        together = sum(-math.log(sum(p[i, k] * q[i, k] for k in range(4))) for i in range(7)) / 7
        mean = [sum(p[i, k] for i in range(7)) / 7 for k in range(4)]
        expected = together + 5 * sum(m * math.log(m) for m in mean)
        assert consistency(*torch.from_numpy(logits), 5.0).item() == pytest.approx(expected, rel=1e-6)

    def test_sure_and_even_is_best_and_one_cluster_for_all_is_bad(self):
        sure = 100 * torch.eye(3).repeat(4, 1)
        assert consistency(sure, sure, 5.0).item() == pytest.approx(-5 * math.log(3), rel=1e-5)
        same = 100 * torch.eye(3)[:1].repeat(12, 1)
        assert consistency(same, same, 5.0).item() == pytest.approx(0, abs=1e-5)


class TestSelfLabelling:
    def test_is_the_mean_over_clusters_of_the_mean_loss_of_their_sure_members(self):
        draws = torch.Generator().manual_seed(0)
        logits, sure = torch.randn(40, 4, generator=draws), 3 * torch.randn(40, 4, generator=draws)
        p, log = sure.softmax(dim=1), logits.log_softmax(dim=1)
        losses: dict[int, list[float]] = {}
        for i in range(40):
            if p[i].max() > 0.9:
                cluster = int(p[i].argmax())
                losses.setdefault(cluster, []).append(-float(log[i, cluster]))
        assert len({len(some) for some in losses.values()}) > 1
        expected = np.mean([np.mean(some) for some in losses.values()])
        assert self_labelling(logits, sure, 0.9).item() == pytest.approx(expected, rel=1e-5)

    def test_nobody_sure_means_no_loss_and_no_gradient(self):
        logits = torch.randn(5, 3, requires_grad=True)
        loss = self_labelling(logits, torch.zeros(5, 3), 0.99)
        assert loss.item() == 0
        assert not loss.requires_grad


class TestStages:
    def task(self, begin, task_of, **settings):
        return task_of(begin(), name="scan", epochs=4, self_labelling=0.5, neighbours=3, **settings)

    def test_neighbours_have_the_largest_cosines_and_are_found_once(self, begin, task_of):
        task = self.task(begin, task_of)
        x = torch.randn(20, 96, generator=torch.Generator().manual_seed(2))
        asked = []
        assert not list(task.begin(0, lambda: asked.append(0) or x, torch.Generator()))
        task.begin(1, lambda: asked.append(1) or x, torch.Generator())
        assert asked == [0]
        unit = nn.functional.normalize(x)
        cosine = (unit @ unit.T).fill_diagonal_(-2)
        assert torch.equal(task.near, cosine.argsort(dim=1, descending=True)[:, :3])
        assert self.task(begin, task_of, clusters=5).head.out_features == 5
        assert task.head.out_features == 3

    def test_views_are_of_neighbours_and_then_weak_and_strong(self, begin, task_of, images):
        task, asked = self.task(begin, task_of, crop=0.0, flip=False), []
        task.near = torch.arange(60).view(20, 3) % 20
        load, rows = (lambda rows: asked.append(rows) or images[rows]), torch.arange(20)
        task.views(rows, load, Draws(torch.Generator().manual_seed(0), 20))
        assert torch.equal(asked[0], rows)
        assert all(int(a) in task.near[i].tolist() for i, a in enumerate(asked[1]))
        assert len({(task.near[i] == a).nonzero().item() for i, a in enumerate(asked[1])}) == 3
        assert len(list(task.begin(2, lambda: None, torch.Generator()))) == len(list(task.parameters()))
        weak, strong = task.views(rows, load, Draws(torch.Generator().manual_seed(0), 20))
        assert torch.equal(asked[2], asked[3])
        assert torch.allclose(weak, (images.float() - 100) / 50, atol=1e-5)
        assert not torch.allclose(strong, weak)
        assert not list(task.begin(3, lambda: None, torch.Generator()))

    def test_epochs_and_batches_of_both_stages(self):
        method = methods.build("scan")
        assert method.clustering == 50
        assert [method.size(epoch) for epoch in (0, 49, 50, 249)] == [128, 128, 1000, 1000]
        assert methods.build("scan(epochs=1)").clustering == 1
        assert methods.build("scan(epochs=10, self_labelling=0)").clustering == 10
        assert method.rate(0, 100) == method.rate(99, 100) == method.peak == 1e-4
        with pytest.raises(SpecError, match="set init"):
            method.initial()


class Flat(nn.Module):
    """Images to a few linear features."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.BatchNorm1d(8))

    def forward(self, x):
        return self.layers(x)


def train(folder, pool, **settings):
    method = methods.build({"name": "scan", "crop": 0.0, "flip": False, "operations": 1, "neighbours": 5, **settings})
    with reproducible(Seed(0), torch.device("cpu")):
        task = method.task(Start(Flat(), 8, (1, 8, 8), len(pool), Normalisation((100.0,), (50.0,)), 3))
    made = Pretrainer(method, make_fabric("cpu"), lambda *_: {}).fit(task, pool, Seed(0), folder, "x")
    return task, made


@pytest.fixture
def pool():
    rng = np.random.default_rng(0)
    y = np.arange(60) % 3
    x = (rng.integers(0, 200, (3, 8, 8, 1))[y] + rng.integers(0, 56, (60, 8, 8, 1))).astype(np.uint8)
    data = from_arrays("toy", x, y)
    return View(data, data.pool)


class TestTraining:
    def test_clusters_of_an_easy_pool_are_its_classes(self, tmp_path, pool):
        settings = {"epochs": 24, "self_labelling": 0.25, "batch": 60, "label_batch": 60, "lr": 0.03, "threshold": 0.8}
        _, made = train(tmp_path, pool, **settings)
        p = made.traces["scan_probs"]
        assert p.shape == (60, 3)
        np.testing.assert_allclose(p.sum(axis=1), 1, rtol=1e-5)
        cluster = p.argmax(axis=1).reshape(20, 3)
        assert len(set(cluster[0])) == 3
        assert (cluster == cluster[0]).all()
        assert made.history[17]["loss"] < -4
        assert 0 < made.history[-1]["loss"] < 1

    def test_it_says_how_many_are_sure_and_which_clusters_nobody_is_in(self, tmp_path, pool):
        settings = {"epochs": 24, "self_labelling": 0.25, "batch": 60, "label_batch": 60, "lr": 0.03, "threshold": 0.8}
        _, made = train(tmp_path / "a", pool, **settings)
        assert ["sure" in epoch for epoch in made.history] == [False] * 18 + [True] * 6
        assert 0.5 < made.history[-1]["sure"] <= 1
        assert made.history[-1]["empty_clusters"] == 0
        assert not methods.build({"name": "scan", **settings}).notices(made.history)
        method = {"epochs": 2, "self_labelling": 0.5, "threshold": 0.9999, "clusters": 70, "lr": 1e-4}
        _, made = train(tmp_path / "b", pool, **method)
        assert made.history[-1]["sure"] == 0
        assert 10 <= made.history[-1]["empty_clusters"] < 70
        never, empty = methods.build({"name": "scan", **method}).notices(made.history)
        assert never.startswith("No image was ever sure of its cluster: 1 epochs of self-labelling")
        assert f"{made.history[-1]['empty_clusters']} clusters are empty" in empty

    def test_notices_of_a_training_that_lost_its_sure_images_and_of_an_old_one(self):
        method = methods.build("scan(epochs=3)")
        (lost,) = method.notices([{"sure": 0.2}, {"sure": 0.0}])
        assert "no image was sure of its cluster any more" in lost
        (one,) = method.notices([{"sure": 0.2, "empty_clusters": 1}])
        assert "1 cluster is empty" in one
        assert not method.notices([{"loss": 0.5}])

    def test_a_batch_without_a_sure_image_makes_no_step(self, tmp_path, pool):
        settings = {"batch": 20, "label_batch": 20, "lr": 0.01, "threshold": 0.9999, "weight_decay": 0.1}
        (before, _), (after, made) = (
            train(tmp_path / str(epochs), pool, epochs=epochs, self_labelling=0.5, **settings) for epochs in (1, 2)
        )
        assert made.history[1]["loss"] == 0
        for one, other in zip(before.parameters(), after.parameters(), strict=True):
            assert torch.equal(one, other)
