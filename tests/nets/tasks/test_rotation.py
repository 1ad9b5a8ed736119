"""Rotation: the four rotations are those of numpy, and every loss is the mean over each of them once."""

import math

import numpy as np
import pytest

from querist.errors import DataError

torch = pytest.importorskip("torch", reason="needs the extra deep")
pytest.importorskip("lightning_fabric", reason="needs the extra deep")
pytestmark = pytest.mark.deep

from querist.nets.share import Draws
from querist.nets.tasks.rotation import rotation_losses, rotations
from querist.seeds import Seed


def test_rotations_are_those_of_numpy():
    x = torch.randn(3, 2, 5, 5)
    for turns, part in enumerate(rotations(x).view(4, 3, 2, 5, 5)):
        assert np.array_equal(part.numpy(), np.rot90(x.numpy(), turns, axes=(2, 3)))


class TestLosses:
    def test_equal_logits_are_log_4_and_a_perfect_net_has_none(self):
        assert rotation_losses(torch.zeros(12, 4)).tolist() == pytest.approx([math.log(4)] * 3)
        assert rotation_losses(1000 * torch.eye(4).repeat_interleave(3, dim=0)).tolist() == [0, 0, 0]

    def test_is_the_mean_over_rotations_in_any_order(self):
        logits = torch.randn(20, 4).double()
        by_hand = torch.stack([-logits[5 * k : 5 * k + 5].log_softmax(dim=1)[:, k] for k in (2, 0, 3, 1)]).mean(dim=0)
        assert torch.allclose(rotation_losses(logits), by_hand, rtol=1e-12)


class TestTask:
    def test_a_batch_has_all_rotations_of_each_image(self, begin, task_of, images):
        task = task_of(begin(), name="rotation", crop=0.0, flip=False)
        rows = torch.tensor([3, 9])
        (x,) = task.views(rows, lambda rows: images[rows], Draws(torch.Generator(), 2))
        assert torch.allclose(x, rotations((images[rows].float() - 100) / 50), atol=1e-5)
        task.eval()
        logits = task.head(task.backbone(x))
        expected = torch.nn.functional.cross_entropy(logits, torch.tensor([0, 0, 1, 1, 2, 2, 3, 3]))
        assert task.outcome(rows, *task(x)).loss.item() == pytest.approx(expected.item(), rel=1e-5)

    def test_the_statistic_sees_each_rotation_of_each_clean_image_once(self, begin, task_of, images):
        task, seen = task_of(begin(), name="rotation").eval(), []
        task.backbone.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
        with torch.no_grad():
            losses, again = (task.finish(lambda rows: images[rows], Seed(s))["rotation_loss"] for s in (0, 1))
            x = seen[0].view(4, -1, 1, 8, 8)[:, :20]
            assert torch.allclose(x.flatten(0, 1), rotations((images.float() - 100) / 50), atol=1e-5)
            for i in range(20):
                alone = rotation_losses(task.head(task.backbone(x[:, i])))
                assert losses[i].item() == pytest.approx(alone.item(), rel=1e-4)
        assert losses.shape == (20, 1)
        assert torch.equal(losses, again)

    def test_images_that_are_not_square_are_refused(self, begin, task_of):
        with pytest.raises(DataError, match="square images to rotate, got 8 x 12"):
            task_of(begin(shape=(1, 8, 12)), name="rotation")
