"""SimCLR with learned temperatures: the loss at one temperature is SimCLR's, and each anchor is divided by its own."""

import pytest

torch = pytest.importorskip("torch", reason="needs the extra deep")
pytest.importorskip("lightning_fabric", reason="needs the extra deep")
pytest.importorskip("lightly", reason="needs the extra ssl")
pytestmark = pytest.mark.deep

from querist.nets.contrast import contrast_losses, tempered_losses
from querist.seeds import Seed


def test_losses_are_those_of_a_plain_loop_over_anchors():
    draws = torch.Generator().manual_seed(0)
    first, second = (torch.randn(5, 3, generator=draws).double() for _ in range(2))
    tau = 0.1 + torch.rand(10, generator=draws).double()
    z = torch.nn.functional.normalize(torch.cat([first, second]))
    anchored = []
    for a in range(10):
        logits = torch.tensor([float(z[a] @ z[b] / tau[a]) for b in range(10) if b != a])
        anchored.append(float(logits.logsumexp(0) - z[a] @ z[(a + 5) % 10] / tau[a]))
    expected = [(anchored[i] + anchored[i + 5]) / 2 for i in range(5)]
    assert tempered_losses(first, second, tau).tolist() == pytest.approx(expected, rel=1e-5)
    same = tempered_losses(first, second, torch.full((10,), 0.2).double())
    assert torch.allclose(same, contrast_losses(first, second, 0.2))


def test_temperatures_are_bounded_learned_and_kept(begin, task_of, images):
    task = task_of(begin(), name="simclr", learned_temperature=True, temperature=0.2, width=8, loss_views=1)
    assert task.tau(torch.zeros(1, 96)).item() == pytest.approx(0.2 * 4 ** torch.tanh(task.said.bias).item(), rel=1e-5)
    views = [torch.randn(6, 1, 8, 8, generator=torch.Generator().manual_seed(v)) for v in (0, 1)]
    outcome = task.outcome(torch.arange(6), *task(*views))
    outcome.loss.backward()
    assert task.said.weight.grad.abs().max() > 0
    assert list(outcome.traces) == ["contrast_prob_T0.1"]
    task.eval()
    with torch.no_grad():
        kept = task.finish(lambda rows: images[rows], Seed(0))
        x = (images.float() - 100) / 50
        alone = torch.stack([task.tau(task.backbone(x[i : i + 1])) for i in range(20)])
    assert set(kept) == {"simclr_loss", "tau"}
    assert kept["tau"].shape == (20, 1)
    assert torch.allclose(kept["tau"].float(), alone, rtol=1e-4)
    assert kept["tau"].min() >= 0.05
    assert kept["tau"].max() <= 0.8


def test_it_is_simclr_unless_it_is_asked_for(begin, task_of):
    assert not hasattr(task_of(begin(), name="simclr", width=8), "said")
