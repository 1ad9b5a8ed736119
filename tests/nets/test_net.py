"""Architectures: size, embedding and head of our own and of other libraries' nets."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the extra deep")
pytestmark = pytest.mark.deep

from querist.errors import SpecError, UnknownNameError
from querist.nets.net import build_net
from querist.nets.running import fingerprint, reproducible
from querist.seeds import Seed

CPU = torch.device("cpu")


def built(name, shape=(1, 28, 28), c=10, seed=0, **settings):
    with reproducible(Seed(seed), CPU):
        return build_net(name, shape, c, **settings)


def size(net):
    return sum(p.numel() for p in net.parameters())


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 28, 28), (1, 32, 32), (3, 32, 32), (3, 64, 48), (1, 1, 1)])
def test_small_cnn_takes_any_image_and_stays_small(shape):
    net = built("small_cnn", shape, c=100)
    assert size(net) <= 100_000
    assert net.embed(torch.zeros(4, *shape)).shape == (4, 96)
    assert net(torch.zeros(4, *shape)).shape == (4, 100)


def test_resnet18_cifar_is_resnet18_with_another_stem():
    net = built("resnet18_cifar", (3, 32, 32))
    convolutions = [m for m in net.modules() if isinstance(m, torch.nn.Conv2d)]
    assert size(net) == 11_173_962  # what is published for ResNet-18 on CIFAR-10 with ten classes
    assert len(convolutions) == 20
    assert (convolutions[0].kernel_size, convolutions[0].stride) == ((3, 3), (1, 1))
    with torch.no_grad():
        stem = net.backbone.stem(torch.zeros(2, 3, 32, 32))
        assert stem.shape == (2, 64, 32, 32)
        assert net.backbone.blocks(stem).shape == (2, 512, 4, 4)


def test_logits_are_the_head_of_the_embedding():
    net = built("small_cnn", dropout=0.5).eval()
    x = torch.rand(5, 1, 28, 28)
    z = net.embed(x)
    torch.testing.assert_close(net(x), z @ net.head.weight.T + net.head.bias)
    assert torch.equal(net(x), net.head(z))


def test_dropout_acts_on_the_embedding_in_training_only():
    net = built("small_cnn", dropout=0.5)
    seen = []
    net.head.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    x = torch.rand(6, 1, 28, 28)
    net.train()
    net(x)
    net.eval()
    net(x)
    trained, scored = ((rows == 0).double().mean().item() for rows in seen)
    assert trained > scored + 0.3
    assert torch.equal(seen[1], net.embed(x))


@pytest.mark.parametrize(
    ("name", "d"),
    [
        ("torchvision/resnet18", 512),
        ("torchvision/mobilenet_v3_small", 1024),
        ("timm/resnet10t", 512),
        ("resnet10t", 512),
    ],
)
@pytest.mark.parametrize("channels", [1, 3])
def test_nets_of_other_libraries_lose_their_classifier(name, d, channels):
    pytest.importorskip("torchvision", reason="needs the extra deep")
    pytest.importorskip("timm", reason="needs the extra deep")
    net = built(name, (channels, 48, 48), c=7).eval()
    x = torch.rand(2, channels, 48, 48)
    assert net.head.in_features == d
    assert net.embed(x).shape == (2, d)
    assert net(x).shape == (2, 7)
    last = [m for m in net.modules() if isinstance(m, torch.nn.Linear)][-1]
    assert last is net.head
    assert not any(m.out_features == 1000 for m in net.modules() if isinstance(m, torch.nn.Linear))


def test_grey_images_are_repeated_for_nets_of_torchvision():
    pytest.importorskip("torchvision", reason="needs the extra deep")
    grey, colour = built("torchvision/resnet18", (1, 48, 48)), built("torchvision/resnet18", (3, 48, 48))
    x = torch.rand(2, 1, 48, 48)
    assert torch.equal(grey.eval()(x), colour.eval()(x.repeat(1, 3, 1, 1)))


def test_building_moves_no_statistic():
    net = built("small_cnn")
    for part in net.modules():
        if isinstance(part, torch.nn.BatchNorm2d):
            assert part.num_batches_tracked == 0
            assert np.array_equal(part.running_mean, np.zeros(part.num_features))
    assert all(part.training for part in net.modules())


@pytest.mark.parametrize("name", ["small_cnn", "resnet18_cifar", "torchvision/resnet18", "timm/resnet10t"])
def test_R4_weights_depend_on_the_seed_alone(name):
    pytest.importorskip("torchvision", reason="needs the extra deep")
    pytest.importorskip("timm", reason="needs the extra deep")
    one, same, other = (fingerprint(built(name, (3, 32, 32), seed=seed)) for seed in (1, 1, 2))
    assert one == same != other


def test_nets_that_do_not_fit_say_so():
    pytest.importorskip("torchvision", reason="needs the extra deep")
    with pytest.raises(SpecError, match="'torchvision/vit_b_16' does not take images of 28 x 28 with 1 channels"):
        built("torchvision/vit_b_16")
    with pytest.raises(SpecError, match="'torchvision/googlenet' has auxiliary heads"):
        built("torchvision/googlenet")
    with pytest.raises(SpecError, match="'torchvision/squeezenet1_1' ends in no linear layer"):
        built("torchvision/squeezenet1_1")
    with pytest.raises(UnknownNameError, match="Did you mean 'small_cnn'"):
        built("smal_cnn")
