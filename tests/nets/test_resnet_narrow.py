"""The narrow ResNets: their depth, and the shortcut without parameters."""

import pytest

torch = pytest.importorskip("torch", reason="needs the extra deep")
pytestmark = pytest.mark.deep

from querist.nets.net import build_backbone
from querist.nets.resnet_narrow import NarrowBlock


@pytest.mark.parametrize("depth", [20, 32, 44, 56, 110])
def test_as_deep_as_the_name_says(depth):
    with torch.device("meta"):
        net = build_backbone(f"resnet{depth}", 3)
    convolutions = [m for m in net.modules() if isinstance(m, torch.nn.Conv2d)]
    assert len(convolutions) + 1 == depth  # the head is the last layer
    assert {m.kernel_size for m in convolutions} == {(3, 3)}


@pytest.mark.parametrize("side", [7, 8])
def test_where_the_width_doubles_the_input_is_thinned_and_filled_up_with_zeros(side):
    block, x = NarrowBlock(4, 8).eval(), torch.randn(2, 4, side, side)
    with torch.no_grad():
        block.residual[4].weight.zero_()  # nothing but the shortcut is left
        out = block(x)
    expected = torch.zeros_like(out)
    expected[:, 2:6] = x[:, :, ::2, ::2].clamp(min=0)
    assert torch.equal(out, expected)


def test_where_it_does_not_the_input_is_added():
    block, x = NarrowBlock(4, 4).eval(), torch.randn(2, 4, 5, 5)
    before = x.clone()
    with torch.no_grad():
        out = block(x)
        assert torch.equal(out, (block.residual(x) + x).clamp(min=0))
    assert torch.equal(x, before)
