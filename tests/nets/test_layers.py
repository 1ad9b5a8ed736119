"""Shared layers: the scale of initial weights, and means over maps of any size."""

import pytest

torch = pytest.importorskip("torch", reason="needs the extra deep")
pytestmark = pytest.mark.deep

from querist.nets.layers import Mean, convolution


@pytest.mark.parametrize(("size", "slope"), [(1, 0.0), (3, 0.0), (3, 0.2)])
def test_initial_weights_keep_the_scale_of_gradients(size, slope):
    layer = convolution(64, 128, size, slope=slope)
    assert layer.weight.std().item() == pytest.approx((2 / (1 + slope**2) / (128 * size**2)) ** 0.5, rel=0.05)
    assert layer.bias is None
    assert not convolution(2, 3, bias=True).bias.any()


@pytest.mark.parametrize("stride", [1, 2])
def test_padding_keeps_the_size(stride):
    for size in (1, 3):
        assert convolution(2, 3, size, stride)(torch.zeros(1, 2, 9, 7)).shape == (
            1,
            3,
            -(-9 // stride),
            -(-7 // stride),
        )


def test_mean_is_over_positions():
    x = torch.arange(24.0).view(2, 3, 2, 2)
    assert Mean()(x).tolist() == [[1.5, 5.5, 9.5], [13.5, 17.5, 21.5]]
