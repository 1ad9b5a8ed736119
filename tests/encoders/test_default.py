"""The default encoder: the good one where it can be had, otherwise the plain one with a notice, quickly."""

from pathlib import Path

import pytest

from querist.encoders import default
from querist.encoders.base import encoders
from querist.encoders.default import DEFAULT, default_encoder
from querist.encoders.handcrafted import Handcrafted
from querist.registry import describe


@pytest.fixture
def installed(monkeypatch):
    """Pretend that exactly these parts are missing."""

    def without(*missing):
        monkeypatch.setattr(default, "find_spec", lambda name: None if name in missing else object())

    return without


def test_the_good_one_needs_no_notice(installed, monkeypatch):
    installed()
    asked = []
    monkeypatch.setattr(default, "find_on_hub", lambda *words: asked.append(words) or Path("weights"))
    assert default_encoder() == (DEFAULT, None)
    assert asked == [("timm/vit_small_patch14_dinov2.lvd142m", "model.safetensors")]


@pytest.mark.parametrize(
    ("missing", "reason"),
    [(("torch",), "torch is not installed"), (("torch", "timm"), "torch and timm are not installed")],
)
def test_without_torch_the_plain_one_says_so(installed, monkeypatch, missing, reason):
    installed(*missing)
    monkeypatch.setattr(default, "find_on_hub", lambda *_: pytest.fail("the hub was asked"))
    encoder, notice = default_encoder()
    assert encoder == Handcrafted()
    assert notice is not None
    assert reason in notice
    assert "pip install 'querist[deep]'" in notice


def test_without_weights_the_plain_one_says_why(installed, monkeypatch):
    installed()
    monkeypatch.setattr(default, "find_on_hub", lambda *_: "the cable is out")
    encoder, notice = default_encoder()
    assert encoder == Handcrafted()
    assert notice is not None
    assert "cannot be had: the cable is out" in notice
    assert "clearly worse" in notice


def test_what_the_notice_recommends_can_be_typed():
    assert describe(encoders.build("timm(model='...', weights='...')"))["weights"] == "..."
    assert describe(encoders.build("backbone(path='...')"))["path"] == "..."
