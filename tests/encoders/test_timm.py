"""Models of timm: own preprocessing, pooled features, local weights checked, the hub's absence answered quickly."""

import time

import numpy as np
import pytest
from PIL import Image

from querist.data.memory import from_arrays
from querist.encoders import hub
from querist.encoders.base import encoders
from querist.encoders.timm import Timm
from querist.errors import DataError, MissingExtraError, SpecError, UnknownNameError
from querist.evidence.view import View
from querist.seeds import Seed
from querist.testing.contract import EncoderContract

torch = pytest.importorskip("torch", reason="needs the extra deep")
timm = pytest.importorskip("timm", reason="needs the extra deep")
pytestmark = pytest.mark.deep

RNG = np.random.default_rng(0)
MODELS = {"test_vit.r160_in1k": 64, "test_resnet.r160_in1k": 96}


def random_net(model):
    """Return a whole model of random weights, batch statistics included, drawn apart from the global generator."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        net = timm.create_model(model.split(".")[0], pretrained=False)
        for value in net.state_dict().values():
            if value.is_floating_point():
                value.copy_(torch.rand(value.shape) * 0.2 + 0.01)
    return net.eval()


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """Files of random weights by model, as safetensors and as PyTorch writes them."""
    from safetensors.torch import save_file

    folder = tmp_path_factory.mktemp("weights")
    for model in MODELS:
        state = random_net(model).state_dict()
        save_file(state, folder / f"{model}.safetensors")
        torch.save(state, folder / f"{model}.pth")
    return folder


def view_of(images):
    data = from_arrays("toy", images, np.arange(len(images)) % 2)
    return View(data, data.pool)


def encode(images, **settings):
    view = view_of(images)
    return Timm(device="cpu", **settings).fit(view, Seed(0)).encode(view)


class TestFeatures:
    @pytest.mark.parametrize("model", MODELS)
    @pytest.mark.parametrize("suffix", ["safetensors", "pth"])
    def test_are_those_of_the_model_before_its_classifier(self, weights, model, suffix):
        images = RNG.integers(0, 256, (3, 50, 70, 3), dtype=np.uint8)
        features = encode(images, model=model, weights=str(weights / f"{model}.{suffix}"))
        net = random_net(model)
        transform = timm.data.create_transform(**timm.data.resolve_model_data_config(net), is_training=False)
        config = timm.get_pretrained_cfg(model)
        transform = timm.data.create_transform(
            **timm.data.resolve_data_config(pretrained_cfg=config.to_dict()), is_training=False
        )
        with torch.inference_mode():
            batch = torch.stack([transform(Image.fromarray(image)) for image in images])
            expected = net.forward_head(net.forward_features(batch), pre_logits=True).numpy()
        assert features.shape == expected.shape == (3, MODELS[model])
        assert features.dtype == np.float32
        np.testing.assert_allclose(features, expected, rtol=1e-4, atol=1e-4)

    @pytest.mark.parametrize("model", MODELS)
    def test_another_size_is_another_input(self, weights, model):
        images = RNG.integers(0, 256, (2, 50, 70, 3), dtype=np.uint8)
        file = str(weights / f"{model}.safetensors")
        small, own = (encode(images, model=model, weights=file, size=size) for size in (64, None))
        assert small.shape == own.shape
        assert not np.allclose(small, own)
        assert (encode(images, model=model, weights=file, size=160) == own).all()

    def test_no_state_of_torch_is_changed(self, weights):
        model = "test_resnet.r160_in1k"
        threads, state = torch.get_num_threads(), torch.random.get_rng_state()
        view = view_of(RNG.integers(0, 256, (5, 20, 20, 3), dtype=np.uint8))
        fitted = Timm(model=model, weights=str(weights / f"{model}.pth"), device="cpu").fit(view, Seed(0))
        before = {name: value.clone() for name, value in fitted.net.state_dict().items()}
        fitted.encode(view)
        assert all(torch.equal(value, before[name]) for name, value in fitted.net.state_dict().items())
        assert not fitted.net.training
        assert torch.get_num_threads() == threads
        assert torch.equal(torch.random.get_rng_state(), state)
        assert torch.is_grad_enabled()


class TestContract(EncoderContract):
    def make(self):
        return Timm(model="test_vit.r160_in1k", weights=self.file, size=32, device="cpu")

    @pytest.fixture(autouse=True)
    def _pictures(self, pictured, weights):
        self.file = str(weights / "test_vit.r160_in1k.safetensors")
        self.dataset = lambda: pictured(EncoderContract.dataset(self))


class TestIdentity:
    def test_is_model_content_and_preprocessing(self, weights):
        model = "test_vit.r160_in1k"
        one = Timm(model=model, weights=str(weights / f"{model}.pth"), batch=3, device="cpu").identity()
        assert set(one) == {"name", "model", "weights", "input"}
        assert one["input"] == {
            "input_size": [3, 160, 160], "mean": [0.5] * 3, "std": [0.5] * 3,
            "interpolation": "bicubic", "crop_pct": 0.95, "crop_mode": "center",
        }  # fmt: skip
        assert str(weights) not in str(one)
        copy = weights / "copy.pth"
        copy.write_bytes((weights / f"{model}.pth").read_bytes())
        assert Timm(model=model, weights=str(copy)).identity() == one
        assert Timm(model=model, weights=str(copy), size=32).identity() != one
        assert Timm(model=model, weights=str(weights / f"{model}.safetensors")).identity() != one


class TestRefusals:
    def test_an_unknown_model_suggests(self):
        with pytest.raises(
            UnknownNameError, match=r"unknown timm model 'resnet19.a1_in1k'. Did you mean 'resnet1"
        ) as e:
            Timm(model="resnet19.a1_in1k").identity()
        assert len(str(e.value)) < 300

    def test_weights_of_another_model(self, weights):
        file = str(weights / "test_vit.r160_in1k.safetensors")
        with pytest.raises(
            DataError, match=r"does not hold the weights of 'test_resnet.r160_in1k': .* tensors are missing"
        ):
            encode(np.zeros((2, 8, 8), np.uint8), model="test_resnet.r160_in1k", weights=file)

    def test_weights_that_are_not_complete(self, weights, tmp_path):
        model = "test_vit.r160_in1k"
        state = random_net(model).state_dict()
        del state["blocks.1.attn.qkv.weight"]
        torch.save(state, tmp_path / "part.pth")
        with pytest.raises(DataError, match=r"1 of \d+ tensors are missing, such as blocks.1.attn.qkv.weight"):
            encode(np.zeros((2, 8, 8), np.uint8), model=model, weights=str(tmp_path / "part.pth"))

    @pytest.mark.parametrize("name", ["net.safetensors", "net.pth"])
    @pytest.mark.parametrize("content", [b"nothing of the kind", b"abcdefgh", b""])
    def test_files_that_are_none(self, tmp_path, name, content):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(DataError, match=r"does not hold the weights of.*Expected a .safetensors file"):
            encode(np.zeros((2, 8, 8), np.uint8), model="test_vit.r160_in1k", weights=str(tmp_path / name))

    def test_code_in_a_file_is_not_run(self, tmp_path):
        class Mine:
            def __reduce__(self):
                return (open, (str(tmp_path / "was here"), "w"))

        torch.save({"a": Mine()}, tmp_path / "net.pth")
        with pytest.raises(DataError, match="does not hold the weights"):
            encode(np.zeros((2, 8, 8), np.uint8), model="test_vit.r160_in1k", weights=str(tmp_path / "net.pth"))
        assert not (tmp_path / "was here").exists()

    def test_a_file_that_is_not_there(self):
        with pytest.raises(DataError, match=r"expected a file of weights at none\.pth"):
            Timm(weights="none.pth").identity()

    def test_settings(self):
        with pytest.raises(SpecError, match="expected size to be at least 1, got 0"):
            Timm(size=0)
        with pytest.raises(SpecError, match="device: expected"):
            encoders.build("timm(device='tpu')")

    def test_without_timm_the_extra_is_named(self, monkeypatch):
        monkeypatch.setattr("querist.extras.find_spec", lambda name: None)
        with pytest.raises(MissingExtraError, match="encoder timm needs the extra 'deep'"):
            Timm().identity()


class TestHub:
    @pytest.fixture(autouse=True)
    def _nowhere(self, monkeypatch, tmp_path):
        from huggingface_hub import constants

        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        # Nothing listens on port 9 of this machine.
        monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)

    def test_that_does_not_answer_leaves_three_ways_out_at_once(self):
        start = time.monotonic()
        with pytest.raises(DataError, match="does not answer") as caught:
            Timm(model="resnet18.a1_in1k").identity()
        assert time.monotonic() - start < 10
        for way in ("connect to the internet once", "'weights'", "'handcrafted' or 'backbone'"):
            assert way in str(caught.value)

    def test_that_is_forbidden_is_not_asked(self, monkeypatch):
        from huggingface_hub import constants

        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
        monkeypatch.setattr(hub, "unreachable", lambda _: pytest.fail("asked"))
        assert "HF_HUB_OFFLINE forbids" in str(hub.find_on_hub("timm/none", "model.safetensors"))

    def test_whose_cache_has_the_file_is_not_asked(self, monkeypatch, tmp_path, weights):
        model = "test_vit.r160_in1k"
        folder = tmp_path / "cache" / f"models--timm--{model}"
        snapshot = folder / "snapshots" / "0123456789012345678901234567890123456789"
        snapshot.mkdir(parents=True)
        (folder / "refs").mkdir()
        (folder / "refs" / "main").write_text(snapshot.name)
        content = (weights / f"{model}.safetensors").read_bytes()
        (snapshot / "model.safetensors").write_bytes(content)
        monkeypatch.setattr(hub, "unreachable", lambda _: pytest.fail("asked"))
        local = Timm(model=model, weights=str(weights / f"{model}.safetensors"))
        assert Timm(model=model).identity() == local.identity()

    def test_an_address_that_answers_anything_answers(self):
        import threading
        from http.server import BaseHTTPRequestHandler, HTTPServer

        class Refuses(BaseHTTPRequestHandler):
            def do_HEAD(self):
                self.send_error(403)

            def log_message(self, *_):
                pass

        with HTTPServer(("127.0.0.1", 0), Refuses) as server:
            thread = threading.Thread(target=server.handle_request)
            thread.start()
            assert hub.unreachable(f"http://127.0.0.1:{server.server_port}") == ""
            thread.join()
        assert "refused" in hub.unreachable("http://127.0.0.1:9")
