"""VGG-16: its convolutions against torchvision's, its two heads, and images that are not 32 x 32."""

import pytest

torch = pytest.importorskip("torch", reason="needs the extra deep")
pytestmark = pytest.mark.deep

from querist.nets.net import build_backbone
from querist.nets.running import reproducible
from querist.seeds import Seed


def test_small_head_on_the_features_of_torchvision():
    models = pytest.importorskip("torchvision", reason="needs the extra deep").models
    with reproducible(Seed(0), torch.device("cpu")):
        net = build_backbone("vgg_small", 3)
        with torch.device("meta"):
            twin = models.vgg16_bn().features
        twin = twin.to_empty(device="cpu")
        count = len(twin)
        twin.load_state_dict(net[:count].state_dict())
        x = torch.randn(1, 3, 32, 32)
        net.eval()
        twin.eval()
        with torch.no_grad():
            maps = twin(x)
            assert maps.shape == (1, 512, 1, 1)
            first, second = (part for part in net if isinstance(part, torch.nn.Linear))
            expected = second(first(maps.flatten(1)).clamp(min=0)).clamp(min=0)
            torch.testing.assert_close(net(x), expected)


def kinds(name):
    with torch.device("meta"):
        net = build_backbone(name, 1)
    return [type(part).__name__ for part in net][44:]


def test_heads():
    linear, dropout = ["Linear", "ReLU"], ["Dropout"]
    assert kinds("vgg16_bn") == ["AdaptiveAvgPool2d", "Flatten", *linear, *dropout, *linear]
    assert kinds("vgg_small") == ["AdaptiveAvgPool2d", "Flatten", *dropout, *linear, *dropout, *linear]


def test_building_seeds_nothing():
    """The original seeds torch in its constructor, so that every net is the same."""
    drawn = []
    for seed in (0, 1):
        with reproducible(Seed(seed), torch.device("cpu")):
            with torch.device("meta"):
                build_backbone("vgg16_bn", 3)
            drawn.append(torch.rand(1).item())
    assert drawn[0] != drawn[1]
