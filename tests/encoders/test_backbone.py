"""Networks from int8 chains: against slow convolutions written out, and against another reader of the real files."""

import importlib.util
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from querist.data.memory import from_arrays
from querist.encoders.backbone import Backbone
from querist.encoders.base import encoders
from querist.encoders.resize import squash
from querist.errors import DataError, MissingExtraError, SpecError
from querist.evidence.view import View
from querist.kernels.workers import workers
from querist.registry import describe
from querist.seeds import Seed
from querist.testing.contract import EncoderContract

needs_torch = pytest.mark.deep
FOLDER = Path(os.environ.get("QUERIST_PACKS", Path(__file__).parents[3] / "shared" / "data"))
NETS = {"MobileNetV1": ("mobilenet_v1_025_128_int8.npz", 256), "MobileNetV2": ("mobilenet_v2_int8.npz", 1280)}
RNG = np.random.default_rng(0)

SPEC = [(2, 1, 1), (1, 1, 1), (1, 6, 1), (1, 1, 0), (2, 2, 1), (1, 1, 0)]
SHAPES = [(4, 3, 3, 3), (6, 4, 1, 1), (6, 1, 3, 3), (4, 6, 1, 1), (6, 2, 4, 2), (3, 6, 1, 1)]
"""A stem, an inverted residual, and a grouped layer with an even, oblong window."""


def write_net(path, spec=SPEC, shapes=SHAPES):
    rng = np.random.default_rng(1)
    arrays = {"spec": np.array(spec, np.int32)}
    for k, shape in enumerate(shapes):
        arrays[f"w{k}"] = rng.integers(-128, 128, shape, dtype=np.int8)
        arrays[f"s{k}"] = rng.uniform(0.002, 0.01, shape[0]).astype(np.float32)
        arrays[f"z{k}"] = np.int32(rng.integers(-9, 9))
        arrays[f"b{k}"] = rng.normal(size=shape[0]).astype(np.float32)
    np.savez(path, **arrays)
    return arrays


@pytest.fixture(scope="module")
def net(tmp_path_factory):
    """The file of the small net and its arrays."""
    path = tmp_path_factory.mktemp("net") / "net.npz"
    return str(path), write_net(path)


def view_of(images):
    data = from_arrays("toy", images, np.arange(len(images)) % 2)
    return View(data, data.pool)


def encode(path, images, **settings):
    view = view_of(images)
    return Backbone(path=path, **settings).fit(view, Seed(0)).encode(view)


def convolved(x, weight, bias, stride, groups):
    """TensorFlow's SAME convolution of ``(c, h, w)``, one output number at a time in float64."""
    out, inside, high, wide = weight.shape
    rows, columns = -(-x.shape[1] // stride), -(-x.shape[2] // stride)
    top = max(0, (rows - 1) * stride + high - x.shape[1]) // 2
    left = max(0, (columns - 1) * stride + wide - x.shape[2]) // 2
    y = np.empty((out, rows, columns))
    for o, r, s in np.ndindex(*y.shape):
        total = bias[o]
        first = o // (out // groups) * inside
        for i, a, b in np.ndindex(inside, high, wide):
            p, q = r * stride + a - top, s * stride + b - left
            if 0 <= p < x.shape[1] and 0 <= q < x.shape[2]:
                total += x[first + i, p, q] * weight[o, i, a, b]
        y[o, r, s] = total
    return y


def slow_features(arrays, image):
    x = image.transpose(2, 0, 1) / 127.5 - 1
    before = {}
    for k, (stride, groups, relu6) in enumerate(arrays["spec"][:-1]):
        before[k] = x
        w = (arrays[f"w{k}"].astype(float) - int(arrays[f"z{k}"])) * arrays[f"s{k}"].astype(float)[:, None, None, None]
        x = convolved(x, w, arrays[f"b{k}"].astype(float), stride, groups)
        if relu6:
            x = np.clip(x, 0, 6)
        if k == 3:
            x = x + before[1]
    return x.mean(axis=(1, 2))


@needs_torch
class TestAgainstConvolutionsWrittenOut:
    @pytest.fixture(autouse=True)
    def _torch(self):
        pytest.importorskip("torch", reason="needs the extra deep")

    @pytest.mark.parametrize("size", [1, 2, 7, 8, 13])
    def test_every_number_of_every_size(self, net, size):
        path, arrays = net
        images = RNG.integers(0, 256, (3, size, size, 3), dtype=np.uint8)
        features = encode(path, images, size=size)
        assert features.dtype == np.float32
        np.testing.assert_allclose(features, [slow_features(arrays, image) for image in images], rtol=1e-4, atol=1e-4)

    def test_the_residual_is_there(self, net):
        _, arrays = net
        image = RNG.integers(0, 256, (8, 8, 3), dtype=np.uint8)
        without = dict(arrays)
        without["w3"], without["b3"] = arrays["w3"] * 0 + arrays["z3"].astype(np.int8), arrays["b3"] * 0
        assert np.abs(slow_features(arrays, image) - slow_features(without, image)).max() > 1e-3

    def test_images_are_resized_to_the_size(self, net):
        path, _ = net
        images = RNG.integers(0, 256, (4, 30, 17, 3), dtype=np.uint8)
        squares = np.stack([squash(image, 9) for image in images])
        assert (encode(path, images, size=9) == encode(path, squares, size=9)).all()

    def test_neither_threads_nor_the_torch_setting_change_a_bit(self, net):
        import torch

        path, _ = net
        view = view_of(RNG.integers(0, 256, (50, 12, 12, 3), dtype=np.uint8))
        fitted = Backbone(path=path, size=12, batch=8).fit(view, Seed(0))
        whole = fitted.encode(view).tobytes()
        before = torch.get_num_threads()
        try:
            torch.set_num_threads(2)
            with workers(3):
                assert fitted.encode(view).tobytes() == whole
            assert torch.get_num_threads() == 2
        finally:
            torch.set_num_threads(before)

    def test_batches_hardly_matter(self, net):
        path, _ = net
        images = RNG.integers(0, 256, (20, 12, 12, 3), dtype=np.uint8)
        one, other = (encode(path, images, size=12, batch=b) for b in (1, 7))
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5)

    def test_no_rows(self, net):
        view = view_of(np.zeros((4, 8, 8, 3), np.uint8))
        assert Backbone(path=net[0]).fit(view, Seed(0)).encode(view.take(np.arange(0))).shape == (0, 6)


@needs_torch
class TestContract(EncoderContract):
    def make(self):
        return Backbone(path=self.path, size=8)

    @pytest.fixture(autouse=True)
    def _pictures(self, pictured, net):
        pytest.importorskip("torch", reason="needs the extra deep")
        self.path = net[0]
        self.dataset = lambda: pictured(EncoderContract.dataset(self))


@needs_torch
@pytest.mark.skipif(
    not (FOLDER / "backbones").is_dir(), reason="no backbones beside the repository or in QUERIST_PACKS"
)
@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize("size", [64, 75])
def test_the_real_nets_against_another_reader(name, size):
    torch = pytest.importorskip("torch", reason="needs the extra deep")
    spec = importlib.util.spec_from_file_location("mobilenet_v2", FOLDER / "backbones" / "mobilenet_v2.py")
    assert spec is not None
    assert spec.loader is not None
    other = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(other)
    filename, width = NETS[name]
    path = FOLDER / "backbones" / filename
    images = RNG.integers(0, 256, (3, 40, 52, 3), dtype=np.uint8)
    images[1] = 255
    x = np.stack([squash(image, size) for image in images]).transpose(0, 3, 1, 2) / np.float32(127.5) - 1
    with torch.inference_mode():
        expected = getattr(other, name)(path).features(torch.tensor(x)).numpy()
    features = encode(str(path), images, size=size)
    assert features.shape == expected.shape == (3, width)
    assert expected.std() > 0.1
    np.testing.assert_allclose(features, expected, atol=3e-4)


class TestIdentity:
    def test_is_the_content_not_the_place(self, net, tmp_path, monkeypatch):
        path, _ = net
        copy = tmp_path / "elsewhere.npz"
        shutil.copy(path, copy)
        here = Backbone(path=path).identity()
        assert here == Backbone(path=str(copy), batch=3).identity()
        monkeypatch.setenv("NETS", str(tmp_path))
        assert here == Backbone(path="$NETS/elsewhere.npz").identity()
        assert set(here) == {"name", "weights", "size"}
        assert str(tmp_path) not in str(here)
        assert here != Backbone(path=path, size=96).identity()
        write_net(copy, SPEC[:1] + SPEC[-1:], [SHAPES[0], (3, 4, 1, 1)])
        assert here != Backbone(path=str(copy)).identity()

    def test_a_variable_that_is_not_set(self, monkeypatch):
        monkeypatch.delenv("NO_WEIGHTS", raising=False)
        with pytest.raises(
            DataError, match=r"at \$NO_WEIGHTS/x.npz, but there is none. An environment variable in it is"
        ):
            Backbone(path="$NO_WEIGHTS/x.npz").identity()

    def test_a_file_that_is_not_there(self, tmp_path):
        for use in (
            Backbone(path=str(tmp_path / "none.npz")).identity,
            lambda: encode("none.npz", np.zeros((2, 4, 4))),
        ):
            with pytest.raises(DataError, match=r"expected a file of weights at .*none.npz.*Check the path"):
                use()

    def test_without_torch_the_extra_is_named(self, net, monkeypatch):
        monkeypatch.setattr("querist.extras.find_spec", lambda name: None)
        with pytest.raises(MissingExtraError, match=r"encoder backbone needs the extra 'deep'"):
            Backbone(path=net[0]).fit(view_of(np.zeros((2, 4, 4), np.uint8)), Seed(0))

    @pytest.mark.parametrize("settings", [{"size": 0}, {"batch": 0}])
    def test_settings_that_are_none(self, settings):
        with pytest.raises(SpecError, match="to be at least 1, got 0"):
            Backbone(path="x", **settings)

    def test_is_registered(self):
        built = encoders.build("backbone(path='net.npz', size=96)")
        assert describe(built) == {"name": "backbone", "path": "net.npz", "size": 96, "batch": 16}
