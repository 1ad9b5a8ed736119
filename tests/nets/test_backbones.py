"""Backbones in folders: what is written is read, bit for bit, and nothing else passes for one."""

import json

import pytest

torch = pytest.importorskip("torch", reason="needs the extra deep")
pytest.importorskip("lightning_fabric", reason="needs the extra deep")
pytestmark = pytest.mark.deep

from querist.errors import DataError, UnknownNameError
from querist.nets.backbones import BackboneCard, read_backbone, write_backbone
from querist.nets.checkpoints import CARD, WEIGHTS, read_checkpoint, write_checkpoint
from querist.nets.net import build_net
from querist.nets.running import fingerprint, reproducible
from querist.seeds import Seed

CARD_OF = BackboneCard("small_cnn", (1, 8, 8), 96, (100.0,), (50.0,), "simsiam", {"epochs": 3})


@pytest.fixture
def backbone():
    with reproducible(Seed(1), torch.device("cpu")):
        net = build_net("small_cnn", (1, 8, 8), 2)
        net.backbone(torch.randn(4, 1, 8, 8))  # statistics of batch normalisation move
    return net.backbone.eval()


def test_a_backbone_comes_back_bit_for_bit_and_leaves_the_global_generator_alone(backbone, tmp_path):
    write_backbone(tmp_path / "b", backbone, CARD_OF)
    state = torch.get_rng_state()
    again, card = read_backbone(tmp_path / "b")
    assert torch.equal(state, torch.get_rng_state())
    assert card == CARD_OF
    assert not again.training
    assert fingerprint(again) == fingerprint(backbone)
    x = torch.randn(3, 1, 8, 8)
    assert torch.equal(again(x), backbone(x))
    assert torch.equal(card.normalise(torch.full((1, 1, 8, 8), 150, dtype=torch.uint8)), torch.ones(1, 1, 8, 8))


def test_missing_and_unexpected_weights_are_refused(backbone, tmp_path):
    write_backbone(tmp_path, backbone, CARD_OF)
    weights, card = read_checkpoint(tmp_path, "backbone")
    name = next(iter(weights))
    write_checkpoint(tmp_path, {k: v for k, v in weights.items() if k != name}, card)
    with pytest.raises(DataError, match="is missing"):
        read_backbone(tmp_path)
    write_checkpoint(tmp_path, {**weights, "fc.weight": torch.zeros(2)}, card)
    with pytest.raises(DataError, match=r"fc\.weight is unexpected"):
        read_backbone(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": "net"}, "expected 'backbone'"),
        ({"shape": [1, 8]}, "damaged"),
        ({"mean": [1.0, 2.0]}, "channels"),
        ({"d": 12}, "12 dimensions"),
        ({"about": None}, "damaged"),
    ],
)
def test_a_wrong_card_is_refused(backbone, tmp_path, change, message):
    write_backbone(tmp_path, backbone, CARD_OF)
    card = json.loads((tmp_path / CARD).read_text())
    (tmp_path / CARD).write_text(json.dumps({**card, **change}))
    with pytest.raises(DataError, match=message):
        read_backbone(tmp_path)


def test_an_unknown_net_a_damaged_file_and_no_folder_are_refused(backbone, tmp_path):
    with pytest.raises(DataError, match="no card"):
        read_backbone(tmp_path / "nothing")
    write_backbone(tmp_path, backbone, CARD_OF._replace(net="timm/no_such_net_at_all"))
    with pytest.raises(UnknownNameError):
        read_backbone(tmp_path)
    (tmp_path / WEIGHTS).write_bytes(b"nothing")
    with pytest.raises(DataError, match="damaged"):
        read_backbone(tmp_path)
