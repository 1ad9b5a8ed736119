"""Nets from blueprints: the draws of `build_net`, what is put around a backbone, and what does not fit."""

import pytest

torch = pytest.importorskip("torch", reason="needs the extra deep")

from querist.errors import SpecError
from querist.nets.blueprint import Blueprint, assemble, body_of
from querist.nets.net import build_net
from querist.nets.running import reproducible
from querist.seeds import Seed

pytestmark = pytest.mark.deep
PLAIN = Blueprint("small_cnn", (1, 8, 8), 4)


def made(plan):
    with reproducible(Seed(0), torch.device("cpu")):
        return assemble(plan).eval()


@pytest.mark.parametrize(
    "plan", [PLAIN, PLAIN._replace(unit=True), PLAIN._replace(frozen=True), PLAIN._replace(takes=(1, 8, 8))], ids=str
)
def test_weights_are_drawn_as_for_a_plain_net(plan):
    with reproducible(Seed(0), torch.device("cpu")):
        plain = build_net("small_cnn", (1, 8, 8), 4)
    net = made(plan)
    for name, value in plain.backbone.state_dict().items():
        assert torch.equal(body_of(net).state_dict()[name], value)
    assert torch.equal(net.head.weight, plain.head.weight)


def test_unit_rows_and_zero_rows():
    x = torch.randn(5, 1, 8, 8)
    plain, unit = made(PLAIN), made(PLAIN._replace(unit=True))
    z = plain.embed(x)
    torch.testing.assert_close(unit.embed(x), z / z.norm(dim=1, keepdim=True))
    with torch.no_grad():
        for parameter in body_of(unit).parameters():
            parameter.zero_()
    assert torch.equal(unit.embed(x), torch.zeros(5, 96))


def test_images_are_resized_and_grey_ones_repeated():
    net = made(Blueprint("small_cnn", (1, 8, 8), 4, takes=(3, 16, 16)))
    x, seen = torch.randn(2, 1, 8, 8), []
    body_of(net).register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    net(x)
    assert seen[0].shape == (2, 3, 16, 16)
    assert torch.equal(seen[0][:, 0], seen[0][:, 2])
    expected = torch.nn.functional.interpolate(x, (16, 16), mode="bilinear", antialias=True)
    torch.testing.assert_close(seen[0][:, :1], expected)


def test_a_frozen_backbone_asks_for_no_gradient_and_its_head_does():
    net = made(PLAIN._replace(frozen=True))
    assert not any(p.requires_grad for p in net.backbone.parameters())
    net(torch.randn(3, 1, 8, 8)).sum().backward()
    assert net.head.weight.grad is not None


def test_colour_images_need_a_backbone_of_colour():
    with pytest.raises(SpecError, match="trained on grey images, and these have 3 channels"):
        assemble(Blueprint("small_cnn", (3, 8, 8), 4, takes=(1, 8, 8)))
