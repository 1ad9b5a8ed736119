"""Vision models of transformers: pooled as documented, every weight from the files, quietly and without a network."""

import json
import shutil
import warnings

import numpy as np
import pytest
from PIL import Image

from querist.data.memory import from_arrays
from querist.encoders import hub
from querist.encoders.base import encoders
from querist.encoders.transformers import FAMILIES, Transformers
from querist.errors import DataError, MissingExtraError, SpecError, UnknownNameError
from querist.evidence.view import View
from querist.seeds import Seed
from querist.testing.contract import EncoderContract

torch = pytest.importorskip("torch", reason="needs the extra deep")
hf = pytest.importorskip("transformers", reason="needs the extra hf")
pytestmark = pytest.mark.deep

RNG = np.random.default_rng(0)
MODELS = {
    "dinov2": ("Dinov2Config", "Dinov2Model"),
    "dinov2_with_registers": ("Dinov2WithRegistersConfig", "Dinov2WithRegistersModel"),
    "dinov3_vit": ("DINOv3ViTConfig", "DINOv3ViTModel"),
    "vit": ("ViTConfig", "ViTModel"),
    "clip_vision_model": ("CLIPVisionConfig", "CLIPVisionModel"),
    "siglip_vision_model": ("SiglipVisionConfig", "SiglipVisionModel"),
}
REGISTERS = {"dinov2_with_registers": 4, "dinov3_vit": 3}
IMAGES = RNG.integers(0, 256, (5, 30, 24, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def folders(tmp_path_factory, save_vision, save_pair):
    root = tmp_path_factory.mktemp("models")
    for kind, (config, model) in MODELS.items():
        registers = {"num_register_tokens": REGISTERS[kind]} if kind in REGISTERS else {}
        save_vision(root / kind, config, model, **registers)
    for kind in ("clip", "siglip"):
        save_pair(root / kind, kind)
    return root


def view_of(images):
    data = from_arrays("toy", images, np.arange(len(images)) % 2)
    return View(data, data.pool)


def encode(folder, images=IMAGES, **settings):
    view = view_of(images)
    return Transformers(model=str(folder), device="cpu", **settings).fit(view, Seed(0)).encode(view)


def inputs(folder):
    """The test images as the library prepares them."""
    from querist.nets.hugging_face import quiet

    with quiet():
        processor = hf.AutoImageProcessor.from_pretrained(folder)
        return processor([Image.fromarray(image) for image in IMAGES], return_tensors="pt")["pixel_values"]


def outputs(folder, kind):
    """What the library's own model says about the test images, read by its own reader."""
    from querist.nets.hugging_face import quiet

    with quiet(), torch.inference_mode():
        model = getattr(hf, FAMILIES[kind].title).from_pretrained(folder, dtype=torch.float32).eval()
        return model(pixel_values=inputs(folder))


class TestFeatures:
    @pytest.mark.parametrize("kind", [*MODELS, "clip", "siglip"])
    def test_are_what_the_family_documents(self, folders, kind):
        out = outputs(folders / kind, kind)
        found = {pool: encode(folders / kind, pool=pool) for pool in ("auto", "mean", "pooler")}
        tokens, patches = out.last_hidden_state, 4
        expected = {"mean": tokens[:, -patches:].mean(1), "pooler": out.pooler_output}
        expected["auto"] = out.pooler_output if "clip" in kind or "siglip" in kind else tokens[:, 0]
        for pool, rows in expected.items():
            assert found[pool].shape == (len(IMAGES), 16)
            assert found[pool].dtype == np.float32
            np.testing.assert_allclose(found[pool], rows, rtol=1e-4, atol=1e-4, err_msg=pool)
        assert not np.allclose(found["auto"], found["mean"])
        assert tokens.shape[1] == patches + FAMILIES[kind].has_cls + REGISTERS.get(kind, 0)

    def test_of_a_convolutional_dinov3(self, tmp_path, save_vision):
        from querist.nets.hugging_face import quiet

        with quiet(), torch.random.fork_rng(devices=[]):
            torch.manual_seed(1)
            config = hf.DINOv3ConvNextConfig(hidden_sizes=[4, 4, 8, 16], depths=[1, 1, 1, 1], image_size=32)
            hf.DINOv3ConvNextModel(config).save_pretrained(tmp_path)
            hf.CLIPImageProcessor(size={"height": 32, "width": 32}, do_center_crop=False).save_pretrained(tmp_path)
        out = outputs(tmp_path, "dinov3_convnext")
        np.testing.assert_allclose(encode(tmp_path), out.pooler_output, rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(
            encode(tmp_path, pool="mean"), out.last_hidden_state[:, 1:].mean(1), rtol=1e-4, atol=1e-4
        )

    def test_of_weights_in_several_files_and_in_an_old_one(self, folders, tmp_path):
        from querist.nets.hugging_face import quiet

        whole = encode(folders / "dinov2")
        parts, old = tmp_path / "parts", tmp_path / "old"
        with quiet():
            model = hf.Dinov2Model.from_pretrained(folders / "dinov2")
            model.save_pretrained(parts, max_shard_size="10KB")
        for folder in (parts, old):
            folder.mkdir(exist_ok=True)
            for name in ("preprocessor_config.json", "config.json"):
                shutil.copy(folders / "dinov2" / name, folder)
        torch.save(model.state_dict(), old / "pytorch_model.bin")
        assert len(list(parts.glob("*.safetensors"))) > 1
        assert not (parts / "model.safetensors").exists()
        for folder in (parts, old):
            assert (encode(folder) == whole).all()
            names = set(Transformers(model=str(folder)).identity()["files"])
            assert names == {path.name for path in folder.iterdir()}

    def test_no_state_is_changed_and_nothing_is_said(self, folders, capfd):
        from transformers.utils import logging

        threads, state = torch.get_num_threads(), torch.random.get_rng_state()
        before = logging.get_verbosity(), logging.is_progress_bar_enabled()
        capfd.readouterr()
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            for kind in ("clip", "vit"):
                encode(folders / kind)
        assert capfd.readouterr() == ("", "")
        assert (logging.get_verbosity(), logging.is_progress_bar_enabled()) == before
        assert torch.get_num_threads() == threads
        assert torch.equal(torch.random.get_rng_state(), state)
        assert torch.is_grad_enabled()


class TestContract(EncoderContract):
    def make(self):
        return Transformers(model=self.folder, device="cpu")

    @pytest.fixture(autouse=True)
    def _pictures(self, pictured, folders):
        self.folder = str(folders / "dinov2")
        self.dataset = lambda: pictured(EncoderContract.dataset(self))


class TestIdentity:
    def test_is_the_content_not_the_place(self, folders, tmp_path, monkeypatch):
        one = Transformers(model=str(folders / "dinov2"), batch=3, device="cpu").identity()
        assert one["pool"] == "cls"
        assert set(one["files"]) == {"config.json", "preprocessor_config.json", "model.safetensors"}
        assert str(folders) not in str(one)
        copy = tmp_path / "copy"
        shutil.copytree(folders / "dinov2", copy)
        monkeypatch.setenv("MODELS", str(tmp_path))
        assert Transformers(model="$MODELS/copy").identity() == one
        assert Transformers(model=str(copy), pool="cls").identity() == one
        assert Transformers(model=str(copy), pool="mean").identity() != one
        for name in one["files"]:
            changed = tmp_path / f"changed-{name}"
            shutil.copytree(copy, changed)
            content = bytearray((changed / name).read_bytes())
            content[-2] ^= 1
            (changed / name).write_bytes(content.replace(b"\n", b" ", 1) if name == "config.json" else content)
            if name == "config.json":
                (changed / name).write_text((copy / name).read_text() + "\n")
            assert Transformers(model=str(changed)).identity() != one


class TestRefusals:
    def copy(self, folders, tmp_path, kind="dinov2"):
        shutil.copytree(folders / kind, tmp_path / "mine")
        return tmp_path / "mine"

    @pytest.mark.parametrize("change", ["missing", "unexpected", "shape"])
    def test_weights_that_differ_by_one_name(self, folders, tmp_path, change):
        from safetensors.torch import load_file, save_file

        folder = self.copy(folders, tmp_path)
        state = load_file(folder / "model.safetensors")
        name = "encoder.layer.1.norm1.weight"
        if change == "missing":
            del state[name]
        elif change == "unexpected":
            state["encoder.layer.1.extra.weight"] = torch.ones(2)
        else:
            state[name] = state[name][:3].clone()
        save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
        with pytest.raises(DataError, match=r"does not hold a Dinov2Model") as caught:
            encode(folder)
        if change != "shape":
            assert f"is {change}" in str(caught.value)

    def test_a_model_of_another_kind_under_this_name(self, folders, tmp_path):
        folder = self.copy(folders, tmp_path, "vit")
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps(config | {"model_type": "dinov2", "architectures": None}))
        with pytest.raises(DataError, match=r"is missing; .* more\. Expected what save_pretrained of this very model"):
            encode(folder)

    @pytest.mark.parametrize("name", ["config.json", "preprocessor_config.json", "model.safetensors"])
    @pytest.mark.parametrize("content", [b"nothing of the kind", b"", b"[1]"])
    def test_files_that_are_none(self, folders, tmp_path, name, content):
        folder = self.copy(folders, tmp_path)
        (folder / name).write_bytes(content)
        with pytest.raises(DataError, match="encoder transformers: "):
            encode(folder)

    @pytest.mark.parametrize("name", ["config.json", "preprocessor_config.json", "model.safetensors"])
    def test_files_that_are_not_there(self, folders, tmp_path, name):
        folder = self.copy(folders, tmp_path)
        (folder / name).unlink()
        with pytest.raises(
            DataError, match=rf"expected {name} in the folder .*mine, but there is none\. Name a folder"
        ):
            encode(folder)
        with pytest.raises(DataError, match=r"expected config.json in the folder nowhere"):
            Transformers(model="nowhere").identity()

    def test_other_families_and_poolings(self, folders, tmp_path):
        folder = self.copy(folders, tmp_path)
        (folder / "config.json").write_text('{"model_type": "dinov"}')
        with pytest.raises(UnknownNameError, match=r"unknown family of vision models 'dinov'.*Did you mean 'dinov"):
            encode(folder)
        with pytest.raises(SpecError, match="has no token of the whole image"):
            encode(folders / "siglip", pool="cls")

    def test_images_of_many_shapes(self, folders, tmp_path):
        folder = self.copy(folders, tmp_path)
        config = json.loads((folder / "preprocessor_config.json").read_text())
        (folder / "preprocessor_config.json").write_text(json.dumps(config | {"do_center_crop": False}))
        with pytest.raises(DataError, match=r"neither crops nor resizes to one size"):
            encode(folder)

    def test_settings(self):
        with pytest.raises(SpecError, match="expected batch to be at least 1, got 0"):
            Transformers(batch=0)
        with pytest.raises(SpecError, match="pool: expected"):
            encoders.build("transformers(pool='sum')")

    def test_without_transformers_the_extra_is_named(self, monkeypatch, folders):
        monkeypatch.setattr("querist.extras.find_spec", lambda name: None)
        with pytest.raises(MissingExtraError, match="encoder transformers needs the extra 'hf'"):
            Transformers(model=str(folders / "vit")).identity()


class TestHub:
    @pytest.fixture(autouse=True)
    def _nowhere(self, monkeypatch, tmp_path):
        from huggingface_hub import constants

        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)

    def test_that_does_not_answer_leaves_three_ways_out(self, monkeypatch):
        monkeypatch.setattr(hub, "unreachable", lambda _: "no route")
        with pytest.raises(DataError, match="does not answer") as caught:
            Transformers().identity()
        for way in ("connect to the internet once", "in the setting 'model'", "'handcrafted' or 'backbone'"):
            assert way in str(caught.value)

    @pytest.mark.parametrize("parts", [False, True])
    def test_whose_cache_has_the_model_is_not_asked_for_it(self, monkeypatch, tmp_path, folders, parts):
        from querist.nets.hugging_face import quiet

        home = tmp_path / "cache" / "models--somebody--tiny"
        snapshot = home / "snapshots" / "0123456789012345678901234567890123456789"
        shutil.copytree(folders / "dinov2", snapshot)
        (home / "refs").mkdir()
        (home / "refs" / "main").write_text(snapshot.name)
        if parts:
            with quiet():
                model = hf.Dinov2Model.from_pretrained(snapshot)
                (snapshot / "model.safetensors").unlink()
                model.save_pretrained(snapshot, max_shard_size="10KB")
        # It may be asked whether there is one file of weights, and must not be for any of those that are here.
        monkeypatch.setattr(hub, "unreachable", lambda _: "no route" if parts else pytest.fail("asked"))
        assert (encode("somebody/tiny") == encode(folders / "dinov2")).all()
