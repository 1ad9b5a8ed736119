"""What every net of ours and those of the literature have in common: size, embedding, any image, and dropout."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the extra deep")
pytestmark = pytest.mark.deep

from querist.errors import SpecError, UnknownNameError
from querist.nets.base import nets
from querist.nets.draws import architecture_has_dropout, has_dropout
from querist.nets.net import build_net
from querist.nets.running import fingerprint, reproducible
from querist.seeds import Seed

CPU = torch.device("cpu")

# Name, embedding, dropout inside, parameters with ten classes and three channels. The last as published by the authors
# in millions (0.27, 0.46, 0.66, 0.85 and 1.7 of the narrow ResNets; 1.5, 23.4 and 36.5 of the wide ones; 2.9 of
# Shake-Shake; 3.1 of the 13 layers), and exactly as counted in the usual PyTorch implementations.
OURS = [
    ("small_cnn", 96, False, 80_154),
    ("resnet18_cifar", 512, False, 11_173_962),
    ("resnet34_cifar", 512, False, 21_282_122),
    ("resnet50_cifar", 2048, False, 23_520_842),
    ("resnet20", 64, False, 269_722),
    ("resnet32", 64, False, 464_154),
    ("resnet44", 64, False, 658_586),
    ("resnet56", 64, False, 853_018),
    ("resnet110", 64, False, 1_727_962),
    ("wrn_28_2", 128, True, 1_467_610),
    ("wrn_28_8", 512, True, 23_354_842),
    ("wrn_28_10", 640, True, 36_479_194),
    ("shake_shake_26_2x32d", 128, False, 2_923_162),
    ("vgg16_bn", 512, True, 119_590_474),
    ("vgg_small", 512, True, 15_253_578),
    ("cnn13", 128, True, 3_123_850),
    ("strided_cnn", 1024, False, 399_146),
    ("sobel(small_cnn)", 96, False, 80_154 - 144),
    ("sobel", 128, True, 3_123_850 - 128 * 9),
]
SMALL = ["small_cnn", "resnet20", "wrn_28_2", "shake_shake_26_2x32d", "sobel(small_cnn)"]


def drafted(name, shape=(3, 32, 32), c=10):
    """A net without memory and without numbers: shapes alone."""
    with torch.device("meta"):
        return build_net(name, shape, c)


def size(net):
    return sum(p.numel() for p in net.parameters())


def test_none_is_left_out():
    ours = {name for name in nets.names() if nets.card(name).component.__module__.startswith("querist.")}
    assert ours == {name.partition("(")[0] for name, *_ in OURS}


@pytest.mark.parametrize(("name", "d", "dropout", "parameters"), OURS)
def test_size_embedding_and_dropout(name, d, dropout, parameters):
    net = drafted(name)
    assert size(net) == parameters
    assert net.head.in_features == d
    assert has_dropout(net) is architecture_has_dropout(name) is dropout


@pytest.mark.parametrize(("channels", "sides"), [(1, (28, 64)), (3, (33, 96, 224))])
@pytest.mark.parametrize("name", [name for name, *_ in OURS])
def test_any_size_of_image_fits(name, channels, sides):
    net = drafted(name, (channels, 32, 32))
    for side in sides:
        assert net.embed(torch.zeros(2, channels, side, side, device="meta")).shape == (2, net.head.in_features)
    assert net.embed(torch.zeros(1, channels, 40, 28, device="meta")).shape == (1, net.head.in_features)


@pytest.mark.parametrize("name", SMALL)
def test_gradients_reach_every_parameter_and_scoring_moves_nothing(name):
    with reproducible(Seed(0), CPU):
        net = build_net(name, (3, 8, 8), 4)
        x = torch.randn(6, 3, 8, 8)
        net(x).logsumexp(dim=1).sum().backward()
        assert all(p.grad is not None and p.grad.isfinite().all() for p in net.parameters())
        assert sum(bool(p.grad.any()) for p in net.parameters()) > 0.9 * len(list(net.parameters()))
        before = fingerprint(net.eval())
        with torch.no_grad():
            one, other = net(x), net(x[[3, 1]])
    assert fingerprint(net) == before
    torch.testing.assert_close(other, one[[3, 1]], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", SMALL)
def test_R4_weights_depend_on_the_seed_alone(name):
    def built(seed):
        with reproducible(Seed(seed), CPU):
            return fingerprint(build_net(name, (3, 8, 8), 4))

    assert built(1) == built(1) != built(2)


@pytest.mark.parametrize("name", ["resnet20", "wrn_28_2", "shake_shake_26_2x32d"])
def test_activations_neither_vanish_nor_explode_at_the_start(name):
    with reproducible(Seed(0), CPU):
        net = build_net(name, (3, 16, 16), 4)
        with torch.no_grad():
            z = net.embed(torch.randn(16, 3, 16, 16)).numpy()
    assert 1e-2 < z.std(axis=0).mean() < 10
    assert np.isfinite(z).all()


# Embedding, dropout, and parameters with 1,000 classes as the libraries document them.
LIBRARIES = [
    ("resnet18", 512, False, 11_689_512),
    ("resnet34", 512, False, 21_797_672),
    ("resnet50", 2048, False, 25_557_032),
    ("resnet101", 2048, False, 44_549_160),
    ("resnet152", 2048, False, 60_192_808),
    ("torchvision/resnet18", 512, False, 11_689_512),
    ("wrn_50_2", 2048, False, 68_883_240),
    ("wrn_101_2", 2048, False, 126_886_696),
    ("resnext50", 2048, False, 25_028_904),
    ("resnext101", 2048, False, 88_791_336),
    ("alexnet", 4096, True, 61_100_840),
    ("torchvision/vgg16_bn", 4096, True, 138_365_992),
]


@pytest.mark.parametrize(("name", "d", "dropout", "parameters"), LIBRARIES)
def test_nets_of_imagenet_come_from_the_libraries(name, d, dropout, parameters):
    pytest.importorskip("torchvision", reason="needs the extra deep")
    pytest.importorskip("timm", reason="needs the extra deep")
    net = drafted(name, (3, 64, 64), 1000)
    assert (net.head.in_features, size(net)) == (d, parameters)
    assert has_dropout(net) is architecture_has_dropout(name) is dropout
    assert drafted(name, (1, 224, 224)).embed(torch.zeros(2, 1, 224, 224, device="meta")).shape == (2, d)


def test_settings_in_the_name():
    def shares(name):
        return {part.p for part in drafted(name).modules() if isinstance(part, torch.nn.Dropout)} - {0.0}

    def slopes(name):
        return {p.negative_slope for p in drafted(name).modules() if isinstance(p, torch.nn.LeakyReLU)}

    assert shares("wrn_28_2") == {0.3}
    assert shares("wrn_28_2(dropout=0.1)") == shares("wrn_28_2(0.1)") == {0.1}
    assert shares("wrn_28_2(dropout=0)") == shares("wrn_28_2()") - {0.3} == set()
    assert shares("vgg_small(dropout=0.2)") == shares("sobel(cnn13(dropout=0.2))") == {0.2}
    assert slopes("wrn_28_2") == {0.0}
    assert slopes("wrn_28_2(slope=0.2)") == {0.2}
    with pytest.raises(UnknownNameError, match=r"unknown setting 'dropot' in .*wrn_28_2.* Did you mean 'dropout'"):
        drafted("wrn_28_2(dropot=0.1)")
    with pytest.raises(SpecError, match="expected float, got 'much'"):
        drafted("wrn_28_2(dropout='much')")
    with pytest.raises(SpecError, match=r"the net 'resnet20\(3 3\)': cannot read"):
        drafted("resnet20(3 3)")
    with pytest.raises(SpecError, match=r"'wrn_28_2\(1.5\)' cannot be built: dropout probability has to be between"):
        drafted("wrn_28_2(1.5)")
