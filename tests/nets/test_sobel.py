"""The Sobel front end against SciPy's derivatives."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the extra deep")
pytestmark = pytest.mark.deep

from scipy import ndimage

from querist.nets.net import build_backbone
from querist.nets.sobel import Sobel


@pytest.mark.parametrize("channels", [1, 3])
def test_derivatives_of_the_mean_of_the_channels(channels):
    x = np.random.default_rng(0).normal(size=(4, channels, 9, 7)).astype(np.float32)
    found = Sobel()(torch.from_numpy(x)).numpy()
    for image, (across, down) in zip(x.mean(axis=1, dtype=np.float64), found, strict=True):
        # SciPy's point to the right and down, ours to the left and up, as the original's; outside is 0.
        np.testing.assert_allclose(across, -ndimage.sobel(image, axis=1, mode="constant"), atol=1e-4)
        np.testing.assert_allclose(down, -ndimage.sobel(image, axis=0, mode="constant"), atol=1e-4)


def test_it_is_a_constant():
    net = build_backbone("sobel(small_cnn)", 3)
    assert not [name for name in net.state_dict() if "filters" in name]
    assert all("filters" not in name for name, _ in net.named_parameters())
    x = torch.rand(2, 3, 8, 8)
    grey = x.mean(dim=1, keepdim=True).expand_as(x)
    net.eval()
    torch.testing.assert_close(net(x), net(grey))
    torch.testing.assert_close(net(x + 1)[:, 0].shape, net(x)[:, 0].shape)


@pytest.mark.parametrize("name", ["sobel(resnet20)", "sobel(net='resnet20')", "sobel('resnet20')"])
def test_any_net_behind_it(name):
    with torch.device("meta"):
        assert build_backbone(name, 3)(torch.zeros(2, 3, 16, 16)).shape == (2, 64)


def test_a_net_of_timm_behind_it():
    pytest.importorskip("timm", reason="needs the extra deep")
    with torch.device("meta"):
        assert build_backbone("sobel(net='timm/resnet18')", 1)(torch.zeros(2, 1, 32, 32)).shape == (2, 512)
