"""Wide ResNets against their definition written out, and where their dropout is."""

import pytest

torch = pytest.importorskip("torch", reason="needs the extra deep")
pytestmark = pytest.mark.deep

from torch.nn import functional

from querist.nets.net import build_backbone
from querist.nets.wide_resnet import WideBlock


def written_out(block, x, slope):
    """One block in evaluation mode, as in the paper."""

    def ready(x, norm):
        x = functional.batch_norm(x, norm.running_mean, norm.running_var, norm.weight, norm.bias, eps=norm.eps)
        return functional.leaky_relu(x, slope)

    first, norm, second = block.residual[0], block.residual[1], block.residual[4]
    pre = ready(x, block.first[0])
    inner = ready(functional.conv2d(pre, first.weight, stride=first.stride, padding=1), norm)
    shortcut = x if block.shortcut is None else functional.conv2d(pre, block.shortcut.weight, stride=first.stride)
    return functional.conv2d(inner, second.weight, padding=1) + shortcut


@pytest.mark.parametrize("slope", [0.0, 0.2])
@pytest.mark.parametrize(("before", "width", "stride"), [(4, 4, 1), (4, 8, 2), (3, 8, 1)])
def test_block_equals_its_definition(before, width, stride, slope):
    block, x = WideBlock(before, width, stride, 0.3, slope), torch.randn(5, before, 6, 6)
    for _ in range(3):
        block(torch.randn(5, before, 6, 6) + 1)  # statistics that are not 0 and 1
    block.eval()
    same = x.clone()
    with torch.no_grad():
        torch.testing.assert_close(block(x), written_out(block, x, slope))
    assert torch.equal(x, same), "a layer worked in place on its input"


@pytest.mark.parametrize(("name", "width"), [("wrn_28_2", 32), ("wrn_28_8", 128), ("wrn_28_10", 160)])
def test_28_layers_of_the_width_in_the_name(name, width):
    with torch.device("meta"):
        net = build_backbone(name, 3)
    convolutions = [m for m in net.modules() if isinstance(m, torch.nn.Conv2d)]
    deep = [m for m in convolutions if m.kernel_size == (3, 3)]
    assert len(deep) == 25  # and three 1 x 1 beside them, which the authors count
    assert len(convolutions) == 28
    assert [m.out_channels for m in deep] == [16] + [width] * 8 + [2 * width] * 8 + [4 * width] * 8
    assert not any(m.bias is not None for m in convolutions)
    assert sum(isinstance(m, torch.nn.Dropout) for m in net.modules()) == 12
