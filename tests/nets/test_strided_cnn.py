"""Strided convolutions: the embedding is the means over the quarters of the last maps."""

import pytest

torch = pytest.importorskip("torch", reason="needs the extra deep")
pytestmark = pytest.mark.deep

from querist.nets.strided_cnn import quarters, strided_cnn


@pytest.mark.parametrize("size", [(1, 1), (1, 4), (2, 2), (3, 5), (4, 7)])
def test_quarters_are_adaptive_pooling_to_two_by_two(size):
    x = torch.randn(3, 4, *size, generator=torch.Generator().manual_seed(0))
    pooled = torch.nn.functional.adaptive_avg_pool2d(x, 2).permute(0, 2, 3, 1).reshape(3, -1)
    assert torch.allclose(quarters(x), pooled, atol=1e-6)


def test_at_32_pixels_the_embedding_is_every_position_that_is_left():
    net = strided_cnn(3).eval()
    x = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    maps = net.layers(x)
    assert maps.shape == (2, 256, 2, 2)
    assert torch.equal(net(x), maps.permute(0, 2, 3, 1).reshape(2, -1))
