"""Frozen networks with their preprocessing: any number of threads, inputs of one shape, sizes that do not fit."""

import numpy as np
import pytest

from querist.data.memory import from_arrays
from querist.encoders.inference import fitted_net
from querist.errors import DataError, SpecError
from querist.evidence.view import View
from querist.kernels.workers import workers

torch = pytest.importorskip("torch", reason="needs the extra deep")
pytestmark = pytest.mark.deep

IMAGES = np.random.default_rng(0).integers(0, 256, (11, 8, 9, 3), dtype=np.uint8)


def prepare(image):
    return torch.from_numpy(image[:8, :8].copy()).permute(2, 0, 1).float()


def view():
    data = from_arrays("toy", IMAGES, np.arange(len(IMAGES)) % 2)
    return View(data, data.pool)


def net():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return torch.nn.Sequential(torch.nn.Conv2d(3, 5, 3), torch.nn.Dropout(0.5), torch.nn.Flatten())


def test_features_are_the_nets_in_evaluation_mode_for_any_number_of_threads():
    fitted = fitted_net(net(), prepare, batch=4, device="cpu")
    assert (fitted.shape, fitted.width) == ((3, 8, 8), 180)
    assert not any(p.requires_grad for p in fitted.net.parameters())
    with torch.inference_mode():
        expected = net().eval()(torch.stack([prepare(image) for image in IMAGES])).numpy()
    for count in (1, 3):
        with workers(count):
            np.testing.assert_allclose(fitted.encode(view()), expected, rtol=1e-4, atol=1e-3)


def test_a_size_that_the_net_does_not_take_is_told_before_anything_is_encoded():
    with pytest.raises(SpecError, match=r"does not take inputs of shape \(3, 2, 2\)"):
        fitted_net(net(), lambda image: prepare(image)[:, :2, :2], batch=4, device="cpu")


def test_inputs_of_other_shapes_are_refused():
    fitted = fitted_net(net(), lambda x: torch.from_numpy(x.copy()).permute(2, 0, 1).float(), batch=4, device="cpu")
    with pytest.raises(DataError, match=r"shape \(3, 8, 9\) of an image of \(8, 9, 3\), and \(3, 64, 64\) of others"):
        fitted.encode(view())


def test_a_device_that_is_not_here():
    with pytest.raises(SpecError, match="device"):
        fitted_net(net(), prepare, batch=4, device="tpu")
