"""Zero-shot probabilities: the library's own logits, named classes, and a pool that is asked about without a label."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image

from querist import Session, select
from querist.cli.main import main
from querist.data.dataset import datasets
from querist.data.memory import from_arrays
from querist.encoders.zero_shot import ZeroShot
from querist.errors import DataError, MissingExtraError, SpecError, UnknownNameError
from querist.evidence.view import View
from querist.seeds import Seed
from querist.testing.contract import EncoderContract

torch = pytest.importorskip("torch", reason="needs the extra deep")
hf = pytest.importorskip("transformers", reason="needs the extra hf")
pytestmark = pytest.mark.deep

IMAGES = np.random.default_rng(0).integers(0, 256, (6, 30, 24, 3), dtype=np.uint8)
CLASSES = ("cat", "dog", "bird", "cat dog")
KINDS = ("clip", "siglip")


@pytest.fixture(scope="module")
def folders(tmp_path_factory, save_pair):
    root = tmp_path_factory.mktemp("pairs")
    return {kind: str(save_pair(root / kind, kind)) for kind in KINDS}


def encode(folder, **settings):
    data = from_arrays("toy", IMAGES, np.arange(len(IMAGES)) % 2)
    encoder = ZeroShot(**{"model": folder, "classes": CLASSES, "device": "cpu"} | settings)
    return encoder.fit(View(data, data.pool), Seed(0)).encode(View(data, data.pool))


def library(folder, kind):
    """The logits that the library's own processor and model give about the test images."""
    from querist.nets.hugging_face import quiet

    with quiet(), torch.inference_mode():
        model = hf.AutoModel.from_pretrained(folder).eval()
        tokenizer = hf.AutoTokenizer.from_pretrained(folder)
        pixels = hf.AutoImageProcessor.from_pretrained(folder)(
            [Image.fromarray(x) for x in IMAGES], return_tensors="pt"
        )
        padding = "max_length" if kind == "siglip" else True
        texts = [f"a photo of a {name}." for name in CLASSES]
        tokens = tokenizer(texts, padding=padding, max_length=12, truncation=True, return_tensors="pt")
        names = ("input_ids",) if kind == "siglip" else ("input_ids", "attention_mask")
        return model(**{name: tokens[name] for name in names}, **pixels).logits_per_image.numpy()


@pytest.mark.parametrize("kind", KINDS)
class TestProbabilities:
    def test_are_the_librarys(self, folders, kind):
        expected = library(folders[kind], kind)
        logits, p = (encode(folders[kind], output=output) for output in ("logits", "probs"))
        assert p.shape == logits.shape == (len(IMAGES), len(CLASSES))
        assert p.dtype == np.float32
        np.testing.assert_allclose(logits, expected, rtol=1e-4, atol=1e-4)
        e = np.exp(expected.astype(np.float64) - expected.max(1, keepdims=True))
        np.testing.assert_allclose(p, e / e.sum(1, keepdims=True), rtol=1e-3, atol=1e-5)
        np.testing.assert_allclose(p.sum(1), 1, atol=1e-6)
        assert p.std(0).min() > 0

    def test_follow_the_names(self, folders, kind):
        order = [2, 0, 3, 1]
        turned = encode(folders[kind], classes=tuple(CLASSES[k] for k in order))
        np.testing.assert_allclose(turned, encode(folders[kind])[:, order], rtol=1e-4, atol=1e-6)
        assert not np.allclose(encode(folders[kind], template="scan of {}"), encode(folders[kind]))


class TestContract(EncoderContract):
    def make(self):
        return ZeroShot(model=self.folder, classes=CLASSES, device="cpu")

    @pytest.fixture(autouse=True)
    def _pictures(self, pictured, folders):
        self.folder = folders["clip"]
        self.dataset = lambda: pictured(EncoderContract.dataset(self))


class TestIdentity:
    def test_is_content_names_and_words(self, folders, tmp_path):
        settings = {"model": folders["clip"], "classes": CLASSES}
        one = ZeroShot(**settings, batch=3, device="cpu").identity()
        assert folders["clip"] not in str(one)
        assert "tokenizer.json" in one["files"]
        shutil.copytree(folders["clip"], tmp_path / "copy")
        assert ZeroShot(**settings | {"model": str(tmp_path / "copy")}).identity() == one
        others = [{"classes": CLASSES[::-1]}, {"template": "a {}"}, {"output": "logits"}, {"model": folders["siglip"]}]
        for change in others:
            assert ZeroShot(**settings | change).identity() != one


class TestRefusals:
    @pytest.mark.parametrize(
        ("settings", "message"),
        [
            ({"template": "a photo"}, "one place for the name"),
            ({"template": "{} {}"}, "one place for the name"),
            ({"classes": ("cat", "cat")}, "names that differ"),
            ({"classes": ("cat", " ")}, "names that differ and are not blank"),
            ({"batch": 0}, "batch to be at least 1"),
        ],
    )
    def test_settings(self, settings, message):
        with pytest.raises(SpecError, match=message):
            ZeroShot(**settings)

    def test_classes_without_names(self, folders):
        with pytest.raises(SpecError, match=r"names of at least two classes, got \[\].*zero_shot\(classes="):
            encode(folders["clip"], classes=())

    def test_models_without_words(self, folders, tmp_path, save_vision):
        shutil.copytree(folders["clip"], tmp_path / "mute")
        (tmp_path / "mute" / "tokenizer.json").unlink()
        with pytest.raises(DataError, match=r"zero_shot: expected tokenizer\.json"):
            encode(str(tmp_path / "mute"))
        (tmp_path / "mute" / "tokenizer.json").write_text("{}")
        with pytest.raises(DataError, match="holds no tokenizer"):
            encode(str(tmp_path / "mute"))
        shutil.copy(tmp_path / "mute" / "tokenizer_config.json", tmp_path)
        save_vision(tmp_path / "dino", "Dinov2Config", "Dinov2Model")
        for name in ("tokenizer.json", "tokenizer_config.json"):
            shutil.copy(tmp_path / "mute" / name, tmp_path / "dino")
        with pytest.raises(UnknownNameError, match="unknown family of image-text models 'dinov2'"):
            encode(str(tmp_path / "dino"))

    def test_a_missing_weight(self, folders, tmp_path):
        from safetensors.torch import load_file, save_file

        shutil.copytree(folders["clip"], tmp_path / "part")
        state = load_file(tmp_path / "part" / "model.safetensors")
        del state["text_projection.weight"]
        save_file(state, tmp_path / "part" / "model.safetensors", metadata={"format": "pt"})
        with pytest.raises(DataError, match=r"text_projection\.weight is missing"):
            encode(str(tmp_path / "part"))

    def test_without_transformers_the_extra_is_named(self, monkeypatch):
        monkeypatch.setattr("querist.extras.find_spec", lambda name: None)
        with pytest.raises(MissingExtraError, match="encoder zero_shot needs the extra 'hf'"):
            ZeroShot(classes=CLASSES).identity()


def test_a_pool_is_asked_about_without_a_label(folders, tmp_path, monkeypatch, capsys):
    """Images and class names in, picks out: a file of probabilities, read by the call and by a strategy."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    for i in range(12):
        image = np.random.default_rng(i).integers(0, 256, (20, 20, 3), dtype=np.uint8)
        Image.fromarray(image).save(tmp_path / "photos" / f"{i}.png")
    encoder = f"zero_shot(model='{folders['clip']}', classes=['cat', 'dog', 'bird'], device='cpu')"
    assert main(["encode", "photos", "-e", encoder, "-o", "probs.npy", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert (answer["dtype"], answer["shape"]) == ("float32", [12, 3])
    p = np.load(tmp_path / "probs.npy")
    np.testing.assert_allclose(p.sum(1), 1, atol=1e-6)
    picked = select("margin", 4, probs=p).ids
    two = np.sort(p, axis=1)
    assert set(picked) == set(np.argsort(two[:, -1] - two[:, -2])[:4])
    data = datasets.build({"name": "folder", "path": "photos", "labels": "none", "classes": ("cat", "dog", "bird")})
    strategy = {"name": "external_model_rank", "path": "probs.npy", "trained_on": "the web", "base": "margin"}
    session = Session(data, features="handcrafted", strategy="random", initial=strategy)
    assert session.ask(4).ids.tolist() == picked.tolist()


def test_names_of_a_registered_dataset_are_taken_from_it(folders, tmp_path, monkeypatch):
    from querist.cli.encoding import _chosen

    data = from_arrays("toy", IMAGES, np.arange(6) % 3, classes=("cat", "dog", "bird"))
    encoder, notice = _chosen(f"zero_shot(model='{folders['clip']}')", data)
    assert (encoder.classes, notice) == (("cat", "dog", "bird"), None)
    encoder, _ = _chosen("zero_shot(classes=['dog', 'cat'])", data)
    assert encoder.classes == ("dog", "cat")
