"""Classifiers of torchvision: own transform, features before the classifier, weights checked to the last name."""

import time

import numpy as np
import pytest
from PIL import Image

from querist.data.memory import from_arrays
from querist.encoders import hub
from querist.encoders.base import encoders
from querist.encoders.torchvision import Torchvision
from querist.errors import DataError, MissingExtraError, SpecError, UnknownNameError
from querist.evidence.view import View
from querist.seeds import Seed
from querist.testing.contract import EncoderContract

torch = pytest.importorskip("torch", reason="needs the extra deep")
models = pytest.importorskip("torchvision.models", reason="needs the extra deep")
pytestmark = pytest.mark.deep

RNG = np.random.default_rng(0)
MODEL, WIDTH = "shufflenet_v2_x0_5", 1024
"""The smallest of torchvision's classifiers, 1.4 million weights."""
SIZE = 32


def random_net(model=MODEL):
    """Return a whole model of random weights, batch statistics included, drawn apart from the global generator."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        net = models.get_model(model, weights=None)
        for value in net.state_dict().values():
            if value.is_floating_point() and value.ndim < 2:
                value.copy_(torch.rand(value.shape) * 0.2 + 0.5)
    return net.eval()


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A folder with the same weights as safetensors and as PyTorch writes them."""
    from safetensors.torch import save_file

    folder = tmp_path_factory.mktemp("weights")
    state = random_net().state_dict()
    save_file(state, folder / "net.safetensors")
    torch.save(state, folder / "net.pth")
    return folder


def view_of(images):
    data = from_arrays("toy", images, np.arange(len(images)) % 2)
    return View(data, data.pool)


def encode(images, **settings):
    view = view_of(images)
    return Torchvision(**{"model": MODEL, "size": SIZE, "device": "cpu"} | settings).fit(view, Seed(0)).encode(view)


class TestFeatures:
    @pytest.mark.parametrize("suffix", ["safetensors", "pth"])
    @pytest.mark.parametrize("size", [None, SIZE])
    def test_are_what_the_classifier_is_given(self, files, suffix, size):
        images = RNG.integers(0, 256, (3, 50, 70, 3), dtype=np.uint8)
        features = encode(images, weights=str(files / f"net.{suffix}"), size=size)
        transform = models.get_model_weights(MODEL).DEFAULT.transforms()
        if size:
            transform.crop_size, transform.resize_size = [size], [round(size * 256 / 224)]
        net = random_net()
        net.fc = torch.nn.Identity()
        with torch.inference_mode():
            expected = net(torch.stack([transform(Image.fromarray(image)) for image in images])).numpy()
        assert features.shape == expected.shape == (3, WIDTH)
        assert features.dtype == np.float32
        assert expected.std() > 0
        np.testing.assert_allclose(features, expected, rtol=1e-3, atol=1e-4 * np.abs(expected).max())

    def test_of_files_from_before_counters(self, files, tmp_path):
        state = {name: x for name, x in random_net().state_dict().items() if not name.endswith("num_batches_tracked")}
        torch.save(state, tmp_path / "old.pth")
        images = RNG.integers(0, 256, (2, 40, 40, 3), dtype=np.uint8)
        whole = encode(images, weights=str(files / "net.pth"))
        assert (encode(images, weights=str(tmp_path / "old.pth")) == whole).all()

    def test_of_a_head_for_other_classes(self, files, tmp_path):
        state = dict(random_net().state_dict())
        state |= {"fc.weight": torch.zeros(7, WIDTH), "fc.bias": torch.zeros(7)}
        torch.save({"model": state, "epoch": 3}, tmp_path / "mine.pth")
        images = RNG.integers(0, 256, (2, 40, 40, 3), dtype=np.uint8)
        whole = encode(images, weights=str(files / "net.pth"))
        assert (encode(images, weights=str(tmp_path / "mine.pth")) == whole).all()

    def test_of_dense_nets_under_their_old_names(self):
        from querist.encoders.torchvision import OLD_DENSE

        old = "features.denseblock1.denselayer2.norm.1.weight"
        assert OLD_DENSE.sub(r"\1\2.", old) == "features.denseblock1.denselayer2.norm1.weight"
        for name in random_net("densenet121").state_dict():
            assert OLD_DENSE.sub(r"\1\2.", name) == name


class TestContract(EncoderContract):
    def make(self):
        return Torchvision(model=MODEL, weights=self.file, size=SIZE, device="cpu")

    @pytest.fixture(autouse=True)
    def _pictures(self, pictured, files):
        self.file = str(files / "net.safetensors")
        self.dataset = lambda: pictured(EncoderContract.dataset(self))


class TestIdentity:
    def test_is_model_content_and_preprocessing(self, files, tmp_path):
        one = Torchvision(model=MODEL, weights=str(files / "net.pth"), batch=3, device="cpu").identity()
        assert one["input"] == {
            "crop": [224], "resize": [256], "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225],
            "interpolation": "bilinear",
        }  # fmt: skip
        assert set(one) == {"name", "model", "weights", "input"}
        assert str(files) not in str(one)
        copy = tmp_path / "copy.pth"
        copy.write_bytes((files / "net.pth").read_bytes())
        assert Torchvision(model=MODEL, weights=str(copy)).identity() == one
        assert Torchvision(model=MODEL, weights=str(copy), size=32).identity() != one
        assert Torchvision(model=MODEL, weights=str(files / "net.safetensors")).identity() != one

    def test_a_file_of_torchvisions_gets_the_transform_of_its_own_weights(self, tmp_path, monkeypatch):
        from querist.encoders import torchvision

        entries = models.get_model_weights("resnet50")
        (tmp_path / "mine.pth").write_bytes(b"weights")
        resized = {}
        for entry in entries:
            digits = hub.hash_digits(entry.url)
            monkeypatch.setattr(torchvision, "_sha256", lambda file, content, digits=digits: digits + "0" * 56)
            found = Torchvision(model="resnet50", weights=str(tmp_path / "mine.pth")).identity()
            resized[entry.name] = found["input"]["resize"]
        assert resized == {"IMAGENET1K_V1": [256], "IMAGENET1K_V2": [232]}


class TestRefusals:
    def test_unknown_names_suggest(self):
        with pytest.raises(UnknownNameError, match=r"unknown torchvision model 'resnet51'. Did you mean 'resnet"):
            Torchvision(model="resnet51").identity()
        with pytest.raises(UnknownNameError, match=r"unknown weights 'IMAGENET1K_V9'.*'IMAGENET1K_V"):
            Torchvision(weights="IMAGENET1K_V9").identity()
        with pytest.raises(DataError, match=r"expected a file of weights at none\.pth"):
            Torchvision(weights="none.pth").identity()
        with pytest.raises(SpecError, match="auxiliary heads"):
            Torchvision(model="inception_v3").identity()

    def test_weights_of_another_model(self, files):
        with pytest.raises(SpecError, match="'squeezenet1_1' ends in no linear layer"):
            encode(np.zeros((2, 8, 8), np.uint8), model="squeezenet1_1", weights=str(files / "net.pth"))
        with pytest.raises(DataError, match=r"does not hold the weights of this net: .* is missing; .* more"):
            encode(np.zeros((2, 8, 8), np.uint8), model="mobilenet_v3_small", weights=str(files / "net.pth"))

    @pytest.mark.parametrize("kind", ["missing", "unexpected", "shape"])
    def test_weights_that_differ_by_one_name(self, tmp_path, kind):
        state = dict(random_net().state_dict())
        name = "stage2.1.branch2.0.weight"
        if kind == "missing":
            del state[name]
        elif kind == "unexpected":
            state["stage2.1.extra.weight"] = torch.ones(2)
        else:
            state[name] = state[name][:1]
        torch.save(state, tmp_path / "part.pth")
        with pytest.raises(DataError, match=r"does not hold the weights of this net: stage2\.1\."):
            encode(np.zeros((2, 8, 8), np.uint8), weights=str(tmp_path / "part.pth"))

    @pytest.mark.parametrize("name", ["net.safetensors", "net.pth"])
    @pytest.mark.parametrize("content", [b"nothing of the kind", b"abcdefgh", b""])
    def test_files_that_are_none(self, tmp_path, name, content):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(DataError, match="encoder torchvision: "):
            encode(np.zeros((2, 8, 8), np.uint8), weights=str(tmp_path / name))

    def test_a_tensor_alone(self, tmp_path):
        torch.save(torch.ones(3), tmp_path / "net.pth")
        with pytest.raises(DataError, match="holds no state dict"):
            encode(np.zeros((2, 8, 8), np.uint8), weights=str(tmp_path / "net.pth"))

    def test_code_in_a_file_is_not_run(self, tmp_path):
        class Mine:
            def __reduce__(self):
                return (open, (str(tmp_path / "was here"), "w"))

        torch.save({"a": Mine()}, tmp_path / "net.pth")
        with pytest.raises(DataError, match=r"refused because reading them runs code.*weights_only=False"):
            encode(np.zeros((2, 8, 8), np.uint8), weights=str(tmp_path / "net.pth"))
        assert not (tmp_path / "was here").exists()

    def test_settings(self):
        with pytest.raises(SpecError, match="expected size to be at least 1, got 0"):
            Torchvision(size=0)
        with pytest.raises(SpecError, match="device: expected"):
            encoders.build("torchvision(device='tpu')")

    def test_without_torchvision_the_extra_is_named(self, monkeypatch):
        monkeypatch.setattr("querist.extras.find_spec", lambda name: None)
        with pytest.raises(MissingExtraError, match="encoder torchvision needs the extra 'deep'"):
            Torchvision().identity()


class TestHub:
    @pytest.fixture(autouse=True)
    def _nowhere(self, monkeypatch, tmp_path):
        monkeypatch.setenv("TORCH_HOME", str(tmp_path / "cache"))
        monkeypatch.setattr(torch.hub, "_hub_dir", None)

    def test_that_does_not_answer_leaves_three_ways_out_at_once(self, monkeypatch):
        monkeypatch.setattr(hub, "unreachable", lambda address: f"no route to {address}")
        start = time.monotonic()
        with pytest.raises(DataError, match="does not answer") as caught:
            Torchvision(model=MODEL).identity()
        assert time.monotonic() - start < 10
        for way in ("connect to the internet once", "'weights'", "'handcrafted' or 'backbone'", "pytorch.org"):
            assert way in str(caught.value)

    def test_whose_file_is_not_what_its_name_says_is_no_source(self, monkeypatch, tmp_path):
        def download(url, target, digits, progress):
            assert (digits, progress) == ("f707e7126e", False)
            raise RuntimeError('invalid hash value (expected "f707e7126e", got "00")')

        monkeypatch.setattr(hub, "unreachable", lambda _: "")
        monkeypatch.setattr(torch.hub, "download_url_to_file", download)
        with pytest.raises(DataError, match="invalid hash value"):
            Torchvision(model=MODEL).identity()

    def test_whose_cache_has_the_file_is_not_asked(self, monkeypatch, tmp_path, files):
        monkeypatch.setattr(hub, "unreachable", lambda _: pytest.fail("asked"))
        name = models.get_model_weights(MODEL).DEFAULT.url.rpartition("/")[2]
        kept = tmp_path / "cache" / "hub" / "checkpoints" / name
        kept.parent.mkdir(parents=True)
        kept.write_bytes((files / "net.pth").read_bytes())
        local = Torchvision(model=MODEL, weights=str(files / "net.pth"))
        assert Torchvision(model=MODEL).identity() == local.identity()
        images = RNG.integers(0, 256, (2, 40, 40, 3), dtype=np.uint8)
        assert (encode(images) == encode(images, weights=str(files / "net.pth"))).all()
