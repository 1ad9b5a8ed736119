"""Data for encoders of images: pictures read through the items, so that whoever watches items sees it; tiny models."""

import numpy as np
import pytest

from querist.data.dataset import Dataset
from querist.data.memory import ArrayItems

VISION = {
    "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "image_size": 16,
    "patch_size": 8,
}  # fmt: skip
TEXT = {
    "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "vocab_size": 20,
    "max_position_embeddings": 12, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0,
}  # fmt: skip
WORDS = ["<pad>", "<bos>", "<eos>", "<unk>", "a", "photo", "of", "cat", "dog", "bird", ".", "scan"]


class Pictured(Dataset):
    """A dataset whose items are its pictures, also after the items were replaced."""

    def __post_init__(self):
        super().__post_init__()
        object.__setattr__(self, "picture", lambda i: np.clip(self.items[np.array([i])][0], 0, 255).astype(np.uint8))


@pytest.fixture(scope="session")
def pictured():
    """Return a function from a dataset of arrays ``(n, h, w)`` around zero to the same rows as grey pictures."""

    def convert(data):
        images = data.items[np.arange(len(data.items))] * 30 + 128
        fields = {name: getattr(data, name) for name in ("manifest", "labels", "label_fingerprint")}
        return Pictured(items=ArrayItems(images), **fields)

    return convert


def _drawn(make, seed=7):
    """Return a model whose weights, biases included, are drawn apart from the global generator."""
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = make()
        for value in model.parameters():
            value.data.normal_(std=0.3)
    return model.eval()


@pytest.fixture(scope="session")
def save_vision():
    """Return a function that saves a vision model and its image processor, the middle 16 x 16 of 20 pixels."""
    return _save_vision


@pytest.fixture(scope="session")
def save_pair():
    """Return a function that saves an image-text model, ``clip`` or ``siglip``, that knows a dozen words."""
    return _save_pair


def _save_vision(folder, config, model, **more):
    import transformers as hf

    from querist.nets.hugging_face import quiet

    with quiet():
        net = _drawn(lambda: getattr(hf, model)(getattr(hf, config)(**VISION, **more)))
        net.save_pretrained(folder)
        processor = hf.CLIPImageProcessor if "clip" in model.lower() else hf.BitImageProcessor
        processor(size={"shortest_edge": 20}, crop_size={"height": 16, "width": 16}).save_pretrained(folder)
    return folder


def _save_pair(folder, kind):
    import transformers as hf
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    from querist.nets.hugging_face import quiet

    with quiet():
        if kind == "clip":
            config = hf.CLIPConfig(vision_config=VISION, text_config=TEXT, projection_dim=8)
            _drawn(lambda: hf.CLIPModel(config)).save_pretrained(folder)
            crop = {"height": 16, "width": 16}
            hf.CLIPImageProcessor(size={"shortest_edge": 16}, crop_size=crop).save_pretrained(folder)
        else:
            config = hf.SiglipConfig(vision_config=VISION, text_config=TEXT | {"projection_size": 16})
            _drawn(lambda: hf.SiglipModel(config)).save_pretrained(folder)
            hf.SiglipImageProcessor(size={"height": 16, "width": 16}).save_pretrained(folder)
        words = Tokenizer(models.WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="<unk>"))
        words.pre_tokenizer = pre_tokenizers.Whitespace()
        words.post_processor = processors.TemplateProcessing(
            single="<bos> $A <eos>", special_tokens=[("<bos>", 1), ("<eos>", 2)]
        )
        names = {"unk_token": "<unk>", "pad_token": "<pad>", "bos_token": "<bos>", "eos_token": "<eos>"}
        hf.PreTrainedTokenizerFast(tokenizer_object=words, **names).save_pretrained(folder)
    return folder
