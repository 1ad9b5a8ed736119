"""DeepCluster: heads that are drawn anew, clusters without gaps, and equal shares of them."""

from itertools import pairwise

import numpy as np
import pytest

from querist.errors import SpecError

torch = pytest.importorskip("torch", reason="needs the extra deep")
pytest.importorskip("lightning_fabric", reason="needs the extra deep")
pytestmark = pytest.mark.deep

from querist.nets.share import Draws
from querist.nets.tasks.deep_cluster import balanced, whitened, without_gaps
from querist.seeds import Seed


def draws(seed=0):
    return torch.Generator().manual_seed(seed)


def blobs(n=20, d=96, k=4):
    rng = np.random.default_rng(0)
    return torch.from_numpy((5 * rng.normal(size=(k, d))[np.arange(n) % k] + rng.normal(size=(n, d))).astype("f4"))


@pytest.fixture
def task(begin, task_of):
    return task_of(begin(), name="deep_cluster", clusters=6, crop=0.0, flip=False)


class TestEpochs:
    def test_t19_every_epoch_has_a_new_head_whose_momentum_is_forgotten(self, task):
        heads = []
        for epoch in range(3):
            fresh = list(task.begin(epoch, blobs, draws(epoch)))
            assert [id(p) for p in fresh] == [id(p) for p in task.head.parameters()]
            assert not task.head.bias.any()
            assert float(task.head.weight.detach().std()) == pytest.approx(0.01, rel=0.15)
            heads.append(task.head.weight.clone())
        assert not any(torch.equal(one, other) for one, other in pairwise(heads))
        assert list(task.constant()) == [task.head]

    def test_t19_no_cluster_is_empty_even_where_images_are_alike(self, task):
        points = torch.eye(2, 96)[torch.arange(20) // 17]  # 17 rows of one point, 3 of another, six clusters
        task.begin(0, lambda: points, draws())
        assert torch.bincount(task.cluster, minlength=6).min() > 0
        for k in range(6):
            assert len(points[task.cluster == k].unique(dim=0)) == 1

    def test_clusters_are_of_unit_rows_and_of_the_draws(self, task):
        found = []
        for x, seed in ((blobs(), 0), (blobs() * torch.arange(1, 21)[:, None], 0), (blobs(), 0)):
            task.begin(0, lambda x=x: x, draws(seed))
            found.append(task.cluster.clone())
        assert torch.equal(found[0], found[1])
        assert torch.equal(found[0], found[2])

    def test_there_are_five_clusters_per_class_but_not_more_than_images(self, begin, task_of):
        assert task_of(begin(c=3), name="deep_cluster").k == 15
        assert task_of(begin(c=10), name="deep_cluster").k == 20
        with pytest.raises(SpecError, match="set clusters"):
            task_of(begin(c=0), name="deep_cluster")

    def test_the_loss_is_the_cross_entropy_of_the_clusters_of_the_rows(self, task, images):
        task.begin(0, blobs, draws())
        rows = torch.tensor([5, 0, 7, 7])
        (x,) = task.views(rows, lambda rows: images[rows], Draws(draws(), 4))
        assert torch.allclose(x, (images[rows].float() - 100) / 50, atol=1e-5)
        task.eval()
        log = task.head(task.backbone(x)).log_softmax(dim=1)
        expected = -torch.stack([log[i, task.cluster[row]] for i, row in enumerate(rows)]).mean()
        assert task.outcome(rows, *task(x)).loss.item() == pytest.approx(expected.item(), rel=1e-5)
        assert torch.equal(task.finish(lambda rows: images[rows], Seed(0))["deep_cluster"][:, 0], task.cluster)


class TestShares:
    def test_t19_every_cluster_has_the_same_share_and_no_row_returns_before_all_were_taken(self):
        cluster = torch.repeat_interleave(torch.arange(4), torch.tensor([100, 10, 3, 1]))[
            torch.randperm(114, generator=draws(5))
        ]
        rows = balanced(cluster, 4, draws())
        counts = torch.bincount(rows, minlength=114)
        assert len(rows) == 114
        assert sorted(torch.bincount(cluster[rows]).tolist()) == [28, 28, 29, 29]
        for k in range(4):
            assert counts[cluster == k].max() - counts[cluster == k].min() <= 1
        assert torch.equal(rows, balanced(cluster, 4, draws()))
        assert not torch.equal(rows, balanced(cluster, 4, draws(1)))
        assert (cluster[rows][:20] != 0).any()

    def test_t19_an_epoch_of_the_task_has_these_shares(self, task):
        task.cluster = torch.tensor([0] * 14 + [1, 2, 3, 4, 5, 5])
        rows = task.order(draws())
        assert sorted(torch.bincount(task.cluster[rows]).tolist()) == [3, 3, 3, 3, 4, 4]

    def test_every_cluster_may_have_the_row_more(self):
        cluster = torch.arange(3).repeat(3)[:7]
        assert len({int(torch.bincount(cluster[balanced(cluster, 3, draws(s))]).argmax()) for s in range(20)}) == 3


class TestGaps:
    def test_the_largest_cluster_is_split_where_it_falls_apart(self):
        x = np.concatenate([np.full((5, 2), 9.0), np.zeros((6, 2)), np.ones((4, 2))]).astype("f4")
        label = np.repeat([3, 0, 0], [5, 6, 4])
        found = without_gaps(x, label, 4, np.random.default_rng(0))
        assert (label == np.repeat([3, 0], [5, 10])).all(), "the input stays"
        assert (found[:5] == 3).all()
        assert set(found) == {0, 1, 2, 3}
        assert len(set(found[5:11]) & set(found[11:])) == 0

    def test_nothing_changes_without_a_gap(self):
        label = np.array([0, 1, 2, 1])
        assert (without_gaps(np.eye(4, dtype="f4"), label, 3, np.random.default_rng(0)) == label).all()


class TestWhitening:
    def test_leading_axes_have_variance_one_and_no_covariance(self):
        x = np.random.default_rng(0).normal(size=(50, 6)).astype("f4") * [5, 4, 3, 2, 1, 0.1] + 7
        z = whitened(x, 3)
        assert z.shape == (50, 3)
        np.testing.assert_allclose(z.T @ z / 50, np.eye(3), atol=1e-5)
        np.testing.assert_allclose(abs(np.corrcoef(z.T, x.T)[:3, 3:][[0, 1, 2], [0, 1, 2]]), 1, atol=0.1)
        assert whitened(x, 0) is x

    def test_rows_that_are_all_alike_stay_finite(self):
        assert not whitened(np.ones((5, 4), "f4"), 2).any()
