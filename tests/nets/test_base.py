"""Names of nets: ours, those of two libraries, and what is said about any other; needs no torch for ours."""

import importlib.util
import subprocess
import sys

import pytest

from querist.errors import UnknownNameError
from querist.nets.base import locate, nets

needs_timm = pytest.mark.skipif(importlib.util.find_spec("timm") is None, reason="needs the extra deep")
needs_torchvision = pytest.mark.skipif(importlib.util.find_spec("torchvision") is None, reason="needs the extra deep")


def test_ours_come_first():
    assert nets.names() == ["resnet18_cifar", "small_cnn"]
    assert locate("small_cnn") == ("querist", "small_cnn")


def test_names_are_listed_and_ours_located_without_torch():
    code = (
        "import sys; from querist.nets.base import locate, nets; nets.names(); locate('small_cnn'); print(*sys.modules)"
    )
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"torch", "timm", "torchvision"} & set(loaded)


def test_a_library_that_is_unknown_is_refused():
    with pytest.raises(
        UnknownNameError, match=r"unknown library of nets 'tim' in the net 'tim/resnet18'. Did you mean"
    ):
        locate("tim/resnet18")


@needs_timm
@pytest.mark.deep
def test_a_bare_name_is_one_of_timm():
    assert locate("resnet18") == locate("timm/resnet18") == ("timm", "resnet18")
    with pytest.raises(UnknownNameError, match=r"unknown net 'small_cn'. Did you mean 'small_cnn'"):
        locate("small_cn")
    with pytest.raises(UnknownNameError, match=r"unknown net 'timm/resnet_18'. Did you mean 'timm/resnet18'"):
        locate("timm/resnet_18")
    with pytest.raises(UnknownNameError, match="Known: resnet18_cifar, small_cnn"):
        locate("qqqqqq")


@needs_torchvision
@pytest.mark.deep
def test_names_of_torchvision():
    assert locate("torchvision/resnet18") == ("torchvision", "resnet18")
    with pytest.raises(UnknownNameError, match=r"Did you mean 'torchvision/vgg11"):
        locate("torchvision/vgg_11")


def test_a_library_that_is_not_installed_is_left_to_the_build(monkeypatch):
    monkeypatch.setattr("querist.nets.base.find_spec", lambda name: None)
    assert locate("timm/anything") == ("timm", "anything")
    assert locate("anything") == ("timm", "anything")
