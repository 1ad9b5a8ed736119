"""ResNets with a small stem against torchvision's with the same stem and the same weights."""

import pytest

torch = pytest.importorskip("torch", reason="needs the extra deep")
pytestmark = pytest.mark.deep

from querist.nets.net import build_backbone
from querist.nets.running import reproducible
from querist.seeds import Seed


@pytest.mark.parametrize("depth", [18, 34, 50])
def test_is_the_resnet_of_imagenet_with_another_stem(depth):
    models = pytest.importorskip("torchvision", reason="needs the extra deep").models
    with reproducible(Seed(0), torch.device("cpu")):
        net = build_backbone(f"resnet{depth}_cifar", 3)
        twin = models.get_model(f"resnet{depth}", weights=None)
        twin.conv1 = torch.nn.Conv2d(3, 64, 3, padding=1, bias=False)
        twin.maxpool = twin.fc = torch.nn.Identity()
        for own, other in zip(net.parameters(), twin.parameters(), strict=True):
            assert own.shape == other.shape
            other.data.copy_(own.data)
        # In double precision: over so few pixels batch normalisation blows last bits up.
        net, twin, x = net.double(), twin.double(), torch.randn(3, 3, 12, 12).double()
        with torch.no_grad():
            for mode in (True, False):  # in training first: then statistics have moved, and equally
                torch.testing.assert_close(net.train(mode)(x), twin.train(mode)(x))
            assert net.stem(x).shape == (3, 64, 12, 12)
