"""Names of nets: ours, those of two libraries, and what is said about any other; needs no torch for ours."""

import importlib.util
import subprocess
import sys

import pytest

from querist.errors import SpecError, UnknownNameError
from querist.nets.base import locate, nets

needs_timm = pytest.mark.skipif(importlib.util.find_spec("timm") is None, reason="needs the extra deep")
needs_torchvision = pytest.mark.skipif(importlib.util.find_spec("torchvision") is None, reason="needs the extra deep")


OURS = {
    *("small_cnn", "resnet18_cifar", "resnet34_cifar", "resnet50_cifar"),
    *("resnet20", "resnet32", "resnet44", "resnet56", "resnet110"),
    *("wrn_28_2", "wrn_28_8", "wrn_28_10", "shake_shake_26_2x32d", "vgg16_bn", "vgg_small", "cnn13", "sobel"),
}


def test_ours_come_first():
    assert set(nets.names()) >= OURS
    assert locate("small_cnn") == ("querist", "small_cnn")
    assert locate("vgg16_bn") == ("querist", "vgg16_bn")  # both libraries have one of that name too


def test_settings_stay_with_the_name():
    assert locate("wrn_28_2(dropout=0.1)") == ("querist", "wrn_28_2(dropout=0.1)")
    assert locate("sobel(net='timm/resnet18')") == ("querist", "sobel(net='timm/resnet18')")
    for name in ("wrn_28_2(", "wrn_28_2(dropout=0.1", "small_cnn()x"):
        with pytest.raises(SpecError, match="Expected settings of a net in brackets"):
            locate(name)


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
    with pytest.raises(UnknownNameError, match=r"unknown net 'wrn_28_3'. Did you mean .*'wrn_28_2'"):
        locate("wrn_28_3(dropout=0.1)")
    with pytest.raises(UnknownNameError, match=r"Known: cnn13, resnet110, resnet18_cifar, .*wrn_28_8"):
        locate("qqqqqq")


@needs_torchvision
@pytest.mark.deep
def test_names_of_torchvision():
    assert locate("torchvision/resnet18") == ("torchvision", "resnet18")
    with pytest.raises(UnknownNameError, match=r"Did you mean 'torchvision/vgg11"):
        locate("torchvision/vgg_11")


@needs_timm
@needs_torchvision
@pytest.mark.deep
def test_a_bare_name_that_only_torchvision_has_is_its():
    assert locate("alexnet") == ("torchvision", "alexnet")
    assert locate("vit_b_16") == ("torchvision", "vit_b_16")
    assert locate("resnet18") == ("timm", "resnet18")  # both have it


@needs_timm
@pytest.mark.deep
def test_names_of_the_literature():
    assert locate("wrn_50_2") == ("timm", "wide_resnet50_2")
    assert locate("wrn_101_2") == ("timm", "wide_resnet101_2")
    assert locate("resnext50") == ("timm", "resnext50_32x4d")
    assert locate("resnext101") == ("timm", "resnext101_32x8d")


@needs_timm
@pytest.mark.deep
def test_nets_of_libraries_take_no_settings():
    with pytest.raises(SpecError, match=r"whose nets take no settings here; write 'timm/resnet18'"):
        locate("timm/resnet18(drop_rate=0.1)")


def test_without_timm_a_bare_name_is_not_looked_up_elsewhere(monkeypatch):
    monkeypatch.setattr("querist.nets.base.find_spec", lambda name: None if name == "timm" else object())
    assert locate("alexnet") == ("timm", "alexnet")


def test_a_library_that_is_not_installed_is_left_to_the_build(monkeypatch):
    monkeypatch.setattr("querist.nets.base.find_spec", lambda name: None)
    assert locate("timm/anything") == ("timm", "anything")
    assert locate("anything") == ("timm", "anything")
