"""The 13-layer net: shapes along the way, weight normalisation, and what the original could not do."""

import copy

import pytest

torch = pytest.importorskip("torch", reason="needs the extra deep")
pytestmark = pytest.mark.deep

from torch.nn import functional

from querist.nets.net import build_backbone


@pytest.mark.parametrize(("side", "sides"), [(32, [32, 16, 8, 6]), (28, [28, 14, 7, 5]), (12, [12, 6, 3, 1])])
def test_maps_shrink_as_in_the_paper(side, sides):
    with torch.device("meta"):
        net = build_backbone("cnn13", 3)
        x, seen = torch.zeros(2, 3, side, side), []
        for part in net:
            x = part(x)
            if isinstance(part, torch.nn.Conv2d):
                seen.append((x.shape[1], x.shape[2]))
    first, second, third, fourth = sides
    assert seen == [(128, first)] * 3 + [(256, second)] * 3 + [(512, third - 2), (256, fourth), (128, fourth)]
    assert x.shape == (2, 128)


def test_weights_are_a_length_and_a_direction():
    net = build_backbone("cnn13", 1)
    parts = list(net)
    for part in (p for p in parts if isinstance(p, torch.nn.Conv2d)):
        length, direction = part.parametrizations.weight.original0, part.parametrizations.weight.original1
        norms = direction.flatten(1).norm(dim=1).view(-1, 1, 1, 1)
        torch.testing.assert_close(part.weight, length * direction / norms)
        torch.testing.assert_close(part.weight, direction), "it starts at the initial weights"
    assert [part.p for part in parts if isinstance(part, torch.nn.Dropout)] == [0.5, 0.5]
    assert {part.negative_slope for part in parts if isinstance(part, torch.nn.LeakyReLU)} == {0.1}


def test_equals_plain_convolutions_with_the_same_weights_and_survives_a_copy():
    net = copy.deepcopy(build_backbone("cnn13", 1)).eval()
    x = torch.randn(1, 1, 12, 12)
    with torch.no_grad():
        found, y = net(x), x
        for part in net:
            if isinstance(part, torch.nn.Conv2d):
                y = functional.conv2d(y, part.weight, padding=part.padding)
                y = functional.leaky_relu(y / (1 + 1e-5) ** 0.5, 0.1)
            elif isinstance(part, torch.nn.MaxPool2d):
                y = functional.max_pool2d(y, 2)
    torch.testing.assert_close(found, y.mean(dim=(2, 3)))
