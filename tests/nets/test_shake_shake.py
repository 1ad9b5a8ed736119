"""Shake-Shake: random shares forward and backward, one per image, and half and half when scoring."""

import pytest

torch = pytest.importorskip("torch", reason="needs the extra deep")
pytestmark = pytest.mark.deep

from querist.nets import shake_shake
from querist.nets.shake_shake import Mix, ShakeBlock, Shortcut, shake


def two(b=4, shape=(3, 2, 2)):
    draws = torch.Generator().manual_seed(0)
    return (torch.randn(b, *shape, generator=draws, dtype=torch.float64, requires_grad=True) for _ in range(2))


def test_forward_share_and_backward_share_are_two():
    a, b = two()
    alpha, beta = torch.rand(2, 4, 1, 1, 1, dtype=torch.float64)
    out = Mix.apply(a, b, alpha, beta)
    assert torch.equal(out, alpha * a + (1 - alpha) * b)
    slope = torch.randn_like(out)
    out.backward(slope)
    assert torch.equal(a.grad, beta * slope)
    assert torch.equal(b.grad, (1 - beta) * slope)


def test_with_equal_shares_the_gradient_is_the_true_one():
    a, b = two()
    alpha = torch.rand(4, 1, 1, 1, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda a, b: Mix.apply(a, b, alpha, alpha), (a, b))
    other = torch.rand(4, 1, 1, 1, dtype=torch.float64)
    assert not torch.autograd.gradcheck(lambda a, b: Mix.apply(a, b, alpha, other), (a, b), raise_exception=False)


def test_shares_are_uniform_independent_and_one_per_image():
    """Of branches of ones and zeros the mixture is alpha, and the gradient of the first is beta."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        one, other = (torch.full((20_000, 2, 1, 1), v, dtype=torch.float64, requires_grad=True) for v in (1.0, 0.0))
        out = shake(one, other)
        out.sum().backward()
    alpha, beta = out[:, :, 0, 0].detach(), one.grad[:, :, 0, 0]
    assert torch.equal(alpha[:, 0], alpha[:, 1])
    assert torch.equal(beta[:, 0], beta[:, 1])
    for share in (alpha[:, 0], beta[:, 0]):
        assert share.mean().item() == pytest.approx(1 / 2, abs=0.01)
        assert share.var().item() == pytest.approx(1 / 12, abs=0.003)
        assert 0 <= share.min() < 0.001 < 0.999 < share.max() <= 1
    assert abs(torch.corrcoef(torch.stack([alpha[:, 0], beta[:, 0]]))[0, 1]) < 0.03
    torch.testing.assert_close(other.grad[:, :, 0, 0], 1 - beta)


def test_scoring_mixes_half_and_half_and_draws_nothing(monkeypatch):
    block, x = ShakeBlock(4, 4, 1), torch.randn(3, 4, 5, 5)
    for _ in range(2):
        block(x + 1)
    monkeypatch.setattr(shake_shake, "shake", lambda *_: pytest.fail("a random mixture when scoring"))
    block.eval()
    with torch.no_grad():
        expected = x + (block.one(x.clone()) + block.other(x.clone())) / 2
        torch.testing.assert_close(block(x), expected)
    assert not any(torch.equal(p, q) for p, q in zip(block.one.parameters(), block.other.parameters(), strict=True)
                   if p.ndim > 1), "the branches are two"  # fmt: skip


@pytest.mark.parametrize("stride", [1, 2])
def test_shortcut_reads_pixels_and_their_neighbours(stride):
    layer, x = Shortcut(3, 5, stride).eval(), torch.randn(2, 3, 6, 6)
    positive = x.clamp(min=0)
    moved = torch.zeros_like(x)
    moved[:, :, :-1, :-1] = positive[:, :, 1:, 1:]
    parts = [
        torch.einsum("oi,bihw->bohw", part.weight[:, :, 0, 0], y[:, :, ::stride, ::stride])
        for part, y in ((layer.here, positive), (layer.beside, moved))
    ]
    with torch.no_grad():
        torch.testing.assert_close(layer(x), torch.cat(parts, dim=1) / (1 + layer.norm.eps) ** 0.5)
