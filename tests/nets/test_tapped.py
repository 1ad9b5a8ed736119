"""Anybody's module as a backbone: odd signatures, odd outputs, layers by name, and nets of plug-ins."""

import importlib
import sys

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the extra deep")
pytestmark = pytest.mark.deep

from copy import deepcopy

from torch import nn

from querist.data.memory import from_arrays
from querist.errors import SpecError, UnknownNameError
from querist.evidence.view import View
from querist.nets.base import locate, nets
from querist.nets.images import Normalisation
from querist.nets.net import Net, build_net
from querist.nets.scoring import embed
from querist.nets.tapped import Tapped


class Plain(nn.Module):
    """Three layers; returns logits."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Flatten(), nn.Linear(48, 6), nn.ReLU())
        self.fc = nn.Linear(6, 10)

    def forward(self, x):
        return self.fc(self.body(x))


class Odd(Plain):
    """Wants a table and a flag, returns a table, and needs the shape of its own logits."""

    def forward(self, *, batch, flag):
        assert flag == "on"
        logits = self.fc(self.body(batch["pixels"]))
        return {"loss": logits.view(-1, 2, 5).sum(), "logits": (logits,)}


class Unused(Plain):
    def forward(self, x):
        return self.body(x)


X = torch.rand(4, 3, 4, 4)


def run_odd(module, x):
    return module(batch={"pixels": x}, flag="on")


def test_the_last_layer_becomes_our_head():
    module = Plain().eval()
    with torch.no_grad():
        z = module.body(X)
    net = Net.wrap(module, (3, 4, 4), 7).eval()
    assert (net.head.in_features, net.head.out_features) == (6, 7)
    assert torch.equal(net.embed(X), z)
    assert net(X).shape == (4, 7)
    assert {name for name, _ in net.named_parameters()} == {
        *("backbone.module.body.1.weight", "backbone.module.body.1.bias", "head.weight", "head.bias")
    }


def test_no_signature_is_demanded():
    module = Odd()
    with torch.no_grad():
        z = module.body(X)
    net = Net.wrap(module, (3, 4, 4), 7, call=run_odd, dropout=0.2)
    assert torch.equal(net.embed(X), z)
    assert net.dropout.p == 0.2
    net(X).sum().backward()
    assert all(p.grad is not None for p in net.parameters())


def test_a_layer_by_name():
    module = Plain()
    with torch.no_grad():
        flat = X.flatten(1)
    net = Net.wrap(module, (3, 4, 4), 7, embedding="body.1")
    assert net.head.in_features == 48
    assert torch.equal(net.embed(X), flat)
    activation = Plain()
    linear = activation.body[1]
    net = Net.wrap(activation, (3, 4, 4), 7, embedding="body.2")  # no linear layer: what it was given goes on
    torch.testing.assert_close(net.embed(X), linear(X.flatten(1)))


def test_copies_are_independent_and_nothing_is_kept_of_a_batch():
    net = Net.wrap(Plain(), (3, 4, 4), 7)
    twin = deepcopy(net)
    assert torch.equal(net.embed(X), twin.embed(X))
    with torch.no_grad():
        twin.backbone.module.body[1].weight.zero_()
    assert not torch.equal(net.embed(X), twin.embed(X))
    assert net.backbone.module.fc.seen is None


def test_scores_as_any_other_net():
    images = np.random.default_rng(0).integers(0, 256, (70, 4, 4, 3), dtype=np.uint8)
    view = View(from_arrays("images", images, np.arange(70) % 2), np.arange(70))
    net = Net.wrap(Odd(), (3, 4, 4), 2, call=run_odd)
    z = embed(net, Normalisation((0.0,) * 3, (255.0,) * 3), view)
    x = torch.from_numpy(images.transpose(0, 3, 1, 2) / np.float32(255))
    np.testing.assert_allclose(z, net.embed(x).detach().numpy(), rtol=1e-5, atol=1e-6)


def test_what_cannot_be_done_says_what_can():
    with pytest.raises(UnknownNameError, match=r"unknown layer 'fcc' in Plain. Did you mean 'fc'"):
        Net.wrap(Plain(), (3, 4, 4), 7, embedding="fcc")
    with pytest.raises(SpecError, match=r"the module Conv2d ends in no linear layer, .* name the layer that takes its"):
        Net.wrap(nn.Conv2d(3, 4, 1), (3, 4, 4), 7)
    with pytest.raises(SpecError, match="the layer 'fc' of Unused was not used in its forward pass"):
        Net.wrap(Unused(), (3, 4, 4), 7)
    tokens = nn.Sequential(nn.Flatten(2), nn.Linear(16, 2))
    with pytest.raises(SpecError, match=r"'Sequential' gives \(2, 3, 16\) for two images, expected one embedding each"):
        Net.wrap(tokens, (3, 4, 4), 7)


@pytest.fixture
def names():
    """Forget what the body registers."""
    cards, words = dict(nets._cards), dict(nets._names)
    yield
    nets._cards, nets._names = cards, words


@pytest.mark.usefixtures("names")
def test_a_factory_of_the_user_is_a_net_like_ours():
    @nets.register("guest")
    def guest(channels, width: int = 6):
        module = Plain()
        module.body[1] = nn.Linear(16 * channels, width)
        module.fc = nn.Linear(width, 10)
        return Tapped(module)

    assert locate("guest") == ("querist", "guest")
    assert build_net("guest", (3, 4, 4), 7)(X).shape == (4, 7)
    assert build_net("guest(width=9)", (1, 4, 4), 7).head.in_features == 9


PLUGIN = """
from torch import nn
from querist.nets.base import register
from querist.nets.tapped import Tapped

@register("visitor")
def visitor(channels):
    return Tapped(nn.Sequential(nn.Flatten(), nn.Linear(16 * channels, 5), nn.Linear(5, 2)))
"""


@pytest.mark.usefixtures("names")
def test_an_installed_package_brings_nets(tmp_path, monkeypatch):
    info = tmp_path / "guests-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: guests\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[querist.nets]\nvisitor = guests:visitor\n")
    (tmp_path / "guests.py").write_text(PLUGIN)
    monkeypatch.syspath_prepend(tmp_path)
    importlib.invalidate_caches()
    nets.__dict__.pop("_plugins", None)  # they are looked up once
    try:
        assert "visitor" in nets.names()
        assert build_net("visitor", (3, 4, 4), 7).head.in_features == 5
    finally:
        nets.__dict__.pop("_plugins", None)
        sys.modules.pop("guests", None)
